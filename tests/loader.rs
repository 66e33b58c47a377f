//! How template files are read: as the server reads them, and with the place of everything that is refused.

use std::fs;

use agent_provisioner::sql_text::split;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::support::{ADMIN, Database, Files, expect, finish, json, provisioner, said, sound};

const BASE: (&str, &str) = (
    "0001_base.sql",
    "create table public.{prefix}_notes (id int primary key, note text);
     alter table public.{prefix}_notes enable row level security;
     revoke all on public.{prefix}_notes from public, anon, authenticated, service_role;",
);

/// What the server makes of a text: each row, and how many statements it took to the end. `None` where it does not
/// understand the text.
async fn answers(client: &Client, sql: &str) -> Option<(usize, Vec<String>)> {
    let (mut done, mut rows) = (0, Vec::new());
    for message in client.simple_query(sql).await.ok()? {
        done += usize::from(matches!(message, SimpleQueryMessage::CommandComplete(_)));
        if let SimpleQueryMessage::Row(row) = message {
            let first = if row.is_empty() { None } else { row.get(0) };
            rows.push(first.unwrap_or_default().to_owned());
        }
    }
    Some((done, rows))
}

/// Pieces in which a semicolon, a quote or a comment means something else than it seems.
const PIECES: [&str; 44] = [
    "';'",
    "E'\\';'",
    "e'a\\\\'",
    "U&';\\0041'",
    "u&'\\'",
    "b'1'",
    "X'1f'",
    "n';'",
    "'a'';'",
    "'\\'",
    "$$;$$",
    "$a$;$$;$a$",
    "$é$;$é$",
    "1",
    "$$'$$",
    "/* ; */",
    "/* /* ; */ ' */",
    "-- ;\n",
    "-- '\r",
    "--;\u{b}",
    "\n",
    "\r\n",
    " ",
    "\t",
    "||",
    "as \"a;b\"",
    "as \"\"\";\"",
    "as a$b",
    "as é",
    "as \u{a0}",
    ",",
    ",1",
    "; select 1",
    ";",
    "; select ",
    "e'a'\n'\\';'",
    "e'a'-- x\n'\\''",
    "e'' '\\'",
    "'a'\n';'",
    "+-1",
    "*-- ;\n1",
    "::text",
    "E'\\\\'';'",
    "(1)",
];

#[test]
fn statements_end_where_the_server_ends_them() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(async { Database::new().await.connect(ADMIN).await });
    let texts = prop::collection::vec(select(&PIECES[..]), 1..9)
        .prop_map(|pieces| format!("select 'x'{}", pieces.concat()));
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let (mut understood, mut several) = (0, 0);
    for _ in 0..4_000 {
        let sql = texts.new_tree(&mut runner).unwrap().current();
        let Some((done, rows)) = runtime.block_on(answers(&client, &sql)) else { continue };
        let statements = split(&sql);
        assert_eq!(statements.len(), done, "{sql:?}");
        let mut own = Vec::new();
        for statement in &statements {
            let answer = runtime.block_on(answers(&client, statement.text));
            let (done, rows) = answer.unwrap_or_else(|| panic!("{:?} of {sql:?}", statement.text));
            assert_eq!(done, 1, "{:?} of {sql:?}", statement.text);
            own.extend(rows);
        }
        assert_eq!(own, rows, "{sql:?}");
        (understood, several) = (understood + 1, several + usize::from(done > 1));
    }
    assert!(understood > 100 && several > 30, "{understood}, {several}");
}

/// `render` with these files, which needs no server.
async fn render(files: &Files) -> std::process::Output {
    let mut command = provisioner("postgres://nobody@127.0.0.1:1/nowhere");
    finish(command.env("PROVISIONER_TEMPLATES", files.path()).args(["render", "agt_a"])).await
}

/// The name of a second file, its bytes, and what is said of it.
const REFUSED: [(&str, &[u8], &str); 16] = [
    ("0002_x.sql", b"select 1;\ncommit/* x */;", "template 0002_x.sql:2: commit is refused"),
    ("0002_x.sql", b"-- done\rcommit;", "template 0002_x.sql:2: commit is refused"),
    ("0002_x.sql", b"\xef\xbb\xbf\nend/**/;", "template 0002_x.sql:2: end is refused"),
    ("0002_x.sql", b"select 1;\n\nselect 1\0;", "template 0002_x.sql:3: a zero byte"),
    ("0002_x.sql", b"\n-- M\xfcller", "template 0002_x.sql:2: the file is not in UTF-8"),
    ("0002_x.sql", b"\xff\xfes\0e\0", "template 0002_x.sql:1: the file is in UTF-16"),
    (
        "0002_x.sql",
        b"select 1;\n\ncreate index \"{prefix}_i on public.{prefix}_notes (id);\n",
        "template 0002_x.sql:3: the quotation that begins here with \"{prefix}_i has no end",
    ),
    ("0002_x.sql", b"select 1; /*\n/* */", "template 0002_x.sql:1: the comment that begins here"),
    (
        "0002_x.sql",
        b"SET a = 1;\nset b to 2;\n\nselect pg_catalog.set_config('search_path', '', false);",
        "template 0002_x.sql:1: a setting of the session would hold for other files and agents, too: delete lines 1 to 2, 4,",
    ),
    (
        "0002_x.sql",
        b"alter/**/default privileges grant select on tables to anon",
        "template 0002_x.sql:1: default privileges",
    ),
    (
        "0002_x.sql",
        b"create table public.{prefix}_x (\n a bigint references\n agents)",
        "template 0002_x.sql:2: a foreign key to public.agents belongs into foreign_key.sql",
    ),
    ("0002_x.SQL", b"", "template 0002_x.SQL: its name must be"),
    ("+2_x.sql", b"", "template +2_x.sql: its name must be"),
    ("0000_x.sql", b"", "template 0000_x.sql: its name must be"),
    ("Foreign_key.sql", b"", "template Foreign_key.sql: its name must be"),
    ("001_x.sql", b"", "a number from 1 that no other file has"),
];

#[tokio::test]
async fn what_a_file_must_not_have_is_refused_with_its_place() {
    for (name, bytes, text) in REFUSED {
        let files = Files::new(&[BASE]);
        fs::write(format!("{}/{name}", files.path()), bytes).unwrap();
        expect(&render(&files).await, 2, &[text]);
    }
}

#[tokio::test]
async fn what_only_looks_wrong_is_built_as_it_is_meant() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let odd = "\u{feff}-- provisioner: public {prefix}_x\r\
               create table public.{prefix}_x (a jsonb default '{\"a\": 1, \"b\": {agent_id}}', b text default '{x}');\r\
               comment on table public.{prefix}_x is '{{prefix}}: {prefix}, {{agent_id}}';\r\
               /* {x}; commit; */ create index \"{prefix}_My Index\" on public.{prefix}_x (b)\r--;";
    let files = Files::new(&[BASE, ("0002_odd.sql", odd)]);
    let _service = files.service(&db, &[]).await;
    let id = admin.create("agt_a").await;
    admin.settled().await;
    admin.run("insert into public.agt_a_x default values").await;
    let row = "select a, b, obj_description('public.agt_a_x'::regclass) from public.agt_a_x";
    let expected = format!("{{\"a\": 1, \"b\": {id}}}|{{x}}|{{prefix}}: agt_a, {{agent_id}}");
    assert_eq!(admin.rows(row).await, [expected]);
    let index = "select to_regclass('public.\"agt_a_My Index\"') is not null";
    assert!(admin.one::<bool>(index).await);
    sound(&files.ask(&db, &["agents", "verify", "--json"]).await, 1);
}

/// The finding of the given severity on the templates.
async fn finding(files: &Files, db: &Database, severity: &str) -> Option<String> {
    let findings = json(&files.ask(db, &["doctor", "--json"]).await);
    let is = |found: &&Value| found["what"] == "templates" && found["severity"] == severity;
    findings.as_array().unwrap().iter().find(is).map(|found| found["found"].to_string())
}

#[tokio::test]
async fn files_that_are_passed_over_are_told() {
    let db = Database::new().await;
    let files = Files::new(&[BASE, ("README.md", ""), ("0002_x.sql.bak", ""), (".hidden.txt", "")]);
    fs::create_dir(format!("{}/old", files.path())).unwrap();
    let warned = finding(&files, &db, "warning").await.unwrap();
    assert!(warned.contains("0002_x.sql.bak") && !warned.contains("README"), "{warned}");
    let service = files.service(&db, &[]).await;
    for (name, told) in
        [("README.md", 1), ("0002_x.sql.bak", 1), ("\"old\"", 1), (".hidden", 0), ("0001_base", 0)]
    {
        let lines = service.log();
        let lines = lines.lines().filter(|line| line.contains("directory of templates"));
        assert_eq!(lines.filter(|line| line.contains(name)).count(), told, "{name}");
    }
    files.remove("0002_x.sql.bak");
    assert_eq!(finding(&files, &db, "warning").await, None);
}

#[tokio::test]
async fn a_setting_ends_with_its_file() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let set = "set local row_security = off; SET LOCAL app.x TO 'y'; set local standard_conforming_strings = off;
               select set_config('search_path', 'pg_temp', true), set_config('DateStyle', 'German', true);
               select 1 / (current_setting('search_path') = 'pg_temp')::int;";
    let check = "do $$ begin
            if current_setting('row_security') <> 'on' or current_setting('app.x') <> ''
               or current_setting('standard_conforming_strings') <> 'on' or current_setting('DateStyle') <> 'ISO, MDY'
               or current_setting('search_path') not in ('public, pg_temp', 'pg_catalog, pg_temp') then
                raise 'a setting is left';
            end if;
        end $$";
    let files = Files::new(&[BASE, ("0002_set.sql", set), ("0003_check.sql", check)]);
    let service = files.service(&db, &[]).await;
    admin.create("agt_a").await;
    admin.settled().await;
    sound(&files.ask(&db, &["agents", "verify", "--json"]).await, 1);
    drop(service);
    // What the text does not show is found by the trial.
    for (how, name) in [
        ("set local row_security = off", "row_security"),
        ("perform set_config('TimeZone', 'CET', false)", "TimeZone"),
        ("reset lock_timeout", "lock_timeout"),
    ] {
        files
            .write("0003_check.sql", &format!("select 1;\n{check};\n\ndo $$ begin {how}; end $$;"));
        let output = files.ask(&db, &["run"]).await;
        expect(
            &output,
            2,
            &[&format!("template 0003_check.sql:10: the statement changes the setting {name}")],
        );
    }
    files.write(
        "0003_check.sql",
        "do $$ declare old text := current_setting('work_mem'); begin
        set local work_mem = '9MB'; perform set_config('work_mem', old, true); end $$;",
    );
    assert_eq!(finding(&files, &db, "failure").await, None);
}

#[tokio::test]
async fn what_only_the_server_sees_is_refused_with_the_statement_that_made_it() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.run("grant references on public.agents to agent_provisioner").await;
    let partitioned = "create table public.{prefix}_p (a int) partition by list (a);
        create table public.{prefix}_p1 partition of public.{prefix}_p for values in (1);
        create index {prefix}_old on public.{prefix}_p (a);
        alter table public.{prefix}_p enable row level security;
        alter table public.{prefix}_p1 enable row level security;
        revoke all on public.{prefix}_p, public.{prefix}_p1 from public, anon;";
    let files = Files::new(&[BASE, ("0002_p.sql", partitioned)]);
    for (sql, text) in [
        (
            "create sequence public.{prefix}_s;
             create table public.{prefix}_x (id int default nextval('public.{prefix}_s'), a int, b int);
             alter sequence public.{prefix}_s owned by public.{prefix}_x.id;

             create statistics public.{prefix}_st on a, b from public.{prefix}_x; select 1;",
            "template 0003_x.sql:5: statistics object public.{prefix}_st cannot",
        ),
        (
            "-- provisioner: concurrently\n
             create index concurrently if not exists {prefix}_a on public.{prefix}_p1 (a);
             create index concurrently if not exists \"{prefix}_b c\" on public.{prefix}_p (a);",
            "template 0003_x.sql:4: the server builds and drops no index of a partitioned table concurrently",
        ),
        (
            "-- provisioner: concurrently\ndrop index concurrently if exists public.{prefix}_old",
            "template 0003_x.sql:2: the server builds and drops no index of a partitioned table",
        ),
        (
            "select 1;\ndo $$ begin execute 'alter table public.{prefix}_notes add a bigint references public.agents';
             end $$",
            "template 0003_x.sql:2: table constraint {prefix}_notes_a_fkey on public.{prefix}_notes is a foreign key to",
        ),
        (
            "create type public.{prefix}_m as enum ('a'); alter type public.{prefix}_m add value 'b';\n
             create table public.{prefix}_x (m public.{prefix}_m default 'b')",
            "template 0003_x.sql:3: the value 'b' was added in 0003_x.sql:1,",
        ),
    ] {
        files.write("0003_x.sql", sql);
        expect(&files.ask(&db, &["run"]).await, 2, &[text]);
        assert!(finding(&files, &db, "failure").await.unwrap().contains("0003_x.sql:"), "{sql}");
    }
    let left = "select relname from pg_class where relname ~ 'zz_try'";
    assert_eq!(admin.rows(left).await, [""; 0]);
}

#[tokio::test]
async fn a_statement_that_the_role_may_not_run_comes_with_what_to_write_instead() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let policy = |test: &str| {
        format!(
            "create policy own on public.{{prefix}}_notes for select to authenticated using ({test})"
        )
    };
    let key = "alter table public.{prefix}_notes add user_id uuid references public.users (id)";
    let files = Files::new(&[BASE, ("0002_x.sql", &policy("note = auth.uid()::text"))]);
    let output = files.ask(&db, &["run"]).await;
    expect(
        &output,
        2,
        &["cannot run 0002_x.sql:1 \"create policy", "SQLSTATE 42501", "owned_agent({agent_id})"],
    );
    // As it says.
    let advice = said(&output);
    for (from, to) in [("owner write ", "; for"), ("id write ", "; or")] {
        let test = advice.split_once(from).unwrap().1.split_once(to).unwrap().0;
        let test = if test.contains("request.jwt") {
            format!("note = {test}::text")
        } else {
            test.to_owned()
        };
        files.write("0002_x.sql", &policy(&test));
        assert_eq!(finding(&files, &db, "failure").await, None, "{test}");
    }
    files.write("0002_x.sql", key);
    let output = files.ask(&db, &["run"]).await;
    expect(&output, 2, &["cannot run 0002_x.sql:1 \"alter table", "SQLSTATE 42501"]);
    let advice = said(&output);
    let grant = advice.split_once("Foreign keys): ").unwrap().1.split_once(": ").unwrap().0;
    admin.run(grant).await;
    assert_eq!(finding(&files, &db, "failure").await, None);
}

#[tokio::test]
async fn a_type_gets_values_that_are_used_at_once_by_being_made_anew() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let mood = "create type public.{prefix}_mood as enum ('good');
        alter table public.{prefix}_notes add mood public.{prefix}_mood default 'good';";
    let files = Files::new(&[BASE, ("0002_mood.sql", mood)]);
    let service = files.service(&db, &[]).await;
    admin.create("agt_old").await;
    admin.settled().await;
    drop(service);
    let hidden = "do $$ begin execute 'alter type public.{prefix}_mood add value ''bad''';
        execute 'alter table public.{prefix}_notes alter mood set default ''bad'''; end $$";
    files.write("0003_bad.sql", hidden);
    if admin.one::<i32>("select current_setting('server_version_num')::int").await < 170_000 {
        expect(
            &files.ask(&db, &["run"]).await,
            2,
            &["cannot run 0003_bad.sql:1", "SQLSTATE 55P04", "Make the type anew: "],
        );
    }
    let anew = "alter type public.{prefix}_mood rename to {prefix}_mood_old;
        create type public.{prefix}_mood as enum ('good', 'bad');
        alter table public.{prefix}_notes alter column mood drop default,
            alter column mood type public.{prefix}_mood using mood::text::public.{prefix}_mood,
            alter column mood set default 'bad';
        drop type public.{prefix}_mood_old";
    files.write("0003_bad.sql", anew);
    let _service = files.service(&db, &[]).await;
    admin.create("agt_new").await;
    expect(&files.ask(&db, &["agents", "upgrade", "--wait"]).await, 0, &[]);
    admin.settled().await;
    sound(&files.ask(&db, &["agents", "verify", "--json"]).await, 2);
}

#[tokio::test]
async fn indexes_with_names_that_need_care_are_built_for_agents_that_are_there() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = Files::new(&[BASE]).service(&db, &[]).await;
    admin.create("agt_a").await;
    admin.settled().await;
    drop(service);
    let indexes = "-- provisioner: concurrently
        create index concurrently if not exists /* why */ {prefix}_One on public.{prefix}_notes (note);
        create unique /* ; */ index concurrently if not exists \"{prefix}_My \"\"Two\"\"\"on public.{prefix}_notes (id);
        create index concurrently if not exists {prefix}_gone on public.{prefix}_notes (note); -- not for long
        drop index concurrently -- x\n if exists public . \"{prefix}_gone\"";
    let files = Files::new(&[BASE, ("0002_indexes.sql", indexes)]);
    let _service = files.service(&db, &[]).await;
    admin.create("agt_b").await;
    expect(&files.ask(&db, &["agents", "upgrade", "--wait"]).await, 0, &[]);
    admin.settled().await;
    let built = "select c.relname from pg_index i join pg_class c on c.oid = i.indexrelid
                 where i.indisvalid and c.relname !~ 'pkey' and c.relname ^@ 'agt_' order by 1";
    let expected = ["agt_a_My \"Two\"", "agt_a_one", "agt_b_My \"Two\"", "agt_b_one"];
    assert_eq!(admin.rows(built).await, expected);
    sound(&files.ask(&db, &["agents", "verify", "--json"]).await, 2);
}
