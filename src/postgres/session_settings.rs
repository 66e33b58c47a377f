//! The settings of a session that our statements depend on.
//!
//! A DBA may set nearly everything for a role or a database (`alter role … set …`), and means other programs by it. What
//! would change the meaning of our statements or the answers to them, or end our sessions, each session of
//! ours sets back. Left alone is what says where tables are stored, how a statement is planned, how much memory it gets,
//! how durable a commit is, what is logged, and the database's locale: that is the DBA's to decide. So is
//! what only a superuser may set.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::timeouts::Timeouts;

/// The server ends a transaction whose client has gone quiet: a host that vanishes holds its job
/// no longer than this. In the middle of a statement it does not; there `jobs::Reconcile` does.
pub const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);

/// As `pg_stat_activity` shows a connection that is on no job.
pub(crate) const APPLICATION_NAME: &str = "agent-provisioner";

type Setting = (&'static str, &'static str);

/// What a transaction may set for itself, so that it holds behind a transaction-mode pooler too.
const IN_TRANSACTION: [Setting; 18] = [
    // How text is read: string constants, `'{1, null}'`, `= null`, XML, and names without a schema. Whoever may
    // create in schema public could put an operator there that fits better than the one that is meant.
    ("standard_conforming_strings", "on"),
    ("backslash_quote", "safe_encoding"),
    ("array_nulls", "on"),
    ("transform_null_equals", "off"),
    ("xmloption", "content"),
    ("search_path", "pg_catalog, pg_temp"),
    // How values and names are written: definitions in the catalog are compared as text.
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("bytea_output", "hex"),
    ("xmlbinary", "base64"),
    ("extra_float_digits", "1"),
    ("quote_all_identifiers", "off"),
    // `off` fails a query whose rows a policy filters. The worker's policies are meant to filter nothing.
    ("row_security", "on"),
    // May forbid views. Servers older than its security fix lack it.
    ("restrict_nonsystem_relation_kind", ""),
    // A faulty function in a template is to be found by the rehearsal, not by a tenant.
    ("check_function_bodies", "on"),
    // A build may take hours, and every statement has a limit of its own. Since PostgreSQL 17.
    ("transaction_timeout", "0"),
    // To compile a query of ours takes ten times as long as to run it.
    ("jit", "off"),
];

/// What is decided before a transaction begins.
const OF_SESSION: [Setting; 4] = [
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_deferrable", "off"),
    // The listener is idle by its nature, and so is the pool.
    ("idle_session_timeout", "0"),
    // Would turn every failed job into a lost connection.
    ("exit_on_error", "off"),
];

/// Everything that a session of ours sets once it is connected.
///
/// By SQL, because poolers drop options at startup. The TCP settings make the server notice a client host that
/// vanished; without them a lock could stay for two hours.
pub(crate) fn of_session(timeouts: &Timeouts) -> Vec<(&'static str, String)> {
    let ms = |duration: Duration| duration.as_millis().to_string();
    let fixed = IN_TRANSACTION.iter().chain(&OF_SESSION);
    let mut settings: Vec<_> = fixed.map(|(name, value)| (*name, (*value).to_owned())).collect();
    settings.extend([
        ("statement_timeout", ms(timeouts.statement)),
        ("lock_timeout", ms(timeouts.lock)),
        ("idle_in_transaction_session_timeout", ms(IDLE_IN_TRANSACTION)),
        ("tcp_keepalives_idle", "10".to_owned()),
        ("tcp_keepalives_interval", "5".to_owned()),
        ("tcp_keepalives_count", "3".to_owned()),
        ("tcp_user_timeout", "20000".to_owned()),
        ("client_connection_check_interval", "5000".to_owned()),
    ]);
    settings
}

/// Makes a session's settings, in one round trip. A setting that the server does not know is left out.
///
/// A session that is read-only by a setting of its role or database may write: nobody makes the worker's
/// role for reading. A whole server that was made read-only stays so: on a full disk that is how platforms save it.
pub(crate) async fn set(
    client: &Client,
    settings: &[(&'static str, String)],
) -> Result<(), tokio_postgres::Error> {
    let (names, values): (Vec<&str>, Vec<&str>) =
        settings.iter().map(|(name, value)| (*name, value.as_str())).unzip();
    let sql = include_str!("../../sql/postgres/session_settings.sql");
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&names, Type::TEXT_ARRAY), (&values, Type::TEXT_ARRAY)];
    client.query_typed(sql, &parameters).await.map(drop)
}

/// A statement that sets what matters for the transaction that is open, and for nothing after it.
///
/// What follows it in the same message has been read by the session's own rules.
pub(crate) fn local() -> String {
    let values = IN_TRANSACTION.map(|(name, value)| format!("('{name}', '{value}')"));
    format!(
        "do $$\nbegin\n    perform pg_catalog.set_config(s.name, s.value, true)\n    \
         from (values\n        {}\n    ) s (name, value)\n    \
         where pg_catalog.current_setting(s.name, true) is not null;\nend $$;\n",
        values.join(",\n        ")
    )
}
