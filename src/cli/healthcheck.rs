//! `agent-provisioner healthcheck`

use std::io::{self, Read, Write, stdout};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args as Clap;

use super::Error;
use crate::config::Config;
use crate::telemetry::Printable;

/// For everything, from the connection to the last byte.
const PATIENCE: Duration = Duration::from_secs(3);
/// An answer is one line.
const LONGEST: u64 = 16 * 1024;

#[derive(Clone, Debug, Clap)]
pub(super) struct Args {
    /// Ask whether it is ready, not whether it is live
    #[arg(long)]
    ready: bool,
}

/// Exit 0 if the service on this machine says yes, 1 if it says no or nothing. One that serves no HTTP is taken for live.
/// `database`: one of many, to be ready.
pub(super) fn main(
    args: &Args,
    database: Option<&str>,
    config: &Config,
) -> Result<ExitCode, Error> {
    let Some(address) = config.http.listen else {
        if args.ready {
            let nobody = "http.listen is \"off\": there is nobody to ask";
            return Err(Error::Unhealthy(nobody.to_owned()));
        }
        // Whoever restarts what is not healthy is not to restart this for ever.
        writeln!(stdout(), "http.listen is \"off\": taken for live")?;
        return Ok(ExitCode::SUCCESS);
    };
    let path = match (args.ready, database) {
        (false, _) => "/livez".to_owned(),
        (true, None) => "/readyz".to_owned(),
        (true, Some(name)) => format!("/readyz?database={name}"),
    };
    let address = local(address);
    let (yes, said) = ask(address, &path).map_err(|source| Error::Ask { address, source })?;
    if !yes {
        return Err(Error::Unhealthy(said));
    }
    said.lines().try_for_each(|line| writeln!(stdout(), "{}", Printable(line)))?;
    Ok(ExitCode::SUCCESS)
}

/// A service that listens everywhere listens here too.
fn local(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Whether the answer was 200, and what it said.
fn ask(address: SocketAddr, path: &str) -> io::Result<(bool, String)> {
    let deadline = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    let mut stream = stream.take(LONGEST);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.get_ref().set_read_timeout(Some(left))?;
        let read = match stream.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            read => read?,
        };
        if read == 0 {
            break;
        }
        answer.extend_from_slice(buffer.get(..read).unwrap_or_default());
    }
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let yes = head.split(' ').nth(1) == Some("200");
    Ok((yes, body.trim_end().to_owned()))
}
