//! Logs: one subscriber, set up once, and a thread that writes its lines.
//!
//! A line that cannot be written is lost, whether the disk is full, the reader is gone, or the reader reads no more.
//! Nobody waits for it, and nothing else comes of it. Once lines can be written again, one says how many were lost.

use std::fmt;
use std::io::{self, IsTerminal, Write, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{Log, LogFormat};
use crate::printable::{Printable, is_printable};

/// Lines that may wait for a slow reader: a megabyte or two.
const WAITING: usize = 4096;
/// How long the program's end waits for the last lines.
const LAST: Duration = Duration::from_secs(1);

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The level is not one.
    #[error("log.level cannot be used")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// Somebody set up another subscriber.
    #[error("cannot set up logging")]
    Twice(#[from] TryInitError),
    /// The system has no thread to give.
    #[error("cannot start the thread that writes the log")]
    Thread(#[from] io::Error),
}

/// What has been logged is written before this is gone, unless that takes longer than a second. So it lives as
/// long as the program.
#[derive(Debug)]
#[must_use]
pub struct Logs(Lines);

/// Takes lines without ever waiting.
#[derive(Clone, Debug)]
struct Lines {
    queue: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    /// To be answered once everything before it is written or lost.
    Flush(SyncSender<()>),
}

/// Logs to standard error from here on: text on a terminal and JSON otherwise, unless set.
pub fn init(log: &Log) -> Result<Logs, Error> {
    let filter = EnvFilter::try_new(&log.level)?;
    let terminal = stderr().is_terminal();
    let format = log.format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let logs = Logs::start()?;
    let lines = logs.0.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .log_internal_errors(false) // they would be printed, and a failure to print is a panic
        .with_writer(move || lines.clone());
    match format {
        LogFormat::Text => {
            let fields = debug_fn(field).delimited(" ");
            let text = subscriber.with_ansi(terminal).with_target(false).fmt_fields(fields);
            text.finish().try_init()?;
        }
        LogFormat::Json => {
            let lines = logs.0.clone();
            let json = subscriber.with_writer(move || Escaped(lines.clone())).json();
            json.flatten_event(true).finish().try_init()?;
        }
    }
    Ok(logs)
}

/// Panics become lines of the log: to print them could block their thread for good.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(error = panic.to_string().replace('\n', " "), "the program panicked");
    }));
}

impl Logs {
    fn start() -> io::Result<Self> {
        let (queue, messages) = sync_channel(WAITING);
        let lines = Lines { queue, lost: Arc::default() };
        let lost = Arc::clone(&lines.lost);
        thread::Builder::new().name("log".to_owned()).spawn(move || write(&messages, &lost))?;
        Ok(Self(lines))
    }

    /// A line as it is, behind all that is logged.
    pub fn line(&self, line: &str) {
        self.0.take(format!("{line}\n").into_bytes());
    }
}

impl Lines {
    fn take(&self, line: Vec<u8>) {
        if self.queue.try_send(Message::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The subscriber hands over one line at a time.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.take(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines of JSON: what would act on a terminal is written as JSON's own escapes, which mean the same.
struct Escaped(Lines);

impl Write for Escaped {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut escaped = String::with_capacity(line.len());
        for c in String::from_utf8_lossy(line).chars() {
            if c == '\n' || is_printable(c) {
                escaped.push(c);
            } else {
                let units = c.encode_utf16(&mut [0; 2]).to_vec();
                escaped.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
            }
        }
        self.0.take(escaped.into_bytes());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The thread. It may hang in a write for as long as the reader does.
fn write(messages: &Receiver<Message>, lost: &AtomicU64) {
    let mut writable = false;
    loop {
        let message = match messages.try_recv() {
            Err(TryRecvError::Empty) => {
                if writable {
                    tell_of(lost.swap(0, Ordering::Relaxed));
                }
                messages.recv().ok()
            }
            received => received.ok(),
        };
        match message {
            None => return,
            Some(Message::Line(line)) => {
                writable = stderr().write_all(&line).is_ok();
                lost.fetch_add((!writable).into(), Ordering::Relaxed);
            }
            // It is no matter whether somebody still waits.
            Some(Message::Flush(done)) => drop(done),
        }
    }
}

fn tell_of(lost: u64) {
    if lost > 0 {
        tracing::warn!(lost, "lines of the log were lost: they could not be written in time");
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        let deadline = Instant::now() + LAST;
        let left = || deadline.saturating_duration_since(Instant::now());
        let (done, written) = sync_channel(0);
        let mut flush = Message::Flush(done);
        while let Err(TrySendError::Full(back)) = self.0.queue.try_send(flush) {
            if left().is_zero() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
            flush = back;
        }
        // It ends when the thread lets go of the other end.
        let _ended = written.recv_timeout(left()).is_err();
    }
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
