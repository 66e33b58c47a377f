//! What the functions ask of the worker, and what they say of how far it is.

use crate::support::{ADA, Admin, BOSS, Database};

/// What has become of an agent | its state as shown | the message.
const STATES: &str = "
insert into public.agents (id, agent_prefix) values (7, 'agt_7')
    | pending - | The tables are being built.
update provisioning.jobs set attempts = 2, last_error = 'secret' where kind = 'provision'
    | pending - | Building the tables has failed 2 times; it is tried again.
update provisioning.jobs set state = 'dead', finished_at = now()
    | failed - | Building the tables failed; an operator has to look at job 1.
update provisioning.jobs set state = 'succeeded'; insert into provisioning.agents values (7, 'agt_7', null, 3, 'check')
    | ready 3 | The tables are ready.
insert into provisioning.jobs (kind, agent_id, agent_prefix) values ('upgrade', 7, 'agt_7')
    | ready 3 | The tables are ready. Their upgrade is under way.
update provisioning.jobs set state = 'dead', finished_at = now(), last_error = 'secret' where kind = 'upgrade'
    | ready 3 | The tables are ready. Their last upgrade failed; an operator has to look at job 2.
select from public.delete_agent(7)
    | deleting 3 | The agent is being deleted.
update provisioning.jobs set attempts = 3, last_error = 'secret' where kind = 'deprovision'
    | deleting 3 | Deleting the agent has failed 3 times; it is tried again.
update provisioning.jobs set state = 'dead', finished_at = now() where kind = 'deprovision'
    | failed 3 | Deleting the agent failed; an operator has to look at job 3.
update provisioning.jobs set state = 'succeeded'; delete from public.agents; update provisioning.jobs set state = 'succeeded', finished_at = now()
    | orphaned 3 | The agent is gone, and nobody has asked for the deletion of its tables yet.
delete from provisioning.agents
    | gone - | There is no such agent.";

#[tokio::test]
async fn agent_status_names_every_state_and_no_server_error() {
    let db = Database::new().await;
    let admin = db.admin().await;
    for case in STATES.trim().split('\n').collect::<Vec<_>>().chunks(2) {
        let [change, expected] = case else { panic!("{case:?}") };
        admin.run(change).await;
        let status = "select concat(state, ' ', coalesce(template_version::text, '-')), message
                      from public.agent_status(7)";
        let found = admin.rows(status).await.join("").replacen('|', " | ", 1);
        assert_eq!(found, expected.trim_start_matches([' ', '|']), "{change}");
    }
}

#[tokio::test]
async fn an_owner_still_sees_that_a_deleted_agent_is_gone() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.populate().await;
    let _service = db.service().await;
    admin.settled().await;
    assert_eq!(delete(&admin).await, "t|Agent agt_ada and its tables are being deleted.");
    admin.settled().await;
    let status = admin.ask(&ADA, "select state from public.agent_status(1)").await.unwrap();
    assert_eq!(status.rows, ["gone"]);
    assert_eq!(delete(&admin).await, "f|there is no agent 1");
}

async fn delete(admin: &Admin) -> String {
    let call =
        format!("{}; select success, message from public.delete_agent(1); commit", ADA.begin());
    admin.rows(&call).await.join("")
}

#[tokio::test]
async fn deleting_twice_is_one_deletion_and_a_failed_one_gets_another_try() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.populate().await;
    assert_eq!(delete(&admin).await, "t|Agent agt_ada and its tables are being deleted.");
    assert_eq!(delete(&admin).await, "t|The deletion of agent agt_ada is already under way.");
    admin
        .run(
            "update provisioning.jobs set state = 'dead', attempts = 10, finished_at = now()
              where kind = 'deprovision'",
        )
        .await;
    assert_eq!(delete(&admin).await, "t|Agent agt_ada and its tables are being deleted.");
    let jobs = "select kind, state, attempts, replayed_by, replay_reason from provisioning.jobs
                where agent_id = 1 order by id";
    assert_eq!(
        admin.rows(jobs).await,
        [
            "provision|pending|0|-|-".to_owned(),
            format!("deprovision|pending|0|{}|delete_agent", ADA.id)
        ]
    );
    let _service = db.service().await;
    admin.settled().await;
    let left = "select agent_prefix from public.agents union all select agent_prefix from provisioning.agents";
    assert_eq!(admin.rows(left).await, ["agt_ben", "agt_ben"]);
}

#[tokio::test]
async fn two_who_ask_at_once_both_get_an_answer() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.populate().await;
    let (one, two) = (db.admin().await, db.admin().await);
    one.run("begin").await;
    one.run("select from public.delete_agent(1)").await;
    let ((), answer) = tokio::join!(
        async {
            admin
                .holds(
                    "select exists (select from pg_stat_activity
                     where datname = current_database() and wait_event_type = 'Lock')",
                )
                .await;
            one.run("commit").await;
        },
        two.rows("select success, message from public.delete_agent(1)"),
    );
    assert_eq!(answer, ["t|The deletion of agent agt_ada is already under way."]);
    let jobs = "select count(*) from provisioning.jobs where kind = 'deprovision'";
    assert_eq!(admin.one::<i64>(jobs).await, 1);
}

#[tokio::test]
async fn what_old_clients_ask_for_is_done_by_the_worker() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.populate().await;
    let service = db.service_with(&[("WORKER__RECONCILE_INTERVAL", "1h")]).await;
    admin.settled().await;
    service.logged("listening").await;
    let call = |call: &'static str| {
        let admin = &admin;
        async move {
            let sql = format!("{}; select success from public.{call}; commit", BOSS.begin());
            assert_eq!(admin.rows(&sql).await, ["t"], "{call}");
            admin.settled().await;
            let last = "select kind, outcome from provisioning.jobs order by id desc limit 1";
            admin.rows(last).await.join("")
        }
    };

    admin.run("alter table public.agents disable trigger user, enable trigger guard_agent").await;
    let id = admin.create("agt_x").await;
    let create = format!("create_agent_tables('agt_x', {id})").leak();
    assert_eq!(call(create).await, "provision|provisioned");
    assert_eq!(admin.tables("agt_x").await.len(), 4);

    admin.run("drop index public.agt_x_orders_status_idx").await;
    assert_eq!(call("create_agent_indexes('agt_x')").await, "repair|repaired");
    admin.run("drop index public.agt_x_orders_status_idx").await;

    admin.run("delete from public.agents where agent_prefix = 'agt_x'").await;
    assert_eq!(admin.tables("agt_x").await.len(), 4);
    assert_eq!(call("drop_agent_tables('agt_x')").await, "deprovision|trashed");
    assert_eq!(admin.tables("agt_x").await, [""; 0]);
    assert_eq!(admin.tables("agt_ada").await.len(), 4);
}

#[tokio::test]
async fn a_configuration_is_made_changed_and_switched_off_without_losing_what_is_left_out() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.populate().await;
    for (call, expected) in [
        (
            "create_whatsapp_config('{ada}', '+5', 'https://y', null, 'b1')",
            "+5 https://y secret of ada - b1 - t",
        ),
        (
            "update_whatsapp_config('{ada}', verify_token => 'v', phone_number_id => 'p')",
            "+5 https://y secret of ada v b1 p t",
        ),
        ("delete_whatsapp_config('{ada}')", "+5 https://y secret of ada v b1 p f"),
        (
            "update_whatsapp_config('{ada}', is_active => true)",
            "+5 https://y secret of ada v b1 p t",
        ),
        ("delete_whatsapp_config('{ada}')", "+5 https://y secret of ada v b1 p f"),
        ("create_whatsapp_config('{ada}', '+6', 'https://z', 'new')", "+6 https://z new v b1 p t"),
    ] {
        let call = call.replace("{ada}", ADA.id);
        let sql = format!("{}; select success from public.{call}; commit", ADA.begin());
        assert_eq!(admin.rows(&sql).await, ["t"], "{call}");
        let row = format!(
            "select concat_ws(' ', whatsapp_number, webhook_url, coalesce(api_key, '-'),
                 coalesce(verify_token, '-'), coalesce(business_account_id, '-'),
                 coalesce(phone_number_id, '-'), is_active)
             from public.whatsapp_configuration where user_id = '{}'",
            ADA.id
        );
        assert_eq!(admin.rows(&row).await, [expected], "{call}");
    }
}

/// A sweep that cannot see a deletion yet asks for the agent's tables behind it. That is no new agent: the row goes.
#[tokio::test]
async fn a_deletion_is_kept_when_a_sweep_overlaps_it() {
    let db = Database::new().await;
    let (admin, asking, holder) = (db.admin().await, db.admin().await, db.admin().await);
    let settings = [
        ("WORKER__CONCURRENCY", "1"),
        ("WORKER__RECONCILE_INTERVAL", "50ms"),
        ("DATABASE__LOCK_TIMEOUT", "50s"),
        ("REFERENCE", "check"),
    ];
    let service = db.service_with(&settings).await;
    service.logged("\"listening\"").await;
    // The only worker is held up, so that what a sweep asks for stays where it is.
    holder.run("begin; lock table provisioning.agent_tables in exclusive mode").await;
    admin.create("agt_busy").await;
    admin.held_up("agt_busy").await;
    // Not reported, as without the trigger; and deleted before a sweep has found it.
    let no_sweep = db.admin().await;
    no_sweep.run("begin; lock table provisioning.sweep_gate in share mode").await;
    let agent = admin.create("agt_6f78").await;
    admin.run("delete from provisioning.jobs where agent_prefix = 'agt_6f78'").await;
    asking.run("begin").await;
    let asked = format!("select success from public.delete_agent({agent})");
    assert!(asking.one::<bool>(&asked).await);
    no_sweep.run("commit").await;
    // The end of a sweep that began before the look, and then of one that began after it.
    for _ in 0..2 {
        let now: String = admin.one("select clock_timestamp()::text").await;
        let swept = format!(
            "select exists (select from pg_stat_activity where datname = current_database()
                 and application_name = 'agent-provisioner' and query in ('COMMIT', 'ROLLBACK')
                 and query_start > '{now}')"
        );
        admin.holds(&swept).await;
    }
    asking.run("commit").await;
    holder.run("commit").await;
    admin.settled().await;
    assert_eq!(admin.rows("select agent_prefix from public.agents").await, ["agt_busy"]);
    assert_eq!(admin.tables("agt_6f78").await, [""; 0]);
}

/// A build that met a former agent's tables goes back into the queue, and so behind a deletion that was asked for
/// meanwhile. That is no new agent either.
#[tokio::test]
async fn a_build_that_went_back_into_the_queue_keeps_no_agent_from_being_deleted() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let former = 999;
    admin
        .run(&format!(
            "insert into provisioning.agents (agent_id, agent_prefix, template_version, reference)
                 values ({former}, 'agt_6f78', 1, 'check')"
        ))
        .await;
    let agent = admin.create("agt_6f78").await;
    // What a worker does with the build, just before and just after somebody asks for the deletion.
    admin.run("create table public.built as select id from provisioning.jobs").await;
    assert!(admin.one::<bool>(&format!("select success from public.delete_agent({agent})")).await);
    let requeue = format!(
        "select provisioning.requeue_behind_former((select id from public.built), {former})"
    );
    admin.run(&requeue).await;
    let order =
        "select kind, agent_id = 999 from provisioning.jobs where state = 'pending' order by id";
    assert_eq!(admin.rows(order).await, ["deprovision|f", "deprovision|t", "provision|f"]);
    let _service = db.service_with(&[("REFERENCE", "check")]).await;
    admin.settled().await;
    assert_eq!(admin.one::<i64>("select count(*) from public.agents").await, 0);
    assert_eq!(admin.tables("agt_6f78").await, [""; 0]);
}
