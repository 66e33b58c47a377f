//! The rows of `provisioning.moves`.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use crate::postgres::{QueryError, query};

const DOING: &str = "read the record of moves";

/// Of a table that is called `m`.
const COLUMNS: &str = "m.id::text, m.direction = 'out' as is_source, m.agent_id, m.agent_prefix, m.peer, m.state, \
     m.copy::text, m.row_count, m.job, m.tables::oid[] as tables, exists (select from provisioning.jobs j where j.id = m.job \
     and j.state in ('pending', 'dead', 'paused')) as is_leaving, \
     to_char(coalesce(m.ended_at, m.begun_at) at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') as since";

/// A row of `provisioning.moves`: one side of a move.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    pub(crate) id: String,
    pub(crate) is_source: bool,
    /// In this database.
    pub(crate) agent: i64,
    pub(crate) prefix: String,
    /// The other database's name.
    pub(crate) peer: String,
    pub(crate) state: MoveState,
    /// The copy that is here, or was handed over.
    pub(crate) copy: Option<String>,
    pub(crate) rows: Option<i64>,
    /// Deletes the tables of the source.
    pub(crate) job: Option<i64>,
    /// That job is not done yet.
    pub(crate) is_leaving: bool,
    /// What was built.
    pub(crate) tables: Vec<u32>,
    /// When it began or ended. RFC 3339, in UTC.
    pub(crate) since: String,
}

/// How far one side of a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MoveState {
    Begun,
    /// Target: all rows are there.
    Copied,
    /// Source: it refuses writes.
    HandedOver,
    Done,
    Aborted,
}

impl MoveState {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Begun, "begun"),
        (Self::Copied, "copied"),
        (Self::HandedOver, "handed_over"),
        (Self::Done, "done"),
        (Self::Aborted, "aborted"),
    ];

    /// As the table has it. What a newer program may have written is over for this one.
    fn parse(name: &str) -> Self {
        let found = Self::ALL.into_iter().find(|(_, known)| *known == name);
        found.map_or(Self::Aborted, |(state, _)| state)
    }

    pub(crate) fn is_open(self) -> bool {
        match self {
            Self::Begun | Self::Copied | Self::HandedOver => true,
            Self::Done | Self::Aborted => false,
        }
    }
}

impl Move {
    /// The last move of an agent of this prefix away from this database, if none has come back since.
    pub(crate) async fn last(client: &Client, prefix: &str) -> Result<Option<Self>, QueryError> {
        let sql = format!(
            "select {COLUMNS} from provisioning.moves m where m.direction = 'out' and m.agent_prefix = $1 \
             and not exists (select from provisioning.moves b where b.direction = 'in' and b.agent_prefix = $1 \
                 and b.state = 'done' and b.ended_at > m.ended_at) \
             order by m.ended_at is null desc, m.begun_at desc limit 1"
        );
        Self::one(client, &sql, &[(&prefix, Type::TEXT)]).await
    }

    /// This side of a move.
    pub(crate) async fn find(client: &Client, id: &str) -> Result<Option<Self>, QueryError> {
        let sql = format!("select {COLUMNS} from provisioning.moves m where m.id = $1::text::uuid");
        Self::one(client, &sql, &[(&id, Type::TEXT)]).await
    }

    /// What comes here from a database and is not finished: a move, or a copy.
    pub(crate) async fn coming(
        client: &Client,
        peer: &str,
        prefix: &str,
        is_copy: bool,
    ) -> Result<Option<Self>, QueryError> {
        let sql = format!(
            "select {COLUMNS} from provisioning.moves m where m.direction = 'in' and m.is_copy = $3 and m.peer = $1 \
             and m.agent_prefix = $2 and m.ended_at is null"
        );
        let asked: [(&(dyn ToSql + Sync), Type); 3] =
            [(&peer, Type::TEXT), (&prefix, Type::TEXT), (&is_copy, Type::BOOL)];
        Self::one(client, &sql, &asked).await
    }

    /// The id of a copy that is to begin.
    pub(crate) async fn new_id(client: &Client) -> Result<Option<String>, QueryError> {
        let rows = client.query_typed("select gen_random_uuid()::text", &[]).await;
        let rows = rows.map_err(query(DOING))?;
        rows.first().map(|row| row.try_get(0)).transpose().map_err(query(DOING))
    }

    /// The move that has closed the tables of an item of the trash.
    pub(crate) async fn away(client: &Client, item: i64) -> Result<Option<Self>, QueryError> {
        let sql = format!(
            "select {COLUMNS} from provisioning.moves m join provisioning.trash t on t.agent_id = m.agent_id \
             where t.id = $1 and m.direction = 'out' and m.handed_over_at <= t.trashed_at \
             and provisioning.is_moved_item(t.id) order by m.handed_over_at desc limit 1"
        );
        Self::one(client, &sql, &[(&item, Type::INT8)]).await
    }

    /// Begins a move away from this database.
    pub(crate) async fn begin(
        client: &Client,
        agent: i64,
        prefix: &str,
        peer: &str,
        who: Option<&str>,
    ) -> Result<Option<Self>, QueryError> {
        let sql = format!(
            "insert into provisioning.moves as m (id, direction, agent_id, agent_prefix, peer, begun_by) \
             values (gen_random_uuid(), 'out', $1, $2, $3, provisioning.requester($4)) returning {COLUMNS}"
        );
        let asked: [(&(dyn ToSql + Sync), Type); 4] =
            [(&agent, Type::INT8), (&prefix, Type::TEXT), (&peer, Type::TEXT), (&who, Type::TEXT)];
        Self::one(client, &sql, &asked).await
    }

    /// Locks it until the transaction ends; fails where it is in none of these states.
    pub(crate) async fn lock(client: &Client, id: &str, states: &[&str]) -> Result<(), QueryError> {
        // No column: of a type that it does not know the driver asks the server, and may hang.
        let sql = "select from provisioning.lock_move($1::text::uuid, $2)";
        let asked: [(&(dyn ToSql + Sync), Type); 2] =
            [(&id, Type::TEXT), (&states, Type::TEXT_ARRAY)];
        let locked = client.query_typed(sql, &asked).await;
        locked.map(drop).map_err(query("lock the record of the move"))
    }

    async fn one(
        client: &Client,
        sql: &str,
        asked: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Option<Self>, QueryError> {
        let rows = client.query_typed(sql, asked).await.map_err(query(DOING))?;
        rows.first().map(Self::read).transpose().map_err(query(DOING))
    }

    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            is_source: row.try_get("is_source")?,
            agent: row.try_get("agent_id")?,
            prefix: row.try_get("agent_prefix")?,
            peer: row.try_get("peer")?,
            state: MoveState::parse(row.try_get("state")?),
            copy: row.try_get("copy")?,
            rows: row.try_get("row_count")?,
            job: row.try_get("job")?,
            is_leaving: row.try_get("is_leaving")?,
            tables: row.try_get("tables")?,
            since: row.try_get("since")?,
        })
    }
}
