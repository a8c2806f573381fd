//! `serve`: runs the service until it is told to stop.

use std::io::{self, Write};
use std::pin::pin;
use std::sync::Arc;
use std::{panic, process, thread};

use ptc_enroll::locales::Text;
use ptc_enroll::service::app::App;
use ptc_enroll::service::db::CONNECTION_THREAD;
use ptc_enroll::service::listener::Limits;
use ptc_enroll::service::server::{self, Running};

use crate::cli::{LogFormat, ServeArguments};
use crate::context::Context;
use crate::error::CommandError;

pub(crate) async fn run(context: &Context, arguments: ServeArguments) -> Result<(), CommandError> {
    end_with_a_connection();
    // Before anything else, so that a stop during the start is not lost.
    let mut stop = pin!(stop_signal()?);
    let mut announced = false;
    loop {
        let app = Arc::new(open(context, &arguments).await?);
        let running = server::serve(app.clone(), Limits::default()).await?;
        // Once: whoever waited for it may have closed its end since. The log says it each time.
        if !announced {
            announce(&running)?;
            announced = true;
        }
        let moved = tokio::select! {
            () = &mut stop => false,
            () = server::moved(&app) => true,
        };
        log::info!(moved; "stopping");
        running.stop().await;
        log::info!("stopped");
        if !moved {
            return Ok(());
        }
    }
}

/// Ends the service where the thread of a connection to the database file does: whoever uses that would be answered by nobody, and
/// whoever watches over the service starts it anew, as after a power failure.
fn end_with_a_connection() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        before(panicked);
        if thread::current().name().is_some_and(|name| name.starts_with(CONNECTION_THREAD)) {
            log::error!("a connection to the database ended; the service ends");
            process::abort();
        }
    }));
}

async fn open(context: &Context, arguments: &ServeArguments) -> Result<App, CommandError> {
    let app = context.app().await?;
    if !arguments.auto_approve {
        return Ok(app);
    }
    let app = app.with_auto_approval()?;
    let warning = Text::new("auto-approve-warning").with("environment", &app.settings().environment);
    log::warn!("{warning}");
    // For people; whoever reads JSON has the line before.
    if matches!(arguments.log_format, LogFormat::Text) {
        let _ = writeln!(io::stderr(), "{}", context.output.say(warning));
    }
    Ok(app)
}

/// Says where it listens. Not translated: scripts wait for these lines.
fn announce(running: &Running) -> io::Result<()> {
    let mut ready = format!(
        "public listener ready on https://{}\nsecure listener ready on https://{}\n",
        running.public, running.secure
    );
    for (listener, address) in [("plain", running.plain), ("operations", running.operations)] {
        if let Some(address) = address {
            ready += &format!("{listener} listener ready on http://{address}\n");
        }
    }
    // At once: a script that has read what it waited for may close its end.
    io::stdout().write_all(ready.as_bytes())?;
    io::stdout().flush()
}

/// Waits for SIGTERM or SIGINT.
#[cfg(unix)]
pub(crate) fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Waits for Ctrl-C.
#[cfg(not(unix))]
pub(crate) fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
