//! The grammar of columns in a request to PostgREST: `select`, filters, orders and `or`.
//!
//! White space outside of quotes means nothing: the client library takes it out.

/// Stands in a text for what is known only when the program runs. It counts as a letter.
pub(super) const OPEN: char = '\u{fffc}';

/// Tables within tables, or conditions within conditions. No request that works has as many.
pub(super) const DEEPEST: usize = 64;

/// Why a list cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// The rest, from what cannot be understood.
    From(String),
    /// It is nested deeper than [`DEEPEST`].
    TooDeep,
}

/// One thing that `select` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// `*`
    All,
    /// `count()`
    Count,
    /// A column, whatever is done with its value. What it is called in the answer does not matter here.
    Column(String),
    /// Rows of another table.
    Embed(Embed),
}

/// Rows of another table: `alias:relation!hint(items)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Embed {
    /// What it is called in the answer.
    pub(super) alias: Option<String>,
    /// A table, or the foreign key or the column that leads there.
    pub(super) relation: String,
    /// What tells two ways apart. `inner` and `left` are none.
    pub(super) hint: Option<String>,
    /// What is asked for there.
    pub(super) items: Vec<Item>,
}

impl Embed {
    /// Whether a filter means it by this name.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.alias.as_deref() == Some(name) || self.relation == name
    }
}

/// A column, and the names of the embedded tables that lead to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) embeds: Vec<String>,
    pub(super) column: String,
}

/// What `select` asks for.
pub(super) fn select(text: &str) -> Result<Vec<Item>, Unreadable> {
    let mut reader = Reader::new(text);
    let items = if reader.is_at_end() { Some(Vec::new()) } else { reader.items() };
    items.filter(|_| reader.is_at_end()).ok_or_else(|| {
        if reader.depth > DEEPEST { Unreadable::TooDeep } else { Unreadable::From(reader.rest()) }
    })
}

/// The column of a filter or an order: `a`, `a->>b`, `embed.a` or `embed(a)`.
pub(super) fn column(text: &str) -> Option<Path> {
    let mut reader = Reader::new(text);
    let (mut embeds, mut column) = (Vec::new(), reader.name()?);
    while reader.take(".") || reader.take("(") {
        embeds.push(std::mem::replace(&mut column, reader.name()?));
    }
    reader.json_path();
    while reader.take(")") {}
    reader.is_at_end().then_some(Path { embeds, column })
}

/// A column in a condition of `or`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) column: String,
    /// Whether it asks for `null`, as embedded rows may be asked for, too.
    pub(super) is_null_test: bool,
    /// What the column is compared with: see [`operands`].
    pub(super) operands: Vec<String>,
}

/// Operators that take a value of the column's type.
const COMPARISONS: [&str; 7] = ["eq", "neq", "gt", "gte", "lt", "lte", "isdistinct"];

/// The values of the column's type in the condition of a filter: `eq.a`, `not.in.(a,"b c")`. None of other operators.
pub(super) fn operands(condition: &str) -> Vec<String> {
    let condition = condition.strip_prefix("not.").unwrap_or(condition);
    let Some((operator, value)) = condition.split_once('.') else { return Vec::new() };
    if COMPARISONS.contains(&operator) {
        return vec![unquoted(value)];
    }
    let list = value.strip_prefix('(').and_then(|list| list.strip_suffix(')'));
    let Some(list) = list.filter(|_| operator == "in") else { return Vec::new() };
    let mut quoted = false;
    let elements = list.split(|c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    elements.map(unquoted).collect()
}

fn unquoted(value: &str) -> String {
    let inner = value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"'));
    inner.unwrap_or(value).to_owned()
}

/// The columns in the conditions of `or`: `a.eq.1,and(b.gt.2,c.not.is.null)`.
pub(super) fn conditions(text: &str) -> Option<Vec<Condition>> {
    let mut reader = Reader::new(text);
    let mut columns = Vec::new();
    reader.conditions(&mut columns)?;
    reader.is_at_end().then_some(columns)
}

struct Reader {
    text: Vec<char>,
    at: usize,
    /// Stays beyond [`DEEPEST`] once it is.
    depth: usize,
}

impl Reader {
    fn new(text: &str) -> Self {
        let mut quoted = false;
        let kept = text.chars().filter(|&c| {
            quoted ^= c == '"';
            quoted || !c.is_whitespace()
        });
        Self { text: kept.collect(), at: 0, depth: 0 }
    }

    fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    fn rest(&self) -> String {
        self.text.iter().skip(self.at).collect()
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    fn next_is(&self, token: &str) -> bool {
        token.chars().enumerate().all(|(ahead, c)| self.peek(ahead) == Some(c))
    }

    fn take(&mut self, token: &str) -> bool {
        let is_next = self.next_is(token);
        if is_next {
            self.at += token.chars().count();
        }
        is_next
    }

    fn take_while(&mut self, is_part: impl Fn(&Self, char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(c) = self.peek(0).filter(|&c| is_part(self, c)) {
            taken.push(c);
            self.at += 1;
        }
        taken
    }

    /// Quoted or plain; never empty.
    fn name(&mut self) -> Option<String> {
        let name = if self.take("\"") {
            let name = self.take_while(|_, c| c != '"');
            self.take("\"").then_some(name)?
        } else {
            self.take_while(|reader, c| {
                c.is_alphanumeric()
                    || matches!(c, '_' | '$' | OPEN)
                    || c == '-' && reader.peek(1) != Some('>')
            })
        };
        (!name.is_empty()).then_some(name)
    }

    /// What is in brackets, as far as that may be nested.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let read = read(self)?;
        self.depth -= 1;
        Some(read)
    }

    fn items(&mut self) -> Option<Vec<Item>> {
        let mut items = vec![self.item()?];
        while self.take(",") {
            items.push(self.item()?);
        }
        Some(items)
    }

    fn item(&mut self) -> Option<Item> {
        let spread = self.take("...");
        if !spread && self.take("*") {
            return Some(Item::All);
        }
        let first = self.name()?;
        let (alias, name) = if self.next_is(":") && !self.next_is("::") {
            self.at += 1;
            (Some(first), self.name()?)
        } else {
            (None, first)
        };
        if self.next_is("!") || self.next_is("(") {
            return self.embed(alias, name, spread);
        }
        if spread {
            return None;
        }
        self.json_path();
        self.cast();
        if self.take(".") {
            self.aggregate()?;
            self.cast();
        }
        Some(Item::Column(name))
    }

    fn embed(&mut self, alias: Option<String>, relation: String, spread: bool) -> Option<Item> {
        let mut hint = None;
        while self.take("!") {
            let word = self.name()?;
            if word != "inner" && word != "left" {
                hint = Some(word);
            }
        }
        if !self.take("(") {
            return None;
        }
        if self.take(")") {
            if relation == "count" && hint.is_none() && !spread {
                self.cast();
                return Some(Item::Count);
            }
            return Some(Item::Embed(Embed { alias, relation, hint, items: Vec::new() }));
        }
        let items = self.nested(Self::items)?;
        self.take(")").then_some(Item::Embed(Embed { alias, relation, hint, items }))
    }

    fn json_path(&mut self) {
        while self.take("->>") || self.take("->") {
            self.name();
        }
    }

    fn cast(&mut self) {
        if self.take("::") {
            self.take_while(|_, c| {
                c.is_alphanumeric() || matches!(c, '_' | '[' | ']' | '"' | OPEN)
            });
        }
    }

    fn aggregate(&mut self) -> Option<()> {
        let name = self.name()?;
        let known = ["sum", "avg", "max", "min", "count"].contains(&name.as_str());
        (known && self.take("()")).then_some(())
    }

    fn conditions(&mut self, columns: &mut Vec<Condition>) -> Option<()> {
        loop {
            self.condition(columns)?;
            if !self.take(",") {
                return Some(());
            }
        }
    }

    fn condition(&mut self, columns: &mut Vec<Condition>) -> Option<()> {
        self.take("not.");
        if self.take("and(") || self.take("or(") {
            self.nested(|reader| reader.conditions(columns))?;
            return self.take(")").then_some(());
        }
        let column = self.name()?;
        self.json_path();
        if !self.take(".") && column != OPEN.to_string() {
            return None;
        }
        let is_null_test = self.next_is("is.null") || self.next_is("not.is.null");
        let condition = self.value();
        columns.push(Condition { column, is_null_test, operands: operands(&condition) });
        Some(())
    }

    /// The operator and its value: up to the next comma or parenthesis that is not the value's own.
    fn value(&mut self) -> String {
        let (mut depth, mut quoted, from) = (0_u32, false, self.at);
        while let Some(c) = self.peek(0) {
            match c {
                '\\' if quoted => self.at += 1,
                '"' => quoted = !quoted,
                '(' | '{' | '[' if !quoted => depth += 1,
                ',' | ')' if !quoted && depth == 0 => break,
                ')' | '}' | ']' if !quoted => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
        }
        self.text.iter().take(self.at).skip(from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn col(name: &str) -> Item {
        Item::Column(name.to_owned())
    }

    fn embed(alias: &str, relation: &str, hint: &str, items: &[Item]) -> Item {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let relation = relation.to_owned();
        Item::Embed(Embed { alias: some(alias), relation, hint: some(hint), items: items.to_vec() })
    }

    #[test]
    fn select_is_read_as_postgrest_reads_it() {
        let cases: [(&str, Vec<Item>); 19] = [
            ("", vec![]),
            ("*", vec![Item::All]),
            (" id ,\n  full_name ", vec![col("id"), col("full_name")]),
            ("name:full_name", vec![col("full_name")]),
            ("age::text,n:age::int4", vec![col("age"), col("age")]),
            ("data->a->>b", vec![col("data")]),
            ("x:data->0->>c::int", vec![col("data")]),
            ("\"two words\",\"a,b\"", vec![col("two words"), col("a,b")]),
            ("count()", vec![Item::Count]),
            ("n:count()", vec![Item::Count]),
            (
                "total:amount.sum(),price.avg()::int,id.count()",
                vec![col("amount"), col("price"), col("id")],
            ),
            (
                "id,owner(id,name)",
                vec![col("id"), embed("", "owner", "", &[col("id"), col("name")])],
            ),
            ("o:owner!fk_x!inner(*)", vec![embed("o", "owner", "fk_x", &[Item::All])]),
            ("owner!left(*)", vec![embed("", "owner", "", &[Item::All])]),
            ("...owner(name)", vec![embed("", "owner", "", &[col("name")])]),
            ("orders(count)", vec![embed("", "orders", "", &[col("count")])]),
            (
                "orders(id,items(name,product(*)))",
                vec![embed(
                    "",
                    "orders",
                    "",
                    &[
                        col("id"),
                        embed(
                            "",
                            "items",
                            "",
                            &[col("name"), embed("", "product", "", &[Item::All])],
                        ),
                    ],
                )],
            ),
            ("owner()", vec![embed("", "owner", "", &[])]),
            ("sys-name,größe,a$b", vec![col("sys-name"), col("größe"), col("a$b")]),
        ];
        for (text, expected) in cases {
            assert_eq!(select(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_postgrest_refuses_is_refused_with_the_rest() {
        let cases = [
            ("id,", ""),
            (",id", ",id"),
            ("id name(", ""),
            ("a(b", ""),
            ("a)b", ")b"),
            ("...a", ""),
            ("a.nosuch()", "()"),
            ("a!b", ""),
            ("'a'", "'a'"),
            ("a;b", ";b"),
        ];
        for (text, rest) in cases {
            assert_eq!(select(text), Err(Unreadable::From(rest.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_is_nested_too_deep_is_not_read() {
        let deep = |head: &str, inner: &str, levels: usize| {
            format!("{}{inner}{}", head.repeat(levels), ")".repeat(levels))
        };
        assert!(select(&deep("a(", "id", DEEPEST)).is_ok());
        assert_eq!(select(&deep("a(", "id", 100_000)), Err(Unreadable::TooDeep));
        assert!(conditions(&deep("and(", "a.eq.1", DEEPEST)).is_some());
        assert_eq!(conditions(&deep("and(", "a.eq.1", 100_000)), None);
        assert!(column(&deep("a(", "id", 100_000)).is_some());
    }

    #[test]
    fn columns_of_filters_and_orders_are_found() {
        let path = |embeds: &[&str], column: &str| {
            let embeds = embeds.iter().map(|&name| name.to_owned()).collect();
            Some(Path { embeds, column: column.to_owned() })
        };
        assert_eq!(column("a"), path(&[], "a"));
        assert_eq!(column("a->>b"), path(&[], "a"));
        assert_eq!(column("a.b"), path(&["a"], "b"));
        assert_eq!(column("a.b.c->d"), path(&["a", "b"], "c"));
        assert_eq!(column("a(b)"), path(&["a"], "b"));
        assert_eq!(column("a b;"), None);
        assert_eq!(column(""), None);
    }

    #[test]
    fn conditions_name_their_columns_and_not_their_values() {
        let cases: [(&str, Option<&[&str]>); 8] = [
            ("a.eq.1", Some(&["a"])),
            ("a.eq.1,b.in.(x,y),c.is.null", Some(&["a", "b", "c"])),
            ("and(a.gte.1,a.lte.2),not.or(b.eq.x,c.not.is.null)", Some(&["a", "a", "b", "c"])),
            ("a.eq.\"x,y(z\",b.cs.{1,2}", Some(&["a", "b"])),
            ("data->>k.eq.1", Some(&["data"])),
            ("a.ilike.%\u{fffc}%,b.eq.\u{fffc}", Some(&["a", "b"])),
            ("a", None),
            ("a.eq.1)", None),
        ];
        let null = conditions("a.is.null,b.not.is.null,c.is.true,d.eq.is").unwrap_or_default();
        let null: Vec<bool> = null.iter().map(|it| it.is_null_test).collect();
        assert_eq!(null, [true, true, false, false]);
        for (text, expected) in cases {
            let found = conditions(text);
            let found: Option<Vec<&str>> =
                found.as_ref().map(|columns| columns.iter().map(|it| it.column.as_str()).collect());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn values_of_the_column_s_type_are_found_in_conditions() {
        let cases: [(&str, &[&str]); 8] = [
            ("eq.a", &["a"]),
            ("not.neq.a.b", &["a.b"]),
            ("eq.\"a,b\"", &["a,b"]),
            ("in.(a,\"b,c\",\u{fffc})", &["a", "b,c", "\u{fffc}"]),
            ("not.in.(a)", &["a"]),
            ("is.null", &[]),
            ("ilike.a%", &[]),
            ("eq", &[]),
        ];
        for (condition, expected) in cases {
            assert_eq!(operands(condition), expected, "{condition}");
        }
        let all = conditions("a.eq.x,and(b.not.in.(y,\"z,(\"),c.is.null)").unwrap_or_default();
        let all: Vec<Vec<String>> = all.into_iter().map(|it| it.operands).collect();
        assert_eq!(all, [vec!["x"], vec!["y", "z,("], vec![]]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in r#"[a-c*,():.!>\-"é ]{0,30}"#) {
            select(&text).ok();
            column(&text);
            conditions(&text);
        }
    }
}
