//! SQL as text: its tokens, where statements end, what they refer to, and how they are shown to a person.

mod checksum;
mod index_statement;
mod lexer;
mod names;
mod paste;
mod reader;
mod references;
mod split;

pub(crate) use checksum::checksum;
pub(crate) use index_statement::IndexStatement;
#[cfg(test)]
pub(crate) use lexer::FOUND;
pub(crate) use lexer::{Kind, Token, is_word, line_ends, tokens};
pub(crate) use names::{mentions, quote_word, rename};
pub use paste::pasteable;
pub(crate) use reader::{Reader, name};
pub(crate) use references::{AGENTS, in_quotes, outside, quoted, refers_to};
pub(crate) use split::is_terminated;
pub use split::{Statement, split};
