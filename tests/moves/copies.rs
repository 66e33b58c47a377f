//! Copies of agents in another database.

use super::pair::{MESSAGE, Pair, can_write};
use super::{APP, NUMBER, rows};
use crate::schemas::assert_is_as_its_schema_says;
use crate::support::{ADA, ADMIN, Gates, Stop, ask, expect, finish, json, sound};

const COPY: [&str; 4] = ["copy", "agt_ada", "--to", "us"];

#[tokio::test]
async fn a_copy_has_the_rows_of_a_moment_and_the_agent_goes_on() {
    let pair = Pair::new("reference = \"foreign_key\"\nrealtime = [\"messages\"]").await;
    let (eu, us) = (&pair.eu.admin, &pair.us.admin);
    eu.run(&format!("{APP}; {NUMBER}")).await;
    us.run(APP).await;
    let (before, routes) = (rows(eu).await, "select (select count(*) from public.whatsapp_numbers where is_active),
        (select count(*) from public.whatsapp_configuration where is_active), (select count(*) from provisioning.moves)");
    let served = eu.rows(routes).await;
    us.run(&format!("insert into public.whatsapp_configuration (user_id, whatsapp_number, webhook_url, api_key, verify_token)
                     values ('{}', '+9', 'https://example.com', 'k', 'v')", ADA.id))
        .await;
    let led = pair.agents("eu", &[&COPY[..], &["--dry-run"]].concat()).await;
    expect(&led, 1, &["lead messages to the copy"]);
    us.run(&format!(
        "update public.whatsapp_configuration set is_active = false where user_id = '{}'",
        ADA.id
    ))
    .await;
    let checked = json(&pair.agents("eu", &[&COPY[..], &["--dry-run", "--json"]].concat()).await);
    assert_is_as_its_schema_says("agents copy", &checked);
    assert_eq!(checked["outcome"], "possible");
    assert_eq!(us.one::<i64>("select count(*) from provisioning.moves").await, 0);

    // A writer that is in the middle of something waits for nobody, and nobody waits for him.
    let writer = pair.eu.db.admin().await;
    writer.run(&format!("begin; {}", MESSAGE.replace("{}", "late"))).await;
    let copied = pair.agents("eu", &[&COPY[..], &["--json"]].concat()).await;
    expect(&copied, 0, &[]);
    writer.run("commit").await;
    let copied = json(&copied);
    assert_is_as_its_schema_says("agents copy", &copied);
    assert_eq!((&copied["outcome"], &copied["new_id"]), (&"copied".into(), &1.into()));
    us.settled().await;
    let there = rows(us).await;
    // The sequence of the source has given the late row its number already.
    let texts =
        |rows: &[String]| rows.iter().filter(|row| row.contains(',')).cloned().collect::<Vec<_>>();
    assert_eq!(texts(&there), texts(&before));
    sound(&pair.agents("us", &["verify", "--full", "--json"]).await, 1);
    assert_eq!(us.rows(routes).await, ["0|0|1"]);
    let ready = "select s.state, p.reference from public.agent_states s join provisioning.agents p using (agent_id)";
    assert_eq!(us.rows(ready).await, ["ready|foreign_key"]);
    assert_eq!(eu.rows(routes).await, served);
    assert!(can_write(eu).await && can_write(us).await);
    sound(&pair.agents("eu", &["verify", "--full", "--json"]).await, 2);

    // It is an agent like any other: the next copy finds its prefix taken, and the way back, too.
    expect(&pair.agents("eu", &COPY).await, 1, &["the prefix agt_ada is taken"]);
    expect(&pair.agents("us", &["copy", "agt_ada", "--to", "eu"]).await, 1, &["is taken"]);
}

#[tokio::test]
async fn what_a_copy_that_was_broken_off_has_built_is_used_by_nobody_and_goes() {
    let pair = Pair::new("reference = \"check\"").await;
    let us = &pair.us.admin;
    us.run("insert into public.agents (agent_prefix) values ('agt_other')").await;
    us.settled().await;
    expect(&pair.agents("eu", &COPY).await, 1, &["the id 1 is taken", "--new-id"]);
    let anew = [&COPY[..], &["--new-id"]].concat();
    let built = "select count(*) from pg_class where relname ^@ 'agt_ada' and relkind = 'r'";
    for (text, number) in [
        ("provisioning.note_built($1::text::uuid, $2, $3, $4::text::jsonb)", 1),
        ("in access share mode", 1),
        ("COMMIT", 2),
    ] {
        let stop = Stop { text: text.to_owned(), number, after: text != "COMMIT" };
        break_off(&pair, &anew, stop).await;
        let agents = "select count(*) from public.agents where agent_prefix = 'agt_ada'";
        assert_eq!(us.one::<i64>(agents).await, 0, "{text}");
        assert!(can_write(&pair.eu.admin).await && !can_write(us).await, "{text}");
        let refused =
            us.answer("insert into public.agents (agent_prefix) values ('agt_ada')").await;
        assert_eq!(refused.unwrap_err().code().code(), "23505", "{text}");
    }
    us.run("update provisioning.moves set begun_at = now() - interval '1 hour'").await;
    let doctor = json(&ask(&pair.us.db.url(ADMIN), &["doctor", "--json"]).await);
    let findings = doctor.as_array().unwrap();
    let found = findings.iter().find(|one| one["key"] == "moves/agt_ada").unwrap();
    assert_eq!(found["severity"], "warning", "{found}");
    assert!(
        found["fix"].as_str().unwrap().contains("--database eu agents copy agt_ada"),
        "{found}"
    );
    assert!(us.one::<i64>(built).await > 0);
    let aborted = json(&pair.agents("eu", &[&COPY[..], &["--abort", "--json"]].concat()).await);
    assert_is_as_its_schema_says("agents copy --abort", &aborted);
    assert_eq!(aborted["id"], 1);
    assert_eq!(us.one::<i64>(built).await, 0);
    expect(
        &pair.agents("eu", &[&COPY[..], &["--abort"]].concat()).await,
        1,
        &["no copy of agt_ada"],
    );

    break_off(
        &pair,
        &anew,
        Stop { text: "in access share mode".to_owned(), number: 1, after: true },
    )
    .await;
    expect(&pair.agents("eu", &anew).await, 0, &["copied agt_ada (agent 1) to us with 4 rows"]);
    us.settled().await;
    let ids = "select distinct c.agent_id = a.id from public.agt_ada_customers c, public.agents a where agent_prefix = 'agt_ada'";
    assert_eq!(us.rows(ids).await, ["t"]);
    let seen = us.ask(&ADA, "select count(*) from public.agt_ada_messages").await.unwrap().rows;
    assert_eq!(seen, ["1"]);
    sound(&pair.agents("us", &["verify", "--full", "--json"]).await, 2);
}

#[tokio::test]
async fn a_copy_is_of_the_moment_at_which_it_began_to_read() {
    let pair = Pair::new("reference = \"check\"").await;
    let (eu, us) = (&pair.eu.admin, &pair.us.admin);
    let text = "from only public.agt_ada_messages) to stdout (format binary)".to_owned();
    let gates = Gates::new(Some(Stop { text, number: 1, after: false }));
    let urls = pair.urls();
    let urls = [gates.before(&urls[0]).await, gates.before(&urls[1]).await];
    let mut command = pair.command_by(&urls, "eu", &COPY);
    let copying = tokio::spawn(async move { finish(&mut command).await });
    gates.reached().await;
    let writer = pair.eu.db.admin().await;
    let row = format!("{}; {}; commit", ADA.begin(), MESSAGE.replace("{}", "meanwhile"));
    writer.run(&row).await;
    eu.run("delete from public.agt_ada_orders_items").await;
    gates.resume();
    expect(&copying.await.unwrap(), 0, &["copied agt_ada (agent 1) to us with 4 rows"]);
    let counts = "select (select count(*) from public.agt_ada_messages), (select count(*) from public.agt_ada_orders_items)";
    assert_eq!(
        (eu.rows(counts).await, us.rows(counts).await),
        (vec!["2|0".to_owned()], vec!["1|1".to_owned()])
    );

    // Who changes how a table is made is not waited for long.
    us.run("delete from public.agents where agent_prefix = 'agt_ada'").await;
    us.settled().await;
    writer.run("begin; lock table public.agt_ada_orders in access exclusive mode").await;
    let busy = pair.agents("eu", &[&COPY[..], &["--new-id"]].concat()).await;
    expect(&busy, 1, &["55P03", "doctor"]);
    writer.run("rollback").await;
}

/// Kills a copy at a statement.
async fn break_off(pair: &Pair, args: &[&str], stop: Stop) {
    let gates = Gates::new(Some(stop));
    let [eu, us] = pair.urls();
    let urls = [gates.before(&eu).await, gates.before(&us).await];
    gates.kill_there(&mut pair.command_by(&urls, "eu", args)).await;
    let gone = "select not exists (select from pg_stat_activity where datname = current_database() \
                and application_name ^@ 'agent-provisioner by' and xact_start is not null)";
    pair.us.admin.holds(gone).await;
}
