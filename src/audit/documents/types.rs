//! Types as people write them, and as the server does.

/// What people write at the head of a type, and what the server calls it. Longer ones first.
const NAMES: [(&str, &str); 49] = [
    ("timestamp without time zone", "timestamp without time zone"),
    ("timestamp with time zone", "timestamp with time zone"),
    ("time without time zone", "time without time zone"),
    ("time with time zone", "time with time zone"),
    ("character varying", "character varying"),
    ("double precision", "double precision"),
    ("bit varying", "bit varying"),
    ("timestamptz", "timestamp with time zone"),
    ("smallserial", "smallint"),
    ("bigserial", "bigint"),
    ("timestamp", "timestamp without time zone"),
    ("character", "character"),
    ("smallint", "smallint"),
    ("interval", "interval"),
    ("regclass", "regclass"),
    ("tsvector", "tsvector"),
    ("boolean", "boolean"),
    ("decimal", "numeric"),
    ("integer", "integer"),
    ("numeric", "numeric"),
    ("varchar", "character varying"),
    ("macaddr", "macaddr"),
    ("serial2", "smallint"),
    ("serial4", "integer"),
    ("serial8", "bigint"),
    ("varbit", "bit varying"),
    ("bpchar", "character"),
    ("timetz", "time with time zone"),
    ("serial", "integer"),
    ("bigint", "bigint"),
    ("citext", "citext"),
    ("float4", "real"),
    ("float8", "double precision"),
    ("bytea", "bytea"),
    ("float", "double precision"),
    ("jsonb", "jsonb"),
    ("money", "money"),
    ("bool", "boolean"),
    ("char", "character"),
    ("cidr", "cidr"),
    ("date", "date"),
    ("inet", "inet"),
    ("int2", "smallint"),
    ("int4", "integer"),
    ("int8", "bigint"),
    ("json", "json"),
    ("real", "real"),
    ("text", "text"),
    ("time", "time without time zone"),
];
/// Too short to stand in the list above, where they would hide others.
const SHORT: [(&str, &str); 6] = [
    ("uuid", "uuid"),
    ("int", "integer"),
    ("xml", "xml"),
    ("oid", "oid"),
    ("bit", "bit"),
    ("dec", "numeric"),
];

/// A type as a document gives it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stated {
    /// In the server's words.
    pub(super) name: String,
    /// What follows it, such as `NOT NULL`.
    pub(super) rest: String,
}

/// `None` where the text begins with no type of the server's own.
pub(super) fn read(text: &str) -> Option<Stated> {
    let lower = text.trim().to_lowercase();
    let found = NAMES.iter().chain(&SHORT).find_map(|(written, name)| {
        let rest = lower.strip_prefix(written)?;
        let ends = !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        ends.then_some((*name, rest))
    });
    let (name, mut rest) = found?;
    let mut modifier = String::new();
    if let Some((inside, after)) =
        rest.trim_start().strip_prefix('(').and_then(|it| it.split_once(')'))
    {
        let is_number = |part: &str| part.trim().bytes().all(|byte| byte.is_ascii_digit());
        if inside.split(',').all(is_number) {
            modifier = format!("({})", inside.replace(' ', ""));
            rest = after;
        }
    }
    for (words, zone) in
        [(" with time zone", " with time zone"), (" without time zone", " without time zone")]
    {
        if let Some(after) = rest.strip_prefix(words).filter(|_| name.starts_with("time")) {
            rest = after;
            let base = name.split(' ').next().unwrap_or(name);
            return Some(finish(&format!("{base}{modifier}{zone}"), rest));
        }
    }
    let name = match name.split_once(' ').filter(|(base, _)| base.starts_with("time")) {
        Some((base, zone)) => format!("{base}{modifier} {zone}"),
        None => format!("{name}{modifier}"),
    };
    Some(finish(&name, rest))
}

fn finish(name: &str, rest: &str) -> Stated {
    let (mut name, mut rest) = (name.to_owned(), rest);
    while let Some(after) = rest.strip_prefix("[]") {
        name.push_str("[]");
        rest = after;
    }
    if let Some(after) = rest.trim_start().strip_prefix("array") {
        name.push_str("[]");
        rest = after;
    }
    Stated { name, rest: rest.trim().to_owned() }
}

/// Whether a document that states the one may mean the other. One that leaves the length out does. Without a length
/// `varchar` takes what `text` takes.
pub(super) fn agree(stated: &str, actual: &str) -> bool {
    let is_text = |name: &str| ["text", "character varying"].contains(&name.trim_end_matches("[]"));
    let arrays = |name: &str| name.matches("[]").count();
    if is_text(stated) && is_text(actual) && arrays(stated) == arrays(actual) {
        return true;
    }
    let bare = |name: &str| match (name.split_once('('), name.split_once(')')) {
        (Some((before, _)), Some((_, after))) => format!("{before}{after}"),
        _ => name.to_owned(),
    };
    stated == actual || !stated.contains('(') && stated == bare(actual)
}

/// A default without casts, case and spaces outside of quotes.
pub(super) fn plain_default(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.trim();
    let mut quoted = false;
    while let Some(c) = rest.chars().next() {
        if !quoted && let Some(cast) = rest.strip_prefix("::") {
            let is_type =
                |c: char| c.is_alphanumeric() || matches!(c, '_' | ' ' | '.' | '"' | '[' | ']');
            rest = cast.trim_start_matches(is_type);
            continue;
        }
        quoted ^= c == '\'';
        if quoted || !c.is_whitespace() {
            plain.extend(if quoted { vec![c] } else { c.to_lowercase().collect() });
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    if plain == "current_timestamp" { "now()".to_owned() } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_people_write_them() {
        let cases = [
            ("UUID", "uuid", ""),
            ("varchar(20) UNIQUE NOT NULL", "character varying(20)", "unique not null"),
            ("VARCHAR", "character varying", ""),
            ("numeric(10, 2)", "numeric(10,2)", ""),
            ("timestamptz", "timestamp with time zone", ""),
            ("timestamp(3) with time zone", "timestamp(3) with time zone", ""),
            ("timestamp", "timestamp without time zone", ""),
            ("text[]", "text[]", ""),
            ("INT PRIMARY KEY", "integer", "primary key"),
            ("bigserial, primary key", "bigint", ", primary key"),
            ("character varying(255)", "character varying(255)", ""),
            ("integer (required)", "integer", "(required)"),
            ("int4[]", "integer[]", ""),
            ("timestamptz(3)", "timestamp(3) with time zone", ""),
            ("float", "double precision", ""),
            ("float4", "real", ""),
            ("bpchar(3)", "character(3)", ""),
        ];
        for (text, name, rest) in cases {
            let expected = Stated { name: name.to_owned(), rest: rest.to_owned() };
            assert_eq!(read(text), Some(expected), "{text}");
        }
        for text in ["", "role", "string", "texts", "intent", "uuids"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_length_may_be_left_out_and_not_made_up() {
        assert!(agree("character varying", "character varying(20)"));
        assert!(agree("timestamp with time zone", "timestamp(3) with time zone"));
        assert!(!agree("character varying(20)", "character varying"));
        assert!(!agree("character varying(20)", "character varying(30)"));
        assert!(!agree("text", "uuid"));
        assert!(agree("character varying", "text") && agree("text[]", "character varying[]"));
        assert!(!agree("text", "character varying(20)") && !agree("text", "text[]"));
        assert!(!agree("character varying(20)", "text"));
    }

    #[test]
    fn defaults_are_the_same_without_casts() {
        let cases = [
            ("'agent'::public.role", "'agent'"),
            ("'[]'::jsonb", "'[]'"),
            ("timezone('utc'::text, now())", "timezone('utc',now())"),
            ("NOW()", "now()"),
            ("CURRENT_TIMESTAMP", "now()"),
            ("'A b::c'::character varying", "'A b::c'"),
            ("(0)::numeric", "(0)"),
        ];
        for (text, plain) in cases {
            assert_eq!(plain_default(text), plain, "{text}");
        }
    }
}
