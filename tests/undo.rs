//! Deletions in two parts, many agents that come back at once, and what is erased and when.

use std::process::Command;

use serde_json::{Value, json as value};

use crate::deletion::AGAIN;
use crate::support::{
    ADMIN, Admin, Database, Service, WORKER, ask, expect, finish, get, have, json, provisioner,
    until,
};
use crate::trash::{CHECKED, KEPT, KEYED, LAST, TRASH, agents, contents, crm, customers};

const PATIENT: (&str, &str) = ("DATABASE__LOCK_TIMEOUT", "50s");

/// The first part of an agent's deletion is done.
const BEGUN: &str = "select keys_removed from provisioning.jobs
    where kind = 'deprovision' and agent_id = 1";

#[tokio::test]
async fn agents_is_free_while_the_tables_move() {
    let (db, admin, service) = crm(KEYED).await;
    drop(service);
    let before = (contents(&admin, "agt_ada").await, admin.catalog("agt_ada", 1).await);
    let holder = db.admin().await;
    // Where everything but the list of what is moved is done.
    holder.run("begin; lock table provisioning.trash_relations in share mode").await;
    let _service = db.service_with(&[KEYED, KEPT, PATIENT]).await;
    admin.run("select from public.delete_agent(1)").await;
    let waits = "select exists (select from pg_locks where not granted and relation = 'provisioning.trash_relations'::regclass)";
    admin.holds(waits).await;
    let pid = admin.held_up("agt_ada").await;
    let locks = format!(
        "select count(*) from pg_locks where pid = {pid} and relation = 'public.agents'::regclass
         and mode in ('AccessExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock')"
    );
    assert_eq!(admin.one::<i64>(&locks).await, 0);
    admin.create("agt_new").await;
    holder.run("commit").await;
    admin.settled().await;
    let last = "select outcome from provisioning.jobs where kind = 'deprovision'";
    assert_eq!(admin.rows(last).await, ["trashed"]);
    expect(&agents(&db, &["restore", "agt_ada"]).await, 0, &["restored"]);
    let after = (contents(&admin, "agt_ada").await, admin.catalog("agt_ada", 1).await);
    assert_eq!(after, before);
}

/// The service on the way: the key is off, and a reader of the agent's messages keeps the rest.
async fn halfway(db: &Database, admin: &Admin, settings: &[(&str, &str)]) -> (Service, Admin) {
    let holder = db.admin().await;
    holder.run("begin; select from public.agt_ada_messages").await;
    let service = db.service_with(settings).await;
    admin.run("select from public.delete_agent(1)").await;
    admin.holds(BEGUN).await;
    (service, holder)
}

#[tokio::test]
async fn a_deletion_that_is_given_up_halfway_tells_of_the_key_that_it_took_off() {
    let (db, admin, service) = crm(KEYED).await;
    drop(service);
    let before = (contents(&admin, "agt_ada").await, admin.catalog("agt_ada", 1).await);
    let (service, holder) = halfway(&db, &admin, &[KEYED, KEPT]).await;
    let shown = || async { json(&agents(&db, &["show", "agt_ada", "--json"]).await)[0].clone() };
    let agent = shown().await;
    assert_eq!(
        [&agent["reference"], &agent["key_removed"]],
        [&value!("foreign_key"), &value!(true)]
    );
    drop(service);
    admin.deserted().await; // or what it began goes on after the lock
    holder.run("commit").await;
    let job: i64 = admin.one("select id from provisioning.jobs where kind = 'deprovision'").await;
    expect(&ask(&db.url(ADMIN), &["jobs", "cancel", &job.to_string()]).await, 0, &[]);
    let verified = json(&ask(&db.url(WORKER), &["agents", "verify", "agt_ada", "--json"]).await);
    let differences = verified["drifted"][0]["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 1, "{verified}");
    assert_eq!(differences[0]["change"], "missing");
    let _service = db.service_with(&[KEYED, KEPT]).await;
    expect(&agents(&db, &["repair", "agt_ada", "--wait"]).await, 0, &[]);
    assert_eq!(shown().await["key_removed"], false);
    expect(&ask(&db.url(WORKER), &["agents", "verify"]).await, 0, &[]);
    // What the first deletion kept is not given back twice.
    admin.run("select from public.delete_agent(1)").await;
    admin.settled().await;
    assert_eq!(admin.rows(LAST).await, ["deprovision|succeeded|trashed"]);
    expect(&agents(&db, &["restore", "agt_ada"]).await, 0, &["restored"]);
    let after = (contents(&admin, "agt_ada").await, admin.catalog("agt_ada", 1).await);
    assert_eq!(after, before);
}

#[tokio::test]
async fn the_limit_is_asked_before_the_first_part_and_counts_it() {
    let (db, admin, service) = crm(KEYED).await;
    drop(service);
    let one = ("DEPROVISION__MAX_PER_HOUR", "1");
    let (_service, holder) = halfway(&db, &admin, &[KEYED, KEPT, one]).await;
    admin.run("select from public.delete_agent(2)").await;
    admin
        .holds("select state = 'paused' from provisioning.jobs where kind = 'deprovision' and agent_id = 2")
        .await;
    holder.run("commit").await;
    admin.settled().await;
    let jobs = "select agent_id, state, outcome from provisioning.jobs where kind = 'deprovision' order by 1";
    assert_eq!(admin.rows(jobs).await, ["1|succeeded|trashed", "2|paused|-"]);
    assert_eq!(customers(&admin, "agt_ben").await, 1);
}

/// Some agents with a customer each, all deleted.
async fn deleted(count: usize) -> (Database, Admin, Service) {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service_with(&[CHECKED, KEPT]).await;
    for n in 1..=count {
        admin.create(&format!("agt_{n}")).await;
    }
    admin.settled().await;
    for n in 1..=count {
        let insert =
            format!("insert into public.agt_{n}_customers (name, phone) values ('x', '1')");
        admin.run(&insert).await;
    }
    admin.run("delete from public.agents").await;
    admin.settled().await;
    (db, admin, service)
}

fn field(reports: &Value, name: &str) -> Vec<Value> {
    reports.as_array().unwrap().iter().map(|report| report[name].clone()).collect()
}

#[tokio::test]
async fn many_come_back_at_once_and_a_refusal_keeps_no_other() {
    let (db, admin, _service) = deleted(4).await;
    // A new owner has the second one's prefix.
    let new = admin.create("agt_2").await;
    admin.settled().await;
    admin.run("update provisioning.trash set trashed_at = now() - interval '3 hours' where agent_id = 3").await;
    let dry = agents(&db, &["restore", "--all", "--dry-run", "--json"]).await;
    expect(&dry, 1, &[]);
    assert_eq!(field(&json(&dry), "restored"), [false, false, false, false]);
    assert_eq!(admin.one::<i64>("select count(*) from public.agents").await, 1);

    let since = agents(&db, &["restore", "--deleted-since", "2h", "--json"]).await;
    expect(&since, 1, &[]);
    let since = json(&since);
    assert_eq!(field(&since, "prefix"), ["agt_1", "agt_2", "agt_4"]);
    assert_eq!(field(&since, "restored"), [true, false, true]);
    assert!(since[1]["error"].as_str().unwrap().contains(&new.to_string()), "{since}");
    let rest = agents(&db, &["restore", "agt_3", "agt_2", "agt_none"]).await;
    expect(&rest, 1, &["agt_2: ", "agt_none: "]);
    for n in [1, 3, 4] {
        assert_eq!(customers(&admin, &format!("agt_{n}")).await, 1);
    }
    assert_eq!(customers(&admin, "agt_2").await, 0);
    admin.run(&format!("delete from public.agents where id = {new}")).await;
    admin.settled().await;
    admin.run(&format!("delete from provisioning.trash where agent_id = {new}")).await;
    expect(&agents(&db, &["restore", "--all"]).await, 0, &["restored agt_2"]);
    assert_eq!(json(&agents(&db, &["restore", "--all", "--json"]).await), Value::Array([].into()));
    assert_eq!(customers(&admin, "agt_2").await, 1);
    expect(&agents(&db, &["restore", "--item", "999"]).await, 1, &["no item 999"]);
    for wrong in
        [&["restore"][..], &["restore", "--all", "agt_1"], &["restore", "--all", "--item", "1"]]
    {
        expect(&agents(&db, wrong).await, 2, &["Usage"]);
    }
}

#[tokio::test]
async fn an_agent_is_erased_at_once_where_somebody_means_it() {
    let (db, admin, _service) = deleted(3).await;
    let items = "select agent_id from provisioning.trash order by 1";
    for args in [&["purge", "agt_1"][..], &["purge", "--item", "2"]] {
        expect(&agents(&db, args).await, 2, &["would erase", "--yes"]);
    }
    expect(
        &agents(&db, &["purge", "agt_1", "--dry-run", "--yes"]).await,
        0,
        &["would erase agt_1"],
    );
    expect(&agents(&db, &["purge"]).await, 2, &["Usage"]);
    assert_eq!(admin.rows(items).await, ["1", "2", "3"]);
    let purged = agents(&db, &["purge", "agt_1", "agt_none", "--yes", "--json"]).await;
    expect(&purged, 1, &[]);
    let purged = json(&purged);
    assert_eq!(field(&purged, "purged"), [true, false]);
    assert_eq!(admin.rows(items).await, ["2", "3"]);
    let left = "select count(*) from pg_class where relnamespace = 'provisioning_trash'::regnamespace and relkind = 'r'";
    assert_eq!(admin.one::<i64>(left).await, 8);
    // One that somebody hung a table on is not erased by half, and keeps no other.
    let item = "select id from provisioning.trash where agent_id = 2";
    let item: i64 = admin.one(item).await;
    admin
        .run(&format!(
            "create table public.mine () inherits (provisioning_trash._{item}_customers);
             insert into public.mine (id, agent_id, name, phone) values (1, 2, 'kept', '1')"
        ))
        .await;
    let both = agents(&db, &["purge", "agt_2", "agt_3", "--yes"]).await;
    expect(&both, 1, &["agt_3", "public.mine "]);
    assert_eq!(admin.rows("select name from public.mine").await, ["kept"]);
    assert_eq!(admin.rows(items).await, ["2"]);
    admin.run("drop table public.mine").await;
    expect(
        &agents(&db, &["purge", "--item", &item.to_string(), "--yes"]).await,
        0,
        &["erased agt_2"],
    );
    assert_eq!(admin.one::<i64>(TRASH).await, 0);
    expect(&agents(&db, &["purge", "--item", "999", "--yes"]).await, 1, &["no item 999"]);
}

/// The service by a clock that is ahead of the server's.
fn ahead(db: &Database, by: &str) -> Service {
    let preload = Command::new("faketime").args(["-f", "+0s", "printenv", "LD_PRELOAD"]).output();
    let preload = String::from_utf8(preload.unwrap().stdout).unwrap();
    let url = db.url(WORKER);
    Service::with(|command| {
        command.env("DATABASE_URL", url).env("PROVISIONER_WORKER__RECONCILE_INTERVAL", "50ms");
        command.env("LD_PRELOAD", preload.trim()).env("FAKETIME", by);
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    })
}

async fn doctor(db: &Database) -> Vec<Value> {
    let found = json(&finish(provisioner(&db.url(WORKER)).args(["doctor", "--json"])).await);
    // Services that were killed are remembered for half a minute.
    let bad = |finding: &&Value| finding["severity"] != "ok" && finding["what"] != "instances";
    found.as_array().unwrap().iter().filter(bad).map(|finding| finding["what"].clone()).collect()
}

#[tokio::test]
async fn after_the_clock_has_moved_nothing_is_purged_until_an_operator_approves() {
    if !have(&["faketime"]) {
        return;
    }
    let (db, admin, service) = deleted(2).await;
    drop(service);
    let due = "update provisioning.trash set purge_at = now() where agent_id = 1";
    // By less than an hour: what is due goes.
    admin.run(due).await;
    let service = ahead(&db, "+40m");
    admin.holds("select count(*) = 1 from provisioning.trash").await;
    drop(service);
    assert_eq!(doctor(&db).await, [""; 0]);
    admin.run(&due.replace('1', "2")).await;
    let service = ahead(&db, "+3h");
    service.logged("nothing is purged from the trash").await;
    assert!(service.log().contains("\"level\":\"ERROR\""), "{}", service.log());
    let address = service.http().await;
    let exposed = || async {
        get(&address, "/metrics").1.contains("agent_provisioner_purge_held 1\n").then_some(())
    };
    until("the metric", exposed).await;
    drop(service);
    // Neither a restart nor another instance forgets it.
    let service = db.service_with(&[("WORKER__RECONCILE_INTERVAL", "50ms")]).await;
    service.logged("nothing is purged from the trash").await;
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.trash").await, 1);
    assert_eq!(doctor(&db).await, ["purge"]);
    expect(&agents(&db, &["purge", "--resume"]).await, 2, &["--yes"]);
    assert_eq!(doctor(&db).await, ["purge"]);
    expect(&agents(&db, &["purge", "--resume", "--yes"]).await, 0, &["purges again"]);
    admin.holds("select count(*) = 0 from provisioning.trash").await;
    assert_eq!(doctor(&db).await, [""; 0]);
    let held = "select count(*), min(released_by) from provisioning.purge_holds";
    assert_eq!(admin.rows(held).await, ["1|postgres"]);
}

#[tokio::test]
async fn doctor_tells_that_a_delete_empties_tables_with_a_key_before_they_are_kept() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service_with(&[KEYED, KEPT]).await;
    admin.create("agt_a").await;
    admin.settled().await;
    let advised = async || {
        let findings = json(&ask(&db.url(ADMIN), &["doctor", "--json"]).await);
        let findings = findings.as_array().unwrap().iter();
        let undo = findings.filter(|finding| finding["what"] == "undo");
        undo.map(|finding| finding["fix"].is_string()).collect::<Vec<_>>()
    };
    assert_eq!(advised().await, [true]);
    let convert = ["agents", "convert", "--reference", "check", "--wait"];
    expect(&ask(&db.url(ADMIN), &convert).await, 0, &[]);
    assert_eq!(advised().await, [false]);
    drop(service);
}

#[tokio::test]
async fn a_deletion_that_died_in_its_second_part_goes_on_from_there() {
    let (db, admin, service) = crm(KEYED).await;
    drop(service);
    let _service = db.service_with(&[KEYED, KEPT, ("DEPROVISION__MAX_PER_HOUR", "1")]).await;
    admin
        .run(
            "create view public.peek as select * from public.agt_ada_orders;
             select from public.delete_agent(1)",
        )
        .await;
    admin.settled().await;
    let sqlstate = "select last_sqlstate from provisioning.jobs where state = 'dead'";
    assert_eq!(admin.rows(sqlstate).await, ["2BP01"]);
    assert_eq!(contents(&admin, "agt_ada").await.len(), 5);
    // It has passed the limit, and no other does after it.
    admin.run("select from public.delete_agent(2)").await;
    admin.settled().await;
    admin.run(&format!("drop view public.peek; {AGAIN}")).await;
    admin.settled().await;
    let jobs = "select agent_id, state, outcome from provisioning.jobs where kind = 'deprovision' order by 1";
    assert_eq!(admin.rows(jobs).await, ["1|succeeded|trashed", "2|paused|-"]);
}

#[tokio::test]
async fn deletions_at_the_same_time_do_not_wait_for_each_other_in_a_circle() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let many = [("WORKER__CONCURRENCY", "24"), ("DATABASE__POOL_SIZE", "30"), PATIENT, KEYED, KEPT];
    let service = db.service_with(&many).await;
    let insert =
        "insert into public.agents (agent_prefix) select 'agt_' || n from generate_series(1, 48) n";
    admin.run(insert).await;
    admin.all_done().await;
    admin.run("select public.delete_agent(id) from public.agents").await;
    admin.all_done().await;
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.trash").await, 48);
    assert!(!service.log().contains("deadlock"), "{}", service.log());
}
