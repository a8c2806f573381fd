//! How much one caller gets: more is answered by an order to wait, harms nobody else, and takes no memory.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::{Duration, Instant};

use ptc_enroll::protocol::batch::{BATCH_BODY_LIMIT, KeyedSubmission, SubmissionBatch};
use ptc_enroll::protocol::messages::API;
use ptc_enroll::protocol::problem::ProblemCode;
use ptc_enroll::protocol::secret::Secret;
use ptc_enroll::service::admission::{Admission, Buckets, LimitSettings, Source};
use ptc_enroll::service::audit::{self, Verdict};
use ptc_enroll::service::listener::Limits;
use serde_json::{Value, json};

use super::observability::begin_submission;
use crate::support::service::{A, B, Draft, Reply, Service};
use crate::support::site::Site;

fn limited(change: impl FnOnce(&mut LimitSettings)) -> Service {
    Service::with_settings(|settings| change(&mut settings.limits))
}

/// How often somebody met a limit.
pub(super) fn counted(service: &Service, limit: &str) -> u64 {
    let scrape = service.operations().send_to("GET", "/metrics", &[], None).text();
    let series = format!("ptc_enrollment_limited_total{{limit=\"{limit}\"}} ");
    scrape.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
}

fn audit_entries(service: &Service) -> u64 {
    match service.run(audit::verify(service.app.database())).unwrap() {
        Verdict::Intact { entries, .. } => entries,
        broken => panic!("{broken:?}"),
    }
}

/// Insists on an order to wait for so many seconds at most.
#[track_caller]
fn is_told_to_wait(reply: &Reply, at_most: u64) {
    let problem = reply.is_problem(ProblemCode::TooManyRequests);
    let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=at_most).contains(&seconds), "{seconds}");
    assert!(problem.detail.unwrap().contains(&format!("{seconds} s")), "{}", reply.text());
}

#[test]
fn a_flood_of_wrong_secrets_grows_nothing_and_stops_nobody() {
    let service = Service::start();
    let public = service.public();
    let entries = audit_entries(&service);
    // Without a body, which nobody would read: the connection would end.
    let wrong = || {
        let bearer = format!("Bearer {}", Secret::random().unwrap().expose());
        public.send("POST", "/requests", &[("Authorization", &bearer)], Some(b""))
    };
    for _ in 0..60 {
        wrong().is_problem(ProblemCode::Unauthenticated);
    }
    let mut waiting = 0;
    for _ in 0..300 {
        let reply = wrong();
        // One comes back every second.
        match reply.status {
            401 => {}
            _ => {
                is_told_to_wait(&reply, 1);
                waiting += 1;
            }
        }
    }
    assert!(waiting >= 250, "{waiting}");
    assert_eq!(counted(&service, "wrong-credentials"), waiting);
    // A wrong token counts with wrong secrets; the right ones are as good as ever, from the same address.
    assert!([404, 429].contains(&public.get_as(&Secret::random().unwrap(), "/requests/1").status));
    assert_eq!(audit_entries(&service), entries);
    let draft = Draft::workstation(A, "PC-1");
    let reply = public.submit(&service.package(A), None, &draft);
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(public.get_as(&draft.token, "/requests/1").status, 200);
}

#[test]
fn every_wrong_token_of_a_call_counts_and_holds_up_no_right_one() {
    let service = limited(|limits| limits.failures_per_minute = 5);
    let right = service.pending(A);
    // Of so many requests each is asked about with the token of one.
    let ask = |numbers: &[u64]| {
        let held: Vec<_> =
            numbers.iter().map(|number| json!({ "number": number, "token": right.draft.token.expose() })).collect();
        service.public().post("/requests/status", &json!({ "requests": held }))
    };
    let told = |numbers: &[u64]| -> Vec<u64> {
        let reply = ask(numbers);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let results = reply.json::<Value>()["results"].as_array().unwrap().clone();
        results.iter().map(|result| result["problem"]["status"].as_u64().unwrap_or(200)).collect()
    };
    let number = right.number.0;
    assert_eq!(told(&[101, 102, number, 103]), [404, 404, 200, 404]);
    assert_eq!(told(&[104, number, 105]), [404, 200, 404]);
    // Now it is too much, beside a right one and alone, in whatever call.
    assert_eq!(told(&[106, number]), [429, 200]);
    is_told_to_wait(&ask(&[107, 108]), 24);
    is_told_to_wait(&service.public().get_as(&Secret::random().unwrap(), "/requests/1"), 12);
    assert_eq!(counted(&service, "wrong-credentials"), 3);
    assert_eq!(told(&[number]), [200]);
}

#[test]
fn as_many_addresses_as_there_are_take_no_more_memory() {
    let now = Instant::now();
    let buckets = Buckets::<Source>::remembering(60, 1_000);
    let address = |number: u128| Source::from(IpAddr::from((0x2001_0db8_u128 << 96 | number << 64).to_be_bytes()));
    let mut told = 0;
    for number in 0..200_000 {
        told += u32::from(buckets.take(&address(number), 1, now).is_err());
    }
    assert_eq!(buckets.len(), 1_000);
    // Those without a bucket of their own share one.
    assert_eq!(told, 200_000 - 1_000 - 60);
    // Whoever had one keeps it, and is not touched by the flood.
    for _ in 0..59 {
        buckets.take(&address(0), 1, now).unwrap();
    }
    assert_eq!(buckets.take(&address(0), 1, now), Err(Duration::from_secs(1)));
    // After a minute nobody is remembered for what they did.
    let later = now + Duration::from_secs(60);
    buckets.take(&address(500_000), 1, later).unwrap();
    assert_eq!(buckets.len(), 1);

    let source = |text: &str| Source::from(text.parse::<IpAddr>().unwrap());
    assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff::9"));
    assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
    assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
    assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
}

#[test]
fn the_usual_limits_let_a_mass_enrollment_through() {
    let admission = Admission::new(&LimitSettings::default());
    let started = Instant::now();
    for _ in 0..10_000 {
        admission.submit(A, 1).unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(12));
    admission.submit(A, 10_000).unwrap();
    // Far more than anybody enrols are told when to go on, and no other organisation is.
    let wait = admission.submit(A, 60_000).unwrap_err();
    assert!(wait <= Duration::from_secs(21), "{wait:?}");
    admission.submit(B, 60_000).unwrap();
    // What never fits a bucket waits for a full one.
    assert!(Admission::new(&LimitSettings::default()).submit(A, u32::MAX).is_ok());
    let unlimited = Admission::new(&LimitSettings { submissions_per_minute: 0, ..LimitSettings::default() });
    for _ in 0..3 {
        unlimited.submit(A, u32::MAX).unwrap();
    }
}

#[test]
fn an_organisation_that_submits_too_much_waits_alone() {
    let service = limited(|limits| limits.submissions_per_minute = 5);
    let public = service.public();
    let submit = |secret: &Secret, organisation: &str| {
        public.submit(secret, None, &Draft::workstation(organisation, &service.fresh("PC-")))
    };
    let (of_a, of_b) = (service.package(A), service.package(B));
    for _ in 0..5 {
        assert_eq!(submit(&of_a, A).status, 201);
    }
    is_told_to_wait(&submit(&of_a, A), 12);
    // A batch counts as what is in it, and goes whole or not at all.
    let items: Vec<_> = (0..3).map(|_| Draft::workstation(B, &service.fresh("PC-"))).collect();
    let batch = |drafts: &[Draft]| {
        let submissions = drafts
            .iter()
            .zip(0..)
            .map(|(draft, key)| KeyedSubmission {
                idempotency_key: format!("k{key}"),
                submission: draft.submission.clone(),
            })
            .collect();
        let bearer = format!("Bearer {}", of_b.expose());
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let body = serde_json::to_vec(&SubmissionBatch { submissions }).unwrap();
        public.send("POST", "/requests/batch", &headers, Some(&body))
    };
    assert_eq!(batch(&items).status, 200);
    is_told_to_wait(&batch(&items), 12);
    // Another package of the same organisation is no way around.
    is_told_to_wait(&submit(&service.package(A), A), 12);
    assert_eq!(submit(&of_b, B).status, 201);
    assert_eq!(counted(&service, "submissions"), 3);
    let entries = audit_entries(&service);
    is_told_to_wait(&submit(&of_a, A), 12);
    assert_eq!(audit_entries(&service) - entries, 0);
}

#[test]
fn a_client_that_is_told_to_wait_does_and_succeeds() {
    let site = Site::builder().settings("\n[limits]\nsubmissions_per_minute = 12\n").start();
    let machine = site.workstation("pc");
    let submit = |index: u32| {
        let name = format!("--common-name=PC-{index}");
        machine.run(["submit", "--email=admin@poste.example", "--locality=Paris", "--key=ec-p256", &name]).exits(0);
    };
    let started = Instant::now();
    let mut count = 0;
    // However slow this machine is: until the service said so once, and the client came again.
    while !site.log().contains("code=429") {
        submit(count);
        count += 1;
        assert!(count < 100, "{}", site.log());
    }
    assert!(count > 12, "{count}");
    assert_eq!(site.requests().len() as u32, count);
    assert!(started.elapsed() > Duration::from_secs(2), "nobody waited");
}

#[test]
fn refused_attempts_enter_the_record_at_a_bounded_rate() {
    let service = limited(|limits| limits.failures_per_minute = 5);
    let (one, other) = (service.secure(Some(&service.manager(A))), service.secure(Some(&service.manager(A))));
    let entries = audit_entries(&service);
    for _ in 0..5 {
        one.get("/manager/requests/4711").is_problem(ProblemCode::NotFound);
    }
    for _ in 0..20 {
        is_told_to_wait(&one.get("/manager/requests/4711"), 12);
    }
    assert_eq!(audit_entries(&service), entries + 5);
    assert_eq!(counted(&service, "refused-attempts"), 20);
    // What is theirs they see, and nobody else waits.
    assert_eq!(one.get("/manager/requests").status, 200);
    other.get("/manager/requests/4711").is_problem(ProblemCode::NotFound);
    // A page says it as a page.
    let page = one.page("/requests/4711");
    assert!(page.status == 429 && page.header("retry-after").is_some(), "{}", page.text());
    assert!(page.text().contains("<html") && page.text().contains("Too many calls"), "{}", page.text());
}

#[test]
fn one_address_does_not_take_all_connections() {
    let service = limited(|limits| limits.connections_per_address = 2);
    let connect = || {
        let mut stream = service.public_connection();
        stream.conn.complete_io(&mut stream.sock).map(|_| stream)
    };
    let first = connect().unwrap();
    let _second = connect().unwrap();
    // The third one gets no answer at all.
    let mut third = TcpStream::connect(("127.0.0.1", service.public_port())).unwrap();
    assert!(matches!(third.read(&mut [0; 1]), Ok(0) | Err(_)));
    assert_eq!(counted(&service, "connections"), 1);
    drop(first);
    // As soon as the service has seen that one of them is gone.
    let started = Instant::now();
    while connect().is_err() {
        assert!(started.elapsed() < Duration::from_secs(20));
    }
    // Elsewhere, two more.
    assert_eq!(service.secure(Some(&service.ptc_manager())).get("/test").status, 200);
}

#[test]
fn what_is_too_much_at_once_is_asked_to_come_again() {
    let service = limited(|limits| limits.requests_under_way = 1);
    let secret = service.package(A);
    let draft = Draft::workstation(A, "PC-1");
    // Nobody else writes meanwhile, so that a submission stays under way.
    let writing = service.run(service.app.database().write()).unwrap();
    std::thread::scope(|scope| {
        let submission = scope.spawn(|| service.public().submit(&secret, None, &draft));
        let reply = until(|| service.public().get("/service"), |reply| reply.status == 503);
        reply.is_problem(ProblemCode::Unavailable);
        assert_eq!(reply.header("retry-after"), Some("5"));
        assert_eq!(counted(&service, "requests-under-way"), 1);
        // One listener does not hold up another, and whoever has a place keeps it.
        assert_eq!(service.secure(Some(&service.ptc_manager())).get("/test").status, 200);
        service.run(async { drop(writing) });
        assert_eq!(submission.join().unwrap().status, 201);
    });
    assert_eq!(service.public().get("/service").status, 200);
}

#[test]
fn whoever_sends_slowly_holds_up_nobody() {
    let service = limited(|limits| limits.requests_under_way = 1);
    let secret = service.package(A);
    let body = serde_json::to_vec(&Draft::workstation(A, "PC-1").submission).unwrap();
    let (first, rest) = body.split_at(100);
    let mut slow: Vec<_> = (0..3).map(|_| service.public_connection()).collect();
    for stream in &mut slow {
        begin_submission(stream, &secret, body.len(), first);
    }
    // Who asks for the state of a certificate shows no credential.
    let mut askers: Vec<_> = (0..3).map(|_| service.public_connection()).collect();
    askers.iter_mut().for_each(begin_asking);

    assert_eq!(service.public().get("/service").status, 200);
    assert_eq!(service.public().submit(&secret, None, &Draft::workstation(A, "PC-2")).status, 201);
    assert_eq!(counted(&service, "requests-under-way"), 0);
    for stream in &mut slow {
        stream.write_all(rest).unwrap();
        assert_eq!(status_line(stream), "HTTP/1.1 201");
    }
    for stream in &mut askers {
        stream.write_all(b"0").unwrap();
        assert_eq!(status_line(stream), "HTTP/1.1 200");
    }
}

#[test]
fn a_body_that_does_not_come_in_time_is_not_called_wrong() {
    let mut service = Service::start();
    service.restart_within(Limits { body: Duration::from_millis(100), ..Limits::default() });
    let secret = service.package(A);
    let mut stream = service.public_connection();
    begin_submission(&mut stream, &secret, 100, b"{");
    assert_eq!(status_line(&mut stream), "HTTP/1.1 408");
}

#[test]
fn who_sends_a_large_body_slowly_holds_up_large_bodies_only() {
    let service = limited(|limits| limits.requests_under_way = 1);
    let secret = service.package(A);
    let large = vec![b' '; 20_000];
    let ask =
        || service.public().send("POST", "/requests/status", &[("Content-Type", "application/json")], Some(&large));
    let head = format!(
        "POST {API}/requests/status HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {BATCH_BODY_LIMIT}\r\n\r\n"
    );
    let mut slow = service.public_connection();
    slow.write_all(head.as_bytes()).unwrap();
    slow.write_all(&large).unwrap();
    let unavailable = until(ask, |reply| reply.status == 503);
    unavailable.is_problem(ProblemCode::Unavailable);
    assert_eq!(unavailable.header("retry-after"), Some("5"));
    assert_eq!(service.public().submit(&secret, None, &Draft::workstation(A, "PC-1")).status, 201);
    drop(slow);
    until(ask, |reply| reply.status == 400);
}

/// Begins to ask for the state of a certificate.
fn begin_asking(stream: &mut (impl Read + Write)) {
    let head = format!(
        "POST {API}/ca/ocsp HTTP/1.1\r\nHost: x\r\nContent-Type: application/ocsp-request\r\nContent-Length: 2\r\n\
         Expect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(status_line(stream), "HTTP/1.1 100");
    stream.read_exact(&mut [0; " Continue\r\n\r\n".len()]).unwrap();
    stream.write_all(b"0").unwrap();
}

/// The next answer's status line as far as its number.
fn status_line(stream: &mut impl Read) -> String {
    let mut line = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut line).unwrap();
    String::from_utf8_lossy(&line).into_owned()
}

/// Asks until the reply is as expected.
fn until(ask: impl Fn() -> Reply, expected: impl Fn(&Reply) -> bool) -> Reply {
    let started = Instant::now();
    loop {
        let reply = ask();
        if expected(&reply) {
            return reply;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "still {}", reply.text());
    }
}
