//! From a TCP listener to requests in an axum router: TLS where there is any, timeouts, limits, graceful stop.
//!
//! `axum::serve` has no header timeout, so hyper's own loop runs here. Every request carries [`PeerAddress`] and, where
//! the client showed a certificate, [`PeerCertificate`] in its extensions.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, body};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tower::Service;

/// How long nothing is accepted when the system has no more files or memory.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

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
    /// How long a client may take to send a request's head; also how long a connection may wait for the next request.
    pub head: Duration,
    /// How long a client may take to send a request's whole body.
    pub body: Duration,
    /// How long a client may take nothing of an answer that is on its way.
    pub answer: Duration,
    /// How many connections are open at the same time; more wait in the system's queue.
    pub connections: usize,
    /// How long running requests may take after the stop.
    pub stop: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            answer: Duration::from_secs(30),
            connections: 4096,
            stop: Duration::from_secs(20),
        }
    }
}

/// Serves, without TLS where there is no configuration of it, until `stop` becomes true or its sender is gone; then accepts nothing more, lets running requests finish
/// within their limit, and returns.
pub async fn serve(
    listener: TcpListener,
    tls: impl Into<Option<Arc<ServerConfig>>>,
    router: Router,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let acceptor = tls.into().map(TlsAcceptor::from);
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
                let connection = connection(stream, address, acceptor.clone(), router.clone(), limits, stop.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => refused(error).await,
        }
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.stop, finished).await.is_err() {
        log::warn!("requests cut off: connections={} after={:?}", connections.len(), limits.stop);
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
        log::error!("connection not accepted: cause={error} pause={ACCEPT_PAUSE:?}");
        sleep(ACCEPT_PAUSE).await;
    }
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    // Answers are small and complete; nothing is gained by waiting for more (RFC 896).
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.answer));
    let stream = Box::pin(stream);
    let Some(acceptor) = acceptor else { return converse(stream, address, None, router, limits, stop).await };
    let handshake = timeout(limits.handshake, acceptor.accept(stream));
    let stream = tokio::select! {
        stream = handshake => stream,
        _ = stopped(&mut stop) => return,
    };
    let stream = match stream {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return log::info!("TLS handshake failed: peer={address} cause={error}"),
        Err(_) => return log::info!("TLS handshake not finished: peer={address} limit={:?}", limits.handshake),
    };
    let certificates = stream.get_ref().1.peer_certificates();
    let certificate =
        certificates.and_then(|chain| chain.first()).map(|leaf| PeerCertificate(leaf.clone().into_owned()));
    converse(stream, address, certificate, router, limits, stop).await;
}

/// Answers the requests that come on a connection.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
    certificate: Option<PeerCertificate>,
    router: Router,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let deadline = Instant::now() + limits.body;
        let mut request = request.map(|body| Body::new(TimedBody { body, deadline: Box::pin(sleep_until(deadline)) }));
        request.extensions_mut().insert(PeerAddress(address));
        if let Some(certificate) = &certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        // A router is always ready.
        router.clone().call(request)
    });
    let mut http = http1::Builder::new();
    // hyper measures the wait for a connection's next request with this limit too.
    http.timer(TokioTimer::new()).header_read_timeout(limits.head);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        _ = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        log::debug!("connection ended: peer={address} cause={error}");
    }
}

/// A request body that must be complete by a deadline, however steadily it drips.
struct TimedBody {
    body: Incoming,
    deadline: Pin<Box<Sleep>>,
}

impl body::Body for TimedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(axum::Error::new))),
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
