//! What a template must not contain, as far as that can be told from its text.

use super::Prefix;
use super::statement::Statement;

/// Before the first statement of a file that builds or drops indexes without locking tables.
const CONCURRENTLY: &str = "-- provisioner: concurrently";

/// Before the name of a table that everybody may see.
const PUBLIC: &str = "-- provisioner: public ";

/// The bytes of a name that the server keeps.
const NAME: usize = 63;

/// What is wrong, on which line, and how to mend it.
pub(super) type Refusal = (usize, String);

/// Looks through a file's text.
pub(super) fn check(
    sql: &str,
    statements: &[Statement<'_>],
    concurrent: bool,
) -> Result<(), Refusal> {
    for statement in statements {
        let broken = breaks_transaction(statement)
            .or_else(|| has_body(statement))
            .or_else(|| misuses_concurrently(statement, concurrent));
        if let Some(reason) = broken {
            return Err((statement.line, reason));
        }
    }
    for (number, line) in (1..).zip(sql.lines()) {
        if let Some(reason) = unknown_placeholder(line).or_else(|| long_name(line)) {
            return Err((number, reason));
        }
    }
    Ok(())
}

/// What a file says of itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Directives {
    /// Its indexes are built and dropped concurrently.
    pub(super) concurrent: bool,
    /// The tables that may be public, with `{prefix}`, and on which line it says so.
    pub(super) public: Vec<(usize, String)>,
}

/// Reads what a file says of itself.
pub(super) fn directives(sql: &str, statements: &[Statement<'_>]) -> Result<Directives, Refusal> {
    let first = statements.first().map_or(usize::MAX, |statement| statement.line);
    let mut found = Directives::default();
    for (number, line) in (1..).zip(sql.lines()) {
        let line = line.trim();
        let table = line.strip_prefix(PUBLIC).map(str::trim);
        if line == CONCURRENTLY && number < first {
            found.concurrent = true;
        } else if let Some(table) = table.filter(|table| table.starts_with("{prefix}_")) {
            found.public.push((number, table.to_owned()));
        } else if line.starts_with("-- provisioner:") {
            let reason = format!(
                "the only such lines are `{CONCURRENTLY}`, before all statements, and \
                 `{PUBLIC}{{prefix}}_x`, with the bare name of a table"
            );
            return Err((number, reason));
        }
    }
    Ok(found)
}

/// The file with the foreign key runs last and not for every agent. What opens a table would be looked at too early.
pub(super) fn check_foreign_key(statements: &[Statement<'_>]) -> Result<(), Refusal> {
    let fits = |statement: &&Statement<'_>| {
        let text = statement.text.to_ascii_lowercase();
        statement.starts_with("alter table")
            && text.contains("references")
            && !text.contains("security")
    };
    match statements.iter().find(|statement| !fits(statement)) {
        Some(other) => {
            let reason = "only \"alter table … add constraint … foreign key … references …\" may stand here: \
                          put the rest into a numbered file";
            Err((other.line, reason.to_owned()))
        }
        None => Ok(()),
    }
}

/// Transaction control would commit half an agent; COPY from the client kills the connection.
fn breaks_transaction(statement: &Statement<'_>) -> Option<String> {
    const CONTROL: [&str; 10] = [
        "begin",
        "start transaction",
        "commit",
        "end",
        "rollback",
        "abort",
        "savepoint",
        "release",
        "prepare transaction",
        "set transaction",
    ];
    if let Some(words) = CONTROL.iter().find(|words| statement.starts_with(words)) {
        return Some(format!("{words} is refused: an agent is built in one transaction"));
    }
    let upper = statement.text.to_ascii_uppercase();
    let from_client = upper.split_whitespace().any(|word| word == "STDIN" || word == "STDOUT");
    (statement.starts_with("copy") && from_client)
        .then(|| "COPY with the client is refused: use INSERT".to_owned())
}

/// Semicolons in a body do not end a statement, which only the server can tell. That is no loss.
fn has_body(statement: &Statement<'_>) -> Option<String> {
    const BODIES: [&str; 3] = ["function", "procedure", "rule"];
    let with = |what: &&&str| {
        let heads = [format!("create {what}"), format!("create or replace {what}")];
        heads.iter().any(|head| statement.starts_with(head))
    };
    let what = BODIES.iter().find(with)?;
    Some(format!("a {what} cannot be an agent's: one for all agents belongs into a migration"))
}

fn misuses_concurrently(statement: &Statement<'_>, concurrent: bool) -> Option<String> {
    const CREATE: [&str; 2] = ["create index concurrently", "create unique index concurrently"];
    const DROP: &str = "drop index concurrently";
    if !concurrent {
        let used = CREATE.iter().chain([&DROP]).any(|words| statement.starts_with(words));
        return used.then(|| {
            format!(
                "CONCURRENTLY is refused in a transaction: put the statement into a file of its \
                 own that begins with `{CONCURRENTLY}`"
            )
        });
    }
    let creates = |words| statement.starts_with(&format!("{words} if not exists"));
    let drops =
        statement.starts_with(&format!("{DROP} if exists")) && !statement.text.contains(',');
    let fits = CREATE.iter().any(creates) || drops;
    (!fits).then(|| {
        format!(
            "after `{CONCURRENTLY}` every statement is \"create [unique] index concurrently if \
             not exists\" or \"drop index concurrently if exists\" of one index, so that it can \
             be repeated"
        )
    })
}

fn unknown_placeholder(line: &str) -> Option<String> {
    let unknown = line.split('{').skip(1).filter_map(|piece| Some(piece.split_once('}')?.0));
    let is_name = |name: &&str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            && *name != "prefix"
            && *name != "agent_id"
    };
    let name = unknown.into_iter().find(is_name)?;
    Some(format!("{{{name}}} is no placeholder: {{prefix}} and {{agent_id}} are"))
}

/// The server would cut it off, for agents with long prefixes only, and without an error.
fn long_name(line: &str) -> Option<String> {
    let prefix = "p".repeat(Prefix::LONGEST);
    let id = i64::MAX.to_string();
    let filled = line.replace("{prefix}", &prefix).replace("{agent_id}", &id);
    let in_name = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let words = filled.split(|c| !in_name(c));
    let name = words.into_iter().find(|name| name.len() > NAME && name.contains(&prefix))?;
    let (over, longest) = (name.len() - NAME, Prefix::LONGEST);
    let name = name.replace(&prefix, "{prefix}").replace(&id, "{agent_id}");
    Some(format!(
        "{name} is {over} bytes too long: names have at most {NAME}, and a prefix up to {longest}"
    ))
}
