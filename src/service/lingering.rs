//! Closing a connection in stages (RFC 9112 §9.6).
//!
//! Who closes while the other side still sends makes its system answer by a reset, which may overtake the answer that was
//! sent before: the other side would see a broken connection instead of a refusal or an alert of TLS. So our half is
//! closed first, and what still comes is read and thrown away, for a while.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most that is thrown away of what still comes, in bytes.
const DISCARD_LIMIT: usize = 4 * 1024 * 1024;

/// What is read at a time, in bytes.
const PART: usize = 4096;

/// A stream whose shutdown is over when the other side has closed too, or was given enough time.
pub(super) struct Lingering<S> {
    stream: S,
    closing: bool,
    discarded: usize,
    /// Ready when the other side had enough time; it starts when it is first asked.
    patience: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<S> Lingering<S> {
    /// A stream that lingers no longer than `patience` takes.
    pub(super) fn new(stream: S, patience: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { stream, closing: false, discarded: 0, patience: Box::pin(patience) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closing {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.closing = true;
        }
        while self.discarded < DISCARD_LIMIT && self.patience.as_mut().poll(context).is_pending() {
            let mut part = [0; PART];
            let mut buffer = ReadBuf::new(&mut part);
            // Whoever is gone needs no answer any more.
            let Ok(()) = ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) else { break };
            if buffer.filled().is_empty() {
                break;
            }
            self.discarded += buffer.filled().len();
        }
        // A future that is ready must not be asked again.
        self.discarded = DISCARD_LIMIT;
        Poll::Ready(Ok(()))
    }
}
