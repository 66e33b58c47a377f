//! Secrets of numbers and apps: stored encrypted, and only where they belong.

mod keys;
mod leaks;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::{FIRST, MIA, NED, OLE, SECOND, SERVICE, SUE, code, crm, done, succeeds};
use crate::support::{
    ADA, ADMIN, Admin, BOSS, CALLERS, Database, Files, WORKER, expect, finish, have, json,
    provisioner, said,
};

/// As Meta makes them.
pub const TOKEN: &str = "EAAGm0PX4ZCpsBAKZCnQr8ZBZBexampleexampletoken1234";
pub const OTHER_TOKEN: &str = "EAAGm0PX4ZCpsBAanotherexampletokenofanothernumber5678";
pub const APP_SECRET: &str = "0123456789abcdef0123456789abcdef";
const VERIFY_TOKEN: &str = "hush-hush";

/// Of the number of `agt_ada`, and of that of `agt_ben`.
const NUMBERS: [&str; 2] = ["10001", "10002"];
/// Of the app of the first business.
const APP: &str = "970001";

/// A file of keys, and the commands that use it.
pub struct Keys {
    files: Files,
}

impl Keys {
    /// One key.
    pub async fn new(db: &Database) -> Self {
        let keys = Self { files: Files::new(&[]) };
        expect(&keys.ask(db, &["keys", "generate"]).await, 0, &[]);
        keys
    }

    pub fn file(&self) -> String {
        format!("{}/keys", self.files.path())
    }

    pub fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    /// A command of the owner's.
    fn command(&self, url: &str, args: &[&str]) -> Command {
        let mut command = provisioner(url);
        command.env("PROVISIONER_TOKENS__KEYS_FILE", self.file()).env("USER", "carl").args(args);
        command
    }

    pub async fn ask(&self, db: &Database, args: &[&str]) -> Output {
        finish(&mut self.command(&db.url(ADMIN), args)).await
    }

    /// The same, with something on standard input.
    pub async fn pipe(&self, db: &Database, args: &[&str], input: &[u8]) -> Output {
        let file = format!("{}/input", self.files.path());
        fs::write(&file, input).unwrap();
        let mut command = self.command(&db.url(ADMIN), args);
        finish(command.stdin(Stdio::from(File::open(&file).unwrap()))).await
    }

    pub async fn set_token(&self, db: &Database, number: &str, token: &str) {
        let set = self.pipe(db, &["numbers", "set-token", number], token.as_bytes()).await;
        expect(&set, 0, &[]);
    }

    /// The id of the key that decrypts a token, and whether it is the last one.
    pub async fn test(&self, db: &Database, number: &str) -> (String, bool) {
        let tested = json(&self.ask(db, &["numbers", "test", number, "--json"]).await);
        (text(field(&tested, "key")), field(&tested, "is_current").as_bool().unwrap())
    }

    /// What `doctor` finds of keys and of files of secrets, as this role: severity and fix.
    async fn findings(&self, db: &Database, role: &str) -> Vec<Value> {
        let output = finish(&mut self.command(&db.url(role), &["doctor", "--json"])).await;
        let findings = json(&output).as_array().unwrap().clone();
        let what = |finding: &Value| text(field(finding, "what"));
        let ours = |finding: &Value| ["keys", "secrets"].contains(&&*what(finding));
        findings.into_iter().filter(ours).collect()
    }
}

fn field<'a>(value: &'a Value, key: &str) -> &'a Value {
    value.get(key).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Decrypts as a bot does: by deploy/bot/secrets.mjs, in Node.js.
async fn decrypt(keys: &Keys, kind: &str, row: &Value) -> Output {
    let module = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/bot/secrets.mjs");
    let script = format!(
        "import {{ decrypt, placeOf, readKeys }} from '{module}';
         import {{ readFileSync }} from 'node:fs';
         const row = JSON.parse(process.argv[1]);
         const keys = await readKeys(readFileSync('{}', 'utf8'));
         console.log(await decrypt(keys, row.ciphertext, placeOf('{kind}', row)));",
        keys.file()
    );
    let mut node = Command::new("node");
    finish(node.args(["--input-type=module", "-e", &script, &row.to_string()])).await
}

/// The rows of a function, as PostgREST answers them to the backend.
async fn rows_of(admin: &Admin, call: &str) -> Vec<Value> {
    let sql = format!("select to_json(r) from public.{call} r");
    let answer = admin.ask(&SERVICE, &sql).await.unwrap();
    answer.rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
}

#[tokio::test]
async fn what_is_set_by_the_program_is_decrypted_by_the_bot() {
    if !have(&["node"]) {
        return;
    }
    let (db, admin) = crm().await;
    admin.run("insert into public.meta_apps (app_id, name) values ('99999', 'platform')").await;
    let keys = Keys::new(&db).await;
    keys.set_token(&db, NUMBERS[0], &format!("{TOKEN}\r\n")).await;
    // From a file, too, and in the place of another one.
    let file = format!("{}/secret", keys.files.path());
    fs::write(&file, APP_SECRET).unwrap();
    for app in [APP, "99999"] {
        let args = ["apps", "set-secret", app, "app-secret"];
        expect(&keys.pipe(&db, &args, b"another-secret").await, 0, &[]);
        let args = ["apps", "set-secret", app, "app-secret", "--file", &file];
        expect(&keys.ask(&db, &args).await, 0, &[]);
        let args = ["apps", "set-secret", app, "verify-token"];
        expect(&keys.pipe(&db, &args, VERIFY_TOKEN.as_bytes()).await, 0, &[]);
    }
    let [token] = &rows_of(&admin, "get_whatsapp_token('10001')").await[..] else { panic!() };
    let decrypted = decrypt(&keys, "access_token", token).await;
    assert_eq!(said(&decrypted), format!("{TOKEN}\n"));
    for (app, business) in [(APP, Value::from(FIRST)), ("99999", Value::Null)] {
        let secrets = rows_of(&admin, &format!("get_meta_app_secrets('{app}')")).await;
        assert_eq!(secrets.len(), 2);
        for (secret, (kind, clear)) in
            secrets.iter().zip([("app_secret", APP_SECRET), ("verify_token", VERIFY_TOKEN)])
        {
            assert_eq!((&secret["kind"], &secret["business_id"]), (&kind.into(), &business));
            assert_eq!(said(&decrypt(&keys, kind, secret).await), format!("{clear}\n"));
        }
        // As another secret of the same row it does not decrypt.
        let wrong = decrypt(&keys, "verify_token", &secrets[0]).await;
        assert!(!wrong.status.success(), "{}", said(&wrong));
    }
    // Nor in another business, or with another key.
    let mut elsewhere = token.clone();
    elsewhere["business_id"] = SECOND.into();
    assert!(!decrypt(&keys, "access_token", &elsewhere).await.status.success());
    fs::remove_file(keys.file()).unwrap();
    expect(&keys.ask(&db, &["keys", "generate"]).await, 0, &[]);
    assert!(!decrypt(&keys, "access_token", token).await.status.success());
    assert_eq!(rows_of(&admin, "get_whatsapp_token('10002')").await, [Value::Null; 0]);
}

#[tokio::test]
async fn lists_and_the_api_show_the_last_four_characters_and_since_when() {
    let (db, admin) = crm().await;
    let keys = Keys::new(&db).await;
    keys.set_token(&db, NUMBERS[0], TOKEN).await;
    for (which, secret) in [("app-secret", APP_SECRET), ("verify-token", VERIFY_TOKEN)] {
        let args = ["apps", "set-secret", APP, which];
        expect(&keys.pipe(&db, &args, secret.as_bytes()).await, 0, &[]);
    }
    let listed = json(&keys.ask(&db, &["numbers", "list", "--json"]).await);
    let with = |id: &str| {
        listed.as_array().unwrap().iter().find(|it| it["phone_number_id"] == id).unwrap()
    };
    let (key, _) = keys.test(&db, NUMBERS[0]).await;
    assert_eq!(with("10001")["token"]["last_four"], "1234");
    assert_eq!(with("10001")["token"]["key"], *key);
    assert_eq!(with("10001")["token"]["set_by"], "postgres (carl)");
    assert_eq!(with("10001")["agent_prefix"], "agt_ada");
    assert_eq!(with("10002")["token"], Value::Null);
    let listed = json(&keys.ask(&db, &["apps", "list", "--json"]).await);
    let app = listed.as_array().unwrap().iter().find(|it| it["app_id"] == APP).unwrap();
    assert_eq!((&app["app_secret"]["last_four"], &app["numbers"]), (&"cdef".into(), &1.into()));
    assert_eq!(app["verify_token"]["set_by"], "postgres (carl)");
    // Of a short one they would be half of it.
    assert_eq!(app["verify_token"]["last_four"], Value::Null);
    assert_eq!(app["verify_token"]["key"], *key);

    let status = |business: &str| {
        format!(
            "select kind, coalesce(last_four, '-'), set_at > now() - interval '1 h' from public.secret_status({business})"
        )
    };
    let all = ["access_token|1234|t", "app_secret|cdef|t", "verify_token|-|t"];
    for (who, business, expected) in [
        (MIA, format!("'{FIRST}'"), &all[..]),
        (NED, format!("'{FIRST}'"), &all),
        (BOSS, format!("'{FIRST}'"), &all),
        (SERVICE, format!("'{FIRST}'"), &all),
        (SUE, format!("'{FIRST}'"), &[]),
        (OLE, format!("'{FIRST}'"), &[]),
        (OLE, format!("'{SECOND}'"), &[]),
        (MIA, "null".to_owned(), &[]),
    ] {
        let found = admin.ask(&who, &status(&business)).await.unwrap().rows;
        assert_eq!(found, expected, "{} {business}", who.name);
    }
    for who in CALLERS.iter().chain(&[MIA, NED, SUE, OLE]) {
        let is_backend = who.role == "service_role" || who.role == "postgres";
        for call in ["get_whatsapp_token('10001')", "get_meta_app_secrets('970001')"] {
            let refused = code(&admin, who, &format!("select from public.{call}")).await;
            assert_eq!(refused, if is_backend { "" } else { "42501" }, "{} {call}", who.name);
        }
    }
}

#[tokio::test]
async fn a_ciphertext_that_was_changed_or_copied_does_not_decrypt() {
    let (db, admin) = crm().await;
    let root = Admin(db.connect(agent_provisioner::dev_server::SUPERUSER).await);
    let keys = Keys::new(&db).await;
    keys.set_token(&db, NUMBERS[0], TOKEN).await;
    keys.set_token(&db, NUMBERS[1], OTHER_TOKEN).await;
    let args = ["apps", "set-secret", APP, "app-secret"];
    expect(&keys.pipe(&db, &args, APP_SECRET.as_bytes()).await, 0, &[]);
    let args = ["apps", "set-secret", APP, "verify-token"];
    expect(&keys.pipe(&db, &args, VERIFY_TOKEN.as_bytes()).await, 0, &[]);
    let kept = "create table provisioning.kept as select * from provisioning.secrets";
    admin.run(kept).await;
    let one = "where whatsapp_number_id = (select id from public.whatsapp_numbers where phone_number_id = '10001')";
    let (number, app) =
        (["numbers", "test", "10001"].as_slice(), ["apps", "test", APP, "app-secret"].as_slice());
    for (change, test) in [
        // From a number of another business.
        (format!("update provisioning.secrets set ciphertext = (select ciphertext from provisioning.kept
            where whatsapp_number_id <> secrets.whatsapp_number_id) {one}"), number),
        // From another column of the same row.
        ("update provisioning.secrets set ciphertext = (select ciphertext from provisioning.kept
            where kind = 'verify_token') where kind = 'app_secret'".to_owned(), app),
        // Each part of it.
        (format!("update provisioning.secrets set ciphertext = set_byte(ciphertext, 9, 255 - get_byte(ciphertext, 9)) {one}"), number),
        (format!("update provisioning.secrets set ciphertext = set_byte(ciphertext, 21, 255 - get_byte(ciphertext, 21)) {one}"), number),
        (format!("update provisioning.secrets set ciphertext = substr(ciphertext, 1, octet_length(ciphertext) - 1) {one}"), number),
        // The row itself comes to another business, past the keys.
        (format!("update public.whatsapp_numbers set business_id = '{SECOND}' where phone_number_id = '10001'"), number),
        (format!("update public.meta_apps set business_id = '{SECOND}' where app_id = '{APP}'"), app),
    ] {
        expect(&keys.ask(&db, test).await, 0, &[]);
        let unreadable = json(&keys.ask(&db, &["keys", "status", "--json"]).await);
        assert_eq!(unreadable["unreadable"], Value::Array(Vec::new()), "{change}");
        root.run(&format!("set session_replication_role = replica; {change}; reset session_replication_role")).await;
        let tested = keys.ask(&db, test).await;
        expect(&tested, 1, &[]);
        assert!(!said(&tested).contains(TOKEN), "{change}");
        let status = keys.ask(&db, &["keys", "status", "--json"]).await;
        expect(&status, 1, &[]);
        assert_eq!(json(&status)["unreadable"][0]["owner"], test[2], "{change}");
        // A rotation leaves it as it is.
        root.run(&format!(
            "set session_replication_role = replica;
             update provisioning.secrets s set ciphertext = k.ciphertext from provisioning.kept k where k.id = s.id;
             update public.whatsapp_numbers set business_id = '{FIRST}' where phone_number_id = '10001';
             update public.meta_apps set business_id = '{FIRST}' where app_id = '{APP}';
             reset session_replication_role"
        )).await;
    }
    admin.run("drop table provisioning.kept").await;
}

#[tokio::test]
async fn no_text_can_be_stored_in_the_place_of_a_ciphertext() {
    let (db, admin) = crm().await;
    let keys = Keys::new(&db).await;
    keys.set_token(&db, NUMBERS[0], TOKEN).await;
    let sealed = "(select ciphertext from provisioning.secrets)";
    for (change, constraint) in [
        (format!("ciphertext = convert_to('{TOKEN}', 'UTF8')"), "secrets_ciphertext_check"),
        (
            format!("ciphertext = convert_to('{}', 'UTF8')", TOKEN.repeat(9)),
            "secrets_ciphertext_check",
        ),
        ("ciphertext = ''".to_owned(), "secrets_ciphertext_check"),
        (format!("ciphertext = substr({sealed}, 1, 44)"), "secrets_ciphertext_check"),
        (format!("ciphertext = set_byte({sealed}, 0, 2)"), "secrets_ciphertext_check"),
        (
            format!("ciphertext = {sealed} || decode(repeat('00', 4096), 'hex')"),
            "secrets_ciphertext_check",
        ),
        (format!("last_four = '{TOKEN}'"), "secrets_last_four_check"),
        ("last_four = '12 4'".to_owned(), "secrets_last_four_check"),
        ("kind = 'password'".to_owned(), "secrets_kind_check"),
        ("kind = 'app_secret'".to_owned(), "secrets_owner_check"),
        ("business_id = null".to_owned(), "secrets_owner_check"),
        (format!("business_id = '{SECOND}'"), "secrets_whatsapp_number_id_fkey"),
    ] {
        let sql = format!("update provisioning.secrets set {change}");
        let refusal = admin.answer(&sql).await.expect_err(&change);
        assert!(
            refusal.constraint() == Some(constraint) || constraint == "secrets_kind_check",
            "{change}: {refusal:?}"
        );
    }
    let generated = "update provisioning.secrets set key_id = 'x'";
    assert_eq!(admin.answer(generated).await.unwrap_err().code().code(), "428C9");
    // One of each kind for each owner.
    let again = format!(
        "insert into provisioning.secrets (kind, whatsapp_number_id, business_id, ciphertext)
        select kind, whatsapp_number_id, business_id, {sealed} from provisioning.secrets"
    );
    assert_eq!(admin.answer(&again).await.unwrap_err().code().code(), "23505");
    assert!(keys.test(&db, NUMBERS[0]).await.1);
}

#[tokio::test]
async fn an_agent_moves_only_without_the_tokens_of_its_numbers() {
    let (db, admin) = crm().await;
    admin.run("insert into public.meta_apps (app_id, name) values ('99999', 'platform')").await;
    admin.run("update public.whatsapp_numbers set meta_app_id = (select id from public.meta_apps where app_id = '99999')").await;
    let keys = Keys::new(&db).await;
    keys.set_token(&db, NUMBERS[0], TOKEN).await;
    let to = |business: &str| format!("move_agent(1, '{business}')");
    assert!(!succeeds(&admin, &BOSS, &to(SECOND)).await);
    let why = format!("select message ~ 'token' from public.{}", to(SECOND));
    assert_eq!(admin.ask(&BOSS, &why).await.unwrap().rows, ["t"]);
    for sql in [
        format!("update public.agents set business_id = '{SECOND}' where id = 1"),
        format!(
            "update public.whatsapp_numbers set agent_id = null, business_id = '{SECOND}' where agent_id = 1"
        ),
    ] {
        assert_eq!(code(&admin, &SERVICE, &sql).await, "23503", "{sql}");
    }
    // What has no token moves, and what has one loses its agent.
    assert!(succeeds(&admin, &BOSS, &format!("move_agent(2, '{FIRST}')")).await);
    let forgotten = keys.ask(&db, &["numbers", "forget-token", NUMBERS[0]]).await;
    expect(&forgotten, 2, &["--yes"]);
    keys.test(&db, NUMBERS[0]).await;
    expect(&keys.ask(&db, &["numbers", "forget-token", NUMBERS[0], "--yes"]).await, 0, &[]);
    expect(&keys.ask(&db, &["numbers", "test", NUMBERS[0]]).await, 1, &[NUMBERS[0]]);
    expect(&keys.ask(&db, &["numbers", "forget-token", NUMBERS[0], "--yes"]).await, 1, &[]);
    assert!(done(&admin, &BOSS, &to(SECOND)).await);
    keys.set_token(&db, NUMBERS[0], TOKEN).await;
    keys.test(&db, NUMBERS[0]).await;
    admin.run("delete from public.whatsapp_numbers where phone_number_id = '10001'").await;
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.secrets").await, 0);
}

#[tokio::test]
async fn what_is_no_secret_is_refused_and_not_quoted() {
    let (db, admin) = crm().await;
    let keys = Keys::new(&db).await;
    let long = "x".repeat(4097);
    for input in
        ["", "\n", "short", "EAAG with a space", "EAAGtwo\nlines-of-it", "EAAGümlaut", &long]
    {
        let set = keys.pipe(&db, &["numbers", "set-token", NUMBERS[0]], input.as_bytes()).await;
        expect(&set, 2, &[]);
        assert!(!said(&set).contains("EAAG") && !said(&set).contains("xxxx"), "{}", said(&set));
    }
    let binary = keys.pipe(&db, &["numbers", "set-token", NUMBERS[0]], &[0xff; 20]).await;
    expect(&binary, 2, &[]);
    let missing = ["numbers", "set-token", NUMBERS[0], "--file", "/nonexistent/token"];
    expect(&keys.ask(&db, &missing).await, 2, &["/nonexistent/token"]);
    for (args, named) in
        [(["numbers", "set-token", "777777"], "777777"), (["numbers", "test", "777777"], "777777")]
    {
        expect(&keys.pipe(&db, &args, TOKEN.as_bytes()).await, 1, &[named]);
    }
    let args = ["apps", "set-secret", "777777", "app-secret"];
    expect(&keys.pipe(&db, &args, APP_SECRET.as_bytes()).await, 1, &["777777"]);
    // The worker's role reads and writes none.
    for args in
        [&["numbers", "list"][..], &["apps", "list"], &["keys", "status"], &["keys", "rotate"]]
    {
        expect(&finish(&mut keys.command(&db.url(WORKER), args)).await, 1, &["postgres"]);
    }
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.secrets").await, 0);
    let longest = "x".repeat(4096);
    keys.set_token(&db, NUMBERS[0], &longest).await;
    keys.set_token(&db, NUMBERS[0], "8letters").await;
    keys.test(&db, NUMBERS[0]).await;
}

#[tokio::test]
async fn a_terminal_does_not_show_what_is_typed() {
    if !have(&["script"]) {
        return;
    }
    let (db, _admin) = crm().await;
    let keys = Keys::new(&db).await;
    let program = keys.command(&db.url(ADMIN), &[]);
    let mut script = Command::new("script");
    script.envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let line = format!("exec {} numbers set-token 10001", program.get_program().to_str().unwrap());
    script.args(["-qec", &line, "/dev/null"]).env("SHELL", "/bin/sh");
    let mut typing = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, mut output) = (typing.stdin.take().unwrap(), typing.stdout.take().unwrap());
    let mut shown = String::new();
    while !shown.ends_with("shown): ") {
        let mut byte = [0];
        assert_eq!(output.read(&mut byte).unwrap(), 1, "{shown}");
        shown.push(byte[0].into());
    }
    // With a slip that is taken back.
    input.write_all(format!("{TOKEN}x\x7f\r").as_bytes()).unwrap();
    output.read_to_string(&mut shown).unwrap();
    assert!(typing.wait().unwrap().success(), "{shown}");
    assert!(!shown.contains("EAAG"), "{shown}");
    let listed = json(&keys.ask(&db, &["numbers", "list", "--json"]).await);
    assert_eq!(listed[0]["token"]["last_four"], "1234");
}

#[tokio::test]
async fn apps_and_numbers_are_added() {
    let (db, admin) = crm().await;
    let keys = Keys::new(&db).await;
    let add = async |args: &str| {
        let args: Vec<_> = args.split(' ').collect();
        keys.ask(&db, &args).await
    };
    expect(&add("apps add 99999 --name platform").await, 0, &[]);
    expect(&add("apps add 99999 --name again").await, 1, &["99999"]);
    let own = json(&add(&format!("apps add 99998 --name own --business {FIRST} --json")).await);
    let number = "--account 20000 --display +49(1511)10001";
    expect(&add(&format!("numbers add 30001 --app 99999 {number} --agent agt_ben")).await, 0, &[]);
    expect(&add(&format!("numbers add 30002 --app 99998 {number}")).await, 0, &[]);
    let third = format!("numbers add 30003 --app 99999 {number} --business {SECOND} --json");
    let third = json(&add(&third).await);
    let none = "00000000-0000-0000-0000-00000000dead";
    for (refused, exit, named) in [
        // Taken, with and without a business.
        (format!("numbers add 30001 --app 99999 {number} --agent agt_ben"), 1, "phone_number_id"),
        (format!("numbers add 30002 --app 99998 {number}"), 1, "phone_number_id"),
        (format!("apps add 99998 --name own --business {FIRST}"), 1, "99998"),
        (format!("numbers add 30004 --app 99999 {number}"), 2, "--business"),
        // Of another business.
        (format!("numbers add 30004 --app 99998 {number} --agent agt_ben"), 1, "agent"),
        (format!("numbers add 30004 --app 99997 {number} --agent agt_ben"), 1, "99997"),
        (format!("numbers add 30004 --app 99999 {number} --agent agt_none"), 1, "agt_none"),
        (format!("numbers add 30004 --app 99999 {number} --business nonsense"), 1, "nonsense"),
        (format!("numbers add 30004 --app 99999 {number} --business {none}"), 1, none),
        ("numbers add 30004 --app 99999 --account 20000 --display x".to_owned(), 2, "--business"),
        (
            "numbers add 30004 --app 99998 --account 20000 --display x".to_owned(),
            1,
            "display_number",
        ),
        ("apps add 99996 --name own --business nonsense".to_owned(), 1, "nonsense"),
        (format!("apps add 99996 --name own --business {none}"), 1, none),
        ("apps add 99996 --name ".to_owned(), 2, "1 to 200"),
        (format!("apps add 99996 --name {}", "x".repeat(201)), 2, "1 to 200"),
        ("apps add nine --name own".to_owned(), 2, "5 to 32 digits"),
        (format!("agents create agt_new --user {} --business nonsense", ADA.id), 1, "nonsense"),
    ] {
        let output = add(&refused).await;
        expect(&output, exit, &[named]);
        assert!(!said(&output).contains("SQLSTATE"), "{refused}: {}", said(&output));
    }
    let made = "select phone_number_id, business_id, coalesce(agent_id, 0), display_number
        from public.whatsapp_numbers where phone_number_id ~ '^3' order by 1";
    let row = |id: u32, business: &str, agent: u32| format!("{id}|{business}|{agent}|49151110001");
    let expected = [row(30001, SECOND, 2), row(30002, FIRST, 0), row(30003, SECOND, 0)];
    assert_eq!(admin.rows(made).await, expected);
    let ids = format!(
        "select count(*) from (select id from public.meta_apps union all select id from public.whatsapp_numbers) a
         where id in ('{}', '{}')", text(&own["id"]), text(&third["id"])
    );
    assert_eq!(admin.one::<i64>(&ids).await, 2);
}

/// A DBA may set that for a role or a database.
#[tokio::test]
async fn sessions_that_write_bytes_as_escapes_read_the_same_secrets() {
    let (db, admin) = crm().await;
    let keys = Keys::new(&db).await;
    admin
        .run(
            "do $$ begin execute format(
                 'alter database %I set bytea_output = escape', current_database()); end $$",
        )
        .await;
    let admin_of_escapes = db.admin().await;
    let output = "select current_setting('bytea_output')";
    assert_eq!(admin_of_escapes.rows(output).await, ["escape"]);
    keys.set_token(&db, NUMBERS[0], TOKEN).await;
    let args = ["apps", "set-secret", APP, "app-secret"];
    expect(&keys.pipe(&db, &args, APP_SECRET.as_bytes()).await, 0, &[]);
    expect(&keys.ask(&db, &["keys", "generate"]).await, 0, &[]);
    expect(&keys.ask(&db, &["keys", "rotate"]).await, 0, &["2 secrets"]);
    assert!(keys.test(&db, NUMBERS[0]).await.1);
    expect(&keys.ask(&db, &["keys", "status"]).await, 0, &[]);
    // What is no ciphertext is refused there, too.
    let text =
        format!("update provisioning.secrets set ciphertext = convert_to('{TOKEN}', 'UTF8')");
    let refused = admin_of_escapes.answer(&text).await.unwrap_err();
    assert_eq!(refused.constraint(), Some("secrets_ciphertext_check"));
    if have(&["node"]) {
        for (call, kind, clear) in [
            ("get_whatsapp_token('10001')", "access_token", TOKEN),
            ("get_meta_app_secrets('970001')", "app_secret", APP_SECRET),
        ] {
            let [row] = &rows_of(&admin_of_escapes, call).await[..] else { panic!("{call}") };
            assert_eq!(said(&decrypt(&keys, kind, row).await), format!("{clear}\n"));
        }
    }
}

#[tokio::test]
async fn a_secret_in_the_place_of_an_argument_is_not_repeated() {
    let (db, admin) = crm().await;
    let keys = Keys::new(&db).await;
    let dashed = format!("--{TOKEN}");
    let value = format!("--token={TOKEN}");
    for (args, code) in [
        (&["numbers", "set-token", NUMBERS[0], TOKEN][..], 2),
        (&["numbers", "set-token", TOKEN], 2),
        (&["numbers", "set-token", TOKEN, NUMBERS[0]], 2),
        (&["numbers", "set-token", NUMBERS[0], &dashed], 2),
        (&["numbers", "set-token", NUMBERS[0], &value], 2),
        (&["numbers", "set-token", NUMBERS[0], "--file", TOKEN], 2),
        (&["numbers", TOKEN], 2),
        (&["numbers", "test", TOKEN], 2),
        (&["numbers", "list", TOKEN], 2),
        (&["numbers", "forget-token", TOKEN, "--yes"], 2),
        (&["numbers", "add", "30001", "--app", TOKEN], 2),
        (&["apps", "set-secret", APP, TOKEN], 2),
        (&["apps", "set-secret", APP, "app-secret", TOKEN], 2),
        (&["apps", "set-secret", TOKEN, "app-secret"], 2),
        (&["apps", TOKEN, "set-secret"], 2),
        (&["apps", "add", TOKEN, "--name", "x"], 2),
        (&["apps", "test", TOKEN, "verify-token"], 2),
        (&["keys", "rotate", TOKEN], 2),
        (&["keys", "rotate", "--batch", TOKEN], 2),
        (&["keys", TOKEN], 2),
    ] {
        let output = keys.pipe(&db, args, OTHER_TOKEN.as_bytes()).await;
        expect(&output, code, &[]);
        assert!(!said(&output).contains("EAA"), "{}", said(&output));
    }
    // What was wrong is said all the same.
    expect(&keys.ask(&db, &["apps", "set-secret", APP, TOKEN]).await, 2, &["app-secret"]);
    expect(&keys.ask(&db, &["apps", "set-secret", APP]).await, 2, &["<WHICH>"]);
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.secrets").await, 0);
}

#[tokio::test]
async fn down_refuses_to_lose_a_secret_unless_it_is_told() {
    let (db, admin) = crm().await;
    let keys = Keys::new(&db).await;
    keys.set_token(&db, NUMBERS[0], TOKEN).await;
    let down = async |args: &[&str]| keys.ask(&db, &[&["migrate", "down"], args].concat()).await;
    for to in ["8", "7"] {
        expect(&down(&["--to", to]).await, 1, &["--yes"]);
        assert!(keys.test(&db, NUMBERS[0]).await.1);
    }
    // In psql, too.
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations/0009_secrets.down.sql");
    let refused = admin.attempt("begin", &fs::read_to_string(file).unwrap()).await;
    assert_eq!(refused.unwrap_err().code().code(), "2BP01");
    expect(&down(&["--to", "8", "--yes"]).await, 0, &["took back 0009"]);
    expect(&keys.ask(&db, &["migrate"]).await, 0, &["applied 0009"]);
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.secrets").await, 0);
}

/// Who has a token may send from every number of its account, and who has an app's secret may sign for it.
#[tokio::test]
async fn what_has_a_secret_stays_the_number_or_the_app_that_it_is() {
    let (db, admin) = crm().await;
    let second = format!(
        "insert into public.meta_apps (business_id, app_id, name) values ('{FIRST}', '970009', 'second')"
    );
    admin.run(&second).await;
    let keys = Keys::new(&db).await;
    keys.set_token(&db, NUMBERS[0], TOKEN).await;
    let set = keys.pipe(&db, &["apps", "set-secret", APP, "app-secret"], APP_SECRET.as_bytes());
    expect(&set.await, 0, &[]);
    let changes = [
        "update public.whatsapp_numbers set phone_number_id = '66666' where phone_number_id = '10001'",
        "update public.whatsapp_numbers set meta_app_id = (select id from public.meta_apps where app_id = '970009') \
         where phone_number_id = '10001'",
        "update public.meta_apps set app_id = '970777' where app_id = '970001'",
    ];
    for sql in changes {
        for caller in [&MIA, &NED, &BOSS, &SERVICE] {
            assert_eq!(code(&admin, caller, sql).await, "23001", "{sql}");
        }
    }
    let renamed = "update public.whatsapp_numbers set display_number = '491511' where phone_number_id = '10001'";
    assert_eq!(admin.ask(&MIA, renamed).await.unwrap().touched, 1);
    for args in [
        &["numbers", "forget-token", NUMBERS[0], "--yes"][..],
        &["apps", "forget-secret", APP, "app-secret", "--yes"],
    ] {
        expect(&keys.ask(&db, args).await, 0, &[]);
    }
    for sql in changes {
        let sql = sql.replace("'66666' where", "phone_number_id where");
        assert_eq!(admin.ask(&SERVICE, &sql).await.unwrap().touched, 1, "{sql}");
    }
}

/// A ciphertext is bound to the business that the number had when it was read.
#[tokio::test]
async fn a_number_that_moves_while_its_token_is_set_keeps_the_one_that_can_be_read() {
    let (db, admin) = crm().await;
    admin.run("insert into public.meta_apps (app_id, name) values ('99999', 'platform')").await;
    admin.run("update public.whatsapp_numbers set meta_app_id = (select id from public.meta_apps where app_id = '99999')").await;
    let keys = Keys::new(&db).await;
    keys.set_token(&db, NUMBERS[0], TOKEN).await;
    let mover = db.admin().await;
    mover.run("begin; lock table provisioning.secrets in access exclusive mode").await;
    let input = format!("{}/late", keys.files.path());
    fs::write(&input, OTHER_TOKEN).unwrap();
    let mut command = keys.command(&db.url(ADMIN), &["numbers", "set-token", NUMBERS[0]]);
    command.stdin(Stdio::from(File::open(&input).unwrap()));
    let late = finish(command.env("PROVISIONER_DATABASE__LOCK_TIMEOUT", "30s"));
    let away = async {
        let waits = "select exists (select from pg_stat_activity where wait_event_type = 'Lock' \
                     and datname = current_database() and query ~ 'merge into')";
        admin.holds(waits).await;
        let sql = format!(
            "create temp table kept as select * from provisioning.secrets; delete from provisioning.secrets; \
             update public.whatsapp_numbers set agent_id = null, business_id = '{SECOND}' where phone_number_id = '10001'; \
             insert into provisioning.secrets (kind, whatsapp_number_id, business_id, ciphertext, last_four) \
                 select kind, whatsapp_number_id, '{SECOND}', ciphertext, 'kept' from kept; commit"
        );
        mover.run(&sql).await;
    };
    let (late, ()) = tokio::join!(late, away);
    expect(&late, 1, &["another business"]);
    let kept = "select last_four from provisioning.secrets";
    assert_eq!(admin.rows(kept).await, ["kept"]);
}
