//! The trash in the console: what it holds, and commands that work as they are printed.

use super::Site;
use crate::support::{ADMIN, ask, expect};
use crate::trash::{CHECKED, KEPT, crm};

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
