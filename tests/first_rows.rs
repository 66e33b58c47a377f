//! Rows that the templates write: what they are in a table that is made again, and what becomes of others meanwhile.

use agent_provisioner::dev_server::SUPERUSER;

use crate::repair_tables::{built, mended};
use crate::support::{Admin, Database, Files, expect};

/// A table that another one's customers' rows refer to, one that code has filled from that other one when it was empty, and what
/// code has added to a table or made for one.
const REFERRED_TO: &str = "create table public.{prefix}_kinds (id int primary key, name text);
    do $$ begin
        insert into public.{prefix}_kinds values (1, 'a'), (2, 'b');
        comment on table public.{prefix}_kinds is 'told';
    end $$;
    create table public.{prefix}_items (id int primary key, kind int references public.{prefix}_kinds on delete cascade);
    create table public.{prefix}_copy (id int);
    do $$ begin
        insert into public.{prefix}_copy select id from public.{prefix}_items;
        comment on table public.{prefix}_copy is 'told';
    end $$;
    create table public.{prefix}_late (id int primary key);
    do $$ begin
        alter table public.{prefix}_late add column late int not null default 1;
        create sequence public.{prefix}_late_drawn owned by public.{prefix}_late.late;
        alter table public.{prefix}_late alter column late set default nextval('public.{prefix}_late_drawn');
    end $$;
    do $$ begin create type public.{prefix}_mood as enum ('a', 'b'); exception when duplicate_object then null; end $$;
    insert into public.{prefix}_late values (5, default), (7, default);
    create table public.{prefix}_face (mood public.{prefix}_mood default 'b', late int references public.{prefix}_late);
    insert into public.{prefix}_face values (default, 5);
    alter table public.{prefix}_late enable row level security;
    alter table public.{prefix}_face enable row level security;
    alter table public.{prefix}_kinds enable row level security;
    alter table public.{prefix}_items enable row level security;
    alter table public.{prefix}_copy enable row level security;";

/// What is printed runs as a script.
async fn pasted(db: &Database, files: &Files) {
    let plan = files.ask(db, &["agents", "repair", "--dry-run"]).await;
    expect(&plan, 0, &[]);
    db.admin().await.run(&String::from_utf8(plan.stdout).unwrap()).await;
}

#[tokio::test]
async fn rows_that_stand_stay_as_they_are_when_what_they_refer_to_is_made_again() {
    let (db, files, _service, _) = built(&[REFERRED_TO]).await;
    let root = Admin(db.connect(SUPERUSER).await);
    root.run("insert into public.agt_x_items values (10, 1), (11, 2)").await;
    let state = "select 'items', id, kind::text from public.agt_x_items
                 union all select 'kinds', id, name from public.agt_x_kinds
                 union all select 'copy', id, null from public.agt_x_copy
                 union all select 'late', id, late::text from public.agt_x_late
                 union all select 'face', late, mood::text from public.agt_x_face
                 union all select 'default', 0, pg_get_expr(adbin, adrelid) from pg_attrdef
                     where adrelid = 'public.agt_x_late'::regclass
                 union all select 'key', 0, convalidated::text from pg_constraint
                     where contype = 'f' and conrelid = 'public.agt_x_items'::regclass
                 union all select 'comment', 0, description from pg_description where description = 'told'
                 order by 1, 2";
    let lost = "drop table public.agt_x_kinds, public.agt_x_copy, public.agt_x_late, public.agt_x_face cascade;
                drop type public.agt_x_mood";
    let before = root.rows(state).await;
    assert_eq!(before.len(), 11, "{before:?}");
    root.run(lost).await;
    mended(&db, &files).await;
    assert_eq!(root.rows(state).await, before);
    root.run(lost).await;
    pasted(&db, &files).await;
    // Only the worker's own session checks rows behind a key.
    let key = "alter table public.agt_x_items validate constraint agt_x_items_kind_fkey";
    root.run(key).await;
    assert_eq!(root.rows(state).await, before);
}

/// Tables without a schema; values that are made of the id, of the agent's row, of chance and of the prefix; keys in circles and by
/// way of partitions; owners with few rights; triggers of partitions.
const ODD: &str = "create table {prefix}_path (id int primary key);
    create index on {prefix}_path (id);
    insert into {prefix}_path values (1);
    create table public.{prefix}_own (id bigint, prefix text, lot text);
    insert into public.{prefix}_own select {agent_id} + 1, agent_prefix, lpad('{agent_id}', 12, '0')
        from public.agents where id = {agent_id};
    create table public.{prefix}_luck (key uuid, name text);
    insert into public.{prefix}_luck values (gen_random_uuid(), '{prefix}-x');
    create table public.{prefix}_a (id int primary key, b int);
    create table public.{prefix}_b (id int primary key, a int not null references public.{prefix}_a);
    alter table public.{prefix}_a add constraint b foreign key (b) references public.{prefix}_b;
    comment on constraint b on public.{prefix}_a is 'told';
    create table public.{prefix}_k (b int references public.{prefix}_b);
    insert into public.{prefix}_a values (1, null);
    insert into public.{prefix}_b values (1, 1);
    update public.{prefix}_a set b = 1;
    insert into public.{prefix}_k values (1);
    create table public.{prefix}_c (p int);
    create table public.{prefix}_q (id int, t int) partition by range (id);
    create table public.{prefix}_q1 partition of public.{prefix}_q for values from (0) to (9);
    create table public.{prefix}_p (id int primary key) partition by range (id);
    create table public.{prefix}_p1 partition of public.{prefix}_p for values from (0) to (9);
    create table public.{prefix}_t (id int primary key);
    alter table public.{prefix}_c add foreign key (p) references public.{prefix}_p;
    alter table public.{prefix}_q add foreign key (t) references public.{prefix}_t;
    insert into public.{prefix}_p values (1);
    insert into public.{prefix}_c values (1);
    insert into public.{prefix}_t values (1);
    insert into public.{prefix}_q values (1, 1);
    create table public.{prefix}_shut (id int);
    insert into public.{prefix}_shut values (1), (2);
    revoke select, insert on public.{prefix}_shut from current_user;
    create table public.{prefix}_count (id serial);
    insert into public.{prefix}_count default values;
    revoke all on sequence public.{prefix}_count_id_seq from current_user;
    create trigger off before update on public.{prefix}_q for each row execute function suppress_redundant_updates_trigger();
    create trigger always before update on public.{prefix}_q for each row execute function suppress_redundant_updates_trigger();
    alter table public.{prefix}_q disable trigger off;
    alter table public.{prefix}_q enable always trigger always;
    create table public.{prefix}_hash (hash text);
    insert into public.{prefix}_hash values (md5('{prefix}'));
    create table public.{prefix}_long (n int);
    insert into public.{prefix}_long values (length('{prefix}'));
    create table public.{prefix}_part (word text);
    insert into public.{prefix}_part values (split_part('{prefix}', '_', 1));
    create table public.{prefix}_mix (hash text);
    insert into public.{prefix}_mix select md5('{prefix}' || n) from generate_series(1, 9) n order by random();
    do $$ declare name text; begin
        for name in select tablename from pg_tables where schemaname = 'public' and tablename like '{prefix}\\_%'
        loop execute format('alter table public.%I enable row level security', name); end loop;
    end $$;";

#[tokio::test]
async fn first_rows_of_odd_tables_come_back_or_are_left_out() {
    const LOST: [&str; 16] = [
        "path", "own", "luck", "a", "b", "k", "c", "q1", "p", "t", "shut", "count", "hash", "long",
        "part", "mix",
    ];
    let (db, files, service, _) = built(&[ODD]).await;
    let root = Admin(db.connect(SUPERUSER).await);
    let known = ["path", "own", "a", "b", "k", "c", "q", "p", "t", "shut", "count"];
    let rows = known
        .map(|name| format!("select '{name}', to_jsonb(one)::text from public.agt_x_{name} one"));
    let state = rows.join(" union all ")
        + " union all select 'luck', name from public.agt_x_luck
            union all select 'comment', description from pg_description where description = 'told'
            union all select tgrelid::regclass || tgname, tgenabled::text from pg_trigger
                where not tgisinternal and tgrelid::regclass::text ~ '^agt_x_q'
            union all select conrelid::regclass || conname, convalidated::text from pg_constraint
                where contype = 'f' and conrelid::regclass::text ~ '^agt_x_'
            union all select 'count', pg_sequence_last_value('public.agt_x_count_id_seq')::text
            order by 1, 2";
    let before = root.rows(&state).await;
    assert!(
        before.iter().any(|row| row.starts_with("own|") && row.contains("\"agt_x\"")),
        "{before:?}"
    );
    let lost = LOST.map(|name| format!("public.agt_x_{name}")).join(", ");
    root.run(&format!("drop table {lost} cascade")).await;
    mended(&db, &files).await;
    assert_eq!(root.rows(&state).await, before);
    // What would be another agent's is nobody's.
    let computed = "select 'hash' from public.agt_x_hash union all select 'long' from public.agt_x_long
                    union all select 'part' from public.agt_x_part union all select 'mix' from public.agt_x_mix";
    assert_eq!(root.rows(computed).await, [""; 0]);
    service.logged("values that the templates compute of the prefix").await;
    root.run("alter table public.agt_x_q1 enable trigger off").await;
    expect(&files.ask(&db, &["agents", "verify"]).await, 1, &["partition trigger"]);
    expect(&files.ask(&db, &["agents", "repair", "--force", "--wait"]).await, 0, &[]);
    assert_eq!(root.rows(&state).await, before);
}

/// What is right when the last file has run only, and what happens at the commit only.
const LATER: [&str; 2] = [
    "create table public.{prefix}_p (id int primary key);
    create table public.{prefix}_c (id int primary key, p int references public.{prefix}_p deferrable initially deferred);
    create table public.{prefix}_d (v text);
    create constraint trigger shout after insert on public.{prefix}_d deferrable initially deferred
        for each row execute function public.shout();
    alter table public.{prefix}_p enable row level security;
    alter table public.{prefix}_c enable row level security;
    alter table public.{prefix}_d enable row level security;
    create policy own on public.{prefix}_c to current_user using (true);
    alter table public.{prefix}_c force row level security;
    insert into public.{prefix}_c values (1, 1);",
    "insert into public.{prefix}_p values (1);
    insert into public.{prefix}_d values ('x');
    create table public.{prefix}_o (id int);
    alter table public.{prefix}_o enable row level security;",
];

#[tokio::test]
async fn first_rows_are_those_of_an_agent_whose_build_is_over() {
    let db = Database::new().await;
    let root = Admin(db.connect(SUPERUSER).await);
    let shout = "create function public.shout() returns trigger language plpgsql as $$ begin
                     execute format('update %s set v = v || ''!''', tg_relid::regclass);
                     return null;
                 end $$";
    root.run(shout).await;
    let files = Files::new(&[("0001_tables.sql", LATER[0]), ("0002_rows.sql", LATER[1])]);
    let _service = files.service(&db, &[]).await;
    let admin = db.admin().await;
    admin.create("agt_x").await;
    admin.settled().await;
    let rows = "select p.id, c.p, d.v from public.agt_x_p p, public.agt_x_c c, public.agt_x_d d";
    assert_eq!(root.rows(rows).await, ["1|1|x!"]);
    root.run("drop table public.agt_x_o, public.agt_x_d, public.agt_x_c").await;
    mended(&db, &files).await;
    assert_eq!(root.rows(rows).await, ["1|1|x!"]);
}
