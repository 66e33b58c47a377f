//! What a database says of the files that were applied to it.

use std::collections::HashMap;

use tokio_postgres::Client;

use super::error::Error;
use super::files::SqlFile;
use crate::postgres::query;
use crate::sql_text;

const SUPABASE: &str = "supabase_migrations.schema_migrations";
const OWN: &str = "provisioning.migrations";

/// A file that was applied, as the database has recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) version: String,
    pub(super) name: String,
    /// As they ran, where that is recorded.
    statements: Option<Vec<String>>,
}

/// The record of applied files that a database keeps, if it does.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The table that has it; empty where there is none.
    pub(super) name: &'static str,
    /// In the order of their versions.
    pub(super) entries: Vec<Entry>,
    /// Whether this program's base schema is there.
    pub(super) has_base_schema: bool,
}

impl Ledger {
    /// Reads it. Needs an open transaction.
    pub(super) async fn read(client: &Client) -> Result<Self, Error> {
        let doing = || query("read what was applied");
        let sql = include_str!("../../sql/audit/recorded.sql");
        let ledgers = client.query_typed(sql, &[]).await.map_err(doing())?;
        let mut ledger = Self::default();
        for row in &ledgers {
            let (name, has_statements): (&str, bool) =
                (row.get("ledger"), row.get("has_statements"));
            if name == OWN {
                ledger.has_base_schema = true;
                continue;
            }
            ledger.name = SUPABASE;
            let statements = if has_statements { "statements" } else { "null::text[]" };
            let sql = format!(
                "select m.version::text, coalesce(to_jsonb(m) ->> 'name', ''), {statements} \
                 from supabase_migrations.schema_migrations m order by m.version::text collate \"C\""
            );
            for row in client.query_typed(&sql, &[]).await.map_err(doing())? {
                let (version, name, statements) = (row.get(0), row.get(1), row.get(2));
                ledger.entries.push(Entry { version, name, statements });
            }
        }
        Ok(ledger)
    }

    /// The recorded files first, as they were recorded; then the others, as they come.
    pub(super) fn order(&self, files: &[SqlFile], order: &mut [usize]) {
        let places: HashMap<&str, usize> = self
            .entries
            .iter()
            .enumerate()
            .map(|(place, entry)| (entry.version.as_str(), place))
            .collect();
        let place = |index: &usize| {
            let version = files.get(*index).and_then(|file| file.version.as_deref());
            version.and_then(|version| places.get(version)).copied().unwrap_or(usize::MAX)
        };
        order.sort_by_key(place);
    }

    pub(super) fn entry(&self, file: &SqlFile) -> Option<&Entry> {
        self.entries.iter().find(|entry| Some(&entry.version) == file.version.as_ref())
    }
}

impl Entry {
    /// The first statement of a file that is not as it was when it was applied, by its line.
    pub(super) fn changed(&self, file: &SqlFile) -> Option<usize> {
        let recorded = self.statements.as_ref().filter(|statements| !statements.is_empty())?;
        let text = recorded.join(";\n");
        let was: Vec<Vec<String>> =
            sql_text::split(&text).iter().map(|it| words(it.text)).collect();
        let statements = file.statements();
        let now: Vec<Vec<String>> = statements.iter().map(|it| words(it.text)).collect();
        if was == now {
            return None;
        }
        let same = was.iter().zip(&now).take_while(|(was, now)| was == now).count();
        Some(statements.get(same).or(statements.last()).map_or(1, |statement| statement.line))
    }
}

fn words(sql: &str) -> Vec<String> {
    let words = sql_text::tokens(sql).filter(|token| !token.is_blank());
    words.map(|token| token.text.replace('\r', "")).collect()
}
