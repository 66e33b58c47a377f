//! Moves that are broken off at each of their statements: by a kill, and by a crash of either server.

use std::env;

use agent_provisioner::dev_server::Stop as How;

use super::pair::{MESSAGE, Pair, can_write};
use crate::support::{ADA, ADMIN, Gates, Stop, ask, expect, findings, finish, said};

/// The steps at which a move is broken off, by what their statements begin with or have in them. `MOVE_STEPS=all` takes all.
const STEPS: [&str; 8] = [
    "insert into provisioning.moves",
    "provisioning.note_built",
    "in share row exclusive mode",
    "set state = 'copied'",
    "provisioning.hand_over",
    "rollback to savepoint rehearsal",
    "provisioning.take_over",
    "set state = 'done'",
];

/// The points at which to break off what has sent these statements.
fn points(seen: &[String]) -> Vec<Stop> {
    let all = env::var_os("MOVE_STEPS").is_some();
    let mut points = Vec::new();
    for (place, text) in seen.iter().enumerate() {
        let number = seen.iter().take(place + 1).filter(|one| one.ends_with(text)).count();
        if all || text == "COMMIT" || STEPS.iter().any(|step| text.contains(step)) {
            points.extend([false, true].map(|after| Stop { text: text.clone(), number, after }));
        }
    }
    points
}

/// At most one side takes writes. The source does, or has handed over.
async fn one_side(pair: &Pair, from: &str, to: &str, point: &Stop) -> bool {
    let (source, target) = (&pair.side(from).db.admin().await, &pair.side(to).db.admin().await);
    let there = can_write(target).await;
    let here = can_write(source).await;
    assert!(!(here && there), "both sides take writes: {point:?}");
    let last =
        "select direction || ' ' || state from provisioning.moves order by begun_at desc limit 1";
    let state = source.rows(last).await;
    let closed = state.iter().any(|state| state == "out handed_over" || state == "out done");
    assert_eq!(here, !closed, "{point:?}: {state:?}");
    here
}

/// The agent is on one side whole, with as many messages, and nothing of it is left on the other.
async fn whole(pair: &Pair, from: &str, to: &str, messages: i64, point: &Stop) {
    let (source, target) = (&pair.side(from).db.admin().await, &pair.side(to).db.admin().await);
    source.settled().await;
    target.settled().await;
    let count = "select count(*) from public.agt_ada_messages";
    assert_eq!(target.one::<i64>(count).await, messages, "{point:?}");
    assert_eq!(source.tables("agt_ada").await, [""; 0], "{point:?}");
    assert!(can_write(target).await, "{point:?}");
    for side in [source, target] {
        let open = "select count(*) from provisioning.moves where ended_at is null";
        assert_eq!(side.one::<i64>(open).await, 0, "{point:?}");
    }
}

#[tokio::test]
async fn killed_at_any_step_a_move_goes_on_and_one_side_serves() {
    let pair = Pair::new("reference = \"check\"").await;
    let gates = Gates::new(None);
    let [eu, us] = pair.urls();
    let urls = [gates.before(&eu).await, gates.before(&us).await];
    let first = finish(&mut pair.command_by(&urls, "eu", &["move", "agt_ada", "--to", "us"])).await;
    expect(&first, 0, &["moved"]);
    gates.end();
    let (mut from, mut to, mut messages, mut kept) = ("us", "eu", 1, 0);
    pair.eu.admin.settled().await;
    let points = points(&gates.seen());
    assert!(points.len() > 20, "{}", points.len());
    for point in &points {
        let gates = Gates::new(Some(point.clone()));
        let urls = [gates.before(&eu).await, gates.before(&us).await];
        let mut command = pair.command_by(&urls, from, &["move", "agt_ada", "--to", to]);
        gates.kill_there(&mut command).await;
        if one_side(&pair, from, to, point).await {
            let row = format!("{}; {}; commit", ADA.begin(), MESSAGE.replace("{}", "between"));
            pair.side(from).db.admin().await.run(&row).await;
            messages += 1;
            kept += 1;
        }
        expect(&pair.agents(from, &["move", "agt_ada", "--to", to]).await, 0, &[]);
        whole(&pair, from, to, messages, point).await;
        (from, to) = (to, from);
    }
    // Some before the hand-over, some after.
    assert!(kept > 5 && kept < points.len(), "{kept} of {}", points.len());
}

/// What `doctor` says of moves, as one line: severity and fix.
async fn doctor(pair: &Pair, side: &str) -> Vec<String> {
    let found = findings(&pair.side(side).db.url(ADMIN)).await.into_iter();
    let moves = found.filter(|[_, what, ..]| what == "moves");
    moves.map(|[severity, _, _, fix]| format!("{severity}: {fix}")).collect()
}

#[tokio::test]
async fn a_move_that_stands_still_is_found_on_both_sides_with_what_ends_it() {
    let pair = Pair::new("reference = \"check\"").await;
    let [eu, us] = pair.urls();
    let go = ["move", "agt_ada", "--to", "us"];
    let steps = [
        ("provisioning.note_built($1::text::uuid, $2, $3, $4::text::jsonb)", 1, "warning"),
        ("select provisioning.take_over($1::text::uuid, $2::text::uuid)", 2, "failure"),
    ];
    for (text, number, severity) in steps {
        let gates = Gates::new(Some(Stop { text: text.to_owned(), number, after: false }));
        let urls = [gates.before(&eu).await, gates.before(&us).await];
        gates.kill_there(&mut pair.command_by(&urls, "eu", &go)).await;
        assert_eq!(doctor(&pair, "eu").await, [""; 0], "{text}: it may be under way");
        for side in ["eu", "us"] {
            let old = "update provisioning.moves set begun_at = now() - interval '1 hour',
                handed_over_at = handed_over_at - interval '1 hour'";
            pair.side(side).db.admin().await.run(old).await;
        }
        let (here, there) = (doctor(&pair, "eu").await, doctor(&pair, "us").await);
        let go_on =
            format!("{severity}: agent-provisioner --database HERE agents move agt_ada --to us");
        assert!(here.len() == 1 && here[0].starts_with(&go_on), "{here:?}");
        assert!(there.len() == 1 && there[0].contains("--database eu doctor"), "{there:?}");
    }
    expect(&pair.agents("eu", &go).await, 0, &["moved"]);
    assert_eq!((doctor(&pair, "eu").await, doctor(&pair, "us").await), (vec![], vec![]));
}

#[tokio::test]
async fn what_was_handed_over_is_opened_again_only_where_the_other_side_cannot_have_it() {
    let pair = Pair::new("reference = \"check\"").await;
    let (source, target) = (&pair.eu.admin, &pair.us.admin);
    hand_over(&pair).await;
    // Nobody but the move approves or cancels the deletion of the source, and nothing is dropped for it.
    let job: i64 = source.one("select id from provisioning.jobs where state = 'paused'").await;
    let url = pair.eu.db.url(ADMIN);
    for verb in ["approve", "replay", "cancel"] {
        expect(
            &ask(&url, &["jobs", verb, &job.to_string()]).await,
            1,
            &["a move of the agent is not finished"],
        );
    }
    let state = format!("select state from provisioning.jobs where id = {job}");
    assert_eq!(source.rows(&state).await, ["paused"]);
    // Another database than the one that was meant.
    expect(&pair.agents("eu", &["move", "agt_ada", "--to", "eu", "--abort"]).await, 1, &["\"us\""]);
    // One that knows nothing of it.
    target
        .run("create table public.kept as table provisioning.moves; delete from provisioning.moves")
        .await;
    for args in [&GO[..], &ABORT] {
        expect(&pair.agents("eu", args).await, 1, &["knows nothing", "--lost"]);
    }
    assert!(!can_write(source).await);
    target.run("insert into provisioning.moves select * from public.kept").await;
    expect(&pair.agents("eu", &ABORT).await, 0, &["given up"]);
    assert!(can_write(source).await);
    assert_eq!(source.rows(&state).await, ["cancelled"]);
    assert_eq!(target.tables("agt_ada").await, [""; 0]);
}

/// Hands over, and is killed before the other side takes over.
async fn hand_over(pair: &Pair) {
    let [eu, us] = pair.urls();
    let text = "select provisioning.take_over($1::text::uuid, $2::text::uuid)".to_owned();
    let gates = Gates::new(Some(Stop { text, number: 2, after: false }));
    let urls = [gates.before(&eu).await, gates.before(&us).await];
    gates.kill_there(&mut pair.command_by(&urls, "eu", &GO)).await;
}

const GO: [&str; 4] = ["move", "agt_ada", "--to", "us"];
const ABORT: [&str; 5] = ["move", "agt_ada", "--to", "us", "--abort"];

#[tokio::test]
async fn without_the_other_side_the_agent_is_served_here_for_who_says_so() {
    let pair = Pair::apart("reference = \"check\"").await;
    hand_over(&pair).await;
    pair.us.db.server.stop(How::Immediate);
    expect(&pair.agents("eu", &ABORT).await, 1, &[]);
    assert!(!can_write(&pair.eu.admin).await);
    expect(&pair.agents("eu", &[&ABORT[..], &["--lost"]].concat()).await, 0, &["given up"]);
    assert!(can_write(&pair.eu.admin).await);
    // It comes back after all, and keeps the prefix until it is told.
    pair.us.db.server.resume();
    expect(&pair.agents("eu", &GO).await, 1, &["end that move first"]);
    expect(&pair.agents("eu", &ABORT).await, 0, &["given up"]);
    let there = pair.us.db.admin().await;
    assert_eq!(there.tables("agt_ada").await, [""; 0]);
    expect(&pair.agents("eu", &GO).await, 0, &["moved"]);
    assert!(can_write(&there).await);
}

#[tokio::test]
async fn a_broken_end_is_told_and_ended_by_the_same_command() {
    let pair = Pair::new("reference = \"check\"").await;
    let source = &pair.eu.admin;
    hand_over(&pair).await;
    // The other side has given up, and this one has not.
    let [eu, us] = pair.urls();
    let gates = Gates::new(Some(Stop { text: "COMMIT".to_owned(), number: 2, after: false }));
    let urls = [gates.before(&eu).await, gates.before(&us).await];
    gates.kill_there(&mut pair.command_by(&urls, "eu", &ABORT)).await;
    assert!(!can_write(source).await);
    expect(&pair.agents("eu", &GO).await, 1, &["has given the move up", "--abort"]);
    expect(&pair.agents("eu", &ABORT).await, 0, &["given up"]);
    assert!(can_write(source).await);

    // The other side has it, and somebody holds the job that is to drop the tables here.
    hand_over(&pair).await;
    let holder = pair.eu.db.admin().await;
    holder.run("begin; select from provisioning.jobs where state = 'paused' for update").await;
    expect(&pair.agents("eu", &GO).await, 1, &["run the same command again"]);
    holder.run("rollback").await;
    expect(&pair.agents("eu", &[&GO[..], &["--wait"]].concat()).await, 0, &["moved"]);
    assert_eq!(source.tables("agt_ada").await, [""; 0]);
    assert!(can_write(&pair.us.admin).await);
}

/// The commits that follow the hand-over, before and after: the target's, and then the source's.
fn commits(seen: &[String]) -> Vec<Stop> {
    let handed = seen.iter().position(|text| text.contains("provisioning.hand_over")).unwrap();
    let before = seen.iter().take(handed).filter(|text| *text == "COMMIT").count();
    let stop = |number, after| Stop { text: "COMMIT".to_owned(), number, after };
    [1, 2].iter().flat_map(|n| [false, true].map(|after| stop(before + n, after))).collect()
}

#[tokio::test]
async fn crashed_at_the_hand_over_either_server_comes_back_to_one_side() {
    let pair = Pair::apart("reference = \"check\"").await;
    let gates = Gates::new(None);
    let [eu, us] = pair.urls();
    let urls = [gates.before(&eu).await, gates.before(&us).await];
    let first = finish(&mut pair.command_by(&urls, "eu", &["move", "agt_ada", "--to", "us"])).await;
    expect(&first, 0, &["moved"]);
    pair.eu.admin.settled().await;
    let (mut from, mut to) = ("us", "eu");
    for point in commits(&gates.seen()) {
        for crashes_source in [true, false] {
            let gates = Gates::new(Some(point.clone()));
            let urls = [gates.before(&eu).await, gates.before(&us).await];
            let mut command = pair.command_by(&urls, from, &["move", "agt_ada", "--to", to]);
            let mut moving = tokio::spawn(async move { finish(&mut command).await });
            tokio::select! {
                () = gates.reached() => {}
                ended = &mut moving => panic!("{point:?}: {}", said(&ended.unwrap())),
            }
            let crashed = pair.side(if crashes_source { from } else { to });
            crashed.db.server.restart(How::Immediate, || ());
            gates.resume();
            moving.await.unwrap();
            gates.end();
            one_side(&pair, from, to, &point).await;
            expect(&pair.agents(from, &["move", "agt_ada", "--to", to]).await, 0, &[]);
            whole(&pair, from, to, 1, &point).await;
            (from, to) = (to, from);
        }
    }
}
