//! `agent-provisioner dev`

use std::future::pending;
use std::io::{Write, stdout};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args as Clap;
use tokio_postgres::types::Type;

use super::{Error, connect, demo, failed, runtime};
use crate::cluster::{Cluster, SUPERUSER, draw_password};
use crate::config::{self, Config};
use crate::db;
use crate::shutdown::End;
use crate::{service, telemetry};

const DATABASE: &str = "postgres";
const ADMIN: &str = "postgres";
const WORKER: &str = "agent_provisioner";

#[derive(Debug, Clap)]
pub(super) struct Args {
    /// Create two agents, use them, delete one, and show each step
    #[arg(long)]
    demo: bool,
    /// End when everything has been shown, instead of staying up
    #[arg(long)]
    once: bool,
}

/// Of two roles. The superuser's is the server's own, and is shown to nobody.
struct Passwords {
    admin: String,
    worker: String,
}

/// Needs no configuration: server, roles and passwords live as long as the command.
pub(super) fn main(args: &Args) -> Result<ExitCode, Error> {
    let started = Instant::now();
    let cluster = Cluster::start(&[])?;
    let mut out = stdout().lock();
    let took = started.elapsed().as_millis();
    writeln!(out, "A throwaway PostgreSQL on 127.0.0.1:{} ({took} ms)", cluster.port())?;
    let http = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?; // free for the service
    let passwords = Passwords { admin: draw_password()?, worker: draw_password()? };
    let settings = |url| {
        [
            ("DATABASE_URL", url),
            ("PROVISIONER_LOG__LEVEL", "warn".to_owned()),
            ("PROVISIONER_HTTP__LISTEN", http.to_string()),
            ("PROVISIONER_REFERENCE", "check".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
    };
    let admin_url = cluster.url_with(ADMIN, &passwords.admin, DATABASE);
    let worker = cluster.url_with(WORKER, &passwords.worker, DATABASE);
    let worker = config::load(None, settings(worker))?;
    let admin = config::load(None, settings(admin_url.clone()))?;
    let superuser = config::load(None, settings(cluster.url(SUPERUSER, DATABASE)))?;
    let _logs = telemetry::init(&worker.log)?;
    runtime()?.block_on(async {
        let started = Instant::now();
        prepare(&superuser, &admin, &passwords).await?;
        writeln!(
            out,
            "Migrated, with the worker's own role ({} ms)",
            started.elapsed().as_millis()
        )?;
        let mut shown = Ok(());
        let end = async { shown = show(&mut out, args, &admin, &admin_url, http).await };
        let ended = service::run(&worker, end).await?;
        shown?;
        Ok(if ended == End::Drained { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// Returns when the server is no longer wanted.
async fn show(
    out: &mut impl Write,
    args: &Args,
    admin: &Config,
    url: &str,
    http: SocketAddr,
) -> Result<(), Error> {
    if args.demo {
        let client = connect(admin).await?;
        demo::show(out, &client).await?;
    }
    if !args.once {
        writeln!(out, "\nThe service runs. To play with it:\n  psql '{url}'")?;
        writeln!(out, "Probes and metrics:\n  curl http://{http}/readyz http://{http}/metrics")?;
        writeln!(out, "Ctrl-C ends both and leaves nothing behind.")?;
        pending::<()>().await;
    }
    Ok(())
}

/// What Supabase and an operator would have done: platform roles, schema, the worker's role.
async fn prepare(superuser: &Config, admin: &Config, passwords: &Passwords) -> Result<(), Error> {
    let client = connect(superuser).await?;
    db::install_shim(&client).await?;
    set_password(&client, ADMIN, &passwords.admin).await?;
    let mut client = connect(admin).await?;
    db::migrate(&mut client).await?;
    let roles = client.batch_execute(include_str!("../../deploy/roles.sql")).await;
    roles.map_err(failed("deploy/roles.sql"))?;
    set_password(&client, WORKER, &passwords.worker).await
}

/// The server quotes both: a role's password cannot be a bind parameter.
async fn set_password(
    client: &tokio_postgres::Client,
    role: &str,
    password: &str,
) -> Result<(), Error> {
    let doing = "setting a password";
    let quote = "select format('alter role %I password %L', $1, $2)";
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&role, Type::TEXT), (&password, Type::TEXT)];
    for row in client.query_typed(quote, &parameters).await.map_err(failed(doing))? {
        client.batch_execute(row.get(0)).await.map_err(failed(doing))?;
    }
    Ok(())
}
