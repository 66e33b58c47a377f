//! What `dev --demo` shows: two agents come, work apart from each other, and one goes.

use std::io::Write;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, SimpleQueryMessage};

use super::{Error, failed};

const ADA: &str = "00000000-0000-0000-0000-00000000000a";
const BEN: &str = "00000000-0000-0000-0000-00000000000b";
const BOSS: &str = "00000000-0000-0000-0000-0000000000ff";

/// Built and dropped in a fraction of this; longer means that something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

const RELATIONS: &str = "
select c.relname as table,
    (select count(*) from pg_attribute a where a.attrelid = c.oid and a.attnum > 0) as columns,
    (select count(*) from pg_index i where i.indrelid = c.oid) as indexes,
    (select string_agg(polname, ', ') from pg_policy p where p.polrelid = c.oid) as policy
from provisioning.agent_tables t join pg_class c on c.oid = t.relation order by c.relname";

const ROWS: &str = "
select (select count(*) from public.agt_ada_customers) as customers,
    (select count(*) from public.agt_ada_messages) as messages,
    (select max(total_amount) from public.agt_ada_orders) as order_total";

const USE: &str = "
insert into public.agt_ada_customers (name, phone) values ('Grace', '+1 555 0100');
insert into public.agt_ada_messages (customer_id, message, direction)
    values (1, 'Do you have tea?', 'inbound');
insert into public.agt_ada_orders (customer_id) values (1);
insert into public.agt_ada_orders_items (order_id, name, quantity, price)
    values (1, 'Green tea', 2, 4.50), (1, 'Pot', 1, 19.90)";

/// Walks through an agent's life as an administrator connected as `postgres`.
pub(super) async fn show(out: &mut impl Write, client: &Client) -> Result<(), Error> {
    let ask = |sql: String| async move { query(client, &sql).await };
    ask(format!(
        "insert into auth.users (id, email) values ('{ADA}', 'ada@example.com'),
         ('{BEN}', 'ben@example.com'), ('{BOSS}', 'boss@example.com');
         update public.users set role = 'admin' where id = '{BOSS}'"
    ))
    .await?;

    let started = Instant::now();
    let create = |user, prefix| {
        format!("select message from public.create_agent('{user}', '{prefix}', '{BOSS}')")
    };
    let mut said = ask(create(ADA, "agt_ada")).await?;
    said.extend(ask(create(BEN, "agt_ben")).await?.split_off(1));
    step(out, "Two agents created through create_agent", started, &said)?;

    let started = Instant::now();
    until(client, "select count(*) = 2 from provisioning.agents").await?;
    step(out, "Their tables are there", started, &ask(RELATIONS.to_owned()).await?)?;
    let indexes = "select indexname as index from pg_indexes where tablename like 'agt\\_ada\\_%' \
                   order by 1";
    step(out, "Agent Ada's indexes", Instant::now(), &ask(indexes.to_owned()).await?)?;

    let started = Instant::now();
    ask(as_user(ADA, USE)).await?;
    let title = "Ada records a customer, a message and an order, and reads";
    step(out, title, started, &ask(as_user(ADA, ROWS)).await?)?;
    let started = Instant::now();
    step(out, "Ben reads the same tables", started, &ask(as_user(BEN, ROWS)).await?)?;

    let started = Instant::now();
    let said =
        ask("select success, message from public.delete_agent((select id from public.agents \
                    where agent_prefix = 'agt_ada'))"
            .to_owned())
        .await?;
    until(client, "select count(*) = 1 from provisioning.agents").await?;
    step(out, "Agent Ada deleted through delete_agent", started, &said)?;
    step(out, "What is left", Instant::now(), &ask(RELATIONS.to_owned()).await?)?;
    let jobs = "select id, kind, agent_prefix, state, outcome, \
                round(extract(epoch from duration) * 1000, 1) as ms from provisioning.jobs order by id";
    step(out, "The jobs that did it", Instant::now(), &ask(jobs.to_owned()).await?)
}

/// The statements as PostgREST would run them for a signed-in user.
fn as_user(user: &str, sql: &str) -> String {
    format!(
        "begin; set local role authenticated;
         set local request.jwt.claims = '{{\"sub\":\"{user}\",\"role\":\"authenticated\"}}';
         {sql}; commit"
    )
}

/// Waits for the service, by looking.
async fn until(client: &Client, sql: &str) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    while query(client, sql).await?.get(1).is_none_or(|row| row != &["t"]) {
        if Instant::now() > deadline {
            return Err(Error::Late(PATIENCE));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// The rows of the last statement that has any, below their heading.
async fn query(client: &Client, sql: &str) -> Result<Vec<Vec<String>>, Error> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for message in client.simple_query(sql).await.map_err(failed("a step of the demonstration"))? {
        if let SimpleQueryMessage::RowDescription(columns) = message {
            rows = vec![columns.iter().map(|column| column.name().to_owned()).collect()];
        } else if let SimpleQueryMessage::Row(row) = message {
            let cell = |i| row.get(i).unwrap_or("-").to_owned();
            rows.push((0..row.len()).map(cell).collect());
        }
    }
    Ok(rows)
}

fn step(
    out: &mut impl Write,
    title: &str,
    started: Instant,
    rows: &[Vec<String>],
) -> Result<(), Error> {
    let took = started.elapsed().as_secs_f64() * 1000.0;
    writeln!(out, "\n{title} ({took:.1} ms)")?;
    let columns = rows.first().map_or(0, Vec::len);
    let width = |i| rows.iter().filter_map(|row| row.get(i)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let line = row.iter().zip(&widths).map(|(cell, width)| format!("  {cell:<width$}"));
        writeln!(out, "{}", line.collect::<String>().trim_end())?;
    }
    Ok(())
}
