//! What the service does differently where the extension Citus is installed. No package brings Citus, so its row in the catalog stands
//! for it.

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::Value;

use crate::support::{ADA, BEN, BOSS, CAT, Database, Files, Server};

/// Notes at each commit of a job that has succeeded whether the commit waits for the disk.
const NOTES: &str = "
    create table public.commits (job bigint, flushed text);
    create function public.note_commit() returns trigger language plpgsql security definer as $$
    begin
        insert into public.commits values (new.id, current_setting('synchronous_commit'));
        return null;
    end $$;
    create constraint trigger note_commit after update on provisioning.jobs deferrable initially deferred
        for each row when (new.state = 'succeeded') execute function public.note_commit()";

const INSTALLED: &str = "
    set allow_system_table_mods = on;
    insert into pg_catalog.pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
    select 4000000000::oid, 'citus', r.oid, 'pg_catalog'::regnamespace, false, '13.2-1'
    from pg_catalog.pg_roles r where r.rolname = current_user;
    reset allow_system_table_mods";

/// Citus commits on other servers after this one: were this commit lost in a crash, they would keep the tables.
#[tokio::test]
async fn with_citus_each_commit_is_on_disk_before_it_is_reported() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let root = db.connect(SUPERUSER).await;
    root.batch_execute(NOTES).await.unwrap();
    let _service = db.service().await;
    admin.create("agt_1").await;
    admin.settled().await;
    root.batch_execute(INSTALLED).await.unwrap();
    admin.create("agt_2").await;
    admin.settled().await;
    let flushed = admin.rows("select job, flushed from public.commits order by job").await;
    assert_eq!(flushed, ["1|off", "2|on"]);
}

/// What the templates call. Here it spreads nothing.
const SPREADING: &str = "
    set allow_system_table_mods = on;
    create function pg_catalog.create_distributed_table(regclass, text, colocate_with text) returns void
        language sql as $$ select $$;
    reset allow_system_table_mods";

/// The findings about Citus, as severity and key.
fn findings(files: &Files, db: &Database, settings: &[(&str, &str)]) -> Vec<String> {
    let output = files.command(db, &["doctor", "--json"]).envs(settings.iter().copied()).output();
    let told: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let of_citus = |found: &&Value| found["what"] == "citus";
    let tell =
        |found: &Value| ["severity", "key"].map(|name| found[name].as_str().unwrap()).join(" ");
    told.as_array().unwrap().iter().filter(of_citus).map(tell).collect()
}

#[tokio::test]
async fn doctor_says_what_tables_on_workers_need_and_the_templates_for_them_build_agents() {
    let server = Box::leak(Box::new(Server::start(&[]).await));
    let db = server.database().await;
    let admin = db.admin().await;
    let root = db.connect(SUPERUSER).await;
    root.batch_execute(SPREADING).await.unwrap();
    let spreading =
        Files::new(&[("0001_crm.sql", include_str!("../deploy/citus/templates/0001_crm.sql"))]);
    let local = Files::new(&[("0001_crm.sql", include_str!("../sql/agent/0001_crm.sql"))]);
    let check = [("PROVISIONER_REFERENCE", "check")];
    let unfit = [("PROVISIONER_REFERENCE", "foreign_key"), ("PROVISIONER_REALTIME", "orders")];
    assert_eq!(findings(&spreading, &db, &check), ["ok citus"]);
    root.batch_execute(INSTALLED).await.unwrap();
    assert_eq!(findings(&local, &db, &unfit), ["ok citus"]);
    let wanting = ["failure citus/roles", "warning citus/triggers"];
    assert_eq!(findings(&spreading, &db, &check), wanting);
    root.batch_execute(include_str!("../deploy/citus/setup.sql")).await.unwrap();
    assert_eq!(findings(&spreading, &db, &check), ["ok citus"]);
    let settings = ["failure citus/reference", "warning citus/realtime"];
    assert_eq!(findings(&spreading, &db, &unfit), settings);
    let _service = spreading.service(&db, &[("REFERENCE", "check")]).await;
    admin.populate().await;
    admin.settled().await;
    admin.fill(&["agt_ada"]).await;
    for (caller, rows) in [(ADA, "1"), (BEN, "0"), (CAT, "0"), (BOSS, "1")] {
        let begin = format!("{}; select public.pre_request()", caller.begin());
        let seen = admin.attempt(&begin, "select count(*) from public.agt_ada_customers").await;
        assert_eq!(seen.unwrap().rows, [rows], "{}", caller.name);
    }
    let unasked = admin.ask(&ADA, "select count(*) from public.agt_ada_customers").await;
    assert_eq!(unasked.unwrap().rows, ["0"]);
}
