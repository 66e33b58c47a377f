//! Foreign keys to `agents`, which the worker's role may not make by itself.
//!
//! Whoever may refer to a table by a foreign key can run code as its owner. So a function of the owner's adds these keys,
//! see `provisioning.refer_to_agents`, and a statement that adds nothing else is sent as a call. What is not understood here
//! is sent as it stands: then the server refuses it, unless the role has REFERENCES on the table.

use std::iter;

use serde_json::{Map, Value, json};

use super::fact::Fact;
use crate::agent::AgentId;
use crate::sql_text::{self, Reader, in_quotes};

/// A key as `provisioning.key_entry` has it.
#[derive(Debug)]
pub(crate) struct AgentsKey(Map<String, Value>);

/// SQL with each statement that adds a foreign key to `agents` as a call. Lines and the number of statements stay.
pub(crate) fn rewrite(sql: &str) -> String {
    let mut rewritten = String::with_capacity(sql.len());
    let mut from = 0;
    for statement in sql_text::split(sql) {
        let Some(key) = AgentsKey::parse(statement.text) else { continue };
        rewritten.push_str(sql.get(from..statement.at).unwrap_or_default());
        rewritten.push_str(&key.make());
        rewritten.extend(iter::repeat_n('\n', sql_text::line_ends(statement.text)));
        from = statement.at + statement.text.len();
    }
    rewritten.push_str(sql.get(from..).unwrap_or_default());
    rewritten
}

const QUOTE: &str = "$key$";

impl AgentsKey {
    /// `None` for any other statement.
    pub(crate) fn parse(statement: &str) -> Option<Self> {
        let mut rest = Reader::new(statement);
        if !rest.words("alter table") {
            return None;
        }
        rest.words("only");
        let (schema, table) = relation(&mut rest)?;
        if !rest.words("add") {
            return None;
        }
        let name = if rest.words("constraint") { Some(rest.name()?) } else { None };
        if !rest.words("foreign key") {
            return None;
        }
        let columns = rest.list()?;
        if !rest.words("references") || relation(&mut rest)? != ("public".into(), "agents".into()) {
            return None;
        }
        let others = if rest.next_is('(') { rest.list()? } else { vec!["id".to_owned()] };
        let Value::Object(mut entry) = json!({
            "what": "key", "schema": schema, "name": table, "columns": columns,
            "refers_to_schema": "public", "refers_to": "agents", "refers_to_columns": others,
        }) else {
            return None;
        };
        entry.extend(name.map(|name| ("key".to_owned(), name.into())));
        while !rest.is_empty() {
            let (field, value) = clause(&mut rest)?;
            if entry.insert(field.to_owned(), value).is_some() {
                return None;
            }
            if field == "on_delete" && rest.next_is('(') {
                entry.insert("set_columns".to_owned(), rest.list()?.into());
            }
        }
        if entry.contains_key("deferred") {
            entry.entry("deferrable").or_insert(true.into());
        }
        // It could end the literal, and is nobody's name.
        let key = Self(entry);
        (key.literal().matches(QUOTE).count() == 2).then_some(key)
    }

    /// Of an agent, if it is one.
    pub(crate) fn of(object: &Fact) -> Option<Self> {
        Self::parse(&object.create())
    }

    /// Makes it as the statement would.
    fn make(&self) -> String {
        format!("select provisioning.make_key({})", self.literal())
    }

    /// Adds it without a check of the rows, to come after `select` or `perform`.
    pub(crate) fn add(&self) -> String {
        format!("provisioning.add_key({})", self.literal())
    }

    /// The table that gets it, qualified and quoted.
    pub(crate) fn table(&self) -> Option<String> {
        let text = |field: &str| self.0.get(field).and_then(Value::as_str).map(in_quotes);
        Some(format!("{}.{}", text("schema")?, text("name")?))
    }

    /// Fails where a row refers to another agent than this one, and leaves nothing. `None`: its rows cannot be looked at so.
    pub(crate) fn check_rows(&self, id: AgentId) -> Option<String> {
        let table = self.table()?;
        let columns = |field: &str| self.0.get(field).and_then(Value::as_array);
        let [column] = columns("columns")?.as_slice() else { return None };
        let column = in_quotes(column.as_str()?);
        (columns("refers_to_columns")?.as_slice() == ["id"]).then(|| {
            format!(
                "alter table {table} add constraint own_rows check ({column} = {id}); \
                 alter table {table} drop constraint own_rows"
            )
        })
    }

    fn literal(&self) -> String {
        // Whatever the server takes for an escape: text in dollars has none.
        format!("{QUOTE}{}{QUOTE}::jsonb", Value::Object(self.0.clone()))
    }
}

/// What may follow, as a field of the entry.
fn clause(rest: &mut Reader<'_>) -> Option<(&'static str, Value)> {
    let clauses: [(&str, &'static str, Value); 6] = [
        ("match full", "match", "f".into()),
        ("match simple", "match", "s".into()),
        ("deferrable", "deferrable", true.into()),
        ("initially deferred", "deferred", true.into()),
        ("not deferrable", "deferrable", false.into()),
        ("not valid", "valid", false.into()),
    ];
    if let Some((_, field, value)) = clauses.into_iter().find(|(words, ..)| rest.words(words)) {
        return Some((field, value));
    }
    let field = if rest.words("on delete") {
        "on_delete"
    } else if rest.words("on update") {
        "on_update"
    } else {
        return None;
    };
    let actions = [
        ("no action", "a"),
        ("restrict", "r"),
        ("cascade", "c"),
        ("set null", "n"),
        ("set default", "d"),
    ];
    let action = actions.into_iter().find(|(words, _)| rest.words(words));
    action.map(|(_, action)| (field, action.into()))
}

/// Schema and name; a name without a schema means schema public.
fn relation(rest: &mut Reader<'_>) -> Option<(String, String)> {
    let mut parts = rest.qualified()?;
    let name = parts.pop()?;
    let schema = parts.pop().unwrap_or_else(|| "public".to_owned());
    parts.is_empty().then_some((schema, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sql: &str) -> Option<Value> {
        AgentsKey::parse(sql).map(|key| Value::Object(key.0))
    }

    #[test]
    fn a_key_to_agents_is_read_as_the_server_reads_it() {
        let plain = json!({
            "what": "key", "schema": "public", "name": "a_t", "columns": ["agent_id"],
            "refers_to_schema": "public", "refers_to": "agents", "refers_to_columns": ["id"],
        });
        let with = |more: Value| {
            let mut entry = plain.clone();
            for (field, value) in more.as_object().unwrap() {
                entry[field] = value.clone();
            }
            entry
        };
        let key = "alter table public.a_t add foreign key (agent_id) references public.agents";
        let cases = [
            (key.to_owned(), plain.clone()),
            ("ALTER  TABLE only A_t -- x\n add FOREIGN key(Agent_id)references agents(\"id\")".to_owned(), plain.clone()),
            (
                "alter table \"S\".\"a\"\"b\" add constraint \"N 1\" foreign key (a, \"B\") references public.agents (id, x)"
                    .to_owned(),
                with(json!({"schema": "S", "name": "a\"b", "key": "N 1", "columns": ["a", "B"],
                            "refers_to_columns": ["id", "x"]})),
            ),
            (
                format!("{key} match full on update restrict on delete set null (agent_id) initially deferred not valid"),
                with(json!({"match": "f", "on_update": "r", "on_delete": "n", "set_columns": ["agent_id"],
                            "deferred": true, "deferrable": true, "valid": false})),
            ),
            (format!("{key} on delete cascade not deferrable"), with(json!({"on_delete": "c", "deferrable": false}))),
        ];
        for (sql, expected) in cases {
            assert_eq!(entry(&sql), Some(expected), "{sql}");
        }
    }

    #[test]
    fn what_is_more_or_something_else_is_left_as_it_is() {
        let key = "alter table public.a_t add foreign key (agent_id) references public.agents";
        for sql in [
            "",
            "alter table a_t add foreign key (agent_id) references public.users",
            "alter table a_t add foreign key (agent_id) references private.agents",
            "alter table a_t add column agent_id bigint references public.agents",
            "alter table if exists a_t add foreign key (a) references public.agents",
            "alter table a_t add foreign key (1) references public.agents",
            "alter table U&\"a\" add foreign key (a) references public.agents",
            "alter table \"$key$\" add foreign key (a) references public.agents",
            "alter table a$key$ add foreign key (a) references public.agents",
            "alter table a_t add foreign key (a) references \"Agents\"",
            "create table a_t (agent_id bigint references public.agents)",
            &format!("{key}, add check (true)"),
            &format!("{key} on delete cascade on delete cascade"),
            &format!("{key} not enforced"),
            &format!("{key} on delete"),
            &format!("{key} (id"),
            &format!("{key} 'x'"),
        ] {
            assert!(entry(sql).is_none(), "{sql}");
        }
    }

    #[test]
    fn the_rest_of_a_file_stays_where_it_is() {
        let sql = "-- é\nselect 1;\nalter table x\n  add foreign key (a)\n  references agents -- why\n; select 2";
        let rewritten = rewrite(sql);
        let (old, new) = (sql_text::split(sql), sql_text::split(&rewritten));
        assert_eq!([old.len(), new.len()], [3, 3]);
        assert_eq!([old[0], new[0]].map(|s| (s.text, s.line)), [("select 1", 2); 2]);
        assert!(new[1].text.starts_with("select provisioning.make_key($key${"), "{rewritten}");
        assert_eq!([old[1].line, old[2].line], [new[1].line, new[2].line]);
        assert_eq!(new[2].text, "select 2");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(sql in r#"(alter table |add foreign key |references agents|[a-c"$().,é' -]){0,12}"#) {
            rewrite(&sql);
        }
    }
}
