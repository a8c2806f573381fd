//! Where notices arrive: a mail server and a webhook on loopback, which can be out of order.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};

/// Waits until something is so.
#[track_caller]
pub fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !so() {
        assert!(Instant::now() < deadline, "{what} never came");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A server that keeps what it is given.
pub struct Receiver<T> {
    pub port: u16,
    down: Arc<AtomicBool>,
    received: Arc<Mutex<Vec<T>>>,
}

impl<T: Clone + Send + 'static> Receiver<T> {
    /// `converse` serves one connection, and hangs up at once where it is told that the server is down.
    fn start(converse: impl Fn(TcpStream, bool, &Mutex<Vec<T>>) -> Option<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (down, received) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (is_down, into, converse) = (down.clone(), received.clone(), Arc::new(converse));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (is_down, into, converse) = (is_down.load(Ordering::SeqCst), into.clone(), converse.clone());
                thread::spawn(move || converse(stream, is_down, &into));
            }
        });
        Self { port, down, received }
    }

    /// From now on new connections meet a server that is out of order, or not.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// What came until now.
    pub fn received(&self) -> Vec<T> {
        self.received.lock().unwrap().clone()
    }
}

/// A letter as the mail server took it.
#[derive(Debug, Clone)]
pub struct Received {
    pub to: Vec<String>,
    pub data: String,
}

/// A mail server (RFC 5321) without TLS, as it may stand beside the service.
pub fn mail_server() -> Receiver<Received> {
    Receiver::start(|stream, down, received| {
        let mut out = stream.try_clone().ok()?;
        let mut lines = BufReader::new(stream).lines();
        let mut say = |line: &str| out.write_all(format!("{line}\r\n").as_bytes()).ok();
        if down {
            return say("421 mail.example out of order");
        }
        say("220 mail.example")?;
        let mut to = Vec::new();
        loop {
            let line = lines.next()?.ok()?;
            match line.split(['<', ' ', '>']).next()?.to_ascii_uppercase().as_str() {
                "EHLO" => say("250-mail.example\r\n250 8BITMIME")?,
                "MAIL" => {
                    to.clear();
                    say("250 OK")?;
                }
                "RCPT" => {
                    to.push(line.split(['<', '>']).nth(1)?.to_owned());
                    say("250 OK")?;
                }
                "DATA" => {
                    say("354 go on")?;
                    let mut data = String::new();
                    loop {
                        let line = lines.next()?.ok()?;
                        if line == "." {
                            break;
                        }
                        data.push_str(line.strip_prefix('.').unwrap_or(&line));
                        data.push('\n');
                    }
                    received.lock().unwrap().push(Received { to: to.clone(), data });
                    say("250 OK")?;
                }
                "NOOP" => say("250 OK")?,
                "QUIT" => return say("221 bye"),
                _ => say("500 what?")?,
            }
        }
    })
}

impl Received {
    /// The headers, unfolded, in their order.
    pub fn headers(&self) -> Vec<(String, String)> {
        let head = self.data.split_once("\n\n").unwrap().0.replace("\n ", " ");
        head.lines()
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.into(), words(value)))
            .collect()
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> String {
        self.headers().into_iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{name}: {self:?}")).1
    }

    /// The text as its reader sees it.
    pub fn body(&self) -> String {
        let body = self.data.split_once("\n\n").unwrap().1;
        match self.header("Content-Transfer-Encoding").as_str() {
            "quoted-printable" => quoted_printable(&body.replace("=\n", "")),
            "base64" => from_base64(&body.replace('\n', "")),
            _ => body.to_owned(),
        }
    }
}

/// Encoded words (RFC 2047), with the space between two of them taken out.
fn words(text: &str) -> String {
    let text = text.replace("?= =?", "?==?");
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some((before, word)) = rest.split_once("=?") {
        let [_, encoding, encoded] = word.splitn(3, '?').collect::<Vec<_>>()[..] else { panic!("{text}") };
        let (encoded, after) = encoded.split_once("?=").unwrap();
        plain.push_str(before);
        plain.push_str(&if encoding == "b" { from_base64(encoded) } else { quoted_printable(encoded) });
        rest = after;
    }
    plain + rest
}

fn from_base64(text: &str) -> String {
    String::from_utf8(BASE64_STANDARD.decode(text).unwrap()).unwrap()
}

fn quoted_printable(text: &str) -> String {
    let mut parts = text.split('=');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}

/// A call that a webhook got.
#[derive(Debug, Clone)]
pub struct Call {
    pub head: String,
    pub body: String,
}

impl Call {
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).unwrap_or_else(|| panic!("{self:?}")).1
    }
}

/// A webhook that answers 503 while it is down, and keeps what it is told all the same.
pub fn webhook() -> Receiver<Call> {
    Receiver::start(|stream, down, received| {
        let mut out = stream.try_clone().ok()?;
        let mut reader = BufReader::new(stream);
        let mut call = Call { head: String::new(), body: String::new() };
        while !call.head.ends_with("\r\n\r\n") {
            reader.read_line(&mut call.head).ok().filter(|length| *length > 0)?;
        }
        let length = call.header("Content-Length").parse().ok()?;
        reader.take(length).read_to_string(&mut call.body).ok()?;
        received.lock().unwrap().push(call);
        let status = if down { "503 Service Unavailable" } else { "204 No Content" };
        out.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes()).ok()
    })
}
