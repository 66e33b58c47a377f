//! What the service does differently where the extension Citus is installed. No package brings Citus, so its row in the catalog stands
//! for it.

use agent_provisioner::dev_server::SUPERUSER;

use crate::support::Database;

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
