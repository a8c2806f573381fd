//! The command line: clap structs, no logic.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use super::exit::Exit;
use super::keys::KeyAlgorithm;
use super::report::Output;
use crate::locales::Language;
use crate::protocol::request::StoreScope;
use crate::protocol::subject::NameFormat;

/// Obtains, installs and tests PTC certificates for this machine and for external servers.
#[derive(Debug, Parser)]
#[command(name = "ptc-enroll", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub global: Global,
    #[command(subcommand)]
    #[allow(missing_docs)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  ptc-enroll submit --email admin@poste.example --locality Paris
  ptc-enroll fetch --wait 10m
  ptc-enroll test

Exit codes:
  0 done   1 unexpected   2 usage   3 configuration or input   4 refused   5 pending approval
  6 network or service unavailable   7 TLS trust   8 key or store operation failed";

/// Flags that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Folder of packages, records and certificates [default: PTC_ENROLL_HOME, else the folder the package was
    /// unpacked to, else the system's place]
    #[arg(long, value_name = "DIR", global = true)]
    pub home: Option<PathBuf>,
    /// Environment to talk to, where more than one is installed
    #[arg(short, long, value_name = "NAME", global = true)]
    pub environment: Option<String>,
    /// Form of the output
    #[arg(short, long, value_name = "FORM", default_value = "text", global = true)]
    pub output: Output,
    /// Language of the output: en or fr [default: the system's]
    #[arg(long, value_name = "LANGUAGE", global = true, value_parser = Language::from_str)]
    pub lang: Option<Language>,
    /// Never ask questions, even on a terminal
    #[arg(long, global = true)]
    pub no_input: bool,
    /// Log more to stderr; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key and a CSR for this machine and submit them
    Submit(SubmitArguments),
    /// Bring all requests up to date; install or download what was approved
    Fetch(FetchArguments),
    /// Prove that the installed certificate works
    Test,
    /// Print the subject name of the installed certificate
    Subject(SubjectArguments),
    /// Submit CSRs that were made elsewhere, for other servers
    SubmitExternal(SubmitExternalArguments),
    /// List the requests known here, without network
    Status,
    /// Write shell completions to stdout
    Completions {
        /// Shell to complete for
        shell: Shell,
    },
    /// Keep a text on the clipboard until another takes its place.
    #[command(hide = true)]
    HoldClipboard,
}

impl Command {
    /// The command's name on the command line and in JSON output.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Submit(_) => "submit",
            Self::Fetch(_) => "fetch",
            Self::Test => "test",
            Self::Subject(_) => "subject",
            Self::SubmitExternal(_) => "submit-external",
            Self::Status => "status",
            Self::Completions { .. } => "completions",
            Self::HoldClipboard => "hold-clipboard",
        }
    }
}

/// The fields that a person gives. Each is taken from its flag, else the answers file, else the environment variable
/// (`PTC_ENROLL_` and the name in capitals), else the package's default.
#[derive(Debug, Default, Args)]
pub struct FieldArguments {
    /// TOML file with any of the fields below
    #[arg(long, value_name = "FILE")]
    pub answers: Option<PathBuf>,
    /// E-mail address of the person in charge; goes into the certificate
    #[arg(long, value_name = "ADDRESS")]
    pub email: Option<String>,
    /// Telephone number, for the approver
    #[arg(long, value_name = "NUMBER")]
    pub telephone: Option<String>,
    /// Free text that helps the approver
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
}

/// `submit`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ptc-enroll submit --email admin@poste.example --locality Paris --region Île-de-France
  ptc-enroll submit --answers site.toml --no-input
  ptc-enroll submit --email admin@poste.example --locality Paris --common-name https://api.poste.example")]
pub struct SubmitArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub fields: FieldArguments,
    /// Locality of the machine
    #[arg(long, value_name = "TOWN")]
    pub locality: Option<String>,
    /// State or region of the machine
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Key to make: rsa-2048, rsa-3072, rsa-4096, ec-p256 or ec-p384 [default: rsa-2048]
    #[arg(long, value_name = "ALGORITHM", value_parser = KeyAlgorithm::from_str)]
    pub key: Option<KeyAlgorithm>,
    /// Name to ask for: a server's public host name or URL; for a cloned machine, a name instead of the one found
    #[arg(long, value_name = "NAME")]
    pub common_name: Option<String>,
    /// Where to install: machine or user [default: what the package says]
    #[arg(long, value_name = "STORE", value_parser = StoreScope::from_str)]
    pub store: Option<StoreScope>,
    /// Show what would be submitted, and stop before a key is made
    #[arg(long)]
    pub dry_run: bool,
}

/// `fetch`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ptc-enroll fetch
  ptc-enroll fetch --wait 10m

Exits with 5 while a request is pending, so that a batch file can come back later.")]
pub struct FetchArguments {
    /// Ask again until nothing is pending, for at most this long: 30s, 10m, 2h
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub wait: Option<Duration>,
}

/// `subject`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ptc-enroll subject --copy
  ptc-enroll subject --format openssl")]
pub struct SubjectArguments {
    /// Form of the name: windows (as .NET prints it), rfc4514 or openssl
    #[arg(long, value_name = "FORM", default_value = "windows", value_parser = NameFormat::from_str)]
    pub format: NameFormat,
    /// Put the name on the clipboard too
    #[arg(long)]
    pub copy: bool,
}

/// `submit-external`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ptc-enroll submit-external api.csr --email admin@poste.example
  ptc-enroll submit-external csrs/ --answers site.toml --output jsonl
  ptc-enroll submit-external api.csr web.csr --dry-run")]
pub struct SubmitExternalArguments {
    /// CSRs, PEM or DER; of a folder, every .csr, .req, .p10, .pem and .der in it
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub fields: FieldArguments,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub machine: MachineArguments,
    /// Check the files, and send nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Details of the external server, for the approver.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Details of the server")]
pub struct MachineArguments {
    /// Fully qualified host name
    #[arg(long, value_name = "NAME")]
    pub host_name: Option<String>,
    /// MAC address
    #[arg(long, value_name = "ADDRESS")]
    pub mac_address: Option<String>,
    /// NIC id
    #[arg(long, value_name = "ID")]
    pub nic_id: Option<String>,
    /// Processor id
    #[arg(long, value_name = "ID")]
    pub processor_id: Option<String>,
    /// Name and version of the operating system
    #[arg(long, value_name = "TEXT")]
    pub os_version: Option<String>,
    /// 64-bit or 32-bit
    #[arg(long, value_name = "TYPE")]
    pub os_type: Option<String>,
}

/// A command line that ends the run before any command: help, version or a mistake.
#[derive(Debug)]
pub struct Stop(clap::Error);

impl Stop {
    /// Prints it where it belongs and says how to exit.
    pub fn print(&self) -> Exit {
        // Nothing is left to tell where even this cannot be printed.
        let _ = self.0.print();
        if self.0.use_stderr() { Exit::Usage } else { Exit::Done }
    }
}

/// Reads a command line.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, Stop> {
    Arguments::try_parse_from(arguments).map_err(Stop)
}

/// A number and `s`, `m`, `h` or `d`; a bare number is seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        other => return Err(format!("unknown unit {other:?}: use s, m, h or d")),
    };
    let count: u64 = digits.parse().map_err(|_| "expected a number and a unit, such as 10m".to_owned())?;
    count.checked_mul(unit).map(Duration::from_secs).ok_or_else(|| "too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn durations() {
        for (text, seconds) in [("30", 30), ("30s", 30), ("10m", 600), ("2h", 7_200), ("1d", 86_400)] {
            assert_eq!(parse_duration(text).unwrap().as_secs(), seconds, "{text}");
        }
        for text in ["", "m", "10 m", "-1s", "10y", "99999999999999999999d", "18446744073709551615d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
