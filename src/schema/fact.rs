//! One thing that makes up an agent, as the catalog has it.

use std::borrow::Cow;

use super::kind::Kind;
use super::sql::bare;

/// What is found of a sequence that its column draws from and does not own.
pub(super) const PARTED: &str = "owned by another column, or by none";

/// How the server ends the definition of a constraint whose rows were not checked.
pub(crate) const NOT_VALID: &str = " NOT VALID";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub kind: Kind,
    /// The agent's table or type that it belongs to: its bare name, as the registry has it. Empty in the base schema.
    pub home: String,
    /// What it is or belongs to, qualified and quoted.
    pub relation: String,
    /// Its name there, quoted: of a column, a policy, a grantee…
    pub part: String,
    /// In the server's own words.
    pub definition: String,
    /// In its words after it was made anew from the definition, where those are others.
    pub(crate) echo: Option<String>,
}

/// What tells one fact from all others.
pub(crate) type Key = (Kind, String, String);

impl Fact {
    /// The same with every text of SQL changed in the same way, and the bare name in another.
    pub(crate) fn map(
        &self,
        change: impl Fn(&str) -> String,
        bare: impl Fn(&str) -> String,
    ) -> Self {
        Self {
            kind: self.kind,
            home: bare(&self.home),
            relation: change(&self.relation),
            part: change(&self.part),
            definition: change(&self.definition),
            echo: self.echo.as_deref().map(change),
        }
    }

    pub(crate) fn key(&self) -> Key {
        (self.kind, self.relation.clone(), self.part.clone())
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.kind == other.kind && self.is_beside(other)
    }

    /// The name of its part, without schema and quotes.
    pub(super) fn bare_part(&self) -> String {
        bare(&self.part).trim_matches('"').replace("\"\"", "\"")
    }

    /// Whether it has the same relation and part, such as a column and its default.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        (&self.relation, &self.part) == (&other.relation, &other.part)
    }

    /// Whether a definition found in the catalog is this one.
    pub(crate) fn is(&self, found: &str) -> bool {
        self.definition == found
            || self.echo.as_deref() == Some(found)
            || plain_numbers(&self.definition) == plain_numbers(found)
            || self.echo.as_deref().is_some_and(|echo| plain_numbers(echo) == plain_numbers(found))
    }

    /// Whether it is a constraint that holds for the rows that are there.
    pub(super) fn holds_for_rows(&self) -> bool {
        ![NOT_VALID, " NOT ENFORCED"].iter().any(|end| self.definition.ends_with(end))
    }

    /// What orders the making: kinds in turn, and foreign keys after the keys and unique indexes that they refer to.
    pub(crate) fn rank(&self) -> (Kind, bool) {
        let is_key = self.kind == Kind::Constraint && self.definition.starts_with("FOREIGN KEY");
        (if is_key { Kind::Index } else { self.kind }, is_key)
    }

    /// Whether it cannot be there where that one is not.
    pub(crate) fn goes_with(&self, other: &Self) -> bool {
        let at_home = !self.home.is_empty() && self.home == other.home;
        if other.kind == Kind::Table || other.kind == Kind::Type {
            return at_home && self.kind != other.kind;
        }
        if self.kind == Kind::Comment {
            return other.comment_target().is_some_and(|target| target == self.part);
        }
        if self.kind == Kind::ColumnGrant {
            return other.kind == Kind::Column
                && self.relation == other.fill("({part}) on {relation}");
        }
        if self.kind == Kind::InheritedColumn && other.kind == Kind::Parent {
            return at_home;
        }
        if self.kind == Kind::OwnConstraint {
            return other.kind == Kind::Constraint && self.is_beside(other);
        }
        let of_column = || {
            matches!(
                self.kind,
                Kind::Default
                    | Kind::InheritedColumn
                    | Kind::ColumnStorage
                    | Kind::ColumnCompression
                    | Kind::ColumnStatistics
                    | Kind::ColumnOptions
            )
        };
        matches!(other.kind, Kind::Sequence | Kind::Identity) && self.needs(other)
            || other.kind == Kind::Column && of_column() && self.is_beside(other)
            || self.kind == Kind::Identity && other.is_filled_by(self)
            || self.kind == Kind::IndexStatistics
                && other.kind == Kind::Index
                && self.relation == other.part
    }

    /// What `comment on` calls it.
    fn comment_target(&self) -> Option<String> {
        let targets = [
            (Kind::Column, "column {relation}.{part}"),
            (Kind::Constraint, "constraint {part} on {relation}"),
            (Kind::Index, "index {part}"),
            (Kind::Policy, "policy {part} on {relation}"),
            (Kind::Trigger, "trigger {part} on {relation}"),
            (Kind::Rule, "rule {part} on {relation}"),
            (Kind::Sequence, "sequence {relation}"),
            (Kind::Identity, "sequence {relation}"),
        ];
        let target = targets.into_iter().find(|(kind, _)| *kind == self.kind);
        target.map(|(_, pattern)| self.fill(pattern))
    }

    /// Whether it is a default that takes its values from a sequence.
    pub(super) fn draws_from(&self, sequence: &Self) -> bool {
        self.kind == Kind::Default && self.definition.contains(&constant(&sequence.relation))
    }

    /// Whether it uses a sequence, or is a grant on it.
    pub(crate) fn needs(&self, sequence: &Self) -> bool {
        let right = || matches!(self.kind, Kind::Grant | Kind::OwnerRights);
        self.draws_from(sequence)
            || right() && self.relation == format!("sequence {}", sequence.relation)
    }

    /// Whether it is the column that a sequence belongs to.
    pub(crate) fn is_filled_by(&self, sequence: &Self) -> bool {
        self.kind == Kind::Column && self.fill("{relation}.{part}") == sequence.part
    }

    /// The statement that gives a sequence back to its column, if that is what was found of it.
    pub(super) fn owned_again(&self, found: &str) -> Option<String> {
        let is_parted = self.kind == Kind::Sequence && found == PARTED;
        is_parted.then(|| self.fill("alter sequence {relation} owned by {part}"))
    }

    /// The statements that make a column count by itself again, if that is what was lost, on from the numbers it has.
    pub(super) fn identity_again(&self, found: &str) -> Option<String> {
        const IDENTITY: &str = " as identity";
        let (head, _) = self.definition.split_once(IDENTITY)?;
        let how = head.split_once(" generated ").map(|(_, how)| how)?;
        let is_lost = self.kind == Kind::Column && !found.contains(IDENTITY);
        let (table, column) =
            (constant(&self.relation), self.part.trim_matches('"').replace('\'', "''"));
        let set = format!(
            "select setval(pg_get_serial_sequence({table}::text, '{column}'), max({{part}})) from {{relation}}"
        );
        let add = format!(
            "alter table {{relation}} alter column {{part}} add generated {how} as identity"
        );
        is_lost.then(|| self.fill(&format!("{add}; {set}")))
    }

    /// A pattern with this fact's texts in their places.
    pub(super) fn fill(&self, pattern: &str) -> String {
        let mut filled = String::with_capacity(pattern.len() + 64);
        for piece in pattern.split_inclusive('}') {
            let (before, name) = piece.rsplit_once('{').unwrap_or((piece, ""));
            filled.push_str(before);
            filled.push_str(match name {
                "relation}" => &self.relation,
                "part}" => &self.part,
                "definition}" => &self.definition,
                _ => "",
            });
        }
        filled
    }
}

/// A relation as the server names it in an expression.
pub(super) fn constant(relation: &str) -> String {
    format!("'{}'::regclass", relation.replace('\'', "''"))
}

/// The same with `'1'::bigint` as `1`: the server says one or the other, and reads the same.
fn plain_numbers(text: &str) -> Cow<'_, str> {
    const CAST: &str = "'::bigint";
    if !text.contains(CAST) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(CAST) {
        match before.rsplit_once('\'') {
            Some((head, digits))
                if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) =>
            {
                plain.extend([head, digits]);
            }
            Some(_) | None => plain.extend([before, CAST]),
        }
        rest = after;
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_same_with_and_without_its_cast() {
        let cases = [
            ("(agent_id = '7'::bigint)", "(agent_id = 7)"),
            ("f('12'::bigint, '3'::bigint)", "f(12, 3)"),
            ("('a'::text || '1'::text)", "('a'::text || '1'::text)"),
            ("'x'::bigint", "'x'::bigint"),
            ("''::bigint", "''::bigint"),
        ];
        for (text, plain) in cases {
            assert_eq!(plain_numbers(text), plain);
        }
    }
}
