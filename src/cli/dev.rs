//! `agent-provisioner dev`

use std::env;
use std::future::pending;
use std::io::{Write, stdout};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args as Clap;

use super::{Error, demo, runtime};
use crate::console::{self, Console};
use crate::dev_server::{DevServer, SUPERUSER, draw_password};
use crate::operations::dev;
use crate::service::{self, End, Instance};
use crate::{config, telemetry};

const DATABASE: &str = "postgres";
const ADMIN: &str = "postgres";
const WORKER: &str = "agent_provisioner";
const CONSOLE: &str = "agent_console";

/// Works after the demonstration.
const TO_TRY: &str = r#"
1. Bring Ada's agent back from the trash, with its rows:
  agent-provisioner agents restore agt_ada
  psql "$DATABASE_URL" -c 'select * from public.agt_ada_orders_items'

2. Create an agent yourself. One row is enough:
  psql "$DATABASE_URL" -c "insert into public.agents (agent_prefix) values ('agt_mine')"
  agent-provisioner agents show agt_mine

3. Damage an agent, see what is wrong with it, and have it repaired:
  psql "$DATABASE_URL" -c 'alter table public.agt_ben_orders disable row level security'
  agent-provisioner agents verify
  agent-provisioner agents repair --wait agt_ben
"#;

#[derive(Debug, Clap)]
pub(super) struct Args {
    /// Create two agents, use them, delete one, and show each step
    #[arg(long)]
    demo: bool,
    /// End when everything has been shown, instead of staying up
    #[arg(long)]
    once: bool,
}

/// Of three roles. The superuser's is the server's own, and is shown to nobody.
struct Passwords {
    admin: String,
    worker: String,
    console: String,
}

/// Needs no configuration: server, roles and passwords live as long as the command.
pub(super) fn main(args: &Args) -> Result<ExitCode, Error> {
    let started = Instant::now();
    let server = DevServer::start(&[])?;
    let mut out = stdout().lock();
    let took = started.elapsed().as_millis();
    writeln!(out, "A throwaway PostgreSQL on 127.0.0.1:{} ({took} ms)", server.port())?;
    let http = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?; // free for the service
    let passwords =
        Passwords { admin: draw_password()?, worker: draw_password()?, console: draw_password()? };
    let settings = |url| {
        [
            ("DATABASE_URL", url),
            ("PROVISIONER_LOG__LEVEL", "warn".to_owned()),
            ("PROVISIONER_HTTP__LISTEN", http.to_string()),
            ("PROVISIONER_REFERENCE", "check".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .to_vec()
    };
    let console = [
        ("PROVISIONER_CONSOLE__LISTEN", "127.0.0.1:0".to_owned()), // a free port
        (
            "PROVISIONER_CONSOLE__DATABASE_URL",
            server.url_with(CONSOLE, &passwords.console, DATABASE),
        ),
    ]
    .map(|(key, value)| (key.to_owned(), value));
    let admin_url = server.url_with(ADMIN, &passwords.admin, DATABASE);
    let worker = server.url_with(WORKER, &passwords.worker, DATABASE);
    let worker = instance([settings(worker), console.to_vec()].concat())?;
    let admin = instance(settings(admin_url.clone()))?;
    let superuser = instance(settings(server.url(SUPERUSER, DATABASE)))?;
    let log = &worker.config.log;
    let _logs = telemetry::init(log.format, &log.level)?;
    runtime()?.block_on(async {
        let started = Instant::now();
        let of_roles = [
            (ADMIN, passwords.admin.as_str()),
            (WORKER, &passwords.worker),
            (CONSOLE, &passwords.console),
        ];
        dev::prepare(&superuser, &admin, of_roles).await?;
        writeln!(
            out,
            "Migrated, with the worker's own role ({} ms)",
            started.elapsed().as_millis()
        )?;
        let mut shown = Ok(());
        let console = Console::bind(&worker.config).await?;
        let links = Links { http, console: console.as_ref().map(Console::address) };
        let end = async { shown = show(&mut out, args, &admin, &admin_url, &links).await };
        let ended =
            service::run(&worker, |shutdown| console::beside(console, shutdown), end).await?;
        shown?;
        Ok(if ended == End::Drained { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// Where the service answers.
struct Links {
    http: SocketAddr,
    console: Option<SocketAddr>,
}

/// Returns when the server is no longer wanted.
async fn show(
    out: &mut impl Write,
    args: &Args,
    admin: &Instance,
    url: &str,
    links: &Links,
) -> Result<(), Error> {
    if args.demo {
        let client = admin.connect().await?;
        demo::show(out, &client).await?;
    }
    if args.once {
        writeln!(out, "\nThe service and its database end here, and nothing is left behind.")?;
        if args.demo {
            writeln!(out, "Without --once they stay up, and you are shown three things to try:")?;
            writeln!(out, "  {} dev --demo", program().display())?;
        }
        return Ok(());
    }
    writeln!(out, "\nThe service runs. To look into its database:\n  psql '{url}'")?;
    let Links { http, console } = links;
    if let Some(console) = console {
        writeln!(out, "The console, to see what goes on and to act: http://{console}/")?;
    }
    writeln!(out, "Probes and metrics:\n  curl http://{http}/readyz http://{http}/metrics")?;
    if args.demo {
        suggest(out, url)?;
    }
    writeln!(out, "\nCtrl-C ends both and leaves nothing behind.")?;
    pending::<()>().await;
    Ok(())
}

fn instance(settings: Vec<(String, String)>) -> Result<Instance, Error> {
    let config = config::load(None, settings)?.into_first();
    let connections = config.database.pool_size;
    Ok(Instance::new(config, connections)?)
}

/// Each line can be pasted into a shell as it stands.
fn suggest(out: &mut impl Write, url: &str) -> Result<(), Error> {
    let program = program();
    let directory = program.parent().unwrap_or(Path::new("")).display().to_string();
    writeln!(
        out,
        "\nThree things to try in another terminal. Paste these two lines first. The commands"
    )?;
    writeln!(out, "that are shown above work there, too, but for agents that are deleted by now.")?;
    writeln!(out, "  export PATH='{}':\"$PATH\"", directory.replace('\'', r"'\''"))?;
    writeln!(out, "  export DATABASE_URL='{url}'\n")?;
    writeln!(out, "{}", TO_TRY.trim())?;
    Ok(())
}

fn program() -> PathBuf {
    env::current_exe().unwrap_or_else(|_| PathBuf::from("agent-provisioner"))
}
