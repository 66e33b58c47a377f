//! The ways of an agent to one and the same schema: built at once, upgraded, repaired, restored, adopted.

use std::process::Output;

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::Value;

use crate::support::{
    ADMIN, Admin, Database, Files, Order, Service, WORKER, distinct_ids, finish, json, portraits,
    provisioner, said,
};

/// What somebody does to an agent, and the repair that puts it right.
pub struct Damage {
    /// The agent.
    pub prefix: &'static str,
    /// Statements for `{prefix}`; if it begins with `select`, a query for them, each of which the server may refuse.
    pub sql: String,
    pub force: bool,
    pub order: Order,
}

/// A template set as it grew.
pub struct Templates {
    /// Names and texts.
    pub files: Vec<(String, String)>,
    /// What `foreign_key.sql` says with the first file, with the first two…
    pub keys: Vec<String>,
}

/// A template set on a database of its own, and what was found to be wrong.
pub struct Paths {
    db: Database,
    admin: Admin,
    root: Admin,
    templates: Templates,
    reference: &'static str,
    findings: Vec<String>,
}

const FRESH: &str = "agt_new";
const ALL: &str = "agt_all";
const BIN: &str = "agt_bin";
const OLD: &str = "agt_old";
const DEL: &str = "agt_del";

/// All tables and types of an agent, those that others hang on at the end.
const DROP_ALL: &str = "do $$ declare t record; begin
    for t in select oid::regclass as name from pg_class where relnamespace = 'public'::regnamespace
             and relname ^@ '{prefix}_' and relkind in ('r', 'p') and not relispartition order by oid desc loop
        execute format('drop table if exists %s cascade', t.name); end loop;
    for t in select oid::regtype as name from pg_type where typnamespace = 'public'::regnamespace
             and typname ^@ '{prefix}_' and typtype = 'e' loop
        execute format('drop type %s', t.name); end loop; end $$";

impl Paths {
    pub async fn new(templates: Templates, reference: &'static str) -> Self {
        let db = Database::new().await;
        let (admin, root) = (db.admin().await, Admin(db.connect(SUPERUSER).await));
        distinct_ids(&admin).await;
        Self { db, admin, root, templates, reference, findings: Vec::new() }
    }

    /// Goes all of them; a line for each thing that is not as it is with a new agent.
    pub async fn go(mut self, damages: &[Damage], adopt: bool) -> Vec<String> {
        let numbered = self.templates.files.len();
        let mut ways: Vec<(String, Order)> = Vec::new();
        for version in 1..numbered {
            let prefix = format!("agt_v{version:02}");
            let (_files, _service) = self.serve(version, "1h").await;
            if !self.findings.is_empty() {
                return self.findings;
            }
            self.create(&[&prefix]).await;
            ways.push((prefix, Order::Kept));
        }
        let (files, service) = self.serve(numbered, "1h").await;
        if !self.findings.is_empty() {
            return self.findings;
        }
        let prefixes: Vec<_> = damages.iter().map(|damage| damage.prefix).collect();
        self.create(&[&[FRESH, ALL, BIN, DEL], prefixes.as_slice()].concat()).await;
        if !self.findings.is_empty() {
            return self.findings;
        }
        self.ask(&files, &["upgrade", "--wait"]).await;
        if adopt {
            self.build_by_hand().await;
            self.ask(&files, &["adopt", "--yes", "--wait", OLD]).await;
            ways.push((OLD.to_owned(), Order::Kept));
        }
        self.damage(ALL, DROP_ALL).await;
        for damage in damages {
            self.damage(damage.prefix, &damage.sql).await;
            ways.push((damage.prefix.to_owned(), damage.order));
        }
        let plain = damages.iter().filter(|damage| !damage.force).map(|damage| damage.prefix);
        let forced = damages.iter().filter(|damage| damage.force).map(|damage| damage.prefix);
        let plain: Vec<_> = ["repair", "--wait", ALL].into_iter().chain(plain).collect();
        let forced: Vec<_> = ["repair", "--force", "--wait"].into_iter().chain(forced).collect();
        self.ask(&files, &plain).await;
        self.ask(&files, &forced).await;
        self.delete(BIN).await;
        self.ask(&files, &["restore", BIN]).await;
        self.admin.settled().await;
        let log = service.log();
        drop((files, service));
        let (files, service) = self.serve(numbered, "0s").await;
        self.delete(DEL).await;
        drop(service);
        self.verify(&files).await;
        self.findings.extend(left(&self.root).await);
        ways.extend([ALL, BIN].map(|prefix| (prefix.to_owned(), Order::Kept)));
        self.compare(&ways).await;
        if !self.findings.is_empty() {
            let warnings = log.lines().filter(|line| line.contains("\"WARN\""));
            self.findings.extend(warnings.map(|line| format!("the service says: {line}")));
        }
        self.findings
    }

    async fn serve(&mut self, version: usize, retention: &str) -> (Files, Service) {
        let files = self.files(version);
        let settings = [
            ("REFERENCE", self.reference),
            ("DEPROVISION__RETENTION", retention),
            // An agent that is built by hand is to be adopted first.
            ("WORKER__RECONCILE_INTERVAL", "1h"),
            // What each worker learns for itself is the same: one learns it once.
            ("WORKER__CONCURRENCY", "1"),
        ];
        let settings = [settings.as_slice(), &[("TEMPLATES", files.path())]].concat();
        let service = Service::start(&self.db.url(WORKER), &settings);
        if let Err(said) = service.started().await {
            self.findings.push(format!("the service says: {said}"));
        }
        (files, service)
    }

    fn files(&self, version: usize) -> Files {
        let Templates { files, keys } = &self.templates;
        let files = files.iter().take(version).map(|(name, text)| (name.as_str(), text.as_str()));
        let key = [("foreign_key.sql", keys.get(version - 1).unwrap().as_str())];
        Files::new(&files.chain(key).collect::<Vec<_>>())
    }

    async fn create(&mut self, prefixes: &[&str]) {
        for prefix in prefixes {
            self.admin.create(prefix).await;
        }
        self.settled().await;
    }

    async fn delete(&mut self, prefix: &str) {
        let delete = "select public.delete_agent(id) from public.agents where agent_prefix = ";
        self.admin.run(&format!("{delete}'{prefix}'")).await;
        self.settled().await;
    }

    async fn settled(&mut self) {
        self.admin.settled().await;
        let dead =
            "select agent_prefix, kind, last_error from provisioning.jobs where state = 'dead'";
        let dead = self.admin.rows(dead).await;
        self.findings.extend(dead.into_iter().map(|job| format!("dead: {job}")));
    }

    /// As somebody may have built it before there was a service. The platform's default privileges are not what the
    /// templates grant.
    async fn build_by_hand(&mut self) {
        let closed = "alter default privileges for role postgres in schema public
                          revoke all on tables from anon, authenticated, service_role;
                      alter default privileges for role postgres in schema public
                          revoke all on sequences from anon, authenticated, service_role";
        let insert = format!(
            "alter table public.agents disable trigger user, enable trigger guard_agent;
             insert into public.agents (agent_prefix) values ('{OLD}');
             alter table public.agents enable trigger user"
        );
        self.admin.run(&format!("{closed}; {insert}")).await;
        let id: i64 = self
            .admin
            .one(&format!("select id from public.agents where agent_prefix = '{OLD}'"))
            .await;
        let files = self.files(self.templates.files.len());
        let mut render = provisioner(&self.db.url(ADMIN));
        render.env("PROVISIONER_TEMPLATES", files.path());
        render.env("PROVISIONER_REFERENCE", self.reference);
        let rendered = finish(render.args(["render", OLD, "--agent-id", &id.to_string()])).await;
        let sql = String::from_utf8(rendered.stdout).unwrap();
        if let Err(error) = self.admin.batch_execute(&format!("begin; {sql}; commit")).await {
            self.findings.push(format!("built by hand: {error:?}"));
            self.admin.run("rollback").await;
        }
    }

    async fn damage(&mut self, prefix: &str, sql: &str) {
        let sql = sql.replace("{prefix}", prefix);
        if sql.starts_with("select") {
            for statement in self.root.rows(&sql).await {
                // Another one may have taken its object away.
                self.root.batch_execute(&statement).await.ok();
            }
        } else if let Err(error) = self.root.batch_execute(&sql).await {
            self.findings.push(format!("damage of {prefix}: {error:?}"));
        }
    }

    /// A command that has to end well.
    async fn ask(&mut self, files: &Files, args: &[&str]) {
        let output = self.command(files, args).await;
        if !output.status.success() {
            self.findings.push(format!("{args:?}: {}", said(&output)));
        }
    }

    async fn command(&self, files: &Files, args: &[&str]) -> Output {
        let mut command = provisioner(&self.db.url(ADMIN));
        command.env("PROVISIONER_TEMPLATES", files.path()).env("USER", "ada");
        command.env("PROVISIONER_REFERENCE", self.reference);
        finish(command.arg("agents").args(args)).await
    }

    async fn verify(&mut self, files: &Files) {
        let verified = self.command(files, &["verify", "--json"]).await;
        for agent in json(&verified).get("drifted").and_then(Value::as_array).into_iter().flatten()
        {
            let said = |difference: &Value| format!("verify {}: {difference}", agent["prefix"]);
            self.findings.extend(agent["differences"].as_array().unwrap().iter().map(said));
        }
        if !verified.status.success() && self.findings.is_empty() {
            self.findings.push(said(&verified));
        }
    }

    async fn compare(&mut self, ways: &[(String, Order)]) {
        let mut agents = Vec::new();
        for prefix in ways.iter().map(|(prefix, _)| prefix.as_str()).chain([FRESH]) {
            let id = format!("select id from public.agents where agent_prefix = '{prefix}'");
            agents.push((prefix, self.admin.one::<i64>(&id).await));
        }
        let portraits = portraits(&self.db, &agents).await;
        let fresh = portraits.get(FRESH).unwrap();
        assert!(!fresh.is_empty());
        // The numbers that an attempt drew which was taken back do not come again.
        let again = "select distinct j.agent_prefix from provisioning.jobs j
                     join provisioning.attempts a on a.job = j.id where a.result <> 'succeeded'";
        let again = self.root.rows(again).await;
        for (prefix, order) in ways {
            let other = portraits.get(prefix).unwrap();
            let mut found = fresh.differences(other, *order, prefix);
            if again.contains(prefix) {
                let is_drawn = |line: &String| {
                    let mut words = line.split(' ').skip(2);
                    words.next().is_some_and(|what| matches!(what, "row" | "sequence"))
                };
                found.retain(|line| !is_drawn(line));
            }
            self.findings.extend(found);
        }
    }
}

/// What a deletion for good has left.
async fn left(root: &Admin) -> Vec<String> {
    let left = format!(
        "select 'left: ' || o.type || ' ' || o.identity
         from (select distinct classid, objid from pg_depend) d, pg_identify_object(classid, objid, 0) o
         where o.identity ~ '{DEL}' or o.identity ~ 'provisioning_trash\\.'
         union all
         select 'left: comment ' || objoid from pg_description
         where classoid = 'pg_class'::regclass and objoid not in (select oid from pg_class)
         union all
         select 'left: ' || t.table_name from provisioning.agent_tables t
         where t.table_name ^@ '{DEL}' or not exists (select from pg_class c where c.oid = t.relation)"
    );
    root.rows(&left).await
}
