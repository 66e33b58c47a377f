//! The file of keys: making it, reading it, and going over to another key.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json as value};
use sha2::{Digest, Sha256};

use super::super::crm;
use super::{APP, APP_SECRET, Keys, NUMBERS, OTHER_TOKEN, TOKEN, field, text};
use crate::support::{ADMIN, Admin, Database, Files, WORKER, expect, json, said};

/// 32 letters: no random bytes.
const WEAK: &str = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY=";
/// Random enough for `doctor`.
const LOST: &str = "6Vd0Wm2kq0zqk1nC8YzT3l7u4pXo9sQw5eRr2tYy8Ko=";

/// The id of the last key and what `keys status` says of each: id, whether it encrypts, secrets.
async fn status(keys: &Keys, db: &Database) -> Vec<(String, bool, i64)> {
    let report = json(&keys.ask(db, &["keys", "status", "--json"]).await);
    let of = |key: &Value| {
        let current = field(key, "is_current").as_bool().unwrap();
        (text(field(key, "id")), current, field(key, "secrets").as_i64().unwrap())
    };
    field(&report, "keys").as_array().unwrap().iter().map(of).collect()
}

async fn generate(keys: &Keys, db: &Database) -> String {
    text(field(&json(&keys.ask(db, &["keys", "generate", "--json"]).await), "id"))
}

/// A token for each number and both secrets of an app.
async fn set_all(keys: &Keys, db: &Database) {
    keys.set_token(db, NUMBERS[0], TOKEN).await;
    keys.set_token(db, NUMBERS[1], OTHER_TOKEN).await;
    for which in ["app-secret", "verify-token"] {
        let args = ["apps", "set-secret", APP, which];
        expect(&keys.pipe(db, &args, APP_SECRET.as_bytes()).await, 0, &[]);
    }
}

#[tokio::test]
async fn the_last_key_encrypts_and_all_decrypt_until_a_rotation() {
    let (db, _admin) = crm().await;
    let keys = Keys::new(&db).await;
    keys.set_token(&db, NUMBERS[0], TOKEN).await;
    let (first, _) = keys.test(&db, NUMBERS[0]).await;
    let second = generate(&keys, &db).await;
    assert_eq!(keys.test(&db, NUMBERS[0]).await, (first.clone(), false));
    keys.set_token(&db, NUMBERS[1], OTHER_TOKEN).await;
    assert_eq!(keys.test(&db, NUMBERS[1]).await, (second.clone(), true));
    let counts = |old, new| vec![(first.clone(), false, old), (second.clone(), true, new)];
    assert_eq!(status(&keys, &db).await, counts(1, 1));
    let rotate = ["keys", "rotate", "--json"];
    let dry = json(&keys.ask(&db, &[&rotate[..], &["--dry-run"]].concat()).await);
    assert_eq!(dry, value!({"key": second, "secrets": 1, "unreadable": []}));
    assert_eq!(status(&keys, &db).await, counts(1, 1));
    assert_eq!(json(&keys.ask(&db, &rotate).await)["secrets"], 1);
    assert_eq!(json(&keys.ask(&db, &rotate).await)["secrets"], 0);
    assert_eq!(status(&keys, &db).await, counts(0, 2));
    // Without the old key.
    let left = keys.text().lines().last().unwrap().to_owned();
    fs::write(keys.file(), left).unwrap();
    for number in NUMBERS {
        assert_eq!(keys.test(&db, number).await, (second.clone(), true));
    }
}

#[tokio::test]
async fn a_rotation_that_is_broken_off_goes_on_where_it_was() {
    let (db, admin) = crm().await;
    let keys = Keys::new(&db).await;
    set_all(&keys, &db).await;
    let since = "select string_agg(set_at::text, ' ' order by id) from provisioning.secrets";
    let before = admin.rows(since).await;
    generate(&keys, &db).await;
    // Somebody has the third row.
    let other = db.admin().await;
    other
        .run(
            "begin; select from provisioning.secrets where id = (
                  select id from provisioning.secrets order by id offset 2 limit 1) for update",
        )
        .await;
    let rotate = ["keys", "rotate", "--batch", "1"];
    expect(&keys.ask(&db, &rotate).await, 1, &["doctor"]);
    let counts =
        async || status(&keys, &db).await.into_iter().map(|(_, _, n)| n).collect::<Vec<_>>();
    assert_eq!(counts().await, [2, 2]);
    // All are readable meanwhile.
    for number in NUMBERS {
        keys.test(&db, number).await;
    }
    other.run("rollback").await;
    expect(&keys.ask(&db, &rotate).await, 0, &["2 secrets"]);
    assert_eq!(counts().await, [0, 4]);
    assert_eq!(admin.rows(since).await, before);
    expect(&keys.ask(&db, &["apps", "test", APP, "verify-token"]).await, 0, &[]);
    expect(&keys.ask(&db, &["keys", "rotate", "--batch", "0"]).await, 2, &[]);
}

#[tokio::test]
async fn a_secret_that_no_key_decrypts_stays_as_it_is() {
    let (db, admin) = crm().await;
    let keys = Keys::new(&db).await;
    set_all(&keys, &db).await;
    let all =
        "select string_agg(encode(ciphertext, 'hex'), ' ' order by id) from provisioning.secrets";
    let one = "select encode(ciphertext, 'hex') from provisioning.secrets order by id limit 1";
    admin
        .run("update provisioning.secrets set ciphertext = set_byte(ciphertext, 30, 255 - get_byte(ciphertext, 30))
              where id = (select id from provisioning.secrets order by id limit 1)")
        .await;
    let spoilt = admin.rows(one).await;
    generate(&keys, &db).await;
    let rotated = keys.ask(&db, &["keys", "rotate", "--json"]).await;
    expect(&rotated, 1, &[]);
    let report = json(&rotated);
    assert_eq!(
        (&report["secrets"], report["unreadable"].as_array().unwrap().len()),
        (&3.into(), 1)
    );
    assert_eq!(admin.rows(one).await, spoilt);
    // A key that is not there is another reason.
    let before = admin.rows(all).await;
    fs::remove_file(keys.file()).unwrap();
    generate(&keys, &db).await;
    let report = json(&keys.ask(&db, &["keys", "rotate", "--json"]).await);
    assert_eq!(
        (&report["secrets"], report["unreadable"].as_array().unwrap().len()),
        (&0.into(), 4)
    );
    assert_eq!(admin.rows(all).await, before);
    let status = keys.ask(&db, &["keys", "status", "--json"]).await;
    expect(&status, 1, &[]);
    let status = json(&status);
    assert_eq!(status["missing"].as_array().unwrap().len(), 2);
    assert_eq!(status["unreadable"], value!([]));
}

#[tokio::test]
async fn a_file_of_keys_is_made_for_its_owner_and_grows_by_whole_lines() {
    let (db, _admin) = crm().await;
    let keys = Keys::new(&db).await;
    let mode = fs::metadata(keys.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let first = keys.text();
    fs::write(keys.file(), format!("# of the test\n\n{}", first.trim_end())).unwrap();
    generate(&keys, &db).await;
    let all = keys.text();
    assert!(all.starts_with(&format!("# of the test\n\n{first}")), "{all}");
    assert_eq!((all.lines().count(), all.ends_with('\n')), (4, true));
    // It needs no database and no setting.
    let other = Files::new(&[]);
    let file = format!("{}/own", other.path());
    let own = crate::support::provisioner("")
        .args(["keys", "generate", "--file", &file])
        .output()
        .unwrap();
    expect(&own, 0, &[]);
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 1);
    let unset = crate::support::provisioner("").args(["keys", "generate"]).output().unwrap();
    expect(&unset, 2, &["tokens.keys_file"]);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named_and_not_quoted() {
    let (db, admin) = crm().await;
    let keys = Keys::new(&db).await;
    keys.set_token(&db, NUMBERS[0], TOKEN).await;
    let good = keys.text();
    let good = good.trim();
    let short = good.split_at(40).0;
    for (content, named) in [
        (String::new(), "has no key"),
        ("# nothing\n\n".to_owned(), "has no key"),
        (format!("{good}\n{short}\n"), "line 2"),
        (format!("{good}{good}\n"), "line 1"),
        (format!("# a\n{good}\n{good}\n"), "line 3"),
        (format!("key = {good}\n"), "line 1"),
    ] {
        fs::write(keys.file(), &content).unwrap();
        for args in [&["numbers", "test", NUMBERS[0]][..], &["keys", "status"], &["keys", "rotate"]]
        {
            let refused = keys.ask(&db, args).await;
            expect(&refused, 2, &[named]);
            assert!(!said(&refused).contains(short), "{}", said(&refused));
        }
        let findings = keys.findings(&db, ADMIN).await;
        let bad = findings.iter().find(|it| it["what"] == "keys").unwrap();
        assert_eq!(bad["severity"], "warning", "{bad}");
        // Nothing is appended to what is no file of keys.
        let code = if content.contains(good) { 2 } else { 0 };
        expect(&keys.ask(&db, &["keys", "generate"]).await, code, &[]);
        if code == 2 {
            assert_eq!(keys.text(), content);
        }
    }
    fs::remove_file(keys.file()).unwrap();
    expect(&keys.ask(&db, &["keys", "status"]).await, 2, &["/keys"]);
    // A weak key still decrypts.
    fs::write(keys.file(), format!("{WEAK}\n{good}\n")).unwrap();
    keys.set_token(&db, NUMBERS[0], TOKEN).await;
    fs::write(keys.file(), format!("{good}\n{WEAK}\n")).unwrap();
    let set = keys.pipe(&db, &["numbers", "set-token", NUMBERS[0]], TOKEN.as_bytes()).await;
    expect(&set, 2, &["weak"]);
    expect(&keys.ask(&db, &["keys", "rotate"]).await, 2, &["weak"]);
    keys.test(&db, NUMBERS[0]).await;
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.secrets").await, 1);
}

#[tokio::test]
async fn a_file_of_keys_that_others_can_write_is_not_used() {
    let (db, _admin) = crm().await;
    let keys = Keys::new(&db).await;
    let before = keys.text();
    for (mode, code) in [(0o620, 2), (0o602, 2), (0o644, 0), (0o440, 0), (0o600, 0)] {
        fs::set_permissions(keys.file(), fs::Permissions::from_mode(mode)).unwrap();
        let set = keys.pipe(&db, &["numbers", "set-token", NUMBERS[0]], TOKEN.as_bytes()).await;
        expect(&set, code, if code == 2 { &["chmod 600"] } else { &[] });
        if code == 2 {
            expect(&keys.ask(&db, &["keys", "generate"]).await, 2, &["chmod 600"]);
            let found = found(&keys, &db, WORKER).await;
            assert!(found.iter().all(|(severity, _)| severity == "warning"), "{mode:o}: {found:?}");
        }
    }
    assert_eq!(keys.text(), before);
}

#[tokio::test]
async fn a_byte_order_mark_is_no_part_of_the_first_key() {
    let (db, _admin) = crm().await;
    let keys = Keys::new(&db).await;
    keys.set_token(&db, NUMBERS[0], TOKEN).await;
    let key = keys.test(&db, NUMBERS[0]).await;
    fs::write(keys.file(), format!("\u{feff}{}", keys.text().replace('\n', "\r\n"))).unwrap();
    assert_eq!(keys.test(&db, NUMBERS[0]).await, key);
    generate(&keys, &db).await;
    assert_eq!(keys.test(&db, NUMBERS[0]).await, (key.0, false));
}

#[tokio::test]
async fn keys_that_are_not_random_are_named_with_what_is_wrong() {
    let (db, _admin) = crm().await;
    let keys = Keys::new(&db).await;
    let good = keys.text();
    let counting = BASE64.encode((0..32).collect::<Vec<u8>>());
    let hash = BASE64.encode(Sha256::digest("password"));
    for (weak, reason) in [(WEAK, "text"), (&counting, "pattern"), (&hash, "published")] {
        fs::write(keys.file(), format!("{good}{weak}\n")).unwrap();
        expect(&keys.ask(&db, &["keys", "status"]).await, 0, &["weak", reason]);
        let report = json(&keys.ask(&db, &["keys", "status", "--json"]).await);
        let weaknesses = [0, 1].map(|at| report["keys"][at]["weakness"].clone());
        assert_eq!(weaknesses[0], Value::Null);
        assert!(text(&weaknesses[1]).contains(reason), "{report}");
        let found = found(&keys, &db, WORKER).await;
        let named = |(_, said): &(String, String)| said.contains("weak") && said.contains(reason);
        assert!(found.iter().any(named), "{found:?}");
        let set = keys.pipe(&db, &["numbers", "set-token", NUMBERS[0]], TOKEN.as_bytes()).await;
        expect(&set, 2, &[reason]);
    }
}

/// Severity and what the fix names, of each finding about keys.
async fn found(keys: &Keys, db: &Database, role: &str) -> Vec<(String, String)> {
    let findings = keys.findings(db, role).await;
    let keys = findings.iter().filter(|finding| *field(finding, "what") == "keys");
    keys.map(|it| (text(field(it, "severity")), text(field(it, "found")))).collect()
}

#[tokio::test]
async fn doctor_finds_missing_weak_older_and_unused_keys() {
    let (db, admin) = crm().await;
    let keys = Keys::new(&db).await;
    let expect_found = async |role: &str, expected: &[(&str, &str)]| {
        let found = found(&keys, &db, role).await;
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for ((severity, said), (wanted, part)) in found.iter().zip(expected) {
            assert!(severity == wanted && said.contains(part), "{found:#?}");
        }
    };
    set_all(&keys, &db).await;
    let (first, _) = keys.test(&db, NUMBERS[0]).await;
    for role in [ADMIN, WORKER] {
        expect_found(role, &[("ok", "4 secrets")]).await;
    }
    generate(&keys, &db).await;
    for role in [ADMIN, WORKER] {
        expect_found(role, &[("warning", &first)]).await;
    }
    expect(&keys.ask(&db, &["keys", "rotate"]).await, 0, &[]);
    expect_found(WORKER, &[("warning", "not used")]).await;
    let (_, current) =
        keys.text().split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    fs::write(keys.file(), format!("{WEAK}\n{current}")).unwrap();
    expect_found(WORKER, &[("warning", "not used")]).await;
    fs::write(keys.file(), format!("{current}{WEAK}\n")).unwrap();
    expect_found(WORKER, &[("warning", "not the last"), ("warning", "weak")]).await;
    fs::write(keys.file(), format!("{LOST}\n")).unwrap();
    expect_found(WORKER, &[("warning", "missing: 4 secrets")]).await;
    fs::write(keys.file(), &current).unwrap();
    expect_found(WORKER, &[("ok", "4 secrets")]).await;
    // Only the owner sees what is in the rows.
    spoil(&admin).await;
    expect_found(WORKER, &[("ok", "4 secrets")]).await;
    expect_found(ADMIN, &[("warning", "does not decrypt")]).await;
    // Whoever can read the file.
    for (mode, severity) in [(0o600, "ok"), (0o644, "warning")] {
        fs::set_permissions(keys.file(), fs::Permissions::from_mode(mode)).unwrap();
        let findings = keys.findings(&db, WORKER).await;
        let secrets = findings.iter().find(|it| it["what"] == "secrets").unwrap();
        assert_eq!(secrets["severity"], severity, "{mode:o}");
    }
    expect(&keys.ask(&db, &["numbers", "list"]).await, 0, &["chmod 600", "tokens.keys_file"]);
    // The service's host needs none.
    let findings = json(&crate::support::ask(&db.url(WORKER), &["doctor", "--json"]).await);
    let ours = findings.as_array().unwrap().iter().find(|it| it["what"] == "keys").unwrap();
    assert_eq!(ours["severity"], "ok", "{ours}");
}

async fn spoil(admin: &Admin) {
    let sql = "update provisioning.secrets set ciphertext = set_byte(ciphertext, 30, 255 - get_byte(ciphertext, 30))
        where kind = 'app_secret'";
    admin.run(sql).await;
}
