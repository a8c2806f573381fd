//! From a TCP listener to requests in an axum router: TLS where there is some, timeouts, limits, graceful stop.
//!
//! `axum::serve` has no timeouts, so hyper's own loop runs here. Every request carries [`PeerAddress`] and, where
//! the client showed a certificate, [`PeerCertificate`] in its extensions.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, HeaderValue};
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, body};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tower::Service;

use super::admission::Source;
use super::lingering::Lingering;
use super::metrics::{Handshake, Traffic};
use super::patience::{Awaited, Patience, Waiting};

/// How long nothing is accepted when the system has no more files or memory.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Where less than this part of the places is left, idle connections give theirs up sooner.
const SPARE_PART: usize = 16;

/// Which listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerName {
    /// For clients, without a certificate.
    Public,
    /// For whoever has a certificate.
    Secure,
    /// For whoever checks certificates, without TLS.
    Plain,
    /// For those who run the service.
    Operations,
}

impl ListenerName {
    /// The word in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Secure => "secure",
            Self::Plain => "plain",
            Self::Operations => "operations",
        }
    }
}

/// Where a request comes from: the other end of the TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// The client's certificate, which TLS has verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate(pub CertificateDer<'static>);

/// What one client, or all together, may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long a client may take to send a request's head.
    pub head: Duration,
    /// How long a connection may wait for its next request; no longer than for a head where few places are left.
    pub idle: Duration,
    /// How long a client may take to send a request's whole body.
    pub body: Duration,
    /// How long a client may take nothing of an answer that is on its way.
    pub answer: Duration,
    /// How many connections are open at the same time; more wait in the system's queue.
    pub connections: usize,
    /// How many of them one address holds; 0 is no limit.
    pub connections_per_address: usize,
    /// How long a client may go on sending, unheard, when its connection is closed: so long it can see the last answer.
    pub linger: Duration,
    /// How long running requests may take after the stop.
    pub stop: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            body: Duration::from_secs(30),
            answer: Duration::from_secs(30),
            connections: 12_288,
            connections_per_address: 0,
            linger: Duration::from_secs(5),
            stop: Duration::from_secs(20),
        }
    }
}

/// Serves until `stop` becomes true or its sender is gone; then accepts nothing more, lets running requests finish
/// within their limit, and returns. Without a TLS configuration it speaks plain HTTP.
pub async fn serve(
    listener: TcpListener,
    tls: impl Into<Option<Arc<ServerConfig>>>,
    router: Router,
    limits: Limits,
    traffic: Traffic,
    mut stop: watch::Receiver<bool>,
) {
    let acceptor = tls.into().map(TlsAcceptor::from);
    let sources = Sources::default();
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            // The semaphore is never closed.
            let place = places.clone().acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            _ = stopped(&mut stop) => break,
            // Ended connections are taken out as they end.
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, address)) => {
                // Before TLS there is no way to say why; whoever is sent away like that comes again.
                let Some(source) = sources.enter(address, limits.connections_per_address) else {
                    traffic.sent_away();
                    log::debug!(peer:% = address; "connection refused, too many of this address");
                    continue;
                };
                let connection = Connection {
                    address,
                    router: router.clone(),
                    limits,
                    places: places.clone(),
                    traffic: traffic.clone(),
                    stop: stop.clone(),
                };
                let (acceptor, open) = (acceptor.clone(), traffic.open());
                connections.spawn(async move {
                    connection.serve(stream, acceptor).await;
                    drop((place, source, open));
                });
            }
            Err(error) => refused(error).await,
        }
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.stop, finished).await.is_err() {
        log::warn!(connections = connections.len(), after:? = limits.stop; "requests cut off");
        connections.shutdown().await;
    }
}

/// Returns at the stop, or when nobody is left to order it.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopped| *stopped).await;
}

/// A client that left before it was accepted is no trouble; a lack of files or memory may pass.
async fn refused(error: io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        log::error!(cause:% = error, pause:? = ACCEPT_PAUSE; "connection not accepted");
        sleep(ACCEPT_PAUSE).await;
    }
}

/// How many connections each source holds. Only those that hold one are in it.
#[derive(Debug, Clone, Default)]
struct Sources(Arc<Mutex<HashMap<Source, usize>>>);

impl Sources {
    /// A place among the connections of a source, until it is dropped; none where they are as many as they may be.
    fn enter(&self, address: SocketAddr, limit: usize) -> Option<SourcePlace> {
        let source = Source::from(address.ip());
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&source).copied().unwrap_or(0);
        if limit != 0 && count >= limit {
            return None;
        }
        open.insert(source, count + 1);
        Some(SourcePlace { source, sources: self.clone() })
    }
}

struct SourcePlace {
    source: Source,
    sources: Sources,
}

impl Drop for SourcePlace {
    fn drop(&mut self) {
        let mut open = self.sources.0.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.source) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.remove(&self.source)),
        }
    }
}

/// One connection, whatever it is spoken over.
struct Connection {
    address: SocketAddr,
    router: Router,
    limits: Limits,
    places: Arc<Semaphore>,
    traffic: Traffic,
    stop: watch::Receiver<bool>,
}

impl Connection {
    async fn serve(mut self, stream: TcpStream, acceptor: Option<TlsAcceptor>) {
        // Answers are small and complete; nothing is gained by waiting for more (RFC 896).
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.limits.answer));
        let (linger, mut stop) = (self.limits.linger, self.stop.clone());
        let stream = Lingering::new(Box::pin(stream), async move {
            let _ = timeout(linger, stopped(&mut stop)).await;
        });
        let Some(acceptor) = acceptor else { return self.converse(stream, None).await };
        let (address, limit) = (self.address, self.limits.handshake);
        let handshake = timeout(limit, acceptor.accept(stream).into_fallible());
        let stream = tokio::select! {
            stream = handshake => stream,
            _ = stopped(&mut self.stop) => return,
        };
        let stream = match stream {
            Ok(Ok(stream)) => stream,
            Ok(Err((error, mut stream))) => {
                self.traffic.handshake(Handshake::Failed);
                log::info!(peer:% = address, cause:% = error; "TLS handshake failed");
                // The alert says why. Who left before needs none.
                let _ = stream.shutdown().await;
                return;
            }
            Err(_) => {
                self.traffic.handshake(Handshake::TimedOut);
                return log::info!(peer:% = address, limit:? = limit; "TLS handshake not finished");
            }
        };
        self.traffic.handshake(Handshake::Done);
        let certificates = stream.get_ref().1.peer_certificates();
        let certificate =
            certificates.and_then(|chain| chain.first()).map(|leaf| PeerCertificate(leaf.clone().into_owned()));
        self.converse(stream, certificate).await;
    }

    /// Answers one request after the other.
    async fn converse(self, stream: impl AsyncRead + AsyncWrite + Unpin, certificate: Option<PeerCertificate>) {
        let Self { address, router, limits, places, mut stop, .. } = self;
        let waiting = Waiting::new();
        let stream = TokioIo::new(waiting.watch(stream));
        let crowded = || places.available_permits() * SPARE_PART < limits.connections;
        let mut patience = Patience::new(waiting.clone(), limits.head, limits.idle, crowded);
        let service = service_fn(move |request: Request<Incoming>| {
            waiting.head_is_complete();
            let deadline = Box::pin(sleep_until(Instant::now() + limits.body));
            let timed = |body| TimedBody { body, deadline, waiting: waiting.clone(), ended: false };
            let mut request = request.map(|body| Body::new(timed(body)));
            request.extensions_mut().insert(PeerAddress(address));
            if let Some(certificate) = &certificate {
                request.extensions_mut().insert(certificate.clone());
            }
            // A router is always ready.
            let answer = router.clone().call(request);
            let waiting = waiting.clone();
            async move {
                let mut answer = answer.await?;
                if waiting.is_body_left() {
                    // Else the client might send its next request into a connection that ends (RFC 9112 §9.6).
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer.map(|body| waiting.answer(body)))
            }
        });
        let mut http = http1::Builder::new();
        http.header_read_timeout(None);
        let mut connection = pin!(http.serve_connection(stream, service));
        let mut stopping = false;
        let served = loop {
            tokio::select! {
                biased;
                served = connection.as_mut() => break served,
                awaited = poll_fn(|context| patience.poll(context)) => {
                    log::debug!(peer:% = address, awaited:? = awaited; "connection waited for in vain");
                    // What has begun is cut off; who said nothing is told.
                    if awaited == Awaited::Head {
                        return;
                    }
                    connection.as_mut().graceful_shutdown();
                    let Ok(served) = timeout(limits.answer + limits.linger, connection).await else { return };
                    break served;
                }
                _ = stopped(&mut stop), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        };
        if let Err(error) = served {
            log::debug!(peer:% = address, cause:% = error; "connection ended");
        }
    }
}

/// A request body that must be complete by a deadline, however steadily it drips.
struct TimedBody {
    body: Incoming,
    deadline: Pin<Box<Sleep>>,
    waiting: Waiting,
    /// Whether all of it was read. Of one in chunks `is_end_stream` does not tell.
    ended: bool,
}

impl Drop for TimedBody {
    fn drop(&mut self) {
        if !self.ended && !body::Body::is_end_stream(&self.body) {
            self.waiting.body_is_left();
        }
    }
}

impl body::Body for TimedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                self.ended = frame.is_none();
                Poll::Ready(frame.map(|frame| frame.map_err(axum::Error::new)))
            }
            Poll::Pending => self.deadline.as_mut().poll(context).map(|()| {
                Some(Err(axum::Error::new(io::Error::new(io::ErrorKind::TimedOut, "the body took too long"))))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
