//! What commands print with `--json` is as `schema` says, and every command with `--json` has a schema.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json as value};

use crate::jobs::queue;
use crate::support::{ADMIN, Admin, Database, Files, finish, json, provisioner, said};

/// The schemas of all commands, so that no field may be more than they say.
fn schemas() -> Value {
    let printed = provisioner("").arg("schema").output().unwrap();
    let mut schemas = json(&printed);
    close(&mut schemas);
    schemas
}

/// Whether what a command printed is as its schema says, for those that take more than one database.
pub fn assert_is_as_its_schema_says(command: &str, found: &Value) {
    let schemas = schemas();
    assert_eq!(faults(schemas.get(command).unwrap(), found), [""; 0], "{command}: {found}");
}

/// Compared where there are two databases, in `tests/moves.rs`.
const OF_TWO_DATABASES: [&str; 4] =
    ["agents move", "agents move --abort", "agents copy", "agents copy --abort"];

fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.values_mut().for_each(close);
            let is_object = object.get("type") == Some(&value!("object"));
            if is_object && object.contains_key("properties") {
                object.entry("additionalProperties").or_insert(Value::Bool(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What is wrong with a value.
fn faults(schema: &Value, found: &Value) -> Vec<String> {
    let validator = jsonschema::validator_for(schema).unwrap();
    let fault = |fault: jsonschema::ValidationError| format!("{}: {fault}", fault.instance_path());
    validator.iter_errors(found).map(fault).collect()
}

/// The commands that have been run, and whether each had something to print.
struct Printed<'a> {
    db: &'a Database,
    /// Where keys are, and a token.
    files: Files,
    schemas: Value,
    commands: BTreeSet<String>,
}

impl Printed<'_> {
    /// Runs a command as the owner, and compares what it prints with the schema of that name.
    async fn check(&mut self, name: &str, args: &str, code: i32) -> Value {
        let args: Vec<&str> = args.split(' ').chain(["--json"]).collect();
        let mut command = provisioner(&self.db.url(ADMIN));
        command.env("PROVISIONER_TOKENS__KEYS_FILE", format!("{}/keys", self.files.path()));
        let output = finish(command.env("USER", "ada").args(&args)).await;
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", said(&output));
        let found = json(&output);
        self.compare(name, &found);
        found
    }

    fn compare(&mut self, name: &str, found: &Value) {
        let schema = self.schemas.get(name).unwrap();
        assert_eq!(faults(schema, found), [""; 0], "{name}: {found}");
        assert!(found.as_array().is_none_or(|items| !items.is_empty()), "{name} shows nothing");
        self.commands.insert(name.to_owned());
    }
}

/// A dead job, an agent in the trash, an agent that differs, and an agent whose tables nobody manages.
async fn mishaps(db: &Database, admin: &Admin) {
    let service = db.service().await;
    admin.run("create table public.agt_b_orders (id int)").await;
    for prefix in ["agt_a", "agt_b", "agt_c", "agt_d"] {
        admin.create(prefix).await;
    }
    admin.settled().await;
    admin.run("delete from public.agents where agent_prefix in ('agt_c', 'agt_d')").await;
    admin.settled().await;
    admin.run("drop index public.agt_a_customers_phone_idx").await;
    drop(service);
    queue(admin, &[("deprovision", 99, "agt_x", "paused"), ("repair", 98, "agt_y", "dead")]).await;
}

async fn create_and_delete(it: &mut Printed<'_>, admin: &Admin) {
    admin.run("insert into auth.users (email) values ('new@example.org')").await;
    it.check("agents create", "agents create agt_new --user new@example.org --wait", 0).await;
    it.check("agents delete", "agents delete agt_new --yes --wait", 0).await;
}

async fn secrets(it: &mut Printed<'_>, admin: &Admin) {
    it.check("keys generate", "keys generate", 0).await;
    it.check("apps add", "apps add 99999 --name platform", 0).await;
    let business = admin.one::<String>("select id::text from public.businesses").await;
    let add = format!(
        "numbers add 10001 --account 20000 --display +49151110 --app 99999 --business {business}"
    );
    it.check("numbers add", &add, 0).await;
    let file = format!("{}/token", it.files.path());
    for set in ["numbers set-token 10001", "apps set-secret 99999 app-secret"] {
        let args: Vec<&str> = set.split(' ').chain(["--file", &file]).collect();
        let mut command = provisioner(&it.db.url(ADMIN));
        command.env("PROVISIONER_TOKENS__KEYS_FILE", format!("{}/keys", it.files.path()));
        let done = finish(command.args(&args)).await;
        assert!(done.status.success(), "{}", said(&done));
    }
    it.check("numbers list", "numbers list", 0).await;
    it.check("numbers test", "numbers test 10001", 0).await;
    it.check("apps list", "apps list", 0).await;
    it.check("apps test", "apps test 99999 app-secret", 0).await;
    let spoil = "update provisioning.secrets set ciphertext = set_byte(ciphertext, 30, 255 - get_byte(ciphertext, 30))
        where kind = 'app_secret'";
    admin.run(spoil).await;
    it.check("keys status", "keys status", 1).await;
    it.check("keys generate", "keys generate", 0).await;
    it.check("keys rotate", "keys rotate", 1).await;
    it.files.remove("keys");
    it.check("keys generate", "keys generate", 0).await;
    let status = it.check("keys status", "keys status", 1).await;
    assert_eq!(status.get("missing").unwrap().as_array().unwrap().len(), 2);
}

/// Of an agent that is at the newest version already.
async fn rollouts(it: &mut Printed<'_>, admin: &Admin) {
    it.check("rollouts start", "rollouts start --canary 1", 0).await;
    let rollout =
        "insert into provisioning.rollouts (template_version, templates, canaries, requested_by)
                       values (1, 'version 1', 0, 'ada');
                   insert into provisioning.rollout_agents (rollout, place, agent_id, agent_prefix)
                       values (1, 1, 1, 'agt_a')";
    admin.run(rollout).await;
    it.check("rollouts pause", "rollouts pause", 0).await;
    it.check("rollouts resume", "rollouts resume --reason x", 0).await;
    it.check("rollouts abort", "rollouts abort 1", 0).await;
    it.check("rollouts list", "rollouts list", 0).await;
}

fn watch(it: &mut Printed<'_>) {
    let mut command = provisioner(&it.db.url(ADMIN));
    command.args(["jobs", "watch", "--json"]).stdout(Stdio::piped());
    let mut watching = command.spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    it.compare("jobs watch", &serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap());
    watching.kill().unwrap();
    watching.wait().unwrap();
}

async fn migrate_and_doctor(it: &mut Printed<'_>, admin: &Admin) {
    it.check("migrate", "migrate", 0).await;
    it.check("migrate up", "migrate up", 0).await;
    it.check("migrate status", "migrate status", 0).await;
    it.check("migrate verify", "migrate verify", 0).await;
    it.check("migrate baseline", "migrate baseline", 0).await;
    admin.run("drop view provisioning.job_waits cascade").await;
    let differs = it.check("migrate verify", "migrate verify", 1).await;
    assert_ne!(differs.get("differences"), Some(&value!([])));
    let key = "base-schema/missing-view-provisioning.job_waits";
    it.check("doctor accept", &format!("doctor accept {key} --reason x"), 0).await;
    it.check("doctor accepted", "doctor accepted", 0).await;
    it.check("doctor withdraw", &format!("doctor withdraw {key}"), 0).await;
    it.check("migrate repair", "migrate repair", 0).await;
}

#[tokio::test]
async fn what_every_command_prints_is_as_its_schema_says() {
    let db = Database::new().await;
    let admin = db.admin().await;
    mishaps(&db, &admin).await;
    let files = Files::new(&[("token", "EAAGm0PX4ZCpsBAKZCnexample1234")]);
    let mut it = Printed { db: &db, files, schemas: schemas(), commands: BTreeSet::new() };
    let all: BTreeSet<String> = it.schemas.as_object().unwrap().keys().cloned().collect();

    it.check("status", "status", 0).await;
    it.check("doctor", "doctor", 0).await;
    it.check("jobs list", "jobs list", 0).await;
    it.check("jobs show", "jobs show 1", 0).await;
    let dead = it.check("jobs show", "jobs show 2", 0).await;
    assert_eq!(dead["history"][0]["result"], "failed");
    it.check("jobs replay", "jobs replay 2 12345", 1).await;
    it.check("jobs replay", "jobs replay --kind repair --dry-run", 0).await;
    it.check("jobs approve", "jobs approve --all --dry-run", 0).await;
    it.check("jobs cancel", "jobs cancel --prefix agt_? --state dead,paused --yes", 0).await;
    it.check("jobs prune", "jobs prune --older-than 0s --dry-run", 0).await;
    it.check("agents list", "agents list", 0).await;
    it.check("agents show", "agents show agt_a", 0).await;
    it.check("agents show", "agents show agt_b", 0).await;
    let verified = it.check("agents verify", "agents verify", 1).await;
    assert_eq!(verified["drifted"][0]["prefix"], "agt_a");
    it.check("agents repair --dry-run", "agents repair --dry-run", 0).await;
    it.check("agents convert", "agents convert --reference check --dry-run", 0).await;
    it.check("agents upgrade", "agents upgrade", 0).await;
    rollouts(&mut it, &admin).await;
    it.check("agents adopt", "agents adopt", 0).await;
    it.check("agents trash", "agents trash", 0).await;
    it.check("agents restore", "agents restore agt_c agt_nobody", 1).await;
    it.check("agents purge", "agents purge agt_d --yes", 0).await;
    it.check("agents purge --resume", "agents purge --resume --yes", 0).await;
    let service = db.service().await;
    let repaired = it.check("agents repair", "agents repair agt_a --wait", 0).await;
    assert_eq!(repaired["summary"]["succeeded"], 1, "{repaired}");
    assert_eq!(repaired["still_differ"], value!([]));
    let converted = it.check("agents convert", "agents convert --reference check --wait", 0).await;
    assert_eq!(converted["agents"], value!(["agt_a", "agt_c"]));
    assert_eq!(converted["summary"]["succeeded"], 2, "{converted}");
    admin.run("drop table public.agt_a_orders_items; delete from provisioning.agent_tables where table_name = 'agt_a_orders_items'; create table public.agt_a_orders_items (id int)").await;
    it.check("agents adopt --yes", "agents adopt agt_a --yes", 0).await;
    create_and_delete(&mut it, &admin).await;
    drop(service);

    secrets(&mut it, &admin).await;
    watch(&mut it);

    of_all_databases(&mut it).await;
    migrate_and_doctor(&mut it, &admin).await;
    let down = it.check("migrate down", "migrate down --to 7 --yes", 0).await;
    assert!(!down["taken_back"].as_array().unwrap().is_empty(), "{down}");
    let up = it.check("migrate", "migrate", 0).await;
    assert!(!up["applied"].as_array().unwrap().is_empty());
    it.commands.extend(OF_TWO_DATABASES.map(str::to_owned));
    assert_eq!(it.commands, all);
}

/// One report over many databases.
async fn of_all_databases(it: &mut Printed<'_>) {
    let entry = format!("[[database]]\nname = \"eu\"\nurl = \"{}\"\n", it.db.url(ADMIN));
    let files = Files::new(&[("config.toml", &entry)]);
    let mut command = provisioner("");
    command.env_remove("DATABASE_URL");
    command.env("PROVISIONER_CONFIG", format!("{}/config.toml", files.path()));
    command.args(["status", "--database", "all", "--json"]);
    let found = json(&finish(&mut command).await);
    assert!(found.pointer("/databases/0/report").unwrap().is_object(), "{found}");
    it.compare("status --database all", &found);
}

#[test]
fn a_value_that_is_not_as_its_schema_says_is_found() {
    let schemas = schemas();
    let pruned = schemas.get("jobs prune").unwrap();
    assert_eq!(faults(pruned, &value!({ "jobs": 1, "dry_run": false })), [""; 0]);
    for wrong in [
        value!({ "jobs": 1 }),
        value!({ "jobs": "1", "dry_run": false }),
        value!({ "jobs": 1, "dry_run": false, "more": 1 }),
    ] {
        assert_eq!(faults(pruned, &wrong).len(), 1, "{wrong}");
    }
}

/// The commands below this one that have `--json`.
fn with_json(words: &[String]) -> BTreeSet<String> {
    let help = provisioner("").args(words).arg("--help").output().unwrap();
    assert!(help.status.success(), "{words:?}");
    let help = said(&help);
    let mut found = BTreeSet::new();
    if help.contains("--json") {
        found.insert(words.join(" "));
    }
    let list = help.split("Commands:").nth(1).and_then(|list| list.split("Options:").next());
    let names = list.unwrap_or_default().lines().filter_map(|line| line.strip_prefix("  "));
    for name in
        names.filter_map(|line| line.split(' ').next()).filter(|name| !["", "help"].contains(name))
    {
        found.extend(with_json(&[words, &[name.to_owned()]].concat()));
    }
    found
}

#[test]
fn every_command_with_json_has_a_schema_and_no_other() {
    let schemas = schemas();
    let documented = schemas.as_object().unwrap().keys();
    let documented = documented.map(|name| name.split(" --").next().unwrap().to_owned()).collect();
    let found: BTreeSet<String> = with_json(&[]);
    // Its own help speaks of --json.
    let found: BTreeSet<String> =
        found.into_iter().filter(|name| !["", "schema"].contains(&name.as_str())).collect();
    assert_eq!(found, documented);
    let one = provisioner("").args(["schema", "jobs", "prune"]).output().unwrap();
    assert_eq!(json(&one)["title"], "Pruned");
    let none = provisioner("").args(["schema", "jobs", "dance"]).output().unwrap();
    assert_eq!(none.status.code(), Some(2));
}
