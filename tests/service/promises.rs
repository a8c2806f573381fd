//! What must be so whatever was killed, and when: the first four promises of docs/security.md, looked at from outside.
//!
//! The database is read with queries of the tests' own; what clients were told is held against it.

use std::collections::{BTreeMap, BTreeSet};

use ptc_enroll::protocol::messages::RequestStatus;
use ptc_enroll::protocol::request::{RequestNumber, State};
use ptc_enroll::protocol::secret::hex;
use ptc_enroll::service::app::App;
use ptc_enroll::service::audit::{Verdict, verify};
use ptc_enroll::service::db::Connection;
use serde_json::Value;
use sqlx::FromRow;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use tokio::runtime::Runtime;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate, X509CertificationRequest};

use crate::support::service::Service;

/// The record of an installation, open to be read.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    pub app: &'a App,
    pub runtime: &'a Runtime,
}

/// What clients and managers were told, so that nothing may take it back.
#[derive(Debug, Default)]
pub struct Told {
    /// The SHA-256 of the CSR of each request, and how far it was when somebody was told last.
    requests: BTreeMap<RequestNumber, (String, State)>,
    /// Certificates that somebody has (DER), by request.
    certificates: BTreeMap<RequestNumber, Vec<u8>>,
    /// The highest number of a revocation list that somebody has.
    list: i64,
}

impl Told {
    /// Somebody was told where their request stands.
    pub fn status(&mut self, csr_sha256: &str, status: &RequestStatus) {
        self.decided(csr_sha256, status.number, status.state);
        if let Some(issued) = &status.issued {
            let before = self.certificates.insert(status.number, issued.certificate.0.clone());
            assert!(
                before.is_none_or(|before| before == issued.certificate.0),
                "two certificates for {}",
                status.number
            );
        }
    }

    /// Somebody was told that a request is in a state.
    pub fn decided(&mut self, csr_sha256: &str, number: RequestNumber, state: State) {
        let known = self.requests.entry(number).or_insert_with(|| (csr_sha256.to_owned(), state));
        assert_eq!(known.0, csr_sha256, "two requests under the number {number}");
        assert!(leads_to(known.1, state), "request {number} went from {:?} back to {state:?}", known.1);
        known.1 = state;
    }

    /// Somebody has a revocation list.
    pub fn list(&mut self, der: &[u8]) {
        let number = list_number(der);
        assert!(number >= self.list, "list {number} after {}", self.list);
        self.list = number;
    }

    /// The serial number of a certificate that somebody has.
    pub fn serial(&self, number: RequestNumber) -> String {
        let (_, certificate) = X509Certificate::from_der(&self.certificates[&number]).unwrap();
        hex(certificate.raw_serial())
    }

    /// How many requests somebody was told of.
    pub fn len(&self) -> usize {
        self.requests.len()
    }
}

/// Whether a request may come from one state to another, at once or by steps.
fn leads_to(from: State, to: State) -> bool {
    from == to || State::ALL.into_iter().any(|next| from.may_become(next) && leads_to(next, to))
}

/// Each must find nothing.
const NEVER: [(&str, &str); 13] = [
    ("a submission made two requests", "SELECT csr_sha256 FROM requests GROUP BY csr_sha256 HAVING count(*) > 1"),
    (
        "an identity waits twice",
        "SELECT identity FROM requests WHERE state = 'pending' GROUP BY organisation, kind, identity HAVING count(*) > 1",
    ),
    (
        "a request has two certificates",
        "SELECT min(serial) FROM certificates GROUP BY request HAVING count(request) > 1",
    ),
    (
        "a request was decided on twice",
        "SELECT object FROM audit WHERE action IN ('request.approve', 'request.reject') GROUP BY object HAVING count(*) > 1",
    ),
    (
        "a certificate was signed twice",
        "SELECT object FROM audit WHERE action = 'certificate.issue' GROUP BY object HAVING count(*) > 1",
    ),
    (
        "a certificate was signed and nobody wrote it down",
        "SELECT serial FROM certificates WHERE der IS NOT NULL
         AND 'certificate:' || serial NOT IN (SELECT object FROM audit WHERE action = 'certificate.issue')",
    ),
    (
        "a signature was written down and is not there",
        "SELECT object FROM audit WHERE action = 'certificate.issue'
         AND object NOT IN (SELECT 'certificate:' || serial FROM certificates WHERE der IS NOT NULL)",
    ),
    (
        "a request is approved without a certificate, or has one without being approved",
        "SELECT common_name FROM requests LEFT JOIN certificates ON request = number
         WHERE (requests.state IN ('approved', 'installed', 'downloaded', 'revoked')) <> (serial IS NOT NULL)",
    ),
    (
        "a certificate is revoked and its request is not, or the other way round",
        "SELECT serial FROM certificates JOIN requests ON request = number
         WHERE (revoked_at IS NOT NULL) <> (state = 'revoked')",
    ),
    (
        "a revocation was not written down, or written down twice",
        "SELECT serial FROM certificates
         WHERE (revoked_at IS NOT NULL) <> (1 = (SELECT count(*) FROM audit
             WHERE action = 'certificate.revoke' AND object = 'certificate:' || serial))",
    ),
    (
        "a request was not written down",
        "SELECT common_name FROM requests
         WHERE 'request:' || number NOT IN (SELECT object FROM audit WHERE action = 'request.submit')",
    ),
    (
        "a manager has a certificate that nobody asked for",
        "SELECT serial FROM certificates WHERE manager IS NOT NULL AND NOT EXISTS (SELECT 1 FROM audit
             WHERE action IN ('manager.add', 'manager.reissue') AND detail LIKE '%' || serial || '%')",
    ),
    (
        "a cancelled request does not say by which one, or that one does not say so",
        "SELECT old.common_name FROM requests AS old LEFT JOIN requests AS new ON new.number = old.replaced_by
         WHERE (old.state = 'cancelled') <> (old.replaced_by IS NOT NULL AND new.replaces = old.number)",
    ),
];

/// Of a service that has come back and has no bulk decision to work on.
const NEVER_AT_REST: (&str, &str) = (
    "a certificate on record is not signed",
    "SELECT serial FROM certificates WHERE der IS NULL AND revoked_at IS NULL",
);

/// A certificate on record with the request that it is for.
#[derive(FromRow)]
struct Certified {
    serial: String,
    tbs: Vec<u8>,
    der: Option<Vec<u8>>,
    request: Option<i64>,
    csr_sha256: Option<String>,
    csr: Option<Vec<u8>>,
}

impl<'a> Record<'a> {
    /// The record of a service.
    pub fn of(service: &'a Service) -> Self {
        Self { app: &service.app, runtime: &service.runtime }
    }

    /// The rows that a query finds.
    pub fn rows<T>(&self, query: &'static str) -> Vec<T>
    where
        T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.runtime.block_on(async {
            match &mut *self.app.database().read().await.unwrap() {
                Connection::Sqlite(connection) => sqlx::query_as(query).fetch_all(&mut **connection).await,
                Connection::Postgres(connection) => sqlx::query_as(query).fetch_all(&mut **connection).await,
            }
            .unwrap()
        })
    }

    /// Insists on all promises, and that nothing is left undone.
    #[track_caller]
    pub fn keeps_all(&self, told: &Told) {
        let (what, query) = NEVER_AT_REST;
        assert_eq!(self.rows::<(String,)>(query), [], "{what}");
        self.keeps(told);
    }

    /// Insists on all promises.
    #[track_caller]
    pub fn keeps(&self, told: &Told) {
        for (what, query) in NEVER {
            assert_eq!(self.rows::<(String,)>(query), [], "{what}");
        }
        self.counts_what_is_there();
        self.signed_what_was_approved();
        self.lists_what_is_revoked(told);
        self.has_what_was_told(told);
        let verdict = self.runtime.block_on(verify(self.app.database())).unwrap();
        assert!(matches!(verdict, Verdict::Intact { .. }), "{verdict:?}");
    }

    /// Nothing acknowledged is lost.
    #[track_caller]
    pub fn has_what_was_told(&self, told: &Told) {
        let rows: Vec<(i64, String, String)> = self.rows("SELECT number, csr_sha256, state FROM requests");
        let rows: BTreeMap<i64, (String, String)> =
            rows.into_iter().map(|(number, csr, state)| (number, (csr, state))).collect();
        for (number, (csr_sha256, state)) in &told.requests {
            let (stored, present) = rows.get(&(number.0 as i64)).unwrap_or_else(|| panic!("request {number} is lost"));
            assert_eq!(stored, csr_sha256, "request {number}");
            assert!(leads_to(*state, present.parse().unwrap()), "request {number} is {present} and was {state:?}");
        }
        let rows: Vec<(i64, Option<Vec<u8>>)> =
            self.rows("SELECT request, der FROM certificates WHERE request IS NOT NULL");
        let rows: BTreeMap<i64, Option<Vec<u8>>> = rows.into_iter().collect();
        for (number, der) in &told.certificates {
            assert_eq!(
                rows[&(number.0 as i64)].as_ref(),
                Some(der),
                "the certificate of {number} is not the one given out"
            );
        }
    }

    fn counts_what_is_there(&self) {
        let counted: Vec<(String, String, String, i64)> =
            self.rows("SELECT organisation, kind, state, requests FROM request_counts WHERE requests <> 0");
        let there: Vec<(String, String, String, i64)> =
            self.rows("SELECT organisation, kind, state, count(*) FROM requests GROUP BY organisation, kind, state");
        let (counted, there): (BTreeSet<_>, BTreeSet<_>) = (counted.into_iter().collect(), there.into_iter().collect());
        assert_eq!(counted, there, "the counts are not those of the requests");
        let counted: Vec<(String, String, i64)> =
            self.rows("SELECT kind, state, requests FROM request_totals WHERE requests <> 0 ORDER BY kind, state");
        let there: Vec<(String, String, i64)> =
            self.rows("SELECT kind, state, count(*) FROM requests GROUP BY kind, state ORDER BY kind, state");
        assert_eq!(counted, there, "the totals are not those of the requests");
    }

    /// Nothing is signed that was not approved, byte for byte.
    fn signed_what_was_approved(&self) {
        let approvals: Vec<(String, String)> =
            self.rows("SELECT object, detail FROM audit WHERE action = 'request.approve'");
        let approvals: BTreeMap<String, Value> =
            approvals.into_iter().map(|(object, detail)| (object, serde_json::from_str(&detail).unwrap())).collect();
        let issuing = self.app.ca().issuing().to_vec();
        let (_, issuer) = X509Certificate::from_der(&issuing).unwrap();
        let mut serials = BTreeSet::new();
        let rows: Vec<Certified> = self.rows(
            "SELECT serial, tbs, der, request, csr_sha256, csr
             FROM certificates LEFT JOIN requests ON number = request",
        );
        for Certified { serial, tbs, der, request, csr_sha256, csr } in rows {
            if let Some(number) = request {
                let approval = approvals.get(&format!("request:{number}"));
                let approval =
                    approval.unwrap_or_else(|| panic!("{serial} was recorded, and nobody approved {number}"));
                assert_eq!(approval["serial"], serial.as_str(), "request {number}");
                assert_eq!(approval["csr_sha256"].as_str(), csr_sha256.as_deref(), "request {number}");
            }
            let Some(der) = der else { continue };
            let (_, certificate) = X509Certificate::from_der(&der).unwrap();
            assert_eq!(certificate.tbs_certificate.as_ref(), tbs, "{serial} was signed as something else");
            assert_eq!(hex(certificate.raw_serial()), serial);
            certificate.verify_signature(Some(issuer.public_key())).unwrap();
            assert!(serials.insert(serial.clone()), "{serial} is there twice");
            if let Some(csr) = csr {
                let (_, csr) = X509CertificationRequest::from_der(&csr).unwrap();
                let key = &csr.certification_request_info.subject_pki;
                assert_eq!(certificate.public_key().raw, key.raw, "{serial} is for another key");
            }
        }
    }

    /// Everything revoked is on the list, whose number only grows.
    fn lists_what_is_revoked(&self, told: &Told) {
        let published: Vec<(String,)> =
            self.rows("SELECT object FROM audit WHERE action = 'crl.publish' ORDER BY sequence");
        let numbers: Vec<i64> =
            published.iter().map(|(object,)| object.strip_prefix("crl:").unwrap().parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
        let lists: Vec<(i64, Vec<u8>, i64)> = self.rows("SELECT number, der, revocation FROM crls");
        let [(number, der, revocation)] = &lists[..] else { panic!("{} lists", lists.len()) };
        assert_eq!(numbers.last(), Some(number));
        assert_eq!(list_number(der), *number);
        assert!(*number >= told.list, "somebody has list {} and {number} is the last one", told.list);
        let revoked: Vec<(String, i64)> =
            self.rows("SELECT serial, revocation FROM certificates WHERE revocation IS NOT NULL ORDER BY revocation");
        let order: Vec<i64> = revoked.iter().map(|(_, revocation)| *revocation).collect();
        assert_eq!(order, (1..=order.len() as i64).collect::<Vec<_>>(), "revocations are numbered without a gap");
        // Those that came after it are on the next one, which is made when the service has come back.
        let due: BTreeSet<String> =
            revoked.into_iter().filter(|(_, number)| number <= revocation).map(|(serial, _)| serial).collect();
        let (_, list) = CertificateRevocationList::from_der(der).unwrap();
        let listed = list.iter_revoked_certificates().map(|entry| hex(entry.raw_serial()));
        let listed: BTreeSet<String> = listed.collect();
        assert!(due.is_subset(&listed), "{due:?} are revoked and {listed:?} listed");
    }
}

/// Whether a serial number is on a revocation list (DER).
pub fn is_on(list: &[u8], serial: &str) -> bool {
    let (_, list) = CertificateRevocationList::from_der(list).unwrap();
    list.iter_revoked_certificates().any(|entry| hex(entry.raw_serial()) == serial)
}

fn list_number(der: &[u8]) -> i64 {
    let (_, list) = CertificateRevocationList::from_der(der).unwrap();
    list.crl_number().unwrap().to_string().parse().unwrap()
}
