//! A file of the findings that are known already. Only new ones are reported, and those that show something else by now.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::finding::Finding;
use crate::sql_text::checksum;

const VERSION: u32 = 2;

/// Why a baseline cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there, or not readable.
    #[error("cannot read the baseline {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} is no baseline: write one by --write-baseline", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// Another release wrote it.
    #[error(
        "the baseline {} has version {version}; this program knows {VERSION}: write it anew by --write-baseline",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// That it has.
        version: u32,
    },
    /// The file cannot be written.
    #[error("cannot write the baseline {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// The findings that are known already.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    version: u32,
    findings: BTreeSet<Known>,
}

/// What every version of the file has.
#[derive(Deserialize)]
struct Head {
    version: u32,
}

/// The id and the hash count. The rest is for people who read the file.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    id: String,
    /// Of the severity and the evidence, without lines.
    hash: String,
    kind: String,
    object: String,
}

impl Baseline {
    /// Of these findings.
    pub fn of(findings: &[Finding]) -> Self {
        let known = |finding: &Finding| Known {
            id: finding.id.clone(),
            hash: hash(finding),
            kind: finding.kind.to_owned(),
            object: finding.object.clone(),
        };
        Self { version: VERSION, findings: findings.iter().map(known).collect() }
    }

    /// As [`Self::write`] left it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Read { path: path.to_owned(), source };
        let text = fs::read_to_string(path).map_err(failed)?;
        let parse = |source| Error::Parse { path: path.to_owned(), source };
        let Head { version } = serde_json::from_str(&text).map_err(parse)?;
        if version != VERSION {
            return Err(Error::Version { path: path.to_owned(), version });
        }
        serde_json::from_str(&text).map_err(parse)
    }

    /// In an order that stays, one finding a line, so that a change is a small one.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let failed = |source| Error::Write { path: path.to_owned(), source };
        let lines: Result<Vec<String>, _> =
            self.findings.iter().map(serde_json::to_string).collect();
        let lines = lines.map_err(|source| failed(source.into()))?.join(",\n");
        let text = format!("{{\"version\":{VERSION},\"findings\":[\n{lines}\n]}}\n");
        fs::write(path, text).map_err(failed)
    }

    /// Takes the known ones out, and returns how many they are.
    pub fn apply(&self, findings: &mut Vec<Finding>) -> usize {
        let before = findings.len();
        findings.retain(|finding| !self.findings.iter().any(|known| known.is(finding)));
        before - findings.len()
    }

    /// How many are no longer found as they were: whoever writes the baseline anew gets rid of them.
    pub fn outdated(&self, findings: &[Finding]) -> usize {
        let found = |known: &&Known| findings.iter().any(|finding| known.is(finding));
        self.findings.len() - self.findings.iter().filter(found).count()
    }
}

impl Known {
    fn is(&self, finding: &Finding) -> bool {
        self.id == finding.id && self.hash == hash(finding)
    }
}

/// Stays while lines move. Ten hexadecimal digits.
fn hash(finding: &Finding) -> String {
    let evidence: Vec<&str> = finding.evidence.lines().map(without_place).collect();
    let shown = format!("{:?}\n{}", finding.severity, evidence.join("\n"));
    checksum(&shown).chars().take(10).collect()
}

/// A line of evidence without `(lines 3, 5)` at its end, and `file:3` without the number.
fn without_place(line: &str) -> &str {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((call, lines)) = line.rsplit_once(" (lines ")
        && lines.strip_suffix(')').is_some_and(|lines| lines.split(", ").all(is_number))
    {
        return call;
    }
    let head = line.split(" (").next().unwrap_or(line);
    head.rsplit_once(':').filter(|(_, number)| is_number(number)).map_or(line, |(file, _)| file)
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::super::finding::Severity;
    use super::*;

    fn finding(object: &str) -> Finding {
        Finding::new("unknown_table", Severity::Error, object, String::new())
    }

    #[test]
    fn what_is_known_is_taken_out_and_what_is_new_stays() {
        let path = std::env::temp_dir().join(format!("baseline-{}.json", process::id()));
        let old = [finding("public.\"a\"\"b\""), finding("public.gone")];
        Baseline::of(&old).write(&path).unwrap();
        let baseline = Baseline::read(&path);
        fs::remove_file(&path).unwrap();
        let mut findings = vec![finding("public.new"), finding("public.\"a\"\"b\"")];
        let baseline = baseline.unwrap();
        assert_eq!(baseline.outdated(&findings), 1);
        assert_eq!(baseline.apply(&mut findings), 1);
        assert_eq!(findings, [finding("public.new")]);
    }

    #[test]
    fn a_finding_that_shows_something_else_is_new_wherever_its_lines_are() {
        let with =
            |evidence: &str| Finding { evidence: evidence.to_owned(), ..finding("public.a") };
        let known =
            Baseline::of(&[with("a.sql:3 (5 of 6 as in x)\nusing (a)\n.from('a') (lines 3, 5)")]);
        for (evidence, is_known) in [
            ("a.sql:4 (5 of 6 as in x)\nusing (a)\n.from('a') (lines 4, 6, 7)", true),
            ("a.sql:3 (5 of 6 as in x)\nusing (true)\n.from('a') (lines 3, 5)", false),
        ] {
            let mut findings = vec![with(evidence)];
            assert_eq!(known.apply(&mut findings) == 1, is_known, "{evidence}");
        }
        let mut worse = vec![with("a.sql:3 (5 of 6 as in x)\nusing (a)\n.from('a')")];
        worse[0].severity = Severity::Warning;
        assert_eq!(known.apply(&mut worse), 0);
        assert_eq!(known.outdated(&worse), 1);
    }

    #[test]
    fn another_file_is_refused() {
        let path = std::env::temp_dir().join(format!("no-baseline-{}.json", process::id()));
        for (text, is_version) in
            [("{}", false), ("[]", false), ("{\"version\":1,\"findings\":[{\"id\":\"a\"}]}", true)]
        {
            fs::write(&path, text).unwrap();
            let error = Baseline::read(&path).unwrap_err();
            assert_eq!(matches!(error, Error::Version { .. }), is_version, "{text}");
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(Baseline::read(&path), Err(Error::Read { .. })));
    }
}
