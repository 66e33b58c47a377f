//! What `sslmode` and `sslrootcert` ask of a connection (PostgreSQL manual, 34.19 "SSL Support").
//!
//! Whether there is TLS is for [`super::connector`]; whom to believe is decided here. That the server holds
//! its certificate's key is checked in every mode.
//!
//! Stricter than libpq: with a given root, and after a failed check, nothing is tried without TLS. Looser: a certificate in
//! the file of roots needs no root of its own, and where the server presents it, may have expired.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    verify_server_cert_signed_by_trust_anchor as verify_chain, verify_server_name,
};
use rustls::crypto::{self, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// The value of `sslrootcert` that means the operating system's roots.
pub(crate) const SYSTEM: &str = "system";

/// How much a connection insists on TLS and on the server's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS where the server offers it, unverified. With a given root as `VerifyCa`.
    Prefer,
    /// TLS or no connection; unverified without a given root, and with one as `VerifyCa`.
    Require,
    /// TLS with a certificate signed by a root of the file, for any host. The operating system's
    /// roots sign for everybody, so with them this is `VerifyFull`.
    VerifyCa,
    /// TLS with a certificate signed by a root for the host that the URL names.
    VerifyFull,
}

impl FromStr for SslMode {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            "allow" => Err(Error::Allow),
            _ => Err(Error::Mode),
        }
    }
}

/// Why there is no connector.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `allow` tries without encryption first, which serves nobody.
    #[error("sslmode `allow` is not supported: write `prefer`, or better `verify-full`")]
    Allow,
    /// Not a mode. The value is kept out: it may be a piece of a mistyped URL.
    #[error("sslmode is none of disable, prefer, require, verify-ca, verify-full")]
    Mode,
    /// The file of roots cannot be read or is not PEM throughout.
    #[error("cannot read root certificates from {}", .0.display())]
    Read(PathBuf, #[source] pem::Error),
    /// The file of roots has a certificate that cannot be one.
    #[error("cannot use a root certificate from {}", .0.display())]
    Root(PathBuf, #[source] rustls::Error),
    /// The file of roots has none.
    #[error("{} holds no certificate in PEM form", .0.display())]
    Empty(PathBuf),
    /// The operating system has none, as in a minimal container.
    #[error("the operating system has no root certificates: install them or set sslrootcert")]
    System(#[source] Option<rustls_native_certs::Error>),
    /// The crypto provider has no TLS version to offer.
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
}

/// Whether a connection with TLS proves who the server is.
pub(crate) fn verifies(mode: SslMode, root: Option<&Path>) -> bool {
    !matches!((mode, root), (SslMode::Prefer | SslMode::Require, None))
}

/// Whether a server has shown a certificate, its own or one above it, that ends within 30 days. Known only of those that
/// are verified.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndsSoon(Arc<AtomicBool>);

impl EndsSoon {
    const WITHIN: Duration = Duration::from_hours(30 * 24);

    pub(crate) fn is_seen(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// For a mode and a PEM file of one or more roots (or `system`). That for `disable` trusts nobody.
pub(crate) fn client_config(
    mode: SslMode,
    root: Option<&Path>,
    ends_soon: EndsSoon,
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let verifier = Verifier { algorithms, trust: Trust::new(mode, root)?, ends_soon };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::Setup)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    // Required where TLS starts without the PostgreSQL preamble, ignored where it does not.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(config)
}

/// Whom to believe.
#[derive(Debug)]
struct Trust {
    anchors: RootCertStore,
    /// The roots as given: webpki refuses the self-signed CA certificate that many servers present.
    certificates: Vec<CertificateDer<'static>>,
    host_name: bool,
}

impl Trust {
    /// `None` where anybody is believed.
    fn new(mode: SslMode, root: Option<&Path>) -> Result<Option<Self>, Error> {
        let host_name = mode == SslMode::VerifyFull;
        match (mode, root) {
            (SslMode::Disable, _) => Ok(Some(Self::nobody())),
            (SslMode::Prefer | SslMode::Require, None) => Ok(None),
            (_, Some(path)) if path != Path::new(SYSTEM) => Self::file(path, host_name).map(Some),
            _ => Self::system().map(Some),
        }
    }

    fn nobody() -> Self {
        Self { anchors: RootCertStore::empty(), certificates: Vec::new(), host_name: true }
    }

    fn file(path: &Path, host_name: bool) -> Result<Self, Error> {
        let unreadable = |source| Error::Read(path.to_path_buf(), source);
        let mut trust = Self { host_name, ..Self::nobody() };
        for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
            let certificate = certificate.map_err(unreadable)?;
            let added = trust.anchors.add(certificate.clone());
            added.map_err(|source| Error::Root(path.to_path_buf(), source))?;
            trust.certificates.push(certificate);
        }
        if trust.anchors.is_empty() { Err(Error::Empty(path.to_path_buf())) } else { Ok(trust) }
    }

    fn system() -> Result<Self, Error> {
        let mut trust = Self::nobody();
        let found = rustls_native_certs::load_native_certs();
        match trust.anchors.add_parsable_certificates(found.certs) {
            (0, _) => Err(Error::System(found.errors.into_iter().next())),
            _ => Ok(trust),
        }
    }
}

#[derive(Debug)]
struct Verifier {
    algorithms: WebPkiSupportedAlgorithms,
    trust: Option<Trust>,
    ends_soon: EndsSoon,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(trust) = &self.trust else { return Ok(ServerCertVerified::assertion()) };
        let server = ParsedCertificate::try_from(end_entity)?;
        if !trust.certificates.contains(end_entity) {
            let verify = |at| {
                let algorithms = self.algorithms.all;
                verify_chain(&server, &trust.anchors, intermediates, at, algorithms)
            };
            verify(now)?;
            let then = Duration::from_secs(now.as_secs()) + EndsSoon::WITHIN;
            let ends_soon = verify(UnixTime::since_unix_epoch(then)).is_err();
            self.ends_soon.0.store(ends_soon, Ordering::Relaxed);
        }
        if trust.host_name {
            verify_server_name(&server, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
