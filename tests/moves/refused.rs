//! Moves that cannot be, and what somebody is told.

use super::pair::{Pair, can_write};
use super::{APP, NUMBER, rows};
use crate::schemas::assert_is_as_its_schema_says;
use crate::support::{ADA, Files, WORKER, ask, expect, json, said};

const NOTHING: &str = "select (select count(*) from provisioning.moves where ended_at is null)
    + (select count(*) from public.agents where agent_prefix = 'agt_ada')
    + (select count(*) from pg_class where relname ^@ 'agt_ada')";

#[tokio::test]
async fn what_is_missing_on_the_other_side_is_named_with_what_helps() {
    let pair = Pair::new("reference = \"check\"").await;
    let (eu, us) = (&pair.eu.admin, &pair.us.admin);
    eu.run(&format!("{APP}; {NUMBER}; insert into public.businesses (id, name) values ('00000000-0000-0000-0000-0000000000b1', 'Bakery')"))
        .await;
    us.run(&format!("delete from auth.users where id = '{}'", ADA.id)).await;
    us.run("insert into public.agents (agent_prefix) values ('agt_other')").await;
    us.settled().await;
    let refused = pair.agents("eu", &["move", "agt_ada", "--to", "us"]).await;
    let texts = [
        "the id 1 is taken, by agent agt_other",
        "--new-id",
        ADA.id,
        "ada@example.com",
        "the app 99999",
    ];
    expect(&refused, 1, &texts);
    let text = said(&refused);
    let insert = text.split("elsewhere as postgres: ").nth(1).unwrap().split(';').next().unwrap();
    us.run(insert).await;
    us.run(APP).await;
    us.run(&format!(
        "insert into public.agents (agent_prefix, user_id) values ('agt_her', '{}')",
        ADA.id
    ))
    .await;
    us.settled().await;
    let refused = pair.agents("eu", &["move", "agt_ada", "--to", "us", "--new-id"]).await;
    expect(&refused, 1, &["another agent there, agt_her"]);
    us.run("update public.agents set user_id = null").await;
    assert_eq!(us.one::<i64>(NOTHING).await, 0);
    assert!(can_write(eu).await);

    // Under an id of its own there, in every column that has it.
    let moved = json(
        &pair
            .agents("eu", &["move", "agt_ada", "--to", "us", "--new-id", "--wait", "--json"])
            .await,
    );
    assert_eq!(
        (&moved["outcome"], &moved["id"], &moved["new_id"]),
        (&"moved".into(), &1.into(), &3.into())
    );
    let ids = "select distinct c.agent_id = a.id from public.agt_ada_customers c, public.agents a where agent_prefix = 'agt_ada'";
    assert_eq!(us.rows(ids).await, ["t"]);
    assert!(can_write(us).await);
    let number = "select n.agent_id = a.id, n.is_active from public.whatsapp_numbers n, public.agents a where agent_prefix = 'agt_ada'";
    assert_eq!(us.rows(number).await, ["t|t"]);
    expect(&pair.agents("us", &["verify", "--full"]).await, 0, &[]);
}

#[tokio::test]
async fn a_move_that_cannot_be_changes_nothing() {
    let pair = Pair::new("reference = \"check\"").await;
    let (eu, us) = (&pair.eu.admin, &pair.us.admin);
    let before = rows(eu).await;
    let go = ["move", "agt_ada", "--to", "us"];
    expect(&pair.agents("eu", &["move", "agt_ada", "--to", "eu"]).await, 1, &["same database"]);
    expect(
        &pair.agents("eu", &["move", "agt_ada", "--to", "asia"]).await,
        2,
        &["asia", "eu", "us"],
    );
    expect(&pair.agents("eu", &["move", "agt_nobody", "--to", "us"]).await, 1, &["agt_nobody"]);
    expect(&pair.agents("eu", &["move", "agt_ada", "--abort"]).await, 1, &["agt_ada"]);
    let one = ask(&pair.eu.db.url(WORKER), &["agents", "move", "agt_ada", "--to", "us"]).await;
    expect(&one, 2, &["[[database]]"]);
    eu.run("insert into provisioning.jobs (kind, agent_id, agent_prefix, state, finished_at) values ('upgrade', 1, 'agt_ada', 'dead', now())")
        .await;
    expect(&pair.agents("eu", &go).await, 1, &["is dead", "jobs show"]);
    eu.run("update provisioning.jobs set state = 'cancelled' where state = 'dead'").await;
    eu.run("alter table public.agt_ada_orders add column extra text").await;
    expect(&pair.agents("eu", &go).await, 1, &["agt_ada_orders.extra text only here"]);
    eu.run("alter table public.agt_ada_orders drop column extra").await;
    let slow = pair.agents("eu", &["move", "agt_ada", "--to", "us", "--max-lock", "1ms"]).await;
    expect(&slow, 1, &[]);
    assert_eq!(rows(eu).await, before);
    assert!(can_write(eu).await);

    // Nobody takes the prefix of an agent that is on its way, and the move can be given up.
    let taken = us
        .batch_execute("insert into public.agents (agent_prefix) values ('agt_ada')")
        .await
        .unwrap_err();
    assert_eq!(taken.code().unwrap().code(), "23505");
    let aborted = json(&pair.agents("eu", &["move", "agt_ada", "--abort", "--json"]).await);
    assert_is_as_its_schema_says("agents move --abort", &aborted);
    assert_eq!((&aborted["to"], &aborted["id"]), (&"us".into(), &1.into()));
    assert_eq!(us.one::<i64>(NOTHING).await, 0);
    assert_eq!(eu.rows("select distinct state from provisioning.moves").await, ["aborted"]);
    expect(&pair.agents("eu", &go).await, 0, &["moved"]);
    expect(&pair.agents("eu", &["move", "agt_ada", "--abort"]).await, 1, &["agt_ada"]);
}

/// A value whose text depends on the database.
const ODD: &str = "create table public.{prefix}_odd (id integer primary key, what regclass);
    alter table public.{prefix}_odd enable row level security;
    revoke all on public.{prefix}_odd from public, anon, authenticated, service_role;
    create policy {prefix}_odd_owner on public.{prefix}_odd for all to authenticated
        using ((select provisioning.owned_agent({agent_id})) is not null);";

#[tokio::test]
async fn rows_that_are_others_on_the_other_side_are_not_handed_over() {
    let crm = include_str!("../../sql/agent/0001_crm.sql");
    let files = Files::new(&[("0001_crm.sql", crm), ("0002_odd.sql", ODD)]);
    let settings = format!("reference = \"check\"\ntemplates = \"{}\"", files.path());
    let pair = Pair::new(&settings).await;
    let eu = &pair.eu.admin;
    eu.run("insert into public.agt_ada_odd values (1, 'public.agt_ada_odd')").await;
    let refused = pair.agents("eu", &["move", "agt_ada", "--to", "us"]).await;
    expect(&refused, 1, &["agt_ada_odd has 1 rows here and 1 there"]);
    assert!(can_write(eu).await);
    eu.run("update public.agt_ada_odd set what = 'pg_catalog.pg_class'").await;
    expect(&pair.agents("eu", &["move", "agt_ada", "--to", "us"]).await, 0, &["moved"]);
}

/// Columns with the agent's id, and one whose default only happens to be the same number.
const NUMBERS: &str = "create table public.{prefix}_numbers (id integer primary key, small integer not null default {agent_id},
        cast_id bigint not null default {agent_id}::bigint,
        plain bigint not null default 1);
    alter table public.{prefix}_numbers enable row level security;
    revoke all on public.{prefix}_numbers from public, anon, authenticated, service_role;
    create policy {prefix}_numbers_owner on public.{prefix}_numbers for all to authenticated
        using ((select provisioning.owned_agent({agent_id})) is not null);";

#[tokio::test]
async fn a_new_id_takes_the_place_of_ids_and_of_no_other_number() {
    let crm = include_str!("../../sql/agent/0001_crm.sql");
    let files = Files::new(&[("0001_crm.sql", crm), ("0002_numbers.sql", NUMBERS)]);
    let settings = format!("reference = \"check\"\ntemplates = \"{}\"", files.path());
    let pair = Pair::new(&settings).await;
    let (eu, us) = (&pair.eu.admin, &pair.us.admin);
    us.run("insert into public.agents (agent_prefix) values ('agt_other')").await;
    us.settled().await;
    eu.run("insert into public.agt_ada_numbers (id) values (1)").await;
    let moved = pair.agents("eu", &["move", "agt_ada", "--to", "us", "--new-id", "--wait"]).await;
    expect(&moved, 0, &["as agent 2 there"]);
    assert_eq!(
        us.rows("select small, cast_id, plain from public.agt_ada_numbers").await,
        ["2|2|1"]
    );

    // What was moved comes back by no way that does not say so.
    let item: i64 = eu.one("select id from provisioning.trash").await;
    let console = format!("select provisioning.request_restore({item}, 'why', null)");
    assert_eq!(eu.answer(&console).await.unwrap_err().code().code(), "55000");
    eu.run(&format!("insert into provisioning.jobs (kind, agent_id, agent_prefix, trash_item) values ('restore', 1, 'agt_ada', {item});
                     notify agent_provisioning"))
        .await;
    eu.holds(
        "select exists (select from provisioning.jobs where kind = 'restore' and state = 'dead')",
    )
    .await;
    assert_eq!(eu.tables("agt_ada").await, [""; 0]);
}
