//! Logs: one subscriber, set up once, and a thread that writes its lines.
//!
//! A line that cannot be written is lost, whether the disk is full, the reader is gone, or the reader reads no more.
//! Nobody waits for it, and nothing else comes of it. Once lines can be written again, one says how many were lost.

use std::io::{self, IsTerminal, Write, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use tracing::field::Field;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::printable::{Printable, is_printable};

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object per line.
    Json,
}

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
    /// One word would be taken for the name of a part of the program, of which alone all is logged.
    #[error("log.level cannot be used: {0:?} is none of trace, debug, info, warn, error, off")]
    Word(String),
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
pub fn init(format: Option<LogFormat>, level: &str) -> Result<Logs, Error> {
    let words = level.split(',').map(str::trim).filter(|word| !word.is_empty());
    for word in words.filter(|word| !word.contains(['=', '[', ':', '_'])) {
        if word.parse::<LevelFilter>().is_err() {
            return Err(Error::Word(word.to_owned()));
        }
    }
    let filter = EnvFilter::try_new(level)?;
    let terminal = stderr().is_terminal();
    let format = format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let logs = Logs::start()?;
    let priorities = is_journal();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false); // they would be printed, and a failure to print is a panic
    match format {
        LogFormat::Text => {
            let fields = debug_fn(field).delimited(" ");
            let out = Out { lines: logs.0.clone(), escapes: false, priorities };
            let text = subscriber.with_writer(out).with_ansi(terminal).with_target(false);
            text.fmt_fields(fields).finish().try_init()?;
        }
        LogFormat::Json => {
            let out = Out { lines: logs.0.clone(), escapes: true, priorities };
            let json = subscriber.with_writer(out).json();
            json.flatten_event(true).finish().try_init()?;
        }
    }
    Ok(logs)
}

/// Whether standard error is what systemd says it is: a stream into its journal (systemd.exec(5), `JOURNAL_STREAM`).
fn is_journal() -> bool {
    #[expect(clippy::disallowed_methods, reason = "it is systemd's, and no setting")]
    let told = std::env::var("JOURNAL_STREAM");
    let Ok(told) = told else { return false };
    rustix::fs::fstat(stderr()).is_ok_and(|it| told == format!("{}:{}", it.st_dev, it.st_ino))
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

/// Makes lines of events.
struct Out {
    lines: Lines,
    /// Lines of JSON: what would act on a terminal is written as JSON's own escapes, which mean the same.
    escapes: bool,
    /// Each line begins with its priority, as sd-daemon(3) has it.
    priorities: bool,
}

/// The subscriber hands over one line at a time.
struct Entry {
    lines: Lines,
    escapes: bool,
    priority: &'static str,
}

impl MakeWriter<'_> for Out {
    type Writer = Entry;

    fn make_writer(&self) -> Entry {
        Entry { lines: self.lines.clone(), escapes: self.escapes, priority: "" }
    }

    fn make_writer_for(&self, event: &Metadata<'_>) -> Entry {
        let priority = match *event.level() {
            Level::ERROR => "<3>",
            Level::WARN => "<4>",
            Level::INFO => "<6>",
            Level::DEBUG | Level::TRACE => "<7>",
        };
        Entry { priority: if self.priorities { priority } else { "" }, ..self.make_writer() }
    }
}

impl Write for Entry {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut written = Vec::with_capacity(line.len() + self.priority.len());
        written.extend(self.priority.as_bytes());
        if self.escapes {
            written.extend(escaped(&String::from_utf8_lossy(line)).into_bytes());
        } else {
            written.extend(line);
        }
        self.lines.take(written);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn escaped(line: &str) -> String {
    let mut escaped = String::with_capacity(line.len());
    for c in line.chars() {
        if c == '\n' || is_printable(c) {
            escaped.push(c);
        } else {
            let units = c.encode_utf16(&mut [0; 2]).to_vec();
            escaped.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    escaped
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
