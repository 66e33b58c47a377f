//! Which tables SQL refers to by foreign keys.

use super::lexer::tokens;
use super::reader::Reader;
use crate::agent::Prefix;

/// The table that every agent's tables refer to.
pub(crate) const AGENTS: &str = "public.agents";

/// The tables other than the agent's own that SQL refers to by foreign keys, qualified.
pub(crate) fn outside(sql: &str, prefix: &Prefix) -> Vec<String> {
    let own = format!("public.{prefix}_");
    let mut names = referred(sql);
    names.retain(|name| !name.replace('"', "").starts_with(&own));
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether SQL refers to a table by a foreign key.
pub(crate) fn refers_to(sql: &str, table: &str) -> bool {
    referred(sql).iter().any(|name| name == table)
}

fn referred(sql: &str) -> Vec<String> {
    let keys = tokens(sql).filter(|token| token.is("references"));
    keys.filter_map(|key| qualified(sql.get(key.end()..)?)).collect()
}

/// `None` for what cannot be a table's name.
fn qualified(rest: &str) -> Option<String> {
    let parts = Reader::new(rest).qualified()?;
    let parts: Vec<_> = parts.iter().map(|part| quoted(part)).collect();
    match parts.as_slice() {
        [name] => Some(format!("public.{name}")),
        [_, _] => Some(parts.join(".")),
        _ => None,
    }
}

/// A name as SQL has it, without quotes where it needs none.
pub(crate) fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c == '_';
    let rest = |c: char| plain(c) || c.is_ascii_digit();
    if name.starts_with(plain) && name.chars().all(rest) {
        name.to_owned()
    } else {
        in_quotes(name)
    }
}

/// A name in quotes, whatever it is: a reserved word, too.
pub(crate) fn in_quotes(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_foreign_keys_refer_to_outside_is_found() {
        let prefix = "agt_a".parse().unwrap();
        let cases: [(&str, &[&str]); 10] = [
            (
                "user_id uuid REFERENCES users, b int references public.users (id)",
                &["public.users"],
            ),
            ("a int references public.agt_a_customers (id)", &[]),
            ("a int references agt_a_customers", &[]),
            ("FOREIGN KEY (a) REFERENCES auth.users(id) ON DELETE CASCADE", &["auth.users"]),
            ("a int references \"Shop\".\"A.b\" (id)", &["\"Shop\".\"A.b\""]),
            ("references/* x */PUBLIC . \"users\"(id)", &["public.users"]),
            ("references Ünder", &["public.\"Ünder\""]),
            ("a int references x.y.z, b int references 7", &[]),
            ("-- references public.users", &[]),
            ("a$b$ 'references b' $$references b$$ e'\\' references c'", &[]),
        ];
        for (sql, expected) in cases {
            assert_eq!(outside(sql, &prefix), expected, "{sql}");
        }
    }
}
