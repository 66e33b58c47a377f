//! Agents of which nothing has changed are left out by `agents verify`; nothing else is. The service finds drift by itself.

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::{Value, json as value};
use tokio_postgres::types::Type;

use crate::constructs::{self, Construct, constructs};
use crate::repair::{self, SABOTAGES};
use crate::support::{
    ADMIN, Admin, Database, Files, WORKER, ask, expect, finish, get, json, provisioner, until,
};

const FAST: (&str, &str) = ("VERIFY__INTERVAL", "100ms");

async fn verify(db: &Database, role: &str, args: &[&str]) -> Value {
    json(&ask(&db.url(role), &[&["agents", "verify", "--json"], args].concat()).await)
}

/// How many agents were compared, left out, and found to differ.
fn counts(report: &Value) -> [u64; 3] {
    assert_eq!(report["unchanged_since"].is_null(), report["unchanged"] == 0, "{report}");
    let drifted = report["drifted"].as_array().unwrap().len();
    let count = |key: &str| report[key].as_u64().unwrap();
    assert_eq!(count("checked"), count("compared") + count("unchanged"), "{report}");
    [count("compared"), count("unchanged"), drifted.try_into().unwrap()]
}

async fn agents(db: &Database, count: usize) -> Admin {
    let admin = db.admin().await;
    let service = db.service_with(&[("REFERENCE", "check")]).await;
    let create = format!(
        "insert into public.agents (agent_prefix) select 'agt_' || i from generate_series(0, {count} - 1) i"
    );
    admin.run(&create).await;
    admin.all_done().await;
    drop(service);
    admin
}

#[tokio::test]
async fn whatever_a_full_comparison_sees_one_of_changed_agents_sees() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    let (most, all) = (SABOTAGES.len(), u64::try_from(SABOTAGES.len()).unwrap() + 1);
    for number in 0..=most {
        admin.create(&format!("agt_{number}")).await;
    }
    admin.all_done().await;
    drop(service);
    assert_eq!(counts(&verify(&db, ADMIN, &[]).await), [all, 0, 0]);
    assert_eq!(counts(&verify(&db, ADMIN, &[]).await), [0, all, 0]);
    let root = Admin(db.connect(SUPERUSER).await);
    let (mut report, mut compared_by_all) = (Value::Null, Vec::new());
    for (done, (sql, ..)) in (1..).zip(SABOTAGES) {
        root.run(&repair::of(&format!("agt_{}", done - 1), sql)).await;
        report = verify(&db, ADMIN, &[]).await;
        if counts(&report) == [all, 0, done] {
            compared_by_all.push(sql);
        } else {
            assert_eq!(counts(&report), [done, all - done, done], "{sql}");
        }
    }
    // A sequence of nobody's that a default draws from has a name that may be in other agents' definitions.
    assert_eq!(compared_by_all, ["alter sequence public.P_customers_id_seq owned by none"]);
    let full = verify(&db, ADMIN, &["--full"]).await;
    assert_eq!(counts(&full), [all, 0, all - 1]);
    assert_eq!(full["drifted"], report["drifted"]);
}

#[tokio::test]
async fn whatever_a_template_can_say_counts() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let release = constructs::release(&admin).await;
    let files = constructs::files_of_told(release);
    let service = files.service(&db, &[]).await;
    // The name of a table that somebody adds is one that definitions of all agents may contain.
    let counts_for_one = |c: &&Construct| !c.said.is_empty() && c.name != "child";
    let told: Vec<_> = constructs(release).filter(counts_for_one).collect();
    let drifted = u64::try_from(told.len()).unwrap();
    for agent in 0..=drifted {
        admin.create(&format!("a_{agent}")).await;
    }
    admin.all_done().await;
    drop(service);
    assert_eq!(counts(&files.verify(&db, &[]).await), [drifted + 1, 0, 0]);
    assert_eq!(counts(&files.verify(&db, &[]).await), [0, drifted + 1, 0]);
    let root = Admin(db.connect(SUPERUSER).await);
    for (agent, Construct { name, drift, .. }) in told.iter().enumerate() {
        root.run(&constructs::of(&format!("a_{agent}"), name, drift)).await;
    }
    let report = files.verify(&db, &[]).await;
    assert_eq!(counts(&report), [drifted, 1, drifted], "{report}");
    assert_eq!(report["drifted"], files.verify(&db, &["--full"]).await["drifted"]);
}

/// Names that other rows of the catalog have, and that may be in the definitions of agents' tables. What is renamed twice is as
/// it was.
const NAMES: [(&str, [u64; 3]); 8] = [
    ("create function public.more() returns int language sql as 'select 1'", [3, 0, 0]),
    ("alter function public.more() rename to other", [3, 0, 0]),
    ("alter publication supabase_realtime rename to realtime", [3, 0, 0]),
    ("alter table public.users rename name to title", [3, 0, 0]),
    (
        "alter table public.users rename title to name; alter publication realtime rename to supabase_realtime",
        [3, 0, 0],
    ),
    ("create type public.letter as enum ('x')", [3, 0, 0]),
    ("create cast (public.letter as text) with inout as assignment", [3, 0, 0]),
    (
        "alter function public.other() rename to another;
         alter function public.another() rename to other",
        [0, 3, 0],
    ),
];

/// What others do all day, and what the server does with the catalog.
const ELSEWHERE: [&str; 8] = [
    "create table public.shop (id int primary key, n int check (n > 0))",
    "truncate public.shop; analyze; vacuum (freeze)",
    "create materialized view public.sums as select count(*) from public.shop",
    "refresh materialized view public.sums",
    "create temp table scratch (a int); insert into scratch values (1)",
    "insert into public.agt_0_customers (name, phone) values ('Eve', '1')",
    "vacuum full pg_catalog.pg_class, pg_catalog.pg_attribute, pg_catalog.pg_constraint",
    "reindex table public.shop",
];

#[tokio::test]
async fn names_elsewhere_count_and_what_goes_on_elsewhere_does_not() {
    let db = Database::new().await;
    let admin = agents(&db, 3).await;
    let root = Admin(db.connect(SUPERUSER).await);
    assert_eq!(counts(&verify(&db, ADMIN, &[]).await), [3, 0, 0]);
    for sql in ELSEWHERE {
        for statement in sql.split("; ") {
            root.run(statement).await;
        }
        let first = verify(&db, ADMIN, &[]).await;
        assert_eq!(first["drifted"], value!([]), "{sql}");
        // A new name is one that the agents' definitions may contain.
        if !sql.starts_with("create table") && !sql.starts_with("create materialized") {
            assert_eq!(counts(&first), [0, 3, 0], "{sql}");
        }
    }
    for (sql, expected) in NAMES {
        root.run(sql).await;
        assert_eq!(counts(&verify(&db, ADMIN, &[]).await), expected, "{sql}");
    }
    // An agent more or less is none of the others' business.
    let service = db.service_with(&[("REFERENCE", "check")]).await;
    admin.create("agt_new").await;
    admin.settled().await;
    drop(service);
    assert_eq!(counts(&verify(&db, ADMIN, &[]).await), [1, 3, 0]);
}

const OF_OTHERS: &str = "
create table public.{prefix}_notes (
    id bigint primary key,
    agent_id bigint not null default {agent_id},
    tags public.tags,
    pairs public.pairs,
    body text default 'public.lookup_v'::regclass::text
);
create constraint trigger {prefix}_notes_far after insert on public.{prefix}_notes from public.far
    for each row execute function public.nothing();
create policy of_roles on public.{prefix}_notes
    using (exists (select from information_schema.applicable_roles r where r.grantee = 'x'));
alter table public.{prefix}_notes enable row level security, force row level security;
revoke all on public.{prefix}_notes from public, anon, authenticated, service_role;
";

const KEY: &str = "alter table public.{prefix}_notes add constraint {prefix}_notes_agent_fk
    foreign key (agent_id) references public.agents (id) on delete cascade;";

const OTHERS: &str = "
create domain public.tags as text[];
create type public.pair as (a int, b text);
create domain public.pairs as public.pair[];
create table public.lookup (v int);
create index lookup_v on public.lookup (v);
create table public.far (id int);
grant trigger on public.far to agent_provisioner;
create function public.nothing() returns trigger language plpgsql as 'begin return null; end'";

/// What an agent's tables name is called otherwise, another thing has its name; and back.
const TAKEN: [(&str, &str); 6] = [
    (
        "alter domain public.tags rename to tags_old; create domain public.tags as text[]",
        "drop domain public.tags; alter domain public.tags_old rename to tags",
    ),
    (
        "alter domain public.pairs rename to pairs_old; create domain public.pairs as public.pair[]",
        "drop domain public.pairs; alter domain public.pairs_old rename to pairs",
    ),
    (
        "alter index public.lookup_v rename to lookup_v_old; create index lookup_v on public.lookup (v)",
        "drop index public.lookup_v; alter index public.lookup_v_old rename to lookup_v",
    ),
    (
        "alter table public.far rename to far_old; create table public.far (id int);
         grant trigger on public.far to agent_provisioner",
        "drop table public.far; alter table public.far_old rename to far",
    ),
    (
        "alter view information_schema.applicable_roles rename grantee to x;
         alter view information_schema.applicable_roles rename role_name to grantee",
        "alter view information_schema.applicable_roles rename grantee to role_name;
         alter view information_schema.applicable_roles rename x to grantee",
    ),
    // No name, but the function that makes the foreign keys: all agents differ from what it makes now.
    (
        "do $$ begin
            execute replace(pg_get_functiondef('provisioning.refer_to_agents(jsonb)'::regprocedure),
                'execute statement;', 'execute statement || '' deferrable'';');
         end $$",
        "do $$ begin
            execute replace(pg_get_functiondef('provisioning.refer_to_agents(jsonb)'::regprocedure),
                'execute statement || '' deferrable'';', 'execute statement;');
         end $$",
    ),
];

#[tokio::test]
async fn a_name_that_another_thing_has_taken_is_seen_as_by_a_full_comparison() {
    let db = Database::new().await;
    let root = Admin(db.connect(SUPERUSER).await);
    root.run(OTHERS).await;
    let files = Files::new(&[("0001_notes.sql", OF_OTHERS), ("foreign_key.sql", KEY)]);
    let admin = db.admin().await;
    let service = files.service(&db, &[]).await;
    admin.create("agt_x").await;
    admin.all_done().await;
    drop(service);
    assert_eq!(counts(&files.verify(&db, &[]).await), [1, 0, 0]);
    for (change, back) in TAKEN {
        assert_eq!(counts(&files.verify(&db, &[]).await), [0, 1, 0], "{change}");
        root.run(change).await;
        let plain = files.verify(&db, &[]).await;
        let full = files.verify(&db, &["--full"]).await;
        assert_eq!(counts(&full), [1, 0, 1], "{change}");
        assert_eq!(plain["drifted"], full["drifted"], "{change}");
        root.run(back).await;
        assert_eq!(counts(&files.verify(&db, &[]).await), [1, 0, 0], "{back}");
    }
}

const SHARED: &str = "
create type public.{prefix}_tone as enum ('a');
create type public.{prefix}_mood as enum ('a', 'b');
create sequence public.{prefix}_shared_seq;
create table public.{prefix}_shared (id int primary key, v int, n int default nextval('public.{prefix}_shared_seq'));
alter sequence public.{prefix}_shared_seq owned by public.{prefix}_shared.n;
alter table public.{prefix}_shared enable row level security, force row level security;
revoke all on public.{prefix}_shared from public, anon, authenticated, service_role";

/// Each definition names something of another agent's, by a name that is always the same.
const USES: &str = "
create table public.{prefix}_uses (
    id int references public.demo_shared (id),
    tone public.demo_tone,
    moods public.demo_mood[] default '{a}',
    body text default 'a'::public.demo_tone::text,
    n int default nextval('public.demo_shared_seq')
);
create constraint trigger far after insert on public.{prefix}_uses from public.demo_shared
    for each row execute function provisioning.touch_updated_at();
create policy own on public.{prefix}_uses using (id in (select s.v from public.demo_shared s));
alter table public.{prefix}_uses enable row level security, force row level security;
revoke all on public.{prefix}_uses from public, anon, authenticated, service_role";

/// What an agent's tables name is called otherwise, another thing has its name; and back.
const TAKEN_OF_OTHERS: [(&str, &str); 6] = [
    (
        "alter table public.demo_shared rename id to ident; alter table public.demo_shared add id int unique",
        "alter table public.demo_shared drop id; alter table public.demo_shared rename ident to id",
    ),
    (
        "alter table public.demo_shared rename v to w; alter table public.demo_shared add v int",
        "alter table public.demo_shared drop v; alter table public.demo_shared rename w to v",
    ),
    (
        "alter table public.demo_shared rename to demo_old; create table public.demo_shared (id int primary key, v int);
         alter table public.demo_shared owner to agent_provisioner",
        "drop table public.demo_shared; alter table public.demo_old rename to demo_shared",
    ),
    (
        "alter sequence public.demo_shared_seq rename to demo_old_seq; create sequence public.demo_shared_seq;
         alter sequence public.demo_shared_seq owner to agent_provisioner",
        "drop sequence public.demo_shared_seq; alter sequence public.demo_old_seq rename to demo_shared_seq",
    ),
    (
        "alter type public.demo_tone rename to demo_old; create type public.demo_tone as enum ('a')",
        "drop type public.demo_tone; alter type public.demo_old rename to demo_tone",
    ),
    (
        "alter type public.demo_mood rename value 'a' to 'x'; alter type public.demo_mood rename value 'b' to 'a';
         alter type public.demo_mood rename value 'x' to 'b'",
        "alter type public.demo_mood rename value 'a' to 'x'; alter type public.demo_mood rename value 'b' to 'a';
         alter type public.demo_mood rename value 'x' to 'b'",
    ),
];

#[tokio::test]
async fn a_name_of_another_agents_is_seen_as_by_a_full_comparison() {
    let db = Database::new().await;
    let (root, admin) = (Admin(db.connect(SUPERUSER).await), db.admin().await);
    let files = Files::new(&[("0001_shared.sql", SHARED)]);
    let service = files.service(&db, &[("REFERENCE", "check")]).await;
    admin.create("demo").await;
    admin.all_done().await;
    service.stop().await;
    files.write("0002_uses.sql", USES);
    let service = files.service(&db, &[("REFERENCE", "check")]).await;
    admin.create("agt_x").await;
    admin.create("agt_y").await;
    admin.all_done().await;
    drop(service);
    assert_eq!(counts(&files.verify(&db, &[]).await), [3, 0, 0]);
    for (change, back) in TAKEN_OF_OTHERS {
        assert_eq!(counts(&files.verify(&db, &[]).await), [0, 3, 0], "{change}");
        root.run(change).await;
        let plain = files.verify(&db, &[]).await;
        let full = files.verify(&db, &["--full"]).await;
        assert_eq!(counts(&full), [3, 0, 3], "{change}: {full}");
        assert_eq!(plain["drifted"], full["drifted"], "{change}");
        root.run(back).await;
        assert_eq!(counts(&files.verify(&db, &[]).await), [3, 0, 0], "{back}");
    }
    // What else becomes of that table is none of their business.
    root.run("comment on table public.demo_shared is 'x'").await;
    let report = files.verify(&db, &[]).await;
    assert_eq!(report["unchanged"], 2, "{report}");
    assert_eq!(report["drifted"][0]["prefix"], "demo", "{report}");
}

#[tokio::test]
async fn a_role_that_only_a_constant_names_counts() {
    let db = Database::new().await;
    let root = Admin(db.connect(SUPERUSER).await);
    let [here, there] = ["here", "there"].map(|name| format!("{name}_{}", db.name));
    root.run(&format!("create role {here}; create role {there}")).await;
    let notes = format!(
        "create table public.{{prefix}}_notes (id int primary key, readers regrole[] default '{{{here}}}');
         alter table public.{{prefix}}_notes enable row level security, force row level security;
         revoke all on public.{{prefix}}_notes from public, anon, authenticated, service_role"
    );
    let files = Files::new(&[("0001_notes.sql", &notes)]);
    let service = files.service(&db, &[("REFERENCE", "check")]).await;
    let admin = db.admin().await;
    admin.create("agt_x").await;
    admin.all_done().await;
    drop(service);
    assert_eq!(counts(&files.verify(&db, &[]).await), [1, 0, 0]);
    assert_eq!(counts(&files.verify(&db, &[]).await), [0, 1, 0]);
    root.run(&format!("alter role {here} rename to {here}_x; alter role {there} rename to {here}"))
        .await;
    let plain = files.verify(&db, &[]).await;
    assert_eq!(counts(&plain), [1, 0, 1]);
    assert_eq!(plain["drifted"], files.verify(&db, &["--full"]).await["drifted"]);
    root.run(&format!("drop role {here}; drop role {here}_x")).await;
}

#[tokio::test]
async fn who_is_right_for_a_moment_only_is_not_recorded() {
    let db = Database::new().await;
    drop(agents(&db, 1).await);
    let [root, holder] = [db.connect(SUPERUSER).await, db.connect(SUPERUSER).await].map(Admin);
    let gone = "drop index public.agt_0_customers_phone_idx";
    root.run(gone).await;
    // The registry is read after the fingerprints, and before the tables.
    holder
        .run("begin; alter view provisioning.displaced_tables set (security_barrier = true)")
        .await;
    let repair = async {
        root.holds(
            "select exists (select from pg_locks l join pg_database d on d.oid = l.database
                            where d.datname = current_database() and not l.granted)",
        )
        .await;
        root.run("create index agt_0_customers_phone_idx on public.agt_0_customers (phone)").await;
        holder.run("rollback").await;
    };
    let (meanwhile, ()) = tokio::join!(verify(&db, ADMIN, &[]), repair);
    assert_eq!(counts(&meanwhile), [1, 0, 0]);
    root.run(gone).await;
    let plain = verify(&db, ADMIN, &[]).await;
    assert_eq!(counts(&plain), [1, 0, 1]);
    assert_eq!(plain["drifted"], verify(&db, ADMIN, &["--full"]).await["drifted"]);
}

/// Otherwise a repaired agent is one that differs, until the next comparison.
#[tokio::test]
async fn what_a_job_has_mended_since_it_was_compared_is_not_recorded() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    admin.create("agt_x").await;
    admin.settled().await;
    let [root, holder] = [db.connect(SUPERUSER).await, db.connect(SUPERUSER).await].map(Admin);
    root.run("drop index public.agt_x_customers_phone_idx").await;
    // What a comparison reads between the tables and what it writes.
    holder.run("begin; lock provisioning.instances").await;
    let repair = async {
        root.holds(
            "select exists (select from pg_stat_activity where datname = current_database()
                              and query like '%differing_instances(null%' and wait_event_type = 'Lock')",
        )
        .await;
        let queue = "insert into provisioning.jobs (kind, agent_id, agent_prefix)
                     select 'repair', agent_id, agent_prefix from provisioning.agents;
                     update provisioning.jobs set run_at = now() where kind = 'repair'";
        root.run(queue).await;
        admin.settled().await;
        holder.run("rollback").await;
    };
    let mut patient = provisioner(&db.url(ADMIN));
    patient.env("PROVISIONER_DATABASE__LOCK_TIMEOUT", "50s").args(["agents", "verify", "--json"]);
    let (meanwhile, ()) = tokio::join!(finish(&mut patient), repair);
    assert_eq!(counts(&json(&meanwhile)), [1, 0, 1]);
    assert!(meanwhile.stderr.is_empty(), "{meanwhile:?}");
    assert_eq!(admin.rows("select agent_id::text from provisioning.drifted_agents").await, [""; 0]);
    assert_eq!(counts(&verify(&db, ADMIN, &[]).await), [1, 0, 0]);
    drop(service);
}

#[tokio::test]
async fn who_has_other_settings_than_an_instance_says_so_and_records_nothing() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    admin.create("agt_x").await;
    admin.settled().await;
    let other = async || {
        let mut command = provisioner(&db.url(ADMIN));
        command.env("PROVISIONER_REALTIME", "messages").args(["agents", "verify", "--json"]);
        let report = json(&finish(&mut command).await);
        assert_eq!(counts(&report), [1, 0, 1], "{report}");
        report
    };
    let marks = "select count(*) from provisioning.drifted_agents";
    admin.holds("select count(*) = 1 from provisioning.instances").await;
    let report = other().await;
    let [instance] = &**report["differing_instances"].as_array().unwrap() else {
        panic!("{report}")
    };
    assert_eq!(instance["setting"], "realtime");
    assert_eq!([&instance["own"], &instance["other"]], ["messages", ""]);
    assert_eq!(admin.one::<i64>(marks).await, 0);
    // Nor does it take away what the right settings found.
    let same = verify(&db, ADMIN, &[]).await;
    assert_eq!(same["differing_instances"], value!([]));
    assert_eq!(counts(&same), [1, 0, 0]);
    other().await;
    assert_eq!(counts(&verify(&db, ADMIN, &[]).await), [0, 1, 0]);
    // Where none runs, nobody knows better.
    drop(service);
    admin.run("delete from provisioning.instances").await;
    assert_eq!(other().await["differing_instances"], value!([]));
    assert_eq!(admin.one::<i64>(marks).await, 1);
}

#[tokio::test]
async fn what_was_found_counts_for_a_day_and_for_the_role_that_found_it() {
    let db = Database::new().await;
    let admin = agents(&db, 2).await;
    assert_eq!(counts(&verify(&db, WORKER, &[]).await), [2, 0, 0]);
    assert_eq!(counts(&verify(&db, ADMIN, &[]).await), [2, 0, 0]);
    for role in [WORKER, ADMIN] {
        assert_eq!(counts(&verify(&db, role, &[]).await), [0, 2, 0]);
        assert_eq!(counts(&verify(&db, role, &["agt_1"]).await), [1, 0, 0]);
    }
    for moved in ["- interval '25 hours'", "+ interval '1 hour'"] {
        let sql = format!(
            "update provisioning.verified_agents set verified_at = now() {moved} where agent_id = 1"
        );
        admin.run(&sql).await;
        assert_eq!(counts(&verify(&db, ADMIN, &[]).await), [1, 1, 0], "{moved}");
    }
    // The worker's role neither reads nor writes what an operator has found.
    let worker = Admin(db.connect(WORKER).await);
    let seen = "select distinct verified_by from provisioning.verified_agents";
    assert_eq!(worker.rows(seen).await, [WORKER]);
    for forged in [
        "insert into provisioning.verified_agents values (1, 'postgres', 'x', 1, now())",
        "update provisioning.verified_agents set verified_by = 'postgres'",
    ] {
        let refused = worker.answer(forged).await.err().unwrap();
        assert_eq!(refused.code().code(), "42501", "{forged}");
    }
    worker.run("alter table public.agt_0_customers disable row level security").await;
    assert_eq!(counts(&verify(&db, ADMIN, &[]).await), [1, 1, 1]);
    let marked = json(&ask(&db.url(ADMIN), &["agents", "list", "--json"]).await);
    assert!(marked[0]["drifted_since"].is_string(), "{marked}");
    assert!(marked[1]["drifted_since"].is_null(), "{marked}");
    // The mark is no secret of the role that made it, and does not go before the difference does.
    worker.run("delete from provisioning.drifted_agents").await;
    assert_eq!(counts(&verify(&db, ADMIN, &[]).await), [1, 1, 1]);
    worker
        .run(
            "alter table public.agt_0_customers enable row level security, force row level security",
        )
        .await;
    assert_eq!(counts(&verify(&db, ADMIN, &[]).await), [1, 1, 0]);
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.drifted_agents").await, 0);
}

#[tokio::test]
async fn a_sequence_falls_behind_without_a_change_in_the_catalog() {
    let db = Database::new().await;
    let admin = agents(&db, 2).await;
    assert_eq!(counts(&verify(&db, ADMIN, &[]).await), [2, 0, 0]);
    let root = db.connect(SUPERUSER).await;
    let import = "insert into public.agt_1_customers (id, name, phone) select i, 'n', i from generate_series(1, 3) i;
                  select pg_stat_force_next_flush()";
    root.batch_execute(import).await.unwrap();
    drop(root);
    admin.holds("select pg_stat_get_live_tuples('public.agt_1_customers'::regclass) = 3").await;
    for role in [ADMIN, WORKER] {
        let report = verify(&db, role, &[]).await;
        assert_eq!(report["drifted"][0]["differences"][0]["kind"], "sequence position", "{report}");
        assert_eq!(report["drifted"], verify(&db, role, &["--full"]).await["drifted"]);
    }
    admin.run("select setval('public.agt_1_customers_id_seq', 3)").await;
    assert_eq!(counts(&verify(&db, ADMIN, &[]).await), [1, 1, 0]);
}

#[tokio::test]
async fn who_may_write_nothing_compares_everything() {
    let db = Database::new().await;
    agents(&db, 2).await;
    let root = Admin(db.connect(SUPERUSER).await);
    let read_only = format!(
        "alter role {WORKER} in database {} set default_transaction_read_only = on",
        db.name
    );
    root.run(&read_only).await;
    root.run(&format!("revoke insert on provisioning.verified_agents from {WORKER}")).await;
    for _ in 0..2 {
        assert_eq!(counts(&verify(&db, WORKER, &[]).await), [2, 0, 0]);
    }
}

#[tokio::test]
async fn the_service_finds_drift_and_its_end() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service_with(&[FAST]).await;
    admin.create("agt_x").await;
    admin.create("agt_y").await;
    admin.settled().await;
    let http = service.http().await;
    let gauge = async |wanted: &str| {
        let line = format!("agent_provisioner_drifted_agents {wanted}\n");
        until(&line, || async { get(&http, "/metrics").1.contains(&line).then_some(()) }).await;
    };
    gauge("0").await;
    admin.run("drop policy agt_x_orders_owner on public.agt_x_orders").await;
    gauge("1").await;
    service.logged("agt_x\",\"differences\":1").await;
    let marks = async || {
        let listed = json(&ask(&db.url(ADMIN), &["agents", "list", "--json"]).await);
        let listed = listed.as_array().unwrap().clone();
        listed.iter().map(|agent| agent["drifted_since"].is_string()).collect::<Vec<_>>()
    };
    assert_eq!(marks().await, [true, false]);
    expect(&ask(&db.url(ADMIN), &["agents", "show", "agt_x"]).await, 0, &["drifted since"]);
    let since = "select drifted_since::text from provisioning.drifted_agents";
    let first = admin.rows(since).await;
    let turn = "select taken_at::text from provisioning.verify_turn";
    let before = admin.rows(turn).await;
    until("another turn", || async { (admin.rows(turn).await != before).then_some(()) }).await;
    assert_eq!(admin.rows(since).await, first);
    assert_eq!(service.log().matches("\"differences\":1").count(), 1);
    admin.run("create policy agt_x_orders_owner on public.agt_x_orders using (true)").await;
    let repair = ["agents", "repair", "--force", "agt_x"];
    expect(&ask(&db.url(ADMIN), &repair).await, 0, &[]);
    admin.settled().await;
    gauge("0").await;
    assert_eq!(marks().await, [false, false]);
    expect(&ask(&db.url(ADMIN), &repair).await, 0, &["nothing to repair"]);
}

#[tokio::test]
async fn one_instance_takes_the_turn_of_an_interval() {
    let db = Database::new().await;
    let worker = db.connect(WORKER).await;
    let take = async || {
        let sql = include_str!("../sql/worker/verify_turn.sql");
        let row = &worker.query_typed(sql, &[(&3600.0, Type::FLOAT8)]).await.unwrap()[0];
        (row.get::<_, bool>("taken"), row.get::<_, f64>("seconds"))
    };
    assert_eq!(take().await, (true, 3600.0));
    let (taken, seconds) = take().await;
    assert!(!taken && seconds > 3500.0 && seconds <= 3600.0, "{seconds}");
    let admin = db.admin().await;
    for moved in ["- interval '61 minutes'", "+ interval '1 day'"] {
        admin.run(&format!("update provisioning.verify_turn set taken_at = now() {moved}")).await;
        assert!(take().await.0, "{moved}");
    }
}

#[tokio::test]
async fn an_interval_is_none_or_no_shorter_than_a_comparison() {
    let db = Database::new().await;
    for (interval, code) in [("0s", 0), ("100ms", 0), ("50ms", 2), ("often", 2)] {
        let mut command = provisioner(&db.url(ADMIN));
        command.env("PROVISIONER_VERIFY__INTERVAL", interval).args(["agents", "list"]);
        expect(&finish(&mut command).await, code, &[]);
    }
}
