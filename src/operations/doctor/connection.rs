//! Why nobody can connect: one cause, one fix.

use std::error::Error as StdError;
use std::io;

use rustls::CertificateError;
use tokio_postgres::error::{DbError, SqlState};

use super::finding::{DISK_FULL, Finding, failure};
use crate::postgres;
use crate::telemetry::ErrorReport;

const SILENT: &str = "nothing answers there: check host and port in the URL, the firewall, and whether the server runs";

pub(super) fn failed(error: &postgres::Error) -> Finding {
    failure("connection", ErrorReport(error).to_string(), fix(error))
}

/// The most specific cause decides.
fn fix(error: &postgres::Error) -> &'static str {
    let mut fix = match error {
        postgres::Error::Timeout { .. } | postgres::Error::Silent(_) => SILENT,
        postgres::Error::Connect { .. }
        | postgres::Error::Pool(_)
        | postgres::Error::Build(_)
        | postgres::Error::Query(_) => {
            "check the URL, the network and the password; the service needs no more"
        }
    };
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<DbError>().and_then(of_server) {
            return found;
        }
        if let Some(found) = error.downcast_ref::<rustls::Error>().and_then(of_certificate) {
            return found;
        }
        let Some(io) = error.downcast_ref::<io::Error>() else {
            next = error.source();
            continue;
        };
        fix = of_io(io).unwrap_or(fix);
        // Its own source is that of what it holds.
        next = io.get_ref().map(|held| held as &(dyn StdError + 'static));
    }
    fix
}

fn of_server(error: &DbError) -> Option<&'static str> {
    let code = error.code();
    Some(if *code == SqlState::INVALID_PASSWORD {
        "the user or the password is another one: see the user in the URL; else set the password in psql as postgres with \\password, \
         and write it into the URL"
    } else if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION {
        "let the role log in: alter role agent_provisioner login; where it is not there run deploy/roles.sql as postgres; \
         else see pg_hba.conf and sslmode"
    } else if *code == SqlState::INVALID_CATALOG_NAME {
        "name a database that exists, at the end of the URL: psql -l lists them"
    } else if *code == SqlState::TOO_MANY_CONNECTIONS {
        "raise the role's limit (alter role … connection limit …), or max_connections; or lower worker.concurrency \
         and database.pool_size"
    } else if *code == SqlState::CANNOT_CONNECT_NOW {
        "the server starts, stops or recovers: wait, and see its log"
    } else if *code == SqlState::DISK_FULL {
        DISK_FULL
    } else {
        return None;
    })
}

fn of_certificate(error: &rustls::Error) -> Option<&'static str> {
    use CertificateError as E;
    let rustls::Error::InvalidCertificate(error) = error else { return None };
    let is_over = matches!(error, E::Expired | E::ExpiredContext { .. });
    let is_early = matches!(error, E::NotValidYet | E::NotValidYetContext { .. });
    let is_anothers = matches!(error, E::NotValidForName | E::NotValidForNameContext { .. });
    Some(if is_over {
        "the server's certificate is over: renew it there, and check the clock of this machine"
    } else if is_early {
        "the server's certificate is not valid yet: check the clock of this machine"
    } else if is_anothers {
        "the certificate is for another name: write the host in the URL as the certificate has it"
    } else {
        "nobody here trusts who signed the certificate: download the server's root certificate and set sslrootcert"
    })
}

fn of_io(error: &io::Error) -> Option<&'static str> {
    if error.to_string().contains("the server has no TLS") {
        return Some(
            "switch TLS on there (ssl = on), or set sslmode=disable where the network is yours",
        );
    }
    let kind = error.kind();
    let silent = [
        io::ErrorKind::TimedOut,
        io::ErrorKind::HostUnreachable,
        io::ErrorKind::NetworkUnreachable,
    ];
    if kind == io::ErrorKind::ConnectionRefused {
        return Some(
            "no server listens there: check host and port in the URL, and start the server",
        );
    }
    if silent.contains(&kind) {
        return Some(SILENT);
    }
    let is_unknown = error.to_string().contains("lookup address");
    is_unknown.then_some(
        "there is no such host: check its name in the URL, and this machine's name service",
    )
}
