//! Writes submissions for a load: one a line, or as many in a batch a line; `tests/bench/run` sends them.
//!
//! Each has a name of its own, and with EC a key of its own; RSA keys take too long to make, so that all have one.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on panics")]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::thread;

use ptc_enroll::client::csr::build;
use ptc_enroll::client::keys::{KeyAlgorithm, PrivateKey};
use ptc_enroll::protocol::messages::{Contact, Der, MachineDetails, Submission};
use ptc_enroll::protocol::request::Kind;
use ptc_enroll::protocol::secret::Secret;
use ptc_enroll::protocol::subject::Subject;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyUsagePurpose};
use serde_json::{Value, json};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [kind, algorithm, prefix, count, batch, file] = &arguments[..] else {
        // `cargo bench` runs every measurement; this one is none by itself.
        return;
    };
    let algorithm: KeyAlgorithm = KeyAlgorithm::ALL.into_iter().find(|known| known.to_string() == *algorithm).unwrap();
    let kind: Kind = kind.parse().unwrap();
    let (count, batch): (usize, usize) = (count.parse().unwrap(), batch.parse().unwrap());
    let shared = (!matches!(algorithm, KeyAlgorithm::EcP256 | KeyAlgorithm::EcP384)).then(|| new_key(algorithm));
    let processors = thread::available_parallelism().unwrap().get();
    let share = count.div_ceil(processors).next_multiple_of(batch);
    let lines: Vec<Vec<u8>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .step_by(share)
            .map(|first| {
                let numbers = first..count.min(first + share);
                let shared = shared.as_ref();
                scope.spawn(move || lines(kind, algorithm, shared, prefix, numbers, batch))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut file = BufWriter::new(File::create(file).unwrap());
    for part in lines {
        file.write_all(&part).unwrap();
    }
    file.flush().unwrap();
}

fn new_key(algorithm: KeyAlgorithm) -> PrivateKey {
    algorithm.start_search().finish().unwrap()
}

fn lines(
    kind: Kind,
    algorithm: KeyAlgorithm,
    shared: Option<&PrivateKey>,
    prefix: &str,
    numbers: std::ops::Range<usize>,
    batch: usize,
) -> Vec<u8> {
    let mut lines = Vec::new();
    let numbers: Vec<usize> = numbers.collect();
    for numbers in numbers.chunks(batch) {
        let mut submissions = numbers.iter().map(|number| {
            let name = format!("{prefix}-{number}.poste.example");
            match shared {
                Some(key) => submission(kind, algorithm, key, &name),
                None => submission(kind, algorithm, &new_key(algorithm), &name),
            }
        });
        let line: Value = match batch {
            1 => submissions.next().unwrap(),
            _ => json!({ "submissions": submissions.collect::<Vec<_>>() }),
        };
        serde_json::to_writer(&mut lines, &line).unwrap();
        lines.push(b'\n');
    }
    lines
}

fn submission(kind: Kind, algorithm: KeyAlgorithm, key: &PrivateKey, name: &str) -> Value {
    let subject = Subject {
        country: "FR".to_owned(),
        region: "Île-de-France".to_owned(),
        locality: "Paris".to_owned(),
        organisation: "J1CFRA - FRANCE LA POSTE".to_owned(),
        organisational_unit: kind.organisational_unit().to_owned(),
        common_name: name.to_owned(),
    };
    let submission = Submission {
        kind,
        csr: Der(match kind {
            Kind::ExternalServer => build_external(&subject, key),
            _ => build(&subject, kind, "admin@poste.example", algorithm, key).unwrap(),
        }),
        token_sha256: Secret::random().unwrap().fingerprint(),
        machine: MachineDetails { host_name: name.to_owned(), ..MachineDetails::default() },
        contact: Contact { email: "admin@poste.example".to_owned(), ..Contact::default() },
    };
    let mut value = serde_json::to_value(submission).unwrap();
    value["idempotency_key"] = format!("key-{name}").into();
    value
}

/// As somebody's web server makes one; the client never does.
fn build_external(subject: &Subject, key: &PrivateKey) -> Vec<u8> {
    let mut params = CertificateParams::new([subject.common_name.clone()]).unwrap();
    params.distinguished_name = subject.to_distinguished_name().unwrap();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.serialize_request(key.pair()).unwrap().der().to_vec()
}
