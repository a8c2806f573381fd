//! The accept loop over real TLS: who comes in, who is cut, and how it stops.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Extension;
use axum::routing::{get, post};
use axum::{Json, Router};
use ptc_enroll::protocol::subject::Subject;
use ptc_enroll::service::ca::{Algorithm, Ca, KeyAccess, NewCa, Profile, Serial, Template};
use ptc_enroll::service::listener::{Limits, PeerAddress, PeerCertificate, serve};
use ptc_enroll::service::metrics::Traffic;
use ptc_enroll::service::tls::{self, Identity, Presented};
use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Far above what anything here takes, so that a hanging test ends.
const PATIENCE: Duration = Duration::from_secs(20);

/// The two listeners of a CA of its own, each on a port of its own.
struct Service {
    ca: Ca,
    public: SocketAddr,
    secure: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    running: Arc<Notify>,
    finish: Arc<Notify>,
    _folder: tempfile::TempDir,
}

impl Service {
    async fn start(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = ca(&folder.path().join("ca"));
        let place = folder.path().join("tls");
        let template = template(Profile::Service, tls::prepare(&place).unwrap());
        let certificate = sign(&ca, &template);
        tls::install(&place, &[&certificate, ca.issuing()]).unwrap();
        let presented = Arc::new(Presented::new(Identity::of(&tls::load(&place).unwrap()).unwrap()));
        let (running, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (stop, stopped) = watch::channel(false);
        let mut addresses = Vec::new();
        let mut tasks = Vec::new();
        for config in
            [tls::public_config(presented.clone()).unwrap(), tls::secure_config(presented, &[ca.issuing()]).unwrap()]
        {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            let router = router(running.clone(), finish.clone());
            tasks.push(tokio::spawn(serve(listener, config, router, limits, Traffic::default(), stopped.clone())));
        }
        Self { ca, public: addresses[0], secure: addresses[1], stop, tasks, running, finish, _folder: folder }
    }

    /// A certificate of this service's CA, with its key.
    fn client(&self, profile: Profile) -> (Vec<u8>, KeyPair) {
        client(&self.ca, profile)
    }

    async fn connect(&self, address: SocketAddr, client: Option<(Vec<u8>, KeyPair)>) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.ca.root())).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match client {
            Some((certificate, key)) => builder
                .with_client_auth_cert(vec![certificate.into()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    async fn ask(&self, address: SocketAddr, client: Option<(Vec<u8>, KeyPair)>) -> String {
        let mut stream = self.connect(address, client).await;
        let request = b"GET /who HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        if let Err(error) = stream.write_all(request).await {
            return error.to_string();
        }
        read(&mut stream).await
    }
}

pub(super) fn ca(folder: &Path) -> Ca {
    Ca::create(
        folder,
        &NewCa { algorithm: Algorithm::EcdsaP256, environment: "test", root_crl: None },
        &KeyAccess::default(),
        OffsetDateTime::now_utc(),
    )
    .unwrap()
}

pub(super) fn client(ca: &Ca, profile: Profile) -> (Vec<u8>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    (sign(ca, &template(profile, key.subject_public_key_info())), key)
}

fn sign(ca: &Ca, template: &Template) -> Vec<u8> {
    let now = OffsetDateTime::now_utc();
    ca.sign(&ca.prepare(template, Serial::fresh(now).unwrap(), now).unwrap()).unwrap()
}

fn template(profile: Profile, public_key: Vec<u8>) -> Template {
    let addresses = if profile == Profile::Service { vec!["127.0.0.1".parse().unwrap()] } else { Vec::new() };
    Template {
        profile,
        subject: Subject {
            country: String::new(),
            region: String::new(),
            locality: String::new(),
            organisation: "PTC".to_owned(),
            organisational_unit: String::new(),
            common_name: "somebody".to_owned(),
        },
        dns_names: Vec::new(),
        ip_addresses: addresses,
        emails: Vec::new(),
        public_key,
        places: None,
    }
}

fn router(running: Arc<Notify>, finish: Arc<Notify>) -> Router {
    Router::new()
        .route("/who", get(who))
        .route("/large", get(|| async { vec![0_u8; 64 << 20] }))
        .route("/body", post(|body: Bytes| async move { format!("{} bytes", body.len()) }))
        .route(
            "/slow",
            get(|| async move {
                running.notify_one();
                finish.notified().await;
                "finished"
            }),
        )
}

async fn who(Extension(peer): Extension<PeerAddress>, certificate: Option<Extension<PeerCertificate>>) -> Json<String> {
    let shown = certificate.map(|Extension(PeerCertificate(certificate))| certificate.len());
    Json(format!("from {} with {shown:?}", peer.0.ip()))
}

/// All until the other side closes; an alert or a reset is a text too.
async fn read(stream: &mut TlsStream<TcpStream>) -> String {
    let mut bytes = Vec::new();
    match within(stream.read_to_end(&mut bytes)).await {
        Ok(_) => String::from_utf8(bytes).unwrap(),
        Err(error) => format!("{}{error}", String::from_utf8_lossy(&bytes)),
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap()
}

#[tokio::test]
async fn the_public_listener_asks_for_no_certificate() {
    let service = Service::start(Limits::default()).await;
    let answer = service.ask(service.public, None).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("from 127.0.0.1 with None"), "{answer}");
}

#[tokio::test]
async fn the_secure_listener_knows_its_clients() {
    let service = Service::start(Limits::default()).await;
    for profile in [Profile::Workstation, Profile::Manager] {
        let client = service.client(profile);
        let expected = format!("from 127.0.0.1 with Some({})", client.0.len());
        let answer = service.ask(service.secure, Some(client)).await;
        assert!(answer.contains(&expected), "{profile:?}: {answer}");
    }
}

#[tokio::test]
async fn the_secure_listener_refuses_everybody_else() {
    let service = Service::start(Limits::default()).await;
    let folder = tempfile::tempdir().unwrap();
    // Same names, other keys.
    let foreign = ca(&folder.path().join("foreign"));
    let key = KeyPair::generate().unwrap();
    let mut own = rcgen::CertificateParams::default();
    own.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let own = own.self_signed(&key).unwrap().der().to_vec();
    for (name, client, expected) in [
        ("no certificate", None, "CertificateRequired"),
        ("serverAuth", Some(service.client(Profile::Service)), "UnsupportedCertificate"),
        ("codeSigning", Some(service.client(Profile::PackageSigner)), "UnsupportedCertificate"),
        ("a foreign CA", Some(client(&foreign, Profile::Workstation)), "DecryptError"),
        ("self-signed", Some((own, key)), "UnknownCA"),
    ] {
        let answer = service.ask(service.secure, client).await;
        assert!(!answer.contains("HTTP/1.1"), "{name}: {answer}");
        assert!(answer.contains(expected), "{name}: {answer}");
    }
}

#[tokio::test]
async fn silent_and_slow_clients_are_cut() {
    let short = Duration::from_millis(100);
    let limits = Limits { handshake: short, head: short, idle: short, body: short, ..Limits::default() };
    let service = Service::start(limits).await;
    // Not a byte of TLS.
    let mut stream = TcpStream::connect(service.public).await.unwrap();
    let mut bytes = Vec::new();
    within(stream.read_to_end(&mut bytes)).await.unwrap();
    for (name, sent, expected) in [
        ("no head", "", ""),
        ("half a head", "GET /who HTTP/1.1\r\nhost: x\r\n", ""),
        ("half a body", "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc", "HTTP/1.1 400"),
        ("no next request", "GET /who HTTP/1.1\r\nhost: x\r\n\r\n", "HTTP/1.1 200"),
    ] {
        let mut stream = service.connect(service.public, None).await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        let answer = read(&mut stream).await;
        assert!(answer.starts_with(expected) && answer.contains("HTTP/1.1") != expected.is_empty(), "{name}: {answer}");
    }
    let answer = service.ask(service.public, None).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn whoever_says_nothing_stays_longer_than_whoever_does_not_finish() {
    let limits = Limits { head: Duration::from_millis(100), ..Limits::default() };
    let service = Service::start(limits).await;
    let mut silent = service.connect(service.public, None).await;
    let mut between = service.connect(service.public, None).await;
    between.write_all(b"GET /who HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    drip_until_cut(service.connect(service.public, None).await).await;
    for (name, stream, answers) in [("silent", &mut silent, 1), ("between two requests", &mut between, 2)] {
        stream.write_all(b"GET /who HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let answer = read(stream).await;
        assert_eq!(answer.matches("HTTP/1.1 200").count(), answers, "{name}: {answer}");
    }
}

/// Sends a head without an end, byte by byte, until the service ends the connection.
async fn drip_until_cut(stream: TlsStream<TcpStream>) {
    let (mut reads, mut writes) = tokio::io::split(stream);
    let drip = async {
        writes.write_all(b"GET /who HTTP/1.1\r\nx: ").await?;
        loop {
            writes.write_all(b"x").await?;
            writes.flush().await?;
            sleep(Duration::from_millis(10)).await;
        }
    };
    let mut bytes = Vec::new();
    let ended: io::Result<()> = within(async {
        tokio::select! {
            failed = drip => failed,
            read = reads.read_to_end(&mut bytes) => read.map(drop),
        }
    })
    .await;
    assert!(bytes.is_empty(), "{ended:?} {}", String::from_utf8_lossy(&bytes));
}

#[tokio::test]
async fn idle_connections_give_way_where_places_are_scarce() {
    let service =
        Service::start(Limits { head: Duration::from_millis(100), connections: 1, ..Limits::default() }).await;
    let mut idle = service.connect(service.public, None).await;
    let answer = within(service.ask(service.public, None)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(read(&mut idle).await, "", "closed, not broken off");
}

#[tokio::test]
async fn an_answer_that_is_taken_slowly_is_not_silence() {
    let (head, answer) = (Duration::from_millis(100), Duration::from_secs(3));
    let limits = Limits { head, answer, linger: Duration::ZERO, connections: 1, ..Limits::default() };
    let service = Service::start(limits).await;
    let mut slow = service.connect(service.public, None).await;
    slow.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    // Again and again longer than an idle one would have, and in all longer than nothing may be taken of it.
    let mut part = vec![0; 4 << 20];
    let mut read = 0;
    for _ in 0..16 {
        sleep(head * 5 / 2).await;
        read += within(slow.read_exact(&mut part)).await.unwrap();
    }
    read += within(slow.read_to_end(&mut part)).await.unwrap();
    assert!(read > 64 << 20, "{read}");
}

#[tokio::test]
async fn connections_over_the_limit_wait() {
    let service = Service::start(Limits { connections: 1, ..Limits::default() }).await;
    let first = service.connect(service.public, None).await;
    let mut second = Box::pin(service.ask(service.public, None));
    let early = timeout(Duration::from_millis(200), second.as_mut()).await;
    assert!(early.is_err(), "served beside the first: {early:?}");
    drop(first);
    let answer = within(second).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_client_that_does_not_read_gives_its_place_away() {
    let limits = Limits { connections: 1, answer: Duration::from_millis(100), ..Limits::default() };
    let service = Service::start(limits).await;
    let mut first = service.connect(service.public, None).await;
    first.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let answer = within(service.ask(service.public, None)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_client_that_goes_on_sending_gives_its_place_away() {
    let limits = Limits { connections: 1, linger: Duration::from_millis(100), ..Limits::default() };
    let service = Service::start(limits).await;
    let mut first = refused(&service).await;
    let answer = within(service.ask(service.public, None)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(read(&mut first).await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn whoever_is_refused_before_the_body_is_read_learns_that_the_connection_ends() {
    let service = Service::start(Limits::default()).await;
    let (length, chunks) = ("content-length: 3\r\n\r\nabc", "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    for (path, body, ends) in [
        ("/nowhere", length, true),
        ("/nowhere", chunks, true),
        // Only the method is known by then.
        ("/who", length, true),
        ("/nowhere", "content-length: 0\r\n\r\n", false),
        ("/body", length, false),
        ("/body", chunks, false),
    ] {
        let mut stream = service.connect(service.public, None).await;
        stream.write_all(format!("POST {path} HTTP/1.1\r\nhost: x\r\n{body}").as_bytes()).await.unwrap();
        if !ends {
            stream.write_all(b"GET /who HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        }
        let answers = read(&mut stream).await;
        let (first, rest) = answers.split_once("\r\n\r\n").unwrap();
        assert_eq!(first.contains("connection: close"), ends, "{path} {body:?}: {answers}");
        assert_eq!(rest.contains("HTTP/1.1 200"), !ends, "{path} {body:?}: {answers}");
    }
}

#[tokio::test]
async fn a_stop_does_not_hear_out_who_was_refused() {
    let mut service = Service::start(Limits { linger: PATIENCE * 2, stop: PATIENCE * 2, ..Limits::default() }).await;
    let mut refused = refused(&service).await;
    assert!(read(&mut refused).await.starts_with("HTTP/1.1 404"));
    service.stop.send(true).unwrap();
    for task in service.tasks.drain(..) {
        within(task).await.unwrap();
    }
}

/// A connection whose request was refused before its body came.
async fn refused(service: &Service) -> TlsStream<TcpStream> {
    let mut stream = service.connect(service.public, None).await;
    stream.write_all(b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc").await.unwrap();
    stream
}

#[tokio::test]
async fn a_stop_lets_running_requests_finish() {
    let mut service = Service::start(Limits::default()).await;
    let mut idle = service.connect(service.public, None).await;
    let mut busy = service.connect(service.public, None).await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    within(service.running.notified()).await;
    service.stop.send(true).unwrap();
    assert_eq!(read(&mut idle).await, "", "an idle connection is closed at once");
    // Nobody comes in any more, while the request still runs.
    within(async { while TcpStream::connect(service.public).await.is_ok() {} }).await;
    service.finish.notify_one();
    let answer = read(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("finished"), "{answer}");
    for task in service.tasks.drain(..) {
        within(task).await.unwrap();
    }
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let mut service = Service::start(Limits { stop: Duration::from_millis(100), ..Limits::default() }).await;
    let mut busy = service.connect(service.public, None).await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    within(service.running.notified()).await;
    service.stop.send(true).unwrap();
    for task in service.tasks.drain(..) {
        within(task).await.unwrap();
    }
    assert!(!read(&mut busy).await.contains("HTTP/1.1"));
}
