//! From a socket to a connection on which the server asks who we are.
//!
//! The driver gives the password to whatever asks for it. So it is told to begin with TLS at once, which leaves all
//! that comes before its startup message to [`Connector`], and the server's answer to that is read along. TLS or
//! none, and whom to believe, is as in [`super::tls`].

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{fmt, io};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::auth::{Gate, Methods};
use super::tls::{EndsSoon, Error, SslMode, client_config, verifies};
use super::url::Target;

/// Length and code of an `SSLRequest` (PostgreSQL manual, 55.7).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

type Rustls = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
type Encrypted = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// Makes connections of one mode; for a target of its own, since the driver's part is in that.
#[derive(Clone)]
pub struct Connector {
    tls: MakeRustlsConnect,
    opening: Opening,
    verifies: bool,
    listed: Option<Methods>,
    ends_soon: EndsSoon,
}

#[derive(Clone, Copy, Debug)]
enum Opening {
    Plain,
    Asking { insist: bool },
    Encrypted,
}

impl Connector {
    /// Files of roots are read here, so a mistake in them shows at start and not at the first connection.
    pub fn new(target: &Target) -> Result<Self, Error> {
        let (mode, root) = (target.sslmode, target.sslrootcert.as_deref());
        let ends_soon = EndsSoon::default();
        let tls = MakeRustlsConnect::new(client_config(mode, root, ends_soon.clone())?);
        let opening = match mode {
            SslMode::Disable => Opening::Plain,
            _ if target.direct_tls => Opening::Encrypted,
            // Whoever gives a root wants no connection without it.
            SslMode::Prefer => Opening::Asking { insist: root.is_some() },
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                Opening::Asking { insist: true }
            }
        };
        let (verifies, listed) = (verifies(mode, root), target.require_auth);
        Ok(Self { tls, opening, verifies, listed, ends_soon })
    }

    /// Whether the last server that was verified has a certificate that ends within 30 days.
    pub(crate) fn ends_soon(&self) -> bool {
        self.ends_soon.is_seen()
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("opening", &self.opening).finish_non_exhaustive()
    }
}

impl MakeTlsConnect<Socket> for Connector {
    type Stream = Wire;
    type TlsConnect = Connecting;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<Connecting, io::Error> {
        let Ok(tls) = MakeTlsConnect::<Socket>::make_tls_connect(&mut self.tls, host);
        let Self { opening, verifies, listed, .. } = *self;
        Ok(Connecting { tls, opening, verifies, listed })
    }
}

/// One connection to be made.
pub struct Connecting {
    tls: Rustls,
    opening: Opening,
    verifies: bool,
    listed: Option<Methods>,
}

impl fmt::Debug for Connecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connecting").field("opening", &self.opening).finish_non_exhaustive()
    }
}

impl TlsConnect<Socket> for Connecting {
    type Stream = Wire;
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Wire, io::Error>>;

    fn connect(self, mut socket: Socket) -> Self::Future {
        async move {
            let encrypts = match self.opening {
                Opening::Plain => false,
                Opening::Encrypted => true,
                Opening::Asking { insist } => {
                    socket.write_all(&SSL_REQUEST).await?;
                    let mut answer = [0];
                    socket.read_exact(&mut answer).await?;
                    if insist && answer != *b"S" {
                        return Err(io::Error::other("the server has no TLS"));
                    }
                    answer == *b"S"
                }
            };
            if !encrypts {
                // Without TLS, but where that is the operator's wish.
                let meant = matches!(self.opening, Opening::Plain);
                let gate = Gate::new(self.listed, meant);
                return Ok(Wire { stream: Stream::Plain(socket), gate });
            }
            let stream = Stream::Encrypted(Box::new(self.tls.connect(socket).await?));
            Ok(Wire { stream, gate: Gate::new(self.listed, self.verifies) })
        }
        .boxed()
    }
}

/// What the driver reads and writes.
pub struct Wire {
    stream: Stream,
    gate: Gate,
}

enum Stream {
    Plain(Socket),
    Encrypted(Box<Encrypted>),
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("gate", &self.gate).finish_non_exhaustive()
    }
}

impl TlsStream for Wire {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.stream {
            Stream::Plain(_) => ChannelBinding::none(),
            Stream::Encrypted(stream) => stream.channel_binding(),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Encrypted(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        })?;
        // The driver has the message only when its last byte has passed.
        Poll::Ready(self.gate.pass(buf.filled().get(before..).unwrap_or_default()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Encrypted(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Encrypted(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Encrypted(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
