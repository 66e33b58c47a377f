//! What a person does in a browser.

use super::actions::dead;
use super::drift::{compared, drifted};
use super::{Site, field};
use crate::rollouts::{PATIENT, fleet};
use crate::support::{Browser, Database, axe, have};

const TOOLS: [&str; 2] = ["chromium", "chromedriver"];

/// All there are, and one that is not there.
const PAGES: [&str; 14] = [
    "",
    "jobs",
    "jobs/1",
    "jobs/act?action=replay&id=1",
    "agents",
    "agents/agt_0123456789abcdef",
    "rollouts",
    "trash",
    "drift",
    "doctor",
    "businesses",
    "businesses/00000000-0000-0000-0000-000000000001",
    "activity",
    "nowhere",
];

#[tokio::test]
async fn a_dead_job_is_replayed_to_its_end_and_the_pages_follow() {
    if !have(&TOOLS) {
        return;
    }
    let db = Database::new().await;
    let admin = dead(&db, 1).await;
    let site = Site::new(&db, &[]).await;
    let browser = Browser::new().await;
    let home = format!("http://{}/", site.address);
    browser.go(&home).await;
    // Without loading it again: an agent comes, and the page tells.
    browser.shows("[data-live]", "Live").await;
    browser.shows("[data-part=tiles]", "dead").await;
    admin.create("agt_9").await;
    browser.shows("[data-part=tiles]", "1 agents built").await;
    browser.click("[data-live] button").await;
    browser.shows("[data-live]", "Paused").await;

    browser.go(&format!("{home}jobs/1")).await;
    browser.shows("h1", "dead").await;
    browser.click("a.button[href*=replay]").await;
    browser.shows("h1", "Replay: 1 job").await;
    admin.run("drop table public.agt_1_orders").await;
    // An open form stays as it is, whatever goes on.
    browser.fill("#reason", "the table is gone").await;
    admin.create("agt_10").await;
    admin.settled().await;
    assert_eq!(browser.value("document.querySelector('#reason').value").await, "the table is gone");
    browser.click("button.main").await;
    browser.shows("h1", "1 done").await;
    browser.go(&format!("{home}jobs/1")).await;
    browser.shows("h1", "succeeded").await;
    admin.settled().await;
    assert_eq!(
        admin.rows("select replay_reason from provisioning.jobs where id = 1").await,
        ["the table is gone"]
    );
}

/// Nobody loads the page again: a rollout begins, is paused and ends.
#[tokio::test]
async fn the_page_of_rollouts_follows_what_others_do() {
    if !have(&TOOLS) {
        return;
    }
    let (db, _admin, files) = fleet(&["agt_a", "agt_b"]).await;
    let holder = db.admin().await;
    holder.run("begin; lock table public.agt_a_customers in access share mode").await;
    let settings = [PATIENT, ("WORKER__CONCURRENCY", "1"), ("TEMPLATES", files.path())];
    let site = Site::new(&db, &settings).await;
    let browser = Browser::new().await;
    browser.go(&format!("http://{}/rollouts", site.address)).await;
    browser.shows("[data-part=rollouts]", "No rollouts").await;
    browser.shows("[data-part=start]", "Start a rollout").await;
    browser.shows("[data-live]", "Live").await;
    let shown = site.get("/rollouts/act?action=start&canary=1").body;
    let start = format!("action=start&canary=1&reason=x&shown={}", field(&shown, "shown"));
    assert_eq!(site.post("/rollouts/act", &start).status, 200);
    browser.shows("[data-part=rollout]", "0 of 2 done, 0 failed, 2 left").await;
    browser.shows("[data-part=rollouts]", "running").await;
    let pause = "action=pause&id=1&reason=x";
    assert_eq!(site.post("/rollouts/act", pause).status, 200);
    browser.shows("[data-part=rollout]", "Resume").await;
    assert_eq!(site.post("/rollouts/act", &pause.replace("pause", "resume")).status, 200);
    holder.run("commit").await;
    browser.shows("[data-part=rollout]", "2 of 2 done").await;
}

#[tokio::test]
async fn the_page_of_drift_tells_that_its_number_has_changed() {
    if !have(&TOOLS) {
        return;
    }
    let db = Database::new().await;
    let admin = db.admin().await;
    let site = Site::new(&db, &[]).await;
    admin.create("agt_a").await;
    admin.settled().await;
    let browser = Browser::new().await;
    browser.go(&format!("http://{}/drift", site.address)).await;
    browser.shows("[data-part=drifted]", "0 agents").await;
    browser.shows("[data-live]", "Live").await;
    admin.run("drop index public.agt_a_customers_phone_idx").await;
    compared(&db).await;
    browser.shows("[data-part=drifted]", "1 agent differed").await;
    browser.shows("[data-changed]", "Load the page again").await;
}

/// Also of an old job on a late page, and what changed while nobody followed.
#[tokio::test]
async fn a_page_follows_exactly_the_jobs_that_it_shows() {
    if !have(&TOOLS) {
        return;
    }
    let db = Database::new().await;
    let admin = db.admin().await;
    let site = Site::new(&db, &[]).await;
    admin
        .run(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix, state, attempts, finished_at, last_error)
             select 'repair', n, 'dd_' || n, 'dead', 10, now(), 'x' from generate_series(1, 700) n",
        )
        .await;
    let browser = Browser::new().await;
    browser.go(&format!("http://{}/jobs?before=41", site.address)).await;
    browser.shows("[data-live]", "Live").await;
    let change = "update provisioning.jobs set state = 'cancelled', outcome = 'x' where id = ";
    admin.run(&format!("{change} 7")).await;
    browser.shows("[data-job='7']", "cancelled").await;
    browser.click("[data-live] button").await;
    browser.shows("[data-live]", "Paused").await;
    // Finished long ago, when it is followed again.
    admin
        .run(&format!(
            "{change} 8; update provisioning.jobs set finished_at = '2000-01-01' where id = 8"
        ))
        .await;
    assert_eq!(browser.text("[data-job='8']").await, "dead");
    browser.click("[data-live] button").await;
    browser.shows("[data-job='8']", "cancelled").await;
    assert_eq!(browser.text("[data-job='9']").await, "dead");
}

#[tokio::test]
async fn without_scripts_a_paused_deletion_is_approved() {
    if !have(&TOOLS) {
        return;
    }
    let db = Database::new().await;
    let admin = db.admin().await;
    let site = Site::new(&db, &[("DEPROVISION__MAX_PER_HOUR", "0")]).await;
    admin.create("agt_1").await;
    admin.settled().await;
    admin.run("select public.delete_agent(1)").await;
    admin.holds("select exists (select from provisioning.jobs where state = 'paused')").await;
    let browser = Browser::without_scripts().await;
    browser.go(&format!("http://{}/jobs?state=paused", site.address)).await;
    assert_eq!(browser.text("[data-live]").await, ""); // it is the script's
    browser.click("input[name=id]").await;
    browser.click("button[value=approve]").await;
    browser.shows("h1", "Approve deletion: 1 job").await;
    browser.fill("#reason", "asked for").await;
    browser.click("button.main").await;
    browser.shows("h1", "1 done").await;
    admin.settled().await;
    assert!(admin.tables("agt_1").await.is_empty());
}

#[tokio::test]
async fn a_rollout_is_paused_and_resumed() {
    if !have(&TOOLS) {
        return;
    }
    let (db, admin, files) = fleet(&["agt_a", "agt_b"]).await;
    let holder = db.admin().await;
    holder.run("begin; lock table public.agt_a_customers in access share mode").await;
    let site = Site::new(&db, &[PATIENT, ("TEMPLATES", files.path())]).await;
    let browser = Browser::new().await;
    browser.go(&format!("http://{}/rollouts", site.address)).await;
    browser.fill("[name=canary]", "1").await;
    browser.click("form.filters button").await;
    browser.shows("h1", "Start a rollout: 2 agents").await;
    browser.fill("#reason", "release 7").await;
    browser.click("button.main").await;
    browser.shows("h1", "Rollout 1 started").await;
    admin.held_up("agt_a").await;
    browser.click("main a[href='../rollouts']").await;
    browser.shows("h2", "Rollout 1: running").await;
    browser.shows("main", "0 of 2 done, 0 failed, 2 left").await;
    browser.click("a.button[href*=pause]").await;
    browser.shows("h1", "Pause rollout 1").await;
    browser.fill("#reason", "lunch").await;
    browser.click("button.main").await;
    browser.shows("h1", "Rollout 1 is paused").await;
    browser.click("main a[href='../rollouts']").await;
    browser.shows("h2", "Rollout 1: paused").await;
    browser.shows("main", "lunch").await;
    browser.click("a.button[href*=resume]").await;
    browser.fill("#reason", "back").await;
    browser.click("button.main").await;
    browser.shows("h1", "Rollout 1 is running").await;
    holder.run("commit").await;
    admin.holds("select state = 'done' from provisioning.rollouts").await;
    browser.go(&format!("http://{}/rollouts", site.address)).await;
    browser.shows("main", "2 of 2 done").await;
}

#[tokio::test]
async fn drift_is_previewed_and_repaired() {
    if !have(&TOOLS) {
        return;
    }
    let (_db, admin, site) = drifted(&[]).await;
    let browser = Browser::new().await;
    browser.go(&format!("http://{}/drift", site.address)).await;
    browser.shows("summary", "{prefix}_customers_phone_idx: 2 agents").await;
    browser.click("summary").await;
    browser.click("input[value=agt_b]").await;
    browser.click("details button").await;
    browser.shows("h1", "Repair: 1 agent").await;
    browser.shows("main pre", "agt_b_customers_phone_idx").await;
    browser.fill("#reason", "lost in a migration").await;
    browser.click("button.main").await;
    browser.shows("h1", "Repair: 1 queued").await;
    admin.settled().await;
    browser.click("main li a").await;
    browser.shows("h1", "repair of agt_b, succeeded").await;
    browser.go(&format!("http://{}/drift", site.address)).await;
    browser.shows("summary", "{prefix}_customers_phone_idx: 1 agent").await;
}

#[tokio::test]
async fn no_page_is_wider_than_a_small_telephone() {
    if !have(&TOOLS) {
        return;
    }
    let db = Database::new().await;
    let admin = dead(&db, 1).await;
    let site = Site::new(&db, &[]).await;
    admin.create("agt_0123456789abcdef").await;
    admin.settled().await;
    let browser = Browser::small().await;
    for path in PAGES {
        browser.go(&format!("http://{}/{path}", site.address)).await;
        assert_eq!(browser.value("innerWidth").await, 360);
        assert!(browser.overhang().await <= 0, "{path}");
        // Everything that can be clicked can be reached by keyboard, and says what it is.
        assert_eq!(browser.nameless().await, 0, "{path}");
    }
}

/// Barriers that are serious or critical, by axe-core, in light and in dark.
#[tokio::test]
async fn no_page_has_a_serious_barrier() {
    let Some(axe) = axe().filter(|_| have(&TOOLS)) else { return };
    let db = Database::new().await;
    let admin = dead(&db, 1).await;
    let site = Site::new(&db, &[]).await;
    admin.create("agt_0123456789abcdef").await;
    admin.settled().await;
    for browser in [Browser::new().await, Browser::dark().await] {
        for path in PAGES {
            browser.go(&format!("http://{}/{path}", site.address)).await;
            assert_eq!(browser.barriers(&axe).await, serde_json::json!([]), "{path}");
        }
        // It finds what there is to find.
        let blind =
            "document.querySelector('main').innerHTML = '<img src=\"data:,\"><button></button>'";
        browser.value(&format!("({blind})")).await;
        let found = browser.barriers(&axe).await.to_string();
        assert!(found.contains("image-alt") && found.contains("button-name"), "{found}");
    }
}

/// Where README shows it.
const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/console.png");

/// With `WRITE_PICTURE=1` it makes the picture anew.
#[tokio::test]
async fn the_picture_for_readers_is_one_of_the_console() {
    if !have(&TOOLS) {
        return;
    }
    let db = Database::new().await;
    let admin = dead(&db, 1).await;
    let site = Site::new(&db, &[]).await;
    for agent in ["barber", "bakery", "florist", "agt_6f78"] {
        admin.create(agent).await;
    }
    admin.settled().await;
    let browser = Browser::new().await;
    browser.go(&format!("http://{}/", site.address)).await;
    browser.shows("[data-live]", "Live").await;
    browser.shows("[data-part=tiles]", "4 agents built").await;
    let picture = browser.picture().await;
    if std::env::var_os("WRITE_PICTURE").is_some() {
        std::fs::write(PICTURE, &picture).unwrap();
    }
    let kept = std::fs::read(PICTURE).unwrap();
    // Width and height stand behind the name of the format.
    let dimensions = |png: &[u8]| png.get(16..24).map(<[u8]>::to_vec);
    assert!(kept.starts_with(b"\x89PNG") && kept.len() <= 200 * 1024, "{}", kept.len());
    assert_eq!(dimensions(&kept), dimensions(&picture));
}
