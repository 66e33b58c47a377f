//! A report of `agent-provisioner audit` for a terminal.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::table::{Table, clean, or_dash, pasteable};
use crate::audit::{Finding, Report, Severity, Status};

/// A summary, the order of the files, what is not in sync, the findings, and what was not checked.
pub(super) fn print(report: &Report, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", report.summary())?;
    if !report.order.is_empty() {
        writeln!(out, "\nOrder of the files:")?;
        for (index, file) in report.order.iter().enumerate() {
            writeln!(out, "{:>4}  {}", index + 1, clean(file))?;
        }
    }
    print_status(&report.status, out)?;
    for finding in &report.findings {
        writeln!(out)?;
        print_finding(finding, out)?;
    }
    if !report.unchecked.is_empty() {
        writeln!(out, "\nNot checked:")?;
    }
    report.unchecked.iter().try_for_each(|reason| writeln!(out, "  {}", clean(reason)))
}

/// One row for each component, then those objects that are not as they should be.
fn print_status(status: &[Status], out: &mut impl Write) -> io::Result<()> {
    if status.is_empty() {
        return Ok(());
    }
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for Status { component, status, .. } in status {
        let (all, synced) = counts.entry(component).or_default();
        *all += 1;
        *synced += usize::from(*status == "synced");
    }
    writeln!(out)?;
    let mut table = Table::list(&["COMPONENT", "OBJECTS", "SYNCED"]);
    for (component, (all, synced)) in counts {
        table.row([component.to_owned(), all.to_string(), synced.to_string()]);
    }
    table.print(out, 0)?;
    let mut open = status.iter().filter(|it| it.status != "synced").peekable();
    if open.peek().is_none() {
        return Ok(());
    }
    writeln!(out)?;
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let mut table = Table::list(&["COMPONENT", "OBJECT", "FILES", "DATABASE", "STATUS"]);
    for Status { component, object, in_files, in_database, status } in open {
        let (files, database) = (yes(*in_files), yes(*in_database));
        table.row([(*component).to_owned(), object.clone(), files, database, (*status).to_owned()]);
    }
    table.print(out, 0)
}

fn print_finding(finding: &Finding, out: &mut impl Write) -> io::Result<()> {
    let Finding { id, kind, severity, object, place, message, evidence, impact, fix } = finding;
    let mark = match severity {
        Severity::Error => "ERROR",
        Severity::Warning => "WARN ",
        Severity::Note => "NOTE ",
    };
    let place = or_dash(place.as_ref().map(|at| format!("{}:{}", at.file, at.line)));
    writeln!(out, "{mark}  {kind}  {}  {}  [{id}]", clean(object), clean(&place))?;
    for (name, text) in
        [("", message.as_str()), ("seen: ", evidence), ("impact: ", impact), ("fix: ", fix)]
    {
        if text.is_empty() {
            continue;
        }
        let shown = if name == "fix: " { pasteable(text) } else { text.to_owned() };
        let mut lines = shown.lines().map(clean);
        writeln!(out, "       {name}{}", lines.next().unwrap_or_default())?;
        lines.try_for_each(|line| writeln!(out, "       {:1$}{line}", "", name.len()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Place;

    #[test]
    fn each_finding_is_whole_and_acts_on_no_terminal() {
        let at = Place { file: "a.ts".to_owned(), line: 3 };
        let mut finding =
            Finding::new("unknown_table", Severity::Error, "public.a\u{1b}", "No.".to_owned())
                .at(at);
        (finding.evidence, finding.fix) =
            (".from('a')".to_owned(), "create table a ();\n-- b".to_owned());
        let id = finding.id.clone();
        let status = Status {
            component: "table",
            object: "public.b".to_owned(),
            in_files: true,
            in_database: false,
            status: "missing",
        };
        let report = Report {
            findings: vec![finding],
            status: vec![status],
            order: vec!["1.sql".to_owned()],
            unchecked: vec!["b.ts".to_owned()],
            ..Report::default()
        };
        let mut out = Vec::new();
        print(&report, &mut out).unwrap();
        let expected = format!(
            "1 error, 0 warnings, 0 notes\n\nOrder of the files:\n   1  1.sql\n\n\
             COMPONENT  OBJECTS  SYNCED\ntable      1        0\n\n\
             COMPONENT  OBJECT    FILES  DATABASE  STATUS\ntable      public.b  yes    no        missing\n\n\
             ERROR  unknown_table  public.a\\u{{1b}}  a.ts:3  [{id}]\n       No.\n       seen: .from('a')\n       \
             fix: create table a ();\n            -- b\n\nNot checked:\n  b.ts\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
