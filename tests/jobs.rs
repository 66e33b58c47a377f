//! The operators' commands on jobs: what they show, what they change, and how they end.

use std::collections::BTreeSet;
use std::process::Output;

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::{Value, json as value};

use crate::deploy::read;
use crate::http::metric;
use crate::support::{ADMIN, Admin, Database, WORKER, ask, expect, get, json, said};

pub const HOLD: &str = "begin; lock table provisioning.lock_gate in exclusive mode";
pub const PATIENT: (&str, &str) = ("DATABASE__LOCK_TIMEOUT", "50s");
/// Whatever happens before the hour is over, a notification did it.
pub const DEAF: [(&str, &str); 2] =
    [("WORKER__POLL_INTERVAL", "1h"), ("WORKER__RECONCILE_INTERVAL", "1h")];

/// Runs `agent-provisioner jobs …` as the worker's role.
pub async fn jobs(db: &Database, args: &[&str]) -> Output {
    jobs_at(&db.url(WORKER), args).await
}

async fn jobs_at(url: &str, args: &[&str]) -> Output {
    ask(url, &[&["jobs"], args].concat()).await
}

/// Jobs as no worker has left them; their ids count from 1.
pub async fn queue(admin: &Admin, jobs: &[(&str, i64, &str, &str)]) {
    for (kind, agent, prefix, state) in jobs {
        let over = if *state == "pending" { "null" } else { "now()" };
        admin
            .run(&format!(
                "insert into provisioning.jobs
                     (kind, agent_id, agent_prefix, state, finished_at, attempts, last_error)
                 values ('{kind}', {agent}, '{prefix}', '{state}', {over}, 1, 'it broke')"
            ))
            .await;
    }
}

pub const STATES: &str = "select id, state from provisioning.jobs order by id";

#[tokio::test]
async fn list_shows_who_is_on_a_job_and_which_prefixes_are_blocked() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    queue(&admin, &[("provision", 71, "agt_old", "dead"), ("provision", 72, "agt_old", "pending")])
        .await;
    let _service = db.service_with(&[PATIENT]).await;
    holder.run(HOLD).await;
    admin.create("agt_new").await;
    let pid = admin.held_up("agt_new").await;
    let holding: i32 = holder.one("select pg_backend_pid()").await;

    for role in [WORKER, ADMIN] {
        let listed = json(&jobs_at(&db.url(role), &["list", "--json"]).await);
        let brief = |job: &Value| [job["id"].clone(), job["state"].clone()];
        let all: Vec<_> = listed.as_array().unwrap().iter().map(brief).collect();
        assert_eq!(value!(all), value!([[3, "running"], [1, "dead"], [2, "pending"]]));
        assert_eq!(listed[0]["running"]["pid"], pid, "{role}");
        assert_eq!(listed[0]["running"]["blocked_by_pids"], value!([holding]), "{role}");
        assert!(listed[0]["running"]["seconds"].as_f64().unwrap() >= 0.0, "{role}");
        assert_eq!(listed[1]["running"], Value::Null);
        assert_eq!(listed[2]["waits_for"], value!({"id": 1, "state": "dead"}));
    }

    let text = jobs(&db, &["list"]).await;
    let waits = format!("on backend {pid}, waiting for a lock of backend {holding}");
    expect(&text, 0, &[&waits, "agt_old: 1 job ", "jobs show 1"]);
    let lines: Vec<_> = said(&text).lines().map(str::to_owned).collect();
    let note = lines[0].find("NOTE").unwrap();
    assert!(lines[2].get(note..).unwrap().starts_with("it broke"), "{lines:#?}");
    assert!(!said(&text).contains(['\u{1b}', '|', '─']), "{}", said(&text));

    let ids = async |args: &[&str]| {
        let listed = json(&jobs(&db, &[&["list", "--json"], args].concat()).await);
        listed.as_array().unwrap().iter().map(|job| job["id"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&["--state", "running"]).await, [3]);
    assert_eq!(ids(&["--state", "pending"]).await, [3, 2]);
    assert_eq!(ids(&["--state", "succeeded"]).await, [0_i64; 0]);
    assert_eq!(ids(&["--prefix", "agt_old"]).await, [1, 2]);
    assert_eq!(ids(&["--kind", "deprovision"]).await, [0_i64; 0]);
    assert_eq!(ids(&["--limit", "2"]).await, [3, 1]);
    let shown = jobs(&db, &["show", "3"]).await;
    expect(&shown, 0, &[&waits]);
    assert!(!said(&shown).contains("_backend("), "the worker is not to be ended: {}", said(&shown));
    expect(&jobs(&db, &["show", "2"]).await, 0, &["agent-provisioner jobs show 1"]);
}

#[tokio::test]
async fn what_a_role_may_not_see_is_said_to_be_hidden() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let root = db.connect(SUPERUSER).await;
    let watcher = format!("watcher_of_{}", db.name);
    root.batch_execute(&format!(
        "create role {watcher} login bypassrls password '{}';
         grant usage on schema provisioning to {watcher};
         grant select on all tables in schema provisioning to {watcher};
         grant select on public.agents to {watcher}",
        db.server.password()
    ))
    .await
    .unwrap();
    let _service = db.service_with(&[PATIENT]).await;
    holder.run(HOLD).await;
    admin.create("agt_6f78").await;
    let pid = admin.held_up("agt_6f78").await;
    let url = db.url(&watcher);
    let listed = json(&jobs_at(&url, &["list", "--json"]).await);
    assert_eq!(listed[0]["state"], "running");
    assert_eq!(listed[0]["running"]["pid"], pid);
    assert_eq!(listed[0]["running"]["seconds"], Value::Null);
    for args in [&["list"][..], &["show", "1"]] {
        expect(&jobs_at(&url, args).await, 0, &["grant pg_read_all_stats to"]);
    }
}

#[tokio::test]
async fn show_names_the_statement_that_failed() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    let root = Admin(db.connect(SUPERUSER).await);
    root.run(
        "create function public.refuse() returns event_trigger language plpgsql as $$
         begin
             if exists (select from pg_event_trigger_ddl_commands() c
                        where c.object_identity = 'public.agt_6f78_messages_direction_idx') then
                 raise exception 'not this one' using errcode = '42P07';
             end if;
         end $$;
         create event trigger refuse on ddl_command_end when tag in ('CREATE INDEX')
             execute function public.refuse()",
    )
    .await;
    admin.create("agt_6f78").await;
    admin.settled().await;
    let job = json(&jobs(&db, &["show", "1", "--json"]).await);
    let statement = job["statement"].as_str().unwrap();
    assert!(statement.starts_with("create index agt_6f78_messages_direction_idx"), "{statement}");
    let line = include_str!("../sql/agent/0001_crm.sql")
        .lines()
        .position(|line| line.starts_with("create index {prefix}_messages_direction_idx"));
    assert_eq!(job["file"], "0001_crm.sql");
    assert_eq!(job["line"], line.unwrap() + 1);
    assert_eq!([&job["error_code"], &job["sqlstate"]], ["statement_failed", "42P07"]);
    root.run("drop event trigger refuse").await;
    expect(
        &jobs(&db, &["replay", "--prefix", "agt_6f78", "--wait"]).await,
        0,
        &["1 job succeeded"],
    );
    // A view of somebody's keeps a table from being dropped: the detail says whose.
    admin
        .run(
            "create view public.report as select id from public.agt_6f78_messages;
             delete from public.agents",
        )
        .await;
    admin.settled().await;
    let job = json(&jobs(&db, &["show", "2", "--json"]).await);
    assert!(job["detail"].as_str().unwrap().contains("report depends on"), "{job}");
    assert!(job["hint"].as_str().unwrap().contains("CASCADE"), "{job}");
    assert!(job["next"].as_str().unwrap().contains("jobs replay 2"), "{job}");
}

#[tokio::test]
async fn the_kinds_of_jobs_are_one_list() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let check = r"select kind[1] from pg_constraint,
            regexp_matches(pg_get_constraintdef(oid), $r$'(\w+)'::text$r$, 'g') kind
        where conrelid = 'provisioning.jobs'::regclass and conname = 'jobs_kind_check'";
    let kinds: BTreeSet<String> = admin.rows(check).await.into_iter().collect();
    assert!(kinds.len() >= 5, "{kinds:?}");
    let quoted = |text: &str| -> BTreeSet<String> {
        text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let documented = read("docs/schema.md");
    let row = documented.lines().find_map(|line| line.strip_prefix("| `kind` | `text` | no |  |"));
    assert_eq!(quoted(row.unwrap()), kinds, "docs/schema.md");
    let refused = jobs(&db, &["list", "--kind", "coffee"]).await;
    let said = said(&refused);
    let values = said.split("[possible values: ").nth(1).unwrap().split(']').next().unwrap();
    let values: BTreeSet<String> = values.split(", ").map(str::to_owned).collect();
    assert_eq!(values, kinds, "the command line");
    let service = db.service().await;
    let (_, metrics) = get(&service.http().await, "/metrics");
    for kind in &kinds {
        let labels = [("kind", kind.as_str()), ("state", "dead")];
        assert_eq!(metric(&metrics, "jobs", &labels), Some(0.0), "{kind}");
    }
}

#[tokio::test]
async fn what_is_wanted_of_a_job_belongs_to_its_kind() {
    let db = Database::new().await;
    let admin = db.admin().await;
    for (kind, column, value, taken) in [
        ("repair", "force", "true", true),
        ("upgrade", "force", "true", false),
        ("upgrade", "template_version", "2", true),
        ("upgrade", "template_version", "0", false),
        ("repair", "template_version", "2", false),
        ("repair", "plan", "repeat('a', 64)", true),
        ("repair", "plan", "'a'", false),
        ("upgrade", "plan", "repeat('a', 64)", false),
        ("convert", "reference", "'check'", true),
        ("convert", "reference", "'none'", false),
        ("convert", "reference", "null", false),
        ("upgrade", "reference", "'check'", false),
        ("deprovision", "keys_removed", "true", true),
        ("provision", "keys_removed", "true", false),
        ("repair", "requested_by", "repeat('x', 201)", false),
        ("repair", "last_error_code", "'A sentence.'", false),
    ] {
        let sql = format!(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix, {column})
             values ('{kind}', 1, 'agt_a', {value})"
        );
        let found = admin.attempt("begin", &sql).await;
        let found = found.map_err(|error| error.code().code().to_owned()).map(drop);
        assert_eq!(found, if taken { Ok(()) } else { Err("23514".to_owned()) }, "{sql}");
    }
}

#[tokio::test]
async fn a_job_keeps_what_is_wanted_and_who_asked() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    admin.create("agt_a").await;
    admin.settled().await;
    drop(service);
    admin.run("drop index public.agt_a_customers_phone_idx").await;
    let agents = async |args: &[&str]| {
        let asked = ask(&db.url(WORKER), &[&["agents"], args].concat()).await;
        expect(&asked, 0, &["queued 1 job"]);
    };
    agents(&["repair", "agt_a", "--force"]).await;
    // Who asks for less does not take back what was asked for before.
    agents(&["repair", "agt_a"]).await;
    agents(&["convert", "--reference", "check"]).await;
    let listed = json(&jobs(&db, &["list", "--state", "pending", "--json"]).await);
    let wanted = |job: &Value| {
        let fields =
            ["kind", "force", "template_version", "reference", "keys_removed", "requested_by"];
        value!(fields.map(|field| job[field].clone()))
    };
    let found: Vec<Value> = listed.as_array().unwrap().iter().map(wanted).collect();
    let by = "agent_provisioner (ada)";
    let expected = [
        value!(["repair", true, null, null, false, by]),
        value!(["convert", false, null, "check", false, by]),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn an_error_is_kept_in_parts_and_advice_goes_by_its_code() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.run("create table public.agt_a_orders (); create table public.agt_a_messages ()").await;
    let _service = db.service().await;
    admin.create("agt_a").await;
    admin.settled().await;
    let shown = json(&jobs(&db, &["show", "1", "--json"]).await);
    assert_eq!([&shown["error_code"], &shown["sqlstate"]], ["relation_in_the_way", "42P07"]);
    assert_eq!(shown["relations"], value!(["public.agt_a_messages", "public.agt_a_orders"]));
    let next = shown["next"].as_str().unwrap();
    // The text does not count: the statement to paste comes from the columns, and works.
    admin.run("update provisioning.jobs set last_error = 'x'").await;
    let again = json(&jobs(&db, &["show", "1", "--json"]).await);
    assert_eq!(again["next"], next);
    let begin = next.find("alter table").unwrap();
    let end = next.rfind("_old;").unwrap() + "_old;".len();
    admin.run(next.get(begin..end).unwrap()).await;
    expect(&jobs(&db, &["replay", "1", "--wait"]).await, 0, &["1 job succeeded"]);
    let listed = json(&jobs(&db, &["list", "--json"]).await);
    assert_eq!(listed[0]["error_code"], "relation_in_the_way", "of the attempt that failed");
}

/// The SQL in a job's advice, from the first statement to the end of the last.
async fn advised(db: &Database, job: i64) -> String {
    let shown = json(&jobs_at(&db.url(ADMIN), &["show", &job.to_string(), "--json"]).await);
    let next = shown.get("next").and_then(Value::as_str).unwrap();
    let begin = next.find("alter ").unwrap();
    let end = next.rfind(';').unwrap();
    next.get(begin..=end).unwrap().to_owned()
}

#[tokio::test]
async fn what_is_in_the_way_is_renamed_with_all_that_hangs_on_it() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin
        .run(
            "create table public.agt_a_messages (id bigserial primary key, body text unique);
             create index agt_a_messages_direction_idx on public.agt_a_messages (body);
             insert into public.agt_a_messages (body) values ('mine');
             create table public.agt_a_messages_old ();
             create view public.agt_a_orders as select 1 as one",
        )
        .await;
    let _service = db.service().await;
    admin.create("agt_a").await;
    admin.settled().await;
    let statements = advised(&db, 1).await;
    admin.run(&statements).await;
    expect(&jobs(&db, &["replay", "1", "--wait"]).await, 0, &["1 job succeeded"]);
    assert_eq!(admin.rows("select body from public.agt_a_messages_old2").await, ["mine"]);
    // What was in the way still works.
    admin.run("insert into public.agt_a_messages_old2 (body) values ('more')").await;
}

#[tokio::test]
async fn a_sequence_an_index_or_a_type_of_somebodys_is_found_before_anything_is_built() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin.run("create table public.shop (a int constraint shop_key primary key)").await;
    for (id, (agent, name, make)) in [
        ("agt_s", "agt_s_customers_id_seq", "create sequence public.agt_s_customers_id_seq"),
        (
            "agt_i",
            "agt_i_customers_phone_idx",
            "create index agt_i_customers_phone_idx on public.shop (a)",
        ),
        (
            "agt_k",
            "agt_k_customers_pkey",
            "alter table public.shop rename constraint shop_key to agt_k_customers_pkey",
        ),
        ("agt_t", "agt_t_customers", "create type public.agt_t_customers as enum ('a')"),
    ]
    .into_iter()
    .enumerate()
    {
        admin.run(make).await;
        admin.create(agent).await;
        admin.settled().await;
        let id = i64::try_from(id).unwrap() + 1;
        let shown = json(&jobs(&db, &["show", &id.to_string(), "--json"]).await);
        assert_eq!(shown["error_code"], "relation_in_the_way", "{shown}");
        assert_eq!(shown["relations"], value!([format!("public.{name}")]), "{shown}");
        admin.run(&advised(&db, id).await).await;
        expect(&jobs(&db, &["replay", &id.to_string(), "--wait"]).await, 0, &["1 job succeeded"]);
    }
    // A repair makes tables, too.
    admin.run("drop table public.agt_s_customers cascade; create sequence public.agt_s_customers_id_seq").await;
    expect(&ask(&db.url(WORKER), &["agents", "repair", "agt_s", "--wait"]).await, 1, &[]);
    let shown = json(&jobs(&db, &["list", "--state", "dead", "--json"]).await);
    assert_eq!(shown[0]["error_code"], "relation_in_the_way", "{shown}");
    assert_eq!(shown[0]["relations"], value!(["public.agt_s_customers_id_seq"]));
}

#[tokio::test]
async fn a_rule_on_the_registry_is_called_that_and_its_end_is_noticed() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service_with(&[("WORKER__CONCURRENCY", "1")]).await;
    admin
        .run("create rule nothing as on insert to provisioning.agent_tables do instead nothing")
        .await;
    admin.create("agt_a").await;
    admin.settled().await;
    let shown = json(&jobs(&db, &["show", "1", "--json"]).await);
    assert_eq!(shown["error_code"], "write_ignored", "{shown}");
    assert_eq!(shown["relations"], value!(["provisioning.agent_tables"]));
    admin.run("drop rule nothing on provisioning.agent_tables").await;
    expect(&jobs(&db, &["replay", "1", "--wait"]).await, 0, &["1 job succeeded"]);
}

#[tokio::test]
async fn a_prefix_that_is_kept_names_tables_agent_and_deletion() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    admin.create("agt_a").await;
    admin.settled().await;
    drop(service);
    admin.run("delete from public.agents").await;
    expect(&jobs(&db, &["cancel", "2"]).await, 0, &[]);
    admin.create("agt_a").await;
    let _service = db.service().await;
    admin.settled().await;
    admin.run("update provisioning.jobs set last_error = 'x' where id = 3").await;
    let shown = json(&jobs(&db, &["show", "3", "--json"]).await);
    assert_eq!(shown["error_code"], "prefix_kept");
    assert_eq!(shown["relations"].as_array().unwrap().len(), 4, "{shown}");
    assert!(shown["next"].as_str().unwrap().contains("agent-provisioner jobs replay 2"), "{shown}");
    let agent = json(&ask(&db.url(WORKER), &["agents", "list", "--json"]).await);
    let codes: Vec<_> =
        agent.as_array().unwrap().iter().map(|a| &a["last_job"]["error_code"]).collect();
    assert!(codes.contains(&&value!("prefix_kept")), "{agent}");
}

#[tokio::test]
async fn prune_forgets_what_is_over_and_nothing_that_is_still_needed() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin
        .run(
            "alter table public.agents disable trigger enqueue_provision;
             insert into public.agents (id, agent_prefix) values (1, 'agt_a'), (2, 'agt_b');
             insert into provisioning.agents (agent_id, agent_prefix, template_version, reference)
             values (2, 'agt_b', 1, 'check'), (3, 'agt_c', 1, 'check')",
        )
        .await;
    queue(
        &admin,
        &[
            ("provision", 1, "agt_a", "cancelled"), // reconcile would build agent 1
            ("deprovision", 3, "agt_c", "cancelled"), // reconcile would drop agent 3's tables
            ("provision", 2, "agt_b", "cancelled"),
            ("provision", 3, "agt_c", "cancelled"),
            ("provision", 4, "agt_d", "cancelled"),
            ("provision", 5, "agt_e", "dead"),
            ("provision", 6, "agt_f", "succeeded"),
            ("upgrade", 2, "agt_b", "cancelled"),
        ],
    )
    .await;
    let age = "update provisioning.jobs set finished_at = now() - interval '31 days'";
    admin.run(age).await;
    let fresh = [("provision", 7, "agt_g", "succeeded"), ("provision", 8, "agt_h", "pending")];
    queue(&admin, &fresh).await;
    admin
        .run(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix, state, finished_at)
             select 'provision', n, 'agt_' || n, 'succeeded', now() - interval '31 days'
             from generate_series(100, 12099) n",
        )
        .await;
    expect(&jobs(&db, &["prune", "--dry-run"]).await, 0, &[" 12005 "]);
    expect(&jobs(&db, &["prune", "--older-than", "32d"]).await, 0, &["deleted 0 jobs"]);
    expect(&jobs(&db, &["prune"]).await, 0, &[" 12005 "]);
    let left = "select id, state from provisioning.jobs order by id";
    let kept = ["1|cancelled", "2|cancelled", "6|dead", "9|succeeded", "10|pending"];
    assert_eq!(admin.rows(left).await, kept);
    let found = include_str!("../sql/worker/reconcile.sql");
    assert_eq!(admin.rows(found).await, ["0|0|0|f|0"], "what was pruned is not queued again");
    expect(&jobs(&db, &["prune", "--older-than", "0s"]).await, 0, &["deleted 1 job"]);
}

#[tokio::test]
async fn what_a_message_contains_does_not_steer_the_terminal() {
    let db = Database::new().await;
    let admin = db.admin().await;
    queue(&admin, &[("provision", 1, "agt_a", "dead")]).await;
    admin.run(r"update provisioning.jobs set last_error = E'red \x1b[31m\nsecond\x07'").await;
    for args in [&["list"][..], &["show", "1"]] {
        let output = jobs(&db, args).await;
        expect(&output, 0, &[r"red \u{1b}[31m\nsecond\u{7}"]);
        assert!(!said(&output).contains(['\u{1b}', '\u{7}']));
    }
}

#[tokio::test]
async fn wrong_usage_ends_with_2_and_a_wrong_id_with_1() {
    let db = Database::new().await;
    for args in [
        &["replay"][..],
        &["replay", "1", "--all-dead"],
        &["replay", "1", "--dry-run", "--wait"],
        &["replay", "x"],
        &["cancel"],
        &["cancel", "0"],
        &["show"],
        &["show", "-1"],
        &["list", "--state", "tired"],
        &["list", "--kind", "coffee"],
        &["list", "--limit", "0"],
        &["prune", "--older-than", "soon"],
    ] {
        expect(&jobs(&db, args).await, 2, &["error: "]);
    }
    let missing = jobs(&db, &["show", "99", "--json"]).await;
    expect(&missing, 1, &["agent-provisioner: ", " 99"]);
    assert!(missing.stdout.is_empty());
    expect(&jobs(&db, &["list"]).await, 0, &["no jobs"]);
    assert_eq!(json(&jobs(&db, &["list", "--json"]).await), value!([]));
    expect(&jobs(&db, &["replay", "--all-dead", "--wait"]).await, 0, &["replayed 0 jobs"]);
    let root = db.connect(SUPERUSER).await;
    root.batch_execute("drop schema provisioning cascade").await.unwrap();
    expect(&jobs(&db, &["list"]).await, 1, &["run `agent-provisioner migrate`"]);
}
