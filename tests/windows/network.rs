//! The way out through a proxy: the one that Windows has set, by name or by script, or that of the environment.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::{fs, thread};

use crate::support::site::{Run, Site};
use crate::wine::{FIELDS, Windows};

const HOST: &str = "enroll.ptc.example";

/// Sets the account's proxy as the settings dialog does, in the binary form that Windows reads: version, counter,
/// flags, then each text behind its length.
fn set_proxy(windows: &Windows, flags: u32, server: &str, bypass: &str, script: &str) {
    let key = r"HKCU\Software\Microsoft\Windows\CurrentVersion\Internet Settings\Connections";
    let mut value: Vec<u8> = [0x46, 1, flags].into_iter().flat_map(u32::to_le_bytes).collect();
    for text in [server, bypass, script] {
        value.extend((text.len() as u32).to_le_bytes());
        value.extend(text.bytes());
    }
    value.extend([0; 32]);
    let digits: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
    windows.set(key, "DefaultConnectionSettings", "REG_BINARY", &digits);
}

/// A server is named.
const NAMED: u32 = 1 | 2;
/// A script decides.
const SCRIPT: u32 = 1 | 4;

/// A proxy that understands CONNECT, and finds every name on this machine.
struct ConnectProxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ConnectProxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        // Ends with the process: a blocking accept has no other end.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let heard = heard.clone();
                thread::spawn(move || relay(client, &heard));
            }
        });
        Self { port, asked }
    }

    /// The targets asked for since the last look.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn relay(client: TcpStream, asked: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let target = line.split(' ').nth(1)?.to_owned();
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line).ok()?;
    }
    let port: u16 = target.rsplit_once(':')?.1.parse().ok()?;
    asked.lock().unwrap().push(target);
    let service = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let mut answers = client.try_clone().ok()?;
    answers.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok()?;
    let mut back = (service.try_clone().ok()?, client.try_clone().ok()?);
    thread::spawn(move || std::io::copy(&mut back.0, &mut back.1));
    std::io::copy(&mut reader, &mut &service).ok()?;
    Some(())
}

#[test]
fn the_proxy_that_windows_has_set_is_used() {
    let site = Site::builder().named(HOST).serve(&["--auto-approve"]).start();
    let windows = Windows::workstation(&site, "user");
    let proxy = ConnectProxy::start();
    let through = |what: &str| {
        let asked = proxy.asked();
        assert!(!asked.is_empty() && asked.iter().all(|target| target.starts_with(HOST)), "{what}: {asked:?}");
    };

    let server = format!("http=127.0.0.1:9;https=127.0.0.1:{}", proxy.port);
    set_proxy(&windows, NAMED, &server, "*.other.example;<local>", "");
    windows.submit();
    through("named");
    windows.run(["fetch"]).exits(0);
    through("named");
    // Mutual TLS by SChannel goes the same way.
    windows.run(["test"]).exits(0);
    through("named");

    set_proxy(&windows, NAMED, &server, "*.ptc.example", "");
    windows.run(["test"]).exits(6);
    assert_eq!(proxy.asked(), [] as [&str; 0], "an exception is one");

    let script = windows.disk().join("proxy.pac");
    let body = format!(
        "function FindProxyForURL(url, host) {{ return host == \"{HOST}\" ? \"PROXY 127.0.0.1:{}\" : \"DIRECT\"; }}",
        proxy.port
    );
    fs::write(&script, body).unwrap();
    set_proxy(&windows, SCRIPT, "", "", &format!("http://127.0.0.1:{}/proxy.pac", serve_script(script)));
    windows.run(["test"]).exits(0);
    through("script");

    let mut command = windows.command(["test"]);
    command.env("HTTPS_PROXY", "http://127.0.0.1:9");
    let run = Run::of(&mut command).exits(6);
    assert!(proxy.asked().is_empty(), "the environment comes first: {}", run.stderr);
}

/// Serves one file over HTTP, as a script for proxies is found.
fn serve_script(file: std::path::PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut reader = BufReader::new(client.try_clone().unwrap());
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
                line.clear();
            }
            let body = fs::read_to_string(&file).unwrap();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ns-proxy-autoconfig\r\nConnection: close\r\n";
            let _ = write!(client, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    port
}

#[test]
fn whoever_answers_in_the_services_place_is_not_believed() {
    let site = Site::builder().serve(&["--auto-approve"]).start();
    let windows = Windows::workstation(&site, "user");
    windows.submit();
    windows.run(["fetch"]).exits(0);
    // Somebody else listens at the secure listener's address: SChannel connects, and our own check refuses.
    let port = site.ports.1;
    let _stopped = site.stopped();
    let folder = tempfile::tempdir().unwrap();
    let mut impostor = Command::new("openssl");
    impostor.current_dir(folder.path());
    let make = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-out", "certificate"];
    let made = Run::of(Command::new("openssl").current_dir(folder.path()).args(make).args([
        "-subj",
        "/CN=127.0.0.1",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]));
    assert_eq!(made.code, 0, "{made:?}");
    let accept = format!("127.0.0.1:{port}");
    impostor.args(["s_server", "-accept", &accept, "-cert", "certificate", "-key", "key", "-www", "-verify", "1"]);
    let mut impostor = impostor.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let ready = BufReader::new(impostor.stdout.take().unwrap()).lines().any(|line| line.unwrap().contains("ACCEPT"));
    assert!(ready);
    let run = windows.run(["test"]);
    impostor.kill().unwrap();
    impostor.wait().unwrap();
    let run = run.exits(7);
    assert!(run.stderr.contains("is not trusted"), "{}", run.stderr);
}

#[test]
fn a_service_that_does_not_take_the_certificate_is_an_error() {
    let site = Site::builder().serve(&["--auto-approve"]).start();
    let windows = Windows::workstation(&site, "user");
    windows.submit();
    windows.run(["fetch"]).exits(0);
    // Another installation at the same address knows neither us nor our CA. Wine says SEC_E_INTERNAL_ERROR of every
    // alert, so that it cannot be told from other faults; Windows has a code for each, and the client then ends with 4.
    let ports = site.ports;
    let _stopped = site.stopped();
    let _other = Site::builder().at(ports).start();
    let run = windows.run(["test"]).exits(6);
    assert!(run.stderr.contains("-2146893052"), "{}", run.stderr);
}

#[test]
fn windows_is_asked_for_its_roots_where_the_package_says_so() {
    /// CERT_E_REVOCATION_FAILURE, the word of Windows' own verifier. Wine 8 is not told, as Windows is, to go on where
    /// nothing says whether a certificate was revoked: it never comes to the roots.
    const NO_REVOCATION_CHECK: &str = "-2146762482";
    let site = Site::builder().with_system_roots().start();
    let windows = Windows::workstation(&site, "user");
    let run = windows.run(["submit"].iter().chain(&FIELDS)).exits(7);
    assert!(run.stderr.contains(NO_REVOCATION_CHECK), "{}", run.stderr);
}
