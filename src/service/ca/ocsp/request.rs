//! What is asked (RFC 6960 §4.1).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

use crate::protocol::der::{self, Value};
use crate::service::ca::{Ca, CaError};

/// More certificates than this in one request are an attempt to have many states signed at once; RFC 5019 §2.1.1 asks for
/// one.
const CERTIFICATES_LIMIT: usize = 16;
/// Longer nonces are refused (RFC 9654 §2.1).
const NONCE_REFUSED: usize = 128;
/// Longer nonces are not answered; every responder answers up to this (RFC 9654 §2.1).
pub const NONCE_LIMIT: usize = 32;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// id-pkix-ocsp-nonce, 1.3.6.1.5.5.7.48.1.2.
pub(super) const NONCE: [u8; 9] = [43, 6, 1, 5, 5, 7, 48, 1, 2];

/// The request is not what RFC 6960 describes, or asks for more than this responder answers.
#[derive(Debug, thiserror::Error)]
#[error("not an OCSP request")]
pub struct Malformed;

/// Which certificate is meant (CertID). It is answered as it was asked, with or without the parameters of its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertId {
    pub(super) algorithm: Vec<u8>,
    pub(super) name: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) serial: Vec<u8>,
}

impl CertId {
    /// The serial number's octets.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }
}

/// One of the few ways in which a request can name this CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Form(u8);

impl Form {
    /// Every form.
    pub const ALL: [Self; 4] = [Self(0), Self(1), Self(2), Self(3)];
}

/// How requests name a CA: by SHA-1, which identifies here and secures nothing (RFC 5019 §2.1.1), or SHA-256 of its name
/// and of its key, each with the parameters NULL or none.
#[derive(Debug)]
pub struct Issuer(Vec<[Vec<u8>; 3]>);

impl Issuer {
    /// The forms of the issuing CA.
    pub fn new(ca: &Ca) -> Result<Self, CaError> {
        const SHA1_OID: &[u8] = &[43, 14, 3, 2, 26];
        const SHA256_OID: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
        let digests = [(SHA1_OID, &SHA1_FOR_LEGACY_USE_ONLY), (SHA256_OID, &SHA256)];
        let forms = digests.into_iter().flat_map(|(oid, algorithm)| {
            let hash = |content: &[u8]| digest(algorithm, content).as_ref().to_vec();
            let name = hash(&ca.issuing.subject);
            // Of the BIT STRING without its header (RFC 6960 §4.1.1).
            let key = hash(&ca.issuing.subject_public_key);
            [[0x05, 0].as_slice(), &[]].map(|parameters| {
                [[&[OBJECT_IDENTIFIER, oid.len() as u8], oid, parameters].concat(), name.clone(), key.clone()]
            })
        });
        Ok(Self(forms.collect()))
    }

    /// In which form a request names this CA, if it does.
    pub fn form(&self, id: &CertId) -> Option<Form> {
        let place = self
            .0
            .iter()
            .position(|[algorithm, name, key]| id.algorithm == *algorithm && id.name == *name && id.key == *key);
        place.and_then(|place| Form::ALL.get(place).copied())
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// About which certificates: one or more.
    pub certificates: Vec<CertId>,
    /// What the response is to repeat, 1 to 128 octets.
    pub nonce: Option<Vec<u8>>,
}

impl Request {
    /// Reads an OCSPRequest. A signature of the requester's is not looked at: everybody may ask.
    ///
    /// # Errors
    /// Whatever is not DER throughout, has an unknown critical extension, a nonce of a length that RFC 9654 has refused,
    /// or more certificates than are answered at once.
    pub fn read(request: &[u8]) -> Result<Self, Malformed> {
        der::check(request).map_err(|_| Malformed)?;
        let mut request = Parts(der::values(request).next().ok_or(Malformed)?.of(SEQUENCE)?.content);
        let mut asked = Parts(request.take(SEQUENCE)?);
        signature(request.take_if(0xa0))?;
        request.end()?;

        // Version 1, though DER leaves it out, is written by some.
        if asked.take_if(0xa0).is_some_and(|version| version != [INTEGER, 1, 0]) {
            return Err(Malformed);
        }
        requestor(asked.take_if(0xa1))?;
        let mut certificates = Vec::new();
        for one in der::values(asked.take(SEQUENCE)?) {
            let mut one = Parts(one.of(SEQUENCE)?.content);
            certificates.push(cert_id(one.take(SEQUENCE)?)?);
            extensions(one.take_if(0xa0))?;
            one.end()?;
        }
        let nonce = extensions(asked.take_if(0xa2))?;
        asked.end()?;
        match certificates.len() {
            1..=CERTIFICATES_LIMIT => Ok(Self { certificates, nonce }),
            _ => Err(Malformed),
        }
    }
}

/// optionalSignature (RFC 6960 §4.1.1), of which only the form is looked at.
fn signature(tagged: Option<&[u8]>) -> Result<(), Malformed> {
    let Some(tagged) = tagged else { return Ok(()) };
    let mut tagged = Parts(tagged);
    let mut signature = Parts(tagged.take(SEQUENCE)?);
    tagged.end()?;
    signature.take(SEQUENCE)?;
    signature.take(BIT_STRING)?;
    if let Some(certificates) = signature.take_if(0xa0) {
        let mut certificates = Parts(certificates);
        certificates.take(SEQUENCE)?;
        certificates.end()?;
    }
    signature.end()
}

/// requestorName, one GeneralName (RFC 5280 §4.2.1.6): by its tag a type of [0] to [8], those of several values constructed.
fn requestor(tagged: Option<&[u8]>) -> Result<(), Malformed> {
    let Some(tagged) = tagged else { return Ok(()) };
    match der::split(tagged) {
        Ok((Value { tag: 0xa0 | 0x81 | 0x82 | 0xa3..=0xa5 | 0x86..=0x88, .. }, [])) => Ok(()),
        _ => Err(Malformed),
    }
}

fn cert_id(content: &[u8]) -> Result<CertId, Malformed> {
    let mut parts = Parts(content);
    let id = CertId {
        algorithm: parts.take(SEQUENCE)?.to_vec(),
        name: parts.take(OCTET_STRING)?.to_vec(),
        key: parts.take(OCTET_STRING)?.to_vec(),
        serial: parts.take(INTEGER)?.to_vec(),
    };
    parts.end()?;
    Ok(id)
}

/// The nonce among the Extensions, of which others are passed over unless they are critical (RFC 6960 §4.4).
fn extensions(tagged: Option<&[u8]>) -> Result<Option<Vec<u8>>, Malformed> {
    let Some(tagged) = tagged else { return Ok(None) };
    let mut tagged = Parts(tagged);
    let extensions = tagged.take(SEQUENCE)?;
    // SIZE (1..MAX) (RFC 5280 §4.1).
    if extensions.is_empty() {
        return Err(Malformed);
    }
    let mut nonce = None;
    for extension in der::values(extensions) {
        let mut extension = Parts(extension.of(SEQUENCE)?.content);
        let oid = extension.take(OBJECT_IDENTIFIER)?;
        let critical = extension.take_if(0x01).is_some_and(|critical| critical != [0]);
        let value = extension.take(OCTET_STRING)?;
        extension.end()?;
        if oid == NONCE {
            let mut value = Parts(value);
            let octets = value.take(OCTET_STRING)?;
            value.end()?;
            if octets.is_empty() || octets.len() > NONCE_REFUSED || nonce.replace(octets.to_vec()).is_some() {
                return Err(Malformed);
            }
        } else if critical {
            return Err(Malformed);
        }
    }
    tagged.end()?;
    Ok(nonce)
}

/// The values of a SEQUENCE, one after the other.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn take(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        self.take_if(tag).ok_or(Malformed)
    }

    fn take_if(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (value, rest) = der::split(self.0).ok()?;
        (value.tag == tag).then(|| {
            self.0 = rest;
            value.content
        })
    }

    fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

impl Value<'_> {
    fn of(self, tag: u8) -> Result<Self, Malformed> {
        if self.tag == tag { Ok(self) } else { Err(Malformed) }
    }
}
