//! The parts of a Markdown document that speak of tables.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// A part of a document, with its line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) line: usize,
    pub(super) content: Content,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    Heading(Phrase),
    Paragraph(Phrase),
    /// One point of a list, without the points below it.
    Item(Phrase),
    Table {
        head: Vec<Phrase>,
        rows: Vec<Row>,
    },
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) line: usize,
    pub(super) cells: Vec<Phrase>,
}

/// Text, in which some words are set as code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Phrase(pub(super) Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Code(String),
}

impl Phrase {
    /// All of it, as one text.
    pub(super) fn text(&self) -> String {
        let text = |piece: &Piece| match piece {
            Piece::Text(text) | Piece::Code(text) => text.clone(),
        };
        self.0.iter().map(text).collect::<String>().trim().to_owned()
    }

    /// What is set as code.
    pub(super) fn code(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Code(code) => Some(code.as_str()),
            Piece::Text(_) => None,
        })
    }

    fn push(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            Some(Piece::Code(_)) | None => self.0.push(Piece::Text(text.to_owned())),
        }
    }
}

/// What is read at the moment.
#[derive(Default)]
struct Reader {
    blocks: Vec<Block>,
    line: usize,
    phrase: Phrase,
    head: Vec<Phrase>,
    rows: Vec<Row>,
    row: Row,
    /// Whether the text of a point is still to come.
    begun: bool,
}

/// All parts, in their order.
pub(super) fn read(text: &str) -> Vec<Block> {
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let mut reader = Reader::default();
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        let line = ends.partition_point(|end| *end < range.start) + 1;
        reader.event(event, line);
    }
    reader.blocks
}

/// The comments of HTML, each with its line.
pub(super) fn comments(text: &str) -> Vec<(usize, &str)> {
    let html = Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter();
    let html = html.filter(|(event, _)| matches!(event, Event::Html(_) | Event::InlineHtml(_)));
    let found = html.filter_map(|(_, range)| {
        let line = text.get(..range.start)?.matches('\n').count() + 1;
        Some((line, text.get(range)?))
    });
    found.filter(|(_, html)| html.trim_start().starts_with("<!--")).collect()
}

impl Reader {
    fn event(&mut self, event: Event<'_>, line: usize) {
        if let Event::Start(tag) = event {
            self.start(&tag, line);
        } else if let Event::End(tag) = event {
            self.end(tag);
        } else if let Event::Text(text) = event {
            self.phrase.push(&text);
        } else if let Event::Code(code) = event {
            self.phrase.0.push(Piece::Code(code.into_string()));
        } else if matches!(event, Event::SoftBreak | Event::HardBreak) {
            self.phrase.push(" ");
        }
    }

    fn start(&mut self, tag: &Tag<'_>, line: usize) {
        if matches!(tag, Tag::Item) {
            // A point ends where one below it begins.
            self.add_item();
            self.begun = true;
        } else if matches!(tag, Tag::List(_)) {
            self.add_item();
        }
        if matches!(tag, Tag::Heading { .. } | Tag::Paragraph | Tag::Item | Tag::TableCell) {
            self.phrase = Phrase::default();
            self.line = if matches!(tag, Tag::TableCell) { self.line } else { line };
        } else if matches!(tag, Tag::Table(_)) {
            self.line = line;
        } else if matches!(tag, Tag::TableRow) {
            self.row = Row { line, cells: Vec::new() };
        }
    }

    fn add_item(&mut self) {
        let phrase = std::mem::take(&mut self.phrase);
        if self.begun && !phrase.0.is_empty() {
            self.begun = false;
            self.blocks.push(Block { line: self.line, content: Content::Item(phrase) });
        }
    }

    fn end(&mut self, tag: TagEnd) {
        if matches!(tag, TagEnd::Heading(_)) {
            self.add(Content::Heading);
        } else if matches!(tag, TagEnd::Paragraph) && self.begun {
            self.add_item();
        } else if matches!(tag, TagEnd::Paragraph) {
            self.add(Content::Paragraph);
        } else if matches!(tag, TagEnd::Item) {
            self.add_item();
            self.begun = false;
        } else if matches!(tag, TagEnd::TableCell) {
            self.row.cells.push(std::mem::take(&mut self.phrase));
        } else if matches!(tag, TagEnd::TableHead) {
            self.head = std::mem::take(&mut self.row).cells;
        } else if matches!(tag, TagEnd::TableRow) {
            self.rows.push(std::mem::take(&mut self.row));
        } else if matches!(tag, TagEnd::Table) {
            let (head, rows) = (std::mem::take(&mut self.head), std::mem::take(&mut self.rows));
            self.blocks.push(Block { line: self.line, content: Content::Table { head, rows } });
        }
    }

    fn add(&mut self, content: impl FnOnce(Phrase) -> Content) {
        let phrase = std::mem::take(&mut self.phrase);
        self.blocks.push(Block { line: self.line, content: content(phrase) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_no_code_and_no_text() {
        let text =
            "<!-- a -->\n\nb <!-- c --> `<!-- d -->`\n\n```\n<!-- e -->\n```\n\n    <!-- f -->\n";
        let found: Vec<_> =
            comments(text).into_iter().map(|(line, text)| (line, text.trim())).collect();
        assert_eq!(found, [(1, "<!-- a -->"), (3, "<!-- c -->")]);
    }

    #[test]
    fn headings_lists_and_tables_are_found_with_their_lines() {
        let text = "# One `a`\n\nText\nmore `b`.\n\n| column | type |\n|---|---|\n| `id` | `int` |\n| x | |\n\n\
                    - `c`: first\n  - `d`\n- e\n\n    code `f`\n";
        let blocks = read(text);
        let shown: Vec<(usize, String)> = blocks
            .iter()
            .map(|block| {
                let text = match &block.content {
                    Content::Heading(phrase) => format!("h {}", phrase.text()),
                    Content::Paragraph(phrase) => format!("p {}", phrase.text()),
                    Content::Item(phrase) => format!("i {}", phrase.text()),
                    Content::Table { head, rows } => {
                        let rows = rows.iter().map(|row| (row.line, row.cells[0].text()));
                        format!("t {} {:?}", head.len(), rows.collect::<Vec<_>>())
                    }
                };
                (block.line, text)
            })
            .collect();
        let expected = [
            (1, "h One a"),
            (3, "p Text more b."),
            (6, "t 2 [(8, \"id\"), (9, \"x\")]"),
            (11, "i c: first"),
            (12, "i d"),
            (13, "i e"),
            (15, "p code f"),
        ];
        assert_eq!(shown, expected.map(|(line, text)| (line, text.to_owned())));
        let Content::Heading(heading) = &blocks[0].content else { unreachable!() };
        assert_eq!(heading.code().collect::<Vec<_>>(), ["a"]);
    }
}
