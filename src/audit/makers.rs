//! Which file and line made what.

use std::collections::HashMap;

use super::definition::line_of;
use super::files::SqlFile;
use super::finding::Place;
use crate::schema::{Fact, Key};

/// Which file and line made what.
#[derive(Debug)]
pub(super) struct Makers<'a> {
    pub(super) files: &'a [SqlFile],
    /// The files that made or changed a fact, in their order.
    pub(super) of: &'a HashMap<Key, Vec<usize>>,
}

impl Makers<'_> {
    /// Where a fact came to be as it is.
    pub(super) fn place(&self, fact: &Fact) -> Option<Place> {
        self.at(fact, *self.of.get(&fact.key())?.last()?)
    }

    /// Where a fact came to be.
    pub(super) fn origin(&self, fact: &Fact) -> Option<Place> {
        self.at(fact, *self.of.get(&fact.key())?.first()?)
    }

    fn at(&self, fact: &Fact, file: usize) -> Option<Place> {
        let file = self.files.get(file)?;
        Some(Place { file: file.name.clone(), line: line_of(fact, file) })
    }
}
