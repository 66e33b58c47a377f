//! Names and messages of others act on no terminal and begin no line, and what is printed to be pasted does what it
//! says.

use std::process::Output;

use agent_provisioner::dev_server::SUPERUSER;
use agent_provisioner::telemetry::is_printable;

use crate::support::{
    ADMIN, Admin, Database, Files, Impostor, WORKER, ask, finish, have, json, on_terminal,
    provisioner, said,
};

/// Moves the cursor, sets the title, turns the text round, hides, and begins a line.
const EVIL: &str = "x\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{202e}\u{200b}\u{2028}\r\nfaked line";

/// What is left to be read.
const READ: &str = r"x\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{202e}\u{200b}\u{2028}\r\nfaked line";

#[track_caller]
fn harmless(output: &Output, shown: &str) {
    let said = said(output);
    assert!(said.contains(shown), "{shown} is not in: {said}");
    let acts: Vec<char> = said.chars().filter(|c| *c != '\n' && !is_printable(*c)).collect();
    assert!(acts.is_empty(), "{acts:?} in: {said:?}");
    assert!(!said.lines().any(|line| line.trim_start().starts_with("faked")), "{said}");
}

/// A database with an agent, and a role that may create in schema public.
async fn crm(db: &Database) -> (Admin, Admin) {
    let (admin, root) = (db.admin().await, Admin(db.connect(SUPERUSER).await));
    let service = db.service().await;
    admin.create("agt_a").await;
    admin.settled().await;
    drop(service);
    (admin, root)
}

#[tokio::test]
async fn verify_and_doctor_show_names_without_obeying_them() {
    let db = Database::new().await;
    let (_admin, root) = crm(&db).await;
    root.run(&format!("create table public.\"agt_a_{EVIL}\" ()")).await;
    root.run(&format!(
        "create function public.\"f{EVIL}\"() returns void language sql
             as $$ select 'create table x' $$;
         create policy \"p{EVIL}\" on public.agt_a_customers for select using (name <> '{EVIL}');
         create policy \"r{EVIL}\" on public.agents as restrictive for select using (true);
         create schema old; create function old.build() returns trigger language plpgsql as
             $$ begin execute 'create table x ()'; return new; end $$;
         create trigger \"t{EVIL}\" after insert on public.agents
             for each row execute function old.build()"
    ))
    .await;
    let url = db.url(WORKER);
    harmless(&ask(&url, &["agents", "verify"]).await, &format!("agt_a_{READ}"));
    let doctor = ask(&url, &["doctor"]).await;
    for name in ["f", "r", "t"] {
        harmless(&doctor, &format!("{name}{READ}"));
    }
    harmless(&ask(&url, &["agents", "repair", "--dry-run"]).await, &format!("p{READ}"));

    // What doctor and repair print to be pasted does what it says.
    let found = json(&ask(&url, &["doctor", "--json"]).await);
    let fixes: Vec<&str> =
        found.as_array().unwrap().iter().filter_map(|found| found["fix"].as_str()).collect();
    let fixes: Vec<&str> = fixes.into_iter().filter(|fix| fix.contains("U&")).collect();
    assert_eq!(fixes.len(), 3, "{found}");
    for fix in fixes {
        assert!(fix.chars().all(is_printable), "{fix:?}");
        root.run(fix.rsplit_once(": ").map_or(fix, |(_, sql)| sql)).await;
    }
    let found = json(&ask(&url, &["doctor", "--json"]).await);
    for what in ["old triggers", "old functions", "agents"] {
        let finding = found.as_array().unwrap().iter().find(|found| found["what"] == what);
        assert_ne!(finding.unwrap()["severity"], "failure", "{what}: {found}");
    }
    let repair = ask(&db.url(ADMIN), &["agents", "repair", "--dry-run", "--force"]).await;
    harmless(&repair, "drop policy U&\"p");
    root.run(&String::from_utf8(repair.stdout).unwrap()).await;
    let verified = json(&ask(&url, &["agents", "verify", "--json"]).await);
    assert_eq!(verified["drifted"], serde_json::json!([]));
}

#[tokio::test]
async fn lists_of_jobs_and_the_log_show_errors_within_their_lines() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let template = format!(
        "-- provisioner: public {{prefix}}_notes
         create table public.{{prefix}}_notes (note text);
         do $$ begin if '{{prefix}}' = 'agt_a' then
             raise exception using errcode = 'AP001', message = '{EVIL}', detail = '{EVIL}'; end if; end $$;"
    );
    let templates = Files::new(&[("0001_notes.sql", &template)]);
    let mut service = templates.service(&db, &[("LOG__FORMAT", "text")]).await;
    admin.create("agt_a").await;
    admin.settled().await;
    let id = admin.one::<i64>("select id from provisioning.jobs").await.to_string();
    let recorded = admin.one::<String>("select last_error from provisioning.jobs").await;
    assert!(recorded.contains(EVIL), "the record is as it was");
    for args in [&["jobs", "list"][..], &["jobs", "show", &id], &["agents", "show", "agt_a"]] {
        harmless(&ask(&db.url(WORKER), args).await, READ);
    }
    service.logged("job failed").await;
    service.signal("TERM");
    service.ended().await;
    let log = service.log();
    assert!(log.contains(READ), "{log}");
    assert!(log.chars().all(|c| c == '\n' || is_printable(c)), "{log:?}");
    assert!(!log.lines().any(|line| line.starts_with("faked")), "{log}");
}

#[tokio::test]
async fn a_servers_answer_stays_within_the_line_of_the_error() {
    let impostor = Impostor::refusing(EVIL);
    for args in [&["jobs", "list"][..], &["doctor"], &["status"]] {
        let mut command = provisioner(&impostor.url);
        let output = finish(command.args(args).env("PROVISIONER_LOG__FORMAT", "text")).await;
        assert_eq!(output.status.code(), Some(1));
        harmless(&output, READ);
    }
}

#[tokio::test]
async fn colours_are_for_terminals_that_show_them_and_people_who_want_them() {
    if !have(&["script"]) {
        return;
    }
    let db = Database::new().await;
    let admin = db.admin().await;
    crate::jobs::queue(&admin, &[("repair", 1, "agt_a", "dead")]).await;
    let url = db.url(WORKER);
    let is_coloured = async |args: &str, name: &str, value: &str| {
        let shown = finish(on_terminal(&url, args).env(name, value)).await;
        assert!(said(&shown).contains("dead"), "{}", said(&shown));
        said(&shown).contains('\u{1b}')
    };
    for args in ["jobs list", "doctor"] {
        assert!(is_coloured(args, "TERM", "xterm").await, "{args}");
        for (name, value) in [("TERM", "dumb"), ("NO_COLOR", "1")] {
            assert!(!is_coloured(args, name, value).await, "{args}, {name}");
        }
    }
}
