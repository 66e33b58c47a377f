//! Who looks at the console, and how that is known.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use axum::http::{HeaderMap, header};
use percent_encoding::percent_decode_str;

use super::tokens;
use super::viewer::{Role, Viewer};
use crate::config::{self, ConsoleAuth};

/// How a viewer is known.
#[derive(Debug)]
pub(super) enum Authentication {
    /// Everybody is the user of the operating system that the service runs as.
    Nobody(Viewer),
    Token(PathBuf),
    Header {
        name: String,
        proxies: Vec<IpAddr>,
        operators: Vec<String>,
    },
}

/// Who sends a request.
#[derive(Debug)]
pub(super) enum Known {
    As(Viewer),
    /// There is a page to enter a token.
    NotYet,
    /// There is nothing that they could do about it here.
    Never(&'static str),
}

/// The cookie that holds a token.
pub(super) const COOKIE: &str = "agent_provisioner_console";

impl Authentication {
    /// Fails where a file of tokens cannot be used.
    pub(super) fn new(config: &config::Console) -> Result<Self, super::Error> {
        Ok(match (config.auth, &config.tokens_file) {
            (ConsoleAuth::Token, Some(file)) => {
                tokens::check(file)?;
                Self::Token(file.clone())
            }
            (ConsoleAuth::Header, _) => Self::Header {
                name: config.header.clone(),
                proxies: config.proxies()?,
                operators: config.operators.clone(),
            },
            // The settings' check lets no other through.
            (ConsoleAuth::None | ConsoleAuth::Token, _) => {
                Self::Nobody(Viewer { name: system_user(), role: Role::Operate })
            }
        })
    }

    /// Whether a viewer enters by a page of ours.
    pub(super) fn has_login(&self) -> bool {
        matches!(self, Self::Token(_))
    }

    /// Who has this token.
    pub(super) fn holder(&self, token: &str) -> Option<Viewer> {
        match self {
            Self::Token(file) => tokens::find(file, token).ok().flatten(),
            Self::Nobody(_) | Self::Header { .. } => None,
        }
    }

    /// Whom a request comes from. `by_proxy`: no browser sends it so.
    pub(super) fn identify(&self, peer: IpAddr, headers: &HeaderMap, by_proxy: bool) -> Known {
        match self {
            Self::Nobody(_) if by_proxy || is_forwarded(headers) => Known::Never(
                "A proxy has passed this request on, and console.auth is \"none\": everybody behind the proxy would be an \
                 operator. Set console.auth to \"token\" or \"header\".",
            ),
            Self::Nobody(viewer) => Known::As(viewer.clone()),
            Self::Token(file) => match cookie(headers) {
                Some(token) => match tokens::find(file, &token) {
                    Ok(Some(viewer)) => Known::As(viewer),
                    Ok(None) => Known::NotYet,
                    Err(error) => {
                        tracing::error!(error = %crate::telemetry::ErrorReport(&error), "nobody can enter the console");
                        Known::Never(
                            "The file of tokens cannot be used: the service's log says why.",
                        )
                    }
                },
                None => Known::NotYet,
            },
            Self::Header { name, proxies, operators } => {
                if !proxies.contains(&peer.to_canonical()) {
                    return Known::Never("This address is none of console.proxies.");
                }
                match named(headers, name) {
                    Some(name) if !config::is_viewer(&name) => Known::Never(
                        "The proxy names you with a bracket or a quote, or with more than 100 signs: the record could not tell you from others.",
                    ),
                    Some(name) => {
                        let role =
                            if operators.contains(&name) { Role::Operate } else { Role::Read };
                        Known::As(Viewer { name, role })
                    }
                    None => Known::Never("The proxy has named nobody."),
                }
            }
        }
    }
}

/// The only value of a header, if it can be a name.
fn named(headers: &HeaderMap, header: &str) -> Option<String> {
    let mut values = headers.get_all(header).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let name = value.to_str().ok()?.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Whether a proxy has passed the request on.
fn is_forwarded(headers: &HeaderMap) -> bool {
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"]
        .iter()
        .any(|name| headers.contains_key(*name))
}

/// The token that a browser sends.
fn cookie(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == COOKIE)?;
    Some(percent_decode_str(value).decode_utf8().ok()?.into_owned())
}

/// The user that the service runs as, named so.
fn system_user() -> String {
    let Ok(own) = fs::metadata("/proc/self") else { return "os user".to_owned() };
    let id = own.uid().to_string();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut entries = users.lines().map(|line| line.split(':'));
    let name = entries.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    });
    format!("os user {}", name.unwrap_or(id))
}
