//! A faulty network: a TLS server in front of the service that holds the service's own certificate, and spoils requests
//! and answers, as HTTP or as the bytes on the wire.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// What happens to one request and its answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Nothing.
    Pass,
    /// The service gets the request; the answer is lost.
    LoseAnswer,
    /// The service never gets the request; the connection ends.
    LoseRequest,
    /// The service gets half the request; the connection ends.
    CutRequest,
    /// The service gets the request; half the answer arrives.
    Truncate,
    /// The request arrives changed on the wire, which TLS notices and ends the connection for.
    GarbleRequest,
    /// The service gets the request; the answer arrives changed on the wire.
    GarbleAnswer,
    /// The service gets the request twice at the same time; one of the answers arrives.
    Duplicate,
    /// The service gets the request later.
    Delay(Duration),
    /// The service gets the request in small pieces.
    DripRequest,
    /// The answer arrives in small pieces.
    DripAnswer,
    /// Something else answers.
    Answer(String),
    /// The answer arrives with one text put in the place of another.
    Swap(String, String),
}

impl Fault {
    /// A page of a captive portal.
    pub fn portal() -> Self {
        Self::answer("200 OK", "text/html", "", "<html><body>Please sign in</body></html>")
    }

    /// A whole answer.
    pub fn answer(status: &str, media_type: &str, headers: &str, body: &str) -> Self {
        Self::Answer(format!(
            "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n{headers}Connection: close\r\n\r\n{body}",
            body.len()
        ))
    }

    /// The service is busy and says when to come back.
    pub fn busy(retry_after: u32) -> Self {
        let body = r#"{"type":"urn:ptc-enroll:problem:unavailable","title":"busy","status":503}"#;
        let header = format!("Retry-After: {retry_after}\r\n");
        Self::answer("503 Service Unavailable", "application/problem+json", &header, body)
    }

    /// The caller asked too much, and is told when to come back.
    pub fn too_many(retry_after: u32) -> Self {
        let body = r#"{"type":"urn:ptc-enroll:problem:too-many-requests","title":"slow down","status":429}"#;
        let header = format!("Retry-After: {retry_after}\r\n");
        Self::answer("429 Too Many Requests", "application/problem+json", &header, body)
    }
}

/// The faults still to come, one for each request.
type Faults = Box<dyn Iterator<Item = Fault> + Send>;

/// The proxy: its port, and the faults still to come.
pub struct Proxy {
    pub port: u16,
    faults: Arc<Mutex<Faults>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// A listener whose certificate is not known yet; [`Reserved::start`] puts it to work.
    pub fn reserve() -> Reserved {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Reserved { port: listener.local_addr().unwrap().port(), listener }
    }

    /// Lets the next requests meet these faults, one each; later ones pass.
    pub fn next<I: IntoIterator<Item = Fault, IntoIter: Send + 'static>>(&self, faults: I) {
        *self.faults.lock().unwrap() = Box::new(faults.into_iter());
    }

    /// The first lines of the requests that came.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// A port for a service that is still to be made.
pub struct Reserved {
    pub port: u16,
    listener: TcpListener,
}

impl Reserved {
    /// Passes requests on to the service on `target`, whose TLS files lie in `tls`.
    pub fn start(self, target: u16, tls: &Path, trust_anchor: &Path) -> Proxy {
        let chain = CertificateDer::pem_file_iter(tls.join("service.crt.pem")).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(tls.join("service.key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(trust_anchor).unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (server, client) = (Arc::new(server), Arc::new(client));
        let faults: Arc<Mutex<Faults>> = Arc::new(Mutex::new(Box::new(std::iter::empty())));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let proxy = Proxy { port: self.port, faults: faults.clone(), seen: seen.clone() };
        thread::spawn(move || {
            for stream in self.listener.incoming().flatten() {
                let (server, client, faults, seen) = (server.clone(), client.clone(), faults.clone(), seen.clone());
                // A client that goes away in the middle is what some tests are about.
                thread::spawn(move || serve(stream, server, client, target, &faults, &seen));
            }
        });
        proxy
    }
}

type Inside = BufReader<StreamOwned<ServerConnection, TcpStream>>;

fn serve(
    stream: TcpStream,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    target: u16,
    faults: &Mutex<Faults>,
    seen: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let connection = ServerConnection::new(server).map_err(io::Error::other)?;
    let mut inside = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let Some(request) = read_message(&mut inside)? else { return Ok(()) };
        let first = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
        seen.lock().unwrap().push(String::from_utf8_lossy(first).into_owned());
        let fault = faults.lock().unwrap().next().unwrap_or(Fault::Pass);
        let service = Target { client: client.clone(), port: target };
        match fault {
            Fault::Pass => inside.get_mut().write_all(&service.ask(&request)?)?,
            Fault::LoseAnswer => return service.ask(&request).map(drop),
            Fault::LoseRequest => return Ok(()),
            Fault::CutRequest => return service.connect()?.get_mut().write_all(&request[..request.len() / 2]),
            Fault::Truncate => {
                let answer = service.ask(&request)?;
                inside.get_mut().write_all(&answer[..answer.len() - 20])?;
                return inside.get_mut().flush();
            }
            Fault::GarbleRequest => return say_that_it_was_garbled(&mut inside),
            Fault::GarbleAnswer => return write_garbled(&mut inside, &service.ask(&request)?),
            Fault::Duplicate => {
                let (answer, other) = thread::scope(|scope| {
                    let other = scope.spawn(|| service.ask(&request));
                    (service.ask(&request), other.join().unwrap())
                });
                other?;
                inside.get_mut().write_all(&answer?)?;
            }
            Fault::Delay(time) => {
                thread::sleep(time);
                inside.get_mut().write_all(&service.ask(&request)?)?;
            }
            Fault::DripRequest => {
                let mut outside = service.connect()?;
                drip(outside.get_mut(), &request)?;
                inside.get_mut().write_all(&read_message(&mut outside)?.unwrap_or_default())?;
            }
            Fault::DripAnswer => drip(inside.get_mut(), &service.ask(&request)?)?,
            Fault::Swap(from, to) => {
                let answer = String::from_utf8(service.ask(&request)?).map_err(io::Error::other)?;
                let (head, body) = answer.split_once("\r\n\r\n").unwrap();
                assert!(body.contains(&from), "nothing to swap in {body}");
                let body = body.replace(&from, &to);
                let head: String = head
                    .split("\r\n")
                    .filter(|line| !line.to_ascii_lowercase().starts_with("content-length:"))
                    .map(|line| format!("{line}\r\n"))
                    .collect();
                write!(inside.get_mut(), "{head}Content-Length: {}\r\n\r\n{body}", body.len())?;
            }
            Fault::Answer(answer) => {
                inside.get_mut().write_all(answer.as_bytes())?;
                inside.get_mut().conn.send_close_notify();
                return inside.get_mut().flush();
            }
        }
    }
}

/// The service behind the proxy.
struct Target {
    client: Arc<ClientConfig>,
    port: u16,
}

impl Target {
    fn connect(&self) -> io::Result<BufReader<StreamOwned<ClientConnection, TcpStream>>> {
        let name = ServerName::try_from("127.0.0.1").map_err(io::Error::other)?;
        let connection = ClientConnection::new(self.client.clone(), name).map_err(io::Error::other)?;
        Ok(BufReader::new(StreamOwned::new(connection, TcpStream::connect(("127.0.0.1", self.port))?)))
    }

    fn ask(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut outside = self.connect()?;
        outside.get_mut().write_all(request)?;
        Ok(read_message(&mut outside)?.unwrap_or_default())
    }
}

/// Sends twenty pieces, each when the one before is on its way.
fn drip(stream: &mut impl Write, message: &[u8]) -> io::Result<()> {
    for piece in message.chunks(message.len().div_ceil(20)) {
        stream.write_all(piece)?;
        stream.flush()?;
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Answers as TLS does to a record that was changed on its way: by an alert.
fn say_that_it_was_garbled(inside: &mut Inside) -> io::Result<()> {
    let StreamOwned { conn, sock } = inside.get_mut();
    let record = [&[0x17, 0x03, 0x03, 0x00, 0x40][..], &[0; 0x40]].concat();
    conn.read_tls(&mut record.as_slice())?;
    assert!(conn.process_new_packets().is_err(), "a record that nobody encrypted was taken");
    while conn.wants_write() {
        conn.write_tls(sock)?;
    }
    Ok(())
}

/// Sends an answer with one bit of its ciphertext changed.
fn write_garbled(inside: &mut Inside, answer: &[u8]) -> io::Result<()> {
    let StreamOwned { conn, sock } = inside.get_mut();
    let mut wire = Vec::new();
    let mut rest = answer;
    while !rest.is_empty() {
        let taken = conn.writer().write(rest)?;
        rest = &rest[taken..];
        while conn.wants_write() {
            conn.write_tls(&mut wire)?;
        }
    }
    let middle = wire.len() / 2;
    wire[middle] ^= 1;
    sock.write_all(&wire)
}

/// Head and body of an HTTP/1.1 message with Content-Length; nothing where the other side is done.
fn read_message(stream: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut message = Vec::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        message.extend_from_slice(line.as_bytes());
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let start = message.len();
    message.resize(start + length, 0);
    stream.read_exact(&mut message[start..])?;
    Ok(Some(message))
}
