//! A crowd at the public listener: connections that are idle, and ones that send a byte a second; `tests/bench/run` holds
//! it there. Whom the service cuts off, as it does with everybody who is idle or slow for too long, comes again.
//!
//! Says every second how many are held and how many were opened, one JSON object a line, until its standard input ends.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that cannot go on panics, and prints")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{io, process, thread};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::time::{interval, sleep, timeout};
use tokio_rustls::TlsConnector;

/// The service gives each address its share of connections only.
const SHARE: usize = 200;
/// Handshakes at the same time.
const OPENING: usize = 64;
const SECOND: Duration = Duration::from_secs(1);

/// What a slow one sends at once, of a request whose head or body follows byte by byte. An idle one sends nothing.
const SLOW: [&str; 2] = [
    "GET /api/v1/service HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ",
    "POST /api/v1/ca/ocsp HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/ocsp-request\r\n\
     content-length: 1000\r\n\r\n",
];

/// What all of them share.
struct Crowd {
    port: u16,
    tls: TlsConnector,
    opening: Semaphore,
    held: AtomicUsize,
    opened: AtomicUsize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [port, trust_anchor, idle, slow] = &arguments[..] else {
        // `cargo bench` runs every measurement; this one is none by itself.
        return;
    };
    let (idle, slow): (usize, usize) = (idle.parse().unwrap(), slow.parse().unwrap());
    let crowd = Arc::new(Crowd {
        port: port.parse().unwrap(),
        tls: TlsConnector::from(Arc::new(config(Path::new(trust_anchor)))),
        opening: Semaphore::new(OPENING),
        held: AtomicUsize::new(0),
        opened: AtomicUsize::new(0),
    });
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(0);
    });
    // One thread: the service is to have the other processors.
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        for number in 0..idle + slow {
            let sends = number.checked_sub(idle).map(|slow| SLOW[slow % SLOW.len()]);
            tokio::spawn(stay(crowd.clone(), number, sends));
        }
        let mut seconds = interval(SECOND);
        loop {
            seconds.tick().await;
            let said = |count: &AtomicUsize| count.load(Ordering::Relaxed);
            println!("{}", json!({ "held": said(&crowd.held), "opened": said(&crowd.opened) }));
        }
    });
}

fn config(trust_anchor: &Path) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trust_anchor).unwrap()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

async fn stay(crowd: Arc<Crowd>, number: usize, sends: Option<&str>) {
    if sends.is_some() {
        // Slow ones that came all at once would be cut off all at once, again and again.
        sleep(SECOND * u32::try_from(number % 10).unwrap()).await;
    }
    loop {
        // Cut off: it comes again at once. There was no room: in a while.
        if visit(&crowd, number, sends).await.is_err() {
            sleep(SECOND).await;
        }
    }
}

/// Holds one connection until the service ends it, in whatever way. An error where it did not come about.
async fn visit(crowd: &Crowd, number: usize, sends: Option<&str>) -> io::Result<()> {
    let network = u8::try_from(1 + number / SHARE).unwrap();
    let turn = crowd.opening.acquire().await.unwrap();
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, network, 1], 0)))?;
    let stream = socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, crowd.port))).await?;
    let mut stream = crowd.tls.connect(ServerName::from(IpAddr::from(Ipv4Addr::LOCALHOST)), stream).await?;
    drop(turn);
    crowd.opened.fetch_add(1, Ordering::Relaxed);
    crowd.held.fetch_add(1, Ordering::Relaxed);
    let mut answer = [0; 4096];
    let ended = async {
        let mut next = sends.unwrap_or_default().as_bytes();
        loop {
            stream.write_all(next).await?;
            stream.flush().await?;
            next = &[];
            match timeout(SECOND, stream.read(&mut answer)).await {
                Ok(Ok(0)) => return Ok(()),
                Ok(read) => drop(read?),
                Err(_) if sends.is_some() => next = b"x",
                Err(_) => {}
            }
        }
    };
    let _ended: io::Result<()> = ended.await;
    crowd.held.fetch_sub(1, Ordering::Relaxed);
    Ok(())
}
