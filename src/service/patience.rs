//! How long a connection is waited for: between two requests, and for the head of one.
//!
//! hyper's `header_read_timeout` is one limit for both. Here a head must be complete soon after its first byte, however
//! steadily it drips, while whoever says nothing keeps the connection longer, as long as there are places for others: a
//! TLS handshake costs both sides more than a place (RFC 9112 §9.5 leaves the limit to the server).
//!
//! What counts is what comes out of TLS: a record that drips is silence. So is the beginning of a head that came in one
//! piece with the request before.

use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
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

/// What is waited for. The parts of a connection share it.
#[derive(Debug, Clone)]
pub(super) struct Waiting(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    awaited: Awaited,
    since: Instant,
    /// Whether some of an answer waits until the client takes it.
    blocked: bool,
    /// Whether a request's body was left unread. hyper may read some more of it, which is no request.
    body_left: bool,
}

impl State {
    fn await_now(&mut self, awaited: Awaited) {
        (self.awaited, self.since) = (awaited, Instant::now());
    }
}

impl Waiting {
    /// For a first request.
    pub(super) fn new() -> Self {
        let state = State { awaited: Awaited::Request, since: Instant::now(), blocked: false, body_left: false };
        Self(Arc::new(Mutex::new(state)))
    }

    /// A stream that notices when a request begins, and how far its answer has gone.
    pub(super) fn watch<S>(&self, stream: S) -> Watched<S> {
        Watched { stream, waiting: self.clone() }
    }

    /// A request's head is complete.
    pub(super) fn head_is_complete(&self) {
        self.lock().await_now(Awaited::Answer);
    }

    /// Nobody reads the rest of a request's body.
    pub(super) fn body_is_left(&self) {
        self.lock().body_left = true;
    }

    /// Whether it is so, and nothing was read since.
    pub(super) fn is_body_left(&self) -> bool {
        self.lock().body_left
    }

    /// A body of an answer which notices when all of it is on its way: from then on the next request is waited for.
    pub(super) fn answer<B>(&self, body: B) -> Answer<B> {
        Answer { body, waiting: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of an answer.
pub(super) struct Answer<B> {
    body: B,
    waiting: Waiting,
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Answer<B> {
    fn drop(&mut self) {
        self.waiting.lock().await_now(Awaited::Request);
    }
}

/// A stream whose reads and writes count.
pub(super) struct Watched<S> {
    stream: S,
    waiting: Waiting,
}

impl<S> Watched<S> {
    /// Notes whether the client takes what is sent.
    fn wrote<T>(&self, result: Poll<T>) -> Poll<T> {
        let mut state = self.waiting.lock();
        state.blocked = result.is_pending();
        if result.is_ready() {
            state.since = Instant::now();
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
            let mut state = self.waiting.lock();
            let begins = !mem::take(&mut state.body_left);
            if state.awaited == Awaited::Request {
                state.await_now(if begins { Awaited::Head } else { Awaited::Request });
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
        let result = Pin::new(&mut self.stream).poll_flush(context);
        // hyper flushes at each of its turns, most often nothing.
        let counts = result.is_pending() || self.waiting.lock().blocked;
        if counts { self.wrote(result) } else { result }
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
            let (awaited, since) = {
                let state = self.waiting.lock();
                (if state.blocked { Awaited::Answer } else { state.awaited }, state.since)
            };
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
