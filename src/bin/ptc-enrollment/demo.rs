//! `demo`: a whole site on loopback in a fresh folder. Service, CA, one organisation, its package, both managers.
//!
//! `demo --run` then enrols this very machine: the real client, started as its user starts it, and decisions sent by the
//! managers over mutual TLS.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use ptc_enroll::locales::{Language, Text};
use ptc_enroll::protocol::messages::{API, Approval, NewManager, NewPackage, Organisation, RequestDetail};
use ptc_enroll::protocol::package::Defaults;
use ptc_enroll::protocol::request::{Kind, Role, StoreScope};
use ptc_enroll::service::app::{App, Clock};
use ptc_enroll::service::auth::Actor;
use ptc_enroll::service::ca::Algorithm;
use ptc_enroll::service::config::{Home, Settings};
use ptc_enroll::service::install::{Plan, install};
use ptc_enroll::service::listener::Limits;
use ptc_enroll::service::server::{Running, serve};
use ptc_enroll::service::{handover, package};
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType};
use tokio::runtime::{Builder, Runtime};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::cli::DemoArguments;
use crate::context::Context;
use crate::error::CommandError;

/// The organisation of the demo.
const ORGANISATION: [&str; 3] = ["J1CFRA", "FRANCE LA POSTE", "FR"];
/// The server whose certificate is asked for with a CSR made elsewhere.
const EXTERNAL_SERVER: &str = "api.poste.example";
/// What the one who enrols gives.
const FIELDS: [&str; 2] = ["--email=admin@poste.example", "--locality=Paris"];

/// Sets up the site and shows it.
pub(crate) fn run(context: &Context, arguments: &DemoArguments) -> Result<(), CommandError> {
    show(arguments, context.output.language).map_err(CommandError::from)
}

fn show(arguments: &DemoArguments, language: Language) -> anyhow::Result<()> {
    let client = client_program(language)?;
    let temporary;
    let folder = match &arguments.folder {
        Some(folder) => {
            fs::create_dir(folder).with_context(|| format!("{}", folder.display()))?;
            fs::canonicalize(folder)?
        }
        None => {
            temporary = tempfile::Builder::new().prefix("ptc-demo-").tempdir()?;
            temporary.path().to_path_buf()
        }
    };
    say(language, &Text::new("demo-building").with("folder", folder.display()))?;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let site = Site::build(&runtime, &folder, client)?;
    let shown = match arguments.run {
        true => site.enrol(language),
        false => site.explain(language).and_then(|()| {
            runtime.block_on(async {
                crate::serve::stop_signal()?.await;
                say(language, &Text::new("demo-stopping"))
            })
        }),
    };
    runtime.block_on(site.running.stop());
    shown
}

/// A running site.
struct Site {
    folder: PathBuf,
    client: PathBuf,
    secure_url: String,
    running: Running,
}

impl Site {
    fn build(runtime: &Runtime, folder: &Path, client: PathBuf) -> anyhow::Result<Self> {
        let home = Home::new(folder.join("service"));
        let clock = Clock::system();
        let (public, secure) = (free_port()?, free_port()?);
        let url = |address: SocketAddr| format!("https://{address}");
        let mut settings = Settings::new("demo", &url(public), &url(secure));
        (settings.public_listen, settings.secure_listen) = (public, secure);
        // Whatever runs on this machine already has the usual port.
        settings.operations_listen = None;
        settings.poll_seconds = 1;
        let plan = Plan {
            settings,
            algorithm: Algorithm::default(),
            manager_name: "Perrine Centrale".to_owned(),
            manager_email: "perrine@ptc.example".to_owned(),
            manager_out: folder.join("ptc-manager"),
            account: "demo".to_owned(),
        };
        install(&home, &plan, &clock)?;
        let running = runtime.block_on(async {
            let app = App::open(home, clock).await?;
            furnish(&app, folder).await?;
            anyhow::Ok(serve(Arc::new(app), Limits::default()).await?)
        })?;
        Ok(Self { folder: folder.to_owned(), client, secure_url: url(secure), running })
    }

    /// Says what can be typed next; each line works as it stands.
    fn explain(&self, language: Language) -> anyhow::Result<()> {
        let service = std::env::current_exe()?;
        let manager = self.folder.join("registration-manager");
        let file = |name: &str| quoted(manager.join(name));
        let client = format!("{} --home {}", quoted(&self.client), quoted(self.workstation()));
        let administer = format!("{} --home {}", quoted(service), quoted(self.folder.join("service")));
        let steps = [
            (Text::new("demo-step-submit"), format!("{client} submit {} {}", FIELDS[0], FIELDS[1])),
            (
                Text::new("demo-step-queue"),
                format!(
                    "curl --cert {} --key {} --cacert {} {}{API}/manager/requests",
                    file("manager.crt.pem"),
                    file("manager.key.pem"),
                    file("trust-anchor.pem"),
                    self.secure_url
                ),
            ),
            (
                Text::new("demo-step-pages").with("password", file("manager.p12.password.txt")),
                format!("echo Import {} into a browser and open {}/", file("manager.p12"), self.secure_url),
            ),
            (Text::new("demo-step-approve"), format!("{administer} request approve 1")),
            (Text::new("demo-step-fetch"), format!("{client} fetch")),
            (Text::new("demo-step-test"), format!("{client} test")),
            (Text::new("demo-step-subject"), format!("{client} subject --format openssl")),
            (Text::new("demo-step-audit"), format!("{administer} audit verify")),
        ];
        say(language, &Text::new("demo-ready").with("url", &self.secure_url))?;
        for (text, line) in steps {
            writeln!(io::stdout().lock(), "\n# {}\n{line}", text.in_language(language))?;
        }
        say(language, &Text::new("demo-stop"))
    }

    /// Enrols this machine and an external server, showing each step.
    fn enrol(&self, language: Language) -> anyhow::Result<()> {
        self.client(language, ["submit", FIELDS[0], FIELDS[1]], &[0])?;
        // Nobody decided yet: 5 says so.
        self.client(language, ["fetch"], &[5])?;
        self.approve(language, 1, "registration-manager")?;
        self.client(language, ["fetch", "--wait=30s"], &[0])?;
        self.client(language, ["test"], &[0])?;
        self.client(language, ["subject"], &[0])?;

        let csr = self.external_csr()?;
        say(language, &Text::new("demo-external").with("host", EXTERNAL_SERVER).with("file", csr.display()))?;
        self.client(language, [OsStr::new("submit-external"), csr.as_os_str(), OsStr::new(FIELDS[0])], &[0])?;
        self.approve(language, 2, "ptc-manager")?;
        self.client(language, ["fetch", "--wait=30s"], &[0])?;
        self.client(language, ["status"], &[0])?;
        say(language, &Text::new("demo-done"))
    }

    /// Runs the client and shows command line and output.
    fn client<S: AsRef<OsStr>>(
        &self,
        language: Language,
        arguments: impl IntoIterator<Item = S>,
        expected: &[i32],
    ) -> anyhow::Result<()> {
        let arguments: Vec<S> = arguments.into_iter().collect();
        let shown: Vec<String> =
            arguments.iter().map(|argument| argument.as_ref().to_string_lossy().into_owned()).collect();
        writeln!(io::stdout().lock(), "\n$ ptc-enroll {}", shown.join(" "))?;
        let status = Command::new(&self.client)
            .arg("--home")
            .arg(self.workstation())
            .args(["--lang", language.as_str(), "--no-input"])
            .args(&arguments)
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("{}", self.client.display()))?;
        let code = status.code();
        ensure!(code.is_some_and(|code| expected.contains(&code)), "ptc-enroll {}: {status}", shown.join(" "));
        Ok(())
    }

    /// Decides as a manager does: over mutual TLS, on exactly the CSR that was shown.
    fn approve(&self, language: Language, number: u64, manager: &str) -> anyhow::Result<()> {
        let agent = manager_agent(&self.folder.join(manager))?;
        let url = format!("{}{API}/manager/requests/{number}", self.secure_url);
        let detail: RequestDetail = agent.get(&url).call()?.body_mut().read_json()?;
        say(
            language,
            &Text::new("demo-approve")
                .with("manager", manager)
                .with("number", number)
                .with("subject", &detail.subject)
                .with("key", &detail.key)
                .with("sha256", &detail.csr_sha256),
        )?;
        let answer = agent.post(format!("{url}/approve")).send_json(Approval { csr_sha256: detail.csr_sha256 })?;
        ensure!(answer.status().is_success(), "{url}/approve: {}", answer.status());
        Ok(())
    }

    /// A CSR as another server's administrator would send it. Its key stays in a file beside it.
    fn external_csr(&self) -> anyhow::Result<PathBuf> {
        let [code, name, country] = ORGANISATION;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = ptc_enroll::protocol::subject::Subject {
            country: country.to_owned(),
            region: String::new(),
            locality: "Paris".to_owned(),
            organisation: format!("{code} - {name}"),
            organisational_unit: Kind::ExternalServer.organisational_unit().to_owned(),
            common_name: EXTERNAL_SERVER.to_owned(),
        }
        .to_distinguished_name()?;
        params.subject_alt_names = vec![SanType::DnsName(Ia5String::try_from(EXTERNAL_SERVER)?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let folder = self.folder.join("external-server");
        fs::create_dir(&folder)?;
        ptc_enroll::service::files::write_secret(&folder.join("server.key.pem"), key.serialize_pem().as_bytes())?;
        let path = folder.join("server.csr");
        fs::write(&path, params.serialize_request(&key)?.pem()?)?;
        Ok(path)
    }

    fn workstation(&self) -> PathBuf {
        self.folder.join("workstation")
    }
}

/// One organisation, its registration manager, its package.
async fn furnish(app: &App, folder: &Path) -> anyhow::Result<()> {
    let operator = Actor::Operator { account: "demo".to_owned() };
    let [code, name, country] = ORGANISATION.map(str::to_owned);
    app.add_organisation(&operator, &Organisation { code: code.clone(), name, country }).await?;
    let out = folder.join("registration-manager");
    let manager = NewManager {
        name: "Renaud Régional".to_owned(),
        email: "renaud@poste.example".to_owned(),
        role: Role::RegistrationManager,
        organisation: Some(code.clone()),
        csr: handover::prepare(&out)?,
    };
    handover::complete(&out, &app.add_manager(&operator, &manager).await?.issued)?;
    let new = NewPackage {
        organisation: code,
        kind: Kind::Workstation,
        store: StoreScope::Machine,
        external_requests: true,
        defaults: Defaults::default(),
        expires_at: None,
    };
    let created = app.create_package(&operator, &new).await?;
    Ok(package::write_folder(&created.files, &folder.join("workstation"))?)
}

/// The client that belongs to this service: beside it, and when cargo runs the demo, built from the same sources first.
fn client_program(language: Language) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let program = own.with_file_name(format!("ptc-enroll{}", std::env::consts::EXE_SUFFIX));
    // `cargo run --bin ptc-enrollment` builds that program alone, and says where cargo is and what it runs.
    if let (Some(cargo), Some(manifest)) = (std::env::var_os("CARGO"), std::env::var_os("CARGO_MANIFEST_PATH")) {
        say(language, &Text::new("demo-client"))?;
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--bin", "ptc-enroll", "--manifest-path"]).arg(manifest);
        // The profile's folder is where this program lies: target/[triple/]<profile>.
        match own.parent().and_then(Path::file_name).and_then(OsStr::to_str) {
            Some("debug") | None => {}
            Some(profile) => {
                build.args(["--profile", profile]);
            }
        }
        ensure!(build.status()?.success(), "cargo build --bin ptc-enroll");
    }
    if !program.exists() {
        bail!(Text::new("demo-no-client").with("path", program.display()).in_language(language));
    }
    Ok(program)
}

/// An HTTP client with a manager's certificate.
fn manager_agent(folder: &Path) -> anyhow::Result<ureq::Agent> {
    let (chain, key) = handover::load(folder)?;
    let chain: Vec<_> = chain.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    let key = PrivateKey::from_pem(ptc_enroll::client::store::file::pem("PRIVATE KEY", &key).as_bytes())?;
    let anchor = fs::read(folder.join("trust-anchor.pem"))?;
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .root_certs(RootCerts::new_with_certs(&[Certificate::from_pem(&anchor)?]))
        .client_cert(Some(ClientCert::new_with_certs(&chain, key)))
        .build();
    Ok(ureq::Agent::config_builder().tls_config(tls).https_only(true).proxy(None).build().new_agent())
}

/// A port of loopback that was free a moment ago: the URLs have to be known before the service listens.
fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

fn say(language: Language, text: &Text) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout().lock(), "\n{}", text.in_language(language))?)
}

/// A path as a shell takes it.
fn quoted(path: impl AsRef<Path>) -> String {
    let path = path.as_ref().display().to_string();
    let plain = |character: char| character.is_ascii_alphanumeric() || "/._-".contains(character);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}
