//! What an error says to people, and what a failed job does next: one place each.

use std::error::Error;
use std::fmt;

use tokio_postgres::error::{DbError, SqlState};

/// Shows an error with all its causes on one line, as logs, terminals and `last_error` want it.
///
/// What the server said is spelled out with its SQLSTATE, detail and hint: `tokio_postgres::Error`
/// itself displays as no more than "db error".
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

/// The same for logs of what was done to agents' tables: without what may quote a row.
#[derive(Debug)]
pub struct Discreet<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        chain(f, self.0, said)
    }
}

impl fmt::Display for Discreet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        chain(f, self.0, |f, db| match db.code().code().get(..2) {
            // Data exceptions and violated constraints name values; so may a template's own errors.
            Some("22" | "23" | "P0") => write!(
                f,
                "SQLSTATE {}, in the job's last_error with all that the server said",
                db.code().code()
            ),
            _ => said(f, db),
        })
    }
}

fn chain(
    f: &mut fmt::Formatter<'_>,
    error: &(dyn Error + 'static),
    said: impl Fn(&mut fmt::Formatter<'_>, &DbError) -> fmt::Result,
) -> fmt::Result {
    let mut next = Some(error);
    let mut first = true;
    while let Some(error) = next {
        next = error.source();
        if error.is::<tokio_postgres::Error>() && next.is_some_and(<dyn Error>::is::<DbError>) {
            continue; // "db error", where the cause says it all
        }
        if !first {
            f.write_str(": ")?;
        }
        first = false;
        match error.downcast_ref::<DbError>() {
            Some(db) => said(f, db)?,
            None => write!(f, "{error}")?,
        }
    }
    Ok(())
}

fn said(f: &mut fmt::Formatter<'_>, db: &DbError) -> fmt::Result {
    write!(f, "{} (SQLSTATE {})", db.message(), db.code().code())?;
    for (label, text) in [("detail", db.detail()), ("hint", db.hint())] {
        if let Some(text) = text {
            write!(f, "; {label}: {}", text.replace('\n', " "))?;
        }
    }
    Ok(())
}

/// What a failed attempt leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The worker gave way to a lock: try again soon, without using up an attempt.
    GiveWay,
    /// The cause may pass by itself: back off and use up an attempt.
    Retry,
    /// It would fail the same way again: wait for a person.
    Dead,
}

/// Decides from the SQLSTATE alone; no SQLSTATE means that the connection broke.
///
/// Classes: 08 connection, 40 rollback, 53 resources, 57 intervention, 58 system; 25006 is a
/// standby that was a primary; 25P03 and 25P04 end a transaction whose client was not heard of. Source: PostgreSQL manual, appendix A.
pub fn disposition(code: Option<&SqlState>) -> Disposition {
    let Some(code) = code else { return Disposition::Retry };
    match code.code() {
        "55P03" => Disposition::GiveWay,
        "25006" | "25P03" | "25P04" => Disposition::Retry,
        other => match other.get(..2) {
            Some("08" | "40" | "53" | "57" | "58") => Disposition::Retry,
            _ => Disposition::Dead,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_disposition() {
        let cases = [
            (Disposition::GiveWay, &["55P03"][..]),
            (
                Disposition::Retry,
                &["08006", "40P01", "53200", "57P01", "57014", "58030", "25006", "25P03"],
            ),
            (Disposition::Dead, &["42P07", "42501", "23505", "22001", "0A000", "2BP01", "XX000"]),
        ];
        for (expected, codes) in cases {
            for code in codes {
                assert_eq!(disposition(Some(&SqlState::from_code(code))), expected, "{code}");
            }
        }
        assert_eq!(disposition(None), Disposition::Retry);
    }

    /// By the class for all of its codes, but for those that stand by themselves.
    #[test]
    fn every_code_has_the_disposition_of_its_class() {
        let signs = || ('0'..='9').chain('A'..='Z');
        let classes = signs().flat_map(|a| signs().map(move |b| format!("{a}{b}")));
        for class in classes {
            let passes = ["08", "40", "53", "57", "58"].contains(&class.as_str());
            let expected = if passes { Disposition::Retry } else { Disposition::Dead };
            for code in signs().flat_map(|c| ["00", "03", "04", "06", "ZZ"].map(|d| (c, d))) {
                let code = format!("{class}{}{}", code.0, code.1);
                if !["25006", "25P03", "25P04", "55P03"].contains(&code.as_str()) {
                    assert_eq!(disposition(Some(&SqlState::from_code(&code))), expected, "{code}");
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_a_disposition(code in "\\PC{0,6}") {
            disposition(Some(&SqlState::from_code(&code)));
        }
    }
}
