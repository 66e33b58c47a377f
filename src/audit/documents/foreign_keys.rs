//! Sentences such as "`user_id` refers to `users (id)`, on delete cascade."

use super::markdown::{Phrase, Piece};
use super::mistake::Mistake;
use crate::audit::relations::{ForeignKey, PREFIX, Table};
use crate::sql_text::quoted;

const VERBS: [&str; 4] = ["refers to", "refer to", "references", "reference"];
const ACTIONS: [&str; 5] = ["cascade", "set null", "set default", "restrict", "no action"];

/// Columns, what they refer to, and what a deletion does.
pub(super) struct Claim {
    columns: Vec<String>,
    /// As the document has it.
    shown: String,
    /// Tables, each with a column: `a.b` may be a column of a table, or a table of a schema.
    targets: Vec<(String, Option<String>)>,
    on_delete: Option<&'static str>,
}

/// What sentences say of the table's foreign keys and is not so. A sentence that begins otherwise may have conditions.
pub(super) fn mistakes(paragraph: &Phrase, table: &Table) -> Vec<Mistake> {
    let claims = sentences(paragraph).into_iter().filter_map(|sentence| claim(&sentence));
    claims.flat_map(|claim| claim.mistakes(table)).collect()
}

/// The pieces of each sentence.
fn sentences(paragraph: &Phrase) -> Vec<Vec<Piece>> {
    let mut sentences = vec![Vec::new()];
    for piece in &paragraph.0 {
        let mut parts = match piece {
            Piece::Code(_) => {
                if let Some(last) = sentences.last_mut() {
                    last.push(piece.clone());
                }
                continue;
            }
            Piece::Text(text) => text.split(". "),
        };
        let first = parts.next().map(ToOwned::to_owned);
        if let Some(last) = sentences.last_mut() {
            last.extend(first.map(Piece::Text));
        }
        sentences.extend(parts.map(|part| vec![Piece::Text(part.to_owned())]));
    }
    for sentence in &mut sentences {
        sentence.retain(|piece| !matches!(piece, Piece::Text(text) if text.trim().is_empty()));
    }
    sentences
}

fn claim(sentence: &[Piece]) -> Option<Claim> {
    let mut columns = Vec::new();
    let mut pieces = sentence.iter();
    loop {
        match (pieces.next()?, pieces.next()?) {
            (Piece::Code(column), Piece::Text(text)) => {
                columns.push(column.clone());
                let text = text.trim();
                if VERBS.contains(&text) {
                    break;
                }
                if !matches!(text, "and" | ",") {
                    return None;
                }
            }
            (Piece::Text(_) | Piece::Code(_), Piece::Text(_) | Piece::Code(_)) => return None,
        }
    }
    let Piece::Code(target) = pieces.next()? else { return None };
    let rest = pieces.next().map_or("", |piece| match piece {
        Piece::Text(text) | Piece::Code(text) => text.as_str(),
    });
    Some(Claim {
        columns,
        shown: target.clone(),
        targets: targets(target),
        on_delete: on_delete(rest),
    })
}

fn on_delete(text: &str) -> Option<&'static str> {
    let action = text.split_once("on delete ").map_or("", |(_, action)| action.trim_start());
    ACTIONS.into_iter().find(|known| action.starts_with(known))
}

/// How `table`, `table (column)`, `table.column` and `schema.table.column` can be read.
fn targets(text: &str) -> Vec<(String, Option<String>)> {
    if let Some((table, column)) = text.split_once('(') {
        let column = column.trim_end().trim_end_matches(')').trim().to_owned();
        return vec![(table.trim().to_owned(), Some(column))];
    }
    let text = text.trim();
    let dotted = text.rsplit_once('.');
    let dotted = dotted.map(|(table, column)| (table.to_owned(), Some(column.to_owned())));
    std::iter::once((text.to_owned(), None)).chain(dotted).collect()
}

/// What constraints say of one column's foreign key, such as `FK -> users(id)`. `alone`: the text is a clause of a remark,
/// and says nothing else.
pub(super) fn of_column(column: &str, text: &str, alone: bool) -> Option<Claim> {
    const REFERENCES: [&str; 2] = ["references", "refers to"];
    const KEYS: [&str; 4] = ["foreign key", "fk", "->", "→"];
    let lower = text.to_ascii_lowercase();
    let first = |heads: &[&'static str]| {
        let found = heads.iter().flat_map(|head| lower.match_indices(head));
        let begins = |at: usize| !lower.get(..at).unwrap_or_default().ends_with(is_part);
        found.filter(|(at, _)| begins(*at)).min_by_key(|(at, _)| *at)
    };
    let (at, head) = first(&REFERENCES).or_else(|| first(&KEYS))?;
    if alone && !lower.get(..at)?.trim().is_empty() {
        return None;
    }
    let mut rest = text.get(at + head.len()..)?;
    if rest.starts_with(is_part) {
        return None;
    }
    while let Some(after) =
        ["to ", "->", "→", "=>", ":", "("].iter().find_map(|it| rest.trim_start().strip_prefix(it))
    {
        rest = after;
    }
    rest = rest.trim_start();
    let length = rest.find(|c: char| !is_part(c) && !".\"{}".contains(c)).unwrap_or(rest.len());
    let (name, after) = rest.split_at_checked(length)?;
    let name = name.trim_end_matches('.');
    let (inside, after) =
        match after.trim_start().strip_prefix('(').and_then(|it| it.split_once(')')) {
            Some((column, after)) => (format!(" ({})", column.trim()), after),
            None => (String::new(), after),
        };
    let after = after.trim_start_matches(')').trim().to_ascii_lowercase();
    let ends = after.is_empty() || after.starts_with("on ");
    // Else it may be any word, as in "references the order".
    let is_name =
        !inside.is_empty() || name.contains('.') || ends || after.starts_with([',', ';', '.']);
    if name.is_empty() || !is_name || alone && !ends {
        return None;
    }
    let shown = format!("{name}{inside}");
    let (columns, targets) = (vec![column.to_owned()], targets(&shown));
    Some(Claim { columns, shown, targets, on_delete: on_delete(&after) })
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

impl Claim {
    pub(super) fn mistakes(&self, table: &Table) -> Vec<Mistake> {
        self.columns.iter().filter_map(|column| self.mistake(table, column)).collect()
    }

    fn mistake(&self, table: &Table, column: &str) -> Option<Mistake> {
        // It may speak of another table.
        table.columns.iter().find(|it| it.name == column)?;
        let object = format!("{}.{}", table.name, quoted(column));
        let target = &self.shown;
        let Some(key) = table.foreign_keys.iter().find(|key| self.is_of(key, column)) else {
            return Some(Mistake {
                kind: "document_foreign_key",
                message: format!(
                    "The document says that {object} refers to {target}; no foreign key does."
                ),
                fix: "Take it out of the document, or add the foreign key.".to_owned(),
                object,
            });
        };
        let said = self.on_delete.filter(|said| *said != key.on_delete)?;
        Some(Mistake {
            kind: "document_foreign_key",
            message: format!(
                "The document says on delete {said} of {object}; it is {}.",
                key.on_delete
            ),
            fix: format!(
                "Write `on delete {}` into the document, or change the key.",
                key.on_delete
            ),
            object,
        })
    }

    fn is_of(&self, key: &ForeignKey, column: &str) -> bool {
        let is_target = |(table, column): &(String, Option<String>)| {
            let mut parts = table.rsplit('.').map(|part| part.trim_matches('"'));
            let named = parts.next().unwrap_or_default();
            let is_schema =
                parts.next().is_none_or(|schema| schema.eq_ignore_ascii_case(&key.target.schema));
            let suffix = key.target.name.strip_prefix(PREFIX);
            let is_column = column.as_ref().is_none_or(|it| key.target_columns == [it.as_str()]);
            let is_table = key.target.name.eq_ignore_ascii_case(named)
                || suffix.is_some_and(|suffix| named.ends_with(suffix));
            is_schema && is_table && is_column
        };
        key.columns == [column] && self.targets.iter().any(is_target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_say_what_a_column_refers_to() {
        let cases = [
            ("references users(id) on delete cascade", "users (id)", Some("cascade")),
            ("NOT NULL, REFERENCES public.users (id)", "public.users (id)", None),
            ("FOREIGN KEY (a) REFERENCES users(id)", "users (id)", None),
            ("FK -> users.id", "users.id", None),
            ("FK (users.id), not null", "users.id", None),
            ("fk to users", "users", None),
            ("references {prefix}_orders (id)", "{prefix}_orders (id)", None),
            ("FK", "", None),
            ("references the order", "", None),
            ("fkey users(id)", "", None),
        ];
        for (text, shown, on_delete) in cases {
            let found = of_column("a", text, false);
            let found = found.map(|it| (it.shown, it.on_delete)).unwrap_or_default();
            assert_eq!(found, (shown.to_owned(), on_delete), "{text}");
        }
        assert!(of_column("a", " references users(id)", true).is_some());
        for text in
            ["it references users(id)", "references users who pay", "references users(id), or so"]
        {
            assert!(of_column("a", text, true).is_none(), "{text}");
        }
    }
}
