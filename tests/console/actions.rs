//! What an operator's buttons do, over the socket.

use super::{Site, field};
use crate::support::{Admin, Database, ask, expect};

/// Dead provisions of `agt_1`, `agt_2`, …: tables that belong to nobody are in the way.
pub async fn dead(db: &Database, agents: u32) -> Admin {
    let admin = db.admin().await;
    for n in 1..=agents {
        admin.run(&format!("create table public.agt_{n}_orders ()")).await;
        admin.create(&format!("agt_{n}")).await;
    }
    admin
}

const DEAD: &str = "select count(*) = $1 from provisioning.jobs where state = 'dead'";

async fn all_dead(admin: &Admin, number: u32) {
    admin.holds(&DEAD.replace("$1", &number.to_string())).await;
}

#[tokio::test]
async fn a_replay_is_shown_first_and_recorded_with_who_and_why() {
    let db = Database::new().await;
    let admin = dead(&db, 1).await;
    let site = Site::new(&db, &[]).await;
    all_dead(&admin, 1).await;
    let id: i64 = admin.one("select id from provisioning.jobs").await;
    let job = site.get(&format!("/jobs/{id}"));
    assert!(job.body.contains("relation_in_the_way"), "{}", job.body);
    // The same statement that the command prints.
    let way_out = "alter table public.agt_1_orders rename to agt_1_orders_old;";
    assert!(job.body.contains(way_out), "{}", job.body);
    assert!(job.body.contains("act?action=replay&amp;id=1"), "{}", job.body);
    let shown = site.get(&format!("/jobs/act?action=replay&id={id}"));
    assert!(
        shown.body.contains(&format!("agent-provisioner jobs replay {id} --reason")),
        "{}",
        shown.body
    );
    let shown = field(&shown.body, "shown").to_owned();
    admin.run("drop table public.agt_1_orders").await;
    let form = format!("action=replay&id={id}&shown={shown}");
    assert_eq!(site.post("/jobs/act", &form).status, 400); // it gives no reason
    assert_eq!(site.post("/jobs/act", &format!("{form}&reason=+")).status, 400);
    let long = "x".repeat(10_000);
    for (odd, named) in [
        ("a%E2%80%AEb", "U+202E"), // turns the line
        ("a%E2%80%8Bb", "U+200B"), // has no width
        ("a%1B%5B2Jb", "U+001B"),
        ("a%00%7Fb", "U+007F"),
        (&long, "10000"),
    ] {
        let refused = site.post("/jobs/act", &format!("{form}&reason={odd}"));
        assert!(refused.status == 400 && refused.body.contains(named), "{odd}: {}", refused.body);
    }
    let done = site.post("/jobs/act", &format!("{form}&reason=it+was%0D%0A%0D%0A%3Cb%3Efixed"));
    assert_eq!(done.status, 200, "{}", done.body);
    admin.settled().await;
    let by = "select state || ' ' || replayed_by || ': ' || replay_reason from provisioning.jobs";
    let by: String = admin.one(by).await;
    let user =
        String::from_utf8(std::process::Command::new("id").arg("-un").output().unwrap().stdout);
    let user = user.unwrap();
    assert_eq!(by, format!("succeeded agent_console (os user {}): it was <b>fixed", user.trim()));
    // The same form again finds no job as it was shown.
    let again = site.post("/jobs/act", &format!("{form}&reason=again"));
    assert!(again.status == 200 && again.body.contains("0 done"), "{}", again.body);
    assert_eq!(
        admin.one::<String>("select replay_reason from provisioning.jobs").await,
        "it was <b>fixed"
    );
    assert!(site.get(&format!("/jobs/{id}")).body.contains("it was &lt;b&gt;fixed"));
    // What other ways have stored is shown, and acts on nothing.
    admin.run("update provisioning.jobs set replay_reason = U&'a\\202Eb' || chr(7)").await;
    let page = site.get(&format!("/jobs/{id}")).body;
    assert!(page.contains("a\\u{202e}b\\u{7}") && !page.contains('\u{202e}'), "{page}");
}

#[tokio::test]
async fn all_that_match_are_exactly_those_that_were_shown() {
    let db = Database::new().await;
    let admin = dead(&db, 3).await;
    let site = Site::new(&db, &[]).await;
    all_dead(&admin, 3).await;
    let address = "/jobs/act?action=cancel&all=1&state=dead&prefix=agt_*";
    let page = site.get(address);
    let shown = field(&page.body, "shown").to_owned();
    let form = format!("action=cancel&all=1&state=dead&prefix=agt_*&reason=x&shown={shown}");
    // One more since then, one that somebody has tried again, and one that somebody has cancelled.
    admin.run("create table public.agt_4_orders ()").await;
    admin.create("agt_4").await;
    all_dead(&admin, 4).await;
    expect(&ask(&db.url(crate::support::ADMIN), &["jobs", "cancel", "1"]).await, 0, &[]);
    admin.run("update provisioning.jobs set attempts = attempts + 1 where id = 2").await;
    let done = site.post("/jobs/act", &form);
    assert_eq!(done.status, 200, "{}", done.body);
    assert!(done.body.contains("Cancel: 1 done"), "{}", done.body);
    assert!(done.body.contains("it has changed since it was shown"), "{}", done.body);
    let states = "select string_agg(state, ' ' order by id) from provisioning.jobs";
    assert_eq!(admin.rows(states).await, ["cancelled dead cancelled dead"]);
    let cancelled = "select count(*) from provisioning.jobs where state = 'cancelled' and outcome ~ 'agent_console .os user .*: x'";
    assert_eq!(admin.one::<i64>(cancelled).await, 1);
    // What the action is not for, and what says nothing.
    for forged in
        ["3.paused.0", "3.cancelled.1", "x", "3", "3.dead", "3.dead.x", "all-1", "all-1-x"]
    {
        let form = format!("action=cancel&id=3&reason=x&shown={forged}");
        assert_eq!(site.post("/jobs/act", &form).status, 409, "{forged}");
    }
    // Neither a box nor all: nothing.
    assert_eq!(site.post("/jobs/act", "action=cancel&reason=x&shown=0-").status, 400);
    assert_eq!(site.post("/jobs/act", "action=drop&all=1&reason=x&shown=0-").status, 400);
}

/// Too many for a form to say what was shown of each.
#[tokio::test]
async fn very_many_jobs_are_all_done_or_none_of_them() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let site = Site::new(&db, &[]).await;
    admin
        .run(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix, state, attempts, finished_at, last_error)
             select 'repair', n, 'agt_' || n, 'dead', 10, now(), 'x' from generate_series(1, 2001) n",
        )
        .await;
    let form = || {
        let page = site.get("/jobs/act?action=cancel&all=1&state=dead").body;
        let shown = field(&page, "shown");
        assert!(shown.starts_with("all-2001-"), "{shown}");
        format!("action=cancel&all=1&state=dead&reason=x&shown={shown}")
    };
    let before = form();
    admin.run("update provisioning.jobs set attempts = 11 where id = 2000").await;
    let refused = site.post("/jobs/act", &before);
    assert!(refused.status == 409 && !refused.body.contains("2001 of 2001"), "{}", refused.body);
    assert_eq!(site.post("/jobs/act", &form()).status, 200);
    let cancelled = "select count(*) from provisioning.jobs where state = 'cancelled'";
    assert_eq!(admin.one::<i64>(cancelled).await, 2001);
}

#[tokio::test]
async fn of_the_chosen_jobs_those_in_another_state_are_skipped() {
    let db = Database::new().await;
    let admin = dead(&db, 2).await;
    let site = Site::new(&db, &[]).await;
    all_dead(&admin, 2).await;
    expect(&ask(&db.url(crate::support::ADMIN), &["jobs", "cancel", "1"]).await, 0, &[]);
    let page = site.get("/jobs/act?action=replay&id=1&id=2&id=99");
    assert!(page.body.contains("Skipped: job 1, 99"), "{}", page.body);
    let shown = field(&page.body, "shown").to_owned();
    assert!(shown.starts_with("2.dead."), "{shown}");
    admin.run("drop table public.agt_2_orders").await;
    let done =
        site.post("/jobs/act", &format!("action=replay&id=1&id=2&id=99&reason=x&shown={shown}"));
    assert_eq!(done.status, 200, "{}", done.body);
    assert!(done.body.contains("Skipped: job 1, 99"), "{}", done.body);
    admin.settled().await;
    let states = admin.rows("select id, state from provisioning.jobs order by id").await;
    assert_eq!(states, ["1|cancelled", "2|succeeded"]);
}

#[tokio::test]
async fn a_paused_deletion_is_approved_or_refused_and_never_by_a_replay() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let site = Site::new(&db, &[("DEPROVISION__MAX_PER_HOUR", "0")]).await;
    admin.create("agt_1").await;
    admin.create("agt_2").await;
    admin.settled().await;
    admin.run("select public.delete_agent(n) from generate_series(1, 2) n").await;
    let paused = "select count(*) = 2 from provisioning.jobs where state = 'paused'";
    admin.holds(paused).await;
    let page = site.get("/jobs/3").body;
    for (action, offered) in
        [("approve", true), ("refuse", true), ("replay", false), ("cancel", false)]
    {
        assert_eq!(page.contains(&format!("action={action}")), offered, "{action}");
    }
    assert_eq!(site.get("/jobs/act?action=replay&id=3&state=paused").status, 400);
    let shown = |action: &str, id: i64| {
        let page = site.get(&format!("/jobs/act?action={action}&id={id}"));
        format!("action={action}&id={id}&reason=asked&shown={}", field(&page.body, "shown"))
    };
    let forged = shown("approve", 3).replace("action=approve", "action=replay");
    assert_eq!(site.post("/jobs/act", &forged).status, 409);
    assert_eq!(site.post("/jobs/act", &shown("approve", 3)).status, 200);
    assert_eq!(site.post("/jobs/act", &shown("refuse", 4)).status, 200);
    admin.settled().await;
    let states = admin
        .rows(
            "select id, state, deletion_confirmed from provisioning.jobs where id > 2 order by id",
        )
        .await;
    assert_eq!(states, ["3|succeeded|t", "4|cancelled|f"]);
    assert!(admin.tables("agt_1").await.is_empty() && admin.tables("agt_2").await.len() == 4);
}

#[tokio::test]
async fn a_job_that_waits_is_tried_now() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let site = Site::new(&db, &[]).await;
    admin.run("insert into provisioning.jobs (kind, agent_id, agent_prefix, run_at) values ('repair', 1, 'agt_1', now() + interval '1 day')").await;
    let page = site.get("/jobs/act?action=retry&id=1");
    let form = format!("action=retry&id=1&reason=x&shown={}", field(&page.body, "shown"));
    assert_eq!(site.post("/jobs/act", &form).status, 200);
    admin.settled().await;
}

/// A command that means more than the button, or more jobs than were shown, is worse than none.
#[tokio::test]
async fn a_command_is_printed_only_where_it_does_the_same() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let site = Site::new(&db, &[]).await;
    admin
        .run(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix, state, attempts, finished_at, last_error)
             select case n when 1 then 'deprovision' else 'repair' end, n, 'dd_' || n, 'dead', 10, now(), 'x'
             from generate_series(1, 60) n",
        )
        .await;
    let ids = |of: std::ops::RangeInclusive<i64>| {
        let of: Vec<_> = of.map(|id| format!("&id={id}")).collect();
        of.concat()
    };
    for (action, jobs, printed) in [
        ("replay", ids(1..=1), false), // named to the command, a deletion is approved
        ("replay", ids(2..=2), true),
        ("cancel", ids(1..=1), true),
        ("cancel", ids(1..=55), false), // by the states it would mean all sixty
        ("cancel", "&all=1&state=dead".to_owned(), true),
    ] {
        let page = site.get(&format!("/jobs/act?action={action}{jobs}"));
        assert_eq!(page.status, 200, "{action} {jobs}");
        let command = page.body.contains("agent-provisioner jobs ");
        assert_eq!(command, printed, "{action} {jobs}: {}", page.body);
    }
    // What means nothing is refused, and not left out.
    for query in ["id=99999999999999999999", "since=1000000000y", "state=gone", "kind=x"] {
        assert_eq!(site.get(&format!("/jobs?{query}")).status, 400, "{query}");
        assert_eq!(site.get(&format!("/jobs/act?action=cancel&all=1&{query}")).status, 400);
    }
    for path in ["/jobs?prefix=%00", "/jobs?text=a%00b", "/agents?page=18446744073709551615"] {
        assert_eq!(site.get(path).status, 200, "{path}");
    }
    for path in ["/agents/*", "/agents/%00", "/agents/a%00b/sql"] {
        assert_eq!(site.get(path).status, 404, "{path}");
    }
    assert_eq!(site.get("/events?part=tiles&part=x").status, 400);
}

/// Failed attempts are counted anew by a replay: as many as before are no sign that nothing has happened.
#[tokio::test]
async fn a_form_is_stale_once_its_job_was_tried_again() {
    let db = Database::new().await;
    let admin = dead(&db, 1).await;
    let site = Site::new(&db, &[]).await;
    all_dead(&admin, 1).await;
    let page = site.get("/jobs/act?action=replay&id=1").body;
    let form = format!("action=replay&id=1&reason=x&shown={}", field(&page, "shown"));
    assert!(site.post("/jobs/act", &form).body.contains("1 done"));
    let again = "select count(*) = 2 from provisioning.attempts";
    admin.holds(again).await;
    all_dead(&admin, 1).await;
    let stale = site.post("/jobs/act", &form);
    assert!(stale.status == 200 && stale.body.contains("0 done"), "{}", stale.body);
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.attempts").await, 2);
    // The timeline has it in its order: the second attempt comes after the replay, which is told with its reason.
    let page = site.get("/jobs/1").body;
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}: {page}"));
    let order = [at("attempt 1"), at("<td>replay</td>"), at("attempt 2")];
    assert!(order.is_sorted(), "{order:?}: {page}");
}
