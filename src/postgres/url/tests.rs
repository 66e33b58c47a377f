use std::error;

use tokio_postgres::config::TargetSessionAttrs;

use super::*;

fn parse(url: &str) -> Result<Target, Error> {
    Target::parse(url, None, None)
}

#[test]
fn a_pasted_url_becomes_a_configuration() {
    let url = "postgresql://postgres.ref:p%40s%20%27s\\@[::1]:6543,db.test/postgres\
        ?connection_limit=1&sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&keepalives_count=7\
        &tcp_user_timeout=1500&target_session_attrs=read-write&options=-c%20geqo%3Doff";
    let target = parse(url).unwrap();
    let config = &target.config;
    assert_eq!(config.get_user(), Some("postgres.ref"));
    assert_eq!(config.get_password(), Some(&b"p@s 's\\"[..]));
    assert_eq!(config.get_hosts(), ["::1", "db.test"].map(|host| Host::Tcp(host.into())));
    assert_eq!(config.get_ports(), [6543, 5432]);
    let each = target.hosts.iter().map(|host| (host.get_hosts(), host.get_ports()));
    let hosts = config.get_hosts();
    assert_eq!(each.collect::<Vec<_>>(), [(&hosts[..1], &[6543][..]), (&hosts[1..], &[5432])]);
    assert_eq!(config.get_options(), Some("-c geqo=off"));
    assert_eq!(config.get_ssl_mode(), config::SslMode::Require);
    assert_eq!(config.get_keepalives_idle(), Duration::from_secs(10));
    assert_eq!(config.get_keepalives_interval(), Some(Duration::from_secs(5)));
    assert_eq!(config.get_keepalives_retries(), Some(7));
    assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_millis(1500)));
    assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
    assert_eq!(target.sslrootcert.as_deref(), Some(Path::new("/etc/ca.pem")));
    assert!(target.transaction_pooler && !target.direct_tls);
    let plain = parse("postgres://u@h/d?host=other&port=1").unwrap();
    assert_eq!(plain.config.get_hosts(), [Host::Tcp("other".into())]);
    assert_eq!(plain.config.get_tcp_user_timeout(), Some(&Duration::from_secs(20)));
    assert!(!plain.transaction_pooler);
    assert!(parse("postgres://u@h:6432/d?pgbouncer=true").unwrap().transaction_pooler);
    assert!(!parse("postgres://u@h:6543/d?pgbouncer=false").unwrap().transaction_pooler);
}

#[test]
fn the_last_mention_of_a_parameter_wins_and_one_port_is_for_all_hosts() {
    let target = parse("postgres://u:a@h1:1/d?user=v&password=b&user=w&port=7&host=h2,h3").unwrap();
    assert_eq!(target.config.get_user(), Some("w"));
    assert_eq!(target.config.get_password(), Some(&b"b"[..]));
    let each = target.hosts.iter().map(|host| (host.get_hosts(), host.get_ports()));
    let hosts = ["h2", "h3"].map(|host| Host::Tcp(host.into()));
    assert_eq!(each.collect::<Vec<_>>(), [(&hosts[..1], &[7][..]), (&hosts[1..], &[7])]);
    for (rest, text) in
        [("h/d?sslmode", "%26"), ("h/d?nonsense=1", "nonsense"), ("[::1]5/d", "IPv6")]
    {
        let error = parse(&format!("postgres://u@{rest}")).unwrap_err().to_string();
        assert!(error.contains(text), "{rest}: {error}");
    }
}

#[test]
fn the_mode_comes_from_the_argument_then_the_url_then_the_root() {
    use SslMode::{Disable, Prefer, Require, VerifyCa, VerifyFull};
    let cases = [
        ("h/d", None, Prefer),
        ("h/d?ssl=true", None, Require),
        ("h/d?sslmode=verify-ca", None, VerifyCa),
        ("h/d?sslmode=verify-full", Some(Disable), Disable),
        ("h/d?sslrootcert=system", None, VerifyFull),
        ("h/d?sslrootcert=", None, Prefer),
        ("%2Frun/d?sslmode=verify-full", Some(VerifyFull), Disable),
        ("%2Frun,h/d?sslmode=require", None, Require),
        ("h/d?sslmode=require&sslnegotiation=direct&require_auth=password,none", None, Require),
    ];
    for (rest, argument, mode) in cases {
        let target = Target::parse(&format!("postgres://u@{rest}"), argument, None).unwrap();
        assert_eq!(target.sslmode, mode, "{rest}");
    }
    let root = Some(Path::new("/a"));
    let target = Target::parse("postgres://u@h/d?sslrootcert=system", None, root).unwrap();
    assert_eq!((target.sslmode, target.sslrootcert.as_deref()), (Prefer, root));
}

#[test]
fn a_mistake_is_named_and_the_password_is_not() {
    let cases = [
        ("host=h user=u password=MARK dbname=d", "postgres://"),
        ("jdbc:postgresql://u:MARK@h/d", "postgres://"),
        ("postgres://u:x@MARK@h/d", "%40"),
        ("postgres://u:x/MARK@h/d", "%2F"),
        ("postgres://u:x?MARK=1@h/d", "%3F"),
        ("postgres://:MARK@h/d", "no user"),
        ("postgres://u:MARK@h", "no database"),
        ("postgres://u:MARK@/d", "no host"),
        ("postgres://u:MARK%FF@h/d", "UTF-8"),
        ("postgres://u:MARK@h:x/d", "`port`"),
        ("postgres://u:MARK@[::1/d", "IPv6"),
        ("postgres://u:MARK@h/d?sslmode=allow", "`allow`"),
        ("postgres://u:MARK@h/d?pgbouncer=MARK", "write true or false"),
        ("postgres://u:MARK@h/d?sslcert=a", "sslcert"),
        ("postgres://u:MARK@h/d?require_auth=MARK", "scram-sha-256"),
        ("postgres://u:MARK@h/d?require_auth=!md5,password", "scram-sha-256"),
        ("postgres://u:MARK@%2Frun,h/d?require_auth=md5", "Unix socket"),
        ("postgres://u:MARK@h/d?sslnegotiation=direct", "sslmode=require"),
        ("postgres://u:MARK@h/d?gssencmode=require", "gssencmode"),
        ("postgres://u:MARK@h/d?tcp_user_timeout=9s", "tcp_user_timeout"),
        ("postgres://u:MARK@h/d?connect_timeout=MARK", "`connect_timeout`"),
        ("postgres://u@h/d?password=x&MARK=1", "%26"),
        ("postgres://u@h/d?password=x&MARK", "%26"),
        ("postgres://u:[YOUR-PASSWORD]@h/d", "[YOUR-PASSWORD]"),
    ];
    for (url, names) in cases {
        let error = parse(url).unwrap_err();
        let chain = std::iter::successors(Some(&error as &dyn error::Error), |e| e.source());
        let text = chain.map(|link| format!("{link} {link:?}")).collect::<Vec<_>>().join(" ");
        assert!(text.contains(names) && !text.contains("MARK"), "{url}: {text}");
    }
    let target = parse("postgres://u:MARK@h/d").unwrap();
    assert!(!format!("{target:?} {target:#?}").contains("MARK"));
}
