//! ptc-enrollment: the registration authority and its CA, and the commands to administer them.

#![forbid(unsafe_code)]

mod audit;
mod backup;
mod bulk;
mod ca;
mod certificate;
mod cli;
mod context;
mod crl;
mod database;
mod demo;
mod error;
mod init;
mod logging;
mod manager;
mod organisation;
mod output;
mod package;
mod request;
mod restore;
mod serve;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use tokio::runtime::{Builder, Runtime};

use crate::cli::{Cli, Command};
use crate::context::Context;
use crate::error::CommandError;

/// Many threads that each ask for small pieces spend a tenth of their time in the system's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let Cli { context, command } = Cli::parse();
    let context = Context::from(context);
    logging::start(match &command {
        Command::Serve(arguments) => Some(arguments.log_format),
        _ => None,
    });
    match run(&context, command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            context.output.error(&error);
            ExitCode::from(error.exit() as u8)
        }
    }
}

fn run(context: &Context, command: Command) -> Result<(), CommandError> {
    match command {
        Command::Init(arguments) => init::run(context, *arguments),
        Command::Demo(arguments) => demo::run(context, &arguments),
        Command::Serve(arguments) => threads()?.block_on(serve::run(context, arguments)),
        Command::Org(command) => thread()?.block_on(organisation::run(context, command)),
        Command::Package(command) => thread()?.block_on(package::run(context, command)),
        Command::Manager(command) => thread()?.block_on(manager::run(context, command)),
        Command::Request(command) => thread()?.block_on(request::run(context, command)),
        Command::Certificate(command) => thread()?.block_on(certificate::run(context, command)),
        Command::Crl(command) => thread()?.block_on(crl::run(context, command)),
        Command::Ca(command) => thread()?.block_on(ca::run(context, command)),
        Command::Audit(command) => thread()?.block_on(audit::run(context, command)),
        Command::Backup(arguments) => backup::run(context, &arguments),
        Command::Database(command) => database::run(context, command),
        Command::Restore(arguments) => restore::run(context, arguments),
    }
}

/// For one command after another.
fn thread() -> Result<Runtime, CommandError> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// For many clients at once. The work is waiting and short signatures; more threads only take memory.
fn threads() -> Result<Runtime, CommandError> {
    keep_off_huge_pages();
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    Ok(Builder::new_multi_thread().worker_threads(cores.clamp(2, 8)).enable_all().build()?)
}

/// Of a huge page a connection touches a few KiB, and takes 2 MiB: memory would swing by tens of MiB for nothing.
fn keep_off_huge_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        log::debug!(cause:% = error; "huge pages stay on");
    }
}
