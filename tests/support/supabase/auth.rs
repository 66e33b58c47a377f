//! Signing in, as Supabase Auth does it.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use super::{PASSWORD, Project, Refusal, respond};

pub async fn answer(
    project: &Project,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Refusal> {
    match path {
        "token" => sign_in(project, &serde_json::from_slice(body).unwrap_or_default()).await,
        "user" => Ok(respond(StatusCode::OK, &user(&project.caller(headers)?.1))),
        "logout" => Ok(respond(StatusCode::NO_CONTENT, &Value::Null)),
        _ => Err(Refusal::new(404, "no_such_path", path)),
    }
}

async fn sign_in(project: &Project, asked: &Value) -> Result<Response, Refusal> {
    let text = |key: &str| asked.get(key).and_then(Value::as_str).unwrap_or_default();
    let (client, connection) = tokio_postgres::connect(&project.admin, NoTls).await.unwrap();
    tokio::spawn(connection);
    let find = "select id::text from auth.users where email = $1";
    let found = client.query_opt(find, &[&text("email")]).await.unwrap();
    let Some(id) = found.filter(|_| text("password") == PASSWORD) else {
        let wrong = json!({ "code": 400, "error_code": "invalid_credentials", "msg": "Invalid login credentials" });
        return Err(Refusal { status: StatusCode::BAD_REQUEST, body: wrong });
    };
    let claims = json!({
        "sub": id.get::<_, String>(0), "role": "authenticated", "aud": "authenticated", "email": text("email"),
    });
    let token = token(&claims);
    project.tokens.lock().unwrap().insert(token.clone(), claims.clone());
    let session = json!({
        "access_token": token, "token_type": "bearer", "expires_in": 3600, "refresh_token": "none",
        "user": user(&claims),
    });
    Ok(respond(StatusCode::OK, &session))
}

/// Looks like those of Auth. Only the one who gave it out takes it for one.
fn token(claims: &Value) -> String {
    let part = |text: String| BASE64_URL_SAFE_NO_PAD.encode(text);
    let signature = fastrand::u64(..).to_string();
    [json!({ "alg": "HS256", "typ": "JWT" }).to_string(), claims.to_string(), signature]
        .map(part)
        .join(".")
}

fn user(claims: &Value) -> Value {
    json!({
        "id": claims.get("sub"), "email": claims.get("email"), "aud": "authenticated", "role": "authenticated",
        "app_metadata": {}, "user_metadata": {}, "created_at": "2026-01-01T00:00:00Z",
    })
}
