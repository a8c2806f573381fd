//! What `check_csr` costs; `tests/bench/run` puts it into its table.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that cannot go on panics, and prints")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use ptc_enroll::client::csr::build;
use ptc_enroll::client::keys::KeyAlgorithm;
use ptc_enroll::protocol::request::Kind;
use ptc_enroll::protocol::rules::{Expectation, check_csr};
use ptc_enroll::protocol::subject::Subject;

const ORGANISATION: &str = "J1CFRA - FRANCE LA POSTE";

fn main() {
    let kind = Kind::Workstation;
    let subject = Subject {
        country: "FR".to_owned(),
        region: "Île-de-France".to_owned(),
        locality: "Paris".to_owned(),
        organisation: ORGANISATION.to_owned(),
        organisational_unit: kind.organisational_unit().to_owned(),
        common_name: "001A2B3C4D5E-BFEBFBFF000906EA-1".to_owned(),
    };
    let expectation = Expectation { kind, organisation: ORGANISATION, country: "FR" };
    for algorithm in KeyAlgorithm::ALL {
        let csr = build(&subject, kind, "admin@poste.example", algorithm, &algorithm.start_search().finish().unwrap())
            .unwrap();
        let name = check_csr(&csr, &expectation).unwrap().key().to_string();
        let mut runs: Vec<Duration> = (0..501)
            .map(|_| {
                let start = Instant::now();
                black_box(check_csr(black_box(&csr), &expectation)).unwrap();
                start.elapsed()
            })
            .collect();
        runs.sort_unstable();
        println!("check_csr {name}: {:.1} µs", runs[runs.len() / 2].as_secs_f64() * 1e6);
    }
}
