//! `ptc-enroll`: parse, run, print, exit.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    ptc_enroll::client::run(std::env::args_os())
}
