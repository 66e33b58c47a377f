//! Where a command's output goes: to standard output, or into the report over many databases.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{self, Write};

use crate::config::DatabaseName;

/// What one of many databases' commands has said.
#[derive(Debug)]
struct Collected {
    database: DatabaseName,
    text: RefCell<Vec<u8>>,
    failed_agents: Cell<i64>,
}

tokio::task_local! {
    static COLLECTED: Collected;
}

/// Standard output, in whose place the text is collected while a command works on one of many databases.
#[derive(Debug)]
pub(super) struct Out;

/// As [`io::stdout`], and to be used in its place.
pub(super) fn stdout() -> Out {
    Out
}

impl Out {
    /// So that it reads as with [`io::stdout`]; a line is never mixed with another's.
    pub(super) fn lock(self) -> Self {
        self
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let collected = COLLECTED.try_with(|it| it.text.borrow_mut().write(bytes));
        collected.unwrap_or_else(|_direct| io::stdout().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        let collected = COLLECTED.try_with(|_| Ok(()));
        collected.unwrap_or_else(|_direct| io::stdout().flush())
    }
}

/// Works for one of many databases. Gives what came of it, what was written, and how many agents failed.
pub(super) async fn collect<T>(
    database: DatabaseName,
    work: impl Future<Output = T>,
) -> (T, Vec<u8>, i64) {
    let collected = Collected { database, text: RefCell::default(), failed_agents: Cell::new(0) };
    let work = async {
        let done = work.await;
        let (text, failed) = COLLECTED.with(|it| (it.text.take(), it.failed_agents.get()));
        (done, text, failed)
    };
    COLLECTED.scope(collected, work).await
}

/// Counts agents that failed, for a limit over all databases.
pub(super) fn failed_agents(agents: i64) {
    // Where there is one database, it keeps its own limit.
    let _one =
        COLLECTED.try_with(|it| it.failed_agents.set(it.failed_agents.get() + agents)).is_err();
}

/// Before a line on standard error: which of many databases it is about.
pub(super) fn about() -> String {
    COLLECTED.try_with(|it| format!("{}: ", it.database)).unwrap_or_default()
}

/// Whether this works for one of many databases.
pub(super) fn is_one_of_many() -> bool {
    COLLECTED.try_with(|_| ()).is_ok()
}
