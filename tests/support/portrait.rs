//! All that an agent is: by `pg_dump`, by the server's catalogs, and by its rows. None of it comes from the program.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use agent_provisioner::dev_server::SUPERUSER;

use super::{Admin, Database, finish, pg_dump_can, said};

/// Facts of one agent, with placeholders for its prefix and id. Two agents are the same if theirs are.
#[derive(Clone, Debug, Default)]
pub struct Portrait(BTreeSet<String>);

/// What has to be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Everything.
    Kept,
    /// All but rows and the order of columns: one that was lost comes back as the last, and empty.
    Free,
}

/// Of several agents at once, by prefix. Their prefixes are of one length, for the server shortens names; their ids
/// have digits that nothing else has, see [`distinct_ids`].
pub async fn portraits(db: &Database, agents: &[(&str, i64)]) -> BTreeMap<String, Portrait> {
    let root = Admin(db.connect(SUPERUSER).await);
    let dump = if pg_dump_can(&root).await { dump(db).await } else { Vec::new() };
    let mut portraits = BTreeMap::new();
    for (prefix, id) in agents {
        let head = format!("{prefix}_");
        let mut facts: Vec<String> =
            dump.iter().filter(|object| object.contains(&head)).cloned().collect();
        facts.extend(catalogs(&root, prefix).await);
        facts.extend(rows(&root, &head).await);
        // Of this name alone the server makes a quoted one, where the prefix makes it a word of SQL.
        let (word, name) = (format!("{prefix}_user"), "{prefix}_user");
        let open = |fact: String| {
            let fact = fact.replace(&format!("\\\"{word}\\\""), name);
            let fact = fact.replace(&format!("\"{word}\""), name);
            fact.replace(prefix, "{prefix}").replace(&id.to_string(), "{agent_id}")
        };
        let facts = Portrait(facts.into_iter().map(open).collect());
        portraits.insert((*prefix).to_owned(), facts);
    }
    portraits
}

/// Lets agents have ids that look like nothing else.
pub async fn distinct_ids(admin: &Admin) {
    admin.run("alter sequence public.agents_id_seq restart 742424201").await;
}

/// What `pg_dump` writes of each object.
async fn dump(db: &Database) -> Vec<String> {
    let mut command = Command::new("pg_dump");
    command.args(["-s", "-N", "provisioning*", "-N", "auth", &db.url(SUPERUSER)]);
    let dumped = finish(&mut command).await;
    assert!(dumped.status.success(), "{}", said(&dumped));
    let text = String::from_utf8(dumped.stdout).unwrap();
    let objects = text.split("--\n-- Name: ").skip(1);
    objects.map(|object| in_order(object.trim_end_matches(['-', '\n', ' ']))).collect()
}

/// Rights are in the order in which they were granted: that is no difference. Nor is what a NOT NULL is called. Options of TOAST
/// tables are a matter of the catalogs.
fn in_order(object: &str) -> String {
    let mut lines: Vec<_> = object.lines().filter_map(without_toast).collect();
    for line in &mut lines {
        *line = without_name(line);
    }
    if lines.first().is_some_and(|first| first.contains("; Type: ACL; ")) {
        lines.sort_unstable();
    }
    lines.join("\n")
}

fn without_toast(line: &str) -> Option<String> {
    let line = line.trim_end_matches(';');
    let Some(options) = line.strip_prefix("WITH (").and_then(|rest| rest.strip_suffix(')')) else {
        return Some(line.to_owned());
    };
    let own: Vec<_> = options.split(", ").filter(|option| !option.starts_with("toast.")).collect();
    (!own.is_empty()).then(|| format!("WITH ({})", own.join(", ")))
}

fn without_name(line: &str) -> String {
    let named = line.split_once(" CONSTRAINT ").and_then(|(column, rest)| {
        let (_, rest) = rest.split_once(' ')?;
        rest.starts_with("NOT NULL").then(|| format!("{column} {rest}"))
    });
    named.unwrap_or_else(|| line.to_owned())
}

async fn catalogs(root: &Admin, prefix: &str) -> Vec<String> {
    let sql = include_str!("portrait.sql").replace("$1", &format!("'{prefix}'"));
    root.rows(&sql).await
}

async fn rows(root: &Admin, head: &str) -> Vec<String> {
    let tables = format!(
        "select c.oid::regclass from pg_class c where c.relnamespace = 'public'::regnamespace
         and c.relkind = 'r' and c.relname ^@ '{head}'"
    );
    let mut all = Vec::new();
    for table in root.rows(&tables).await {
        let rows = root.rows(&format!("select to_jsonb(t) from only {table} t")).await;
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for row in rows {
            *count.entry(row).or_default() += 1;
        }
        all.extend(count.into_iter().map(|(row, times)| format!("row {table} {row} x{times}")));
    }
    all
}

impl Portrait {
    /// What another one lacks or has more than this one, a line each. `label` names what was done.
    pub fn differences(&self, other: &Self, order: Order, label: &str) -> Vec<String> {
        let (own, others) = (self.in_order(order), other.in_order(order));
        let lacks = own.difference(&others).map(|fact| format!("{label} lacks {fact}"));
        lacks.chain(others.difference(&own).map(|fact| format!("{label} has {fact}"))).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn in_order(&self, order: Order) -> BTreeSet<String> {
        if order == Order::Kept {
            return self.0.clone();
        }
        let facts = self
            .0
            .iter()
            .filter(|fact| !fact.starts_with("position ") && !fact.starts_with("row "));
        let sorted = |fact: &String| {
            let mut lines: Vec<_> = fact.lines().map(|line| line.trim_end_matches(',')).collect();
            lines.sort_unstable();
            lines.join("\n")
        };
        facts.map(sorted).collect()
    }
}
