//! An administrator's session, with what the tests ask again and again.

use std::ops::Deref;

use tokio_postgres::error::DbError;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{Answer, until};

/// As `postgres`, who administers a Supabase project.
pub struct Admin(pub Client);

impl Deref for Admin {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

impl Admin {
    pub async fn run(&self, sql: &str) {
        self.batch_execute(sql).await.unwrap();
    }

    /// The first column of the only row.
    pub async fn one<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, sql: &str) -> T {
        self.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// The rows of any statement, cells joined by `|`.
    pub async fn rows(&self, sql: &str) -> Vec<String> {
        self.answer(sql).await.unwrap().rows
    }

    /// All rows, and how many the last statement touched.
    pub async fn answer(&self, sql: &str) -> Result<Answer, DbError> {
        let messages = self.simple_query(sql).await;
        let messages = messages.map_err(|error| error.as_db_error().unwrap().clone())?;
        let mut answer = Answer { rows: Vec::new(), touched: 0 };
        for message in messages {
            match message {
                SimpleQueryMessage::Row(row) => {
                    let cells = (0..row.len()).map(|i| row.get(i).unwrap_or("-"));
                    answer.rows.push(cells.collect::<Vec<_>>().join("|"));
                }
                SimpleQueryMessage::CommandComplete(touched) => answer.touched = touched,
                SimpleQueryMessage::RowDescription(_) | _ => {}
            }
        }
        Ok(answer)
    }

    /// Inserts an agent; its id.
    pub async fn create(&self, prefix: &str) -> i64 {
        let sql = "insert into public.agents (agent_prefix) values ($1) returning id";
        self.query_one(sql, &[&prefix]).await.unwrap().get(0)
    }

    /// Waits until a query says `true`.
    #[track_caller]
    pub fn holds<'a>(&'a self, sql: &'a str) -> impl Future<Output = ()> + 'a {
        until(sql, move || async move {
            self.one::<bool>(&format!("select coalesce(({sql}), false)")).await.then_some(())
        })
    }

    /// Waits until no job is pending.
    #[track_caller]
    pub fn settled(&self) -> impl Future<Output = ()> + '_ {
        self.holds("select not exists (select from provisioning.jobs where state = 'pending')")
    }

    /// The same for many jobs: however many there are, it never waits long for the next one.
    pub async fn all_done(&self) {
        let sql = "select count(*) from provisioning.jobs where state = 'pending'";
        let mut left: i64 = self.one(sql).await;
        while left > 0 {
            left = until("another job to be done", || async {
                let now: i64 = self.one(sql).await;
                (now < left).then_some(now)
            })
            .await;
        }
    }

    /// Waits until a worker is in the middle of a job of this prefix, held up by a lock.
    #[track_caller]
    pub fn held_up<'a>(&'a self, prefix: &'a str) -> impl Future<Output = i32> + 'a {
        until("a job that waits for a lock", move || async move {
            let sql = "select a.pid from pg_stat_activity a join provisioning.jobs j \
                       on a.application_name = 'agent-provisioner job ' || j.id \
                       where a.datname = current_database() and j.agent_prefix = $1 \
                       and a.wait_event_type = 'Lock'";
            self.query_opt(sql, &[&prefix]).await.unwrap().map(|row| row.get(0))
        })
    }

    /// Waits until no session of the service's is left in this database, not even one that waits for a lock.
    #[track_caller]
    pub fn deserted(&self) -> impl Future<Output = ()> + '_ {
        self.holds(
            "select not exists (select from pg_stat_activity where datname = current_database()
             and application_name ^@ 'agent-prov')",
        )
    }

    /// What the catalog says of an agent's tables, with placeholders for prefix and id.
    pub async fn catalog(&self, prefix: &str, id: i64) -> String {
        let sql = include_str!("catalog.sql").replace("$1", &format!("'{prefix}'"));
        let lines = self.rows(&sql).await.join("\n");
        lines.replace(prefix, "{prefix}").replace(&id.to_string(), "{agent_id}")
    }

    /// The tables in `public` that bear a prefix.
    pub async fn tables(&self, prefix: &str) -> Vec<String> {
        self.rows(&format!(
            "select tablename from pg_tables where schemaname = 'public' \
             and tablename ^@ '{prefix}_' order by 1"
        ))
        .await
    }
}
