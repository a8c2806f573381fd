//! The command line: clap structs, no logic.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::error::{ContextKind, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use super::api::MOST_CONNECTIONS;
use super::console;
use super::exit::Exit;
use super::keys::KeyAlgorithm;
use super::report::Output;
use super::store::Replaced;
use crate::locales::{Language, Text};
use crate::protocol::request::{RequestNumber, StoreScope};
use crate::protocol::subject::NameFormat;

/// Obtains, installs and tests PTC certificates for this machine and for external servers.
#[derive(Debug, Parser)]
#[command(name = "ptc-enroll", version, max_term_width = 100, after_help = EXAMPLES, args_override_self = true)]
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
    /// Form of the output: text (for people), json (one object a command) or jsonl (one object a request)
    #[arg(short, long, value_name = "FORM", default_value = "text", hide_possible_values = true, global = true)]
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
    /// Drop the records of requests that were rejected, cancelled, revoked or expired
    Forget(ForgetArguments),
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
            Self::Forget(_) => "forget",
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
  ptc-enroll submit --answers site.toml --common-name https://api.poste.example
  ptc-enroll submit --answers site.toml --grant-read \"NETWORK SERVICE\"")]
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
    /// Account that may use the key too, besides administrators; may be repeated (machine's store of Windows)
    #[arg(long, value_name = "ACCOUNT")]
    pub grant_read: Vec<String>,
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
    /// What becomes of this machine's older certificate: keep, archive or remove (with its key) [default: archive]
    #[arg(long, value_name = "WAY", value_parser = Replaced::from_str)]
    pub replaced: Option<Replaced>,
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
  ptc-enroll submit-external csrs/ 'more/*.csr' --answers site.toml --output jsonl
  ptc-enroll submit-external --manifest servers.csv --report report.csv
  ptc-enroll submit-external api.csr web.csr --dry-run

A manifest has a line a server; its first line names the columns. Only csr is needed; what a line leaves
empty comes from the options and answers below:
  csr,host_name,email,description
  csrs/api.csr,api.poste.example,api@poste.example,Parcel interface")]
// The certificate carries what the CSR says.
#[command(mut_arg("email", |email| email.help("E-mail address of the person in charge, for the approver")))]
pub struct SubmitExternalArguments {
    /// CSRs, PEM or DER; patterns such as csrs/*.csr; of a folder, every .csr, .req, .p10, .pem and .der in it
    #[arg(required_unless_present = "manifest", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// CSV file with a CSR a line and what is known of its server: csr, host_name, mac_address, nic_id, processor_id,
    /// os_version, os_type, email, telephone, description
    #[arg(long, value_name = "FILE", conflicts_with = "files")]
    pub manifest: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub fields: FieldArguments,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub machine: MachineArguments,
    /// Write a CSV file that says of every CSR how it ended
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Connections to the service at the same time, 1 to 16
    #[arg(long, value_name = "NUMBER", default_value_t = 4,
        value_parser = clap::value_parser!(u8).range(1..=MOST_CONNECTIONS as i64))]
    pub connections: u8,
    /// Send also CSRs whose request a newer one replaced, to go back to an older CSR, or whose certificate was revoked,
    /// where the key is good all the same
    #[arg(long)]
    pub again: bool,
    /// Check the files, say which of them would be sent, and send nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `forget`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  ptc-enroll forget 34

Until then, fetch ends with 4 as long as the newest request for a name was rejected, expired or revoked.")]
pub struct ForgetArguments {
    /// Numbers of the requests
    #[arg(required = true, value_name = "NUMBER")]
    pub numbers: Vec<RequestNumber>,
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
pub struct Stop {
    error: Box<clap::Error>,
    language: Language,
    command: String,
}

impl Stop {
    /// Prints it where it belongs and says how to exit.
    pub fn print(&self) -> Exit {
        // Nothing is left to tell where even this cannot be printed.
        if self.error.use_stderr() {
            let _ = match self.mistake() {
                Some(mistake) => console::write(std::io::stderr().lock(), &mistake),
                None => self.error.print(),
            };
            Exit::Usage
        } else {
            let _ = self.error.print();
            Exit::Done
        }
    }

    /// A mistake in the language chosen. clap says it in English, with suggestions.
    fn mistake(&self) -> Option<String> {
        if self.language == Language::English
            || self.error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        {
            return None;
        }
        let part = |kind| self.error.get(kind).map(ToString::to_string);
        let argument = match self.error.kind() {
            ErrorKind::MissingSubcommand => Some("<COMMAND>".to_owned()),
            _ => part(ContextKind::InvalidArg).or_else(|| part(ContextKind::InvalidSubcommand)),
        };
        let text = match self.error.kind() {
            ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
                Text::new("usage-value").with("value", part(ContextKind::InvalidValue).unwrap_or_default())
            }
            ErrorKind::UnknownArgument => Text::new("usage-unknown"),
            ErrorKind::MissingRequiredArgument | ErrorKind::MissingSubcommand => Text::new("usage-missing"),
            ErrorKind::InvalidSubcommand => Text::new("usage-command"),
            _ => Text::new("usage-other"),
        };
        let message = text.with("argument", argument.unwrap_or_default()).in_language(self.language);
        let next = Text::new("usage-next").with("command", &self.command).in_language(self.language);
        let lines = [Text::new("line-error").with("message", message), Text::new("line-hint").with("hint", next)];
        Some(lines.iter().map(|line| line.in_language(self.language) + "\n").collect())
    }
}

/// Reads a command line.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, Stop> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    Arguments::try_parse_from(&arguments).map_err(|error| {
        // Only now is the language worth a look: most command lines are good.
        let language = language_of(&arguments);
        let error = match language {
            Language::English => error,
            _ => in_language(Arguments::command(), language).try_get_matches_from(&arguments).err().unwrap_or(error),
        };
        let known = Arguments::command();
        let subcommand = arguments.iter().filter_map(|word| word.to_str()).find_map(|word| known.find_subcommand(word));
        let command = match subcommand {
            Some(subcommand) => format!("ptc-enroll {}", subcommand.get_name()),
            None => "ptc-enroll".to_owned(),
        };
        Stop { error: Box::new(error), language, command }
    })
}

/// The language of a command line that cannot be read as a whole.
fn language_of(arguments: &[OsString]) -> Language {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let after = words.windows(2).find_map(|pair| (pair[0] == "--lang").then_some(pair[1]));
    let chosen = after.or_else(|| words.iter().find_map(|word| word.strip_prefix("--lang=")));
    chosen.and_then(|word| word.parse().ok()).unwrap_or_else(Language::system)
}

/// The command with its help in a language.
fn in_language(command: clap::Command, language: Language) -> clap::Command {
    let text = |id: String| language.look_up(&id);
    let name = command.get_name().to_owned();
    let headings = [
        ("Options of every command", text("help-heading-global".to_owned())),
        ("Details of the server", text("help-heading-machine".to_owned())),
    ];
    let mut command = command.mut_args(|argument| {
        let help = text(format!("help-arg-{name}-{}", argument.get_id()))
            .or_else(|| text(format!("help-arg-{}", argument.get_id())));
        let heading = match argument.get_help_heading() {
            Some(heading) => {
                headings.iter().find(|(english, _)| *english == heading).and_then(|(_, other)| other.clone())
            }
            // «Options» and «Arguments» are French, too.
            None => None,
        };
        let argument = match help {
            Some(help) => argument.help(help).long_help(None),
            None => argument,
        };
        match heading {
            Some(heading) => argument.help_heading(heading),
            None => argument,
        }
    });
    if let Some(help) = text("help-arg-help".to_owned()) {
        let flag = clap::Arg::new("help").short('h').long("help").action(clap::ArgAction::Help).help(help);
        command = command.disable_help_flag(true).arg(flag);
    }
    if let Some(about) = text(format!("help-{name}")) {
        command = command.about(about).long_about(None);
    }
    if let Some(examples) = text(format!("help-examples-{name}")) {
        command = command.after_help(examples);
    }
    if let Some(template) = text("help-template".to_owned()) {
        command = command.help_template(template);
    }
    if let Some(heading) = text("help-heading-commands".to_owned()) {
        command = command.subcommand_help_heading(heading);
    }
    command.mut_subcommands(|subcommand| in_language(subcommand, language))
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
        Arguments::command().debug_assert();
        in_language(Arguments::command(), Language::French).debug_assert();
    }

    #[test]
    fn every_help_text_is_there_in_french() {
        fn check(command: &clap::Command) {
            let french = |id: String| assert!(Language::French.look_up(&id).is_some(), "{id}");
            french(format!("help-{}", command.get_name()));
            if command.get_after_help().is_some() {
                french(format!("help-examples-{}", command.get_name()));
            }
            command.get_arguments().for_each(|argument| french(format!("help-arg-{}", argument.get_id())));
            command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()).for_each(check);
        }
        check(&Arguments::command());
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
