//! Row 7: the commands that deal with all agents.

use super::Bench;

/// Nothing is measured yet.
pub fn run(_bench: &Bench) {}
