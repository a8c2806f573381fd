//! A real service in this process: both listeners on ports of their own, a clock that a test can move, people and
//! machines with their certificates, and requests of any shape.

use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use base64::prelude::{BASE64_STANDARD, Engine};
use ptc_enroll::protocol::messages::{
    API, Approval, Contact, Der, IssuedManager, MachineDetails, NewManager, NewPackage, Organisation, RequestDetail,
    RequestStatus, Submission,
};
use ptc_enroll::protocol::package::{Defaults, ENROLLMENT_SECRET};
use ptc_enroll::protocol::problem::{MEDIA_TYPE, Problem, ProblemCode};
use ptc_enroll::protocol::request::{Kind, RequestNumber, Role, StoreScope};
use ptc_enroll::protocol::secret::Secret;
use ptc_enroll::protocol::subject::Subject;
use ptc_enroll::service::app::{App, Clock};
use ptc_enroll::service::auth::Actor;
use ptc_enroll::service::ca::{Algorithm, CaError, Serial};
use ptc_enroll::service::config::{Home, Settings};
use ptc_enroll::service::db::Connection;
use ptc_enroll::service::handover;
use ptc_enroll::service::install::{Plan, install};
use ptc_enroll::service::listener::Limits;
use ptc_enroll::service::pkcs12::Pkcs12;
use ptc_enroll::service::registration::CreatedPackage;
use ptc_enroll::service::server::{Running, serve};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};
use tokio::runtime::Runtime;
use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PrivateKey as TlsKey, RootCerts, TlsConfig};

use super::database::TestDatabase;
use super::site::free_port;
use super::verifiers::openssl;

/// An organisation that every service here has.
pub const A: &str = "J1CFRA";
/// Another one.
pub const B: &str = "J1CDEA";
/// Where the listeners say that they are; programs here connect to the ports that they really have.
pub const SECURE_URL: &str = "https://enroll.ptc.example:8444";

/// A request with the SHA-256 of the CSR that was shown.
pub type Shown = (RequestNumber, String);

type Serials = Box<dyn Fn(OffsetDateTime) -> Result<Serial, CaError> + Send + Sync>;

/// A running service.
pub struct Service {
    folder: TempDir,
    pub runtime: Runtime,
    pub app: Arc<App>,
    running: Option<Running>,
    /// How far the service's clock is ahead, in seconds.
    ahead: Arc<AtomicI64>,
    names: AtomicU64,
    /// Last, so that it goes when nobody uses it any more.
    database: Option<TestDatabase>,
}

impl Service {
    /// A fresh service with two organisations.
    pub fn start() -> Self {
        Self::with(|app| app)
    }

    /// A fresh service whose serial numbers come from elsewhere.
    pub fn with_serials(serials: Serials) -> Self {
        Self::with(|app| app.with_serials(serials))
    }

    /// A fresh service, changed before it starts.
    pub fn with(change: impl FnOnce(App) -> App) -> Self {
        Self::set_up(|_| {}, change)
    }

    /// A fresh service with other settings.
    pub fn with_settings(change: impl FnOnce(&mut Settings)) -> Self {
        Self::set_up(change, |app| app)
    }

    /// A fresh service whose secure listener is where it says, as browsers need it: they send along where a form comes
    /// from, and the service takes forms from its own address only.
    pub fn at_its_address() -> Self {
        let port = free_port();
        Self::with_settings(|settings| {
            settings.secure_listen.set_port(port);
            settings.secure_url = format!("https://enroll.ptc.example:{port}");
        })
    }

    /// A fresh service with its database on a server, and with other settings.
    pub fn on(database: TestDatabase, configure: impl FnOnce(&mut Settings)) -> Self {
        Self::set_up_on(Some(database), configure, |app| app)
    }

    /// A fresh service with a plain listener beside the others.
    pub fn with_plain_listener() -> Self {
        Self::with_settings(|settings| {
            settings.http_url = Some("http://ca.ptc.example".to_owned());
            settings.http_listen = Some(([127, 0, 0, 1], 0).into());
        })
    }

    /// Another process on the same installation.
    pub fn beside(&self) -> App {
        open(&self.runtime, &self.folder, &self.ahead)
    }

    fn set_up(configure: impl FnOnce(&mut Settings), change: impl FnOnce(App) -> App) -> Self {
        Self::set_up_on(TestDatabase::new(), configure, change)
    }

    fn set_up_on(
        database: Option<TestDatabase>,
        configure: impl FnOnce(&mut Settings),
        change: impl FnOnce(App) -> App,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::new("test", "https://enroll.ptc.example:8443", SECURE_URL);
        settings.database = database.as_ref().map(TestDatabase::url);
        settings.public_listen.set_port(0);
        settings.secure_listen.set_port(0);
        settings.operations_listen = Some(([127, 0, 0, 1], 0).into());
        configure(&mut settings);
        let plan = Plan {
            settings,
            algorithm: Algorithm::EcdsaP256,
            manager_name: "Perrine Centrale".to_owned(),
            manager_email: "perrine@ptc.example".to_owned(),
            manager_out: folder.path().join("ptc"),
            account: "test".to_owned(),
        };
        let ahead = Arc::new(AtomicI64::new(0));
        let clock = moved(&ahead);
        install(&Home::new(folder.path().join("service")), &plan, &clock).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let app = Arc::new(change(open(&runtime, &folder, &ahead)));
        let mut service = Self { folder, runtime, app, running: None, ahead, names: AtomicU64::new(0), database };
        for (code, name, country) in [(A, "FRANCE LA POSTE", "FR"), (B, "DEUTSCHE POST", "DE")] {
            let organisation = Organisation { code: code.into(), name: name.into(), country: country.into() };
            service.run(service.app.add_organisation(&operator(), &organisation)).unwrap();
        }
        service.running = Some(service.run(serve(service.app.clone(), Limits::default())).unwrap());
        service
    }

    /// Stops the service and starts it again from what lies on disk.
    pub fn restart(&mut self) {
        let running = self.running.take().unwrap();
        self.run(running.stop());
        self.restart_stopped();
    }

    /// Stops the service. What lies on disk stays open here, to be looked at.
    pub fn stop(&mut self) {
        let running = self.running.take().unwrap();
        self.run(running.stop());
        self.app = Arc::new(open(&self.runtime, &self.folder, &self.ahead));
    }

    /// Starts the service again that was stopped.
    pub fn restart_stopped(&mut self) {
        self.app = Arc::new(open(&self.runtime, &self.folder, &self.ahead));
        self.running = Some(self.run(serve(self.app.clone(), Limits::default())).unwrap());
    }

    /// The same with other limits of its listeners.
    pub fn restart_within(&mut self, limits: Limits) {
        self.stop();
        self.running = Some(self.run(serve(self.app.clone(), limits)).unwrap());
    }

    /// Lets the service begin to stop; the task is over when it has.
    pub fn begin_to_stop(&mut self) -> tokio::task::JoinHandle<()> {
        self.runtime.spawn(self.running.take().unwrap().stop())
    }

    /// Waits for what the service's own functions do.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Runs a statement that no function of the service would.
    pub fn tamper(&self, statement: &str) {
        self.try_to_tamper(statement).unwrap();
    }

    /// The same where the database may refuse it.
    pub fn try_to_tamper(&self, statement: &str) -> Result<(), sqlx::Error> {
        let statement = AssertSqlSafe(statement);
        self.run(async {
            let mut transaction = self.app.database().write().await.unwrap();
            match &mut *transaction {
                Connection::Sqlite(connection) => {
                    sqlx::raw_sql(statement).execute(&mut **connection).await?;
                }
                Connection::Postgres(connection) => {
                    sqlx::raw_sql(statement).execute(&mut **connection).await?;
                }
            }
            transaction.commit().await.unwrap();
            Ok(())
        })
    }

    /// Whether the database is on a PostgreSQL server.
    pub fn on_a_server(&self) -> bool {
        self.database.is_some()
    }

    /// Takes the protection off the audit record, as somebody with the database's own rights could.
    pub fn unprotect_audit(&self) {
        self.tamper(match self.on_a_server() {
            true => "DROP TRIGGER audit_stays ON audit; DROP TRIGGER audit_is_final ON audit",
            false => "DROP TRIGGER audit_stays; DROP TRIGGER audit_is_final",
        });
    }

    /// The number that a query finds.
    pub fn number(&self, query: &str) -> i64 {
        self.text(&format!("SELECT CAST(({query}) AS TEXT)")).parse().unwrap()
    }

    /// The text that a query finds.
    pub fn text(&self, query: &str) -> String {
        let query = AssertSqlSafe(query);
        self.run(async {
            match &mut *self.app.database().read().await.unwrap() {
                Connection::Sqlite(connection) => sqlx::query_scalar(query).fetch_one(&mut **connection).await,
                Connection::Postgres(connection) => sqlx::query_scalar(query).fetch_one(&mut **connection).await,
            }
            .unwrap()
        })
    }

    /// Moves the service's clock.
    pub fn advance(&self, by: Duration) {
        self.ahead.fetch_add(by.whole_seconds(), Ordering::SeqCst);
    }

    pub fn now(&self) -> OffsetDateTime {
        moved(&self.ahead).now()
    }

    /// Where the installation is.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("service")
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Where the secure listener says that it is.
    pub fn secure_url(&self) -> &str {
        &self.app.settings().secure_url
    }

    pub fn public_port(&self) -> u16 {
        self.running.as_ref().unwrap().public.port()
    }

    pub fn secure_port(&self) -> u16 {
        self.running.as_ref().unwrap().secure.port()
    }

    /// Somebody at the operations listener, without TLS.
    pub fn operations(&self) -> Client {
        let port = self.running.as_ref().unwrap().operations.unwrap().port();
        Client { base: format!("http://127.0.0.1:{port}"), ..self.client(port, None) }
    }

    /// A connection to the public listener, for whoever does not speak HTTP as it should be.
    pub fn public_connection(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.app.ca().root().to_vec())).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("enroll.ptc.example").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        StreamOwned::new(connection, TcpStream::connect(("127.0.0.1", self.public_port())).unwrap())
    }

    /// The plain listener's port, where the settings have one.
    pub fn plain_port(&self) -> u16 {
        self.running.as_ref().unwrap().plain.unwrap().port()
    }

    /// Somebody at the plain listener.
    pub fn plain(&self) -> Client {
        let mut client = self.client(self.plain_port(), None);
        client.base = client.base.replace("https:", "http:");
        client
    }

    /// Somebody at the public listener.
    pub fn public(&self) -> Client {
        self.client(self.public_port(), None)
    }

    /// Somebody at the secure listener.
    pub fn secure(&self, identity: Option<&Identity>) -> Client {
        self.client(self.secure_port(), identity)
    }

    /// Somebody at another process of the same service.
    pub fn client(&self, port: u16, identity: Option<&Identity>) -> Client {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let root = Certificate::from_der(self.app.ca().root()).to_owned();
        let certificate = identity.map(|identity| {
            let chain: Vec<_> = identity.chain.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
            ClientCert::new_with_certs(&chain, TlsKey::from_pem(identity.key.as_bytes()).unwrap())
        });
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(RootCerts::new_with_certs(&[root]))
            .client_cert(certificate)
            .build();
        let config =
            Agent::config_builder().tls_config(tls).http_status_as_error(false).proxy(None).max_redirects(0).build();
        let resolver = Here(port);
        let agent = Agent::with_parts(config, ureq::unversioned::transport::DefaultConnector::default(), resolver);
        Client { agent, base: format!("https://enroll.ptc.example:{port}") }
    }

    /// A name that nothing here has yet.
    pub fn fresh(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.names.fetch_add(1, Ordering::SeqCst))
    }

    /// The first PTC manager.
    pub fn ptc_manager(&self) -> Identity {
        Identity::of_manager(self.folder.path().join("ptc"), 1)
    }

    /// A new registration manager of an organisation.
    pub fn manager(&self, organisation: &str) -> Identity {
        let name = self.fresh("manager");
        self.manager_with_email(organisation, &format!("{name}@poste.example"))
    }

    /// A new registration manager with an address.
    pub fn manager_with_email(&self, organisation: &str, email: &str) -> Identity {
        let out = self.folder.path().join(self.fresh("manager"));
        let new = NewManager {
            name: "Jean Dupont".to_owned(),
            email: email.to_owned(),
            role: Role::RegistrationManager,
            organisation: Some(organisation.to_owned()),
            csr: handover::prepare(&out).unwrap(),
        };
        let added = self.run(self.app.add_manager(&operator(), &new)).unwrap();
        handover::complete(&out, &added.issued).unwrap();
        Identity::of_manager(out, added.manager.id)
    }

    /// A new install package for workstations and external servers.
    pub fn package(&self, organisation: &str) -> Secret {
        self.package_of_kind(organisation, Kind::Workstation, true)
    }

    /// A new install package's secret.
    pub fn package_of_kind(&self, organisation: &str, kind: Kind, external_requests: bool) -> Secret {
        let new = NewPackage { kind, external_requests, ..new_package(organisation) };
        secret_of(&self.run(self.app.create_package(&operator(), &new)).unwrap())
    }

    /// A pending request of a new workstation.
    pub fn pending(&self, organisation: &str) -> Enrolled {
        self.submit(organisation, Draft::workstation(organisation, &self.fresh("PC-")))
    }

    /// Pending requests of many new workstations, each with a machine of its own.
    pub fn pending_many(&self, organisation: &str, count: usize) -> Vec<Shown> {
        let secret = self.package(organisation);
        let bearer = format!("Bearer {}", secret.expose());
        let first = self.names.fetch_add(count as u64, Ordering::SeqCst);
        let parts: Vec<Vec<u64>> =
            (first..first + count as u64).collect::<Vec<_>>().chunks(100).map(<[u64]>::to_vec).collect();
        let submit = |part: &Vec<u64>| {
            let drafts = part.iter().map(|number| {
                let mut draft = Draft::workstation(organisation, &format!("PC-{number}"));
                draft.submission.machine.mac_address = format!("{number:012X}");
                draft
            });
            let submissions: Vec<Value> = drafts
                .map(|draft| {
                    let mut submission = serde_json::to_value(&draft.submission).unwrap();
                    submission["idempotency_key"] = draft.submission.csr.sha256().into();
                    submission
                })
                .collect();
            let body = json!({ "submissions": submissions }).to_string();
            let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
            let reply = self.public().send("POST", "/requests/batch", &headers, Some(body.as_bytes()));
            assert_eq!(reply.status, 200, "{}", reply.text());
            let results = reply.json::<Value>()["results"].as_array().unwrap().clone();
            let number = |result: &Value| serde_json::from_value(result["request"]["number"].clone()).unwrap();
            let digest = |submission: &Value| submission["idempotency_key"].as_str().unwrap().to_owned();
            results.iter().zip(&submissions).map(|(result, it)| (number(result), digest(it))).collect::<Vec<Shown>>()
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = parts.iter().map(|part| scope.spawn(|| submit(part))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        })
    }

    /// A pending request.
    pub fn submit(&self, organisation: &str, draft: Draft) -> Enrolled {
        let secret = self.package_of_kind(organisation, draft.package_kind(), true);
        let reply = self.public().submit(&secret, None, &draft);
        assert_eq!(reply.status, 201, "{}", reply.text());
        Enrolled { number: reply.json::<RequestStatus>().number, draft }
    }

    /// An approved request of a new workstation.
    pub fn approved(&self, organisation: &str) -> Enrolled {
        let enrolled = self.pending(organisation);
        self.approve(enrolled.number);
        enrolled
    }

    /// Approves a request as the administrator of the service's computer.
    pub fn approve(&self, number: RequestNumber) {
        let csr_sha256 = self.detail(number).csr_sha256;
        self.run(self.app.approve(&operator(), number, &Approval { csr_sha256 })).unwrap();
    }

    /// A request with everything.
    pub fn detail(&self, number: RequestNumber) -> RequestDetail {
        self.run(self.app.request(&operator(), number)).unwrap()
    }

    /// The certificate of an approved request, with its key.
    pub fn identity(&self, enrolled: &Enrolled) -> Identity {
        let issued = self.detail(enrolled.number).status.issued.unwrap();
        let chain = [issued.certificate].into_iter().chain(issued.chain).map(|der| der.0).take(2).collect();
        Identity { chain, key: enrolled.draft.key_pem(), serial: issued.serial, id: 0 }
    }

    /// The actions in the audit record on an object.
    pub fn audited(&self, object: &str) -> Vec<(String, String, Value)> {
        let page = self.run(self.app.audit_record(&operator(), 0, Some(200))).unwrap();
        assert_eq!(page.next, None, "more than one page");
        page.items
            .into_iter()
            .filter(|entry| entry.object == object)
            .map(|entry| (entry.actor, entry.action, entry.detail))
            .collect()
    }
}

fn moved(ahead: &Arc<AtomicI64>) -> Clock {
    let ahead = ahead.clone();
    Clock::new(move || OffsetDateTime::now_utc() + Duration::seconds(ahead.load(Ordering::SeqCst)))
}

fn open(runtime: &Runtime, folder: &TempDir, ahead: &Arc<AtomicI64>) -> App {
    runtime.block_on(App::open(Home::new(folder.path().join("service")), moved(ahead))).unwrap()
}

/// What a plain install package for workstations is made of.
pub fn new_package(organisation: &str) -> NewPackage {
    NewPackage {
        organisation: organisation.to_owned(),
        kind: Kind::Workstation,
        store: StoreScope::Machine,
        external_requests: false,
        defaults: Defaults::default(),
        expires_at: None,
    }
}

/// The enrollment secret in a package's files.
pub fn secret_of(created: &CreatedPackage) -> Secret {
    let (_, secret) = created.files.iter().find(|(path, _)| path.ends_with(ENROLLMENT_SECRET)).unwrap();
    Secret::parse(std::str::from_utf8(secret).unwrap()).unwrap()
}

/// Whoever sits at the service's computer.
pub fn operator() -> Actor {
    Actor::Operator { account: "test".to_owned() }
}

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Identity {
    pub chain: Vec<Vec<u8>>,
    key: String,
    pub serial: String,
    /// A manager's number.
    pub id: u64,
}

impl Identity {
    fn of_manager(folder: PathBuf, id: u64) -> Self {
        let (chain, _) = handover::load(&folder).unwrap();
        let chain: Vec<Vec<u8>> = chain.iter().map(|der| der.to_vec()).collect();
        let key = std::fs::read_to_string(folder.join("manager.key.pem")).unwrap();
        let serial = {
            use x509_parser::prelude::FromDer;
            let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(&chain[0]).unwrap();
            ptc_enroll::protocol::secret::hex(certificate.raw_serial())
        };
        Self { chain, key, serial, id }
    }

    /// A manager with what a PKCS #12 file holds for OpenSSL.
    pub fn of_pkcs12(added: &IssuedManager, file: &Pkcs12) -> Self {
        let password = format!("pass:{}", file.password.expose());
        let arguments = ["pkcs12", "-in", "p12", "-passin", &password, "-nodes", "-nocerts"];
        let key = openssl(&arguments, &[("p12", &file.content)]);
        let issued = &added.issued;
        let chain = vec![issued.certificate.0.clone(), issued.chain[0].0.clone()];
        Self { chain, key, serial: issued.serial.clone(), id: added.manager.id }
    }

    /// The key in PEM, for programs that were not written here.
    pub fn key_pem(&self) -> &str {
        &self.key
    }
}

/// A request that was submitted.
pub struct Enrolled {
    pub number: RequestNumber,
    pub draft: Draft,
}

/// A submission with what only its client knows.
pub struct Draft {
    pub submission: Submission,
    pub token: Secret,
    key: KeyPair,
}

impl Draft {
    /// Of a workstation.
    pub fn workstation(organisation: &str, common_name: &str) -> Self {
        Self::new(organisation, Kind::Workstation, common_name)
    }

    /// Of this kind.
    pub fn new(organisation: &str, kind: Kind, common_name: &str) -> Self {
        let (name, country) = match organisation {
            A => ("FRANCE LA POSTE", "FR"),
            _ => ("DEUTSCHE POST", "DE"),
        };
        let subject = Subject {
            country: country.to_owned(),
            region: String::new(),
            locality: "Paris".to_owned(),
            organisation: format!("{organisation} - {name}"),
            organisational_unit: kind.organisational_unit().to_owned(),
            common_name: common_name.to_owned(),
        };
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = subject.to_distinguished_name().unwrap();
        params.subject_alt_names = vec![SanType::Rfc822Name("admin@poste.example".try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match kind {
            Kind::ExternalServer => ExtendedKeyUsagePurpose::ServerAuth,
            _ => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        let csr = params.serialize_request(&key).unwrap().der().to_vec();
        let token = Secret::random().unwrap();
        let submission = Submission {
            kind,
            csr: Der(csr),
            token_sha256: token.fingerprint(),
            machine: MachineDetails { mac_address: "00:11:22:33:44:55".to_owned(), ..MachineDetails::default() },
            contact: Contact { email: "admin@poste.example".to_owned(), ..Contact::default() },
        };
        Self { submission, token, key }
    }

    /// With words of the requester's.
    pub fn described(mut self, description: &str) -> Self {
        self.submission.contact.description = description.to_owned();
        self
    }

    /// With an e-mail address of the requester's.
    pub fn from(mut self, email: &str) -> Self {
        self.submission.contact.email = email.to_owned();
        self
    }

    fn package_kind(&self) -> Kind {
        match self.submission.kind {
            Kind::ExternalServer => Kind::Workstation,
            kind => kind,
        }
    }

    fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}

/// A program that speaks HTTP with the service.
pub struct Client {
    agent: Agent,
    base: String,
}

/// An answer, or that TLS already said no.
#[derive(Debug)]
pub struct Reply {
    /// 0 where there is no answer.
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Client {
    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], None)
    }

    pub fn get_as(&self, bearer: &Secret, path: &str) -> Reply {
        self.send("GET", path, &[("Authorization", &format!("Bearer {}", bearer.expose()))], None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, &[("Content-Type", "application/json")], Some(body.to_string().as_bytes()))
    }

    /// Submits a draft with a package's secret.
    pub fn submit(&self, secret: &Secret, key: Option<&str>, draft: &Draft) -> Reply {
        let bearer = format!("Bearer {}", secret.expose());
        let mut headers = vec![("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        headers.extend(key.map(|key| ("Idempotency-Key", key)));
        let body = serde_json::to_vec(&draft.submission).unwrap();
        self.send("POST", "/requests", &headers, Some(&body))
    }

    /// A page, as a browser asks for it.
    pub fn page(&self, path: &str) -> Reply {
        self.send_to("GET", path, &[("Sec-Fetch-Site", "same-origin")], None)
    }

    /// Posts a form of a page, as a browser does.
    pub fn form(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let headers = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Sec-Fetch-Site", "same-origin"),
            ("Origin", SECURE_URL),
        ];
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send_to("POST", path, &headers, Some(body.as_bytes()))
    }

    /// Sends anything; `path` is below the API's.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Reply {
        self.send_to(method, &format!("{API}{path}"), headers, body)
    }

    /// Sends anything anywhere.
    pub fn send_to(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Reply {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = match body {
            Some(body) => self.agent.run(request.body(body).unwrap()),
            None => self.agent.run(request.body(()).unwrap()),
        };
        match answer {
            Ok(mut answer) => Reply {
                status: answer.status().as_u16(),
                headers: answer
                    .headers()
                    .iter()
                    .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                    .collect(),
                body: answer.body_mut().read_to_vec().unwrap(),
            },
            Err(error) => Reply { status: 0, headers: Vec::new(), body: error.to_string().into_bytes() },
        }
    }
}

impl Reply {
    #[track_caller]
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Insists on a problem document with this code, complete in every part.
    #[track_caller]
    pub fn is_problem(&self, code: ProblemCode) -> Problem {
        let problem: Problem = self.json();
        assert_eq!(problem.code(), Some(code), "{}", self.text());
        assert_eq!(self.status, code.status());
        assert_eq!(problem.status, self.status);
        assert_eq!(self.header("content-type"), Some(MEDIA_TYPE));
        assert_eq!(self.header("x-request-id"), Some(problem.request_id.as_str()));
        assert!(!problem.title.is_empty() && problem.detail.is_some() && problem.hint.is_some(), "{}", self.text());
        problem
    }
}

/// Finds the service's host name on this machine.
#[derive(Debug)]
struct Here(u16);

impl ureq::unversioned::resolver::Resolver for Here {
    fn resolve(
        &self,
        _: &ureq::http::Uri,
        _: &ureq::config::Config,
        _: ureq::unversioned::transport::NextTimeout,
    ) -> Result<ureq::unversioned::resolver::ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(([127, 0, 0, 1], self.0).into());
        Ok(addresses)
    }
}

/// A CSR as base64, for bodies written by hand.
pub fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}
