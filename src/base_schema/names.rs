//! Which objects of a database are ours.

use std::collections::BTreeSet;

use tokio_postgres::Transaction;

use super::error::Error;
use crate::postgres::query;
use crate::schema::{Fact, Kind};

/// Stands for the owner of the base schema.
pub(super) const OWNER: &str = "{owner}";

/// The grantees whose rights are compared.
const API: [&str; 4] = ["public", "anon", "authenticated", "service_role"];

/// The names of ours outside of schema `provisioning`. There others have objects, too.
#[derive(Debug)]
pub(super) struct Names {
    /// In schema public.
    pub(super) functions: Vec<String>,
    /// In schema public.
    pub(super) tables: Vec<String>,
    /// On auth.users.
    pub(super) triggers: Vec<String>,
    /// `public.table.column`, quoted.
    columns: BTreeSet<String>,
}

impl Names {
    pub(super) fn of(expected: &[Fact]) -> Self {
        let of_kind = |kind| expected.iter().filter(move |object| object.kind == kind);
        let public = |object: &Fact| Some(object.relation.strip_prefix("public.")?.to_owned());
        let function = |object: &Fact| Some(public(object)?.split('(').next()?.to_owned());
        let triggers = of_kind(Kind::Trigger).filter(|object| object.relation == "auth.users");
        let columns = of_kind(Kind::Column).filter(|object| object.relation.starts_with("public."));
        let functions: BTreeSet<_> = of_kind(Kind::Function).filter_map(function).collect();
        Self {
            functions: functions.into_iter().collect(),
            tables: of_kind(Kind::Table).filter_map(public).collect(),
            triggers: triggers.map(|object| object.part.clone()).collect(),
            columns: columns.map(|object| format!("{}.{}", object.relation, object.part)).collect(),
        }
    }

    /// Of a database that has nothing of others.
    pub(super) async fn of_fresh(tx: &Transaction<'_>) -> Result<Self, Error> {
        let sql = "select array(select proname::text from pg_proc where pronamespace = 'public'::regnamespace),
                       array(select relname::text from pg_class
                             where relnamespace = 'public'::regnamespace and relkind = 'r'),
                       array(select tgname::text from pg_trigger
                             where tgrelid = 'auth.users'::regclass and not tgisinternal)";
        let row = tx.query_typed(sql, &[]).await.map_err(query("look for names"))?;
        let list = |index: usize| row.first().map(|row| row.get(index)).unwrap_or_default();
        let columns = BTreeSet::new();
        Ok(Self { functions: list(0), tables: list(1), triggers: list(2), columns })
    }

    /// Whether a table of ours in schema public has the column from us.
    pub(super) fn has_column(&self, table: &str, column: &str) -> bool {
        self.columns.contains(&format!("{table}.{column}"))
    }
}

/// What a role of ours that is none of the API's gets: by deploy/roles.sql, or by a DBA.
pub(super) fn is_for_others(object: &Fact) -> bool {
    let roles = || {
        let (_, rest) = object.definition.split_once(" to ")?;
        let end = [" using (", " with check ("].iter().filter_map(|word| rest.find(word)).min();
        rest.get(..end.unwrap_or(rest.len()))
    };
    object.kind == Kind::Policy
        && roles().is_some_and(|roles| !roles.split(", ").any(|role| API.contains(&role)))
}
