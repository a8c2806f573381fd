//! `serve`: runs the service until it is told to stop.

use std::io::{self, Write};
use std::sync::Arc;

use ptc_enroll::locales::Text;
use ptc_enroll::service::listener::Limits;
use ptc_enroll::service::server;

use crate::cli::ServeArguments;
use crate::context::Context;
use crate::error::CommandError;

pub(crate) async fn run(context: &Context, arguments: ServeArguments) -> Result<(), CommandError> {
    // Before anything else, so that a stop during the start is not lost.
    let stop = stop_signal()?;
    let mut app = context.app().await?;
    if arguments.auto_approve {
        app = app.with_auto_approval()?;
        let warning = Text::new("auto-approve-warning").with("environment", &app.settings().environment);
        log::warn!("{warning}");
        let _ = writeln!(io::stderr(), "{}", context.output.say(warning));
    }
    let running = server::serve(Arc::new(app), Limits::default()).await?;
    // Not translated: scripts wait for these lines.
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
    io::stdout().flush()?;
    stop.await;
    log::info!("stopping");
    running.stop().await;
    log::info!("stopped");
    Ok(())
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
