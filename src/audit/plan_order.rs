//! In which order differences are ended.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::schema_state::SchemaState;
use crate::schema::{Change, Difference, Key, Kind};

/// What adds, each after what it needs; then what is extra, each before what it needs.
pub(super) fn sorted<'a>(
    differences: &'a [Difference],
    expected: &SchemaState,
    new: &HashSet<&str>,
) -> Vec<&'a Difference> {
    let adding: Vec<&Difference> =
        differences.iter().filter(|it| it.change != Change::Extra).collect();
    let mut places: HashMap<Key, usize> = HashMap::new();
    for (place, difference) in adding.iter().enumerate() {
        places.insert(difference.object.key(), place);
    }
    // What comes with something else is where that is.
    let mut place_of = |key: &Key| -> Option<usize> {
        let (kind, relation, part) = key;
        let table = (Kind::Table, relation.clone(), String::new());
        if matches!(kind, Kind::Column | Kind::Default)
            && new.contains(relation.as_str())
            && let Some(place) = places.get(&table)
        {
            return Some(*place);
        }
        if *kind == Kind::Default {
            let column = (Kind::Column, relation.clone(), part.clone());
            return places.get(&column).or_else(|| places.get(key)).copied();
        }
        places.get(key).copied()
    };
    let mut needs: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); adding.len()];
    for difference in &adding {
        let fact = &difference.object;
        let Some(own) = place_of(&fact.key()) else { continue };
        let needed_by = |key: &Key| expected.needs.get(key).into_iter().flatten();
        let table = (Kind::Table, fact.home.clone(), String::new());
        // A child's constraint may come with its parent's.
        let of_parents = needed_by(&table).filter(|(kind, ..)| *kind == Kind::Table);
        let of_parents = of_parents
            .map(|(_, parent, _)| (Kind::Constraint, parent.clone(), fact.part.clone()))
            .filter(|_| fact.kind == Kind::Constraint);
        let of_parents: Vec<Key> = of_parents.collect();
        let needed = needed_by(&fact.key()).chain(&of_parents);
        let mut found: Vec<usize> = needed.filter_map(&mut place_of).collect();
        if new.contains(fact.home.as_str()) && fact.kind != Kind::Sequence {
            let heads = [Kind::Table, Kind::View, Kind::Function, Kind::Type, Kind::Sequence];
            found.extend(
                heads
                    .iter()
                    .filter_map(|head| place_of(&(*head, fact.home.clone(), String::new()))),
            );
        }
        if let Some(set) = needs.get_mut(own) {
            set.extend(found.into_iter().filter(|place| *place != own));
        }
    }
    let mut order = ordered(&adding, needs);
    let mut extra: Vec<&Difference> =
        differences.iter().filter(|it| it.change == Change::Extra).collect();
    extra.sort_by_key(|it| std::cmp::Reverse(it.object.rank()));
    order.extend(extra);
    order
}

/// By rank, as far as needs allow. In a circle the lowest rank comes first.
fn ordered<'a>(adding: &[&'a Difference], mut needs: Vec<BTreeSet<usize>>) -> Vec<&'a Difference> {
    let mut waiting: BTreeSet<((Kind, bool), usize)> = adding
        .iter()
        .enumerate()
        .map(|(place, difference)| (difference.object.rank(), place))
        .collect();
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); adding.len()];
    for (place, needed) in needs.iter().enumerate() {
        for other in needed {
            users.get_mut(*other).into_iter().for_each(|list| list.push(place));
        }
    }
    let mut free: BTreeSet<((Kind, bool), usize)> = waiting
        .iter()
        .filter(|(_, place)| needs.get(*place).is_none_or(BTreeSet::is_empty))
        .copied()
        .collect();
    let mut order = Vec::with_capacity(adding.len());
    while let Some(next) = free.pop_first().or_else(|| waiting.first().copied()) {
        waiting.remove(&next);
        order.extend(adding.get(next.1).copied());
        for user in users.get(next.1).into_iter().flatten() {
            let Some(set) = needs.get_mut(*user) else { continue };
            set.remove(&next.1);
            let rank = adding.get(*user).map(|difference| (difference.object.rank(), *user));
            if let Some(rank) = rank.filter(|rank| set.is_empty() && waiting.contains(rank)) {
                free.insert(rank);
            }
        }
    }
    order
}
