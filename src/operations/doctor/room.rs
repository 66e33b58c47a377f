//! Whether the database soon has as many agents as it can have.

use tokio_postgres::Client;

use super::finding::{Finding, failure, ok, warning};
use crate::operations::limits;
use crate::telemetry::ErrorReport;

const WHAT: &str = "room";

pub(super) async fn check(client: &Client) -> Finding {
    let room = match limits::read(client).await {
        Ok(room) => room,
        Err(error) => {
            return failure(WHAT, ErrorReport(&error).to_string(), "see the server's log");
        }
    };
    match room.limits.iter().find(|limit| limit.is_near()) {
        Some(near) => {
            let used = format!("{} of {} {} are used", near.used, near.most, near.unit);
            warning(WHAT, format!("{near}; {used}"), &near.doubled_by).about(&near.what)
        }
        None => ok(WHAT, room.limits.first().map(ToString::to_string).unwrap_or_default()),
    }
}
