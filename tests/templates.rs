//! Template sets of an operator's own: what is refused and where, and what becomes of the others.

use std::process::Output;

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::json as value;

use crate::support::{
    ADA, ADMIN, Admin, Database, Files, WORKER, expect, finish, json, pg_dump_can, provisioner,
    restored, said, sound,
};

const NOTES: &str = "create table public.{prefix}_notes (id serial primary key, note text);
    -- provisioner: public {prefix}_notes";
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/templates");

/// A command with these templates, to its end.
async fn ask(url: &str, templates: &str, realtime: &str, args: &[&str]) -> Output {
    let mut command = provisioner(url);
    command.env("PROVISIONER_TEMPLATES", templates).env("PROVISIONER_REALTIME", realtime);
    finish(command.args(args)).await
}

/// What follows a file that makes one table; what is said of it.
const REFUSED: [(&str, &str); 21] = [
    ("select 1;\n\ncreate tabel {prefix}_x ();", "cannot run 0002_x.sql:3 \"create tabel zz_try"),
    ("select 1;\nselect\n  nowhere;", "cannot run 0002_x.sql:3 \"select\": column \"nowhere\""),
    ("select 1;\nselect 1 / 0", "cannot run 0002_x.sql:2 \"select 1 / 0\": division by zero"),
    ("commit", "0002_x.sql:1: commit is refused"),
    (
        "select 1;\ncreate view public.{prefix}_v as select 1 as a",
        "2: view public.{prefix}_v cannot",
    ),
    (
        "create materialized view public.{prefix}_v as select 1 as a",
        "view public.{prefix}_v cannot",
    ),
    (
        "do $do$ begin execute 'create function public.{prefix}_f() returns int language sql as ''select 1'''; end $do$",
        "0002_x.sql:1: function public.{prefix}_f() cannot",
    ),
    ("\ncreate sequence public.{prefix}_s", "0002_x.sql:2: sequence public.{prefix}_s cannot"),
    ("create domain public.{prefix}_d as text check (true)", "1: type public.{prefix}_d cannot"),
    ("create type public.{prefix}_c as (a int)", "composite type public.{prefix}_c cannot"),
    ("create type public.{prefix}_r as range (subtype = int)", ":1: "),
    ("create schema {prefix}_s", "0002_x.sql:1: schema {prefix}_s cannot"),
    ("create publication {prefix}_p", "0002_x.sql:1: publication {prefix}_p cannot"),
    ("create table public.notes ()", "1: table public.notes is not in schema public with a name"),
    ("create temp table {prefix}_x ()", ".{prefix}_x is not in schema public"),
    ("create index notes_idx on public.{prefix}_notes (note)", "index public.notes_idx is not in"),
    ("create index {prefix}_x on public.users (name)", "index public.{prefix}_x hangs on a table"),
    (
        "create policy {prefix}_x on public.users for select to anon using (false)",
        "0002_x.sql:1: policy {prefix}_x on public.users hangs on a table that is not the agent's",
    ),
    (
        "select 1;\ncreate table public.{prefix}_p partition of public.shared_notes for values in ({agent_id})",
        "0002_x.sql:2: table public.{prefix}_p is a partition or a child of a table",
    ),
    (
        "create table public.{prefix}_c ();\nalter table public.{prefix}_c inherit public.shared_parent;",
        "0002_x.sql:2: table public.{prefix}_c is a partition or a child of a table",
    ),
    (
        "create table public.{prefix}_of_a_rather_long_name (customer_number int check (customer_number > 0))",
        "0002_x.sql:1: the server has cut the name of table constraint {prefix}_of_a",
    ),
];

#[tokio::test]
async fn what_no_agent_can_have_is_refused_with_file_and_line() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let url = db.url(ADMIN); // who may do more than the worker
    admin
        .run(
            "create table public.shared_notes (agent_id bigint) partition by list (agent_id);
             create table public.shared_parent ()",
        )
        .await;
    let files = Files::new(&[("0001_notes.sql", NOTES)]);
    for (sql, text) in REFUSED {
        files.write("0002_x.sql", sql);
        let output = ask(&url, files.path(), "", &["run"]).await;
        let code = if text.starts_with("cannot run") { 1 } else { 2 };
        expect(&output, code, &["0002_x.sql:", text]);
    }
    files.write("0002_x.sql", "select 1");
    let key =
        "alter table public.{prefix}_notes\n    add foreign key (id) references public.nowhere";
    files.write("foreign_key.sql", key);
    let output = ask(&url, files.path(), "", &["run"]).await;
    expect(&output, 1, &["cannot run foreign_key.sql:1 \"alter table public.zz_try"]);
    files.remove("foreign_key.sql");
    for command in [&["run"][..], &["agents", "verify"]] {
        let output = ask(&url, files.path(), "notes,mesages", command).await;
        let text = "realtime names \"mesages\", and the templates make no table {prefix}_mesages: \
                    they make notes";
        expect(&output, 2, &[text]);
    }
    let output = ask(&url, files.path(), "notes'; drop", &["run"]).await;
    expect(&output, 2, &["realtime"]);
    let output = ask(&url, files.path(), "mesages", &["doctor"]).await;
    expect(&output, 1, &["FAIL  templates", "mesages"]);
    let left = "select relname from pg_class where relname ~ 'zz_try' or relname = 'notes'";
    assert_eq!(admin.rows(left).await, [""; 0]);
}

/// Tables with first rows, one of which refers to the agent, and to which the other refers.
const FIRST_ROWS: &str = "
create table public.{prefix}_topics (
    id serial primary key,
    agent_id bigint not null default {agent_id},
    name text
);
create table public.{prefix}_notes (
    id int primary key,
    topic int references public.{prefix}_topics (id),
    note text
);
insert into public.{prefix}_topics (name) values ('one'), ('two');
insert into public.{prefix}_notes values (1, 2, 'first');
alter table public.{prefix}_topics enable row level security, force row level security;
alter table public.{prefix}_notes enable row level security, force row level security;
revoke all on public.{prefix}_topics, public.{prefix}_notes from public, anon, authenticated, service_role;
revoke truncate on public.{prefix}_notes from current_user";

const FIRST_KEY: &str = "alter table public.{prefix}_topics add constraint {prefix}_topics_agent
    foreign key (agent_id) references public.agents (id) on delete cascade";

#[tokio::test]
async fn first_rows_may_refer_to_the_agent_and_to_no_other() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let files = Files::new(&[("0001_rows.sql", FIRST_ROWS), ("foreign_key.sql", FIRST_KEY)]);
    let service = files.service(&db, &[("REFERENCE", "foreign_key")]).await;
    let id = admin.create("agt_x").await;
    admin.settled().await;
    sound(&ask(&db.url(ADMIN), files.path(), "", &["agents", "verify", "--json"]).await, 1);
    let root = Admin(db.connect(SUPERUSER).await);
    let rows = "select t.id, t.agent_id, n.note from public.agt_x_topics t
                left join public.agt_x_notes n on n.topic = t.id order by 1";
    let first = [format!("1|{id}|-"), format!("2|{id}|first")];
    assert_eq!(root.rows(rows).await, first);
    root.run("drop table public.agt_x_topics, public.agt_x_notes").await;
    expect(&files.ask(&db, &["agents", "repair", "--wait"]).await, 0, &[]);
    assert_eq!(root.rows(rows).await, first);
    sound(&ask(&db.url(ADMIN), files.path(), "", &["agents", "verify", "--json"]).await, 1);
    drop(service);
    let other = "insert into public.{prefix}_topics (agent_id) values (0);";
    files.write(
        "0001_rows.sql",
        &FIRST_ROWS.replace(
            "alter table public.{prefix}_topics enable",
            &format!("{other} alter table public.{{prefix}}_topics enable"),
        ),
    );
    let refused = ask(&db.url(WORKER), files.path(), "", &["run"]).await;
    expect(&refused, 1, &["cannot run foreign_key.sql:1", "23503"]);
}

#[tokio::test]
async fn a_table_by_which_no_agent_could_be_deleted_is_refused() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let table = "create table public.{prefix}_topics (agent_id bigint not null default {agent_id}, name text);
                 alter table public.{prefix}_topics enable row level security;
                 revoke all on public.{prefix}_topics from public, anon, authenticated, service_role;";
    let publish = "select provisioning.publish('public.{prefix}_topics');";
    let files = Files::new(&[("foreign_key.sql", FIRST_KEY)]);
    let root = Admin(db.connect(SUPERUSER).await);
    for (publish, realtime, others) in [
        (publish, "", ""),
        ("", "topics", ""),
        ("", "", "for tables in schema public"),
        ("", "", "for all tables"),
    ] {
        files.write("0001_topics.sql", &format!("{table} {publish}"));
        if !others.is_empty() {
            root.run(&format!("create publication others {others}")).await;
        }
        let refused = ask(&db.url(ADMIN), files.path(), realtime, &["run"]).await;
        expect(
            &refused,
            2,
            &["foreign_key.sql:1: table public.{prefix}_topics", "replica identity"],
        );
        root.run("drop publication if exists others").await;
    }
    for (lost, key) in
        [("delete", FIRST_KEY), ("update", &FIRST_KEY.replace("cascade", "restrict"))]
    {
        files.write("foreign_key.sql", key);
        files.write(
            "0001_topics.sql",
            &format!("{table} revoke {lost} on public.{{prefix}}_topics from current_user"),
        );
        let refused = ask(&db.url(ADMIN), files.path(), "", &["run"]).await;
        let said = ["foreign_key.sql:1: table public.{prefix}_topics", &format!("may not {lost}")];
        expect(&refused, 2, &said);
    }
    files.write("foreign_key.sql", "");
    let ledger = format!(
        "{table}\nrevoke update, delete, truncate on public.{{prefix}}_topics from current_user"
    );
    files.write("0001_topics.sql", &ledger);
    let refused = ask(&db.url(ADMIN), files.path(), "", &["run"]).await;
    expect(&refused, 2, &["0001_topics.sql:4: ", "cannot lock"]);
    files.write("foreign_key.sql", FIRST_KEY);
    let identity = "alter table public.{prefix}_topics replica identity full;";
    files.write("0001_topics.sql", &format!("{table} {publish} {identity}"));
    let service = files.service(&db, &[("REFERENCE", "foreign_key")]).await;
    let id = admin.create("agt_x").await;
    admin.create("agt_y").await;
    admin.settled().await;
    admin.run(&format!("select public.delete_agent({id})")).await;
    admin.settled().await;
    let dead = "select last_error from provisioning.jobs where state = 'dead'";
    assert_eq!(admin.rows(dead).await, [""; 0]);
    assert_eq!(admin.tables("agt_x").await, [""; 0]);
    drop(service);
}

/// Who tries it; a file that follows one with a protected table; what is said of it.
const OPEN: [(&str, &str, &str); 10] = [
    (
        WORKER,
        "select 1;\ncreate table public.{prefix}_x ()",
        "0002_x.sql:2: table public.{prefix}_x has no row security. Add `alter table public.{prefix}_x enable",
    ),
    (WORKER, "select 1;\n\ncreate table {prefix}_x ()", "0002_x.sql:3: table public.{prefix}_x"),
    (
        WORKER,
        "do $$ begin execute 'create table public.{prefix}_x ()'; end $$",
        "the line `-- provisioner: public {prefix}_x`",
    ),
    (
        WORKER,
        "create table public.\"{prefix}_Ä\" ()",
        "1: table public.\"{prefix}_Ä\" has no row security",
    ),
    (
        WORKER,
        "create table public.{prefix}_x (a int) partition by list (a);
         alter table public.{prefix}_x enable row level security;
         create table public.{prefix}_x_1 partition of public.{prefix}_x for values in (1)",
        "0002_x.sql:3: table public.{prefix}_x_1 has no row security",
    ),
    (
        WORKER,
        "grant select (id) on public.{prefix}_y to public",
        "0001_y.sql:2: table public.{prefix}_y is open to everybody (public: select (id))",
    ),
    (
        WORKER,
        "grant insert on public.{prefix}_y to anon, authenticated",
        "_y is open to everybody (anon: insert), by a",
    ),
    (
        WORKER,
        "grant delete on public.{prefix}_y to {role}",
        "_y is open to everybody ({role}: delete), by a",
    ),
    (
        WORKER,
        "alter table public.{prefix}_y disable row level security",
        "0001_y.sql:2: table public.{prefix}_y has no row security",
    ),
    // Nothing is granted here but by the project's default privileges.
    (
        ADMIN,
        "create table public.{prefix}_x (); alter table public.{prefix}_x enable row level security",
        "0002_x.sql:1: table public.{prefix}_x is open to everybody (anon: delete, insert, ",
    ),
];

const PROTECTED: &str = "select 1;
    create table public.{prefix}_y (id int);
    alter table public.{prefix}_y enable row level security;
    revoke all on public.{prefix}_y from public, anon, authenticated, service_role;";

#[tokio::test]
async fn a_table_that_everybody_may_see_is_refused_with_the_place_of_its_making() {
    let db = Database::new().await;
    // Anon has what this role has.
    let role = format!("{}_readers", db.name);
    let root = Admin(db.connect(SUPERUSER).await);
    root.run(&format!("create role {role}; grant {role} to anon")).await;
    let files = Files::new(&[("0001_y.sql", PROTECTED)]);
    for login in [WORKER, ADMIN] {
        let output = ask(&db.url(login), files.path(), "", &["agents", "verify"]).await;
        expect(&output, 0, &["0 compared"]);
    }
    for (login, sql, text) in OPEN {
        files.write("0002_x.sql", &sql.replace("{role}", &role));
        let output = ask(&db.url(login), files.path(), "", &["run"]).await;
        expect(&output, 2, &["template 000", &text.replace("{role}", &role)]);
    }
    // What is expected is made as the worker's role, whoever asks: its default privileges count.
    let open = "alter default privileges for role agent_provisioner in schema public grant all on tables to anon";
    root.run(open).await;
    let text = "0002_x.sql:1: table public.{prefix}_x is open to everybody";
    for args in [&["verify"][..], &["upgrade"], &["repair"], &["adopt"]] {
        let args = [&["agents"], args].concat();
        expect(&ask(&db.url(ADMIN), files.path(), "", &args).await, 2, &[text]);
    }
    let doctor = ask(&db.url(ADMIN), files.path(), "", &["doctor"]).await;
    expect(&doctor, 1, &["FAIL  templates", "0002_x.sql:1: table public.{prefix}_x"]);
    // Said by another file, it is fine; and a file says it only of what is there.
    files.write("0003_said.sql", "-- provisioner: public {prefix}_x");
    expect(&ask(&db.url(ADMIN), files.path(), "", &["agents", "verify"]).await, 0, &[]);
    let (said, other) = ("-- provisioner: public {prefix}_x", "-- provisioner: public {prefix}_z");
    let before = format!("\n{said}\n{PROTECTED}");
    for (file, sql) in [
        ("0003_said.sql", &format!("{said}\n{other}")),
        ("foreign_key.sql", &format!("\n{other}")),
        ("0001_y.sql", &before), // what a later file makes
    ] {
        files.write("0003_said.sql", said);
        files.write(file, sql);
        let text = format!("template {file}:2: there is no table {{prefix}}_");
        for args in [&["agents", "verify"][..], &["run"]] {
            expect(&ask(&db.url(ADMIN), files.path(), "", args).await, 2, &[&text]);
        }
        files.write("foreign_key.sql", "");
    }
    files.write("0001_y.sql", PROTECTED);
    files.write("foreign_key.sql", "grant select on public.{prefix}_y to anon");
    let output = ask(&db.url(ADMIN), files.path(), "", &["run"]).await;
    expect(&output, 2, &["foreign_key.sql:1: "]);
    root.run(&format!("drop role {role}")).await;
}

#[tokio::test]
async fn what_a_file_declares_public_is_built_and_verify_tells_it() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let files = Files::new(&[("0001_y.sql", PROTECTED), ("0002_notes.sql", NOTES)]);
    let grant = "grant select on public.{prefix}_notes to anon;\n-- provisioner: public {prefix}_y";
    files.write("0003_grant.sql", grant);
    let service = files.service(&db, &[]).await;
    admin.create("agt_a").await;
    admin.settled().await;
    drop(service);
    let verify = async |args: &[&str]| {
        ask(&db.url(WORKER), files.path(), "", &[&["agents", "verify"], args].concat()).await
    };
    let notes = "public.{prefix}_notes: may be public, as 0002_notes.sql:2 says (no row security; anon: select)";
    for args in [&[][..], &["agt_a"]] {
        let text = "public.{prefix}_y: may be public, as 0003_grant.sql:2 says (nothing is open)";
        expect(&verify(args).await, 0, &[notes, text]);
    }
    let verified = verify(&["--json"]).await;
    sound(&verified, 1);
    let report = json(&verified);
    let expected = value!([
        {"table": "{prefix}_y", "declared": "0003_grant.sql:2", "row_security": true, "rights": []},
        {"table": "{prefix}_notes", "declared": "0002_notes.sql:2", "row_security": false,
         "rights": ["anon: select"]}
    ]);
    assert_eq!(report["public_tables"], expected);
    // What is opened by hand is drift, whatever a file would allow.
    admin.run("alter table public.agt_a_y disable row level security; grant select on public.agt_a_y to anon").await;
    let found =
        ["missing  row security public.agt_a_y", "extra    grant        public.agt_a_y to anon"];
    expect(&verify(&[]).await, 1, &[&found[..], &[notes]].concat());
}

#[tokio::test]
async fn what_looks_odd_and_is_fine_is_taken() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let brim =
        format!("create index {{prefix}}_{} on public.{{prefix}}_notes (note)", "x".repeat(42));
    let odd = "-- provisioner: public {prefix}_parts
               -- provisioner: public {prefix}_parts_0
               -- provisioner: public {prefix}_none
               create table public.{prefix}_parts (id int, part int references public.{prefix}_notes)
                   partition by hash (id);
               create table public.{prefix}_parts_0 partition of public.{prefix}_parts
                   for values with (modulus 1, remainder 0);
               create table public.{prefix}_none ();
               alter table public.{prefix}_notes
                   add number int generated always as identity, add mood public.{prefix}_mood,
                   add moods public.{prefix}_mood[];
               do $$ begin execute 'create unique index \"{prefix}_Äö\" on public.{prefix}_notes (mood)'; end $$;
               alter table public.{prefix}_notes replica identity full -- no semicolon";
    let mood = "create type public.{prefix}_mood as enum ('good', 'bad')";
    let files = Files::new(&[
        ("0001_notes.sql", NOTES),
        ("0002_mood.sql", mood),
        ("0003_odd.sql", odd),
        ("0010_brim.sql", &brim),
    ]);
    let _service = db.service_with(&[("TEMPLATES", files.path())]).await;
    admin.create("agt_of_twenty_bytes_").await;
    admin.create("agt_x").await;
    admin.settled().await;
    let built = "select template_version, count(*) from provisioning.agents group by 1";
    assert_eq!(admin.rows(built).await, ["10|2"]);
    expect(&ask(&db.url(WORKER), files.path(), "", &["agents", "verify"]).await, 0, &["2 as they"]);
}

#[tokio::test]
async fn a_type_that_a_file_finds_already_there_stays_somebody_elses() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let mood = "do $$ begin create type public.{prefix}_mood as enum ('good');
                exception when duplicate_object then null; end $$";
    let files = Files::new(&[("0001_notes.sql", NOTES), ("0002_mood.sql", mood)]);
    let _service = files.service(&db, &[]).await;
    admin.run("create type public.agt_a_mood as enum ('bad')").await;
    admin.create("agt_a").await;
    admin.create("agt_b").await;
    admin.settled().await;
    let registered = "select type_name from provisioning.agent_types";
    assert_eq!(admin.rows(registered).await, ["agt_b_mood"]);
    admin.run("delete from public.agents").await;
    admin.settled().await;
    let left = "select typname from pg_type where typname ~ '^agt_._mood$'";
    assert_eq!(admin.rows(left).await, ["agt_a_mood"]);
}

#[tokio::test]
async fn the_example_makes_a_fifth_table_with_all_that_hangs_on_it() {
    let db = Database::new().await;
    let admin = db.admin().await;
    // Published twice, by the file and by the setting.
    let service =
        db.service_with(&[("TEMPLATES", EXAMPLE), ("REALTIME", "tickets,messages")]).await;
    admin.populate().await;
    admin.settled().await;
    let verify = |url: String| async move {
        sound(&ask(&url, EXAMPLE, "tickets,messages", &["agents", "verify", "--json"]).await, 2);
    };
    verify(db.url(WORKER)).await;
    assert_eq!(admin.tables("agt_ada").await.len(), 5);
    let seeds =
        admin.ask(&ADA, "select subject, status from public.agt_ada_tickets").await.unwrap();
    assert_eq!(seeds.rows, ["Welcome! This is where your tickets are.|open"]);
    let foreign = admin.ask(&ADA, "select subject from public.agt_ben_tickets").await.unwrap();
    assert_eq!(foreign.rows, [""; 0]);
    let published = "select tablename from pg_publication_tables
                     where pubname = 'supabase_realtime' and tablename ^@ 'agt_ada_' order by 1";
    assert_eq!(admin.rows(published).await, ["agt_ada_messages", "agt_ada_tickets"]);
    let partial = "select indexname from pg_indexes where tablename ^@ 'agt_ada_'
                   and indexdef like '% WHERE %' order by 1";
    assert_eq!(
        admin.rows(partial).await,
        ["agt_ada_orders_pending_idx", "agt_ada_tickets_unclosed_idx"]
    );
    drop(service);
    if pg_dump_can(&admin).await {
        verify(restored(&db).await.url(WORKER)).await;
    }
    let _service = db.service_with(&[("TEMPLATES", EXAMPLE)]).await;
    admin.run("delete from public.agents where agent_prefix = 'agt_ada'").await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_ada").await, [""; 0]);
    let types = "select typname from pg_type where typtype = 'e' and typname ^@ 'agt_'";
    assert_eq!(admin.rows(types).await, ["agt_ben_ticket_status"]);
}

#[test]
fn the_example_begins_with_the_built_in_set() {
    for file in ["0001_crm.sql", "foreign_key.sql"] {
        let text = |directory| crate::deploy::read(&format!("{directory}/{file}"));
        assert_eq!(text("deploy/templates"), text("sql/agent"), "{file}");
        assert_eq!(text("deploy/templates/business"), text("sql/agent"), "{file}");
    }
}

#[tokio::test]
async fn tables_of_agents_that_are_there_already_are_published_by_a_repair() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let url = db.url(WORKER);
    let service = db.service().await;
    admin.create("agt_a").await;
    admin.settled().await;
    drop(service);
    let with = |args: Vec<&'static str>| {
        let mut command = provisioner(&url);
        command.env("PROVISIONER_REALTIME", "messages").args(args);
        async move { finish(&mut command).await }
    };
    let missing = "missing  publication  public.agt_a_messages in supabase_realtime";
    expect(&with(vec!["agents", "verify"]).await, 1, &[missing]);
    let _service = db.service_with(&[("REALTIME", "messages")]).await;
    expect(&with(vec!["agents", "repair", "--wait"]).await, 0, &["1 job succeeded"]);
    admin.create("agt_b").await;
    admin.settled().await;
    let published =
        "select tablename from pg_publication_tables where tablename ^@ 'agt_' order by 1";
    assert_eq!(admin.rows(published).await, ["agt_a_messages", "agt_b_messages"]);
    sound(&with(vec!["agents", "verify", "--json"]).await, 2);
}

#[tokio::test]
async fn a_file_that_was_changed_after_agents_were_built_from_it_is_reported() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let url = db.url(WORKER);
    let files = Files::new(&[("0001_notes.sql", NOTES), ("0002_more.sql", "select 1;")]);
    let settings = [("TEMPLATES", files.path())];
    let warning = "agents were built from another text";
    drop(db.service_with(&settings).await);
    // Nobody was built from it yet.
    let other = NOTES.replace("note text", "note varchar");
    files.write("0001_notes.sql", &other);
    let service = db.service_with(&settings).await;
    assert!(!service.log().contains(warning));
    admin.create("agt_a").await;
    admin.settled().await;
    drop(service);
    expect(&ask(&url, files.path(), "", &["doctor"]).await, 0, &["ok    templates"]);

    files.write("0001_notes.sql", NOTES);
    files.remove("0002_more.sql");
    let service = db.service_with(&settings).await;
    for text in [
        warning,
        "\"file\":\"0001_notes.sql\",\"gone\":false",
        "\"file\":\"0002_more.sql\",\"gone\":true",
    ] {
        assert!(service.log().contains(text), "{text}");
    }
    drop(service);
    let verified = ask(&url, files.path(), "", &["agents", "verify"]).await;
    expect(&verified, 1, &["0001_notes.sql", "0002_more.sql"]);
    let verified = json(&ask(&url, files.path(), "", &["agents", "verify", "--json"]).await);
    let expected = value!([
        {"version": 1, "file": "0001_notes.sql", "gone": false},
        {"version": 2, "file": "0002_more.sql", "gone": true}
    ]);
    assert_eq!(verified["changed_templates"], expected);

    // Both ways to fix it.
    files.write("0002_more.sql", "select 1;");
    admin.run("alter table public.agt_a_notes alter note type text").await;
    let found = ask(&url, files.path(), "", &["doctor"]).await;
    expect(&found, 0, &["WARN  templates      0001_notes.sql"]);
    let text = said(&found);
    let fix = text.lines().find_map(|line| line.split_once("accept that: ")).unwrap().1;
    admin.run(fix).await;
    let service = db.service_with(&settings).await;
    assert!(!service.log().contains(warning));
    expect(&ask(&url, files.path(), "", &["doctor"]).await, 0, &["ok    templates"]);
    sound(&ask(&url, files.path(), "", &["agents", "verify", "--json"]).await, 1);
}

#[tokio::test]
async fn the_service_starts_while_somebody_writes_to_agents() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.run("begin; insert into public.agents (agent_prefix) values ('agt_a')").await;
    let service = db.service().await;
    assert!(service.log().contains("the foreign key is not tried"));
    admin.run("commit").await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_a").await.len(), 4);
}
