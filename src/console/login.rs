//! Entering by a token and leaving. A token is in no address: it comes by a form, once, and then by a cookie.

use axum::Extension;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::authentication::COOKIE;
use super::form::Fields;
use super::guard::{host, is_loopback};
use super::pages::layout;
use super::visit::Visit;

/// Takes a token, and has the browser keep it.
pub(super) async fn enter(
    Extension(visit): Extension<Visit>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fields = Fields::parse(&body);
    let token = fields.get("token").unwrap_or_default();
    let Some(viewer) = visit.shared.authentication.holder(token) else {
        tracing::warn!("an unknown token was tried at the console");
        return layout::login(&visit, Some("This is no valid token."), StatusCode::UNAUTHORIZED);
    };
    tracing::info!(viewer = viewer.name, "entered the console");
    // Without TLS nobody enters but on this machine: a browser sends a secure cookie over nothing else.
    let secure = host(&headers).is_none_or(|(name, _)| !is_loopback(name));
    go(cookie(token, secure, ""))
}

/// Has the browser forget the token.
pub(super) async fn leave() -> Response {
    go(cookie("", false, "; Max-Age=0"))
}

fn cookie(token: &str, secure: bool, age: &str) -> String {
    let value = utf8_percent_encode(token, NON_ALPHANUMERIC);
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE}={value}; HttpOnly; SameSite=Strict{secure}{age}")
}

/// To the overview, by GET.
fn go(cookie: String) -> Response {
    let headers = [(header::LOCATION, "./".to_owned()), (header::SET_COOKIE, cookie)];
    (StatusCode::SEE_OTHER, headers).into_response()
}
