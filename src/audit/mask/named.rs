//! What is a secret by the name before it: `password 'x'`, `"apikey": "x"`, `set_config('app.secret', 'x')`.

use std::ops::Range;

use super::clauses;
use super::names::{is_cookie, names_secret};
use super::quoted::content;
use super::shape;
use crate::sql_text::{Kind, Token, tokens};

/// Words that say how a value is sent.
const SCHEMES: [&str; 3] = ["bearer ", "basic ", "token "];
/// So many tokens behind a name a literal still is its value: types, comparisons, `not null default`.
const NEAR: usize = 10;
/// Behind these words something else begins.
const ENDS: [&str; 10] =
    ["and", "or", "then", "else", "from", "where", "join", "select", "returning", "execute"];
/// Strings in dollars in each other.
const DEEPEST: usize = 8;

/// The secrets in a sentence that may quote SQL or a server.
pub(super) fn in_words(text: &str) -> Vec<Range<usize>> {
    let mut places = walked(text, false);
    places.extend(pairs(text));
    places
}

/// The secrets in SQL, which need not be whole. `all`: every literal is one.
pub(super) fn in_sql(sql: &str, all: bool) -> Vec<Range<usize>> {
    let mut places = walked(sql, all);
    places.extend(clauses::secrets(sql));
    places
}

/// The secrets behind a name, token by token.
fn walked(sql: &str, all: bool) -> Vec<Range<usize>> {
    let (places, row, call) = (shape::known(sql), Row::Other, Call::Other);
    let mut walk = Walk { places, all, reach: None, row, call, last: String::new() };
    walk.sql(sql, 0, 0);
    walk.places
}

/// How far a name reaches.
#[derive(Clone, Copy)]
struct Reach {
    left: usize,
    name: Name,
    /// Whether words stand between.
    is_loose: bool,
    /// Whether several values may follow.
    is_list: bool,
    after_comma: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    /// The name of a column, an option or a variable of SQL.
    Own,
    /// In a literal itself. Then only marks and types may follow.
    Literal,
}

/// What is known of a row that is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Row {
    Other,
    /// The table of an `insert` is read; then columns, or at once the values.
    Table,
    /// The columns of an `insert` are read.
    Columns,
    /// One of them is secret, and which value is its own is not known.
    Secret,
}

/// What is known of a trigger's call. What its arguments mean, only the function knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Other,
    /// Behind `execute function`. Whether it is one whose arguments are names.
    Function(bool),
    /// Between the brackets of the call.
    Arguments,
}

/// Functions for triggers whose arguments are names of columns and the like.
const TAKE_NAMES: [&str; 4] =
    ["moddatetime", "insert_username", "tsvector_update_trigger", "tsvector_update_trigger_column"];

struct Walk {
    places: Vec<Range<usize>>,
    all: bool,
    reach: Option<Reach>,
    row: Row,
    call: Call,
    /// The last word, in lower case.
    last: String,
}

impl Walk {
    /// `at` is the place of this piece in the text.
    fn sql(&mut self, sql: &str, at: usize, depth: usize) {
        let mut start = 0;
        while let Some(rest) = sql.get(start..).filter(|rest| !rest.is_empty()) {
            let mut next = sql.len();
            let mut after_colon = false;
            let mut tokens = tokens(rest).peekable();
            while let Some(token) = tokens.next() {
                if !token.closed {
                    next = start + token.at + self.unclosed(&token, at + start + token.at);
                    break;
                }
                let is_schema = token.is("auth") && tokens.peek().is_some_and(|it| it.is_mark('.'));
                if !is_schema {
                    self.token(&token, at + start + token.at, after_colon, depth);
                }
                after_colon = token.is_mark(':') || after_colon && token.kind == Kind::Space;
            }
            start = next;
        }
    }

    /// A lonely apostrophe, or a statement that was cut off: what follows is read as if no quote stood there, and searched as
    /// what is in quotes. Returns the bytes that are done.
    fn unclosed(&mut self, token: &Token<'_>, at: usize) -> usize {
        let quote = token.text.find(['\'', '"', '$', '*']).unwrap_or_default() + 1;
        if token.kind == Kind::Text && !token.text.starts_with('$') {
            let inner = token.text.get(quote..).unwrap_or_default();
            self.places.extend(moved(shape::random(inner), at + quote));
            self.places.extend(moved(pairs(inner), at + quote));
            let line = inner.find('\n').unwrap_or(inner.len());
            if self.reach.take().is_some() && line > 0 {
                self.places.push(at + quote..at + quote + line);
            }
        }
        quote
    }

    fn token(&mut self, token: &Token<'_>, at: usize, after_colon: bool, depth: usize) {
        match token.kind {
            Kind::Space => {}
            Kind::Comment => {
                let inner = token.text.get(2..).unwrap_or_default();
                self.places.extend(moved(pairs(inner), at + 2));
                if depth < DEEPEST {
                    self.sql(inner, at + 2, depth + 1);
                }
            }
            Kind::Word | Kind::Quoted => {
                if after_colon && token.kind == Kind::Quoted {
                    // As a server quotes a value.
                    self.places.extend(moved(shape::random(token.text), at));
                }
                self.word(token, after_colon);
            }
            Kind::Number => self.step(|reach| reach.name == Name::Literal),
            Kind::Mark => self.mark(token),
            Kind::Text => self.literal(token, at, depth),
        }
    }

    fn word(&mut self, token: &Token<'_>, after_colon: bool) {
        let last = std::mem::replace(&mut self.last, token.text.to_ascii_lowercase());
        if last == "insert" && token.is("into") {
            self.row = Row::Table;
        } else if matches!(self.row, Row::Table | Row::Columns)
            && (token.is("values") || token.is("select"))
        {
            // Without names each of them may be one.
            self.row = if self.row == Row::Table { Row::Secret } else { Row::Other };
        }
        if last == "execute" && (token.is("function") || token.is("procedure")) {
            self.call = Call::Function(false);
        } else if let Call::Function(_) = self.call {
            self.call = Call::Function(TAKE_NAMES.iter().any(|name| token.is(name)));
        }
        if last == "constraint" {
            return; // Its name may end in `_key`.
        }
        if names_secret(token.text) {
            self.reach = Some(Reach::new(Name::Own));
            if matches!(self.row, Row::Table | Row::Columns) {
                self.row = Row::Secret;
            }
            return;
        }
        let is_end = ENDS.iter().any(|end| token.is(end));
        let is_list = token.is("in");
        self.step(|reach| {
            reach.is_loose = true;
            reach.is_list |= is_list;
            is_end || reach.name == Name::Literal && !after_colon
        });
    }

    fn mark(&mut self, token: &Token<'_>) {
        if token.is_mark(';') {
            (self.reach, self.row, self.call) = (None, Row::Other, Call::Other);
            return;
        }
        if token.is_mark('(') {
            if self.row == Row::Table {
                self.row = Row::Columns;
            }
            let is_secret = self.call == Call::Function(false);
            self.call = if is_secret { Call::Arguments } else { Call::Other };
        } else if token.is_mark(')') {
            self.call = Call::Other;
        }
        let (comma, opens, closes) =
            (token.is_mark(','), token.is_mark('['), token.is_mark(']') || token.is_mark(')'));
        self.step(|reach| {
            reach.is_list |= opens;
            reach.after_comma = comma;
            // The words of a cast follow.
            closes && reach.is_list
        });
    }

    /// One token further. `ends` says whether the name reaches no further.
    fn step(&mut self, ends: impl FnOnce(&mut Reach) -> bool) {
        self.reach = self.reach.take().and_then(|mut reach| {
            let was_comma = reach.after_comma;
            let ended = ends(&mut reach) || was_comma;
            reach.left = reach.left.saturating_sub(1);
            (!ended && reach.left > 0).then_some(reach)
        });
    }

    fn literal(&mut self, token: &Token<'_>, at: usize, depth: usize) {
        let Some((open, inner)) = content(token) else { return };
        let place = at + open..at + open + inner.len();
        let reach = self.reach.take();
        let blanks = inner.split_whitespace().count().saturating_sub(1);
        let is_body = token.text.starts_with('$') && blanks > 0;
        let is_named = reach.is_some_and(|reach| !reach.is_loose || blanks < 2);
        let is_hidden = self.row == Row::Secret || self.call == Call::Arguments;
        if !is_body && (is_named || is_hidden || self.all && blanks < 2) {
            self.places.push(place);
            let list = reach.filter(|reach| reach.is_list);
            self.reach = list.map(|reach| Reach { after_comma: false, ..reach });
            return;
        }
        if is_body {
            if depth < DEEPEST {
                let row = std::mem::replace(&mut self.row, Row::Other);
                self.sql(inner, place.start, depth + 1);
                self.places.extend(moved(clauses::secrets(inner), place.start));
                (self.reach, self.row) = (None, row);
            }
            return;
        }
        if inner.contains("''") && depth < DEEPEST {
            // SQL that is put together and executed: its own quotes are doubled.
            let (reach, row) = (self.reach.take(), std::mem::replace(&mut self.row, Row::Other));
            let single = with_single_quotes(inner);
            self.sql(&single, place.start, depth + 1);
            self.places.extend(moved(clauses::secrets(&single), place.start));
            (self.reach, self.row) = (reach, row);
        }
        self.places.extend(moved(shape::random(inner), place.start));
        self.places.extend(moved(pairs(inner), place.start));
        let is_name = inner.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
        if is_name && names_secret(inner) {
            self.reach = Some(Reach::new(Name::Literal));
        }
    }
}

impl Reach {
    fn new(name: Name) -> Self {
        let (is_loose, is_list, after_comma) = (false, false, false);
        Self { left: NEAR, name, is_loose, is_list, after_comma }
    }
}

/// The same length, with one quote and a blank for two.
fn with_single_quotes(text: &str) -> String {
    let mut is_open = false;
    let mut parts = text.split("''");
    let mut single = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        single.push_str(if is_open { "' " } else { " '" });
        single.push_str(part);
        is_open = !is_open;
    }
    single
}

fn moved(places: Vec<Range<usize>>, by: usize) -> impl Iterator<Item = Range<usize>> {
    places.into_iter().map(move |place| place.start + by..place.end + by)
}

/// The values of pairs in a text that is no SQL: `password=x`, `"apikey": "x"`, `Authorization: Bearer x`.
fn pairs(text: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let length = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
        let name = rest.get(..length).unwrap_or_default();
        at += length.max(rest.chars().next().map_or(1, char::len_utf8));
        if (names_secret(name) || is_scheme(name))
            && let Some(place) = value(text, at, name)
        {
            at = place.end;
            places.push(place);
        }
    }
    places
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

fn is_scheme(name: &str) -> bool {
    SCHEMES.iter().any(|it| it.trim_end().eq_ignore_ascii_case(name))
}

/// The value of the name that ends there. Behind the name of a scheme a blank is enough.
fn value(text: &str, at: usize, name: &str) -> Option<Range<usize>> {
    const QUOTES: [char; 3] = ['"', '\'', '\\'];
    let is_scheme = is_scheme(name);
    let after = text.get(at..)?;
    let named = after.trim_start_matches(QUOTES).trim_start();
    let separators = ["=>", ":=", "=", ":"];
    let given = separators.iter().find_map(|separator| named.strip_prefix(separator));
    let rest = match given {
        Some(_) if !names_secret(name) => return None,
        Some(rest) => rest.trim_start(),
        None if is_scheme && after.starts_with(' ') => after.trim_start(),
        None => return None,
    };
    let bare = rest.trim_start_matches(QUOTES);
    let scheme = SCHEMES.iter().find(|scheme| {
        bare.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme))
    });
    let value = bare.get(scheme.map_or(0, |scheme| scheme.len())..)?.trim_start();
    let opening = rest.get(..rest.len() - bare.len())?;
    let ends = |c: char| {
        if opening.is_empty() {
            // A cookie is a list of values.
            QUOTES.contains(&c)
                || c == '\n'
                || !is_cookie(name) && (c.is_whitespace() || matches!(c, ',' | ';' | '&'))
        } else {
            opening.contains(c)
        }
    };
    let length = value.find(ends).unwrap_or(value.len());
    // What is filled in later.
    let is_gap = value.starts_with(['%', '$', '{', '<', '[', '…']);
    let mut humps = value.get(..length)?.chars().skip(1);
    let is_word =
        given.is_none() && !humps.any(|c| c.is_ascii_digit() || c == '=' || c.is_uppercase());
    let start = text.len() - value.len();
    (length > 0 && !is_gap && !is_word).then_some(start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, places: &[Range<usize>]) -> Vec<String> {
        let mut places = places.to_vec();
        places.sort_by_key(|place| place.start);
        places.dedup();
        places.iter().filter_map(|place| text.get(place.clone())).map(ToOwned::to_owned).collect()
    }

    #[test]
    fn a_literal_behind_a_secret_s_name_is_found_in_sql() {
        let cases: [(&str, &[&str]); 32] = [
            ("create role a login password 'x'", &["x"]),
            ("options (user 'a', password 'x')", &["x"]),
            ("api_key text not null default 'x', kind text default 'y'", &["x"]),
            ("alter column \"apiKey\" set default 'x'::text", &["x"]),
            ("where ((t.api_key)::text = 'x'::text) and kind = 'y'", &["x"]),
            ("where token = any (array['x'::text, 'y'::text]) and kind = 'z'", &["x", "y"]),
            ("where token in ('x', 'y') and a = 'z'", &["x", "y"]),
            ("set_config('app.jwt_secret', 'x', true)", &["x"]),
            ("jsonb_build_object('apikey', 'x', 'kind', 'y')", &["x"]),
            ("vault.create_secret('x', 'name')", &["x", "name"]),
            ("insert into t (token, kind) values ('x', 'y'); select 'z'", &["x", "y"]),
            ("password := 'x'; kind := 'y'", &["x"]),
            ("f(p_token => 'x', kind => 'y')", &["x"]),
            ("(auth.jwt() ->> 'token'::text) = 'x'::text and kind = 'y'", &["x"]),
            ("password $$x$$", &["x"]),
            ("password 'two or three words'", &["two or three words"]),
            ("-- password 'x'", &["x"]),
            ("as $f$ begin perform f('{\"apikey\": \"x\"}'); end $f$", &["x"]),
            ("dblink('host=h password=x y=z')", &["x"]),
            ("'Authorization: Bearer x.y'", &["x.y"]),
            ("headers := '{\"Authorization\":\"Bearer x\"}'", &["x"]),
            ("it's a password 'x", &[]),
            ("create role a password 'x\nsecond", &["x"]),
            ("after insert on a execute function f('x', 'y')", &["x", "y"]),
            ("insert into t values (1, 'x'); select 'z'", &["x"]),
            ("insert into a.t select 'x', 'y'", &["x", "y"]),
            ("stripe_key = 'x' and kind = 'y'", &["x"]),
            ("auth text default 'x'", &["x"]),
            ("salt => 'x', user_pin => 'y'", &["x", "y"]),
            ("'Cookie: sid=x; b=y'", &["sid=x; b=y"]),
            ("'password=\"a''b\"'", &["a''b"]),
            ("execute 'alter role a password ''x y'' valid'", &["x y"]),
        ];
        for (sql, expected) in cases {
            assert_eq!(found(sql, &in_sql(sql, false)), expected, "{sql}");
        }
    }

    #[test]
    fn other_literals_stay() {
        for sql in [
            "create function get_token() returns text language sql as $f$ select kind from t $f$",
            "token is not null and kind = 'x'",
            "update t set token = new.token, kind = 'x'",
            "comment on column t.api_key is 'the key of the provider'",
            "format('{\"apikey\":\"%s\"}', k)",
            "role = 'admin'",
            "auth.uid() = owner and auth.role() = 'authenticated'",
            "insert into t (kind) values ('x')",
            "insert into t (kind) select 'x'",
            "add constraint people_mail_key unique (mail), add column kind text default 'x'",
            "after update on a execute function extensions.moddatetime('updated_at')",
            "primary_key = 'id' and shipping = 'x' and author = 'x' and auth_provider = 'x'",
        ] {
            assert_eq!(found(sql, &in_sql(sql, false)), [""; 0], "{sql}");
        }
        assert_eq!(found("default 'x'", &in_sql("default 'x'", true)), ["x"]);
    }

    #[test]
    fn a_pair_is_found_in_words() {
        let cases: [(&str, &[&str]); 9] = [
            ("don't say 'password=x'", &["x"]),
            ("failed: password=x is wrong", &["x"]),
            ("invalid input: \"3f9aK2mQ8xZ1pL7vR4tY\"", &["3f9aK2mQ8xZ1pL7vR4tY"]),
            ("column public.t.token does not exist", &[]),
            ("a bearer token is needed", &[]),
            ("filter: 'token=…'", &[]),
            ("it says bearer x1", &["x1"]),
            ("Basic dXNlcjpwYXNz", &["dXNlcjpwYXNz"]),
            ("a basic need", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(found(text, &in_words(text)), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in r#"(password|token|'|"|\$|=|:|--|/\*|é| |,|x1|\n){0,20}"#) {
            for place in in_words(&text) {
                proptest::prop_assert!(text.get(place).is_some(), "{text}");
            }
        }
    }
}
