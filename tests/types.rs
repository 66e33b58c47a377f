//! The generated TypeScript: it compiles with supabase-js, says what is so, and its functions work.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{
    ADA, ADMIN, BOSS, Database, Files, WORKER, ask, expect, finish, said, typescript,
};

/// More than a project asks for.
const FLAGS: &str = "--strict --noUncheckedIndexedAccess --exactOptionalPropertyTypes --noUnusedLocals \
     --noPropertyAccessFromIndexSignature --isolatedModules --verbatimModuleSyntax --declaration --target es2022 \
     --module esnext --moduleResolution bundler --lib es2022,dom --types --skipLibCheck --outDir out";

/// What a front end has: the generated file, the `Database` of `supabase gen types`, and what npm installs.
async fn project(db: &Database, types: Output, modules: &Path) -> Files {
    let project = Files::new(&[("package.json", r#"{"type": "module"}"#)]);
    symlink(modules, format!("{}/node_modules", project.path())).unwrap();
    expect(&types, 0, &[]);
    project.write("agents.ts", &String::from_utf8(types.stdout).unwrap());
    let database: String = db.admin().await.one(include_str!("types/database.sql")).await;
    project.write("database.ts", &database);
    project
}

async fn node(project: &Files, args: &str) {
    let mut node = Command::new("node");
    expect(&finish(node.current_dir(project.path()).args(args.split(' '))).await, 0, &[]);
}

async fn compile(project: &Files, name: &str, text: &str) {
    project.write(name, text);
    node(project, &format!("node_modules/typescript/bin/tsc {FLAGS} {name}")).await;
}

#[tokio::test]
async fn the_built_in_tables_and_the_api_compile_and_their_functions_work() {
    let Some(modules) = typescript() else { return };
    let db = Database::new().await;
    let project = project(&db, ask(&db.url(WORKER), &["types"]).await, &modules).await;
    let sample = include_str!("types/sample.ts");
    compile(&project, "sample.ts", sample).await;
    let documented = crate::docs::typescript();
    assert!(documented.contains("agentTable("), "{documented}");
    let documented =
        format!("declare const url: string, key: string, user_id: string\n{documented}");
    compile(&project, "documented.ts", &documented).await;
    let names = "select proname from pg_proc where pronamespace = 'public'::regnamespace";
    let names = db.admin().await.rows(names).await;
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(sample.contains(&format!("\"{name}\"")), "{name} is not in the sample");
    }
    project.write("run.mjs", include_str!("types/run.mjs"));
    node(&project, "run.mjs").await;
}

#[tokio::test]
async fn odd_templates_compile() {
    let Some(modules) = typescript() else { return };
    let db = Database::new().await;
    let others = "create domain public.address as text check (value like '%@%');
        create domain public.tag as varchar(10);
        create domain public.tag_list as public.tag[];
        create domain public.note as text not null default '';
        create type public.place as (x int, y int)";
    db.admin().await.run(others).await;
    let templates = Files::new(&[("0001_odd.sql", include_str!("types/odd.sql"))]);
    let project = project(&db, templates.ask(&db, &["types"]).await, &modules).await;
    compile(&project, "odd.ts", include_str!("types/odd.ts")).await;
}

#[tokio::test]
async fn the_file_is_the_same_for_everybody_and_nothing_is_left() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let relations = "select string_agg(relname, ' ' order by relname) from pg_class";
    let before: String = admin.one(relations).await;
    let printed = ask(&db.url(WORKER), &["types"]).await;
    expect(
        &printed,
        0,
        &["customers: {", "export function agentTable", "export function retryUntilKnown"],
    );
    let files = Files::new(&[]);
    let path = format!("{}/agents.ts", files.path());
    let written = ask(&db.url(ADMIN), &["types", "--out", &path]).await;
    expect(&written, 0, &[]);
    assert_eq!(said(&written), "");
    let text = fs::read_to_string(path).unwrap();
    assert_eq!(text.as_bytes(), printed.stdout);
    assert_eq!(admin.one::<String>(relations).await, before);
    let nowhere = format!("{}/gone/agents.ts", files.path());
    expect(&ask(&db.url(WORKER), &["types", "--out", &nowhere]).await, 2, &["gone/agents.ts"]);

    let codes = text.split("type Success =").nth(1).unwrap().split("type Answer").next().unwrap();
    let codes: BTreeSet<String> = codes.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    assert_eq!(codes, crate::docs::codes(), "left: the file, right: docs/api.md");
}

/// As the types have it.
#[tokio::test]
async fn what_comes_of_a_call_is_a_row_of_its_table() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.populate().await;
    admin.run("insert into public.meta_apps (app_id, name) values ('99999', 'platform')").await;
    let text = String::from_utf8(ask(&db.url(WORKER), &["types"]).await.stdout).unwrap();
    let business = "(select id from public.businesses where name = 'tea')";
    for (name, call) in [
        ("business", format!("create_business('tea', owner => '{}')", BOSS.id)),
        ("member", format!("change_member_role({business}, '{}', 'admin')", ADA.id)),
        ("invitation", format!("invite_member({business}, 'staff', email => 'a@example.org')")),
        ("config", format!("get_whatsapp_config('{}')", ADA.id)),
        ("agent", "update_agent_details(1, '{\"name\": \"Ada\"}')".to_owned()),
        ("agent", format!("create_agent('{}', created_by => '{}')", BOSS.id, BOSS.id)),
        (
            "number",
            format!(
                "add_whatsapp_number({business}, (select id from public.meta_apps), '77777', '20000', '491511')"
            ),
        ),
    ] {
        let (function, _) = call.split_once('(').unwrap();
        let signature = text.split(&format!("  {function}: {{\n")).nth(1).unwrap();
        let row = signature.split("RowOf<D, \"").nth(1).unwrap();
        let table = row.split('"').next().unwrap();
        assert!(signature.contains(&format!("Returns: Answer<\"{name}\", RowOf")), "{function}");
        let missing = format!(
            "select r.success, array(
                 select attname from pg_attribute
                 where attrelid = 'public.{table}'::regclass and attnum > 0 and not attisdropped and not r.{name} ? attname)
             from public.{call} r"
        );
        assert_eq!(admin.rows(&missing).await, ["t|{}"], "{call}");
    }
}
