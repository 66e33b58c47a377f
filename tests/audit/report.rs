//! The command with code and documents: formats, baseline, comments, exit codes.

use std::fs;
use std::process::Output;

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::Value;

use super::project::{CLEAN, Project};
use crate::deploy::{path, read, yaml};
use crate::support::{ADMIN, Database, expect, finish, json, provisioner, said};

const CODE: &str = "supabase.from('profiles').select('id, nmae')\n";

/// A project with code, and an audit of it without a database.
async fn run(project: &Project, more: &[&str]) -> Output {
    let shadow = Database::empty().await;
    let mut command = provisioner("");
    command.args(["audit", "--no-database", "--shadow", &shadow.url(SUPERUSER)]);
    command.arg("--migrations").arg(project.path().join("sql"));
    command.arg("--code").arg(project.path().join("src"));
    finish(command.args(more)).await
}

fn project(code: &str) -> Project {
    let project = Project::new(&[("src/a.ts", code)]);
    for (name, text) in CLEAN {
        project.write(&format!("sql/{name}"), text);
    }
    project
}

fn kinds(report: &Value) -> Vec<&str> {
    report["findings"].as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_finding_without_a_place_has_its_keys() {
    let db = Project::database(&CLEAN).await;
    db.admin()
        .await
        .run(
            "create table extra (id int primary key); revoke all on extra from anon, authenticated",
        )
        .await;
    let report = Project::new(&CLEAN).audit(Some(&db)).await;
    report.is(&[("extra_table", "public.extra")]);
    let finding = &report.list("findings")[0];
    for key in ["file", "line"] {
        assert!(finding.get(key).unwrap().is_null(), "{finding:#}");
    }
    assert_eq!(report.0["summary"]["notes"], 0);
}

#[tokio::test]
async fn the_same_finding_is_in_each_format() {
    let project = project(CODE);
    let found = run(&project, &["--format", "json"]).await;
    expect(&found, 1, &[]);
    let report = json(&found);
    assert_eq!(kinds(&report), ["unknown_column"]);
    let finding = &report["findings"][0];
    let id = finding["id"].as_str().unwrap();
    assert_eq!((finding["line"].as_u64(), finding["severity"].as_str()), (Some(1), Some("error")));
    assert!(finding["file"].as_str().unwrap().ends_with("/src/a.ts"));
    expect(&run(&project, &[]).await, 1, &["unknown_column", id, "public.profiles.nmae"]);
    expect(&run(&project, &["--format", "markdown"]).await, 1, &["unknown_column", id, "| ❌ |"]);
    let sarif = run(&project, &["--format", "sarif"]).await;
    expect(&sarif, 1, &[]);
    let result = &json(&sarif)["runs"][0]["results"][0];
    assert_eq!(result["partialFingerprints"]["auditId/v1"], *id);
}

#[tokio::test]
async fn what_a_baseline_or_a_comment_knows_is_left_out() {
    let project = project(CODE);
    let file = project.path().join("baseline.json");
    let file = file.to_str().unwrap();
    expect(&run(&project, &["--write-baseline", file]).await, 0, &[]);
    expect(&run(&project, &["--baseline", file]).await, 0, &[]);
    project.write("src/b.ts", "supabase.from('profils').select()\n");
    let found = run(&project, &["--baseline", file, "--format", "json"]).await;
    expect(&found, 1, &[]);
    let report = json(&found);
    assert_eq!(kinds(&report), ["unknown_table"]);
    // A comment in any file does the same.
    let id = report["findings"][0]["id"].as_str().unwrap();
    project.write("sql/0003_x.sql", &format!("-- audit: ignore {id} made by hand\n"));
    expect(&run(&project, &["--baseline", file]).await, 0, &[]);
    // It is no comment in a string.
    let text =
        format!("select '-- audit: ignore {id} x';\nselect $$\n-- audit: ignore {id} x\n$$;\n");
    project.write("sql/0003_x.sql", &text);
    expect(&run(&project, &["--baseline", file]).await, 1, &["unknown_table"]);
    fs::write(file, "{}").unwrap();
    expect(&run(&project, &["--baseline", file]).await, 2, &[]);
    fs::write(
        file,
        "{\"version\":1,\"findings\":[{\"id\":\"x\",\"kind\":\"y\",\"object\":\"z\"}]}",
    )
    .unwrap();
    expect(&run(&project, &["--baseline", file]).await, 2, &["--write-baseline"]);
    expect(&run(&project, &["--baseline", "/nowhere.json"]).await, 2, &[]);
    expect(&run(&project, &["--code", "/nowhere"]).await, 2, &[]);
    expect(&run(&project, &["--docs", "/nowhere.md"]).await, 2, &[]);
}

/// Exit code 1 means findings, and nothing else.
#[tokio::test]
async fn without_an_audit_the_exit_code_is_2() {
    let project = Project::new(&[("readme.txt", "")]);
    let directory = project.path().to_str().unwrap();
    let nowhere = "postgres://postgres@127.0.0.1:1/postgres?connect_timeout=2";
    let cases: [(&str, &[&str], &str); 5] = [
        ("", &["--no-database"], "--migrations"),
        ("", &["--no-database", "--migrations", directory], directory),
        ("", &["--no-database", "--code", directory], directory),
        (nowhere, &[], "127.0.0.1:1"),
        ("", &["--no-database", "--docs", "/dev/zero"], "/dev/zero"),
    ];
    for (url, args, text) in cases {
        let mut command = provisioner(url);
        let shadow = Database::empty().await;
        command.args(["audit", "--shadow", &shadow.url(SUPERUSER)]).args(args);
        let output = finish(&mut command).await;
        expect(&output, 2, &[]);
        assert!(output.stdout.is_empty(), "{}", said(&output));
        assert!(text == "127.0.0.1:1" || said(&output).contains(text), "{}", said(&output));
    }
}

/// A link that leads nowhere, named or below a directory.
#[tokio::test]
async fn a_link_is_told_and_ends_nothing() {
    let project = project(CODE);
    let path = |name: &str| project.path().join(name);
    let links = ["sql/9.sql", "src/gone.ts", "src/sub", "a.md", "b.sql", "c"];
    for link in links {
        std::os::unix::fs::symlink("nowhere", path(link)).unwrap();
    }
    std::os::unix::fs::symlink(path("sql"), path("src/there")).unwrap();
    let named = ["--docs", "--migrations", "--code"].into_iter().zip(["a.md", "b.sql", "c"]);
    let mut more = vec!["--format".to_owned(), "json".to_owned()];
    for (option, name) in named {
        more.extend([option.to_owned(), path(name).to_string_lossy().into_owned()]);
    }
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let found = run(&project, &more).await;
    expect(&found, 1, &[]);
    let report = json(&found);
    assert_eq!(kinds(&report), ["unknown_column"]);
    let told = report["unchecked"].as_array().unwrap();
    for link in links.into_iter().filter(|link| *link != "src/sub").chain(["src/there"]) {
        let head = format!("{}: ", path(link).display());
        let count = told.iter().filter(|it| it.as_str().unwrap().starts_with(&head)).count();
        assert_eq!(count, 1, "{link}: {told:#?}");
    }
}

/// Rules that do not end, below the directory and above it.
#[tokio::test]
async fn a_directory_with_rules_that_cannot_be_read_is_not_looked_at() {
    for place in ["src/deep/.gitignore", ".gitignore"] {
        let project = project(CODE);
        project.write("src/deep/b.ts", CODE);
        std::os::unix::fs::symlink("/dev/zero", project.path().join(place)).unwrap();
        let report = json(&run(&project, &["--format", "json"]).await);
        let told = report["unchecked"].to_string();
        assert!(told.contains(".gitignore") && told.contains("not read"), "{report:#}");
        let expected = usize::from(place != ".gitignore");
        assert_eq!(kinds(&report).len(), expected, "{report:#}");
        assert!(!report["findings"].to_string().contains("b.ts"), "{report:#}");
    }
}

#[tokio::test]
async fn warnings_fail_where_they_are_asked_to() {
    let project = project("supabase.from(`${p}_profils`).select()\n");
    expect(&run(&project, &[]).await, 0, &["unknown_table"]);
    expect(&run(&project, &["--fail-on", "warning"]).await, 1, &["unknown_table"]);
}

/// What is not there may come by a file that did not run: that is no fault of the code.
#[tokio::test]
async fn what_a_file_that_never_ran_may_make_is_unchecked() {
    let project = project("supabase.from('toys').select()\nsupabase.from('games').select()\n");
    // A file that only names it hides nothing.
    let text = "-- games\ncreate table toys (id int, games text, kind no_such_type);\n";
    project.write("sql/0003_toys.sql", text);
    let report = json(&run(&project, &["--format", "json"]).await);
    assert_eq!(kinds(&report), ["file_never_ran", "unknown_table"]);
    let about = |key: &str, what: &str| report[key].to_string().contains(what);
    assert!(about("findings", "public.games") && !about("findings", "public.toys"));
    assert!(about("unchecked", "src/a.ts:1: whether public.toys is there"), "{report:#}");
}

/// A runner of GitHub obeys such a line; a reader of the comment would follow the link.
#[tokio::test]
async fn what_a_server_says_acts_on_no_reader() {
    let project = project(CODE);
    let said = "a\n::error::obeyed\n##[error]obeyed\n\u{1b}[31m [x](http://evil) @user <b>|</b>";
    let text = format!("do $$ begin raise exception E'{}'; end $$;\n", said.replace('\n', "\\n"));
    project.write("sql/0003_x.sql", &text);
    project.write("src/::warning::b.ts", "supabase.from(x).select()\n");
    for format in ["text", "json", "markdown", "sarif"] {
        let printed = crate::support::said(&run(&project, &["--format", format]).await);
        assert!(printed.contains("obeyed"), "{format}: {printed}");
        let commands = printed.lines().filter(|line| line.trim_start().starts_with("::"));
        assert_eq!(commands.count(), 0, "{format}: {printed}");
        for part in ["##[", "\u{1b}", "\\u001b"] {
            assert!(!printed.contains(part), "{format}: {printed}");
        }
        assert!(format != "sarif" || !printed.contains("[x]("), "{printed}");
        if format == "markdown" {
            assert!(printed.contains("`[x](http://evil)` `@user` `<b>\\|</b>`"), "{printed}");
        }
    }
}

/// The report that docs/audit.md reads line by line is one that the program prints.
#[tokio::test]
async fn the_documented_report_is_printed() {
    let policy = "enable row level security; \
                  create policy own on people for select to authenticated using ((select auth.uid()) = id)";
    let project = Project::new(&[
        (
            "migrations/0001_people.sql",
            &format!(
                "create table people (id uuid primary key, email text); alter table people {policy};"
            ),
        ),
        (
            "app/list.ts",
            "const db = supabase\n\nsupabase.from('people').select('emial')\n\n\n\
             supabase.from('people').select('id, emial')\n",
        ),
        ("app/agent.ts", "\nsupabase.from(`${prefix}_custmers`).select()\n"),
        ("app/export.ts", "\nexport const all = (table) => supabase.from(table).select()\n"),
    ]);
    let shadow = Database::empty().await;
    let mut command = provisioner("");
    command.current_dir(project.path()).env("PROVISIONER_TEMPLATES", path("deploy/templates"));
    command.args(["audit", "--no-database", "--migrations", "migrations", "--code", "app"]);
    let found = finish(command.args(["--shadow", &shadow.url(SUPERUSER)])).await;
    expect(&found, 1, &[]);
    // Ids are made of what is there.
    let plain = |line: &str| line.split("  [").next().unwrap().to_owned();
    let printed: Vec<String> = said(&found).lines().map(plain).collect();
    let text = read("docs/audit.md");
    let sample =
        text.split("1. The first line").next().unwrap().split("line by line").nth(1).unwrap();
    let lines = sample.lines().filter_map(|line| line.strip_prefix("    ")).map(plain);
    let missing: Vec<String> = lines.filter(|line| !printed.contains(line)).collect();
    assert_eq!(missing, [""; 0], "{printed:#?}");
}

#[tokio::test]
async fn the_workflow_runs_commands_of_the_program() {
    let workflow = yaml("deploy/ci/audit.yml");
    let words = workflow["env"]["AUDIT"].as_str().unwrap().split(' ');
    let text = read("deploy/ci/audit.yml");
    let formats: Vec<&str> =
        text.split("--format ").skip(1).map(|it| it.split(' ').next().unwrap()).collect();
    assert_eq!(formats, ["sarif", "markdown"]);
    for format in formats {
        let mut command = provisioner("");
        command.args(words.clone()).args(["--baseline", "x.json", "--format", format, "--help"]);
        expect(&finish(&mut command).await, 0, &[]);
    }
}

/// A project describes its own tables, and not those of this program.
#[tokio::test]
async fn tables_of_this_program_need_not_be_described() {
    let db = Database::new().await;
    let sql = "create table public.shops (id int primary key); alter table public.shops enable row level security; \
               create policy p on public.shops using (id > 1)";
    db.connect(ADMIN).await.batch_execute(sql).await.unwrap();
    let document =
        "## shops\n\n| Column | Type |\n|---|---|\n| id | integer |\n\n`users`, `agents`\n";
    let project = Project::new(&[("tables.md", document)]);
    let shadow = Database::empty().await;
    let mut command = provisioner(&db.url(ADMIN));
    command.args(["audit", "--format", "json", "--shadow", &shadow.url(SUPERUSER), "--docs"]);
    let found = finish(command.arg(project.path().join("tables.md"))).await;
    assert_eq!(kinds(&json(&found)), [""; 0], "{:#}", json(&found));
}

/// With the live database of the product: its own document, and code for its agents.
#[tokio::test]
async fn the_products_own_project_is_clean() {
    let code = "supabase.from(`${prefix}_customers`).select(`name, ${prefix}_orders(id, total_amount)`)
        supabase.from('whatsapp_configuration').upsert({ user_id, webhook_url }, { onConflict: 'user_id' })
        supabase.from('agents').select('agent_prefix, users!agents_user_id_fkey(email)')";
    let project = Project::new(&[("src/a.ts", code)]);
    let (db, shadow) = (Database::new().await, Database::empty().await);
    let admin = db.connect(ADMIN).await;
    let mut command = provisioner(&db.url(ADMIN));
    command.args(["audit", "--format", "json", "--shadow", &shadow.url(SUPERUSER)]);
    command.arg("--code").arg(project.path()).arg("--docs").arg(path("docs/schema.md"));
    let found = finish(&mut command).await;
    drop(admin);
    assert_eq!(json(&found)["findings"], Value::Array(Vec::new()), "{:#}", json(&found));
}
