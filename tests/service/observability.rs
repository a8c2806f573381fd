//! What those who run the service see: health, figures, the log.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use ptc_enroll::protocol::messages::{API, Revocation, RevocationCode};
use ptc_enroll::protocol::problem::ProblemCode;
use ptc_enroll::protocol::request::Kind;
use ptc_enroll::protocol::secret::Secret;
use ptc_enroll::service::db::Database;
use ptc_enroll::service::registration::CertificateQuery;
use serde_json::{Value, json};
use time::Duration;

use super::ocsp::{NOBODY, openssl_request};
use crate::support::service::{A, B, Draft, Enrolled, Service, operator};
use crate::support::site::{Run, Site};

/// How long a service may take to do what it does at once.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// A service after everything that is counted happened once.
fn busy() -> Service {
    let service = Service::start();
    let manager = service.secure(Some(&service.manager(A)));
    let public = service.public();
    let secret = service.package_of_kind(A, Kind::Workstation, true);
    let drafts = ["PC-1", "PC-2", "PC-3", "PC-3"].map(|name| Draft::workstation(A, name));
    let [approved, rejected, _, pending] = drafts.map(|draft| {
        let number = public.submit(&secret, None, &draft).json::<Value>()["number"].as_u64().unwrap();
        (number, draft)
    });
    let path = |number: u64, what: &str| format!("/manager/requests/{number}{what}");
    let csr_sha256 = manager.get(&path(approved.0, "")).json::<Value>()["csr_sha256"].clone();
    let detail = manager.post(&path(approved.0, "/approve"), &json!({ "csr_sha256": csr_sha256 })).json::<Value>();
    assert_eq!(manager.post(&path(rejected.0, "/reject"), &json!({ "reason": "no" })).status, 200);
    let enrolled = Enrolled { number: approved.0.to_string().parse().unwrap(), draft: approved.1 };
    assert_eq!(service.secure(Some(&service.identity(&enrolled))).get("/test").status, 200);
    assert_eq!(public.get_as(&pending.1.token, &format!("/requests/{}", pending.0)).status, 200);
    // For which it certifies itself: a certificate that is none of a manager's.
    service.run(service.app.ocsp(&openssl_request(&service, &[NOBODY], &[])));
    let listed = service.run(service.app.list_certificates(&operator(), &CertificateQuery::default())).unwrap().items;
    let responder = listed.into_iter().find(|certificate| certificate.subject.contains("OCSP Responder")).unwrap();
    let replaced = Revocation { code: RevocationCode::Superseded, reason: String::new() };
    service.run(service.app.revoke(&operator(), &responder.serial, &replaced)).unwrap();
    let revoke = format!("/manager/certificates/{}/revoke", detail["issued"]["serial"].as_str().unwrap());
    assert_eq!(manager.post(&revoke, &json!({ "code": "superseded" })).status, 200);
    public.get("/nowhere").is_problem(ProblemCode::NotFound);
    // Nobody without a certificate comes in.
    assert_eq!(service.secure(None).get("/test").status, 0);
    service
}

/// The value of a series, by its name with labels.
#[track_caller]
fn value(scrape: &str, series: &str) -> f64 {
    let line = scrape.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series} is missing in\n{scrape}")).parse().unwrap()
}

fn scrape(service: &Service) -> String {
    let reply = service.operations().send_to("GET", "/metrics", &[], None);
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/plain; version=0.0.4; charset=utf-8")));
    reply.text()
}

fn promtool(arguments: &[&str], input: &str) {
    let mut promtool = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("promtool, which tests/run brings: {error}"));
    promtool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("error"), "{said}");
    // Of metrics, whatever it says is a breach of conventions.
    assert!(arguments[1] == "rules" || said.is_empty(), "{said}");
}

#[test]
fn a_real_enrollment_leaves_no_figure_missing() {
    let service = busy();
    let scrape = scrape(&service);
    promtool(&["check", "metrics"], &scrape);
    for (series, expected) in [
        ("build_info{version=\"0.1.0\"}", 1.0),
        ("http_requests_total{listener=\"public\",route=\"/api/v1/requests\",method=\"POST\",code=\"201\"}", 4.0),
        ("http_requests_total{listener=\"public\",route=\"none\",method=\"GET\",code=\"404\"}", 1.0),
        (
            "http_request_duration_seconds_count{listener=\"public\",route=\"/api/v1/requests/{number}\",method=\"GET\"}",
            1.0,
        ),
        ("http_problems_total{listener=\"public\",code=\"not-found\"}", 1.0),
        ("requests_accepted_total{kind=\"workstation\"}", 4.0),
        ("requests_decided_total{kind=\"workstation\",outcome=\"approved\"}", 1.0),
        ("requests_decided_total{kind=\"workstation\",outcome=\"rejected\"}", 1.0),
        ("requests_decided_total{kind=\"workstation\",outcome=\"cancelled\"}", 1.0),
        ("certificates_issued_total{kind=\"workstation\"}", 1.0),
        ("certificates_issued_total{kind=\"manager\"}", 1.0),
        ("certificates_revoked_total{kind=\"workstation\"}", 1.0),
        ("certificates_revoked_total{kind=\"manager\"}", 0.0),
        ("requests{kind=\"workstation\",state=\"pending\"}", 1.0),
        ("requests{kind=\"workstation\",state=\"revoked\"}", 1.0),
        ("requests{kind=\"mobile\",state=\"expired\"}", 0.0),
        ("tls_handshakes_total{listener=\"secure\",outcome=\"failed\"}", 1.0),
        ("connections{listener=\"operations\"}", 1.0),
        ("limited_total{limit=\"submissions\"}", 0.0),
        ("outbox_notices{channel=\"email\"}", 0.0),
        ("database_up", 1.0),
        ("database_busy_connections{pool=\"writer\"}", 0.0),
    ] {
        assert_eq!(value(&scrape, &format!("ptc_enrollment_{series}")), expected, "{series}");
    }
    let own = |series: &str| value(&scrape, &format!("ptc_enrollment_{series}"));
    assert!((6.0..=7.0).contains(&(own("crl_next_update_seconds") / 86_400.0)), "{scrape}");
    assert!(own("database_write_transaction_duration_seconds_count") >= 10.0, "{scrape}");
    assert!(own("certificate_expiry_seconds{certificate=\"listeners\"}") > 86_400.0 * 700.0, "{scrape}");
    assert!(own("disk_available_bytes") > 0.0 && own("database_size_bytes") > 100_000.0, "{scrape}");
    assert!(value(&scrape, "process_resident_memory_bytes") > 1e6, "{scrape}");
    assert!(value(&scrape, "process_open_fds") < value(&scrape, "process_max_fds"), "{scrape}");
    // No organisation, no name, no address: whoever reads figures learns nothing of anybody.
    for word in [A, B, "PC-1", "poste", "127.0.0.1"] {
        assert!(!scrape.contains(word), "{word} in\n{scrape}");
    }
    // Made-up methods and paths make no series.
    let series = |scrape: &str| scrape.lines().filter(|line| !line.starts_with('#')).count();
    let odd = |number: u32| {
        service.public().send(&format!("ODD{number}"), &format!("/nowhere/{number}"), &[], None);
    };
    odd(0);
    let before = series(&self::scrape(&service));
    (1..20).for_each(odd);
    assert_eq!(series(&self::scrape(&service)), before);
}

#[test]
fn what_was_not_committed_is_not_counted() {
    let service = Service::start();
    let number = service.pending(A).number;
    let manager = service.secure(Some(&service.manager(A)));
    let reject = || manager.post(&format!("/manager/requests/{number}/reject"), &json!({ "reason": "no" })).status;
    let secret = service.package(A);
    let submit = || service.public().submit(&secret, None, &Draft::workstation(A, "PC-next")).status;
    let counted = || {
        let scrape = scrape(&service);
        let of = |series: &str| value(&scrape, &format!("ptc_enrollment_{series}"));
        [
            of("requests_accepted_total{kind=\"workstation\"}"),
            of("requests_decided_total{kind=\"workstation\",outcome=\"rejected\"}"),
        ]
    };
    // Everything works but the commit itself.
    service.tamper(match service.on_a_server() {
        true => {
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
             CREATE CONSTRAINT TRIGGER no_commit AFTER INSERT ON audit DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION fail()"
        }
        false => {
            "CREATE TABLE doomed (id INTEGER REFERENCES managers (id) DEFERRABLE INITIALLY DEFERRED);
             CREATE TRIGGER no_commit AFTER INSERT ON audit BEGIN INSERT INTO doomed VALUES (-1); END"
        }
    });
    assert!(reject() >= 500 && submit() >= 500);
    assert_eq!(counted(), [1.0, 0.0]);
    service.tamper(match service.on_a_server() {
        true => "DROP TRIGGER no_commit ON audit",
        false => "DROP TRIGGER no_commit",
    });
    assert_eq!((reject(), submit()), (200, 201));
    assert_eq!(counted(), [2.0, 1.0]);
}

#[test]
fn probes_are_no_writes() {
    let service = Service::start();
    let writes = || value(&scrape(&service), "ptc_enrollment_database_write_transaction_duration_seconds_count");
    let before = writes();
    for _ in 0..5 {
        assert_eq!(ready(&service, "/readyz").0, 200);
    }
    assert_eq!(writes(), before);
}

#[test]
fn the_end_told_is_that_of_the_certificate_in_use() {
    let service = Service::start();
    let end = || value(&scrape(&service), "ptc_enrollment_certificate_expiry_seconds{certificate=\"listeners\"}");
    let loaded = end();
    // Somebody puts another one there, or takes it away: until the restart the listeners go on with theirs.
    fs::remove_file(service.home().join("tls/service.crt.pem")).unwrap();
    assert!((loaded - end()).abs() < 60.0);
}

#[test]
fn what_dashboard_and_alerts_name_exists() {
    let scrape = scrape(&busy());
    let names: BTreeSet<&str> = scrape
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(['{', ' ']).next().unwrap())
        .collect();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let alerts = config.join("prometheus-alerts.yml");
    let dashboard = fs::read_to_string(config.join("grafana-dashboard.json")).unwrap();
    let panels: Value = serde_json::from_str(&dashboard).unwrap();
    assert!(panels["panels"].as_array().unwrap().len() >= 8);
    for (text, at_least) in [(dashboard, 10), (fs::read_to_string(&alerts).unwrap(), 8)] {
        let named: BTreeSet<&str> = text
            .split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
            .filter(|word| word.starts_with("ptc_enrollment_") || word.starts_with("process_"))
            .collect();
        assert!(named.len() >= at_least, "{named:?}");
        let unknown: Vec<_> = named.difference(&names).collect();
        assert!(unknown.is_empty(), "{unknown:?} in no scrape:\n{scrape}");
    }
    promtool(&["check", "rules", alerts.to_str().unwrap()], "");
}

#[test]
fn only_the_operations_listener_answers_and_answers_nothing_else() {
    let service = Service::start();
    let ptc = service.ptc_manager();
    for path in ["/livez", "/readyz", "/metrics", "/api/v1/metrics"] {
        for client in [service.public(), service.secure(Some(&ptc))] {
            let reply = client.send_to("GET", path, &[], None);
            assert!(reply.status == 404 && !reply.text().contains("ptc_enrollment_"), "{path}: {}", reply.text());
        }
    }
    let operations = service.operations();
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(operations.send_to("GET", path, &[], None).status, 200, "{path}");
        operations.send_to("POST", path, &[], Some(b"")).is_problem(ProblemCode::MethodNotAllowed);
    }
    for path in ["/", "/requests", "/health", "/static/style.css"] {
        operations.send_to("GET", path, &[], None).is_problem(ProblemCode::NotFound);
    }
    for path in ["/service", "/ca/crl", "/requests/1", "/manager/requests", "/openapi.json"] {
        operations.get(path).is_problem(ProblemCode::NotFound);
    }
}

fn ready(service: &Service, path: &str) -> (u16, String) {
    let reply = service.operations().send_to("GET", path, &[], None);
    (reply.status, reply.text())
}

#[test]
fn readiness_says_what_is_wrong() {
    let service = Service::start();
    assert_eq!(ready(&service, "/readyz"), (200, "ok\n".to_owned()));
    let all = "[+]stop ok\n[+]database ok\n[+]ca ok\n[+]crl ok\n[+]disk ok\nreadyz check passed\n";
    assert_eq!(ready(&service, "/readyz?verbose"), (200, all.to_owned()));

    // Somebody else holds the database and does not let go.
    let place = service.app.settings().place(service.app.home()).unwrap();
    let (other, held) = service.run(async {
        let other = Database::open(&place).await.unwrap();
        let held = other.write().await.unwrap();
        (other, held)
    });
    let (status, text) = ready(&service, "/readyz");
    assert!(status == 503 && text.starts_with("[-]database failed: ") && text.lines().count() == 2, "{text}");
    assert_eq!(ready(&service, "/livez"), (200, "ok\n".to_owned()));
    service.run(async {
        drop(held);
        other.close().await;
    });
    assert_eq!(ready(&service, "/readyz").0, 200);

    // Nobody made a new revocation list in time, and later the issuing certificate is over too.
    service.advance(Duration::days(8));
    let (status, text) = ready(&service, "/readyz?verbose");
    assert!(status == 503 && text.contains("[-]crl failed: the list was good until ") && text.contains("[+]ca ok"));
    assert!(value(&scrape(&service), "ptc_enrollment_crl_next_update_seconds") < 0.0);
    service.advance(Duration::days(3_700));
    assert!(ready(&service, "/readyz").1.contains("[-]ca failed: "));
}

#[test]
fn a_service_that_stops_is_not_ready_until_it_has() {
    let mut service = Service::start();
    let operations = service.operations();
    let secret = service.package(A);
    let body = serde_json::to_vec(&Draft::workstation(A, "PC-1").submission).unwrap();
    let (first, rest) = body.split_at(100);
    let mut stream = service.public_connection();
    begin_submission(&mut stream, &secret, body.len(), first);
    // It is counted where its head was read.
    let deadline = Instant::now() + PATIENCE;
    while value(&scrape(&service), "ptc_enrollment_connections{listener=\"public\"}") < 1.0 {
        assert!(Instant::now() < deadline, "the connection is not counted");
    }
    let stopped = service.begin_to_stop();
    let reply = loop {
        let reply = operations.send_to("GET", "/readyz", &[], None);
        if reply.status != 200 {
            break reply;
        }
        assert!(Instant::now() < deadline, "a service that stops stays ready");
    };
    assert_eq!((reply.status, reply.text().lines().next()), (503, Some("[-]stop failed: the service stops")));
    assert_eq!(operations.send_to("GET", "/livez", &[], None).status, 200);
    stream.write_all(rest).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    service.run(stopped).unwrap();
    assert_eq!(operations.send_to("GET", "/livez", &[], None).status, 0);
}

/// Sends a submission's head and a part of its body, and waits until the service reads the rest of it.
pub(super) fn begin_submission(stream: &mut (impl Read + Write), secret: &Secret, length: usize, first: &[u8]) {
    let head = format!(
        "POST {API}/requests HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n",
        secret.expose()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let expected = "HTTP/1.1 100 Continue\r\n\r\n";
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), expected);
    stream.write_all(first).unwrap();
}

#[test]
fn what_is_approved_as_it_comes_is_warned_of_in_an_object_too() {
    let site = Site::builder().serve(&["--log-format=json", "--auto-approve"]).start();
    site.workstation("pc").submit();
    let log = site.log();
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
    assert!(log.contains("every request"), "{log}");
}

#[test]
fn every_line_of_the_log_is_an_object_that_leads_to_its_request() {
    let site = Site::builder().serve(&["--log-format=json"]).start();
    let machine = site.workstation("pc");
    machine.submit();
    machine.run(["fetch"]).exits(5);
    let url = format!("https://127.0.0.1:{}{API}", site.ports.0);
    let curl = |arguments: &[&str]| {
        let anchor = site.anchor();
        let curl = ["--silent", "--include", "--globoff", "--cacert", anchor.to_str().unwrap()];
        Run::of(Command::new("curl").args(curl).args(arguments)).exits(0).stdout
    };
    let forged = curl(&["--header", "X-Request-Id: forged", &format!("{url}/%0a%1b[2J?token=secret-in-the-query")]);
    let id = forged.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap().trim().to_owned();
    assert_ne!(id, "forged");

    let log = site.log();
    assert!(log.is_ascii() && !log.contains("forged") && !log.contains("secret-in-the-query"), "{log}");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        let time = line["time"].as_str().unwrap();
        assert!(time.ends_with('Z') && time.starts_with("20"), "{line}");
        assert!(["INFO", "WARN", "ERROR"].contains(&line["level"].as_str().unwrap()), "{line}");
        assert!(line["target"].as_str().unwrap().starts_with("ptc_enroll") && line["message"].is_string(), "{line}");
    }
    let answered: Vec<&Value> = lines.iter().filter(|line| line["message"] == "answered").collect();
    let seen: Vec<Value> = answered
        .iter()
        .map(|line| json!([line["listener"], line["method"], line["route"], line["code"], line["actor"]]))
        .collect();
    assert_eq!(
        json!(seen),
        json!([
            ["public", "POST", "/api/v1/requests", 201, "package"],
            ["public", "GET", "/api/v1/requests/{number}", 200, "request-holder"],
            ["public", "GET", "none", 404, "anonymous"],
        ])
    );
    for line in &answered {
        assert!(line["duration_ms"].as_f64().unwrap() > 0.0 && line["bytes"].as_u64().unwrap() > 50, "{line}");
        assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    }
    assert_eq!(answered[2]["request_id"], id.as_str());
    // What a request brought about is found by its id.
    let accepted = lines.iter().find(|line| line["message"] == "request accepted").unwrap();
    assert_eq!(accepted["request_id"], answered[0]["request_id"]);
    assert_eq!((&accepted["number"], &accepted["organisation"]), (&json!(1), &json!(A)));
}
