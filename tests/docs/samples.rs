//! Samples of output in docs/operate.md are lines that the program prints.

use super::markdown::code;
use super::read;
use crate::support::{ADMIN, Admin, Database, ask, said, until};

/// A line without what differs from run to run: numbers, times, the widths of columns.
fn plain(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        let digits = |c: char| c.is_ascii_digit() || ".:-TZ".contains(c);
        if word.starts_with(|c: char| c.is_ascii_digit())
            && word.trim_end_matches([',', ')']).chars().all(digits)
        {
            "0".to_owned()
        } else if word.starts_with('(') && word.trim_matches(['(', ')', ':']).chars().all(digits) {
            "(0)".to_owned()
        } else {
            word.to_owned()
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Lines of code blocks that are output: no command, no statement, no comment.
fn samples(text: &str) -> Vec<String> {
    let typed =
        ["agent-provisioner ", "select ", "set ", "alter ", "journalctl ", "systemctl ", "insert "];
    code(text)
        .into_iter()
        .filter(|line| !typed.iter().any(|begin| line.starts_with(begin)))
        .collect()
}

/// Samples that no line of these is like. What `…` leaves out may be anything.
fn unlike(text: &str, output: &str) -> Vec<String> {
    let lines: Vec<String> = output.lines().map(plain).collect();
    let like = |sample: &String| {
        let sample = plain(sample);
        let parts: Vec<&str> = sample.split('…').map(str::trim).collect();
        lines.iter().any(|line| {
            let mut rest = line.as_str();
            let found = parts.iter().all(|part| {
                rest.find(part).is_some_and(|at| {
                    rest = rest.split_at(at + part.len()).1;
                    true
                })
            });
            found && (parts.len() > 1 || *line == sample)
        })
    };
    samples(text).into_iter().filter(|sample| !like(sample)).collect()
}

/// What commands print, one after the other.
async fn print(db: &Database, commands: &[&str]) -> String {
    let mut printed = String::new();
    for command in commands {
        let args: Vec<&str> = command.split(' ').collect();
        printed += &said(&ask(&db.url(ADMIN), &args).await);
    }
    printed
}

/// A dead job, a replay, drift and a deletion that is undone.
async fn mishaps(db: &Database, admin: &Admin) -> String {
    let service = db.service_with(&[("REFERENCE", "check")]).await;
    admin.run("create table public.agt_bad_messages (id int)").await;
    admin.create("agt_6f78").await;
    admin.create("agt_bad").await;
    admin.settled().await;
    let mut printed = print(db, &["agents list", "jobs show 2"]).await;
    admin.run("drop table public.agt_bad_messages").await;
    printed += &print(db, &["jobs replay 2 --wait"]).await;
    let spoil = "drop index public.agt_6f78_customers_phone_idx;
                 create policy open on public.agt_6f78_customers for select to authenticated using (true)";
    admin.run(spoil).await;
    printed +=
        &print(db, &["agents verify agt_6f78", "agents repair agt_6f78 --force --wait"]).await;
    admin.run("delete from public.agents where agent_prefix = 'agt_6f78'").await;
    admin.settled().await;
    printed += &print(db, &["agents restore agt_6f78"]).await;
    drop(service);
    printed
}

/// A job that a forgotten transaction holds up.
async fn held_up(db: &Database, admin: &Admin) -> String {
    let service = db.service_with(&[("REFERENCE", "check")]).await;
    admin.create("agt_new").await;
    admin.settled().await;
    let forgotten = db.admin().await;
    forgotten
        .run("set application_name = 'report'; begin; select from public.agt_new_customers")
        .await;
    admin.run("delete from public.agents where agent_prefix = 'agt_new'").await;
    // It is also running now and then, to see whether the lock is free.
    let printed = until("the job to rest", || async {
        let printed = print(db, &["jobs list --state pending"]).await;
        let rests = printed.contains("  pending  deprovision  agt_new");
        (rests && printed.contains("held up by backend")).then_some(printed)
    })
    .await;
    forgotten.run("rollback").await;
    admin.settled().await;
    drop(service);
    printed
}

/// Deletions that wait, of which two are approved and one is cancelled; then there is no service.
async fn paused(db: &Database, admin: &Admin) -> String {
    let service =
        db.service_with(&[("REFERENCE", "check"), ("DEPROVISION__MAX_PER_HOUR", "0")]).await;
    for prefix in ["agt_a", "agt_b", "agt_c"] {
        admin.create(prefix).await;
    }
    admin.settled().await;
    admin.run("delete from public.agents where agent_prefix ~ '^agt_[abc]$'").await;
    admin.holds("select count(*) = 3 from provisioning.jobs where state = 'paused'").await;
    let ids =
        admin.rows("select id from provisioning.jobs where state = 'paused' order by id").await;
    let [first, second, third] = <[String; 3]>::try_from(ids).unwrap();
    let approve = format!("jobs approve {first} {second} --wait");
    let printed = print(db, &[&approve, &format!("jobs cancel {third}")]).await;
    drop(service);
    // It counts for 30 seconds more.
    admin.run("delete from provisioning.instances").await;
    admin.create("agt_d").await;
    admin.create("agt_e").await;
    admin.run("update provisioning.jobs set due_at = now() - interval '10 min' where state = 'pending'").await;
    printed + &print(db, &["doctor"]).await
}

#[tokio::test]
async fn the_runbook_shows_what_the_program_prints() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let printed =
        [mishaps(&db, &admin).await, held_up(&db, &admin).await, paused(&db, &admin).await]
            .concat();
    let text = read("docs/operate.md");
    assert!(samples(&text).len() > 15, "{:#?}", samples(&text));
    let planted = "x\n\n    restored agt_6f78 (agent 1) with 5 tables of\n    FAIL  workers        2 jobs are due, the oldest for 10 min, and no worker runs\n";
    assert_eq!(unlike(planted, &printed), ["restored agt_6f78 (agent 1) with 5 tables of"]);
    assert_eq!(unlike(&text, &printed), [""; 0], "{printed}");
}
