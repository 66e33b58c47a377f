use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CertifiedKey, IsCa, KeyPair,
    date_time_ymd, generate_simple_self_signed,
};
use rustls::sign::{self, SingleCertAndKey};
use rustls::{ClientConnection, ServerConfig, ServerConnection, SupportedProtocolVersion};
use serde::Deserialize;
use serde::de::value::{Error as Unreadable, StrDeserializer};

use super::*;

const MODES: [SslMode; 5] =
    [SslMode::Disable, SslMode::Prefer, SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull];

/// A handshake with a server that presents a certificate and signs with any key.
fn handshake(
    client: ClientConfig,
    certificate: &CertificateDer<'static>,
    key: KeyPair,
    version: &'static SupportedProtocolVersion,
) -> Result<(), rustls::Error> {
    let key = ring::sign::any_ecdsa_type(&key.into())?;
    let presented = SingleCertAndKey::from(sign::CertifiedKey::new(vec![certificate.clone()], key));
    let server = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_protocol_versions(&[version])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(presented));
    let mut server = ServerConnection::new(server.into())?;
    let mut client = ClientConnection::new(client.into(), "db.test".try_into().unwrap())?;
    while client.is_handshaking() {
        let (mut sent, mut answer) = (Vec::new(), Vec::new());
        client.write_tls(&mut sent).unwrap();
        server.read_tls(&mut sent.as_slice()).unwrap();
        server.process_new_packets()?;
        server.write_tls(&mut answer).unwrap();
        client.read_tls(&mut answer.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn whoever_is_believed_holds_the_key_of_its_certificate() {
    let thief = KeyPair::generate().unwrap().serialize_pem();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["db.test".to_owned()]).unwrap();
    let owner = signing_key.serialize_pem();
    for version in rustls::ALL_VERSIONS {
        let modes = [(SslMode::Disable, false), (SslMode::Prefer, true), (SslMode::Require, true)];
        for (mode, believed) in modes {
            let attempt = |key: &str| {
                let key = KeyPair::from_pem(key).unwrap();
                handshake(
                    client_config(mode, None, EndsSoon::default()).unwrap(),
                    cert.der(),
                    key,
                    version,
                )
            };
            assert_eq!(attempt(&owner).is_ok(), believed, "{mode:?} {version:?}");
            assert!(attempt(&thief).is_err(), "{mode:?} {version:?}");
        }
    }
}

#[test]
fn names_are_those_of_the_configuration() {
    for name in "disable prefer require verify-ca verify-full allow Require".split(' ') {
        let configured = SslMode::deserialize(StrDeserializer::<Unreadable>::new(name));
        assert_eq!(name.parse::<SslMode>().ok(), configured.ok(), "{name}");
    }
    assert!("allow".parse::<SslMode>().unwrap_err().to_string().contains("`prefer`"));
}

#[test]
fn a_useless_file_of_roots_is_named_unless_there_is_no_tls() {
    let files = [("/nonexistent/ca.pem", "cannot read"), ("/dev/null", "no certificate")];
    for ((path, words), mode) in files.into_iter().flat_map(|file| MODES.map(|mode| (file, mode))) {
        match client_config(mode, Some(Path::new(path)), EndsSoon::default()) {
            Ok(_) => assert_eq!(mode, SslMode::Disable),
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains(path) && text.contains(words), "{text}");
            }
        }
    }
}

#[test]
fn a_certificate_that_ends_within_30_days_is_noticed() {
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let file =
        std::env::temp_dir().join(format!("agent-provisioner-ca-{}.pem", std::process::id()));
    std::fs::write(&file, authority.pem()).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    for (days, soon) in [(29, true), (31, false)] {
        let mut params = CertificateParams::new(["db.test".to_owned()]).unwrap();
        params.not_after = date_time_ymd(1970, 1, 1) + now + Duration::from_hours(24 * days);
        for version in rustls::ALL_VERSIONS {
            let key = KeyPair::generate().unwrap();
            let certificate = params.clone().signed_by(&key, &authority).unwrap();
            let ends_soon = EndsSoon::default();
            let client =
                client_config(SslMode::VerifyFull, Some(&file), ends_soon.clone()).unwrap();
            handshake(client, certificate.der(), key, version).unwrap();
            assert_eq!(ends_soon.is_seen(), soon, "{days} {version:?}");
        }
    }
    std::fs::remove_file(&file).unwrap();
}
