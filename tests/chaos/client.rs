//! Somebody who creates, fills and deletes agents, and remembers what was promised.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio_postgres::{Error, NoTls, SimpleQueryMessage};

use super::Stage;
use crate::support::{ADMIN, Admin, until};

/// A prefix that is this client's alone, and what became of it.
#[derive(Clone, Debug)]
pub struct Slot {
    pub prefix: String,
    /// The agent that has it.
    pub agent: Option<i64>,
    /// Its deletion was promised.
    pub going: bool,
    /// Customers whose insertion was acknowledged.
    pub rows: Vec<u64>,
}

pub struct Client {
    pub slots: Vec<Slot>,
    random: Rng,
    session: Option<Admin>,
    phone: u64,
}

/// What a client may meet when things break: shutdown and crash, its own timeouts, giving way.
const EXPECTED: [&str; 6] = ["57P01", "57P02", "57P03", "57014", "55P03", "40P01"];
/// The table is not built yet, or still the former agent's, whom the foreign key misses.
const NOT_YET: [&str; 2] = ["42P01", "23503"];
/// Jobs waiting: above that the clients wait too, so that the faults come in the middle of work.
const BACKLOG: i64 = 16;
const LOOK_AGAIN: Duration = Duration::from_millis(5);

impl Client {
    pub fn new(number: u64, prefixes: usize, seed: u64) -> Self {
        let slot = |n| Slot {
            prefix: format!("c{number}_{n}"),
            agent: None,
            going: false,
            rows: Vec::new(),
        };
        Self {
            slots: (0..prefixes).map(slot).collect(),
            random: Rng::with_seed(seed * 100 + number),
            session: None,
            phone: number * 1_000_000,
        }
    }

    /// Until there were enough events; what it was promised.
    pub async fn run(mut self, stage: Arc<Stage>) -> Vec<Slot> {
        let url = stage.db.url(ADMIN);
        let mut slots = std::mem::take(&mut self.slots);
        while !stage.over() {
            let slot = self.random.choice(&mut slots).unwrap();
            match self.event(&url, slot).await {
                Ok(true) => stage.count(),
                Ok(false) => {}
                Err(error) => {
                    self.broken(&error);
                    self.know(&url, slot).await;
                }
            }
        }
        for slot in &mut slots {
            self.know(&url, slot).await;
        }
        slots
    }

    /// Does something to an agent; whether that was acknowledged.
    async fn event(&mut self, url: &str, slot: &mut Slot) -> Result<bool, Error> {
        let look = "select count(*), exists (select from provisioning.agents where agent_id = $1)
                    from provisioning.jobs where state = 'pending'";
        let row = self.session(url).await.query_one(look, &[&slot.agent]).await?;
        let (waiting, built): (i64, bool) = (row.get(0), row.get(1));
        // Most agents are given the time to be built.
        if waiting > BACKLOG || slot.agent.is_some() && !built && self.random.u8(..20) > 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
            return Ok(false);
        }
        match slot.agent {
            None => self.create(url, slot).await,
            Some(_) if slot.going => self.learn(url, slot).await.map(|()| false),
            Some(id) => match self.random.u8(..10) {
                ..4 => self.write(url, slot, id).await,
                4..7 => self.delete(url, slot, id).await,
                _ => self.ask_to_delete(url, slot, id).await,
            },
        }
    }

    async fn create(&mut self, url: &str, slot: &mut Slot) -> Result<bool, Error> {
        let sql = "insert into public.agents (agent_prefix) values ($1) returning id";
        let row = self.session(url).await.query_one(sql, &[&slot.prefix]).await?;
        slot.is(Some(row.get(0)));
        Ok(true)
    }

    async fn delete(&mut self, url: &str, slot: &mut Slot, id: i64) -> Result<bool, Error> {
        let sql = "delete from public.agents where id = $1";
        let gone = self.session(url).await.execute(sql, &[&id]).await?;
        assert_eq!(gone, 1, "{slot:?} was deleted by somebody");
        slot.is(None);
        Ok(true)
    }

    async fn ask_to_delete(&mut self, url: &str, slot: &mut Slot, id: i64) -> Result<bool, Error> {
        let sql = "select success from public.delete_agent($1)";
        // No: the database was busy, and nothing has changed.
        slot.going = self.session(url).await.query_one(sql, &[&id]).await?.get(0);
        Ok(slot.going)
    }

    async fn write(&mut self, url: &str, slot: &mut Slot, id: i64) -> Result<bool, Error> {
        self.phone += 1;
        let (prefix, phone) = (&slot.prefix, self.phone);
        let sql = format!(
            "insert into public.{prefix}_customers (name, phone) values ('{id}', '{phone}')
             returning agent_id"
        );
        match self.session(url).await.simple_query(&sql).await {
            Ok(answer) => {
                let own = |message: &SimpleQueryMessage| {
                    let of = Some(id.to_string());
                    matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == of.as_deref())
                };
                // Else it is in a former agent's table: the deletion has taken the keys off and goes on.
                if !answer.iter().any(own) {
                    return Ok(false);
                }
                slot.rows.push(phone);
            }
            Err(error) if error.code().is_some_and(|code| NOT_YET.contains(&code.code())) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// After an error nobody knows what took effect: the rows do.
    async fn know(&mut self, url: &str, slot: &mut Slot) {
        while let Err(error) = self.learn(url, slot).await {
            self.broken(&error);
        }
    }

    async fn learn(&mut self, url: &str, slot: &mut Slot) -> Result<(), Error> {
        let sql = "select a.id, exists (select from provisioning.jobs j where j.agent_id = a.id
                       and j.kind = 'deprovision')
                   from public.agents a where a.agent_prefix = $1";
        let row = self.session(url).await.query_opt(sql, &[&slot.prefix]).await?;
        let found = row.as_ref().map(|row| row.get(0));
        if found != slot.agent {
            slot.is(found);
        }
        slot.going |= row.is_some_and(|row| row.get(1));
        Ok(())
    }

    async fn session(&mut self, url: &str) -> &Admin {
        if self.session.as_ref().is_none_or(|session| session.is_closed()) {
            self.session = Some(until("a session", || connect(url)).await);
        }
        self.session.as_ref().unwrap()
    }

    fn broken(&mut self, error: &Error) {
        if let Some(code) = error.code() {
            assert!(EXPECTED.contains(&code.code()), "{error:?}");
        }
        self.session = None;
    }
}

impl Slot {
    fn is(&mut self, agent: Option<i64>) {
        (self.agent, self.going, self.rows) = (agent, false, Vec::new());
    }
}

async fn connect(url: &str) -> Option<Admin> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.ok()?;
    tokio::spawn(connection);
    // As the API gateway limits what its users send.
    client.batch_execute("set statement_timeout = '8s'").await.ok()?;
    Some(Admin(client))
}
