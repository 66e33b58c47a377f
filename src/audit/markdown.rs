//! A report as Markdown, for a comment on a pull request.

use std::fmt::Write as _;

use super::finding::{Finding, Severity};
use super::report::{Report, Status};
use crate::telemetry::Printable;

/// A comment may have 65,536 characters; findings beyond these are counted only.
const MOST: usize = 100;
/// The same for what was not checked, and for objects that are not as they should be.
const MOST_LINES: usize = 50;

/// The report: a count, one row for each finding, then what is folded away.
pub fn markdown(report: &Report) -> String {
    let mut text = format!("## Schema audit: {}\n", report.summary());
    if !report.findings.is_empty() {
        text.push_str("\n| | finding | object | place | what to do |\n|---|---|---|---|---|\n");
        report.findings.iter().take(MOST).for_each(|finding| text.push_str(&row(finding)));
        more(&mut text, report.findings.len(), MOST);
    }
    let open: Vec<String> =
        report.status.iter().filter(|it| it.status != "synced").map(status).collect();
    folded(
        &mut text,
        "not in sync",
        "| component | object | files | database | status |\n|---|---|---|---|---|\n",
        &open,
    );
    let unchecked: Vec<String> =
        report.unchecked.iter().map(|reason| format!("- {}\n", cell(reason))).collect();
    folded(&mut text, "not checked", "", &unchecked);
    text
}

fn row(finding: &Finding) -> String {
    let Finding { id, kind, severity, object, place, message, fix, .. } = finding;
    let mark = match severity {
        Severity::Error => "❌",
        Severity::Warning => "⚠️",
        Severity::Note => "ℹ️",
    };
    let place =
        place.as_ref().map(|at| code(&format!("{}:{}", at.file, at.line))).unwrap_or_default();
    format!(
        "| {mark} | {} <sub>{kind} {id}</sub> | {} | {place} | {} |\n",
        cell(message),
        code(object),
        statements(fix)
    )
}

/// SQL line by line, so that a comment ends where its line ends; words as they are.
fn statements(fix: &str) -> String {
    let is_sql = fix.lines().any(|line| line.starts_with("--") || line.ends_with(';'));
    if !is_sql {
        return cell(fix);
    }
    let lines = fix.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| code(line.trim_end())).collect::<Vec<_>>().join("<br>")
}

fn status(status: &Status) -> String {
    let Status { component, object, in_files, in_database, status } = status;
    let yes = |is: &bool| if *is { "yes" } else { "no" };
    format!(
        "| {component} | {} | {} | {} | {status} |\n",
        code(object),
        yes(in_files),
        yes(in_database)
    )
}

fn folded(text: &mut String, title: &str, head: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _infallible =
        write!(text, "\n<details><summary>{} {title}</summary>\n\n{head}", lines.len()).is_ok();
    lines.iter().take(MOST_LINES).for_each(|line| text.push_str(line));
    more(text, lines.len(), MOST_LINES);
    text.push_str("\n</details>\n");
}

fn more(text: &mut String, all: usize, shown: usize) {
    if let Some(left) = all.checked_sub(shown).filter(|left| *left > 0) {
        let _infallible = write!(text, "\n… and {left} more.\n").is_ok();
    }
}

/// Text of which nothing becomes markup, a link, a mention or HTML: a word that could is set as code.
fn cell(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown = String::with_capacity(line.len());
    let mut rest = line.as_str();
    while let Some((before, fence)) = next_fence(rest) {
        let after = rest.get(before.len() + fence.len()..).unwrap_or_default();
        let Some((inside, after)) = split_at_fence(after, fence) else { break };
        shown.push_str(&plain(before));
        shown.push_str(&code(inside.trim()));
        rest = after;
    }
    shown + &plain(rest)
}

/// What stands before the first backticks, and these.
fn next_fence(text: &str) -> Option<(&str, &str)> {
    let (before, rest) = text.split_at_checked(text.find('`')?)?;
    Some((before, rest.get(..rest.len() - rest.trim_start_matches('`').len())?))
}

/// At the next backticks that are as many.
fn split_at_fence<'a>(text: &'a str, fence: &str) -> Option<(&'a str, &'a str)> {
    let mut from = 0;
    loop {
        let (before, found) = next_fence(text.get(from..)?)?;
        let (start, end) = (from + before.len(), from + before.len() + found.len());
        if found == fence {
            return Some((text.get(..start)?, text.get(end..)?));
        }
        from = end;
    }
}

fn plain(text: &str) -> String {
    let words =
        text.split(' ').map(|word| if is_plain(word) { word.to_owned() } else { code(word) });
    words.collect::<Vec<_>>().join(" ")
}

/// Whether Markdown and GitHub take it for nothing but a word: underscores count within names only.
fn is_plain(word: &str) -> bool {
    let known = |c: char| c.is_alphanumeric() || "_.,;:'\"()/=+-…–—%?".contains(c);
    let names = word.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    word.chars().all(known)
        && !word.contains("//")
        && !word.to_lowercase().contains("www.")
        && names.into_iter().all(|name| !name.starts_with('_') && !name.ends_with('_'))
}

/// A name as code, whatever is in it.
fn code(text: &str) -> String {
    let text = Printable(text).to_string().replace('|', "\\|");
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    let space = if longest > 0 { " " } else { "" };
    format!("{fence}{space}{text}{space}{fence}")
}

#[cfg(test)]
mod tests {
    use super::super::finding::Place;
    use super::*;

    #[test]
    fn a_report_is_a_table_that_names_cannot_break() {
        let place = Place { file: "a.ts".to_owned(), line: 3 };
        let mut finding = Finding::new(
            "unknown_table",
            Severity::Error,
            "public.\"a|`<b\"",
            "No <b>.\nx".to_owned(),
        )
        .at(place);
        finding.fix = "Did you mean `c`?".to_owned();
        let id = finding.id.clone();
        let status = Status {
            component: "table",
            object: "public.c".to_owned(),
            in_files: true,
            in_database: false,
            status: "missing",
        };
        let synced = Status { status: "synced", in_database: true, ..status.clone() };
        let unchecked = vec!["b.ts: not read".to_owned()];
        let report = Report {
            findings: vec![finding],
            status: vec![synced, status],
            unchecked,
            ..Report::default()
        };
        let expected = format!(
            "## Schema audit: 1 error, 0 warnings, 0 notes\n\n\
             | | finding | object | place | what to do |\n|---|---|---|---|---|\n\
             | ❌ | No `<b>.` x <sub>unknown_table {id}</sub> | `` public.\"a\\|`<b\" `` | `a.ts:3` | Did you mean `c`? |\n\n\
             <details><summary>1 not in sync</summary>\n\n\
             | component | object | files | database | status |\n|---|---|---|---|---|\n\
             | table | `public.c` | yes | no | missing |\n\n</details>\n\n\
             <details><summary>1 not checked</summary>\n\n- b.ts: not read\n\n</details>\n"
        );
        assert_eq!(markdown(&report), expected);
    }

    #[test]
    fn a_comment_hides_no_statement_behind_it() {
        let fix = "-- why: a|b\nalter table a\n  add b int;\n\n-- drop table c;";
        let shown = "`-- why: a\\|b`<br>`alter table a`<br>`  add b int;`<br>`-- drop table c;`";
        assert_eq!(statements(fix), shown);
        assert_eq!(statements("Did you mean `a`?"), "Did you mean `a`?");
    }

    #[test]
    fn no_word_becomes_a_link_a_mention_or_html() {
        let cases = [
            ("[x](http://evil)", "`[x](http://evil)`"),
            ("ask @user, or #1", "ask `@user,` or `#1`"),
            ("see https://evil and www.evil.example", "see `https://evil` and `www.evil.example`"),
            ("<img src=x> a|b", "`<img` `src=x>` `a\\|b`"),
            ("**a** _b_ c_d ~~e~~", "`**a**` `_b_` c_d `~~e~~`"),
            ("a `b c` d", "a `b c` d"),
            ("a `<b>` ``c`d``", "a `<b>` `` c`d ``"),
            ("a ` <b> ``` @c", "a `` ` `` `<b>` ```` ``` ```` `@c`"),
            ("\\[a\\] &amp;", "`\\[a\\]` `&amp;`"),
        ];
        for (text, expected) in cases {
            assert_eq!(cell(text), expected, "{text}");
        }
    }

    #[test]
    fn a_clean_report_is_one_line_and_a_long_one_is_cut() {
        assert_eq!(
            markdown(&Report::default()),
            "## Schema audit: 0 errors, 0 warnings, 0 notes\n"
        );
        let finding = Finding::new("unknown_table", Severity::Error, "public.a", "No.".to_owned());
        let text = markdown(&Report { findings: vec![finding; 150], ..Report::default() });
        assert!(text.ends_with("\n… and 50 more.\n"), "{text}");
    }
}
