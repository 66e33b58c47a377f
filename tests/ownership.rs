//! The policies, one constant per table, let everybody see and change exactly what the documented
//! chain of ownership gives: item → order → customer → agent → user.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use crate::support::{ADA, Admin, BEN, BOSS, CAT, Caller, DAN, Database};

const USERS: [Caller; 5] = [ADA, BEN, CAT, DAN, BOSS];
/// Ids and prefixes.
const AGENTS: [Agent; 4] = [(1, "agt_ada"), (2, "agt_ben"), (3, "agt_c"), (4, "agt_d")];
type Agent = (i64, &'static str);

/// What somebody sees without asking for anything in particular.
const SEEN: &str = "
select concat_ws(' ', array(select id from public.{p}_customers order by 1),
    array(select id from public.{p}_messages order by 1),
    array(select id from public.{p}_orders order by 1),
    array(select id from public.{p}_orders_items order by 1))";

/// The same by the chain, in the eyes of a role that row security does not bind.
const CHAIN: &str = "
with theirs as (
    select c.id from public.{p}_customers c join public.agents a on a.id = c.agent_id
    where a.user_id = '{u}' or exists (select from public.users where id = '{u}' and role = 'admin')
)
select concat_ws(' ', array(select id from theirs order by 1),
    array(select m.id from public.{p}_messages m join theirs c on c.id = m.customer_id order by 1),
    array(select o.id from public.{p}_orders o join theirs c on c.id = o.customer_id order by 1),
    array(select i.id from public.{p}_orders_items i join public.{p}_orders o on o.id = i.order_id
          join theirs c on c.id = o.customer_id order by 1))";

/// One step in the life of the CRM.
#[derive(Clone, Debug)]
enum Step {
    /// An agent gets another user, or none.
    Assign { agent: Agent, user: Option<Caller> },
    /// Somebody becomes an admin, or ceases to be one.
    Role { user: Caller, admin: bool },
    /// A customer comes, with a number of messages and orders, and of items in each order.
    Rows { agent: Agent, messages: u8, orders: u8, items: u8 },
    /// Somebody writes a customer into an agent's table, with some agent's id.
    Write { user: Caller, agent: Agent, id: i64 },
    /// Somebody deletes all messages of an agent's, whosever they are.
    Delete { user: Caller, agent: Agent },
}

fn step() -> impl Strategy<Value = Step> {
    let (agent, user) = (|| select(&AGENTS[..]), || select(&USERS[..]));
    prop_oneof![
        3 => (agent(), proptest::option::weighted(0.8, user()))
            .prop_map(|(agent, user)| Step::Assign { agent, user }),
        1 => (user(), any::<bool>()).prop_map(|(user, admin)| Step::Role { user, admin }),
        3 => (agent(), 0..3u8, 0..3u8, 0..3u8)
            .prop_map(|(agent, messages, orders, items)| Step::Rows { agent, messages, orders, items }),
        2 => (user(), agent(), 1..5i64).prop_map(|(user, agent, id)| Step::Write { user, agent, id }),
        1 => (user(), agent()).prop_map(|(user, agent)| Step::Delete { user, agent }),
    ]
}

#[test]
fn everybody_sees_what_the_chain_gives_and_nothing_else() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_db, admin) = runtime.block_on(crm());
    let config = Config { failure_persistence: None, ..Config::with_cases(32) };
    let life = proptest::collection::vec(step(), 1..12);
    TestRunner::new(config)
        .run(&life, |steps| {
            runtime.block_on(async {
                admin.run(&reset()).await;
                for step in &steps {
                    take(&admin, step).await;
                }
                compare(&admin).await
            })
        })
        .unwrap();
}

/// A hundred messages of each of a hundred customers, of a size at which either plan might win.
const MESSAGES: &str = "
    insert into public.agt_ada_customers (name, phone) select 'x', '1' from generate_series(1, 100);
    insert into public.agt_ada_messages (customer_id, message, direction, \"timestamp\")
        select 1 + n % 100, repeat('hello ', 100), 'inbound', now() + n * interval '1 s'
        from generate_series(1, 10000) n;
    analyze public.agt_ada_messages";

#[tokio::test]
async fn a_customers_latest_messages_are_read_in_the_order_of_the_index() {
    let (_db, admin) = crm().await;
    admin.run(MESSAGES).await;
    let latest = "explain (costs off) select * from public.agt_ada_messages
                  where customer_id = 17 order by \"timestamp\" desc limit 50";
    for user in [ADA, BOSS] {
        let plan = admin.ask(&user, latest).await.unwrap().rows.join("\n");
        assert!(
            plan.contains("Index Scan using agt_ada_messages_customer_id_timestamp_idx"),
            "{plan}"
        );
        assert!(!plan.contains("Sort"), "{plan}");
    }
}

async fn crm() -> (Database, Admin) {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin.populate().await;
    for (_, prefix) in AGENTS.iter().skip(2) {
        admin.create(prefix).await;
    }
    admin.settled().await;
    (db, admin)
}

fn reset() -> String {
    let tables = AGENTS.map(|(_, prefix)| format!("public.{prefix}_customers")).join(", ");
    format!(
        "truncate {tables} cascade; update public.agents set user_id = null;
         update public.users set role = case name when 'boss' then 'admin' else 'agent' end::public.role"
    )
}

async fn take(admin: &Admin, step: &Step) {
    match *step {
        Step::Assign { agent: (agent, _), user } => {
            let id = user.map_or("null".to_owned(), |user| format!("'{}'", user.id));
            let free = format!("update public.agents set user_id = null where user_id = {id}");
            let assign = "update public.agents set user_id";
            admin.run(&format!("{free}; {assign} = {id} where id = {agent}")).await;
        }
        Step::Role { user, admin: is_admin } => {
            let role = if is_admin { "admin" } else { "agent" };
            let sql = format!("update public.users set role = '{role}' where id = '{}'", user.id);
            admin.run(&sql).await;
        }
        Step::Rows { agent: (_, prefix), messages, orders, items } => {
            let customer = format!(
                "with c as (insert into public.{prefix}_customers (name, phone) values ('x', '1')
                     returning id),
                 m as (insert into public.{prefix}_messages (customer_id, message, direction)
                     select id, 'x', 'inbound' from c, generate_series(1, {messages}))
                 insert into public.{prefix}_orders (customer_id)
                     select id from c, generate_series(1, {orders}) returning id"
            );
            for order in admin.rows(&customer).await {
                let item = format!(
                    "insert into public.{prefix}_orders_items (order_id, name)
                     select {order}, 'x' from generate_series(1, {items})"
                );
                admin.run(&item).await;
            }
        }
        Step::Write { user, agent, id } => write(admin, user, agent, id).await,
        Step::Delete { user, agent } => {
            let prefix = agent.1;
            let theirs = owns(admin, user, agent).await;
            let delete = format!("{}; delete from public.{prefix}_messages; commit", user.begin());
            let before = format!("select count(*) from public.{prefix}_messages");
            let all: i64 = admin.one(&before).await;
            admin.run(&delete).await;
            let left: i64 = admin.one(&before).await;
            assert_eq!(left == 0, theirs || all == 0, "{step:?}");
            assert!(left == 0 || left == all, "{step:?}");
        }
    }
}

/// Whether the chain makes an agent's rows this user's.
async fn owns(admin: &Admin, user: Caller, (agent, _): Agent) -> bool {
    let chain = format!(
        "select exists (select from public.agents where id = {agent} and user_id = '{0}')
             or exists (select from public.users where id = '{0}' and role = 'admin')",
        user.id
    );
    admin.one(&chain).await
}

async fn write(admin: &Admin, user: Caller, agent: Agent, id: i64) {
    let insert = format!(
        "insert into public.{}_customers (agent_id, name, phone) values ({id}, 'x', '1')",
        agent.1
    );
    let expected = match (owns(admin, user, agent).await, id == agent.0) {
        (true, true) => "written",
        (true, false) => "23514",
        (false, _) => "42501",
    };
    let found = admin.ask(&user, &insert).await;
    let found = found.map_or_else(|e| e.code().code().to_owned(), |_| "written".to_owned());
    assert_eq!(found, expected, "{} writes {insert}", user.name);
}

async fn compare(admin: &Admin) -> Result<(), TestCaseError> {
    for user in &USERS {
        for (_, prefix) in AGENTS {
            let fill = |sql: &str| sql.replace("{p}", prefix).replace("{u}", user.id);
            let seen = admin.ask(user, &fill(SEEN)).await.unwrap().rows;
            let chain = admin.rows(&fill(CHAIN)).await;
            prop_assert_eq!(seen, chain, "{} in {}", user.name, prefix);
        }
    }
    Ok(())
}
