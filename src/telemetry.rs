//! Logs: one subscriber, set up once.

use std::fmt;
use std::io::{IsTerminal, stderr};

use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{Log, LogFormat};
use crate::printable::Printable;

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The level is not one.
    #[error("log.level cannot be used")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// Somebody set up another subscriber.
    #[error("cannot set up logging")]
    Twice(#[from] TryInitError),
}

/// Logs to standard error from here on: text on a terminal and JSON otherwise, unless set.
pub fn init(log: &Log) -> Result<(), Error> {
    let filter = EnvFilter::try_new(&log.level)?;
    let terminal = stderr().is_terminal();
    let format = log.format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    match format {
        LogFormat::Text => {
            let fields = debug_fn(field).delimited(" ");
            let text = subscriber.with_ansi(terminal).with_target(false).fmt_fields(fields);
            text.finish().try_init()?;
        }
        LogFormat::Json => subscriber.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

/// As the default does, but for what acts on a terminal.
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = Printable(format_args!("{value:?}"));
    match field.name() {
        "message" => write!(writer, "{value}"),
        origin if origin.starts_with("log.") => Ok(()), // of a crate that uses `log`
        name => write!(writer, "{name}={value}"),
    }
}
