//! Which jobs a page shows, as its address says it.

use std::time::Duration;

use super::form::{Fields, query};
use crate::operations::jobs::{Filter, Kind, Sort, State};

/// Jobs on a page.
pub(super) const PAGE: i64 = 50;

/// No job is older.
const LONGEST: Duration = Duration::from_hours(24 * 36_500);

/// The conditions of an address. What means nothing is named in `problem`.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) filter: Filter,
    /// As it was written.
    pub(super) since: String,
    pub(super) problem: Option<String>,
}

/// How long ago, as people write it.
pub(super) fn age(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|age| *age < LONGEST)
}

impl Asked {
    pub(super) fn read(fields: &Fields) -> Self {
        let mut problem = None;
        let mut bad =
            |what: &str, text: &str| problem = Some(format!("{what} {text:?} means nothing here"));
        let mut states = Vec::new();
        for text in fields.all("state") {
            match State::ALL.into_iter().find(|state| state.as_str() == text) {
                Some(state) => states.push(state),
                None => bad("state", text),
            }
        }
        let mut kinds = Vec::new();
        for text in fields.all("kind") {
            match Kind::parse(text) {
                Some(kind) => kinds.push(kind),
                None => bad("kind", text),
            }
        }
        let since = fields.get("since").unwrap_or_default();
        let since_age = age(since);
        if since_age.is_none() && !since.is_empty() {
            bad("since", since);
        }
        let mut ids = Vec::new();
        for text in fields.all("id") {
            match text.parse() {
                Ok(id) => ids.push(id),
                Err(_) => bad("id", text),
            }
        }
        let text = |name| fields.get(name).map(str::to_owned);
        let filter = Filter {
            ids,
            states,
            kinds,
            prefix: text("prefix"),
            sqlstate: text("sqlstate"),
            since: since_age,
            text: text("text"),
            before: fields.get("before").and_then(|id| id.parse().ok()),
            sort: Sort::Newest,
            limit: Some(PAGE),
        };
        Self { filter, since: since.to_owned(), problem }
    }

    /// Names and values that say the same again, without the page.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let filter = &self.filter;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let mut fields: Vec<(&str, String)> =
            filter.ids.iter().map(|id| ("id", id.to_string())).collect();
        fields.extend(filter.states.iter().map(|state| ("state", state.as_str().to_owned())));
        fields.extend(filter.kinds.iter().map(|kind| ("kind", kind.to_string())));
        fields.extend([
            ("prefix", text(&filter.prefix)),
            ("sqlstate", text(&filter.sqlstate)),
            ("since", self.since.clone()),
            ("text", text(&filter.text)),
        ]);
        fields.retain(|(_, value)| !value.is_empty());
        fields
    }

    /// The same as an address, from this job on backwards.
    pub(super) fn page_before(&self, id: i64) -> String {
        query(self.fields().into_iter().chain([("before", id.to_string())]))
    }
}
