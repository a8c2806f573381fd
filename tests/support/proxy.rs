//! A faulty network: a TLS server in front of the service that holds the service's own certificate, and spoils answers.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

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
    /// The service gets the request; half the answer arrives.
    Truncate,
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
}

/// The proxy: its port, and the faults still to come.
pub struct Proxy {
    pub port: u16,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// A listener whose certificate is not known yet; [`Reserved::start`] puts it to work.
    pub fn reserve() -> Reserved {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Reserved { port: listener.local_addr().unwrap().port(), listener }
    }

    /// Lets the next requests meet these faults, one each; later ones pass.
    pub fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        *self.faults.lock().unwrap() = faults.into_iter().collect();
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
        let faults = Arc::new(Mutex::new(VecDeque::new()));
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

fn serve(
    stream: TcpStream,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    target: u16,
    faults: &Mutex<VecDeque<Fault>>,
    seen: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let connection = ServerConnection::new(server).map_err(io::Error::other)?;
    let mut inside = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let Some(request) = read_message(&mut inside)? else { return Ok(()) };
        let first = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
        seen.lock().unwrap().push(String::from_utf8_lossy(first).into_owned());
        let fault = faults.lock().unwrap().pop_front().unwrap_or(Fault::Pass);
        let forward = || -> io::Result<Vec<u8>> {
            let name = ServerName::try_from("127.0.0.1").map_err(io::Error::other)?;
            let connection = ClientConnection::new(client.clone(), name).map_err(io::Error::other)?;
            let mut outside = BufReader::new(StreamOwned::new(connection, TcpStream::connect(("127.0.0.1", target))?));
            outside.get_mut().write_all(&request)?;
            Ok(read_message(&mut outside)?.unwrap_or_default())
        };
        match fault {
            Fault::Pass => inside.get_mut().write_all(&forward()?)?,
            Fault::LoseAnswer => return forward().map(drop),
            Fault::LoseRequest => return Ok(()),
            Fault::Truncate => {
                let answer = forward()?;
                inside.get_mut().write_all(&answer[..answer.len() - 20])?;
                return inside.get_mut().flush();
            }
            Fault::Swap(from, to) => {
                let answer = String::from_utf8(forward()?).map_err(io::Error::other)?;
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
