//! The trash in the console: what it holds, and commands that work as they are printed.

use super::Site;
use crate::support::{ADMIN, Admin, CONSOLE, Database, WORKER, ask, expect};
use crate::trash::{CHECKED, KEPT, KEYED, contents, crm};

/// The words of the first command of this kind that a page prints, after the program's name.
fn command(page: &str, verb: &str) -> Vec<String> {
    let line = page.split(&format!("agent-provisioner {verb}")).nth(1).unwrap();
    let rest = line.split('<').next().unwrap();
    format!("{verb}{rest}").split(' ').map(str::to_owned).collect()
}

#[tokio::test]
async fn what_is_in_the_trash_comes_back_or_goes_by_the_command_that_is_printed() {
    let (db, admin, service) = crm(CHECKED).await;
    drop(service);
    let site = Site::new(&db, &[CHECKED, KEPT]).await;
    assert!(site.get("/trash").body.contains("The trash is empty"));
    admin.run("select public.delete_agent(id) from public.agents where agent_prefix in ('agt_ada', 'agt_ben')").await;
    admin.settled().await;
    let user: String = admin
        .one("select user_id::text from provisioning.trash where agent_prefix = 'agt_ada'")
        .await;
    let page = site.get("/trash?prefix=ada").body;
    assert!(page.contains(&user) && page.contains("1 of 2 deleted agents"), "{page}");
    assert!(!page.contains("agt_ben") && !page.contains("held;"), "{page}");
    let until = "select to_char(purge_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') from provisioning.trash
        where agent_prefix = 'agt_ada'";
    assert!(page.contains(&admin.one::<String>(until).await), "{page}");
    let run = async |words: Vec<String>| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        expect(&ask(&db.url(ADMIN), &words).await, 0, &[]);
    };
    run(command(&page, "agents restore")).await;
    assert_eq!(admin.tables("agt_ada").await.len(), 4);
    admin.run("insert into provisioning.purge_holds (clock_moved) values ('2 hours')").await;
    let page = site.get("/trash?prefix=agt_ben").body;
    crate::support::until("the hold to be seen", || async {
        site.get("/trash").body.contains("held;").then_some(())
    })
    .await;
    run(command(&page, "agents purge --item")).await;
    assert!(site.get("/trash").body.contains("The trash is empty"));
}

const RESTORES: &str = "select state, outcome, requested_by ~ '^agent_console [(]os user '
    from provisioning.jobs where kind = 'restore' order by id";

/// As the database's and the worker's roles would have to be: neither does what only an operator asks for.
async fn refuses(db: &Database, role: &str, call: &str) {
    let client = db.connect(role).await;
    let error = client.batch_execute(call).await.unwrap_err();
    let code = error.code().map(tokio_postgres::error::SqlState::code);
    assert_eq!(code, Some("42501"), "{role}: {call}: {error}");
}

/// Neither role does by itself what an operator asks for.
async fn refuses_past_the_console(db: &Database) {
    for call in ["request_restore(1, 'x', 'x')", "request_purge(1, 'x', 'x')", "take_from_trash(1)"]
    {
        refuses(db, WORKER, &format!("select provisioning.{call}")).await;
    }
    refuses(db, CONSOLE, "select provisioning.restore_item(1)").await;
    refuses(db, CONSOLE, "select provisioning.take_from_trash(1)").await;
}

/// Who has the prefix by now keeps it, and the trash what it has: before the job is queued, and after.
async fn stays_where_another_has_its_prefix(admin: &Admin, site: &Site, ben: &str) {
    admin.create("agt_ben").await;
    admin.settled().await;
    let refused = site.post("/trash/act", &format!("action=restore&item={ben}&reason=x"));
    assert!(refused.status == 409 && refused.body.contains("agt_ben now"), "{}", refused.body);
    let late = format!(
        "insert into provisioning.jobs (kind, agent_id, agent_prefix, trash_item)
         select 'restore', agent_id, agent_prefix, id from provisioning.trash where id = {ben};
         notify agent_provisioning"
    );
    admin.run(&late).await;
    admin
        .holds(
            "select count(*) = 1 from provisioning.jobs where kind = 'restore' and state = 'dead'",
        )
        .await;
}

#[tokio::test]
async fn an_agent_comes_back_by_a_job_and_another_goes_for_good() {
    let (db, admin, service) = crm(KEYED).await;
    drop(service);
    let often = ("WORKER__RECONCILE_INTERVAL", "500ms");
    let site = Site::new(&db, &[KEYED, KEPT, often]).await;
    let before = contents(&admin, "agt_ada").await;
    let keys = "select count(*) from pg_constraint k join pg_class c on c.oid = k.conrelid
        where k.contype = 'f' and k.convalidated and c.relname ~ '^agt_ada_'";
    let keyed: i64 = admin.one(keys).await;
    admin.run("select public.delete_agent(id) from public.agents where agent_prefix in ('agt_ada', 'agt_ben')").await;
    admin.settled().await;
    let items = "select agent_prefix, id from provisioning.trash order by agent_prefix";
    let items = admin.rows(items).await;
    let item = |at: usize| items[at].split('|').nth(1).unwrap().to_owned();
    let (ada, ben) = (item(0), item(1));

    let page = site.get("/trash?prefix=ada").body;
    assert!(page.contains(&format!("trash/act?action=restore&amp;item={ada}")), "{page}");
    let page = site.get(&format!("/trash/act?action=restore&item={ada}"));
    let command = format!("agent-provisioner agents restore agt_ada --item {ada}");
    assert!(page.status == 200 && page.body.contains(&command), "{}", page.body);
    let form = format!("action=restore&item={ada}");
    assert_eq!(site.post("/trash/act", &form).status, 400); // it gives no reason
    assert_eq!(site.post("/trash/act", "action=drop&item=1&reason=x").status, 400);
    assert_eq!(site.post("/trash/act", "action=restore&item=999&reason=x").status, 404);
    assert_eq!(site.post("/trash/act", &format!("{form}&reason=too+%3Cb%3Esoon")).status, 200);
    admin.holds("select count(*) = 1 from public.agents where agent_prefix = 'agt_ada'").await;
    admin.settled().await;
    assert_eq!(admin.rows(RESTORES).await, ["succeeded|restored|t"]);
    assert_eq!(contents(&admin, "agt_ada").await, before);
    assert_eq!(admin.one::<i64>(keys).await, keyed);
    let off = "select removed_keys::text from provisioning.agents where agent_prefix = 'agt_ada'";
    assert_eq!(admin.one::<String>(off).await, "[]");
    let job: i64 = admin.one("select id from provisioning.jobs where kind = 'restore'").await;
    let page = site.get(&format!("/jobs/{job}")).body;
    assert!(page.contains("too &lt;b&gt;soon"), "{page}");

    stays_where_another_has_its_prefix(&admin, &site, &ben).await;
    assert_eq!(site.get("/trash?prefix=ben").status, 200);
    let there = "select count(*) from provisioning.trash";
    assert_eq!(admin.one::<i64>(there).await, 1);
    assert_eq!(admin.tables("agt_ben").await.len(), 4);

    // A purge is typed, and neither role asks for it or for a restore past the console.
    let form = format!("action=purge&item={ben}&reason=asked+to");
    assert_eq!(site.post("/trash/act", &form).status, 400);
    assert_eq!(site.post("/trash/act", &format!("{form}&prefix=agt_ada")).status, 400);
    refuses_past_the_console(&db).await;
    admin.run("insert into provisioning.actions (done_by, action) select 'x', 'purge' from generate_series(1, 10)").await;
    let form = format!("{form}&prefix=agt_ben");
    assert_eq!(site.post("/trash/act", &form).status, 409);
    admin.run("update provisioning.actions set done_at = now() - interval '2 hours' where done_by = 'x'").await;
    assert_eq!(site.post("/trash/act", &form).status, 200);
    admin.holds("select count(*) = 0 from provisioning.trash").await;
    let noted = "select action, reason from provisioning.actions where done_by <> 'x' order by id";
    let purge = format!("purge|item {ben}: asked to");
    assert_eq!(admin.rows(noted).await, ["restore|too <b>soon", purge.as_str()]);
}
