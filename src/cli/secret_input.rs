//! Reading a secret: from a file, a pipe, or a terminal that does not show it. Never from an argument, which every user of the
//! machine could read.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal as _, Read, Write as _, stderr, stdin};
use std::path::Path;

use crossterm::terminal;
use zeroize::Zeroizing;

use super::Error;
use crate::operations;
use crate::tokens::Secret;

/// More is no secret, and a device may never end.
const LONGEST: u64 = 8192;
/// As a terminal sends it.
const INTERRUPT: u8 = 3;
const BACKSPACE: [u8; 2] = [8, 127];
const ENDS: [u8; 3] = [b'\r', b'\n', 4];

/// From the file, or from standard input.
pub(super) fn read(what: &str, file: Option<&Path>) -> Result<Secret, Error> {
    let bytes = match file {
        Some(path) => File::open(path).and_then(to_end),
        None if stdin().is_terminal() => ask(what),
        None => to_end(stdin().lock()),
    };
    let bytes = bytes.map_err(|source| Error::Secret { file: place(file), source })?;
    Ok(Secret::parse(&bytes).map_err(operations::Error::from)?)
}

/// For people. What is no path may be a secret that somebody has put there, and is not quoted.
fn place(file: Option<&Path>) -> String {
    match file {
        None => "standard input".to_owned(),
        Some(file) if file.components().count() > 1 => file.display().to_string(),
        Some(_) => "the file that --file names".to_owned(),
    }
}

fn to_end(from: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    // As much room as is read at most: no copy is left behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(LONGEST).unwrap_or(0)));
    from.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn ask(what: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    // Before the question, so that nothing is shown of an answer that comes at once.
    terminal::enable_raw_mode()?;
    let mut err = stderr();
    let asked = write!(err, "{what} (it is not shown): ").and_then(|()| err.flush());
    let typed = asked.and_then(|()| line(stdin().lock()));
    terminal::disable_raw_mode()?;
    writeln!(err)?;
    typed
}

/// What is typed until Enter.
fn line(from: impl BufRead) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut typed = Zeroizing::new(Vec::with_capacity(usize::try_from(LONGEST).unwrap_or(0)));
    for byte in from.take(LONGEST).bytes() {
        match byte? {
            INTERRUPT => return Err(io::ErrorKind::Interrupted.into()),
            end if ENDS.contains(&end) => break,
            back if BACKSPACE.contains(&back) => _ = typed.pop(),
            byte => typed.push(byte),
        }
    }
    Ok(typed)
}
