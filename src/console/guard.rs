//! What every request passes: one place decides who may enter, and who may act.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;
use tracing::{Instrument as _, Span};

use super::Shared;
use super::authentication::Known;
use super::pages::layout;
use super::visit::Visit;
use crate::service::{KnownConnection, REQUEST_TAKES};
use crate::telemetry::of_database;

/// No form is larger.
const BODY: usize = 64 * 1024;

/// Where a token is entered: the only thing that a stranger may send.
pub(super) const LOGIN: &str = "/login";
/// Where the browser forgets it.
pub(super) const LOGOUT: &str = "/logout";
/// Where actions are shown and carried out.
pub(super) const ACTS: [&str; 5] =
    ["/jobs/act", "/drift/act", "/rollouts/act", "/trash/act", "/doctor/act"];
pub(super) const EVENTS: &str = "/events";
/// What anybody may read: style and script.
const ASSETS: &str = "/assets/";

/// Scripts and styles are ours alone, and no other page shows this one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Answers a request or refuses it.
pub(super) async fn guard(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let is_asset = request.uri().path().starts_with(ASSETS);
    let span = shared.name.as_ref().map_or_else(Span::none, of_database);
    let mut response = match admit(&shared, peer.ip(), request).await {
        Ok(request) => next.run(request).instrument(span).await,
        Err(refusal) => refusal,
    };
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    // With no-referrer a browser would send `Origin: null` with our own forms.
    set(header::REFERRER_POLICY, "same-origin");
    if !is_asset {
        set(header::CACHE_CONTROL, "no-store");
    }
    response
}

/// The request with what its handler has to know, or why there is none.
async fn admit(shared: &Arc<Shared>, peer: IpAddr, request: Request) -> Result<Request, Response> {
    let headers = request.headers();
    if !is_known_host(shared, headers) {
        let said =
            "This is no name of the console. Add it to console.hosts, if it is meant to be one.";
        return Err(plain(StatusCode::MISDIRECTED_REQUEST, said));
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads && !is_own_form(headers) {
        return Err(plain(StatusCode::FORBIDDEN, "This form is not the console's own."));
    }
    let path = request.uri().path();
    if path.starts_with(ASSETS) && reads {
        return Ok(request);
    }
    let is_action = ACTS.contains(&path);
    let asks = is_action || path == EVENTS;
    if asks && headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return Err(plain(StatusCode::FORBIDDEN, "Another site may not ask for this."));
    }
    let by_proxy = request.version() == Version::HTTP_10;
    let viewer = match shared.authentication.identify(peer, headers, by_proxy) {
        Known::As(viewer) => Some(viewer),
        Known::NotYet => None,
        Known::Never(why) => return Err(plain(StatusCode::FORBIDDEN, why)),
    };
    let is_login = path == LOGIN;
    let Some(viewer) = viewer else {
        let visit = Visit::stranger(shared, request.uri());
        return match (is_login, reads) {
            (true, _) => whole(request, visit).await,
            (false, true) => Err(layout::login(&visit, None, StatusCode::UNAUTHORIZED)),
            (false, false) => Err(plain(StatusCode::UNAUTHORIZED, "Enter your token first.")),
        };
    };
    if let Some(connection) = request.extensions().get::<KnownConnection>() {
        connection.set();
    }
    let may_act = viewer.may_act();
    let visit = Visit::new(shared, request.uri(), viewer);
    // What is shown of an action locks rows for a moment.
    let changes = !reads && ![LOGIN, LOGOUT].contains(&path) || is_action;
    if changes && !may_act {
        tracing::warn!(
            viewer = visit.viewer.name,
            path,
            "a viewer who may only read was refused an action"
        );
        let said = "You may read and not act: an operator has to do this.";
        return Err(visit.error(StatusCode::FORBIDDEN, said));
    }
    whole(request, visit).await
}

/// With its body, which has to come soon.
async fn whole(request: Request, visit: Visit) -> Result<Request, Response> {
    let (parts, body) = request.into_parts();
    let read = timeout(REQUEST_TAKES, to_bytes(body, BODY)).await;
    let Ok(Ok(bytes)) = read else {
        return Err(plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The form is too large, or came too slowly.",
        ));
    };
    let mut request = Request::from_parts(parts, Body::from(bytes));
    request.extensions_mut().insert(visit);
    Ok(request)
}

/// Whether a browser was meant to come here: a name of a stranger's may lead to a loopback address.
fn is_known_host(shared: &Shared, headers: &HeaderMap) -> bool {
    let Some((host, _)) = host(headers) else { return false };
    is_loopback(host)
        || host.parse() == Ok(shared.address.ip())
        || shared.hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
}

/// The name that the browser asked for, without the port, and with it.
pub(super) fn host(headers: &HeaderMap) -> Option<(&str, &str)> {
    let mut values = headers.get_all(header::HOST).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let whole = value.to_str().ok()?;
    let name = match whole.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None => whole.split(':').next()?,
    };
    Some((name, whole))
}

/// Whether a name can only mean this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Whether a page of ours sends it: the browser says so.
fn is_own_form(headers: &HeaderMap) -> bool {
    let one = |name: &str| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Some(value.to_str().unwrap_or("?")),
            (None, _) => None,
            (Some(_), Some(_)) => Some("?"),
        }
    };
    let site = one("sec-fetch-site").map(|site| site == "same-origin");
    let origin = one("origin").map(|origin| {
        let authority = origin.parse::<Uri>().ok().and_then(|uri| uri.authority().cloned());
        let own = host(headers).map(|(_, host)| host);
        authority
            .zip(own)
            .is_some_and(|(authority, own)| authority.as_str().eq_ignore_ascii_case(own))
    });
    match (site, origin) {
        (None, None) => false,
        (site, origin) => site.unwrap_or(true) && origin.unwrap_or(true),
    }
}

fn plain(status: StatusCode, said: &str) -> Response {
    (status, format!("{said}\n")).into_response()
}
