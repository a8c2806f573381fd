//! What can be typed. No logic.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ptc_enroll::locales::Language;
use ptc_enroll::protocol::messages::RevocationCode;
use ptc_enroll::protocol::package::Defaults;
use ptc_enroll::protocol::request::{Kind, RequestNumber, Role, State, StoreScope};
use ptc_enroll::service::ca::Algorithm;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

/// Certificate enrollment for postal operators: the registration authority and its CA.
#[derive(Debug, Parser)]
#[command(name = "ptc-enrollment", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) context: ContextArguments,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Debug, Args)]
pub(crate) struct ContextArguments {
    /// The folder of the installation [default: $PTC_ENROLLMENT_HOME, else /var/lib/ptc-enrollment]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// How results are written
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
    /// Language of texts: en or fr [default: the system's]
    #[arg(long, global = true, value_name = "LANGUAGE")]
    pub(crate) lang: Option<Language>,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// One JSON object
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an installation: settings, database, CA, first PTC manager
    Init(Box<InitArguments>),
    /// Show everything on loopback, in a fresh folder
    Demo(DemoArguments),
    /// Run the service
    Serve(ServeArguments),
    /// Organisations
    #[command(subcommand)]
    Org(OrganisationCommand),
    /// Install packages
    #[command(subcommand)]
    Package(PackageCommand),
    /// Managers
    #[command(subcommand)]
    Manager(ManagerCommand),
    /// Requests
    #[command(subcommand)]
    Request(RequestCommand),
    /// Certificates
    #[command(subcommand)]
    Certificate(CertificateCommand),
    /// The revocation list
    #[command(subcommand)]
    Crl(CrlCommand),
    /// The CA's keys
    #[command(subcommand)]
    Ca(CaCommand),
    /// The audit record
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Make a backup of the whole installation, also while the service runs
    Backup(BackupArguments),
    /// Make an installation from a backup, in a new home
    Restore(RestoreArguments),
    /// The database as a whole
    #[command(subcommand)]
    Database(DatabaseCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum DatabaseCommand {
    /// Move it from the file in the home to a PostgreSQL server, also while the service runs
    #[command(
        after_help = "The service goes on meanwhile, answers 503 with Retry-After to whoever writes in the last part, and goes \
        over by itself. Interrupted, the same command goes on.\n\nExamples:\n  \
        ptc-enrollment database move --to \"postgres:///enroll?host=/run/postgresql\" --dry-run\n  \
        ptc-enrollment database move --to \"postgres:///enroll?host=/run/postgresql\""
    )]
    Move {
        /// An empty database: postgres://account@host/database, without a password
        #[arg(long, value_name = "URL")]
        to: String,
        /// The file with the password of the account there: one line, readable by the service's account only
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// Check both sides, and move nothing
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "The backup holds the CA's keys as they lie in the home: keep it as safe as them.\n\nExample:\n  \
    ptc-enrollment backup --to /backup/enrollment-$(date +%F)"
)]
pub(crate) struct BackupArguments {
    /// A new folder for the backup
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Stop the old service first. Interrupted, the same command begins again.\n\nExamples:\n  \
    ptc-enrollment restore --from /backup/enrollment-2027-03-01 --home /var/lib/ptc-enrollment\n  \
    ptc-enrollment restore --from /backup/enrollment-2027-03-01 --home /srv/enrollment \\\n    \
    --database \"postgres:///enroll?host=/run/postgresql\"")]
pub(crate) struct RestoreArguments {
    /// The backup
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
    /// Put the database into an empty one on a PostgreSQL server: postgres://account@host/database, without a password
    /// [default: where it was]
    #[arg(long, value_name = "URL")]
    pub(crate) database: Option<String>,
    /// The file with the password of the account there
    #[arg(long, value_name = "FILE", requires = "database")]
    pub(crate) database_password_file: Option<PathBuf>,
    /// Put the database into a file in the home
    #[arg(long, conflicts_with = "database")]
    pub(crate) database_file: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ptc-enrollment init --environment test --public-url https://enroll.ptc.example:8443 \\\n    \
    --secure-url https://enroll.ptc.example:8444 --manager-name \"Ada Lovelace\" \\\n    \
    --manager-email ada@ptc.example --manager-out ./ada"
)]
pub(crate) struct InitArguments {
    /// Name of the environment: lower-case letters, digits and hyphens
    #[arg(long, value_name = "NAME")]
    pub(crate) environment: String,
    /// Where clients reach the public listener: https://host[:port]
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: String,
    /// Where clients and managers reach the secure listener
    #[arg(long, value_name = "URL")]
    pub(crate) secure_url: String,
    /// Where the public listener listens [default: 127.0.0.1:8443]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) public_listen: Option<SocketAddr>,
    /// Where the secure listener listens [default: 127.0.0.1:8444]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) secure_listen: Option<SocketAddr>,
    /// Where health and figures are asked for, over plain HTTP [default: 127.0.0.1:8445]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) operations_listen: Option<SocketAddr>,
    /// Where anybody reaches the plain listener, for revocation list and OCSP: http://host[:port]
    #[arg(long, value_name = "URL", requires = "http_listen")]
    pub(crate) http_url: Option<String>,
    /// Where the plain listener listens [default: there is none]
    #[arg(long, value_name = "ADDRESS:PORT", requires = "http_url")]
    pub(crate) http_listen: Option<SocketAddr>,
    /// An empty database on a PostgreSQL server: postgres://account@host/database, without a password
    /// [default: a file in the home]
    #[arg(long, value_name = "URL")]
    pub(crate) database: Option<String>,
    /// The file with the password of the account there
    #[arg(long, value_name = "FILE", requires = "database")]
    pub(crate) database_password_file: Option<PathBuf>,
    /// The CA's keys: ecdsa-p256 or rsa-3072
    #[arg(long, default_value_t = Algorithm::default())]
    pub(crate) algorithm: Algorithm,
    /// Encrypt the CA's keys under the passphrase in this file: one line, readable by its owner only
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_passphrase_file: Option<PathBuf>,
    /// Make the issuing key in a PKCS #11 token, by this library; the root's key stays a file
    #[arg(long, value_name = "FILE", requires = "pkcs11_token")]
    pub(crate) pkcs11_module: Option<PathBuf>,
    /// Label of the token
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module")]
    pub(crate) pkcs11_token: Option<String>,
    /// Label of the key, which must not be there yet [default: "PTC <environment> Issuing CA"]
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module")]
    pub(crate) pkcs11_key: Option<String>,
    /// The file with the token's user PIN: one line, readable by its owner only [default: systemd's credential ca-pin]
    #[arg(long, value_name = "FILE", requires = "pkcs11_module")]
    pub(crate) pkcs11_pin_file: Option<PathBuf>,
    /// Name of the first PTC manager
    #[arg(long, value_name = "NAME")]
    pub(crate) manager_name: String,
    /// Their e-mail address
    #[arg(long, value_name = "EMAIL")]
    pub(crate) manager_email: String,
    /// A new folder for their key and certificate
    #[arg(long, value_name = "DIR")]
    pub(crate) manager_out: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ptc-enrollment demo          starts everything and says what to type next\n  \
    ptc-enrollment demo --run    enrols this very machine, step by step, and ends")]
pub(crate) struct DemoArguments {
    /// Go through submit, approve, fetch, test, subject and an external CSR, then end
    #[arg(long)]
    pub(crate) run: bool,
    /// Folder to make and keep [default: one in the temporary folder, gone at the end]
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Stops gracefully on SIGTERM and SIGINT. RUST_LOG sets the log level: error, warn, info, debug."
)]
pub(crate) struct ServeArguments {
    /// Approve every request as it comes; for demonstrations and tests, never in the environment prod
    #[arg(long)]
    pub(crate) auto_approve: bool,
    /// How the log is written, on stderr
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people: one line an event
    Text,
    /// For programs: one JSON object a line
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OrganisationCommand {
    /// Add an organisation
    #[command(after_help = "Example:\n  ptc-enrollment org add --code J1CFRA --name \"FRANCE LA POSTE\" --country FR")]
    Add {
        /// 2 to 16 capital letters and digits
        #[arg(long)]
        code: String,
        /// The name as certificates carry it
        #[arg(long)]
        name: String,
        /// Two capital letters (ISO 3166-1)
        #[arg(long)]
        country: String,
    },
    /// List the organisations
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PackageCommand {
    /// Make an install package, as a folder, a zip or both; the only time its secret is seen
    #[command(
        after_help = "Examples:\n  ptc-enrollment package create --organisation J1CFRA --kind workstation --zip laposte.zip\n  \
                      ptc-enrollment package create --organisation J1CFRA --kind workstation --zip laposte.zip \\\n      \
                      --client ptc-enroll-windows --expires 2027-12-31"
    )]
    Create {
        /// Code of the organisation
        #[arg(long, value_name = "CODE")]
        organisation: String,
        /// What it enrols: workstation, server or mobile
        #[arg(long)]
        kind: Kind,
        /// Where the client installs: machine or user
        #[arg(long, default_value_t = StoreScope::Machine)]
        store: StoreScope,
        /// Allow CSRs of external servers
        #[arg(long)]
        external_requests: bool,
        /// The last day on which something can be submitted with it, in UTC [default: until it is ended]
        #[arg(long, value_name = "YYYY-MM-DD", value_parser = end_of_day)]
        expires: Option<OffsetDateTime>,
        #[command(flatten)]
        places: PlaceArguments,
        #[command(flatten)]
        defaults: Box<DefaultArguments>,
    },
    /// List the packages that were given out
    List,
    /// Make a package with the same settings and a fresh secret, and end the old one
    #[command(
        after_help = "Examples:\n  ptc-enrollment package rotate 1 --zip laposte.zip            the old one ends now\n  \
                      ptc-enrollment package rotate 1 --zip laposte.zip --grace 14 the old one ends in 14 days"
    )]
    Rotate {
        /// The number of the old package
        id: i64,
        /// For how many days the old package can still be used, at most 366
        #[arg(long, value_name = "DAYS", default_value_t = 0)]
        grace: u32,
        #[command(flatten)]
        places: PlaceArguments,
    },
    /// End a package's use: nothing more can be submitted with its secret
    Disable {
        /// The package's number
        id: i64,
    },
}

/// Where a new package goes.
#[derive(Debug, Args)]
pub(crate) struct PlaceArguments {
    /// A new folder for the package
    #[arg(long, value_name = "DIR", required_unless_present = "zip")]
    pub(crate) out: Option<PathBuf>,
    /// A new zip file for the package
    #[arg(long, value_name = "FILE")]
    pub(crate) zip: Option<PathBuf>,
    /// A folder whose files go along: the client's program and what belongs to it
    #[arg(long, value_name = "DIR")]
    pub(crate) client: Option<PathBuf>,
}

/// The moment after which a day is over.
fn end_of_day(text: &str) -> Result<OffsetDateTime, &'static str> {
    Date::parse(text, format_description!("[year]-[month]-[day]"))
        .ok()
        .and_then(Date::next_day)
        .map(|next| next.midnight().assume_utc())
        .ok_or("expected a day: YYYY-MM-DD")
}

/// What clients use for fields of a request that nobody gives.
#[derive(Debug, Args)]
#[command(next_help_heading = "Defaults for the requests made with the package")]
pub(crate) struct DefaultArguments {
    /// Locality of the machines
    #[arg(long, value_name = "TEXT")]
    pub(crate) locality: Option<String>,
    /// State or region of the machines
    #[arg(long, value_name = "TEXT")]
    pub(crate) region: Option<String>,
    /// E-mail address of the person in charge
    #[arg(long)]
    pub(crate) email: Option<String>,
    /// Their telephone number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) telephone: Option<String>,
    /// Free text for the approver
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Key to make: rsa-2048, rsa-3072, rsa-4096, ec-p256 or ec-p384
    #[arg(long)]
    pub(crate) key: Option<String>,
}

impl From<DefaultArguments> for Defaults {
    fn from(arguments: DefaultArguments) -> Self {
        let DefaultArguments { locality, region, email, telephone, description, key } = arguments;
        Self { locality, region, email, telephone, description, key }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ManagerCommand {
    /// Add a manager: makes their key here and issues their certificate
    #[command(
        after_help = "Example:\n  ptc-enrollment manager add --name \"Jean Dupont\" --email jean@laposte.example \\\n    \
        --role registration-manager --organisation J1CFRA --out ./jean"
    )]
    Add {
        /// Name of the person
        #[arg(long)]
        name: String,
        /// Their e-mail address
        #[arg(long)]
        email: String,
        /// registration-manager or ptc-manager
        #[arg(long)]
        role: Role,
        /// Code of a registration manager's one organisation
        #[arg(long, value_name = "CODE")]
        organisation: Option<String>,
        /// A new folder for their key and certificate
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Issue a manager in office another certificate, with a new key made here
    #[command(after_help = "The folder may be one that an interrupted run left: its key is used.\n\nExamples:\n  \
                      ptc-enrollment manager reissue 2 --out ./jean-2028                 before a certificate ends\n  \
                      ptc-enrollment manager reissue 2 --out ./jean-new --revoke-older   a key was lost")]
    Reissue {
        /// The manager's number
        id: u64,
        /// A new folder for their key and certificate
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Revoke their older certificates as superseded; else they stay good until they end
        #[arg(long)]
        revoke_older: bool,
    },
    /// List the managers
    List,
    /// Choose the language in which a manager is written to
    Language {
        /// The manager's number
        id: u64,
        /// en or fr
        tag: Language,
    },
    /// Take a manager out of office and revoke their certificates
    Disable {
        /// The manager's number
        id: u64,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PageArguments {
    /// Only what lies after this number, as the page before says
    #[arg(long, value_name = "NUMBER")]
    pub(crate) after: Option<u64>,
    /// At most so many rows, up to 200
    #[arg(long, value_name = "ROWS")]
    pub(crate) limit: Option<u32>,
}

/// Everything that waits, instead of one request. Each conflicts with a number by itself: what is required counts for clap only
/// where it could be given.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everything that waits, as one bulk decision")]
pub(crate) struct AllArguments {
    /// All pending requests, at most 10,000, each as it is now
    #[arg(long, conflicts_with = "number")]
    pub(crate) all_pending: bool,
    /// Only of the organisation with this code
    #[arg(long, value_name = "CODE", requires = "all_pending", conflicts_with = "number")]
    pub(crate) organisation: Option<String>,
    /// Only of this kind: workstation, server, external-server or mobile
    #[arg(long, requires = "all_pending", conflicts_with = "number")]
    pub(crate) kind: Option<Kind>,
    /// Leave out the requests that there are warnings about
    #[arg(long, requires = "all_pending", conflicts_with = "number")]
    pub(crate) without_warnings: bool,
    /// Show what would be decided on, and decide on nothing
    #[arg(long, requires = "all_pending", conflicts_with = "number")]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RequestCommand {
    /// List and search requests
    #[command(after_help = "Example:\n  ptc-enrollment request list --state pending")]
    List {
        /// pending, approved, rejected, cancelled, expired, installed, downloaded or revoked
        #[arg(long)]
        state: Option<State>,
        /// Code of an organisation
        #[arg(long, value_name = "CODE")]
        organisation: Option<String>,
        /// Text in the common name, the contact or the machine
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        #[command(flatten)]
        page: PageArguments,
    },
    /// Show a request with everything that is needed to decide on it
    Show {
        /// The request
        number: RequestNumber,
    },
    /// Approve a request, or all that wait
    #[command(after_help = "Examples:\n  ptc-enrollment request show 34\n  ptc-enrollment request approve 34\n  \
                      ptc-enrollment request approve --all-pending --organisation J1CFRA --dry-run\n  \
                      ptc-enrollment request approve --all-pending --organisation J1CFRA --without-warnings")]
    Approve {
        /// The request
        #[arg(required_unless_present = "all_pending")]
        number: Option<RequestNumber>,
        /// SHA-256 of the CSR that you saw; refused if the request holds another one
        #[arg(long, value_name = "HEX", conflicts_with = "all_pending")]
        csr_sha256: Option<String>,
        #[command(flatten)]
        all: AllArguments,
    },
    /// Reject a request, or all that wait
    Reject {
        /// The request
        #[arg(required_unless_present = "all_pending")]
        number: Option<RequestNumber>,
        /// Why; the client shows it
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        all: AllArguments,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CertificateCommand {
    /// List and search certificates
    List {
        /// Code of an organisation
        #[arg(long, value_name = "CODE")]
        organisation: Option<String>,
        /// Text in the subject or serial number
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        #[command(flatten)]
        page: PageArguments,
    },
    /// Revoke a certificate and publish a new revocation list
    #[command(after_help = "Codes: unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation, \
        privilegeWithdrawn")]
    Revoke {
        /// The serial number
        serial: String,
        /// The reason code (RFC 5280)
        #[arg(long, default_value = "unspecified")]
        code: RevocationCode,
        /// Why, in words; the client shows it
        #[arg(long, default_value = "")]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CrlCommand {
    /// Show the newest revocation list
    Show {
        /// Write it to this file too, DER
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Make a new revocation list now
    Refresh {
        /// Write it to this file too, DER
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// Show where the CA's keys are, and whether the issuing key can be used
    Show,
    /// Encrypt the CA's keys, or change their passphrase
    #[command(
        after_help = "The present passphrase comes from ca_passphrase_file in enrollment.toml or from systemd. Interrupted, \
        the same command goes on.\n\nExample:\n  (umask 077; openssl rand -base64 32 >/etc/ptc-ca-passphrase)\n  \
        ptc-enrollment ca encrypt-keys --passphrase-file /etc/ptc-ca-passphrase"
    )]
    EncryptKeys {
        /// The file with the new passphrase: one line, readable by its owner only
        #[arg(long, value_name = "FILE")]
        passphrase_file: PathBuf,
    },
    /// Take the encryption off the CA's keys
    DecryptKeys,
    /// Sign the root's list anew: whether the issuing CA is revoked
    #[command(
        after_help = "Needs the root's key, which may come from elsewhere for this. The service publishes the new list at once.\n\n\
        Examples:\n  ptc-enrollment ca root-crl --root-key /media/usb/root.key.pem --root-passphrase-file /media/usb/passphrase\n  \
        ptc-enrollment ca root-crl --days 365"
    )]
    RootCrl(RootCrlArguments),
}

#[derive(Debug, Args)]
pub(crate) struct RootCrlArguments {
    /// For how many days the list is good [default: as long as the issuing certificate]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=7_300))]
    pub(crate) days: Option<u32>,
    /// The root's key [default: ca/root.key.pem in the home]
    #[arg(long, value_name = "FILE")]
    pub(crate) root_key: Option<PathBuf>,
    /// The file with the passphrase of the root's key [default: that of the CA's keys]
    #[arg(long, value_name = "FILE")]
    pub(crate) root_passphrase_file: Option<PathBuf>,
    /// Revoke the issuing CA, and with it every certificate, in this list and those after it
    #[arg(long)]
    pub(crate) revoke_issuing: bool,
    /// Write the list to this file too, DER
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List entries, oldest first
    List {
        #[command(flatten)]
        page: PageArguments,
    },
    /// Check the whole record against its chain of hashes
    Verify,
}
