//! Text that acts on nothing that shows it: no terminal, and no log of a build, which obeys lines such as `::error::x`.

use super::report::Report;
use crate::sql_text::pasteable;
use crate::telemetry::Printable;

/// Makes every text of the report one that acts on nothing.
pub(super) fn neutralise(report: &mut Report) {
    for finding in &mut report.findings {
        for text in [&mut finding.message, &mut finding.evidence] {
            *text = words(text);
        }
        finding.fix = sql(&finding.fix);
        let file = finding.place.as_mut().map(|place| &mut place.file);
        for name in [&mut finding.object].into_iter().chain(file) {
            *name = line(name);
        }
    }
    let objects = report.status.iter_mut().map(|row| &mut row.object);
    for name in objects.chain(&mut report.order).chain(&mut report.unchecked) {
        *name = line(name);
    }
}

/// A name or a sentence as one line.
fn line(text: &str) -> String {
    by_line(&Printable(text).to_string(), ": :")
}

/// Text of several lines, without what acts on a terminal.
fn words(text: &str) -> String {
    let shown = text.replace('\t', " ");
    let shown = shown.lines().map(|line| Printable(line).to_string());
    by_line(&shown.collect::<Vec<_>>().join("\n"), ": :")
}

/// Statements that still mean the same when they are pasted.
fn sql(text: &str) -> String {
    by_line(&pasteable(text), "/**/::")
}

/// GitHub obeys what begins a line with `::`, blanks aside; Azure and older runners what has `##[` anywhere.
fn by_line(text: &str, colons: &str) -> String {
    let lines = text.split('\n').map(|line| {
        let bare = line.trim_start();
        let line = bare.strip_prefix("::").map_or_else(
            || line.to_owned(),
            |rest| {
                format!("{}{colons}{rest}", line.get(..line.len() - bare.len()).unwrap_or_default())
            },
        );
        line.replace("##[", "# #[").replace("##vso[", "# #vso[")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_act_on_nothing() {
        assert_eq!(
            words("a\n  ::error::b\n\u{1b}[31m\r\tx##[error]"),
            "a\n  : :error::b\n\\u{1b}[31m\\r x# #[error]"
        );
        assert_eq!(line("::set-output name=a::b\nc"), ": :set-output name=a::b\\nc");
        assert_eq!(sql("select a\n::text, '\u{1b}'"), "select a\n/**/::text, U&'\\+00001b'");
    }
}
