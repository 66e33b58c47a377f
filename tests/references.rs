//! Whoever may refer to a table by a foreign key can run code as its owner. The worker's role refers to `agents`, and
//! cannot.

use crate::support::{
    ADMIN, Admin, Database, Files, ROLES, Service, WORKER, ask, expect, finish, provisioner, said,
};

/// A server, and the worker's session with a type of its own, which becomes a bigint by a function of its own. The
/// function notes whose rights it ran with: a sequence keeps that, whatever becomes of the statement.
async fn armed() -> (Database, Admin, Admin) {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.run("create sequence public.seen; grant usage on sequence public.seen to public").await;
    admin.create("agt_ada").await;
    let worker = Admin(db.connect(WORKER).await);
    worker
        .run(
            "set search_path = pg_catalog, pg_temp;
             create type public.mine as enum ('x');
             create function public.spy() returns void language plpgsql as $$
             begin
                 if current_user <> 'agent_provisioner' then
                     perform nextval('public.seen');
                 end if;
             end $$;
             create function public.cast_it(public.mine) returns bigint language plpgsql immutable as
                 'begin perform public.spy(); return 1; end';
             create cast (public.mine as bigint) with function public.cast_it(public.mine) as implicit;
             create domain public.number as bigint check (public.cast_it('x') > 0);
             create table public.trap (id int primary key, agent public.mine, plain bigint, short int,
                 numbered public.number, named varchar)",
        )
        .await;
    (db, admin, worker)
}

const SEEN: &str = "select is_called from public.seen";

async fn code(session: &Admin, sql: &str) -> String {
    session.answer(sql).await.map_or_else(|e| e.code().code().to_owned(), |_| String::new())
}

#[tokio::test]
async fn no_cast_of_the_workers_runs_as_the_owner_of_agents() {
    let (_db, admin, worker) = armed().await;
    let key = "alter table public.trap add foreign key (agent) references public.agents (id)";
    let made = code(&worker, key).await;
    code(&worker, "insert into public.trap values (1, 'x')").await;
    assert!(!admin.one::<bool>(SEEN).await);
    assert_eq!(made, "42501");
}

/// What the key of a table says to the functions that add it.
fn entry(table: &str, column: &str, more: &str) -> String {
    format!(
        "'{{\"what\": \"key\", \"schema\": \"public\", \"name\": \"{table}\", \"columns\": [\"{column}\"],
           \"refers_to_schema\": \"public\", \"refers_to\": \"agents\", \"refers_to_columns\": [\"id\"]{more}}}'"
    )
}

#[tokio::test]
async fn the_owner_of_agents_adds_keys_between_built_in_types_only() {
    let (_db, admin, worker) = armed().await;
    admin.run("create table public.others (id bigint)").await;
    worker
        .run(
            "create table public.parts (id bigint) partition by hash (id);
             create view public.some as select id from public.agents",
        )
        .await;
    let users = ", \"refers_to\": \"users\"";
    let raw = ", \"definition\": \"FOREIGN KEY (agent) REFERENCES public.agents (id)\"";
    let loose = ", \"key\": \"also\", \"on_delete\": \"c\", \"valid\": false";
    let cases = [
        (entry("trap", "agent", ""), "42804"),
        (entry("trap", "numbered", ""), "42804"),
        (entry("trap", "named", ""), "42804"), // PostgreSQL's own rule
        (entry("others", "id", ""), "42501"),
        (entry("nothing", "id", ""), "42501"),
        (entry("some", "id", ""), "0A000"),
        (entry("parts", "id", ""), "0A000"),
        (entry("trap", "plain", users), "42830"),
        (entry("trap", "plain", raw), "42830"),
        (entry("trap", "none", ""), "42703"),
        ("'{}'".to_owned(), "22004"),
        ("null".to_owned(), "22004"),
        (entry("trap", "plain", ""), ""),
        (entry("trap", "short", loose), ""),
    ];
    for (entry, expected) in cases {
        for function in ["refer_to_agents", "make_key"] {
            let call = format!("select provisioning.{function}({entry})");
            let found = worker.attempt("begin", &call).await;
            let found = found.map_or_else(|e| e.code().code().to_owned(), |_| String::new());
            assert_eq!(found, expected, "{call}");
        }
    }
    assert!(!admin.one::<bool>(SEEN).await);
}

/// Code of the worker's at every place where a table can have some.
const ARMS: &str = "
    create function public.is_fine() returns boolean language plpgsql immutable as
        'begin perform public.spy(); return true; end';
    create function public.number() returns bigint language plpgsql as 'begin perform public.spy(); return 1; end';
    create table public.armed (id bigint default public.number() check (public.is_fine()),
        made int generated always as (case when public.is_fine() then 1 end) stored);
    insert into public.armed values (1);
    create index on public.armed ((public.is_fine())) where public.is_fine();
    create statistics public.armed_statistics on (public.is_fine()), id from public.armed;
    create policy p on public.armed using (public.is_fine()) with check (public.is_fine());
    alter table public.armed enable row level security, force row level security;
    analyze public.armed";

#[tokio::test]
async fn nothing_of_the_table_runs_while_its_key_is_added() {
    let (_db, admin, worker) = armed().await;
    worker.run(ARMS).await;
    worker.run(&format!("select provisioning.make_key({})", entry("armed", "id", ""))).await;
    let valid = "select convalidated from pg_constraint where conrelid = 'public.armed'::regclass and contype = 'f'";
    assert!(admin.one::<bool>(valid).await);
    assert!(!admin.one::<bool>(SEEN).await);
    // The key holds.
    assert_eq!(code(&worker, "insert into public.armed values (99)").await, "23503");
}

/// What makes the key another one after it is there.
const LATER: [(&str, &str); 12] = [
    ("alter table public.trap alter plain type public.mine using 'x'", "42501"),
    ("alter table public.trap alter plain type public.number", "42501"),
    ("alter table public.trap alter plain type int", "42501"),
    ("create cast (bigint as int) with function public.narrow(bigint) as implicit", "42501"),
    ("create operator class public.ours default for type bigint using btree as
        function 1 pg_catalog.btint8cmp(bigint, bigint)", "42501"),
    ("alter operator family pg_catalog.integer_ops using btree add
        operator 3 pg_catalog.= (bigint, bigint)", "42501"),
    ("create table public.parent (like public.trap) partition by hash (plain);
      alter table public.parent add foreign key (plain) references public.agents (id)", "42501"),
    ("create table public.parent (like public.trap) partition by hash (id);
      alter table public.trap drop constraint trap_pkey;
      alter table public.parent attach partition public.trap for values with (modulus 1, remainder 0);
      alter table public.parent alter plain type public.mine using 'x'", "42501"),
    ("create table public.copy (like public.trap including all);
      alter table public.copy alter plain type public.mine using 'x';
      insert into public.copy values (2, 'x', 'x')", ""),
    ("create table public.child () inherits (public.trap);
      insert into public.child values (2, 'x', 99)", ""),
    ("update pg_catalog.pg_constraint set conpfeqop = conpfeqop", "42501"),
    ("alter table public.trap alter plain type bigint using public.cast_it('x')", "42501"),
];

#[tokio::test]
async fn a_key_that_is_there_does_not_become_another() {
    let (_db, admin, worker) = armed().await;
    worker
        .run("create function public.narrow(bigint) returns int language sql as 'select 1'")
        .await;
    worker.run(&format!("select provisioning.make_key({})", entry("trap", "plain", ""))).await;
    for (sql, expected) in LATER {
        let found = worker.attempt("begin", sql).await;
        let found = found.map_or_else(|e| e.code().code().to_owned(), |_| String::new());
        assert_eq!(found, expected, "{sql}");
        assert!(!admin.one::<bool>(SEEN).await, "{sql}");
    }
}

/// Trigger functions of the worker's.
const FIRE: &str = "create table public.later (id int);
    create function public.fire() returns trigger language plpgsql as
        'begin perform public.spy(); return null; end';
    create function public.put_off() returns trigger language plpgsql as
        'begin insert into public.later values (1); return old; end'";

/// Where the totals go, and what a function of ours does with them. No function here is the worker's.
const TOTALS: &str = "drop function public.cast_it(public.mine), public.spy() cascade;
    alter table public.trap add order_id int default 1, add total numeric default 1;
    create table public.victims (id bigint, total_amount numeric
        check (current_user = 'agent_provisioner' or nextval('public.seen') > 0));
    insert into public.victims values (1, 5);
    create table public.other (order_id int, total numeric);
    insert into public.other values (1, 1)";

/// What the server runs when `agents` loses a row to which table trap refers.
const CASCADES: [(&str, &str); 7] = [
    (FIRE, "create trigger t after delete on public.trap for each row execute function public.fire()"),
    (FIRE, "create trigger t after delete on public.trap for each statement execute function public.fire()"),
    (
        FIRE,
        "create constraint trigger t after insert on public.later deferrable initially deferred
             for each row execute function public.fire();
         create trigger b before delete on public.trap for each statement execute function public.put_off()",
    ),
    (
        FIRE,
        "create constraint trigger t after insert on public.later deferrable initially deferred
             for each row execute function public.fire();
         create rule r as on delete to public.trap do also insert into public.later values (1)",
    ),
    (
        FIRE,
        "create table public.below (id int references public.trap on delete cascade);
         insert into public.below values (1);
         create trigger t after delete on public.below for each row execute function public.fire()",
    ),
    (
        TOTALS,
        "create trigger t after delete on public.trap referencing old table as deleted
             for each statement execute function provisioning.total_orders('victims')",
    ),
    (
        TOTALS,
        "create trigger t after delete on public.other referencing old table as deleted
             for each statement execute function provisioning.total_orders('victims');
         create rule r as on delete to public.trap do also delete from public.other",
    ),
];

#[tokio::test]
async fn nothing_of_the_workers_runs_with_the_rights_of_whoever_deletes_an_agent() {
    for (given, arm) in CASCADES {
        let (_db, admin, worker) = armed().await;
        let key = entry("trap", "plain", ", \"on_delete\": \"c\"");
        worker.run(&format!("{given}; select provisioning.make_key({key})")).await;
        worker.run("insert into public.trap (id, plain) values (1, 1)").await;
        worker.run(arm).await;
        // From 18 on the server runs it with the rights of the table's owner.
        let old: bool =
            admin.one("select current_setting('server_version_num')::int < 180000").await;
        let operator = code(&admin, "begin; delete from public.agents; commit").await;
        admin.run("rollback").await;
        assert!(!admin.one::<bool>(SEEN).await, "the operator: {arm}");
        assert_eq!(operator, if old { "55000" } else { "" }, "{arm}");
    }
}

#[tokio::test]
async fn the_function_that_ends_a_deletion_runs_nothing_of_its_callers() {
    for (given, arm) in CASCADES {
        let (_db, admin, worker) = armed().await;
        let key = entry("trap", "plain", ", \"on_delete\": \"c\"");
        worker.run(&format!("{given}; select provisioning.make_key({key})")).await;
        worker.run("insert into public.trap (id, plain) values (1, 1)").await;
        worker.run(arm).await;
        admin.run("update provisioning.jobs set state = 'cancelled', finished_at = now()").await;
        admin.run("select from public.delete_agent(1)").await;
        let ended = "select * from provisioning.remove_agent(1, null)";
        code(&worker, ended).await;
        assert!(!admin.one::<bool>(SEEN).await, "{arm}");
    }
}

/// Between the check and the second step of the cascade there is time to arm that: where a session waits for a lock.
#[tokio::test]
async fn a_deletion_takes_no_rows_of_the_worker_who_ends_it() {
    let (db, admin, worker) = armed().await;
    worker.run("drop function public.cast_it(public.mine), public.spy() cascade").await;
    let key = entry("trap", "plain", ", \"on_delete\": \"c\"");
    worker.run(&format!("select provisioning.make_key({key})")).await;
    worker.run("insert into public.trap (id, plain) values (1, 1)").await;
    admin.run("update provisioning.jobs set state = 'cancelled', finished_at = now()").await;
    admin.run("select from public.delete_agent(1)").await;
    let ended = "select * from provisioning.remove_agent(1, null)";
    let old: bool = admin.one("select current_setting('server_version_num')::int < 180000").await;
    worker.run("begin").await;
    assert_eq!(code(&worker, ended).await, if old { "40001" } else { "" });
    worker.run("rollback; delete from public.trap").await;
    let worker = Admin(db.connect(WORKER).await);
    assert_eq!(code(&worker, ended).await, "");
    assert_eq!(admin.one::<i64>("select count(*) from public.agents").await, 0);
}

/// What was there when a transaction began says nothing about what is there now.
#[tokio::test]
async fn an_old_snapshot_hides_nothing() {
    let (db, admin, worker) = armed().await;
    let other = Admin(db.connect(WORKER).await);
    worker.run("begin isolation level repeatable read; select 1").await;
    other.run("alter table public.trap alter plain type public.mine using 'x'").await;
    let add = format!("select provisioning.refer_to_agents({})", entry("trap", "plain", ""));
    assert_eq!(code(&worker, &add).await, "25001");
    worker.run("rollback").await;

    other.run("drop function public.cast_it(public.mine), public.spy() cascade").await;
    let key = entry("trap", "short", ", \"on_delete\": \"c\"");
    other.run(&format!("select provisioning.make_key({key})")).await;
    admin.run("update provisioning.jobs set state = 'cancelled', finished_at = now()").await;
    admin.run("select from public.delete_agent(1)").await;
    worker.run("begin isolation level repeatable read; select 1").await;
    other
        .run(
            "create function public.fire() returns trigger language plpgsql as $$
             begin
                 if current_user <> 'agent_provisioner' then
                     perform nextval('public.seen');
                 end if;
                 return null;
             end $$;
             create trigger t after delete on public.trap for each statement execute function public.fire()",
        )
        .await;
    code(&worker, "select * from provisioning.remove_agent(1, null)").await;
    assert!(!admin.one::<bool>(SEEN).await);
}

/// While a cascade waits for a lock, there is time to arm the table behind it.
#[tokio::test]
async fn nothing_is_attached_to_a_table_between_the_check_and_the_cascade() {
    let (db, admin, worker) = armed().await;
    let key = entry("trap", "plain", ", \"on_delete\": \"c\"");
    worker
        .run(&format!(
            "drop function public.cast_it(public.mine), public.spy() cascade;
             create table public.below (id int references public.trap on delete cascade);
             select provisioning.make_key({key});
             insert into public.trap (id, plain) values (1, 1);
             insert into public.below values (1)"
        ))
        .await;
    let old: bool = admin.one("select current_setting('server_version_num')::int < 180000").await;
    worker
        .run(
            "begin; lock table public.below in access exclusive mode;
             create function public.fire() returns trigger language plpgsql as $$
             begin
                 if current_user <> 'agent_provisioner' then
                     perform nextval('public.seen');
                 end if;
                 return null;
             end $$;
             create trigger t after delete on public.below for each row execute function public.fire()",
        )
        .await;
    let watcher = db.admin().await;
    let waits = "select exists (select from pg_locks where relation = 'public.below'::regclass and not granted)";
    let (operator, ()) = tokio::join!(code(&admin, "delete from public.agents"), async {
        watcher.holds(waits).await;
        worker.run("commit").await;
    });
    assert_eq!(operator, if old { "55000" } else { "" });
    assert!(!watcher.one::<bool>(SEEN).await);
}

/// A table that refers to `agents` in another way than by a statement that only adds the key.
const INLINE: &str = "\ncreate table public.{prefix}_notes (
    id int primary key, agent_id bigint references public.agents (id) on delete cascade);
alter table public.{prefix}_notes enable row level security;
revoke all on public.{prefix}_notes from public, anon";
const PLAIN: &str = "create table public.{prefix}_notes (id int primary key, agent_id bigint);
alter table public.{prefix}_notes enable row level security;
revoke all on public.{prefix}_notes from public, anon";
const ADDED: &str = "
-- As a person writes it.
ALTER TABLE {prefix}_notes
    ADD CONSTRAINT {prefix}_belongs FOREIGN KEY (agent_id) REFERENCES agents ON DELETE CASCADE;
alter table public.{prefix}_notes add foreign key (agent_id) references public.agents (id) not valid;";

#[tokio::test]
async fn a_key_inside_another_statement_is_refused_and_the_error_says_what_works() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let files = Files::new(&[("0001_notes.sql", INLINE)]);
    let run = || async {
        let templates = ("PROVISIONER_TEMPLATES", files.path());
        finish(provisioner(&db.url(WORKER)).envs([templates]).arg("run")).await
    };
    let way_out = "references public.agents (id) …; (docs/security.md, Foreign keys)";
    expect(
        &run().await,
        2,
        &["template 0001_notes.sql:3: a foreign key to public.agents", way_out],
    );
    files.write("0001_notes.sql", PLAIN);
    let two = format!("{}, add check (id > 0)", ADDED.trim_end().trim_end_matches([';']));
    files.write("foreign_key.sql", &two);
    expect(&run().await, 2, &["cannot run foreign_key.sql:5 \"alter table public.", way_out]);

    files.write("foreign_key.sql", ADDED);
    let _service = db.service_with(&[("TEMPLATES", files.path())]).await;
    let id = admin.create("agt_a").await;
    admin.settled().await;
    let keys = "select conname, convalidated, pg_get_constraintdef(oid) from pg_constraint
                where conrelid = 'public.agt_a_notes'::regclass and contype = 'f' order by 1";
    assert_eq!(
        admin.rows(keys).await,
        [
            "agt_a_belongs|t|FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE",
            "agt_a_notes_agent_id_fkey|f|FOREIGN KEY (agent_id) REFERENCES agents(id) NOT VALID"
        ]
    );
    let verified = || async {
        let templates = ("PROVISIONER_TEMPLATES", files.path());
        finish(provisioner(&db.url(WORKER)).envs([templates]).args(["agents", "verify"])).await
    };
    expect(&verified().await, 0, &[]);
    // Nobody sees how a key came to be.
    admin
        .run(
            "alter table public.agt_a_notes drop constraint agt_a_belongs,
                 add constraint agt_a_belongs foreign key (agent_id) references public.agents on delete cascade",
        )
        .await;
    expect(&verified().await, 0, &[]);
    admin.run(&format!("delete from public.agents where id = {id}")).await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_a").await, [""; 0]);
}

#[tokio::test]
async fn the_owner_of_the_schema_makes_its_keys_itself() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin
        .run(
            "revoke execute on function provisioning.refer_to_agents(jsonb) from agent_provisioner",
        )
        .await;
    let service = Service::start(&db.url(ADMIN), &[]);
    service.logged("running").await;
    admin.create("agt_a").await;
    admin.settled().await;
    let key =
        "select convalidated from pg_constraint where conname = 'agt_a_customers_agent_id_fkey'";
    assert!(admin.one::<bool>(key).await);
    admin.run("delete from public.agents").await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_a").await, [""; 0]);
}

#[tokio::test]
async fn what_an_older_script_granted_is_seen_and_taken_back() {
    let db = Database::new().await;
    let admin = db.admin().await;
    for granted in ["references", "references (id)"] {
        admin.run(&format!("grant {granted} on public.agents to {WORKER}")).await;
        let found = ask(&db.url(WORKER), &["doctor"]).await;
        expect(&found, 0, &["WARN  role", "references on public.agents"]);
        admin.run(ROLES).await;
        let left =
            "select has_any_column_privilege('agent_provisioner', 'public.agents', 'references')";
        assert!(!admin.one::<bool>(left).await, "{granted}");
    }
    let sound = ask(&db.url(WORKER), &["doctor"]).await;
    assert!(sound.status.success() && !said(&sound).contains("WARN"), "{}", said(&sound));
}

/// An operator's session, in the role of the tables' owner, gives keys back. It must run nothing of that role's.
#[tokio::test]
async fn an_operator_who_gives_a_key_back_checks_no_rows_of_a_partitioned_table() {
    let (_db, admin, worker) = armed().await;
    admin
        .run(
            "create table public.colours (id bigint primary key);
             grant select, references on public.colours to agent_provisioner",
        )
        .await;
    worker
        .run(
            "create function public.evil() returns boolean language plpgsql as $$
             begin
                 if session_user <> 'agent_provisioner' then
                     reset role;
                     perform public.spy();
                 end if;
                 return true;
             end $$;
             create table public.parts (id bigint) partition by hash (id);
             create table public.parts_0 partition of public.parts for values with (modulus 1, remainder 0);
             create policy evil on public.parts using (public.evil());
             create policy evil on public.parts_0 using (public.evil());
             alter table public.parts enable row level security, force row level security;
             alter table public.parts_0 enable row level security, force row level security;
             insert into public.parts values (1)",
        )
        .await;
    admin.run("insert into public.colours values (1)").await;
    let key = entry("parts", "id", ", \"key\": \"k\"").replace("agents", "colours");
    let add = format!("select provisioning.add_key({key})");
    let added = code(&admin, &format!("begin; set local role {WORKER}; {add}; commit")).await;
    admin.run("rollback; reset role").await;
    assert!(!admin.one::<bool>(SEEN).await, "{added}");
    code(&worker, "alter table public.parts drop constraint k").await;
    assert_eq!(code(&worker, &add).await, "");
}
