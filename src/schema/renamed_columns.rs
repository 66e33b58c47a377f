//! Columns that may have been renamed: one is missing, and its table has another one like it that the templates do not make.
//! Nobody knows it for sure, so a person decides, and no repair makes an empty column beside the one with the values.

use super::difference::{Change, Difference};
use super::fact::Fact;
use super::kind::Kind;

/// Leaves one difference for each such column, which names both ways out. What differs with it by the name alone goes, and so
/// does a child's column: it has its parent's name.
pub(crate) fn tell_renamed_columns(drift: &mut Vec<Difference>, expected: &[Fact]) {
    let mut pairs: Vec<(Fact, Fact)> = Vec::new();
    for Difference { object, .. } in drift.iter().filter(|it| is_column(it, &Change::Missing)) {
        let like = drift.iter().filter(|it| is_column(it, &Change::Extra)).map(|it| &it.object);
        let mut like = like.filter(|extra| {
            extra.relation == object.relation
                && object.is(&extra.definition)
                && !pairs.iter().any(|(_, taken)| taken == *extra)
        });
        if let Some(extra) = like.next() {
            pairs.push((object.clone(), extra.clone()));
        }
    }
    for (column, other) in &pairs {
        let is_with_parent = |parent: &Fact| {
            let mut of_parent = pairs.iter().filter(|(column, _)| column.relation == parent.part);
            of_parent.any(|pair| (&pair.0.part, &pair.1.part) == (&column.part, &other.part))
        };
        let parents = |it: &&Fact| it.kind == Kind::Parent && it.home == column.home;
        let is_childs = expected.iter().filter(parents).any(is_with_parent);
        drift.retain(|it| it.object == *column && !is_childs || !follows(it, column, other));
        if let Some(told) = drift.iter_mut().find(|it| it.object == *column) {
            told.change = Change::Removed {
                found: None,
                obstacle: Some(format!(
                    "column {} is like it, and may be this one renamed. If it is another one: {}",
                    other.part,
                    column.create()
                )),
                statement: Some(format!(
                    "alter table {} rename column {} to {}",
                    column.relation, other.part, column.part
                )),
            };
        }
    }
}

fn is_column(difference: &Difference, change: &Change) -> bool {
    difference.object.kind == Kind::Column && difference.change == *change
}

/// Whether it is one of the two columns, hangs on one of them, or differs in no more than their names.
fn follows(difference: &Difference, column: &Fact, other: &Fact) -> bool {
    let Difference { object, change } = difference;
    let hangs_on = |column: &Fact| {
        object.goes_with(column) || object.kind == Kind::Sequence && column.is_filled_by(object)
    };
    match change {
        Change::Missing => object == column || hangs_on(column),
        Change::Extra => object == other || hangs_on(other),
        Change::Differs { found } => object.is(&found.replace(&other.part, &column.part)),
        Change::Removed { .. } => false,
    }
}
