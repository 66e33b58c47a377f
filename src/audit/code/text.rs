//! Text in a program, some of which may be known only when the program runs.

use std::collections::BTreeMap;

use super::grammar::OPEN;

/// Known text and gaps, in turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Known(String),
    /// Known when the program runs.
    Open,
    /// What the caller of a function gives, by its place.
    Argument(usize),
}

/// What an expression comes to.
#[derive(Clone, Debug, Default)]
pub(super) enum Value {
    Text(Text),
    /// Of an object literal, an enum, a class's constants or a whole module.
    Object(BTreeMap<String, Value>),
    /// Of a function that does nothing but put a text together.
    Function(Text),
    /// Of a call that makes a client of Supabase, for a schema if it names one.
    Client(Option<Text>),
    #[default]
    Unknown,
}

impl Text {
    pub(super) fn known(text: &str) -> Self {
        Self(vec![Piece::Known(text.to_owned())])
    }

    pub(super) fn open() -> Self {
        Self(vec![Piece::Open])
    }

    pub(super) fn argument(place: usize) -> Self {
        Self(vec![Piece::Argument(place)])
    }

    pub(super) fn push(&mut self, more: Self) {
        for piece in more.0 {
            match (self.0.last_mut(), piece) {
                (Some(Piece::Known(text)), Piece::Known(more)) => text.push_str(&more),
                (Some(Piece::Open), Piece::Open) => {}
                (_, piece) => self.0.push(piece),
            }
        }
    }

    /// With the arguments of a call in their places.
    pub(super) fn call(&self, arguments: &[Self]) -> Self {
        let mut text = Self::default();
        for piece in &self.0 {
            text.push(match piece {
                Piece::Argument(place) => arguments.get(*place).cloned().unwrap_or_else(Self::open),
                Piece::Known(_) | Piece::Open => Self(vec![piece.clone()]),
            });
        }
        text
    }

    /// The whole, where all of it is known.
    pub(super) fn literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Known(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether enough is known to tell names apart: a word of three letters.
    pub(super) fn says_something(&self) -> bool {
        self.0.iter().any(|piece| match piece {
            Piece::Known(text) => text.chars().filter(|c| c.is_alphanumeric()).count() >= 3,
            Piece::Open | Piece::Argument(_) => false,
        })
    }

    /// With [`OPEN`] for each gap.
    pub(super) fn marked(&self) -> String {
        self.0.iter().map(Piece::marked).collect()
    }

    /// As the program has it, with `${…}` for each gap.
    pub(super) fn shown(&self) -> String {
        shown(&self.marked())
    }
}

impl Piece {
    fn marked(&self) -> String {
        match self {
            Self::Known(text) => text.replace(OPEN, ""),
            Self::Open | Self::Argument(_) => OPEN.to_string(),
        }
    }
}

/// A text with `${…}` for each [`OPEN`].
pub(super) fn shown(marked: &str) -> String {
    marked.replace(OPEN, "${…}")
}

/// What stands in the gap, where the name fits a text with one gap at its head.
pub(super) fn head<'a>(marked: &str, name: &'a str) -> Option<&'a str> {
    let tail = marked.strip_prefix(OPEN)?;
    name.strip_suffix(tail).filter(|head| !head.is_empty() && !tail.contains(OPEN))
}

/// Whether the name fits a text, with anything but nothing in each gap.
pub(super) fn fits(marked: &str, name: &str) -> bool {
    let mut parts = marked.split(OPEN);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    let without_first = |rest: &str| rest.char_indices().nth(1).map_or(rest.len(), |(at, _)| at);
    for part in parts {
        // Where it stands first is as good as any later place.
        let after_gap = rest.get(without_first(rest)..).unwrap_or_default();
        let Some((_, after)) = after_gap.split_once(part) else { return false };
        if rest.is_empty() {
            return false;
        }
        rest = after;
    }
    rest.strip_suffix(last).is_some_and(|gap| !gap.is_empty())
}

impl Value {
    /// The text, or a gap.
    pub(super) fn into_text(self) -> Text {
        match self {
            Self::Text(text) => text,
            Self::Object(_) | Self::Function(_) | Self::Client(_) | Self::Unknown => Text::open(),
        }
    }

    /// Of an object.
    pub(super) fn property(&self, name: &str) -> Self {
        match self {
            Self::Object(properties) => properties.get(name).cloned().unwrap_or_default(),
            Self::Text(_) | Self::Function(_) | Self::Client(_) | Self::Unknown => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_texts_with_gaps() {
        let cases = [
            ("a", "a", true),
            ("a", "b", false),
            ("\u{fffc}_orders", "agt_orders", true),
            ("\u{fffc}_orders", "_orders", false),
            ("\u{fffc}_orders", "agt_orders_items", false),
            ("log_\u{fffc}", "log_2025", true),
            ("log_\u{fffc}", "log_", false),
            ("a_\u{fffc}_b_\u{fffc}", "a_x_b_y", true),
            ("a_\u{fffc}_b_\u{fffc}", "a_x_c_y", false),
            ("\u{fffc}", "é", true),
            ("\u{fffc}b\u{fffc}b\u{fffc}", "abbbb", true),
            ("\u{fffc}b\u{fffc}b\u{fffc}", "abbb", false),
        ];
        for (marked, name, expected) in cases {
            assert_eq!(fits(marked, name), expected, "{marked} {name}");
        }
        assert_eq!(head("\u{fffc}_orders", "agt_1_orders"), Some("agt_1"));
        assert_eq!(head("\u{fffc}_orders", "_orders"), None);
    }
}
