//! What a template must not contain, as far as that can be told from its text.

use super::directives::CONCURRENTLY;
use super::placeholders::{self, sample_prefix, unsample};
use super::refusal::Refusal;
use crate::agent::Prefix;
use crate::sql_text::{
    AGENTS, IndexStatement, Kind, Reader, Statement, Token, is_word, name, tokens,
};

/// The bytes of a name that the server keeps.
const NAME: usize = 63;
/// Looks through a filled file.
pub(crate) fn check(
    filled: &str,
    statements: &[Statement<'_>],
    concurrent: bool,
) -> Result<(), Refusal> {
    tokens(filled).try_for_each(|token| whole(&token))?;
    for statement in statements {
        let broken = breaks_transaction(statement)
            .or_else(|| outlasts_transaction(statement))
            .or_else(|| is_no_agents(statement))
            .or_else(|| misuses_concurrently(statement, concurrent));
        if let Some(reason) = broken {
            return Err((statement.line, reason));
        }
    }
    placeholders::check(filled)?;
    tokens(filled).try_for_each(|token| match long_name(&token) {
        Some(reason) => Err((token.line, reason)),
        None => Ok(()),
    })
}

/// The file with the foreign key runs last and not for every agent. What opens a table would be looked at too early.
pub(crate) fn check_foreign_key(statements: &[Statement<'_>]) -> Result<(), Refusal> {
    let has = |statement: &Statement<'_>, word| statement.tokens().any(|token| token.is(word));
    let fits = |statement: &&Statement<'_>| {
        statement.starts_with("alter table")
            && has(statement, "references")
            && !has(statement, "security")
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

/// A key to `agents` in a numbered file would be there with `reference = "check"`, too, and would be made twice by an
/// upgrade.
pub(crate) fn check_numbered(statements: &[Statement<'_>]) -> Result<(), Refusal> {
    for statement in statements {
        let mut rest = Reader::new(statement.text);
        while let Some(token) = rest.next() {
            if token.is("references") && refers_to_agents(rest.clone()) {
                let reason = format!(
                    "a foreign key to {AGENTS} belongs into foreign_key.sql, as a statement that adds nothing else: \
                     alter table public.{{prefix}}_x add constraint … foreign key (…) references {AGENTS} (id) …; \
                     (docs/security.md, Foreign keys)"
                );
                return Err((statement.line_of(&token), reason));
            }
        }
    }
    Ok(())
}

fn refers_to_agents(mut rest: Reader<'_>) -> bool {
    let parts = rest.qualified().unwrap_or_default();
    let parts: Vec<_> = parts.iter().map(String::as_str).collect();
    matches!(parts.as_slice(), ["agents"] | ["public", "agents"])
}

/// What is open would swallow all that follows. Outside of quotes the server knows no backslash.
fn whole(token: &Token<'_>) -> Result<(), Refusal> {
    let reason = match (token.kind, token.closed) {
        (Kind::Comment, false) => "the comment that begins here has no end".to_owned(),
        (_, false) => {
            let open: String = token.text.chars().take_while(|c| !c.is_whitespace()).collect();
            format!("the quotation that begins here with {} has no end", unsample(&open))
        }
        (Kind::Mark, true) if token.is_mark('\\') => {
            "commands of psql's, with a backslash, mean nothing here: delete the line".to_owned()
        }
        _ => return Ok(()),
    };
    Err((token.line, reason))
}

fn first_of<'a>(statement: &Statement<'_>, heads: &[&'a str]) -> Option<&'a str> {
    let first = statement.tokens().next()?;
    let may = |words: &&&str| words.split(' ').next().is_some_and(|word| first.is(word));
    heads.iter().filter(may).find(|words| statement.starts_with(words)).copied()
}

/// Transaction control would commit half an agent; COPY from the client kills the connection.
fn breaks_transaction(statement: &Statement<'_>) -> Option<String> {
    const CONTROL: [&str; 12] = [
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
        "set local transaction",
        "set session characteristics",
    ];
    if let Some(words) = first_of(statement, &CONTROL) {
        return Some(format!("{words} is refused: an agent is built in one transaction"));
    }
    let from_client = |token: Token<'_>| token.is("stdin") || token.is("stdout");
    (statement.starts_with("copy") && statement.tokens().any(from_client))
        .then(|| "COPY with the client is refused: use INSERT".to_owned())
}

/// What stays after the agent is built, in the session or in the server.
fn outlasts_transaction(statement: &Statement<'_>) -> Option<String> {
    const SESSION: [&str; 8] =
        ["prepare", "deallocate", "execute", "declare", "discard", "listen", "unlisten", "load"];
    const SERVER: [&str; 5] =
        ["alter role", "alter user", "alter group", "alter database", "alter system"];
    if statement.starts_with("alter default privileges") {
        let reason = "default privileges would hold for every table that the role makes from now on, of all agents: \
                      grant and revoke on the tables of this file instead";
        return Some(reason.to_owned());
    }
    let words = first_of(statement, &SESSION);
    let session = words.map(|words| {
        format!("{words} is refused: it acts on the session, which other agents use, too")
    });
    session.or_else(|| {
        let words = first_of(statement, &SERVER)?;
        Some(format!("{words} is refused: it changes more than an agent"))
    })
}

/// Semicolons in a body do not end a statement, which only the server can tell. That is no loss.
fn is_no_agents(statement: &Statement<'_>) -> Option<String> {
    const BODIES: [&str; 3] = ["function", "procedure", "rule"];
    let mut rest = Reader::new(statement.text);
    if !rest.words("create") {
        return None;
    }
    rest.words("or replace");
    let what = BODIES.iter().find(|what| rest.words(what))?;
    Some(format!("a {what} cannot be an agent's: one for all agents belongs into a migration"))
}

fn misuses_concurrently(statement: &Statement<'_>, concurrent: bool) -> Option<String> {
    if concurrent {
        return IndexStatement::read(statement.text).is_none().then(|| {
            format!(
                "after `{CONCURRENTLY}` every statement is \"create [unique] index concurrently if \
                 not exists NAME on …\" or \"drop index concurrently if exists NAME\", so that it can \
                 be repeated"
            )
        });
    }
    let heads = [
        "create index concurrently",
        "create unique index concurrently",
        "drop index concurrently",
    ];
    first_of(statement, &heads).map(|_| {
        format!(
            "CONCURRENTLY is refused in a transaction: put the statement into a file of its \
             own that begins with `{CONCURRENTLY}`"
        )
    })
}

/// The server would cut it off, for agents with long prefixes only, and without an error.
fn long_name(token: &Token<'_>) -> Option<String> {
    let prefix = sample_prefix();
    let is_long = |name: &&str| name.len() > NAME && name.contains(&prefix);
    let quoted = if token.kind == Kind::Quoted { name(token) } else { None };
    let found = match (&quoted, token.kind) {
        (Some(quoted), _) => Some(quoted.as_str()).filter(is_long),
        (None, Kind::Word | Kind::Quoted | Kind::Text) => {
            token.text.split(|c| !is_word(c)).find(is_long)
        }
        (None, _) => None,
    }?;
    let (over, longest) = (found.len() - NAME, Prefix::LONGEST);
    Some(format!(
        "{} is {over} bytes too long: names have at most {NAME}, and a prefix up to {longest}",
        unsample(found)
    ))
}
