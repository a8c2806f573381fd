//! A thousand enrollments through a network that spoils nearly every second exchange: complete and single in the end.
//!
//! Which fault meets the next request follows from a seed, which is printed and taken from `PTC_FAULT_SEED`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ptc_enroll::protocol::request::Kind;
use serde_json::Value;
use x509_parser::prelude::{FromDer, X509Certificate, X509CertificationRequest, parse_x509_pem};

use crate::support::chance::{Chance, seed};
use crate::support::proxy::Fault;
use crate::support::service::{A, Draft};
use crate::support::site::{FIELDS, Machine, Run, Site};

/// Homes that submit for servers, how often each does, and for how many at a time.
const HOMES: usize = 9;
const ROUNDS: usize = 10;
const SERVERS: usize = 10;
/// Machines that enrol themselves.
const WORKSTATIONS: usize = 100;
/// Clients at the same time.
const CLIENTS: usize = 12;
/// Of a hundred exchanges, how many meet a fault.
const FAULTY: usize = 45;
/// How often a person would type a command again.
const PATIENCE: usize = 8;

/// The faults, each with its name in the summary.
fn faults() -> Vec<(&'static str, Fault)> {
    vec![
        ("delayed", Fault::Delay(Duration::from_millis(100))),
        ("request dripped", Fault::DripRequest),
        ("answer dripped", Fault::DripAnswer),
        ("duplicated", Fault::Duplicate),
        ("request lost", Fault::LoseRequest),
        ("request cut", Fault::CutRequest),
        ("answer lost", Fault::LoseAnswer),
        ("answer cut", Fault::Truncate),
        ("request garbled", Fault::GarbleRequest),
        ("answer garbled", Fault::GarbleAnswer),
        ("503", Fault::busy(0)),
        ("429", Fault::too_many(0)),
        ("portal", Fault::portal()),
    ]
}

#[test]
fn a_thousand_enrollments_end_complete_and_single() {
    let seed = seed("PTC_FAULT_SEED");
    println!("PTC_FAULT_SEED={seed}");
    let site = Site::builder().behind_proxy().serve(&["--auto-approve"]).start();
    let met = Arc::new(Mutex::new(BTreeMap::new()));
    let counts = met.clone();
    let (mut chance, faults) = (Chance(seed), faults());
    site.proxy.as_ref().unwrap().next(std::iter::from_fn(move || {
        let (name, fault) = match chance.below(100) < FAULTY {
            true => faults[chance.below(faults.len())].clone(),
            false => ("none", Fault::Pass),
        };
        *counts.lock().unwrap().entry(name).or_insert(0) += 1;
        Some(fault)
    }));

    let first = site.workstation("pc");
    let machines: Vec<Machine> =
        (0..HOMES + WORKSTATIONS).map(|index| first.copied_to(&site.folder().join(format!("pc-{index}")))).collect();
    let (next, given_up) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while let Some((index, machine)) = take(&machines, &next) {
                    let tries = if index < HOMES { enroll_servers(machine, index) } else { enroll(machine, index) };
                    given_up.fetch_add(tries, Ordering::Relaxed);
                }
            });
        }
    });
    let met = met.lock().unwrap();
    let (all, unspoilt): (usize, usize) = (met.values().sum(), met["none"]);
    println!("{all} exchanges, {} faulty: {met:?}; {given_up:?} commands given up and typed again", all - unspoilt);
    assert!(met.len() == 14 && (all - unspoilt) * 3 > all, "{met:?}");

    are_single(&site);
    let (servers, workstations) = machines.split_at(HOMES);
    let downloads: Vec<PathBuf> = servers.iter().flat_map(downloads_that_fit).collect();
    assert_eq!(downloads.len(), HOMES * ROUNDS * SERVERS);
    let mut openssl = Command::new("openssl");
    openssl.args(["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile"]).arg(site.anchor());
    // Behind each certificate stands its issuer, the same for all.
    Run::of(openssl.arg("-untrusted").arg(&downloads[0]).args(&downloads)).exits(0);
    for machine in workstations {
        assert_eq!((machine.keys().len(), machine.records().len()), (1, 1), "{}", machine.home.display());
        // The certificate works, with the key that was made for it.
        machine.run(["test"]).exits(0);
    }
}

fn take<'a>(machines: &'a [Machine], next: &AtomicUsize) -> Option<(usize, &'a Machine)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    machines.get(index).map(|machine| (index, machine))
}

/// Submits CSRs of servers and downloads their certificates; says how often a command was given up.
fn enroll_servers(machine: &Machine, home: usize) -> usize {
    (0..ROUNDS)
        .map(|round| {
            let folder = machine.home.join(format!("csrs-{round}"));
            fs::create_dir(&folder).unwrap();
            for server in 0..SERVERS {
                let name = format!("s{home}-{round}-{server}.poste.example");
                let draft = Draft::new(A, Kind::ExternalServer, &name);
                fs::write(folder.join(format!("{name}.csr")), draft.submission.csr.0).unwrap();
            }
            until_done(machine, &["submit-external", folder.to_str().unwrap(), FIELDS[0]])
                + until_done(machine, &["fetch"])
        })
        .sum()
}

/// Enrolls a machine itself; says how often a command was given up.
fn enroll(machine: &Machine, index: usize) -> usize {
    let name = format!("--common-name=PC-{index}");
    let [email, locality, key, _] = FIELDS;
    until_done(machine, &["submit", email, locality, key, &name]) + until_done(machine, &["fetch"])
}

/// Types a command again as long as it ends as one whose network failed, and says how often.
fn until_done(machine: &Machine, arguments: &[&str]) -> usize {
    for attempt in 0..PATIENCE {
        let run = machine.run(arguments);
        match run.code {
            0 => return attempt,
            6 => {}
            _ => drop(run.exits(0)),
        }
    }
    panic!("{arguments:?} in {} never ends well", machine.home.display());
}

/// Of every name one request, which is complete, with one certificate of its own.
fn are_single(site: &Site) {
    let requests = listed(site, "request");
    let count = HOMES * ROUNDS * SERVERS + WORKSTATIONS;
    let texts = |rows: &[Value], field: &str| rows.iter().map(|row| row[field].to_string()).collect::<BTreeSet<_>>();
    assert_eq!((requests.len(), texts(&requests, "common_name").len()), (count, count));
    let of_kind = |kind: &str, state: &str| {
        requests.iter().filter(|request| request["kind"] == kind && request["state"] == state).count()
    };
    assert_eq!(of_kind("external-server", "downloaded"), count - WORKSTATIONS);
    assert_eq!(of_kind("workstation", "installed"), WORKSTATIONS);
    // The service and the manager have certificates too, which no request is behind.
    let certificates: Vec<Value> =
        listed(site, "certificate").into_iter().filter(|certificate| certificate["request"].is_u64()).collect();
    assert_eq!(certificates.len(), count);
    assert_eq!((texts(&certificates, "request").len(), texts(&certificates, "serial").len()), (count, count));
}

/// A whole list of the administrator's, page by page.
fn listed(site: &Site, what: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut after = "0".to_owned();
    loop {
        let run = site.admin(["--output=json", what, "list", "--limit=200", "--after", &after]);
        let page = run.exits(0).json()["result"].clone();
        rows.extend(page["items"].as_array().unwrap_or_else(|| panic!("{page}")).iter().cloned());
        match page["next"].as_u64() {
            Some(next) => after = next.to_string(),
            None => return rows,
        }
    }
}

/// The certificates that were downloaded, each for the key in the CSR of its name; nothing else is left over.
fn downloads_that_fit(machine: &Machine) -> Vec<PathBuf> {
    assert!(machine.keys().is_empty() && machine.records().len() == ROUNDS * SERVERS);
    let entries = fs::read_dir(machine.home.join("config/test")).unwrap().map(|entry| entry.unwrap().path());
    let downloads: Vec<PathBuf> = entries.filter(|path| name(path).starts_with("request-")).collect();
    for path in &downloads {
        let host = name(path).splitn(3, '-').nth(2).unwrap().strip_suffix(".pem").unwrap();
        let round = host.split('-').nth(1).unwrap();
        let csr = fs::read(machine.home.join(format!("csrs-{round}/{host}.csr"))).unwrap();
        let (_, csr) = X509CertificationRequest::from_der(&csr).unwrap();
        let (_, pem) = parse_x509_pem(&fs::read(path).unwrap()).unwrap();
        let (_, certificate) = X509Certificate::from_der(&pem.contents).unwrap();
        let key = &csr.certification_request_info.subject_pki.subject_public_key;
        assert_eq!(&certificate.public_key().subject_public_key, key, "{host} has another's certificate");
    }
    downloads
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}
