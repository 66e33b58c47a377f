//! What `dev --demo` shows: two agents come, work apart from each other, and one goes.

use std::io::Write;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, SimpleQueryMessage};

use super::Error;
use crate::postgres::query as failed;

/// Built and dropped in a fraction of this; longer means that something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// The SQL that is shown is the SQL that is run.
struct Step {
    title: &'static str,
    sql: &'static str,
    /// The service works meanwhile: the SQL is repeated until it returns this many rows.
    until_rows: Option<usize>,
    /// Follows `agent-provisioner`, and shows the same.
    command: Option<&'static str>,
}

const STEPS: [Step; 8] = [
    Step {
        title: "Three people sign up, and one of them becomes an admin.",
        sql: "
insert into auth.users (id, email) values
    ('00000000-0000-0000-0000-00000000000a', 'ada@example.com'),
    ('00000000-0000-0000-0000-00000000000b', 'ben@example.com'),
    ('00000000-0000-0000-0000-0000000000ff', 'boss@example.com');
update public.users set role = 'admin' where name = 'boss';
select name, role from public.users order by name;",
        until_rows: None,
        command: None,
    },
    Step {
        title: "The admin creates an agent for Ada and one for Ben. Neither call waits for a table.",
        sql: "
select message from public.create_agent('00000000-0000-0000-0000-00000000000a', 'agt_ada',
    '00000000-0000-0000-0000-0000000000ff');
select message from public.create_agent('00000000-0000-0000-0000-00000000000b', 'agt_ben',
    '00000000-0000-0000-0000-0000000000ff');",
        until_rows: None,
        command: None,
    },
    Step {
        title: "The service has built their tables, with indexes and a policy for the owner.",
        sql: r"
select tablename, rowsecurity,
    (select count(*) from pg_indexes i where i.tablename = t.tablename) as indexes,
    (select policyname from pg_policies p where p.tablename = t.tablename) as policy
from pg_tables t
where schemaname = 'public' and tablename like 'agt\_%' order by tablename;",
        until_rows: Some(8),
        command: Some("agents list"),
    },
    Step {
        title: "Ada signs in. She records a customer, a message and an order, and reads them.",
        sql: r#"
begin;
set local role authenticated;
set local request.jwt.claims = '{"sub": "00000000-0000-0000-0000-00000000000a"}';
insert into public.agt_ada_customers (name, phone) values ('Grace', '+1 555 0100');
insert into public.agt_ada_messages (customer_id, message, direction)
    values (1, 'Do you have tea?', 'inbound');
insert into public.agt_ada_orders (customer_id) values (1);
insert into public.agt_ada_orders_items (order_id, name, quantity, price)
    values (1, 'Green tea', 2, 4.50), (1, 'Pot', 1, 19.90);
select (select count(*) from public.agt_ada_customers) as customers,
    (select count(*) from public.agt_ada_messages) as messages,
    (select max(total_amount) from public.agt_ada_orders) as order_total;
commit;"#,
        until_rows: None,
        command: Some("agents show agt_ada"),
    },
    Step {
        title: "Ben signs in and reads Ada's tables. He sees none of her rows.",
        sql: r#"
begin;
set local role authenticated;
set local request.jwt.claims = '{"sub": "00000000-0000-0000-0000-00000000000b"}';
select (select count(*) from public.agt_ada_customers) as customers,
    (select count(*) from public.agt_ada_messages) as messages,
    (select max(total_amount) from public.agt_ada_orders) as order_total;
commit;"#,
        until_rows: None,
        command: None,
    },
    Step {
        title: "The admin deletes Ada's agent. This call does not wait either.",
        sql: "
select success, message from public.delete_agent(
    (select id from public.agents where agent_prefix = 'agt_ada'));",
        until_rows: None,
        command: None,
    },
    Step {
        title: "The service has put Ada's tables into the trash. Only Ben's are left.",
        sql: r"
select tablename from pg_tables
where schemaname = 'public' and tablename like 'agt\_%' order by tablename;",
        until_rows: Some(4),
        command: Some("agents trash"),
    },
    Step {
        title: "The service did this as three jobs, each done in one transaction.",
        sql: "
select id, kind, agent_prefix, state, outcome,
    round(extract(epoch from duration) * 1000, 1) as ms
from provisioning.jobs order by id;",
        until_rows: None,
        command: Some("jobs list"),
    },
];

/// Walks through an agent's life as an administrator connected as `postgres`.
pub(super) async fn show(out: &mut impl Write, client: &Client) -> Result<(), Error> {
    writeln!(out, "\nEach step shows its SQL, the answer, and how long that took.")?;
    for (step, number) in STEPS.iter().zip(1..) {
        writeln!(out, "\n{number}. {}", step.title)?;
        writeln!(out, "{}\n", step.sql.replace('\n', "\n    "))?;
        let started = Instant::now();
        let rows = step.run(client).await?;
        let took = started.elapsed().as_secs_f64() * 1000.0;
        print(out, &rows)?;
        let waited = if step.until_rows.is_some() { ", repeated until it was so" } else { "" };
        writeln!(out, "  ({took:.1} ms{waited})")?;
        if let Some(command) = step.command {
            writeln!(out, "  A command for this: agent-provisioner {command}")?;
        }
    }
    Ok(())
}

impl Step {
    async fn run(&self, client: &Client) -> Result<Vec<Vec<String>>, Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let rows = query(client, self.sql).await?;
            if self.until_rows.is_none_or(|wanted| rows.len() == wanted + 1) {
                return Ok(rows);
            }
            if Instant::now() > deadline {
                return Err(Error::Late(PATIENCE));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// The rows of all statements, which have the same columns, below their heading.
async fn query(client: &Client, sql: &str) -> Result<Vec<Vec<String>>, Error> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for message in client.simple_query(sql).await.map_err(failed("show a step"))? {
        if let SimpleQueryMessage::RowDescription(columns) = message {
            if rows.is_empty() {
                rows.push(columns.iter().map(|column| column.name().to_owned()).collect());
            }
        } else if let SimpleQueryMessage::Row(row) = message {
            let cell = |i| row.get(i).unwrap_or("-").to_owned();
            rows.push((0..row.len()).map(cell).collect());
        }
    }
    Ok(rows)
}

fn print(out: &mut impl Write, rows: &[Vec<String>]) -> Result<(), Error> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |i| rows.iter().filter_map(|row| row.get(i)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let line = row.iter().zip(&widths).map(|(cell, width)| format!("  {cell:<width$}"));
        writeln!(out, "{}", line.collect::<String>().trim_end())?;
    }
    Ok(())
}
