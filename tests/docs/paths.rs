//! What the documents tell somebody to do, done.

use std::process::Command;

use agent_provisioner::dev_server::SUPERUSER;

use super::database::statements;
use super::{markdown::code, read};
use crate::support::{ADMIN, Database, ask, expect, pg_dump_can, said, sound};

#[tokio::test]
async fn uninstalling_leaves_nothing() {
    let text = read("docs/install.md");
    let (_, steps) = text.split_once("\n## Uninstall\n").unwrap();
    let sql = statements(steps);
    let [delete, drop_schema, ..] = sql.as_slice() else { unreachable!("{sql:?}") };
    let commands = code(steps)
        .into_iter()
        .filter_map(|line| line.strip_prefix("agent-provisioner ").map(str::to_owned));
    let commands: Vec<String> = commands.collect();
    let [purge, down] = commands.as_slice() else { unreachable!("{commands:?}") };

    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    admin.create("agt_6f78").await;
    admin.settled().await;
    admin.run(delete).await;
    admin.settled().await;
    for command in [purge, down] {
        let args: Vec<&str> = command.split(' ').collect();
        expect(&ask(&db.url(ADMIN), &args).await, 0, &[]);
    }
    drop(service);
    admin.run(drop_schema).await;
    let left = "select oid::regclass::text from pg_class where relnamespace = 'public'::regnamespace
        union all select oid::regprocedure::text from pg_proc where pronamespace = 'public'::regnamespace
        union all select nspname from pg_namespace where nspname ~ '^provisioning'
        union all select tgname from pg_trigger where tgrelid = 'auth.users'::regclass and not tgisinternal";
    assert_eq!(admin.rows(left).await, [""; 0]);
}

/// docs/moving.md, and docs/limits.md.
#[tokio::test]
async fn an_application_that_moves_meets_what_it_was_told() {
    assert!(
        read("docs/moving.md").contains("`insert into users` after `createUser`** fails (23505)")
    );
    assert!(read("docs/limits.md").contains("has 32 relations: 4 tables, 16 indexes, 4 sequences"));
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    admin.populate().await;
    admin.settled().await;
    drop(service);
    let id = "00000000-0000-0000-0000-000000000001";
    let both = format!(
        "insert into auth.users (id, email) values ('{id}', 'eve@example.com');
         insert into public.users (id, name, email) values ('{id}', 'Eve', 'eve@example.com')"
    );
    assert_eq!(admin.answer(&both).await.unwrap_err().code().code(), "23505");
    let relations = "with tables as (select relation::oid as oid from provisioning.agent_tables where agent_id = 1),
        heaps as (
            select oid from tables
            union select c.reltoastrelid from pg_class c join tables using (oid) where c.reltoastrelid <> 0)
        select relkind::text || ' ' || count(*) from pg_class
        where oid in (select oid from heaps)
           or oid in (select indexrelid from pg_index where indrelid in (select oid from heaps))
           or oid in (select pg_get_serial_sequence(oid::regclass::text, 'id')::regclass from tables)
        group by relkind order by relkind";
    assert_eq!(admin.rows(relations).await, ["S 4", "i 20", "r 4", "t 4"]);
}

/// Runs what docs/backup.md tells `postgres` to, and gives a database that is restored so.
async fn restored_by_postgres(db: &Database) -> Database {
    let copy = db.server.database().await;
    let empty = "drop schema public, provisioning, provisioning_trash, auth cascade;
                 create schema public authorization pg_database_owner; drop publication supabase_realtime";
    copy.connect(SUPERUSER).await.batch_execute(empty).await.unwrap();
    let text = read("docs/backup.md");
    let steps = code(&text);
    let commands =
        steps.iter().filter(|line| line.contains("backup.dump")).cloned().collect::<Vec<_>>();
    let directory = crate::support::temp_dir().join(format!("backup-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let mut shell = Command::new("bash");
    shell.args(["-ec", &commands.join("\n")]).current_dir(&directory);
    shell.env("DATABASE_URL", db.url(ADMIN)).env("TARGET_URL", copy.url(ADMIN));
    let done = shell.output().unwrap();
    std::fs::remove_dir_all(directory).unwrap();
    assert!(done.status.success() && commands.len() == 2, "{commands:?}: {}", said(&done));
    let block =
        steps.iter().skip_while(|line| *line != "do $$").take_while(|line| *line != "end $$;");
    let block = block.cloned().collect::<Vec<_>>().join("\n") + "\nend $$";
    copy.admin().await.run(&block).await;
    copy
}

#[tokio::test]
async fn a_backup_that_postgres_restores_has_agents_and_trash() {
    let db = Database::new().await;
    let admin = db.admin().await;
    if !pg_dump_can(&admin).await {
        return;
    }
    let service = db.service_with(&[("REFERENCE", "check")]).await;
    admin.create("agt_6f78").await;
    admin.create("agt_gone").await;
    admin.settled().await;
    admin.fill(&["agt_6f78", "agt_gone"]).await;
    admin.run("delete from public.agents where agent_prefix = 'agt_gone'").await;
    admin.settled().await;
    drop(service);
    let copy = restored_by_postgres(&db).await;
    let url = copy.url(ADMIN);
    sound(&ask(&url, &["agents", "verify", "--json"]).await, 1);
    expect(&ask(&url, &["agents", "restore", "agt_gone"]).await, 0, &["with 4 tables"]);
    let admin = copy.admin().await;
    let service = copy.service_with(&[("REFERENCE", "check")]).await;
    assert_eq!(admin.rows("select name from public.agt_gone_customers").await, ["Grace"]);
    admin.create("agt_new").await;
    admin.run("delete from public.agents where agent_prefix = 'agt_6f78'").await;
    admin.settled().await;
    drop(service);
    sound(&ask(&url, &["agents", "verify", "--json"]).await, 2);
    assert_eq!(admin.tables("agt_6f78").await, [""; 0]);
}
