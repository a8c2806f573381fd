//! `ptc-enroll`: parse, run, print, exit.

fn main() -> std::process::ExitCode {
    ptc_enroll::client::run(std::env::args_os())
}
