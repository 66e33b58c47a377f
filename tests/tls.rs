//! Which server is believed in which mode, and which one gets a password. libpq gives the same table, but for
//! `prefer` with a root: there it goes on in plain text where there is no TLS or the check fails.

use std::error::Error;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use agent_provisioner::dev_server::{self, DevServer};
use agent_provisioner::postgres::{self, SslMode, Target};
use agent_provisioner::telemetry::ErrorReport;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio_postgres::Row;

use crate::support::{Impostor, finish, provisioner, said, until};

pub type Ca = CertifiedIssuer<'static, KeyPair>;
pub type Outcome<T> = Result<T, Box<dyn Error>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    Plain,
    Tls,
    Refused,
}
use Session::{Plain, Refused, Tls};

/// The columns of the table: a mode, and whether it is given the root.
const ASKED: [(SslMode, bool); 7] = [
    (SslMode::Disable, false),
    (SslMode::Prefer, false),
    (SslMode::Require, false),
    (SslMode::Prefer, true),
    (SslMode::Require, true),
    (SslMode::VerifyCa, true),
    (SslMode::VerifyFull, true),
];

pub fn ca(name: &str) -> Outcome<Ca> {
    let mut params = CertificateParams::new(["127.0.0.1".into(), "localhost".into()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// A certificate for the names and its key, as PEM.
pub fn signed(ca: &Ca, names: &[&str]) -> Outcome<(String, String)> {
    let names = names.iter().map(|&name| name.into()).collect::<Vec<String>>();
    let key = KeyPair::generate()?;
    Ok((CertificateParams::new(names)?.signed_by(&key, ca)?.pem(), key.serialize_pem()))
}

/// A file next to the server's own, readable for it alone.
pub fn write(cluster: &DevServer, name: &str, text: &str) -> Outcome<PathBuf> {
    let path = cluster.data_dir().join(name);
    fs::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    let owner = fs::metadata(cluster.data_dir())?;
    chown(&path, Some(owner.uid()), Some(owner.gid()))?;
    Ok(path)
}

async fn ask(target: &Target, statement: &str) -> Outcome<Option<Row>> {
    let connector = postgres::Connector::new(target)?;
    let (client, connection) = target.config.connect(connector).await?;
    tokio::select! {
        row = client.query_opt(statement, &[]) => Ok(row?),
        closed = connection => Err(closed.err().map_or("closed".into(), Into::into)),
    }
}

/// Returns once every new session is served with the certificate.
pub async fn present(
    cluster: &DevServer,
    name: &str,
    (certificate, key): (&str, &str),
) -> Outcome<()> {
    write(cluster, &format!("{name}.crt"), certificate)?;
    write(cluster, &format!("{name}.key"), key)?;
    let url = cluster.url(dev_server::SUPERUSER, "postgres");
    let plain = Target::parse(&url, Some(SslMode::Disable), None)?;
    ask(&plain, &format!("alter system set ssl_cert_file = '{name}.crt'")).await?;
    ask(&plain, &format!("alter system set ssl_key_file = '{name}.key'")).await?;
    ask(&plain, "alter system set ssl = on").await?;
    ask(&plain, "select pg_reload_conf()").await?;
    let loaded = format!("select 1 where current_setting('ssl_cert_file') = '{name}.crt'");
    let look = || async {
        match ask(&plain, &loaded).await {
            Ok(None) => None,
            Ok(Some(_)) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        }
    };
    until("the server to load the certificate", look).await
}

async fn session(cluster: &DevServer, mode: SslMode, root: Option<&Path>) -> Outcome<Session> {
    let target = Target::parse(&cluster.url(dev_server::SUPERUSER, "postgres"), Some(mode), root)?;
    match ask(&target, "select ssl from pg_stat_ssl where pid = pg_backend_pid()").await {
        Ok(row) => Ok(if row.ok_or("no session")?.try_get(0)? { Tls } else { Plain }),
        Err(error) if error.to_string().contains("TLS handshake") => Ok(Refused),
        Err(error) => Err(error),
    }
}

async fn check(
    cluster: &DevServer,
    server: &str,
    root: &Path,
    expected: [Session; 7],
) -> Outcome<()> {
    for ((mode, with_root), expected) in ASKED.into_iter().zip(expected) {
        let got = session(cluster, mode, with_root.then_some(root)).await?;
        assert_eq!(got, expected, "{server}: {mode:?}, root: {with_root}");
    }
    Ok(())
}

#[tokio::test]
async fn a_session_is_as_encrypted_and_as_verified_as_the_mode_says() -> Outcome<()> {
    let cluster = DevServer::start(&[])?;
    let (ours, other, own) = (ca("ours")?, ca("other")?, ca("own")?);
    let our_root = write(&cluster, "ours.pem", &ours.pem())?;
    let own_root = write(&cluster, "own.pem", &own.pem())?;
    check(
        &cluster,
        "no TLS",
        &our_root,
        [Plain, Plain, Refused, Refused, Refused, Refused, Refused],
    )
    .await?;

    let (certificate, key) = signed(&ours, &["127.0.0.1", "localhost"])?;
    present(&cluster, "right", (&certificate, &key)).await?;
    check(&cluster, "right", &our_root, [Plain, Tls, Tls, Tls, Tls, Tls, Tls]).await?;

    let (certificate, key) = signed(&ours, &["db.invalid"])?;
    present(&cluster, "misnamed", (&certificate, &key)).await?;
    check(&cluster, "misnamed", &our_root, [Plain, Tls, Tls, Tls, Tls, Tls, Refused]).await?;

    let (certificate, key) = signed(&other, &["127.0.0.1", "localhost"])?;
    present(&cluster, "foreign", (&certificate, &key)).await?;
    check(&cluster, "foreign", &our_root, [Plain, Tls, Tls, Refused, Refused, Refused, Refused])
        .await?;

    present(&cluster, "own", (&own.pem(), &own.key().serialize_pem())).await?;
    check(&cluster, "own", &our_root, [Plain, Tls, Tls, Refused, Refused, Refused, Refused])
        .await?;
    check(&cluster, "own, known", &own_root, [Plain, Tls, Tls, Tls, Tls, Tls, Tls]).await
}

/// The server asks for the password, or for its hash, or for nothing.
const CLEAR: &[u8] = b"R\0\0\0\x08\0\0\0\x03";
const MD5: &[u8] = b"R\0\0\0\x0c\0\0\0\x05salt";
const TRUST: &[u8] = b"R\0\0\0\x08\0\0\0\0";

#[tokio::test]
async fn who_is_not_verified_gets_no_password_unless_told_to() {
    let cases = [
        (CLEAR, "", false),
        (MD5, "", false),
        (CLEAR, "?sslmode=prefer", false),
        (MD5, "?sslmode=prefer", false),
        (CLEAR, "?sslmode=require", false),
        (CLEAR, "?sslmode=prefer&require_auth=scram-sha-256,none", false),
        (CLEAR, "?require_auth=md5", false),
        (MD5, "?require_auth=!md5", false),
        (CLEAR, "?sslmode=disable&require_auth=scram-sha-256", false),
        (TRUST, "?require_auth=scram-sha-256", false),
        (CLEAR, "?sslmode=disable", true),
        (MD5, "?sslmode=disable", true),
        (CLEAR, "?require_auth=password", true),
        (MD5, "?require_auth=md5,scram-sha-256", true),
        (CLEAR, "?require_auth=!md5", true),
    ];
    for (answer, parameters, given) in cases {
        let impostor = Impostor::new(answer);
        let mut command = provisioner(&format!("{}{parameters}", impostor.url));
        // The impostor says nothing more.
        command.env("PROVISIONER_DATABASE__CONNECT_TIMEOUT", "2s");
        let output = finish(command.args(["jobs", "list"])).await;
        assert_eq!(output.status.code(), Some(1), "{parameters}: {}", said(&output));
        let heard = impostor.heard();
        // An MD5 message: `p`, its length, `md5` and the hash.
        let got = heard.contains(Impostor::PASSWORD) || heard.contains("md5");
        assert_eq!(got, given, "{parameters}: {heard:?}");
        let why = said(&output);
        let refused = ["require_auth", "has no TLS"].iter().any(|text| why.contains(text));
        assert_eq!(refused, !given, "{parameters}: {why}");
    }
}

#[tokio::test]
async fn a_verified_server_may_ask_for_the_password() -> Outcome<()> {
    let cluster = DevServer::start(&[])?;
    let ours = ca("ours")?;
    let root = write(&cluster, "ours.pem", &ours.pem())?;
    let (certificate, key) = signed(&ours, &["127.0.0.1", "localhost"])?;
    present(&cluster, "right", (&certificate, &key)).await?;
    let url = cluster.url(dev_server::SUPERUSER, "postgres");
    let ssl = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    let bound = format!("{url}?channel_binding=require");
    for (mode, root) in [(SslMode::Require, None), (SslMode::VerifyFull, Some(&*root))] {
        ask(&Target::parse(&bound, Some(mode), root)?, ssl).await?;
    }
    let plain = ask(&Target::parse(&bound, Some(SslMode::Disable), None)?, ssl).await;
    assert!(ErrorReport(&*plain.unwrap_err()).to_string().contains("channel binding"));

    write(&cluster, "pg_hba.conf", "host all all 127.0.0.1/32 password\n")?;
    let open = Target::parse(&url, Some(SslMode::Disable), None)?;
    ask(&open, "select pg_reload_conf()").await?;
    let asks = Target::parse(&format!("{url}?require_auth=password"), None, None)?;
    until("the server to ask for it", || async { ask(&asks, ssl).await.ok() }).await;
    for mode in [SslMode::Prefer, SslMode::Require] {
        let refused = ask(&Target::parse(&url, Some(mode), None)?, ssl).await.unwrap_err();
        let refused = ErrorReport(&*refused).to_string();
        assert!(
            refused.contains("authentication by password") && refused.contains("verify-full"),
            "{mode:?}: {refused}"
        );
        ask(&Target::parse(&url, Some(mode), Some(&root))?, ssl).await?;
    }
    for mode in [SslMode::VerifyCa, SslMode::VerifyFull] {
        ask(&Target::parse(&url, Some(mode), Some(&root))?, ssl).await?;
    }
    ask(&open, ssl).await?;
    Ok(())
}
