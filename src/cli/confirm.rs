//! Asking before something is done.

use std::io::{self, BufRead, IsTerminal, Write, stderr, stdin};
use std::process::ExitCode;

/// Asks who sits at a terminal; elsewhere `--yes` is the answer. `None`: go on. Else nothing is to be done: exit code 1 where
/// a person has said so, 2 for want of `--yes`.
pub(super) fn confirm(question: &str, yes: bool) -> io::Result<Option<ExitCode>> {
    if yes {
        return Ok(None);
    }
    let mut err = stderr();
    if !stdin().is_terminal() || !err.is_terminal() {
        writeln!(err, "agent-provisioner: nothing was done: say --yes")?;
        return Ok(Some(ExitCode::from(2)));
    }
    write!(err, "{question} [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer)?;
    if ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        return Ok(None);
    }
    writeln!(err, "agent-provisioner: nothing was done")?;
    Ok(Some(ExitCode::FAILURE))
}
