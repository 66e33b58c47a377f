//! What is a secret by a name in the same clause, on either side of it: `token in ('x')`, `'x' as api_key`,
//! `case token when 'x' then …`, `pgp_sym_encrypt(a, 'x')`.

use std::ops::Range;

use super::names::names_secret;
use super::quoted::content;
use crate::sql_text::{Kind, Token, tokens};

/// Behind these words stands the name of something that has no value.
const NAMING: [&str; 20] = [
    "table",
    "on",
    "from",
    "join",
    "references",
    "into",
    "update",
    "view",
    "index",
    "policy",
    "trigger",
    "constraint",
    "function",
    "procedure",
    "sequence",
    "type",
    "schema",
    "publication",
    "extension",
    "domain",
];
/// May stand between such a word and the name.
const BETWEEN: [&str; 5] = ["if", "not", "exists", "only", "concurrently"];
/// Functions that take a key or a password.
const TAKE_KEYS: [&str; 18] = [
    "pgp_sym_encrypt",
    "pgp_sym_encrypt_bytea",
    "pgp_sym_decrypt",
    "pgp_sym_decrypt_bytea",
    "pgp_pub_decrypt",
    "hmac",
    "crypt",
    "encrypt",
    "encrypt_iv",
    "decrypt",
    "decrypt_iv",
    "sign",
    "verify",
    "create_secret",
    "update_secret",
    "dblink",
    "dblink_connect",
    "dblink_exec",
];
/// Between the brackets behind these, a comma does not begin something else.
const SPREADING: [&str; 12] = [
    "in",
    "any",
    "all",
    "some",
    "array",
    "coalesce",
    "nullif",
    "concat",
    "greatest",
    "least",
    "decode",
    "convert_to",
];
/// Behind these words something else begins.
const ENDS: [&str; 9] =
    ["and", "or", "from", "where", "join", "select", "returning", "set", "execute"];

/// Literals of one clause, and whether a name of a secret stands in it.
#[derive(Default)]
struct Clause {
    literals: Vec<Range<usize>>,
    is_secret: bool,
}

/// What stands between two brackets, or at the top.
#[derive(Default)]
struct Group {
    clause: Clause,
    /// Literals of the clauses before it. A name outside of the brackets counts for them, too.
    before: Vec<Range<usize>>,
    /// Whether there is more than one clause.
    is_list: bool,
    spreads: bool,
}

impl Group {
    /// Ends the clause, and returns its literals if they are secret.
    fn end_clause(&mut self) -> Vec<Range<usize>> {
        let Clause { literals, is_secret } = std::mem::take(&mut self.clause);
        self.is_list = true;
        if is_secret {
            return literals;
        }
        self.before.extend(literals);
        Vec::new()
    }
}

/// The secrets in SQL, which need not be whole.
pub(super) fn secrets(sql: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let mut groups = vec![Group::default()];
    let (mut names, mut last) = (false, String::new());
    let mut all = tokens(sql).filter(|token| !token.is_blank()).peekable();
    while let Some(token) = all.next() {
        let next_is = |mark, next: Option<&Token<'_>>| next.is_some_and(|it| it.is_mark(mark));
        let next = all.peek();
        let depth = groups.len();
        let Some(group) = groups.last_mut() else { break };
        let was_naming = names;
        names = names && (token.is_mark('.') || next_is('.', next));
        match token.kind {
            Kind::Word | Kind::Quoted => {
                let is = |list: &[&str]| list.iter().any(|word| token.is(word));
                let is_comparison = last == "distinct" && token.is("from");
                if is(&ENDS) && !is_comparison {
                    places.extend(group.end_clause());
                }
                if is(&NAMING) && !is_comparison {
                    names = true;
                } else if was_naming {
                    names |= is(&BETWEEN);
                } else if names_secret(token.text) && !(token.is("auth") && next_is('.', next))
                    || is(&TAKE_KEYS) && next_is('(', next)
                {
                    group.clause.is_secret = true;
                }
                last = token.text.to_ascii_lowercase();
            }
            Kind::Text => literal(&token, group),
            Kind::Mark if token.is_mark('(') || token.is_mark('[') => {
                let spreads = token.is_mark('[') || SPREADING.contains(&last.as_str());
                groups.push(Group { spreads, ..Group::default() });
                last.clear();
            }
            Kind::Mark if (token.is_mark(')') || token.is_mark(']')) && depth > 1 => {
                let Some(mut inner) = groups.pop() else { break };
                let carries = !inner.is_list && inner.clause.is_secret;
                places.extend(inner.end_clause());
                if let Some(outer) = groups.last_mut() {
                    outer.clause.is_secret |= carries;
                    outer.clause.literals.append(&mut inner.before);
                }
            }
            Kind::Mark if token.is_mark(',') && !group.spreads => {
                places.extend(group.end_clause());
            }
            Kind::Mark if token.is_mark(';') => {
                places.extend(groups.iter_mut().flat_map(Group::end_clause));
                groups = vec![Group::default()];
            }
            Kind::Mark | Kind::Number | Kind::Space | Kind::Comment => {}
        }
    }
    places.extend(groups.iter_mut().flat_map(Group::end_clause));
    places
}

/// A sentence is no secret, whatever it speaks of.
fn literal(token: &Token<'_>, group: &mut Group) {
    let Some((open, inner)) = content(token).filter(|_| token.closed) else { return };
    let is_name = inner.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if is_name && names_secret(inner) {
        group.clause.is_secret = true;
    } else if inner.split_whitespace().count() <= 2 {
        let start = token.at + open;
        group.clause.literals.push(start..start + inner.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_for_its_clause() {
        let cases: [(&str, &[&str]); 20] = [
            ("where token = any (array['x', 'y']) and kind = 'z'", &["x", "y"]),
            (
                "where (token)::text = any ((array['x'::varchar, 'y'::varchar])::text[])",
                &["x", "y"],
            ),
            ("where ('x' = token) and kind = 'z'", &["x"]),
            ("token in ('x', 'y') or kind in ('z')", &["x", "y"]),
            ("token like 'x%' and kind like 'z%'", &["x%"]),
            ("token is distinct from 'x'", &["x"]),
            ("case when token = 'x' then 1 end, 'z'", &["x"]),
            ("case token when 'x' then true end", &["x"]),
            ("select 'x' as api_key, 'z' as kind", &["x"]),
            ("coalesce(token, 'x')", &["x"]),
            ("pgp_sym_encrypt(note, 'x'), 'z'", &["x"]),
            ("extensions.hmac(a, 'x', 'sha256')", &["x", "sha256"]),
            ("pw = 'x' and pwd = 'y' and passcode = 'w'", &["x", "y", "w"]),
            ("create table tokens (kind text default 'z')", &[]),
            ("create table t (token text, kind text default 'z', pin text default 'x')", &["x"]),
            ("create policy p on app.tokens using (kind = 'z')", &[]),
            ("comment on column t.api_key is 'the key of it'", &[]),
            ("update tokens set kind = 'z' where token = 'x'", &["x"]),
            ("auth.role() = 'z'", &[]),
            ("(token is not null) and kind = 'z'", &[]),
        ];
        for (sql, expected) in cases {
            let found: Vec<&str> =
                secrets(sql).into_iter().filter_map(|place| sql.get(place)).collect();
            assert_eq!(found, expected, "{sql}");
        }
    }
}
