//! No format shows a secret of the files, of the database or of the server's words.

use std::fs;

use agent_provisioner::dev_server::SUPERUSER;

use super::project::Project;
use crate::support::{ADMIN, Database, finish, json, provisioner, said};

/// Each is planted below, and stands in the report without masks.
const PLANTED: [&str; 41] = [
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "sk_live_trigger0000",
    "hunter-default",
    "ghp_viewviewviewviewview",
    "hunter-policy",
    "hunter-declared",
    "hunter-setting",
    "sb_secret_functionfunction",
    "3f9aK2mQ8xZ1pL7vR4tYq",
    "MIIplantedpemplanted",
    "hunter-header",
    "hunter-vault",
    "hunter-role",
    "hunter-url",
    "hunter-connection",
    "hunter-words",
    "hunter-database",
    "eyJplantedInCodePlanted",
    "hunter-row",
    "hunter-stripe",
    "hunter-auth",
    "hunter-salt",
    "hunter-pin",
    "hunter-sid",
    "hunter-second",
    "hunter-argument",
    "hunter-any",
    "hunter-in",
    "hunter-like",
    "hunter-distinct",
    "hunter-case",
    "hunter-before",
    "hunter doubled",
    "hunter-encrypt",
    "hunter-hmac",
    "aHVudGVyOmJhc2lj",
    "hunter-query",
    "hunter-short",
    "hunter-passcode",
    "pk_test_planted0000",
    "zq7Unknown8kind",
];

const OBJECTS: &str = r#"
create table public.notes (id int primary key, api_key text default 'hunter-default', line text);
create function public.calls() returns trigger language plpgsql as $$
declare password text := 'hunter-declared';
begin
    perform set_config('app.jwt_secret', 'hunter-setting', true);
    perform net.http_post('https://x', headers := '{"Authorization":"Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"}');
    perform f('sb_secret_functionfunction'), f('3f9aK2mQ8xZ1pL7vR4tYq'), f('X-Api-Key: hunter-header');
    perform f('-----BEGIN PRIVATE KEY-----
MIIplantedpemplanted
-----END PRIVATE KEY-----');
    return new;
end $$;
create trigger calls after insert on public.notes for each row execute function public.calls('sk_live_trigger0000');
create function public.more() returns text language plpgsql as $$ begin
    return (select f(stripe_key => 'hunter-stripe', auth => 'hunter-auth', salt => 'hunter-salt'), 'Cookie: sid=hunter-sid; b=hunter-second'
    where pin = 'hunter-pin');
end $$;
create trigger more after update on public.notes for each row execute function public.calls('hunter-argument');
create function public.most() returns text language plpgsql as $$ begin
    execute 'alter role app password ''hunter doubled''';
    return (select f(pgp_sym_encrypt(line, 'hunter-encrypt'), hmac(line, 'hunter-hmac', 'sha256'), 'Basic aHVudGVyOmJhc2lj',
                     'https://host/hook?key=hunter-query', 'pk_test_planted0000', 'zq7Unknown8kind'), 'hunter-before' as api_key,
                   case api_key when 'hunter-case' then 1 end
    from public.notes
    where api_key = any (array['x', 'hunter-any']) or api_key in ('hunter-in') or api_key like 'hunter-like%'
       or api_key is distinct from 'hunter-distinct' or pw = 'hunter-short' or passcode = 'hunter-passcode');
end $$;
create view public.keys as select 'ghp_viewviewviewviewview' as key, id from public.notes;
alter table public.notes enable row level security;
create policy by_token on public.notes for select to authenticated using ((auth.jwt() ->> 'token') = 'hunter-policy');
"#;
const FAILS: [(&str, &str); 5] = [
    ("0002_vault.sql", "select vault.create_secret('hunter-vault', 'name'), gone();"),
    ("0003_role.sql", "create role app login password 'hunter-role' gone;"),
    (
        "0004_url.sql",
        "do $$ begin raise exception 'no postgres://me:hunter-url@host/db, password=hunter-words'; end $$;",
    ),
    ("0006_rows.sql", "insert into public.notes values (1, 'hunter-row', gone());"),
    ("0005_link.sql", "select gone('host=h password=hunter-connection');"),
];

/// What an audit prints, with more arguments.
async fn printed(project: &Project, db: &Database, more: &[&str]) -> String {
    let shadow = Database::empty().await;
    let mut command = provisioner(&db.url(ADMIN));
    command.args(["audit", "--shadow", &shadow.url(SUPERUSER), "--migrations"]);
    command.arg(project.path().join("sql")).arg("--code").arg(project.path().join("src"));
    said(&finish(command.args(more)).await)
}

async fn planted() -> (Project, Database) {
    let code = "supabase.from('eyJplantedInCodePlanted').select()\n";
    let project = Project::new(&[("sql/0001_objects.sql", OBJECTS), ("src/a.ts", code)]);
    for (name, text) in FAILS {
        project.write(&format!("sql/{name}"), text);
    }
    let db = Project::empty_database().await;
    let sql = "create table public.notes (id int primary key, line text default 'password=hunter-database')";
    db.connect(ADMIN).await.batch_execute(sql).await.unwrap();
    (project, db)
}

#[tokio::test]
async fn no_format_shows_a_secret() {
    let (project, db) = planted().await;
    let baseline = project.path().join("baseline.json");
    let fix = project.path().join("fix.out");
    let (baseline, fix) = (baseline.to_str().unwrap(), fix.to_str().unwrap());
    let mut outputs = Vec::new();
    for format in ["text", "json", "markdown", "sarif"] {
        let printed = printed(&project, &db, &["--format", format]).await;
        assert!(printed.contains("0004_url.sql") && printed.contains("(masked:"), "{printed}");
        outputs.push((format, printed));
    }
    printed(&project, &db, &["--write-baseline", baseline]).await;
    outputs.push(("baseline", fs::read_to_string(baseline).unwrap()));
    for (format, text) in &outputs {
        for secret in PLANTED {
            assert!(!text.contains(secret), "{secret} in {format}: {text}");
        }
    }
    // What is to be run is whole.
    printed(&project, &db, &["--fix", fix]).await;
    let sql = fs::read_to_string(fix).unwrap();
    for secret in ["hunter-default", "sk_live_trigger0000", "hunter-setting", "hunter-policy"] {
        assert!(sql.contains(secret), "{secret}: {sql}");
    }
}

/// Whoever pastes it would write the mask.
#[tokio::test]
async fn a_fix_with_a_mask_is_a_comment_that_names_the_file() {
    let (project, db) = planted().await;
    let report = printed(&project, &db, &["--format", "json"]).await;
    let report: serde_json::Value = serde_json::from_str(report.lines().next().unwrap()).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let fix = |kind: &str| {
        let finding = findings.iter().find(|finding| finding["kind"] == kind).unwrap();
        finding["fix"].as_str().unwrap().to_owned()
    };
    let masked = fix("missing_view");
    assert!(masked.lines().next().unwrap().contains("--fix"), "{masked}");
    assert!(masked.lines().all(|line| line.starts_with("--")), "{masked}");
    let whole = fix("missing_row_security");
    assert!(!whole.starts_with("--") && !whole.contains("(masked:"), "{whole}");
}

#[tokio::test]
async fn what_only_the_secret_tells_apart_still_looks_different() {
    let files = [(
        "0001.sql",
        "create function public.key() returns text language sql as $$ select 'sk_live_00000000a' $$;",
    )];
    let project = Project::new(&files);
    let db = Project::empty_database().await;
    let sql = files[0].1.replace("00000000a", "00000000b");
    db.connect(ADMIN).await.batch_execute(&sql).await.unwrap();
    let report = json(&project.run(Some(&db), &[]).await);
    let evidence = report["findings"][0]["evidence"].as_str().unwrap();
    let masks: Vec<&str> =
        evidence.split("(masked:").skip(1).map(|it| it.split(')').next().unwrap()).collect();
    assert!(matches!(masks.as_slice(), [one, other] if one != other), "{evidence}");
}
