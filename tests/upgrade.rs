//! `agents upgrade`: every agent gets the files it lacks, and nothing stops halfway for good.

use serde_json::json as value;

use crate::support::{Admin, Database, Files, expect, have, json, sound};

const BASE: (&str, &str) = (
    "0001_base.sql",
    "create table public.{prefix}_customers (
         id serial primary key,
         agent_id bigint not null default {agent_id} check (agent_id = {agent_id}),
         name text not null,
         fax text
     );
     alter table public.{prefix}_customers enable row level security, force row level security;
     grant select on public.{prefix}_customers to authenticated;",
);

const TAGS: (&str, &str) = (
    "0002_tags.sql",
    "create type public.{prefix}_mood as enum ('good', 'bad');
     create table public.{prefix}_tags (
         id serial primary key,
         agent_id bigint not null default {agent_id},
         customer_id integer references public.{prefix}_customers (id),
         mood public.{prefix}_mood default 'good'
     );
     -- provisioner: public {prefix}_tags
     alter table public.{prefix}_customers add column email text default '-';",
);

const INDEX: (&str, &str) = (
    "0003_index.sql",
    "-- provisioner: concurrently
     create index concurrently if not exists {prefix}_customers_email_idx on public.{prefix}_customers (email);
     create unique index concurrently if not exists {prefix}_tags_idx
         on public.{prefix}_tags (customer_id, mood);",
);

const NO_FAX: (&str, &str) = (
    "0004_no_fax.sql",
    "alter table public.{prefix}_customers drop column fax;
     create index on public.{prefix}_tags (mood);",
);

const KEY: &str = "alter table public.{prefix}_customers
    add foreign key (agent_id) references public.agents (id) on delete cascade;";

const KEYS: &str = "alter table public.{prefix}_customers
    add foreign key (agent_id) references public.agents (id) on delete cascade;
    alter table public.{prefix}_tags
    add foreign key (agent_id) references public.agents (id) on delete cascade;";

/// For tests that need no more than two versions.
const COLUMN: (&str, &str) =
    ("0002_column.sql", "alter table public.{prefix}_customers add column email text;");

/// Long enough for a job to stay where a lock holds it up.
const PATIENT: (&str, &str) = ("DATABASE__LOCK_TIMEOUT", "50s");

/// What failed, and why.
const DEAD: &str =
    "select id, agent_prefix, last_sqlstate from provisioning.jobs where state = 'dead'";

/// Agents of the first version, and no service.
async fn fleet(db: &Database, prefixes: &[&str]) -> Admin {
    let admin = db.admin().await;
    let _first = Files::new(&[BASE]).service(db, &[]).await;
    for prefix in prefixes {
        admin.create(prefix).await;
    }
    admin.settled().await;
    admin
}

async fn versions(admin: &Admin) -> Vec<String> {
    let sql = "select agent_prefix, template_version from provisioning.agents order by agent_id";
    admin.rows(sql).await
}

/// Without jobs that found nothing to do: an agent may be done between the look at the fleet and its
/// job's being queued.
const UPGRADES: &str = "select agent_prefix, state, attempts from provisioning.jobs
                        where kind = 'upgrade' and outcome is distinct from 'unchanged' order by id";

#[tokio::test]
async fn an_upgrade_from_any_version_ends_where_a_new_agent_begins() {
    for reference in ["foreign_key", "check"] {
        let db = Database::new().await;
        let admin = db.admin().await;
        admin.run("alter sequence public.agents_id_seq restart 70001").await;
        let files = [BASE, TAGS, INDEX, NO_FAX];
        let with_reference = [("REFERENCE", reference)];
        let mut agents = Vec::new();
        for version in 1..=files.len() {
            let keys = ("foreign_key.sql", if version == 1 { KEY } else { KEYS });
            let files = Files::new(&[&files[..version], &[keys]].concat());
            let _service = files.service(&db, &with_reference).await;
            let prefix = format!("agt_v{version}");
            agents.push((admin.create(&prefix).await, prefix.clone()));
            admin.settled().await;
            if version < 4 {
                let sql = "insert into public.agt_customers (name, fax) values ('Grace', '1')";
                admin.run(&sql.replace("agt", &prefix)).await;
            }
        }
        let files = Files::new(&[&files[..], &[("foreign_key.sql", KEYS)]].concat());
        let _service = files.service(&db, &with_reference).await;
        let done = files.ask(&db, &["agents", "upgrade", "--wait"]).await;
        expect(&done, 0, &[]);
        let fresh = admin.catalog("agt_v4", agents[3].0).await;
        assert!(fresh.contains("agt_v4_mood") || fresh.contains("{prefix}_mood"));
        for (id, prefix) in &agents {
            assert_eq!(admin.catalog(prefix, *id).await, fresh, "{prefix}, {reference}");
        }
        let rows = "select name, email from public.agt_v1_customers";
        assert_eq!(admin.rows(rows).await, ["Grace|-"]);
        sound(&files.ask(&db, &["agents", "verify", "--json"]).await, 4);
        // Again: nothing.
        expect(&files.ask(&db, &["agents", "upgrade", "--wait"]).await, 0, &[]);
        let outcomes = "select agent_prefix, outcome from provisioning.jobs where kind = 'upgrade'
                        order by 1";
        let upgraded = ["agt_v1|upgraded", "agt_v2|upgraded", "agt_v3|upgraded"];
        assert_eq!(admin.rows(outcomes).await, upgraded);

        // What was made on the way belongs to the agent, and goes with it.
        admin.run("delete from public.agents").await;
        admin.settled().await;
        let left = "select count(*) from pg_class where relname ^@ 'agt_v'";
        assert_eq!(admin.one::<i64>(left).await, 0);
        assert_eq!(admin.one::<i64>("select count(*) from provisioning.agent_types").await, 0);
    }
}

#[tokio::test]
async fn what_a_dry_run_prints_makes_the_same_tables_in_psql() {
    if !have(&["psql"]) {
        return;
    }
    let db = Database::new().await;
    let admin = fleet(&db, &["agt_a", "agt_b"]).await;
    let files = Files::new(&[BASE, TAGS, INDEX, NO_FAX]);
    let dry = files.ask(&db, &["agents", "upgrade", "--dry-run"]).await;
    expect(&dry, 0, &["-- agt_a, agt_b", "-- agt_a (1):"]);
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.jobs").await, 2);
    let script = crate::support::temp_dir().join(format!("upgrade-{}.sql", std::process::id()));
    std::fs::write(&script, &dry.stdout).unwrap();
    let mut psql = std::process::Command::new("psql");
    psql.args(["-qX", "-v", "ON_ERROR_STOP=1", "-f"])
        .arg(&script)
        .arg(db.url(crate::support::WORKER));
    expect(&crate::support::finish(&mut psql).await, 0, &[]);
    std::fs::remove_file(script).unwrap();
    let _service = files.service(&db, &[]).await;
    expect(&files.ask(&db, &["agents", "upgrade", "agt_b", "--wait"]).await, 0, &[]);
    assert_eq!(admin.catalog("agt_a", 1).await, admin.catalog("agt_b", 2).await.replace('2', "1"));
}

#[tokio::test]
async fn an_agent_that_fails_is_parked_and_the_others_are_done() {
    let db = Database::new().await;
    let admin = fleet(&db, &["agt_a", "agt_b", "agt_c"]).await;
    admin.run("create table public.agt_b_tags (what text)").await;
    let files = Files::new(&[BASE, TAGS]);
    let service = files.service(&db, &[]).await;
    let done = files.ask(&db, &["agents", "upgrade", "--wait"]).await;
    expect(&done, 1, &["public.agt_b_tags"]);
    assert_eq!(admin.rows(DEAD).await, ["5|agt_b|42P07"]);
    assert_eq!(versions(&admin).await, ["agt_a|2", "agt_b|1", "agt_c|2"]);
    assert_eq!(admin.tables("agt_b").await, ["agt_b_customers", "agt_b_tags"]);
    let again = files.ask(&db, &["agents", "upgrade", "--wait"]).await;
    expect(&again, 1, &["agt_b", "jobs show 5"]);
    assert_eq!(admin.rows(UPGRADES).await.len(), 3);
    // Nor repaired, which would only wait.
    admin.run("revoke all on public.agt_b_customers from authenticated").await;
    let repaired = files.ask(&db, &["agents", "repair", "--wait"]).await;
    expect(&repaired, 1, &["agt_b", "jobs show 5"]);
    let repairs = "select count(*) from provisioning.jobs where kind = 'repair'";
    assert_eq!(admin.one::<i64>(repairs).await, 0);
    admin.run("grant select on public.agt_b_customers to authenticated").await;
    // Nor by the next version.
    drop(service);
    files.write("0003_vip.sql", "alter table public.{prefix}_customers add vip boolean");
    let _service = files.service(&db, &[]).await;
    let next = files.ask(&db, &["agents", "upgrade", "--wait"]).await;
    expect(&next, 1, &["agt_b", "jobs show 5"]);
    admin.run("drop table public.agt_b_tags").await;
    expect(&files.ask(&db, &["jobs", "replay", "5", "--wait"]).await, 0, &[]);
    assert_eq!(versions(&admin).await, ["agt_a|3", "agt_b|2", "agt_c|3"]);
}

#[tokio::test]
async fn an_upgrade_with_a_key_waits_for_the_agents_tables_before_it_locks_agents() {
    let db = Database::new().await;
    let (admin, writer) = (fleet(&db, &["agt_a", "agt_b"]).await, db.admin().await);
    let files = Files::new(&[BASE, TAGS, ("foreign_key.sql", KEYS)]);
    let _service = files.service(&db, &[PATIENT]).await;
    // The first time, its rehearsal waits for agents too.
    expect(&files.ask(&db, &["agents", "upgrade", "agt_a", "--wait"]).await, 0, &[]);
    let other = db.admin().await;
    other.run("begin; lock table public.agt_b_customers in row exclusive mode").await;
    expect(&files.ask(&db, &["agents", "upgrade", "agt_b"]).await, 0, &["queued 1 job\n"]);
    admin.held_up("agt_b").await;
    writer.run("begin; lock table public.agents in row exclusive mode nowait").await;
    other.run("commit").await;
    let gave_way = "select bool_or(lock_wanted = 'share row exclusive') from provisioning.jobs
                    where state = 'pending'";
    admin.holds(gave_way).await;
    // Nobody waits for each other in a circle.
    let use_both =
        "set local lock_timeout = '30s'; insert into public.agents (agent_prefix) values ('agt_c');
                    lock table public.agt_b_customers in row exclusive mode; commit";
    writer.run(use_both).await;
    admin.settled().await;
    assert_eq!(versions(&admin).await, ["agt_a|2", "agt_b|2", "agt_c|2"]);
}

#[tokio::test]
async fn a_table_that_stands_in_for_a_registered_one_is_not_altered() {
    let db = Database::new().await;
    let admin = fleet(&db, &["agt_a"]).await;
    let stand_in = "alter table public.agt_a_customers rename to agt_a_kept;
                    create table public.agt_a_customers ();
                    alter table public.agt_a_customers owner to agent_provisioner";
    admin.run(stand_in).await;
    for file in [
        COLUMN,
        (
            "0002_x.sql",
            "-- provisioner: concurrently\n\
             create index concurrently if not exists {prefix}_x on public.{prefix}_customers (id);",
        ),
    ] {
        let files = Files::new(&[BASE, file]);
        let _service = files.service(&db, &[]).await;
        let done = files.ask(&db, &["agents", "upgrade", "--wait"]).await;
        expect(&done, 1, &["public.agt_a_customers"]);
        let state =
            "select agent_prefix, last_sqlstate from provisioning.jobs where state = 'dead'";
        assert_eq!(admin.rows(state).await, ["agt_a|42P07"]);
        let columns = "select count(*) from information_schema.columns where column_name = 'email'
                       and table_name ^@ 'agt_a'";
        assert_eq!(admin.one::<i64>(columns).await, 0);
        admin.run("delete from provisioning.jobs where kind = 'upgrade'").await;
    }
}

#[tokio::test]
async fn a_canary_that_fails_stops_the_rest_which_the_same_command_resumes() {
    let db = Database::new().await;
    let admin = fleet(&db, &["agt_a", "agt_b", "agt_c", "agt_d"]).await;
    admin.run("create table public.agt_b_tags ()").await;
    let files = Files::new(&[BASE, TAGS]);
    let _service = files.service(&db, &[]).await;
    let args = ["agents", "upgrade", "--canary", "2", "--concurrency", "1"];
    let stopped = files.ask(&db, &args).await;
    expect(&stopped, 1, &["public.agt_b_tags"]);
    assert_eq!(admin.rows(UPGRADES).await, ["agt_a|succeeded|0", "agt_b|dead|1"]);
    admin.run("drop table public.agt_b_tags").await;
    expect(&files.ask(&db, &["jobs", "replay", "--all-dead", "--wait"]).await, 0, &[]);
    expect(&files.ask(&db, &args).await, 0, &[]);
    assert_eq!(versions(&admin).await, ["agt_a|2", "agt_b|2", "agt_c|2", "agt_d|2"]);
}

#[tokio::test]
async fn so_many_failures_stop_the_rest_and_take_back_what_is_queued() {
    let db = Database::new().await;
    let prefixes = ["agt_a", "agt_b", "agt_c", "agt_d", "agt_e"];
    let (admin, holder) = (fleet(&db, &prefixes).await, db.admin().await);
    for prefix in ["agt_a", "agt_b"] {
        admin.run(&format!("create table public.{prefix}_tags ()")).await;
    }
    let files = Files::new(&[BASE, TAGS]);
    let _service = files.service(&db, &[PATIENT, ("WORKER__CONCURRENCY", "1")]).await;
    // Its job is running when the rest is taken back, and is waited for.
    holder.run("begin; lock table public.agt_c_customers in access share mode").await;
    let mut command = files.command(&db, &["agents", "upgrade", "--max-failures", "2"]);
    let stopping = async {
        let sql = "select count(*) = 2 from provisioning.jobs where kind = 'upgrade'
                   and state = 'cancelled'";
        admin.holds(sql).await;
        holder.run("commit").await;
    };
    let (stopped, ()) = tokio::join!(crate::support::finish(&mut command), stopping);
    expect(&stopped, 1, &["public.agt_a_tags", "public.agt_b_tags"]);
    let expected = ["agt_a|1", "agt_b|1", "agt_c|2", "agt_d|1", "agt_e|1"];
    assert_eq!(versions(&admin).await, expected);
    admin.run("drop table public.agt_a_tags, public.agt_b_tags").await;
    expect(&files.ask(&db, &["jobs", "replay", "--all-dead", "--wait"]).await, 0, &[]);
    let args = ["agents", "upgrade", "--max-failures", "2"];
    expect(&files.ask(&db, &args).await, 0, &[]);
    assert_eq!(versions(&admin).await, prefixes.map(|prefix| format!("{prefix}|2")));
}

#[tokio::test]
async fn killed_workers_and_a_killed_command_leave_what_the_next_ones_finish() {
    let db = Database::new().await;
    let prefixes = ["agt_a", "agt_b", "agt_c", "agt_d", "agt_e", "agt_f"];
    let (admin, holder) = (fleet(&db, &prefixes).await, db.admin().await);
    let files = Files::new(&[BASE, COLUMN]);
    let mut service = files.service(&db, &[PATIENT]).await;
    let hold =
        "begin; lock table public.agt_c_customers, public.agt_d_customers in access share mode";
    holder.run(hold).await;
    let args = ["agents", "upgrade", "--concurrency", "2"];
    let mut command = files.command(&db, &args).spawn().unwrap();
    admin.held_up("agt_c").await;
    admin.held_up("agt_d").await;
    command.kill().unwrap();
    command.wait().unwrap();
    service.signal("KILL");
    service.ended().await;
    let expected = ["agt_a|2", "agt_b|2", "agt_c|1", "agt_d|1", "agt_e|1", "agt_f|1"];
    assert_eq!(versions(&admin).await, expected);
    let jobs = ["agt_a|succeeded|0", "agt_b|succeeded|0", "agt_c|pending|0", "agt_d|pending|0"];
    assert_eq!(admin.rows(UPGRADES).await, jobs);
    holder.run("commit").await;
    let _service = files.service(&db, &[]).await;
    // The service goes on with the rollout: there may be nothing left to do.
    expect(&files.ask(&db, &args).await, 0, &[]);
    assert!(versions(&admin).await.iter().all(|agent| agent.ends_with("|2")));
    let jobs = admin.rows(UPGRADES).await;
    assert_eq!(jobs, prefixes.map(|prefix| format!("{prefix}|succeeded|0")));
}

#[tokio::test]
async fn new_agents_overtake_an_upgrade_and_get_the_newest_version() {
    let db = Database::new().await;
    let (admin, holder) = (fleet(&db, &["agt_a", "agt_b", "agt_c"]).await, db.admin().await);
    let files = Files::new(&[BASE, COLUMN]);
    let _service = files.service(&db, &[PATIENT, ("WORKER__CONCURRENCY", "1")]).await;
    holder.run("begin; lock table public.agt_a_customers in access share mode").await;
    expect(&files.ask(&db, &["agents", "upgrade"]).await, 0, &["queued 3 jobs"]);
    admin.held_up("agt_a").await;
    admin.create("agt_new").await;
    holder.run("commit").await;
    admin.settled().await;
    let order = "select agent_prefix from provisioning.jobs where id > 3 order by finished_at";
    assert_eq!(admin.rows(order).await, ["agt_a", "agt_new", "agt_b", "agt_c"]);
    assert_eq!(versions(&admin).await, ["agt_a|2", "agt_b|2", "agt_c|2", "agt_new|2"]);
}

#[tokio::test]
async fn a_worker_with_older_templates_leaves_upgrades_to_a_newer_one() {
    let db = Database::new().await;
    let admin = fleet(&db, &["agt_a"]).await;
    let _old = Files::new(&[BASE]).service(&db, &[]).await;
    let files = Files::new(&[BASE, COLUMN]);
    expect(&files.ask(&db, &["agents", "upgrade"]).await, 0, &["queued 1 job\n"]);
    admin.create("agt_b").await;
    admin
        .holds("select exists (select from provisioning.agents where agent_prefix = 'agt_b')")
        .await;
    assert_eq!(admin.rows(UPGRADES).await, ["agt_a|pending|0"]);
    let waiting = files.ask(&db, &["jobs", "show", "2"]).await;
    expect(&waiting, 0, &["version 2"]);
    let _new = files.service(&db, &[]).await;
    admin.settled().await;
    assert_eq!(versions(&admin).await, ["agt_a|2", "agt_b|1"]);
}

#[tokio::test]
async fn a_worker_with_older_templates_takes_nothing_for_additional() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let policy = "create policy {prefix}_all on public.{prefix}_customers using (true)";
    let (old, new) = (Files::new(&[BASE]), Files::new(&[BASE, ("0002_policy.sql", policy)]));
    let service = new.service(&db, &[]).await;
    admin.create("agt_a").await;
    admin.settled().await;
    drop(service);
    let service = old.service(&db, &[]).await;
    let verified = json(&old.ask(&db, &["agents", "verify", "--json"]).await);
    assert_eq!(
        (&verified["template_version"], &verified["versions"]),
        (&value!(1), &value!({"2": 1}))
    );
    let found = &verified["drifted"][0]["differences"][0];
    assert_eq!((&found["change"], &found["kind"]), (&value!("extra"), &value!("policy")));
    expect(&old.ask(&db, &["agents", "repair", "--force"]).await, 0, &["queued 1 job\n"]);
    let left = "select last_error_code = 'templates_outdated' from provisioning.jobs
                where kind = 'repair' and state = 'pending'";
    admin.holds(left).await;
    drop(service);
    admin.run("update provisioning.jobs set run_at = now() where state = 'pending'").await;
    let _service = new.service(&db, &[]).await;
    admin.settled().await;
    let outcome = "select state, outcome from provisioning.jobs where kind = 'repair'";
    assert_eq!(admin.rows(outcome).await, ["succeeded|unchanged"]);
    assert_eq!(
        admin.one::<i64>("select count(*) from pg_policies where policyname ~ '^agt_a_'").await,
        1
    );
}

#[tokio::test]
async fn an_agent_that_goes_takes_its_upgrade_along() {
    let db = Database::new().await;
    let admin = fleet(&db, &["agt_a"]).await;
    let files = Files::new(&[BASE, COLUMN]);
    expect(&files.ask(&db, &["agents", "upgrade"]).await, 0, &["queued 1 job\n"]);
    admin.run("delete from public.agents").await;
    let _service = files.service(&db, &[]).await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_a").await, [""; 0]);
    let ends = "select kind, outcome is not null from provisioning.jobs where kind = 'upgrade'";
    assert_eq!(admin.rows(ends).await, ["upgrade|t"]);
}

#[tokio::test]
async fn wrong_usage_ends_with_2_and_an_unknown_prefix_with_1() {
    let db = Database::new().await;
    let files = Files::new(&[BASE]);
    expect(&files.ask(&db, &["agents", "upgrade", "--canary", "0"]).await, 2, &["at least 1"]);
    let unknown = files.ask(&db, &["agents", "upgrade", "agt_x"]).await;
    expect(&unknown, 1, &["\"agt_x\""]);
    expect(&files.ask(&db, &["agents", "upgrade"]).await, 0, &[]);
}

/// Of an older file, and what takes its name.
const RENAMES: (&str, &str) = (
    "0002_renames.sql",
    "alter table public.{prefix}_customers rename to {prefix}_clients;
     create table public.{prefix}_customers (id int primary key);
     alter table public.{prefix}_customers enable row level security;
     alter type public.{prefix}_kind rename to {prefix}_sort;
     create type public.{prefix}_kind as enum ('x')",
);

#[tokio::test]
async fn a_table_that_a_file_renames_stays_the_agents() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let base = format!("create type public.{{prefix}}_kind as enum ('a', 'b'); {}", BASE.1);
    let files = Files::new(&[("0001_base.sql", &base), ("foreign_key.sql", KEY)]);
    let service = files.service(&db, &[("REFERENCE", "foreign_key")]).await;
    admin.create("agt_a").await;
    admin.settled().await;
    drop(service);
    files.write(RENAMES.0, RENAMES.1);
    files.write("foreign_key.sql", &KEY.replace("_customers", "_clients"));
    let _service = files.service(&db, &[("REFERENCE", "foreign_key")]).await;
    admin.create("agt_b").await;
    admin.settled().await;
    expect(&files.ask(&db, &["agents", "upgrade", "--wait"]).await, 0, &[]);
    sound(&files.ask(&db, &["agents", "verify", "--json"]).await, 2);
    let registered = "select relation::text, table_name from provisioning.agent_tables where agent_id = 1
                      union all select type::text, type_name from provisioning.agent_types where agent_id = 1
                      order by 1";
    let expected =
        ["clients", "customers", "kind", "sort"].map(|name| format!("agt_a_{name}|agt_a_{name}"));
    assert_eq!(admin.rows(registered).await, expected);
    admin.run("select public.delete_agent(1)").await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_a").await, [""; 0]);
    assert_eq!(admin.rows("select typname from pg_type where typname ^@ 'agt_a_'").await, [""; 0]);
}
