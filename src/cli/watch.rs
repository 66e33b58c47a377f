//! Looking again and again.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;
use std::time::Duration;

use super::table::is_dumb;
use super::{Error, message};

const EVERY: Duration = Duration::from_secs(2);

/// Prints what `look` writes every two seconds, until Ctrl-C. On a terminal, what is for people begins on an empty screen. A
/// look that fails says why, and is not the last.
pub(super) async fn watch(
    json: bool,
    mut look: impl AsyncFnMut(&mut Vec<u8>) -> Result<(), Error>,
) -> Result<ExitCode, Error> {
    loop {
        let mut seen = Vec::new();
        let looked = look(&mut seen).await;
        let mut out = stdout();
        if !json && out.is_terminal() && !is_dumb() {
            write!(out, "\x1b[H\x1b[2J")?;
        }
        out.write_all(&seen)?;
        out.flush()?;
        if let Err(error) = looked {
            writeln!(stderr(), "{}", message(&error))?;
        }
        tokio::time::sleep(EVERY).await;
    }
}
