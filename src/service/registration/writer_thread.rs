//! A thread of its own for who writes: what a database server answers is not to lie behind the signatures that the other
//! threads are busy with, since everybody waits for who writes.

use std::convert::Infallible;
use std::future::Future;
use std::sync::OnceLock;
use std::{io, thread};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A thread that begins with its first task, and ends with this value.
#[derive(Debug, Default)]
pub(super) struct WriterThread(OnceLock<Option<Begun>>);

#[derive(Debug)]
struct Begun {
    handle: Handle,
    _end: oneshot::Sender<Infallible>,
}

impl WriterThread {
    /// Begins a task there; where the system has no thread left, among all others.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let begun = self.0.get_or_init(|| {
            Begun::new().inspect_err(|error| log::error!(cause:% = error; "no thread of its own to write with")).ok()
        });
        match begun {
            Some(begun) => begun.handle.spawn(task),
            None => tokio::spawn(task),
        };
    }
}

impl Begun {
    fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (_end, ended) = oneshot::channel();
        thread::Builder::new().name("writer".to_owned()).spawn(move || runtime.block_on(ended))?;
        Ok(Self { handle, _end })
    }
}
