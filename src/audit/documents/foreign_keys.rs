//! Sentences such as "`user_id` refers to `users (id)`, on delete cascade."

use super::columns::Mistake;
use super::markdown::{Phrase, Piece};
use crate::audit::relations::{ForeignKey, PREFIX, Table};
use crate::sql_text::quoted;

const VERBS: [&str; 4] = ["refers to", "refer to", "references", "reference"];
const ACTIONS: [&str; 5] = ["cascade", "set null", "set default", "restrict", "no action"];

/// One sentence: columns, what they refer to, and what a deletion does.
struct Claim {
    columns: Vec<String>,
    table: String,
    target_column: Option<String>,
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
    let (table, column) = match target.split_once('(') {
        Some((table, column)) => (table, Some(column.trim_end_matches(')').trim().to_owned())),
        None => (target.as_str(), None),
    };
    let rest = pieces.next().map_or("", |piece| match piece {
        Piece::Text(text) | Piece::Code(text) => text.as_str(),
    });
    let action = rest.split_once("on delete ").map_or("", |(_, action)| action.trim_start());
    let on_delete = ACTIONS.into_iter().find(|known| action.starts_with(known));
    Some(Claim { columns, table: table.trim().to_owned(), target_column: column, on_delete })
}

impl Claim {
    fn mistakes(&self, table: &Table) -> Vec<Mistake> {
        self.columns.iter().filter_map(|column| self.mistake(table, column)).collect()
    }

    fn mistake(&self, table: &Table, column: &str) -> Option<Mistake> {
        // It may speak of another table.
        table.columns.iter().find(|it| it.name == column)?;
        let object = format!("{}.{}", table.name, quoted(column));
        let target = self
            .target_column
            .as_ref()
            .map_or_else(|| self.table.clone(), |column| format!("{} ({column})", self.table));
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
        let named = self.table.rsplit('.').next().unwrap_or_default().trim_matches('"');
        let suffix = key.target.name.strip_prefix(PREFIX);
        let is_target =
            key.target.name == named || suffix.is_some_and(|suffix| named.ends_with(suffix));
        let is_column =
            self.target_column.as_ref().is_none_or(|it| key.target_columns == [it.as_str()]);
        key.columns == [column] && is_target && is_column
    }
}
