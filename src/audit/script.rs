//! A file made ready for the server: what psql and the platform's own role would do is taken out and done apart.

use std::ops::Range;

use crate::sql_text::{self, Reader, Statement};

/// A file as it is sent. Lines and places stay as they are in the file.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) sql: String,
    /// Extensions that it makes, by name, with the schema that it names.
    pub(super) extensions: Vec<Extension>,
    /// Schemas that it makes for these: each with its statement's place.
    pub(super) schemas: Vec<(String, Range<usize>)>,
    /// Lines of psql's own commands.
    pub(super) psql: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extension {
    pub(super) name: String,
    pub(super) schema: Option<String>,
    pub(super) line: usize,
}

impl Script {
    pub(super) fn of(text: &str) -> Self {
        let text = without_rows(text);
        let (mut sql, psql) = without_commands(&text);
        let mut extensions = Vec::new();
        let mut taken = Vec::new();
        for statement in statements(&sql) {
            if let Some(extension) = extension(&statement) {
                extensions.push(extension);
                taken.push(statement.at..statement.at + statement.text.len());
            }
        }
        for range in taken {
            let blank = blank(sql.get(range.clone()).unwrap_or_default());
            sql.replace_range(range, &blank);
        }
        for range in of_platform_role(&sql) {
            let blank = blank(sql.get(range.clone()).unwrap_or_default());
            sql.replace_range(range, &blank);
        }
        let wanted = |name: &String| extensions.iter().any(|it| it.schema.as_ref() == Some(name));
        let all = statements(&sql);
        let mut schemas: Vec<_> =
            all.iter().filter_map(schema).filter(|it| wanted(&it.0)).collect();
        // Made again, it is there already.
        schemas.sort_by_key(|(name, place)| (name.clone(), place.start));
        schemas.dedup_by(|later, first| later.0 == first.0);
        Self { sql, extensions, schemas, psql }
    }

    /// Puts blanks in the place of what stands there.
    pub(super) fn take_out(&mut self, place: Range<usize>) {
        let blank = blank(self.sql.get(place.clone()).unwrap_or_default());
        self.sql.replace_range(place, &blank);
    }

    /// Whether it uses what an extension brings: a name of its schema, such as `cron.` of `pg_cron`, or one that begins with
    /// its own.
    pub(super) fn uses(&self, extension: &str) -> bool {
        let bare = extension.trim_start_matches("pg_").trim_start_matches("supabase_");
        let tokens = sql_text::tokens(&self.sql).filter(|token| !token.is_blank());
        let lower: String = tokens.map(|token| token.text.to_ascii_lowercase() + " ").collect();
        let lower = lower.replace(" . ", ".");
        lower.match_indices(bare).any(|(at, _)| {
            let before = lower.get(..at).unwrap_or_default();
            let after = lower.get(at + bare.len()..).unwrap_or_default();
            let whole = before.strip_suffix("pg_").unwrap_or(before);
            let is_head = !whole.ends_with(sql_text::is_word);
            let is_type = extension == "vector" && after.starts_with(' ');
            is_head && (after.starts_with(['.', '_']) || is_type || whole.len() < before.len())
        })
    }

    /// The same without the statements that begin and end transactions.
    pub(super) fn within_transaction(&self) -> String {
        let mut sql = self.sql.clone();
        for statement in statements(&self.sql).iter().filter(|it| is_transaction_control(it)) {
            let range = statement.at..statement.at + statement.text.len();
            sql.replace_range(range, &blank(statement.text));
        }
        sql
    }
}

/// Splits SQL as [`sql_text::split`] does, and keeps the bodies of functions (`begin atomic … end`) whole.
pub(super) fn statements(sql: &str) -> Vec<Statement<'_>> {
    let mut statements: Vec<Statement<'_>> = Vec::new();
    let mut open = false;
    for statement in sql_text::split(sql) {
        let end = statement.at + statement.text.len();
        match statements.last_mut().filter(|_| open) {
            Some(last) => last.text = sql.get(last.at..end).unwrap_or(last.text),
            None => statements.push(statement),
        }
        open = if open { !statement.starts_with("end") } else { begins_body(&statement) };
    }
    statements
}

fn begins_body(statement: &Statement<'_>) -> bool {
    let mut rest = Reader::new(statement.text);
    if !rest.words("create") {
        return false;
    }
    let mut before = rest.clone();
    rest.skip(1).any(|token| before.next().is_some_and(|it| it.is("begin")) && token.is("atomic"))
}

/// The same length in bytes, and the same lines.
fn blank(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte == b'\n' || byte == b'\r' { char::from(byte) } else { ' ' })
        .collect()
}

fn is_transaction_control(statement: &Statement<'_>) -> bool {
    ["begin", "start transaction", "commit", "end", "rollback", "abort"]
        .iter()
        .any(|words| statement.starts_with(words))
}

/// Without the rows of a dump: they are no part of a schema, and psql alone can send them.
fn without_rows(text: &str) -> String {
    let mut sql = String::with_capacity(text.len());
    let mut within = false;
    for line in text.split_inclusive('\n') {
        let lower = line.trim_end().to_ascii_lowercase();
        let begins = lower.starts_with("copy ") && lower.ends_with(" from stdin;");
        if within || begins {
            sql.push_str(&blank(line));
        } else {
            sql.push_str(line);
        }
        within = (within || begins) && lower != "\\.";
    }
    sql
}

/// These send what stands before them, as a semicolon does.
const SENDING: [&str; 8] = ["g", "gx", "gset", "gexec", "gdesc", "crosstabview", "watch", "bind"];

/// Without what begins with a backslash outside of strings and comments, up to the end of its line. Commands that send the
/// statement before them end it.
fn without_commands(text: &str) -> (String, Vec<usize>) {
    let mut sql = text.to_owned();
    let mut lines = Vec::new();
    let mut done = 0;
    for command in sql_text::tokens(text).filter(|token| token.is_mark('\\')) {
        if command.at < done {
            continue;
        }
        let rest = text.get(command.at..).unwrap_or_default();
        let end =
            if rest.starts_with("\\;") { 1 } else { rest.find(['\n', '\r']).unwrap_or(rest.len()) };
        let name = rest.get(1..end).unwrap_or_default();
        let name = name.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        let mut left = blank(rest.get(..end).unwrap_or_default());
        if SENDING.contains(&name) {
            left.replace_range(..1, ";");
        }
        if end > 1 {
            lines.push(command.line);
        }
        done = command.at + end;
        sql.replace_range(command.at..done, &left);
    }
    (sql, lines)
}

/// What gives something to `postgres`, as a dump of a project of Supabase does: that is the role that runs the files, under
/// whatever name. A clause `for role postgres`, or a statement that ends in `owner to postgres`.
fn of_platform_role(sql: &str) -> Vec<Range<usize>> {
    const ROLE: &str = "postgres";
    let mut places = Vec::new();
    for statement in statements(sql).iter().filter(|it| it.starts_with("alter")) {
        let tokens: Vec<_> = statement.tokens().filter(|token| !token.is_blank()).collect();
        let is_role = |token: &sql_text::Token<'_>| sql_text::name(token).as_deref() == Some(ROLE);
        if let [.., owner, to, role] = tokens.as_slice()
            && owner.is("owner")
            && to.is("to")
            && is_role(role)
        {
            places.push(statement.at..statement.at + statement.text.len());
        } else if statement.starts_with("alter default privileges")
            && let Some([first, _, role]) = tokens.windows(3).find_map(|it| match it {
                [a, b, c] if a.is("for") && (b.is("role") || b.is("user")) && is_role(c) => {
                    Some([a, b, c])
                }
                _ => None,
            })
        {
            places.push(statement.at + first.at..statement.at + role.end());
        }
    }
    places
}

fn extension(statement: &Statement<'_>) -> Option<Extension> {
    let mut rest = Reader::new(statement.text);
    if !rest.words("create extension") {
        return None;
    }
    rest.words("if not exists");
    let name = rest.name()?;
    rest.words("with");
    let schema = if rest.words("schema") { rest.name() } else { None };
    Some(Extension { name, schema, line: statement.line })
}

/// A statement that makes a schema and nothing in it.
fn schema(statement: &Statement<'_>) -> Option<(String, Range<usize>)> {
    let mut rest = Reader::new(statement.text);
    rest.words("create schema").then_some(())?;
    rest.words("if not exists");
    let name = rest.name()?;
    let place = statement.at..statement.at + statement.text.len();
    rest.is_empty().then_some((name, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_and_commands_are_taken_out_and_places_stay() {
        let text = "\\set x 1\nselect 1;\ncreate extension if not exists \"uuid-ossp\"\n  with schema extensions;\nselect '\\a';";
        let script = Script::of(text);
        assert_eq!(script.sql.len(), text.len());
        assert_eq!(script.sql.find("select '"), text.find("select '"));
        assert!(!script.sql.contains("extension") && !script.sql.contains("\\set"));
        let extension = Extension {
            name: "uuid-ossp".to_owned(),
            schema: Some("extensions".to_owned()),
            line: 3,
        };
        assert_eq!((script.extensions, script.psql), (vec![extension], vec![1]));
    }

    #[test]
    fn a_command_at_the_end_of_a_line_ends_its_statement_if_it_sends_it() {
        let cases = [
            ("select 1 as a \\gset\nselect 2", vec!["select 1 as a", "select 2"]),
            (
                "select 'create table t()'\n\\gexec\nselect 2;",
                vec!["select 'create table t()'", "select 2"],
            ),
            ("select 1 \\g (format=csv) 'file\nselect 2", vec!["select 1", "select 2"]),
            ("select 1; \\echo it's done\nselect 2", vec!["select 1", "select 2"]),
            ("select 1\\; select 2", vec!["select 1", "select 2"]),
        ];
        for (text, expected) in cases {
            let script = Script::of(text);
            let found: Vec<&str> =
                statements(&script.sql).iter().map(|it| it.text.trim()).collect();
            assert_eq!((found, script.sql.len()), (expected, text.len()), "{text}");
        }
    }

    #[test]
    fn the_body_of_a_function_stays_whole() {
        let sql = "select 1;\ncreate function f() returns int begin atomic; select 1; select case when true then 1 end; end;\nselect 2";
        let texts: Vec<&str> = statements(sql).iter().map(|it| it.text).collect();
        assert_eq!(texts.len(), 3, "{texts:?}");
        assert!(texts[1].starts_with("create function") && texts[1].ends_with("; end"));
        assert_eq!(texts[2], "select 2");
    }

    #[test]
    fn what_is_given_to_the_role_of_the_platform_is_taken_out() {
        let text = "alter table a owner to \"postgres\"; alter table b owner to other;\n\
                    alter default privileges for role postgres in schema c grant select on tables to d;";
        let script = Script::of(text);
        let texts: Vec<_> = statements(&script.sql).iter().map(|it| it.text.len()).collect();
        assert_eq!(script.sql.len(), text.len());
        assert_eq!(texts.len(), 2, "{}", script.sql);
        assert!(!script.sql.contains("postgres") && script.sql.contains("privileges  "));
    }

    #[test]
    fn rows_of_a_dump_are_taken_out() {
        let text = "create table a (b int);\nCOPY a (b) FROM stdin;\n1\n'\n\\.\nselect 1;\n";
        let script = Script::of(text);
        assert_eq!(
            (script.sql.len(), script.sql.find("select")),
            (text.len(), text.find("select"))
        );
        assert!(!script.sql.contains(['1', '\'']) || script.sql.trim_end().ends_with("select 1;"));
        assert!(!script.sql.contains("COPY") && script.psql.is_empty());
    }

    #[test]
    fn a_transaction_is_opened_and_ended_by_somebody_else() {
        let script = Script::of("begin;\ncreate table a ();\ncommit;");
        assert_eq!(script.within_transaction().trim_matches([' ', '\n', ';']), "create table a ()");
    }
}
