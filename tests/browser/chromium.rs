//! A Chromium of a manager's, driven by WebDriver (W3C), which is JSON over HTTP: a client for the few commands that
//! the tests need is smaller than a library's.

use std::cell::RefCell;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::Agent;

use crate::support::service::{Identity, Service};

/// How long anything may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(30);
/// Lets Chromium pick the manager's certificate without a dialog, which nobody could answer here. Of files that set the
/// same policy the last by name counts, beside which the lists of others stay in force where it says so.
const POLICY: &str = "/etc/chromium/policies/managed/zz-ptc-enroll-tests.json";
/// What WebDriver calls the key.
pub const ENTER: &str = "\u{E007}";
pub const TAB: &str = "\u{E004}";
pub const SPACE: &str = " ";

/// A browser with a manager's certificate, open until it is dropped.
pub struct Browser {
    driver: Child,
    session: String,
    agent: Agent,
    origin: String,
    _home: TempDir,
}

impl Browser {
    /// Opens the browser of a manager of a service, who reads English.
    pub fn of(service: &Service, identity: &Identity) -> Self {
        choose_certificates();
        let home = tempfile::tempdir().unwrap();
        fill_certificate_store(home.path(), service, identity);
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", home.path())
            .env("TMPDIR", home.path())
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("chromedriver is missing: tests/run installs it ({error})"));
        let port = port_of(&mut driver);
        let config = Agent::config_builder().proxy(None).http_status_as_error(false).timeout_global(Some(PATIENCE * 2));
        let mut browser = Self {
            driver,
            session: format!("http://127.0.0.1:{port}/session"),
            agent: config.build().into(),
            origin: service.secure_url().to_owned(),
            _home: home,
        };
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--accept-lang=en",
            "--no-proxy-server",
            "--host-resolver-rules=MAP enroll.ptc.example 127.0.0.1",
            &format!("--user-data-dir={}", browser._home.path().join("chromium").display()),
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let session = browser.command("POST", "", &capabilities);
        browser.session = format!("{}/{}", browser.session, session["sessionId"].as_str().unwrap());
        browser
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_command(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn try_command(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let url = format!("{}{path}", self.session);
        let request = ureq::http::Request::builder().method(method).uri(url).header("Content-Type", "application/json");
        let answer = match method {
            "POST" => self.agent.run(request.body(body.to_string().into_bytes()).unwrap()),
            _ => self.agent.run(request.body(()).unwrap()),
        };
        let mut answer = answer.map_err(|error| error.to_string())?;
        let bytes = answer.body_mut().with_config().limit(1 << 27).read_to_vec().map_err(|error| error.to_string())?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        match answer.status().is_success() {
            true => Ok(value["value"].clone()),
            false => Err(value["value"]["message"].to_string()),
        }
    }

    /// Opens a page of the service.
    pub fn open(&self, path: &str) {
        self.open_elsewhere(&format!("{}{path}", self.origin));
    }

    /// Opens any address.
    pub fn open_elsewhere(&self, url: &str) {
        self.command("POST", "/url", &json!({ "url": url }));
    }

    /// Path and query of the page that is shown.
    pub fn path(&self) -> String {
        let url = self.command("GET", "/url", &Value::Null);
        url.as_str().unwrap().strip_prefix(&self.origin).unwrap_or_default().to_owned()
    }

    /// Runs a function's body in the page, past its content security policy.
    pub fn run(&self, script: &str) -> Value {
        self.command("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// As [`run`](Self::run); the body answers through the function in `arguments[0]`.
    pub fn run_async(&self, script: &str) -> Value {
        self.command("POST", "/execute/async", &json!({ "script": script, "args": [] }))
    }

    /// A command of Chromium's own protocol.
    pub fn chromium(&self, command: &str, parameters: Value) -> Value {
        self.command("POST", "/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    fn element(&self, selector: &str) -> Option<String> {
        let found =
            self.try_command("POST", "/element", &json!({ "using": "css selector", "value": selector })).ok()?;
        Some(found.as_object()?.values().next()?.as_str()?.to_owned())
    }

    /// Waits for an element and clicks at it.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        let refused = RefCell::new(String::new());
        let click = || {
            let element = self.element(selector)?;
            let clicked = self.try_command("POST", &format!("/element/{element}/click"), &json!({}));
            clicked.map_err(|error| refused.replace(error)).ok()
        };
        let deadline = Instant::now() + PATIENCE;
        while click().is_none() {
            assert!(Instant::now() < deadline, "{selector} cannot be clicked at {}: {}", self.path(), refused.borrow());
        }
    }

    /// Presses and releases keys, one after the other, wherever the focus is.
    pub fn press(&self, keys: &str) {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() })))
            .collect();
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] });
        self.command("POST", "/actions", &actions);
    }

    /// The id of the element that has the focus, empty where it has none.
    pub fn focused(&self) -> String {
        let found = self.try_command("GET", "/element/active", &Value::Null);
        let element = found.ok().and_then(|it| it.as_object()?.values().next()?.as_str().map(str::to_owned));
        let path = format!("/element/{}/attribute/id", element.unwrap_or_default());
        self.try_command("GET", &path, &Value::Null)
            .ok()
            .and_then(|id| id.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// What the page shows, as a reader gets it.
    pub fn text(&self) -> String {
        let body = self.element("body").unwrap_or_default();
        let text = self.try_command("GET", &format!("/element/{body}/text"), &Value::Null);
        text.ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Waits until the page shows a text.
    #[track_caller]
    pub fn see(&self, expected: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.text();
            if text.contains(expected) {
                return;
            }
            assert!(Instant::now() < deadline, "no {expected:?} at {}: {text}", self.path());
        }
    }

    /// Waits for a condition; asking the browser is pause enough.
    #[track_caller]
    pub fn wait(&self, what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < deadline, "{what} never came at {}: {}", self.path(), self.text());
        }
    }

    /// Waits until a script's answer is true.
    #[track_caller]
    pub fn wait_for(&self, script: &str) {
        self.wait(script, || self.run(script) == true);
    }

    /// What the browser has complained about since it was asked last: errors of scripts, loads, the policy.
    pub fn complaints(&self) -> Vec<String> {
        let entries = self.command("POST", "/se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().unwrap().iter();
        entries.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Goes into the first frame of the page.
    pub fn enter_frame(&self) {
        self.command("POST", "/frame", &json!({ "id": 0 }));
    }

    /// Shows pages for a system that prefers `light` or `dark`.
    pub fn prefer(&self, theme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": theme }]);
        self.chromium("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Makes the window this wide.
    pub fn widen(&self, width: u32) {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.chromium("Emulation.setDeviceMetricsOverride", size);
    }

    /// Keeps a picture of the whole page under this name.
    pub fn screenshot(&self, name: &str) {
        let shot = self.chromium("Page.captureScreenshot", json!({ "captureBeyondViewport": true }));
        keep(&format!("{name}.png"), &BASE64_STANDARD.decode(shot["data"].as_str().unwrap()).unwrap());
    }

    /// Prints the page into a PDF of this name.
    pub fn print(&self, name: &str) -> Vec<u8> {
        let pdf = self.command("POST", "/print", &json!({ "background": true }));
        let pdf = BASE64_STANDARD.decode(pdf.as_str().unwrap()).unwrap();
        keep(&format!("{name}.pdf"), &pdf);
        pdf
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium is in the driver's process group, and goes with it however the test ended.
        let group = rustix::process::Pid::from_child(&self.driver);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.driver.wait();
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn keep(name: &str, bytes: &[u8]) {
    let folder = root().join("target/browser");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

/// The source of axe-core, as `tests/run` brought it within a Python package.
pub fn axe() -> &'static str {
    static SOURCE: OnceLock<String> = OnceLock::new();
    SOURCE.get_or_init(|| {
        let mut folders: Vec<PathBuf> = vec![root().join("target/test-tools/lib")];
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
                if path.ends_with("axe_playwright_python/axe.min.js") {
                    return fs::read_to_string(path).unwrap();
                }
                if path.is_dir() {
                    folders.push(path);
                }
            }
        }
        panic!("axe-core is missing: tests/run brings it into target/test-tools")
    })
}

/// The driver chooses its port and says which.
fn port_of(driver: &mut Child) -> u16 {
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let port = lines.find_map(|line| {
        let line = line.unwrap();
        let (_, port) = line.split_once("started successfully on port ")?;
        Some(port.trim_end_matches('.').parse().unwrap())
    });
    // Whatever else it says must be read, or it would wait for that one day.
    std::thread::spawn(move || lines.for_each(drop));
    port.unwrap_or_else(|| panic!("chromedriver does not start"))
}

/// Tells Chromium by a managed policy, the only way that there is, to show these services the one certificate it has.
fn choose_certificates() {
    static WRITTEN: OnceLock<()> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        let rule = json!({ "pattern": "https://[*.]ptc.example", "filter": {} }).to_string();
        let list = "AutoSelectCertificateForUrls";
        let policy = json!({ list: [rule], "PolicyListMultipleSourceMergeList": [list] }).to_string();
        if fs::read_to_string(POLICY).is_ok_and(|found| found == policy) {
            return;
        }
        let written = fs::create_dir_all(Path::new(POLICY).parent().unwrap()).and_then(|()| fs::write(POLICY, &policy));
        written
            .unwrap_or_else(|error| panic!("{POLICY} must hold {policy}, and cannot be written ({error}): as root?"));
    });
}

/// Puts the manager's certificate and the service's root into the store where Chromium looks.
fn fill_certificate_store(home: &Path, service: &Service, identity: &Identity) {
    let store = home.join(".pki/nssdb");
    fs::create_dir_all(&store).unwrap();
    let database = format!("sql:{}", store.display());
    let file = |name: &str| home.join(name).display().to_string();
    let certificates = |ders: &[Vec<u8>]| {
        pem::encode_many(&ders.iter().map(|der| pem::Pem::new("CERTIFICATE", der.clone())).collect::<Vec<_>>())
    };
    fs::write(file("key.pem"), identity.key_pem()).unwrap();
    fs::write(file("chain.pem"), certificates(&identity.chain)).unwrap();
    fs::write(file("root.pem"), certificates(&[service.app.ca().root().to_vec()])).unwrap();
    let (key, chain, root, both) = (file("key.pem"), file("chain.pem"), file("root.pem"), file("manager.p12"));
    for command in [
        format!("certutil -N -d {database} --empty-password"),
        format!("openssl pkcs12 -export -inkey {key} -in {chain} -name manager -passout pass:test -out {both}"),
        format!("pk12util -i {both} -d {database} -W test -K"),
        format!("certutil -A -d {database} -n root -t C,, -i {root}"),
    ] {
        let mut words: Vec<&str> = command.split(' ').collect();
        if words[0] == "pk12util" {
            // An empty password.
            words.push("");
        }
        let done = Command::new(words[0]).args(&words[1..]).output();
        let done = done.unwrap_or_else(|error| panic!("{} is missing: tests/run installs it ({error})", words[0]));
        assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
    }
}
