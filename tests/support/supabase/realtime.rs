//! What Realtime sends to whoever follows a table. It asks no policies: a page looks for itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::Project;

/// What a channel follows: its topic, and the tables with an id each.
type Channel = (Value, Vec<Value>);

pub async fn join(State(project): State<Arc<Project>>, upgrade: WebSocketUpgrade) -> Response {
    if project.mute.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let changes = project.changes.subscribe();
    upgrade.on_upgrade(|socket| serve(socket, changes))
}

async fn serve(mut socket: WebSocket, mut changes: broadcast::Receiver<Value>) {
    let mut channels: Vec<Channel> = Vec::new();
    loop {
        let answers = tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => vec![reply(&mut channels, &text)],
                Some(Ok(_)) => Vec::new(),
                None | Some(Err(_)) => return,
            },
            change = changes.recv() => match change {
                Ok(change) => channels.iter().filter_map(|channel| told(channel, &change)).collect(),
                Err(_) => return,
            },
        };
        for answer in answers {
            if socket.send(Message::Text(answer.to_string().into())).await.is_err() {
                return;
            }
        }
    }
}

/// A message is an array: who joined, which message, topic, event, payload.
fn reply(channels: &mut Vec<Channel>, text: &str) -> Value {
    let message: [Value; 5] = serde_json::from_str(text).unwrap();
    let [joined, number, topic, event, payload] = message;
    let mut response = json!({});
    if event == "phx_join" {
        let tables = payload.pointer("/config/postgres_changes").and_then(Value::as_array);
        let tables: Vec<Value> = tables.cloned().unwrap_or_default();
        let numbered = tables.into_iter().zip(1..).map(|(mut table, id)| {
            table.as_object_mut().unwrap().insert("id".to_owned(), id.into());
            table
        });
        let tables: Vec<Value> = numbered.collect();
        response = json!({ "postgres_changes": tables });
        channels.push((topic.clone(), tables));
    } else if event == "phx_leave" {
        channels.retain(|(other, _)| *other != topic);
    }
    json!([joined, number, topic, "phx_reply", { "status": "ok", "response": response }])
}

/// The message for a channel that follows what has changed.
fn told((topic, tables): &Channel, change: &Value) -> Option<Value> {
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).map(str::to_owned);
    let follows = |table: &&Value| {
        let event = text(table, "event")
            .is_some_and(|event| event == "*" || Some(event) == text(change, "type"));
        let row = change.get("record").filter(|row| !row.is_null()).or(change.get("old_record"));
        let row = row.cloned().unwrap_or_default();
        let fits = text(table, "filter").is_none_or(|filter| {
            let (column, value) = filter.split_once("=eq.").unwrap();
            row.get(column).map(Value::to_string).as_deref() == Some(value)
        });
        event && fits && text(table, "table") == text(change, "table")
    };
    let ids: Vec<&Value> =
        tables.iter().filter(follows).filter_map(|table| table.get("id")).collect();
    let payload = json!({ "ids": ids, "data": change });
    (!ids.is_empty()).then(|| json!([null, null, topic, "postgres_changes", payload]))
}
