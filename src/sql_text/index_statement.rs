//! Statements that build or drop an index concurrently.

use std::ops::Range;

use super::reader::Reader;

/// `create [unique] index concurrently if not exists NAME on …` or `drop index concurrently if exists NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexStatement {
    /// Whether it builds one.
    pub(crate) creates: bool,
    /// The index, as the catalog has it.
    pub(crate) name: String,
    /// Where the words stand that a transaction cannot have, or that make the statement repeatable.
    words: Vec<Range<usize>>,
}

impl IndexStatement {
    /// `None` for any other statement, and where the name has escapes.
    pub(crate) fn read(sql: &str) -> Option<Self> {
        let mut rest = Reader::new(sql);
        let creates = rest.words("create");
        if creates {
            rest.words("unique");
        } else if !rest.words("drop") {
            return None;
        }
        if !rest.words("index") {
            return None;
        }
        let mut words = Vec::new();
        let expected =
            if creates { "concurrently if not exists" } else { "concurrently if exists" };
        for word in expected.split(' ') {
            let found = rest.next().filter(|token| token.is(word))?;
            if creates || words.is_empty() {
                words.push(found.at..found.end());
            }
        }
        let mut name = rest.qualified()?;
        let fits = if creates { name.len() == 1 && rest.words("on") } else { rest.is_empty() };
        Some(Self { creates, name: name.pop()?, words }).filter(|_| fits)
    }

    /// The same statement for a transaction: plain, and with an error where the name is in the way.
    pub(crate) fn plain(&self, sql: &str) -> String {
        let (mut plain, mut from) = (String::with_capacity(sql.len()), 0);
        for word in &self.words {
            plain.push_str(sql.get(from..word.start).unwrap_or_default());
            from = word.end;
        }
        plain + sql.get(from..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_index_is_found_where_there_is_one() {
        let cases = [
            ("create index concurrently if not exists a_x on t (b)", Some((true, "a_x"))),
            (
                "CREATE UNIQUE/* */INDEX\n CONCURRENTLY IF NOT EXISTS A_X ON t (b)",
                Some((true, "a_x")),
            ),
            (
                "create index concurrently if not exists -- why\r\"A\"\"x y\"on t (b)",
                Some((true, "A\"x y")),
            ),
            ("drop index concurrently if exists public . \"A x\"", Some((false, "A x"))),
            ("create index concurrently if not exists on t (b)", None),
            ("create index concurrently if not exists U&\"a\" on t (b)", None),
            ("create index concurrently a_x on t (b)", None),
            ("create index if not exists a_x on t (b)", None),
            ("drop index concurrently a_x", None),
            ("drop index concurrently if exists a_x, a_y", None),
        ];
        for (sql, expected) in cases {
            let found = IndexStatement::read(sql);
            let found = found.as_ref().map(|index| (index.creates, index.name.as_str()));
            assert_eq!(found, expected, "{sql}");
        }
    }

    #[test]
    fn only_the_words_are_left_out() {
        let cases = [
            (
                "create index /* if */ concurrently\nif not exists \"concurrently\" on t (\"if\")",
                "create index /* if */ \n   \"concurrently\" on t (\"if\")",
            ),
            ("drop index concurrently if exists a", "drop index  if exists a"),
        ];
        for (sql, plain) in cases {
            let index = IndexStatement::read(sql).unwrap();
            assert_eq!(index.plain(sql), plain);
        }
    }
}
