//! What nobody manages beside the tables that are to be adopted, and what of it hangs on them or on `agents`.

use std::collections::{HashMap, HashSet};

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::adopt::Candidate;
use super::error::{Error, query};

/// A relation that no template makes and nobody manages.
#[derive(Clone, Debug)]
pub(crate) struct OtherRelation {
    /// With its schema where that is not `public`.
    pub name: String,
    /// Whether its name begins with the agent's prefix.
    pub prefixed: bool,
    /// How it hangs on a table of the agent's, or on `agents`.
    pub hangs_on: Option<String>,
}

/// What is there besides the candidates' tables.
#[derive(Debug, Default)]
pub(crate) struct Others {
    /// By prefix: what is named like an agent's, or hangs on its tables.
    pub of_agents: HashMap<String, Vec<OtherRelation>>,
    /// What hangs on `agents`, and is named like no agent's.
    pub of_all: Vec<OtherRelation>,
}

/// Relations besides the candidates' tables. Of several prefixes that head a name, the longest counts.
pub(crate) async fn others(client: &Client, candidates: &[Candidate]) -> Result<Others, Error> {
    let failed = || query("look for other tables");
    let agents = "select agent_prefix::text from public.agents";
    let agents = client.query_typed(agents, &[]).await.map_err(failed())?;
    let agents: HashSet<&str> = agents.iter().map(|row| row.get(0)).collect();
    let mut asked: HashSet<&str> = HashSet::new();
    let mut known: HashMap<u32, &str> = HashMap::new();
    for Candidate { built, .. } in candidates {
        let prefix = built.agent.prefix.as_str();
        asked.insert(prefix);
        known.extend(built.tables.iter().map(|table| (*table, prefix)));
    }
    let oids: Vec<u32> = known.keys().copied().collect();
    let sql = include_str!("../../sql/provisioning/adopt_others.sql");
    let rows = client.query_typed(sql, &[(&oids, Type::OID_ARRAY)]).await.map_err(failed())?;
    let mut others = Others::default();
    for row in rows.iter().filter(|row| !known.contains_key(&row.get("oid"))) {
        let bare_name: &str = row.get("bare_name");
        let mut heads = bare_name.rmatch_indices('_').filter_map(|(at, _)| bare_name.get(..at));
        let is_public = row.get::<_, bool>("is_public");
        let head = heads.find(|head| agents.contains(head)).filter(|_| is_public);
        let on = row.get::<_, Option<u32>>("on_table").and_then(|table| known.get(&table).copied());
        let hangs_on: Option<String> = row.get("hangs_on");
        let other = |prefixed, hangs_on: Option<String>| OtherRelation {
            name: row.get("name"),
            prefixed,
            hangs_on,
        };
        if let Some(prefix) = on.filter(|prefix| head != Some(prefix)) {
            let of_it = others.of_agents.entry(prefix.to_owned()).or_default();
            of_it.push(other(false, hangs_on.clone()));
        }
        match head {
            Some(head) if asked.contains(head) => {
                let hangs_on = hangs_on.filter(|_| on.is_none_or(|prefix| prefix == head));
                others.of_agents.entry(head.to_owned()).or_default().push(other(true, hangs_on));
            }
            None if on.is_none() && hangs_on.is_some() => {
                others.of_all.push(other(false, hangs_on));
            }
            Some(_) | None => {}
        }
    }
    Ok(others)
}
