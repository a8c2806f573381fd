//! How long a connection is waited for: between two requests, and for the head of one.
//!
//! hyper's `header_read_timeout` is one limit for both. Here a head must be complete soon after its first byte, however
//! steadily it drips, while whoever says nothing keeps the connection longer, as long as there are places for others: a
//! TLS handshake costs both sides more than a place (RFC 9112 §9.5 leaves the limit to the server).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// What a connection is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited {
    /// The first byte of a request.
    Request,
    /// The rest of a request's head.
    Head,
    /// Our own answer. It is not the client who is waited for, or there are limits for it elsewhere.
    Answer,
}

/// What is waited for, and since when. The parts of a connection share it.
#[derive(Debug, Clone)]
pub(super) struct Waiting(Arc<Mutex<(Awaited, Instant)>>);

impl Waiting {
    /// For a first request.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new((Awaited::Request, Instant::now()))))
    }

    /// A stream that notices when a request begins, and how far its answer has gone.
    pub(super) fn watch<S>(&self, stream: S) -> Watched<S> {
        Watched { stream, waiting: self.clone() }
    }

    /// A request's head is complete.
    pub(super) fn head_is_complete(&self) {
        *self.lock() = (Awaited::Answer, Instant::now());
    }

    /// An answer is made; from when its last byte has gone, the next request is waited for.
    pub(super) fn answer_is_made(&self) {
        *self.lock() = (Awaited::Request, Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, (Awaited, Instant)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream whose reads and writes count.
pub(super) struct Watched<S> {
    stream: S,
    waiting: Waiting,
}

impl<S> Watched<S> {
    /// What was written is part of an answer: while it goes, nothing is waited for in vain.
    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if result.is_ready() {
            self.waiting.lock().1 = Instant::now();
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            let mut waiting = self.waiting.lock();
            if waiting.0 == Awaited::Request {
                *waiting = (Awaited::Head, Instant::now());
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Ends when a connection was waited for too long.
pub(super) struct Patience<C> {
    waiting: Waiting,
    head: Duration,
    idle: Duration,
    crowded: C,
    /// Rings every `head` at the latest, so that no request has to set it: what begins meanwhile is due after it.
    alarm: Pin<Box<Sleep>>,
}

impl<C: Fn() -> bool> Patience<C> {
    /// Waits `head` for a head that has begun, and `idle` for a request; for that too only `head` while it is `crowded`.
    pub(super) fn new(waiting: Waiting, head: Duration, idle: Duration, crowded: C) -> Self {
        let alarm = Box::pin(sleep_until(Instant::now() + head.min(idle)));
        Self { waiting, head, idle, crowded, alarm }
    }

    /// Ready with what was waited for in vain.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Awaited> {
        loop {
            ready!(self.alarm.as_mut().poll(context));
            let (awaited, since) = *self.waiting.lock();
            let now = Instant::now();
            let end = match awaited {
                Awaited::Answer => now + self.head,
                Awaited::Head => since + self.head,
                Awaited::Request if (self.crowded)() => since + self.head.min(self.idle),
                Awaited::Request => since + self.idle,
            };
            if end <= now {
                return Poll::Ready(awaited);
            }
            self.alarm.as_mut().reset(end.min(now + self.head));
        }
    }
}
