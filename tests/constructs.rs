//! What templates say of a table, kind by kind: it is compared, and whichever way an agent comes to it, it is the same.
//! `pg_dump` and the server's catalogs are the judges.

mod paths;
mod table;

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::Value;

use crate::repair::Mends::{self, Always, Forced, Never};
use crate::support::{
    ADMIN, Admin, Database, Files, Order, expect, finish, json, portraits, provisioner,
};
pub use paths::{Damage, Paths, Templates};
pub use table::{CONSTRUCTS, Construct};

/// A text of a construct's with T and N filled in.
pub fn of(prefix: &str, name: &str, text: &str) -> String {
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let table = format!("{prefix}_{name}");
    let (mut filled, mut chars, mut before) = (String::new(), text.chars().peekable(), ' ');
    while let Some(c) = chars.next() {
        let alone = !before.is_ascii_alphanumeric()
            && !chars.peek().is_some_and(char::is_ascii_alphanumeric);
        match c {
            'T' if alone && plain => filled.extend(["public.", &table]),
            'T' if alone => filled.extend(["public.\"", &table, "\""]),
            'N' if alone => filled.push_str(&table),
            c => filled.push(c),
        }
        before = c;
    }
    filled
}

/// Those that a release of PostgreSQL knows.
pub fn constructs(release: i32) -> impl Iterator<Item = &'static Construct> {
    CONSTRUCTS.iter().filter(move |construct| construct.since <= release)
}

pub async fn release(admin: &Admin) -> i32 {
    admin.one("select current_setting('server_version_num')::int / 10000").await
}

/// A file that runs outside a transaction in upgrades.
const CONCURRENT: (&str, &str) = (
    "0003_index.sql",
    "-- provisioner: concurrently\n\
     create index concurrently if not exists {prefix}_storage_b on public.{prefix}_storage (b);\n\
     create unique index concurrently if not exists \"{prefix}_keyed B\" on public.{prefix}_keyed_k (b, id desc)",
);

/// What `foreign_key.sql` says.
const KEY: &str = "alter table public.{prefix}_keyed_k add foreign key (agent_id) references public.agents (id) on delete cascade";

/// What else is done to a table that is renamed: its name has to come back before all else.
const AWAY: &str = "alter table T disable row level security; alter policy own on T using (true);
                    comment on table T is null; alter table T rename to N_away";

/// Two files: tables with rows, and what is to be said of them.
fn templates(release: i32, wanted: impl Fn(&Construct) -> bool) -> [(String, String); 2] {
    let constructs: Vec<_> = constructs(release).filter(|construct| wanted(construct)).collect();
    let base = |construct: &&Construct| {
        let more = if construct.base.is_empty() { "" } else { ", " };
        let text = format!(
            "create table T (id int primary key, b text{more}{});
             insert into T (id, b) values (1, 'one'), (2, 'it''s two'), (3, null);
             revoke all on T from public, anon, authenticated, service_role;
             alter table T enable row level security;\n",
            construct.base
        );
        of("{prefix}", construct.name, &text)
    };
    let more =
        |construct: &&Construct| of("{prefix}", construct.name, &format!("{};\n", construct.more));
    let base: String = constructs.iter().map(base).collect();
    let more: String = constructs.iter().filter(|c| !c.more.is_empty()).map(more).collect();
    [("0001_tables.sql".to_owned(), base), ("0002_constructs.sql".to_owned(), more)]
}

/// Those of which `verify` says something when they are changed.
pub fn files_of_told(release: i32) -> Files {
    files(release, |construct| !construct.said.is_empty())
}

fn files(release: i32, wanted: impl Fn(&Construct) -> bool) -> Files {
    let [base, more] = templates(release, wanted);
    Files::new(&[(&base.0, &base.1), (&more.0, &more.1)])
}

/// What `verify` says of an agent, in order.
async fn differences(db: &Database, files: &Files, prefix: &str) -> Vec<String> {
    let mut command = provisioner(&db.url(ADMIN));
    command.env("PROVISIONER_TEMPLATES", files.path());
    let verified = finish(command.args(["agents", "verify", "--json", prefix])).await;
    let report = json(&verified);
    let agents = report.get("drifted").unwrap().as_array().unwrap();
    let said = |difference: &Value| {
        let text = |key: &str| difference.get(key).unwrap().as_str().unwrap();
        format!("{} {} {}", text("change"), text("kind"), text("object"))
    };
    let mut said: Vec<_> = agents
        .iter()
        .flat_map(|agent| agent["differences"].as_array().unwrap())
        .map(said)
        .collect();
    said.sort();
    said
}

async fn repair(db: &Database, files: &Files, args: &[&str], code: i32) {
    let args = [&["agents", "repair", "--wait"], args].concat();
    let repaired = files.ask(db, &args).await;
    expect(&repaired, code, &[]);
}

/// Statements of all constructs for one prefix.
fn all(release: i32, prefix: &str, of_each: impl Fn(&Construct) -> &'static str) -> String {
    let each = constructs(release).filter(|construct| !of_each(construct).is_empty());
    each.map(|construct| of(prefix, construct.name, of_each(construct)) + ";\n").collect()
}

/// Templates of this size are enough at once: what each statement makes is read from the catalog, with all tables in it.
const PARTS: usize = 3;

#[tokio::test]
async fn an_agent_is_the_same_whichever_way_it_came_to_its_tables() {
    go_all_ways(0).await;
}

#[tokio::test]
async fn an_agent_is_the_same_whichever_way_it_came_to_more_tables() {
    go_all_ways(1).await;
}

#[tokio::test]
async fn an_agent_is_the_same_whichever_way_it_came_to_still_more_tables() {
    go_all_ways(2).await;
}

async fn go_all_ways(part: usize) {
    let release = release(&Database::new().await.admin().await).await;
    let size = CONSTRUCTS.len().div_ceil(PARTS);
    let own = CONSTRUCTS.chunks(size).nth(part).unwrap();
    let wanted = |construct: &Construct| {
        // They are named in what follows.
        ["storage", "keyed", "user"].contains(&construct.name)
            || own.iter().any(|of_part| of_part.name == construct.name)
    };
    let [base, more] = templates(release, wanted);
    let files = vec![base, more, (CONCURRENT.0.to_owned(), CONCURRENT.1.to_owned())];
    let templates = Templates { files, keys: ["", KEY, KEY].map(str::to_owned).into() };
    let paths = Paths::new(templates, "foreign_key").await;
    let drop = |construct: &Construct| if wanted(construct) { construct.drop } else { "" };
    let drift = |construct: &Construct| {
        // Columns of a child that was parted from its parent are its own from then on.
        let parted = construct.name == "inherits";
        let left = construct.mends == Never || parted || !wanted(construct);
        if left { "" } else { construct.drift }
    };
    let damage = |prefix, force, sql: &dyn Fn(&Construct) -> &'static str| Damage {
        prefix,
        sql: all(release, "{prefix}", sql),
        force,
        order: Order::Kept,
    };
    let mut damages = [
        damage("agt_cut", false, &drop),
        damage("session", false, &drop),
        damage("agt_odd", true, &drift),
    ];
    damages[2].sql += &of("{prefix}", "user", AWAY);
    let findings = paths.go(&damages, true).await;
    assert!(findings.is_empty(), "{} findings\n{}", findings.len(), findings.join("\n"));
}

#[tokio::test]
async fn what_templates_say_of_a_table_is_compared_kind_by_kind() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let release = release(&admin).await;
    let files = files_of_told(release);
    let service = files.service(&db, &[]).await;
    admin.create("agt_x").await;
    admin.settled().await;
    let root = Admin(db.connect(SUPERUSER).await);
    assert_eq!(differences(&db, &files, "agt_x").await, [""; 0]);
    root.run(&all(release, "agt_x", |construct| construct.drift)).await;
    let told = |left: &[Mends]| {
        let is_left = |c: &&Construct| !c.said.is_empty() && left.contains(&c.mends);
        let told = constructs(release).filter(is_left);
        let mut told: Vec<_> = told.map(|c| of("agt_x", c.name, c.said)).collect();
        // Two things were done there.
        if left.contains(&Forced) {
            told.push(of("agt_x", "comments", "differs comment table T"));
        }
        // A child keeps as its own what it had by the parent that it was parted from.
        if !left.contains(&Always) {
            let own = ["b", "id"].map(|column| format!("missing inherited column T_c.{column}"));
            told.extend(own.map(|line| of("agt_x", "inherits", &line)));
        }
        told.sort();
        told
    };
    assert_eq!(differences(&db, &files, "agt_x").await, told(&[Always, Forced, Never]));
    repair(&db, &files, &[], 1).await;
    assert_eq!(differences(&db, &files, "agt_x").await, told(&[Forced, Never]));
    repair(&db, &files, &["--force"], 1).await;
    assert_eq!(differences(&db, &files, "agt_x").await, told(&[Never]));
    drop(service);
}

/// Constructs, and tables of theirs.
const LOST: [&str; 6] = ["storage", "identity", "triggers", "parted", "inherits", "unlogged"];
const LOST_TABLES: [&str; 7] =
    ["identity", "triggers", "parted", "parted_p", "parted_p1", "inherits_c", "unlogged"];

#[tokio::test]
async fn each_table_that_is_lost_comes_back_by_itself_and_the_others_keep_their_rows() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let files = files(release(&admin).await, |construct| LOST.contains(&construct.name));
    let service = files.service(&db, &[]).await;
    let id = admin.create("agt_x").await;
    admin.settled().await;
    let root = Admin(db.connect(SUPERUSER).await);
    let kept = "update public.agt_x_storage set b = 'kept'";
    root.run(kept).await;
    let before = portraits(&db, &[("agt_x", id)]).await;
    for name in LOST_TABLES {
        root.run(&format!("drop table public.agt_x_{name}")).await;
        repair(&db, &files, &[], 0).await;
        assert_eq!(differences(&db, &files, "agt_x").await, [""; 0], "{name}");
        let after = portraits(&db, &[("agt_x", id)]).await;
        let differs = before["agt_x"].differences(&after["agt_x"], Order::Kept, name);
        assert_eq!(differs, [""; 0]);
    }
    drop(service);
}

#[tokio::test]
async fn a_name_that_the_server_cuts_before_a_letter_is_refused_and_a_short_one_is_not() {
    let db = Database::new().await;
    // An agent with a shorter prefix has more of the column's name in that of the constraint.
    let table = |column: &str| {
        format!(
            "create table public.{{prefix}}_tt ({column} int check ({column} > 0));
             alter table public.{{prefix}}_tt enable row level security;
             revoke all on public.{{prefix}}_tt from public, anon, authenticated, service_role"
        )
    };
    for (column, code) in [("двадцать_букв_подряд", 2), ("десять_букв", 0)]
    {
        let files = Files::new(&[("0001_tt.sql", &table(column))]);
        if code == 0 {
            files.service(&db, &[]).await;
            continue;
        }
        expect(&files.ask(&db, &["run"]).await, code, &["0001_tt.sql:1", "63 bytes"]);
    }
}
