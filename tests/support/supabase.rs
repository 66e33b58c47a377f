//! A stand-in for the API of a Supabase project: Auth, PostgREST and Realtime, as far as supabase-js asks for it here.
//!
//! It runs the SQL that these would run, as the role `authenticator`: one transaction for a request, with the role and the claims
//! of the token. It answers `PGRST205` for a table that it has not read yet, and reads the schema when it is notified.

mod auth;
mod realtime;
mod rest;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::any;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls, Socket, tls::NoTlsStream};

use super::{ADMIN, AUTHENTICATOR, Database};

/// The key of a project's pages.
pub const PUBLISHABLE: &str = "sb_publishable_test";
/// The key of a backend: the role `service_role`.
pub const SECRET: &str = "sb_secret_test";
/// Of every user.
pub const PASSWORD: &str = "correct horse";

/// Notified of each change of a published table.
const CHANGES: &str = "
    create schema standin;
    create function standin.changed() returns trigger language plpgsql as $$
    begin
        perform pg_notify('standin', json_build_object(
            'type', tg_op, 'schema', tg_table_schema, 'table', tg_table_name, 'commit_timestamp', now(), 'columns', json_build_array(),
            'record', case when tg_op <> 'DELETE' then to_json(new) end,
            'old_record', case when tg_op <> 'INSERT' then to_json(old) end)::text);
        return null;
    end $$;
    do $$
    declare
        published record;
    begin
        for published in select * from pg_publication_tables where pubname = 'supabase_realtime' loop
            execute format('create trigger standin after insert or update or delete on %I.%I
                for each row execute function standin.changed()', published.schemaname, published.tablename);
        end loop;
    end $$";

/// Serves until the test ends.
pub struct Supabase {
    /// Where it is.
    pub url: String,
    project: Arc<Project>,
}

/// What a page consists of: its files, and the policy that its server sends along.
#[derive(Default)]
pub struct Page {
    pub files: BTreeMap<String, String>,
    pub policy: String,
}

struct Project {
    /// Of the database, for `authenticator` and for whoever reads auth.users.
    authenticator: String,
    admin: String,
    page: Page,
    /// The claims of each token that was given out.
    tokens: Mutex<BTreeMap<String, Value>>,
    /// What PostgREST has read of the schema.
    schema: Mutex<Value>,
    held: watch::Sender<bool>,
    /// Requests that met a table which PostgREST does not know yet.
    unknown: Mutex<Vec<String>>,
    changes: broadcast::Sender<Value>,
    mute: AtomicBool,
    /// Requests for this path wait.
    stopped: watch::Sender<&'static str>,
    /// Requests for this path fail.
    failing: Mutex<&'static str>,
    /// Every transaction is rolled back, as with `db-tx-end = rollback`.
    rollback: bool,
}

/// An answer of the API that is no success.
struct Refusal {
    status: StatusCode,
    body: Value,
}

impl Supabase {
    /// With a page that knows its address.
    pub async fn start(db: &Database, page: impl FnOnce(&str) -> Page) -> Self {
        db.admin().await.run(CHANGES).await;
        Self::serve(db, page, false).await
    }

    /// That takes back whatever it has done.
    pub async fn rolling_back(db: &Database, page: impl FnOnce(&str) -> Page) -> Self {
        Self::serve(db, page, true).await
    }

    async fn serve(db: &Database, page: impl FnOnce(&str) -> Page, rollback: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let project = Arc::new(Project {
            authenticator: db.url(AUTHENTICATOR),
            admin: db.url(ADMIN),
            page: page(&url),
            tokens: Mutex::default(),
            schema: Mutex::default(),
            held: watch::Sender::new(false),
            unknown: Mutex::default(),
            changes: broadcast::Sender::new(100),
            mute: AtomicBool::new(false),
            stopped: watch::Sender::new(""),
            failing: Mutex::default(),
            rollback,
        });
        let (client, connection) =
            tokio_postgres::connect(&project.authenticator, NoTls).await.unwrap();
        let client = Arc::new(client);
        tokio::spawn(listen(Arc::clone(&project), Arc::clone(&client), connection));
        client.batch_execute("listen pgrst; listen standin").await.unwrap();
        rest::read_schema(&project, &client).await;
        let app = Router::new()
            .route("/realtime/v1/websocket", any(realtime::join))
            .fallback(answer)
            .with_state(Arc::clone(&project));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, project }
    }

    /// From now on PostgREST does not come to read the schema.
    pub fn hold_schema(&self) {
        self.project.held.send_replace(true);
    }

    /// It catches up.
    pub fn release_schema(&self) {
        self.project.held.send_replace(false);
    }

    /// The requests that were answered with `PGRST205`.
    pub fn unknown(&self) -> Vec<String> {
        self.project.unknown.lock().unwrap().clone()
    }

    /// Realtime does not answer.
    pub fn mute(&self) {
        self.project.mute.store(true, Ordering::SeqCst);
    }

    /// From now on requests for this path wait, until another one is named.
    pub fn stop(&self, path: &'static str) {
        self.project.stopped.send_replace(path);
    }

    /// From now on requests for this path fail, until another one is named.
    pub fn fail(&self, path: &'static str) {
        *self.project.failing.lock().unwrap() = path;
    }
}

async fn listen(
    project: Arc<Project>,
    client: Arc<Client>,
    mut connection: Connection<Socket, NoTlsStream>,
) {
    while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
        let AsyncMessage::Notification(notification) = message else { continue };
        if notification.channel() == "pgrst" {
            tokio::spawn(reload(Arc::clone(&project), Arc::clone(&client)));
        } else if let Ok(change) = serde_json::from_str(notification.payload()) {
            project.changes.send(change).ok(); // nobody may have subscribed
        }
    }
}

async fn reload(project: Arc<Project>, client: Arc<Client>) {
    let mut held = project.held.subscribe();
    if held.wait_for(|held| !held).await.is_ok() {
        rest::read_schema(&project, &client).await;
    }
}

async fn answer(State(project): State<Arc<Project>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap_or_default();
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or_default();
    project.stopped.subscribe().wait_for(|stopped| *stopped != path).await.ok(); // it outlives this
    let fails = *project.failing.lock().unwrap() == path;
    let answered = if fails {
        Err(Refusal::new(500, "unexpected_failure", "out of order"))
    } else if let Some(path) = path.strip_prefix("/auth/v1/") {
        auth::answer(&project, path, &parts.headers, &body).await
    } else if let Some(path) = path.strip_prefix("/rest/v1/") {
        let request = rest::Request {
            method: &parts.method,
            path,
            query,
            headers: &parts.headers,
            body: &body,
        };
        rest::answer(&project, &request).await
    } else {
        Ok(project.page.answer(&parts.method, path))
    };
    answered.unwrap_or_else(|refusal| respond(refusal.status, &refusal.body))
}

impl Page {
    fn answer(&self, method: &Method, path: &str) -> Response {
        let path = if path == "/" { "index.html" } else { path.trim_start_matches('/') };
        let kind = match path.rsplit('.').next() {
            Some("html") => "text/html",
            Some("css") => "text/css",
            _ => "text/javascript",
        };
        let (status, text) = match self.files.get(path).filter(|_| method == Method::GET) {
            Some(text) => (StatusCode::OK, text.clone()),
            None => (StatusCode::NOT_FOUND, String::new()),
        };
        Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, kind)
            .header(header::CONTENT_SECURITY_POLICY, &self.policy)
            .body(Body::from(text))
            .unwrap()
    }
}

impl Project {
    /// The role and the claims of whoever asks.
    fn caller(&self, headers: &HeaderMap) -> Result<(String, Value), Refusal> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
        match bearer.or(text("apikey")) {
            None | Some(PUBLISHABLE) => Ok(("anon".to_owned(), json!({ "role": "anon" }))),
            Some(SECRET) => Ok(("service_role".to_owned(), json!({ "role": "service_role" }))),
            Some(token) => {
                let claims = self.tokens.lock().unwrap().get(token).cloned();
                let unknown = || Refusal::new(401, "PGRST301", "no such token");
                Ok(("authenticated".to_owned(), claims.ok_or_else(unknown)?))
            }
        }
    }
}

impl Refusal {
    fn new(status: u16, code: &str, message: &str) -> Self {
        let body = json!({ "code": code, "message": message, "details": null, "hint": null });
        Self { status: StatusCode::from_u16(status).unwrap(), body }
    }
}

fn respond(status: StatusCode, body: &Value) -> Response {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let response = Response::builder().status(status);
    response
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(Bytes::from(text)))
        .unwrap()
}
