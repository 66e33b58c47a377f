//! As much of Markdown as the documents use.

use std::collections::BTreeSet;

/// The lines, each with whether it is code: indented by four or more, after an empty line or code.
fn lines(text: &str) -> Vec<(bool, &str)> {
    let (mut code, mut empty) = (false, true);
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim().is_empty() {
            empty = true;
            continue;
        }
        code = line.starts_with("    ") && (code || empty);
        empty = false;
        lines.push((code, line));
    }
    lines
}

/// The lines of code blocks, without their indentation.
pub fn code(text: &str) -> Vec<String> {
    let lines = lines(text).into_iter().filter(|(code, _)| *code);
    lines.map(|(_, line)| line.trim().to_owned()).collect()
}

/// What is no code block, as one line.
pub fn prose(text: &str) -> String {
    let lines: Vec<_> = lines(text).into_iter().filter(|(code, _)| !code).collect();
    lines.into_iter().map(|(_, line)| line.trim()).collect::<Vec<_>>().join(" ")
}

/// What stands between backticks in prose.
pub fn spans(text: &str) -> Vec<String> {
    prose(text).split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The targets of links and pictures.
pub fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

/// The names by which a link can lead to a heading, as GitHub makes them.
pub fn anchors(text: &str) -> BTreeSet<String> {
    let headings = lines(text).into_iter().filter(|(code, line)| !code && line.starts_with('#'));
    let slug = |(_, line): (bool, &str)| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(slug).collect()
}

/// The rows of the tables under a heading, each as its cells.
pub fn table(text: &str, heading: &str) -> Vec<Vec<String>> {
    let after = text.split(&format!("\n{heading}\n")).nth(1).unwrap_or_default();
    let section = after.lines().take_while(|line| !line.starts_with('#'));
    let rows = section.filter(|line| line.starts_with('|'));
    let cells =
        |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    rows.skip(2).map(cells).collect()
}
