//! Keys that lead to `users` where `auth.users` is meant.

use crate::sql_text::{Reader, tokens};

/// The statement with its keys to `users` leading to `auth.users`.
pub(super) fn refer_to_auth(statement: &str) -> String {
    let mut fixed = String::with_capacity(statement.len() + 16);
    let mut from = 0;
    let tokens: Vec<_> = tokens(statement).collect();
    for token in tokens.iter().filter(|token| token.is("references")) {
        let mut rest = Reader::new(statement.get(token.end()..).unwrap_or_default());
        let before = rest.clone().next().map_or(0, |first| first.at);
        let is_users = rest.qualified().is_some_and(|name| {
            name == ["users"] || name == ["public".to_owned(), "users".to_owned()]
        });
        if !is_users {
            continue;
        }
        let after = rest.peek().map_or(statement.len() - token.end(), |next| next.at);
        let name = statement.get(token.end() + before..token.end() + after).unwrap_or_default();
        let blanks = name.get(name.trim_end().len()..).unwrap_or_default();
        fixed.push_str(statement.get(from..token.end() + before).unwrap_or_default());
        fixed.push_str("auth.users");
        fixed.push_str(blanks);
        from = token.end() + after;
    }
    fixed.push_str(statement.get(from..).unwrap_or_default());
    fixed
}

#[cfg(test)]
mod tests {
    use super::refer_to_auth;

    #[test]
    fn a_key_to_users_is_led_to_auth() {
        let cases = [
            (
                "a uuid references users (id) on delete cascade",
                "a uuid references auth.users (id) on delete cascade",
            ),
            (
                "a uuid references public.users(id), b int",
                "a uuid references auth.users(id), b int",
            ),
            ("a uuid references users", "a uuid references auth.users"),
            ("a uuid references other.users (id)", "a uuid references other.users (id)"),
            ("a uuid references auth.users (id)", "a uuid references auth.users (id)"),
        ];
        for (sql, expected) in cases {
            assert_eq!(refer_to_auth(sql), expected);
        }
    }
}
