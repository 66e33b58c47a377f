//! What cannot work, or is a trap, in the schema that the files make.

use std::collections::BTreeSet;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::error::Error;
use super::extension;
use super::finding::{Finding, Severity};
use super::makers::Makers;
use super::platform::ask;
use super::replay::{begin, rollback};
use super::schema_state::SchemaState;
use super::session::Session;
use crate::postgres::query;
use crate::schema::{Fact, Key, Kind};
use crate::sql_text::{self, Reader};

/// Finds it in a database that has this state. `root` may install what checks functions.
pub(super) async fn check(
    session: &Session,
    root: &Session,
    state: &SchemaState,
    makers: &Makers<'_>,
    unchecked: &mut Vec<String>,
) -> Result<Vec<Finding>, Error> {
    let client = &session.client;
    begin(client).await?;
    let mut findings = traps(client, state).await?;
    rollback(client).await?;
    findings.extend(policies(client, state).await?);
    let roles = roles(state);
    let mut broken = functions(session, root, state, unchecked).await?;
    broken.retain(|(_, function)| !roles.iter().any(|(_, other)| other == function));
    findings.extend(broken);
    findings.extend(roles);
    for (finding, fact) in &mut findings {
        if finding.place.is_none() {
            finding.place = state.facts.get(fact).and_then(|fact| makers.place(fact));
        }
    }
    Ok(findings.into_iter().map(|(finding, _)| finding).collect())
}

/// With the fact that it is about.
type Found = (Finding, Key);

async fn traps(client: &Client, state: &SchemaState) -> Result<Vec<Found>, Error> {
    let sql = include_str!("../../sql/audit/checks.sql");
    let mut findings = Vec::new();
    for row in ask(client, sql, "look for traps").await? {
        let (relation, part, detail): (String, String, String) =
            (row.get("relation"), row.get("part"), row.get("detail"));
        let (finding, key) = match row.get("what") {
            "unindexed_foreign_key" => {
                let object = format!("{part} on {relation}");
                let message = format!(
                    "no index of {relation} begins with {detail}, which refer to another table"
                );
                let key = (Kind::Constraint, relation.clone(), part);
                let finding = Finding {
                    impact: "A delete of a row there reads all of this table.",
                    fix: format!("create index concurrently on {relation} ({detail});"),
                    ..Finding::new("unindexed_foreign_key", Severity::Warning, &object, message)
                };
                (finding, key)
            }
            "table_without_row_security" => {
                let message =
                    format!("{relation} has no row security, and callers of the API may use it");
                let finding = Finding {
                    impact: "Whoever has the public key reads or writes all of its rows.",
                    fix: format!("alter table {relation} enable row level security;"),
                    ..Finding::new(
                        "table_without_row_security",
                        Severity::Error,
                        &relation,
                        message,
                    )
                };
                (finding, (Kind::Table, relation.clone(), String::new()))
            }
            _ => {
                let message = format!("{relation} has row security and no policy");
                let finding = Finding {
                    impact: "Callers of the API see none of its rows, and can write none.",
                    fix: format!(
                        "create a policy on {relation}, or revoke all on it from anon and authenticated"
                    ),
                    ..Finding::new(
                        "row_security_without_policy",
                        Severity::Warning,
                        &relation,
                        message,
                    )
                };
                (finding, (Kind::Table, relation.clone(), String::new()))
            }
        };
        if state.facts.contains_key(&key) {
            findings.push((Finding { evidence: detail, ..finding }, key));
        }
    }
    Ok(findings)
}

/// Policies whose expressions do not depend on anything.
async fn policies(client: &Client, state: &SchemaState) -> Result<Vec<Found>, Error> {
    let mut findings = Vec::new();
    for fact in state.facts.values().filter(|fact| fact.kind == Kind::Policy) {
        let Policy { command, roles, expressions } = Policy::of(fact);
        let mut values = Vec::new();
        for expression in expressions {
            values.push(outcome(client, expression, fact, state).await?);
        }
        let permissive = fact.definition.starts_with("as permissive");
        let open = ["public", "anon", "authenticated"].iter().any(|role| roles.contains(role));
        let Fact { relation, part, .. } = fact;
        let object = format!("{part} on {relation}");
        // A policy that shows everything to readers is how a table is made public.
        if permissive && open && command != "select" && values.contains(&Some(true)) {
            let message = format!("policy {object} lets its roles {} any row", verb(command));
            findings.push((Finding {
                evidence: fact.definition.clone(),
                impact: if command == "insert" {
                    "Every caller of the API adds rows."
                } else {
                    "Every caller of the API changes every row."
                },
                fix: format!("let it depend on the caller, as by: (select auth.uid()) = a column of {relation}"),
                ..Finding::new("policy_always_true", Severity::Warning, &object, message)
            }, fact.key()));
        }
        if permissive && !values.is_empty() && values.iter().all(|value| *value == Some(false)) {
            let message = format!("policy {object} is never true");
            findings.push((
                Finding {
                    evidence: fact.definition.clone(),
                    impact: "It lets nobody do anything.",
                    fix: format!("drop policy {part} on {relation};"),
                    ..Finding::new("policy_never_true", Severity::Warning, &object, message)
                },
                fact.key(),
            ));
        }
    }
    Ok(findings)
}

fn verb(command: &str) -> &str {
    if command == "all" { "read and write" } else { command }
}

/// The parts of a policy's definition.
struct Policy<'a> {
    command: &'a str,
    roles: Vec<&'a str>,
    expressions: Vec<&'a str>,
}

impl<'a> Policy<'a> {
    fn of(fact: &'a Fact) -> Self {
        let definition = fact.definition.as_str();
        let between = |from: &str, ends: &[&str]| {
            let (_, rest) = definition.split_once(from)?;
            let end = ends.iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len());
            rest.get(..end)
        };
        let command = between(" for ", &[" to "]).unwrap_or_default();
        let roles = between(" to ", &[" using (", " with check ("]).unwrap_or_default();
        let using = between(" using (", &[" with check ("]).and_then(|it| it.strip_suffix(')'));
        let check = definition.split_once(" with check (").map(|(_, rest)| rest);
        let check = check.and_then(|it| it.strip_suffix(')'));
        Self {
            command,
            roles: roles.split(", ").collect(),
            expressions: using.into_iter().chain(check).collect(),
        }
    }
}

/// What an expression of a policy is for each row, where that can be told.
async fn outcome(
    client: &Client,
    expression: &str,
    policy: &Fact,
    state: &SchemaState,
) -> Result<Option<bool>, Error> {
    let mut values = Vec::new();
    let alternatives = alternatives(expression);
    for alternative in &alternatives {
        let is_true = is_itself(alternative, policy, state);
        values.push(if is_true { Some(true) } else { value(client, alternative).await? });
    }
    if values.contains(&Some(true)) {
        return Ok(Some(true));
    }
    Ok(values.iter().all(|value| *value == Some(false)).then_some(false))
}

/// What `or` joins; one expression where it joins none.
fn alternatives(expression: &str) -> Vec<&str> {
    let inner = without_brackets(expression);
    let (mut parts, mut from, mut depth) = (Vec::new(), 0, 0_usize);
    for token in sql_text::tokens(inner) {
        if token.is_mark('(') {
            depth += 1;
        } else if token.is_mark(')') {
            depth = depth.saturating_sub(1);
        } else if depth == 0 && token.is("or") {
            parts.extend(inner.get(from..token.at));
            from = token.end();
        }
    }
    parts.extend(inner.get(from..));
    parts
}

/// Without the brackets around the whole.
fn without_brackets(expression: &str) -> &str {
    let mut inner = expression.trim();
    while let Some(rest) = inner.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        let mut depth = 0_usize;
        let is_whole = sql_text::tokens(rest).all(|token| {
            if token.is_mark('(') {
                depth += 1;
            } else if token.is_mark(')') {
                let Some(less) = depth.checked_sub(1) else { return false };
                depth = less;
            }
            true
        });
        if !is_whole {
            break;
        }
        inner = rest.trim();
    }
    inner
}

/// Whether it compares a column that is never null with itself.
fn is_itself(expression: &str, policy: &Fact, state: &SchemaState) -> bool {
    let Some((left, right)) = without_brackets(expression).split_once(" = ") else { return false };
    let column = (Kind::Column, policy.relation.clone(), left.to_owned());
    let never_null =
        || state.facts.get(&column).is_some_and(|column| column.definition.ends_with(" not null"));
    left == right && never_null()
}

/// What an expression is that names no column and calls nothing.
async fn value(client: &Client, expression: &str) -> Result<Option<bool>, Error> {
    let words = ["true", "false", "null", "and", "or", "not", "is", "text", "integer", "boolean"];
    let constant = sql_text::tokens(expression).filter(|token| !token.is_blank()).all(|token| {
        let is_mark = token.kind == sql_text::Kind::Mark
            && ["(", ")", "=", "<", ">", "!", ":"].contains(&token.text);
        let is_value = [sql_text::Kind::Number, sql_text::Kind::Text].contains(&token.kind);
        is_mark || is_value || words.iter().any(|word| token.is(word))
    });
    if !constant {
        // Nothing is equal to null.
        let never = expression.contains(" = NULL::") || expression.contains("(NULL::");
        return Ok(
            (never && expression.contains(" = ") && !expression.contains(" OR ")).then_some(false)
        );
    }
    let row = client.query_one(&format!("select coalesce(({expression}), false)"), &[]).await;
    match row {
        Ok(row) => Ok(row.try_get(0).ok()),
        Err(error) if error.as_db_error().is_some() => Ok(None),
        Err(error) => Err(query("try a policy")(error).into()),
    }
}

/// Functions whose bodies name what is not there.
async fn functions(
    session: &Session,
    root: &Session,
    state: &SchemaState,
    unchecked: &mut Vec<String>,
) -> Result<Vec<Found>, Error> {
    let client = &session.client;
    let mut findings = sql_functions(client, state).await?;
    let of_plpgsql = |fact: &&Fact| is_in(fact, "plpgsql");
    let own: BTreeSet<&str> = state
        .facts
        .values()
        .filter(|fact| fact.kind == Kind::Function)
        .filter(of_plpgsql)
        .map(|fact| fact.relation.as_str())
        .collect();
    if own.is_empty() {
        return Ok(findings);
    }
    if let Err(why) = extension::make(session, root, "plpgsql_check", Some("extensions")).await? {
        unchecked.push(format!(
            "what the bodies of {} PL/pgSQL functions name takes the extension plpgsql_check (on Debian the package \
             postgresql-NN-plpgsql-check): {why}",
            own.len()
        ));
        return Ok(findings);
    }
    // By the role of the files: the check evaluates what is constant, and so calls what they have made.
    let set = client.batch_execute("set search_path = public, extensions").await;
    set.map_err(query("check functions"))?;
    let sql = include_str!("../../sql/audit/plpgsql_check.sql");
    let rows = ask(client, sql, "check functions").await?;
    // Names are written in full.
    let set = client.batch_execute("set search_path = pg_catalog, pg_temp").await;
    set.map_err(query("check functions"))?;
    for row in rows {
        let oid: u32 = row.get("function");
        let sql = "select $1::oid::regprocedure::text";
        let named = client.query_typed(sql, &[(&oid, Type::OID)]).await;
        let named = named.map_err(query("name a function"))?;
        let Some(function) = named.first().map(|row| row.get::<_, String>(0)) else { continue };
        if own.contains(function.as_str()) {
            let message: String = row.get("message");
            let evidence = row.get::<_, Option<String>>("evidence").unwrap_or_default();
            findings.push(broken(&function, &message, evidence));
        }
    }
    Ok(findings)
}

fn broken(function: &str, message: &str, evidence: String) -> Found {
    let text = format!("function {function} fails when it is called: {message}");
    let finding = Finding {
        evidence,
        impact: "Whatever calls it fails: a policy, a trigger, an .rpc().",
        fix: "let its body name what is there, or make what it names".to_owned(),
        ..Finding::new("broken_function", Severity::Error, function, text)
    };
    (finding, (Kind::Function, function.to_owned(), String::new()))
}

fn is_in(function: &Fact, language: &str) -> bool {
    let named = function.definition.split_once(" LANGUAGE ").map(|(_, rest)| rest);
    named.is_some_and(|rest| rest.split_whitespace().next() == Some(language))
}

/// Made again in a transaction that is taken back: then the server looks at what their bodies name.
async fn sql_functions(client: &Client, state: &SchemaState) -> Result<Vec<Found>, Error> {
    let mut findings = Vec::new();
    let functions = state.facts.values().filter(|fact| fact.kind == Kind::Function);
    for fact in functions.filter(|fact| is_in(fact, "sql")) {
        let sql = format!(
            "begin; set local check_function_bodies = on; set local search_path = public, extensions; {}",
            fact.definition
        );
        if let Err(error) = client.batch_execute(&sql).await {
            let Some(said) = error.as_db_error() else {
                return Err(query("check functions")(error).into());
            };
            findings.push(broken(&fact.relation, said.message(), fact.definition.clone()));
        }
        rollback(client).await?;
    }
    Ok(findings)
}

/// A column `role` that a function of policies reads, and that no table it reads from has.
fn roles(state: &SchemaState) -> Vec<Found> {
    let mut findings = Vec::new();
    for fact in
        state.facts.values().filter(|fact| fact.kind == Kind::Function && is_in(fact, "plpgsql"))
    {
        let used = state
            .needs
            .iter()
            .filter(|(key, needed)| key.0 == Kind::Policy && needed.contains(&fact.key()));
        let policies: BTreeSet<String> =
            used.map(|(key, _)| format!("{} on {}", key.2, key.1)).collect();
        let tables = read_tables(&fact.definition, state);
        let column = |table: &String| {
            state.facts.contains_key(&(Kind::Column, table.clone(), "role".to_owned()))
        };
        if policies.is_empty()
            || tables.is_empty()
            || tables.iter().any(column)
            || !reads_role(&fact.definition)
        {
            continue;
        }
        let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(", ");
        let message = format!(
            "function {} reads a column role, and {} has none; policies call it: {}",
            fact.relation,
            list(&tables),
            list(&policies)
        );
        let table = tables.iter().next().cloned().unwrap_or_default();
        findings.push((
            Finding {
                evidence: fact.definition.clone(),
                impact: "Every statement to which these policies apply fails.",
                fix: format!("alter table {table} add column role text;"),
                ..Finding::new("missing_role_column", Severity::Error, &fact.relation, message)
            },
            fact.key(),
        ));
    }
    findings
}

/// The body of a function, as the server quotes it.
fn body(definition: &str) -> &str {
    definition.split_once("$function$").map_or("", |(_, body)| body)
}

fn read_tables(definition: &str, state: &SchemaState) -> BTreeSet<String> {
    let body = body(definition);
    let from = sql_text::tokens(body).filter(|token| token.is("from") || token.is("join"));
    let names = from.filter_map(|token| Reader::new(body.get(token.end()..)?).qualified());
    let qualified = names.map(|name| match name.as_slice() {
        [table] => format!("public.{table}"),
        parts => parts.join("."),
    });
    qualified.filter(|name| state.has(Kind::Table, name)).collect()
}

/// Whether the body has the word as a column's name.
fn reads_role(definition: &str) -> bool {
    let body = body(definition);
    let tokens: Vec<_> = sql_text::tokens(body).filter(|token| !token.is_blank()).collect();
    tokens.iter().enumerate().any(|(place, token)| {
        let next = tokens.get(place + 1);
        let called = next.is_some_and(|next| next.is_mark('('));
        let declared = next.is_some_and(|next| {
            ["text", "varchar", "public"].iter().any(|word| next.is(word)) || next.is_mark('.')
        });
        token.is("role") && !called && !declared
    })
}
