//! What is secret is in no message, whatever slips.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::Value;

use crate::support::{Database, Files, WORKER, ask, expect, finish, json, provisioner, said};

const URL: &str = "postgres://agent_provisioner:hunter2@127.0.0.1/app";

#[test]
fn no_slip_with_the_url_shows_it() {
    let scratch = Files::new(&[]);
    let file = format!("{}/slip.toml", scratch.path());
    let slips = [
        (format!("[database]\nurl = {URL}\n"), "line 2, column 7"),
        (format!("[database]\nurl = \"{URL}\n"), "line 2, column"),
        (format!("[database]\n{URL}\n"), "line 2, column"),
        (format!("[database]\n\"{URL}\" = 1\n"), "there is no such key"),
        (format!("[database]\nurl = [\"{URL}\"]\n"), "database.url"),
        (format!("[database]\nurl = {{ value = \"{URL}\" }}\n"), "database.url"),
        (format!("database = \"{URL}\"\n"), "database"),
        (format!("[database]\nsslmode = \"{URL}\"\n"), "verify-full"),
        (format!("[database]\nsslrootcert = \"{URL}\"\n"), "database.sslrootcert"),
        (format!("reference = \"x, expected {URL}\"\n"), "expected `foreign_key` or `check`"),
        (format!("realtime = [\"{URL}\"]\n"), "realtime"),
        (format!("[worker]\nconcurrency = \"{URL}\"\n"), "worker.concurrency"),
        (format!("[worker]\nshutdown_timeout = \"{URL}\"\n"), "worker.shutdown_timeout"),
        (format!("[http]\nlisten = \"{URL}\"\n"), "http.listen"),
    ];
    for (text, place) in slips {
        scratch.write("slip.toml", &text);
        let mut command = provisioner("");
        command.env_remove("DATABASE_URL").env_remove("PROVISIONER_HTTP__LISTEN");
        command.env("PROVISIONER_CONFIG", &file);
        let slipped = command.args(["jobs", "list"]).output();
        let said = said(&slipped.unwrap());
        assert!(said.contains(place) && said.contains(&file), "{text}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn no_variable_in_the_place_of_another_shows_its_value() {
    for key in [
        "CONFIG",
        "DATABASE",
        "DATABASE__URL_FILE",
        "DATABASE__LISTEN_URL_FILE",
        "DATABASE__SSLMODE",
        "DATABASE__SSLROOTCERT",
        "DATABASE__POOL_SIZE",
        "DATABASE__CONNECT_TIMEOUT",
        "DATABASE__NOPE",
        "DATABASE__URL__X",
        "WORKER",
        "TEMPLATES",
        "REFERENCE",
        "REALTIME",
        "DEPROVISION__RETENTION",
        "HTTP__LISTEN",
        "LOG__FORMAT",
    ] {
        let mut command = provisioner("");
        command.env_remove("DATABASE_URL").env(format!("PROVISIONER_{key}"), URL);
        let output = command.args(["jobs", "list"]).output().unwrap();
        expect(&output, 2, &[]);
        let said = said(&output);
        assert!(said.lines().count() == 1 && !said.contains("hunter2"), "{key}: {said}");
    }
    // The password alone, where a file's name belongs; and the URL as an argument.
    let mut command = provisioner("");
    command.env_remove("DATABASE_URL").env("PROVISIONER_DATABASE__URL_FILE", "hunter2");
    let output = command.args(["jobs", "list"]).output().unwrap();
    expect(&output, 2, &["database.url_file"]);
    assert!(!said(&output).contains("hunter2"), "{}", said(&output));
    for args in [&["migrate", URL][..], &[URL], &["--database-url", URL, "run"]] {
        let output = provisioner("").args(args).output().unwrap();
        expect(&output, 2, &["DATABASE_URL"]);
        assert!(!said(&output).contains("hunter2"), "{}", said(&output));
    }
}

#[test]
fn an_environment_that_is_no_text_is_no_matter_unless_it_is_ours() {
    let latin1 = OsStr::from_bytes(b"caf\xe9");
    let render = |key: &OsStr| {
        let mut command = provisioner(URL);
        command.env(key, latin1).args(["render", "agt_6f78"]).output().unwrap()
    };
    expect(&render(OsStr::new("ELSEWHERE")), 0, &["agt_6f78_orders"]);
    expect(&render(latin1), 0, &["agt_6f78_orders"]);
    let mut cancel = provisioner("postgres://me@127.0.0.1:9/x");
    let cancel = cancel.env("USER", latin1).args(["jobs", "cancel", "1"]).output().unwrap();
    expect(&cancel, 1, &["Connection refused"]);
    for ours in ["DATABASE_URL", "PROVISIONER_DATABASE__URL", "PROVISIONER_LOG__LEVEL"] {
        let output = render(OsStr::new(ours));
        expect(&output, 2, &[ours, "is not UTF-8"]);
        assert!(!said(&output).contains("caf"), "{}", said(&output));
    }
}

#[tokio::test]
async fn a_constraint_that_fails_at_the_commit_quotes_no_row_in_the_log() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let template = "
        -- provisioner: public {prefix}_notes
        create table public.{prefix}_notes (note text
            constraint {prefix}_notes_note_key unique deferrable initially deferred);
        insert into public.{prefix}_notes
            select 'row of a customer' from generate_series(1, 2) where '{prefix}' = 'agt_late';";
    let templates = Files::new(&[("0001_notes.sql", template)]);
    let service = templates.service(&db, &[]).await;
    admin.create("agt_late").await;
    admin.settled().await;
    let recorded = "select state || last_sqlstate || (last_error ~ 'row of a customer')
        from provisioning.jobs";
    assert_eq!(admin.rows(recorded).await, ["dead23505true"]);
    service.logged("\"job failed\"").await;
    service.logged("cannot record the outcome: SQLSTATE 23505").await;
    assert!(!service.log().contains("row of a customer"), "{}", service.log());
}

#[tokio::test]
async fn a_file_that_others_can_read_or_change_is_warned_of() {
    let db = Database::new().await;
    let scratch = Files::new(&[]);
    let file = format!("{}/database_url", scratch.path());
    fs::write(&file, db.url(WORKER)).unwrap();
    for (mode, exposed) in
        [(0o600, false), (0o640, false), (0o644, true), (0o660, true), (0o602, true)]
    {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let run = async |args: &[&str]| {
            let mut command = provisioner("");
            command.env_remove("DATABASE_URL").env("PROVISIONER_DATABASE__URL_FILE", &file);
            finish(command.args(args)).await
        };
        let listed = run(&["jobs", "list"]).await;
        expect(&listed, 0, &[]);
        assert_eq!(said(&listed).contains("chmod 600"), exposed, "{mode:o}");
        let findings = json(&run(&["doctor", "--json"]).await);
        let secrets = findings.as_array().unwrap().iter().find(|found| found["what"] == "secrets");
        let expected = if exposed { "warning" } else { "ok" };
        assert_eq!(secrets.unwrap()["severity"], expected, "{mode:o}");
        let fix = if exposed { format!("chmod 600 '{file}'").into() } else { Value::Null };
        assert_eq!(secrets.unwrap()["fix"], fix);
    }
}

#[tokio::test]
async fn each_role_of_dev_has_a_password_of_its_own() {
    let dev = crate::dev::Dev::start();
    expect(&ask(&dev.url, &["migrate", "status"]).await, 0, &[]);
    for role in [SUPERUSER, WORKER] {
        let url = dev.url.replace("//postgres:", &format!("//{role}:"));
        assert_ne!(url, dev.url);
        expect(&ask(&url, &["migrate", "status"]).await, 1, &["28P01"]);
    }
}
