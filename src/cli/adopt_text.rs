//! The plan of `agents adopt` as text.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::difference_text;
use super::table::clean;
use crate::operations::adopt::{Hanging, Plan, Planned, Refused};
use crate::operations::verify::DifferenceReport;

/// Names that a line holds; more are counted.
const NAMED: usize = 8;

/// Agents of one shape together, unless each is asked for.
pub(super) fn print(plan: &Plan, out: &mut impl Write, each: bool) -> io::Result<()> {
    let mut shapes: BTreeMap<String, Vec<&Planned>> = BTreeMap::new();
    for planned in &plan.agents {
        shapes.entry(shape(planned, each)?).or_default().push(planned);
    }
    let mut shapes: Vec<_> = shapes.into_iter().collect();
    shapes.sort_by_key(|(_, agents)| std::cmp::Reverse(agents.len()));
    for (shape, agents) in shapes {
        let names = agents.iter().map(|planned| planned.prefix.as_str());
        writeln!(out, "{}: {}", count(agents.len()), list(names))?;
        writeln!(out, "{shape}")?;
    }
    if !each {
        print_others(plan, out)?;
    }
    for Hanging { name, because } in &plan.hanging {
        let (name, because) = (clean(name), clean(because));
        writeln!(out, "{name} holds up the deletion of agents, or loses rows by it: {because}")?;
    }
    for Refused { prefix, id, reason } in &plan.not_adoptable {
        writeln!(out, "{} ({id}) cannot be adopted: {}", clean(prefix), clean(reason))?;
    }
    for prefix in &plan.nothing_to_adopt {
        writeln!(out, "{prefix}: nothing to adopt; see: agents show {prefix}")?;
    }
    let (agents, refused) = (plan.agents.len(), plan.not_adoptable.len());
    writeln!(out, "{} to adopt, {refused} not adoptable", count(agents))
}

/// What hangs on agents' tables, by itself; and what is free.
fn print_others(plan: &Plan, out: &mut impl Write) -> io::Result<()> {
    let hanging: Vec<&Hanging> = plan.agents.iter().flat_map(|agent| &agent.hanging).collect();
    if !hanging.is_empty() {
        let names = list(hanging.iter().map(|hanging| hanging.name.as_str()));
        writeln!(
            out,
            "{} tables and views of no template hold up the deletion of their agents, or lose rows by it: {names}; \
             `agents adopt PREFIX` says why",
            hanging.len()
        )?;
    }
    let free: Vec<&str> = plan.agents.iter().flat_map(free).collect();
    if free.is_empty() {
        return Ok(());
    }
    let names = list(free.iter().copied());
    writeln!(out, "{} tables and views of no template, left alone: {names}", free.len())
}

fn free(planned: &Planned) -> Vec<&str> {
    let hangs = |name: &&String| planned.hanging.iter().any(|hanging| hanging.name == **name);
    let free = planned.other_tables.iter().filter(|name| !hangs(name));
    free.map(String::as_str).collect()
}

/// All but names and ids; with these too where each agent is asked for.
fn shape(planned: &Planned, each: bool) -> io::Result<String> {
    let Planned { template_version, reference, owners, differences, left, .. } = planned;
    let mut shape = Vec::new();
    let owners = clean(&owners.join(" and "));
    let registered = match planned.registered_version {
        Some(version) if version == *template_version => ", registered".to_owned(),
        Some(version) => format!(", registered at {version}"),
        None => String::new(),
    };
    writeln!(shape, "  template {template_version}{registered}, {reference}, owned by {owners}")?;
    let named = |name: &String| if each { name.clone() } else { open(name, planned) };
    let taken: Vec<String> = planned.taken.iter().map(named).collect();
    writeln!(shape, "  is taken over: {}", clean(&taken.join(", ")))?;
    let repaired = differences.iter().filter(|difference| !left.contains(difference));
    for (title, differences) in
        [("is repaired", repaired.collect::<Vec<_>>()), ("stays as it is", left.iter().collect())]
    {
        if !differences.is_empty() {
            writeln!(shape, "  {title}:")?;
        }
        for difference in differences {
            if each {
                difference_text::print(difference, &mut shape)?;
            } else {
                difference_text::print(&without_names(difference, planned), &mut shape)?;
            }
        }
    }
    if each {
        for Hanging { name, because } in &planned.hanging {
            let (name, because) = (clean(name), clean(because));
            writeln!(
                shape,
                "  {name} holds up the agent's deletion, or loses rows by it: {because}"
            )?;
        }
        let free = free(planned);
        if !free.is_empty() {
            writeln!(shape, "  left alone: {}", clean(&free.join(", ")))?;
        }
    }
    Ok(String::from_utf8_lossy(&shape).into_owned())
}

/// With placeholders for the agent's prefix and id, so that agents of one shape look alike.
fn without_names(difference: &DifferenceReport, planned: &Planned) -> DifferenceReport {
    let open = |text: &String| open(text, planned);
    DifferenceReport {
        object: open(&difference.object),
        expected: difference.expected.as_ref().map(open),
        found: difference.found.as_ref().map(open),
        obstacle: difference.obstacle.as_ref().map(open),
        by_hand: difference.by_hand.as_ref().map(open),
        ..*difference
    }
}

fn open(text: &str, planned: &Planned) -> String {
    let id = planned.id.to_string();
    if *text == id {
        return "{agent_id}".to_owned();
    }
    let text = text.replace(&format!("{}_", planned.prefix), "{prefix}_");
    // As the server shows a small number, a large one, and one that is compared.
    let shown = [
        (format!("({id})::bigint"), "{agent_id}"),
        (format!("'{id}'::bigint"), "{agent_id}"),
        (format!(" = {id})"), " = {agent_id})"),
    ];
    shown.iter().fold(text, |text, (shown, open)| text.replace(shown, open))
}

fn count(agents: usize) -> String {
    format!("{agents} {}", if agents == 1 { "agent" } else { "agents" })
}

/// The first names, and how many more there are.
fn list<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let mut text = names.take(NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text = format!("{text} and {more} more");
    }
    clean(&text)
}
