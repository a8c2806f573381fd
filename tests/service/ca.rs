//! What the CA signs stands before verifiers that were not written here, and what breaks a rule is not signed.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::thread;

use ptc_enroll::locales::Language;
use ptc_enroll::protocol::messages::RevocationCode;
use ptc_enroll::protocol::subject::Subject;
use ptc_enroll::service::ca::{Algorithm, Ca, CaError, KeyAccess, NewCa, Places, Profile, Revoked, Serial, Template};
use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256,
    PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use crate::support::verifiers::{
    CLIENT_AUTH, CODE_SIGNING, OCSP_SIGNING, SERVER_AUTH, openssl, openssl_extensions, openssl_verify, pem,
    pkilint_certificate, pkilint_crl, webpki_revoked, webpki_verify,
};

const NOW: OffsetDateTime = datetime!(2026-07-14 12:00:00 UTC);
const PLACES: [&str; 3] = ["http://ca.ptc.example/crl", "http://ca.ptc.example/ocsp", "https://ca.ptc.example/issuer"];

/// id-pkix-ocsp-nocheck.
const NOCHECK: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 5];

fn places() -> Places {
    let [crl, ocsp, issuer] = PLACES.map(str::to_owned);
    Places { crl, ocsp, issuer }
}

fn ca(algorithm: Algorithm) -> Ca {
    ca_at(algorithm, NOW)
}

fn ca_at(algorithm: Algorithm, now: OffsetDateTime) -> Ca {
    let folder = tempfile::tempdir().unwrap();
    Ca::create(
        &folder.path().join("ca"),
        &NewCa { algorithm, environment: "test", root_crl: Some("http://ca.ptc.example/root-crl") },
        &KeyAccess::default(),
        now,
    )
    .unwrap()
}

fn template(profile: Profile, public_key: Vec<u8>) -> Template {
    let (unit, common_name) = match profile {
        Profile::Workstation => ("Workstation", "001A2B3C4D5E-BFEBFBFF000906EA-5E0C4F2A1B2C4D5E8F90A1B2C3D4E5F6"),
        Profile::Mobile => ("Mobile", "0123456789ABCDEF"),
        Profile::Server | Profile::ExternalServer => ("Server", "api.poste.example"),
        Profile::Manager => ("", "Hélène Ñandú"),
        Profile::Service => ("", "enroll.ptc.example"),
        Profile::PackageSigner => ("", "PTC test Package Signer"),
        Profile::OcspResponder => ("", "PTC test OCSP Responder"),
    };
    let hosts: &[&str] = match profile {
        Profile::Server | Profile::ExternalServer => &["api.poste.example", "api2.poste.example"],
        Profile::Service => &["enroll.ptc.example"],
        _ => &[],
    };
    let own = matches!(profile, Profile::Service | Profile::PackageSigner | Profile::OcspResponder);
    let unless_own = |text: &str| if own { String::new() } else { text.to_owned() };
    Template {
        profile,
        subject: Subject {
            country: unless_own("FR"),
            region: unless_own("Île-de-France"),
            locality: unless_own("Paris"),
            organisation: if own { "PTC".to_owned() } else { "J1CFRA - FRANCE LA POSTE".to_owned() },
            organisational_unit: unit.to_owned(),
            common_name: common_name.to_owned(),
        },
        dns_names: hosts.iter().map(|host| (*host).to_owned()).collect(),
        ip_addresses: if profile == Profile::Service {
            vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()]
        } else {
            Vec::new()
        },
        emails: if own { Vec::new() } else { vec!["admin@poste.example".to_owned()] },
        public_key,
        places: (profile != Profile::OcspResponder).then(places),
    }
}

/// So many years from now.
fn years(years: i32) -> Duration {
    NOW.replace_year(NOW.year() + years).unwrap() - NOW
}

fn ec_key() -> Vec<u8> {
    KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap().subject_public_key_info()
}

fn rsa_key() -> Vec<u8> {
    KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap().subject_public_key_info()
}

fn issue(ca: &Ca, template: &Template, now: OffsetDateTime) -> Vec<u8> {
    ca.sign(&ca.prepare(template, Serial::fresh(now).unwrap(), now).unwrap()).unwrap()
}

fn broken(result: Result<impl std::fmt::Debug, CaError>) -> String {
    match result {
        Err(CaError::Lint { broken }) => broken.join("; "),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_certificate_stands_before_other_verifiers() {
    let keys = [("RSA", rsa_key()), ("EC", ec_key())];
    let mut documents = Vec::new();
    for algorithm in Algorithm::ALL {
        let ca = ca(algorithm);
        openssl_verify(ca.root(), ca.issuing(), ca.issuing(), "any", NOW);
        documents.push((format!("{algorithm} root"), ca.root().to_vec()));
        documents.push((format!("{algorithm} issuing"), ca.issuing().to_vec()));
        for profile in Profile::ALL {
            for (kind, key) in &keys {
                let name = format!("{algorithm} {profile:?} with {kind}");
                let certificate = issue(&ca, &template(profile, key.clone()), NOW);
                let (purpose, usage, usage_name, lifetime) = match profile {
                    Profile::Manager => ("sslclient", CLIENT_AUTH, "TLS Web Client Authentication", years(1)),
                    Profile::Workstation | Profile::Server | Profile::Mobile => {
                        ("sslclient", CLIENT_AUTH, "TLS Web Client Authentication", years(2))
                    }
                    Profile::ExternalServer | Profile::Service => {
                        ("sslserver", SERVER_AUTH, "TLS Web Server Authentication", years(2))
                    }
                    Profile::PackageSigner => ("any", CODE_SIGNING, "Code Signing", years(10)),
                    Profile::OcspResponder => ("ocsphelper", OCSP_SIGNING, "OCSP Signing", Duration::days(14)),
                };
                openssl_verify(ca.root(), ca.issuing(), &certificate, purpose, NOW);
                webpki_verify(ca.root(), ca.issuing(), &certificate, usage, NOW).unwrap();
                for wrong in
                    [CLIENT_AUTH, SERVER_AUTH, CODE_SIGNING, OCSP_SIGNING].into_iter().filter(|other| *other != usage)
                {
                    assert!(webpki_verify(ca.root(), ca.issuing(), &certificate, wrong, NOW).is_err(), "{name}");
                }
                let key_usage = match (profile, *kind) {
                    (Profile::PackageSigner | Profile::OcspResponder, _) | (_, "EC") => {
                        "critical\n    Digital Signature\n"
                    }
                    _ => "critical\n    Digital Signature, Key Encipherment, Data Encipherment\n",
                };
                assert!(openssl_extensions(&certificate, "keyUsage").ends_with(key_usage), "{name}");
                assert!(
                    openssl_extensions(&certificate, "extendedKeyUsage").ends_with(&format!("\n    {usage_name}\n"))
                );
                let said = openssl_extensions(&certificate, "crlDistributionPoints,authorityInfoAccess,noCheck");
                if profile == Profile::OcspResponder {
                    assert!(said.contains("OCSP No Check") && !said.contains("URI"), "{name}: {said}");
                } else {
                    assert!(PLACES.iter().all(|place| said.contains(&format!("URI:{place}"))), "{name}: {said}");
                    assert!(!said.contains("No Check"), "{name}: {said}");
                }
                let (_, read) = X509Certificate::from_der(&certificate).unwrap();
                let end = read.validity().not_after.to_datetime();
                let start = read.validity().not_before.to_datetime();
                assert_eq!(start, NOW - Duration::MINUTE, "{name}");
                assert_eq!(end, start + lifetime, "{name}");
                documents.push((name, certificate));
            }
        }
    }
    // pkilint takes a second to start, so two at a time.
    thread::scope(|scope| {
        for half in documents.chunks(documents.len().div_ceil(2)) {
            scope.spawn(|| half.iter().for_each(|(name, certificate)| pkilint_certificate(name, certificate)));
        }
    });
}

#[test]
fn names_are_those_of_the_template() {
    let ca = ca(Algorithm::EcdsaP256);
    for (profile, expected) in [
        (Profile::Workstation, "email:admin@poste.example"),
        (Profile::ExternalServer, "DNS:api.poste.example, DNS:api2.poste.example, email:admin@poste.example"),
        (Profile::Service, "DNS:enroll.ptc.example, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1"),
    ] {
        let certificate = issue(&ca, &template(profile, ec_key()), NOW);
        assert_eq!(openssl_extensions(&certificate, "subjectAltName").lines().last().unwrap().trim(), expected);
    }
    // For installations on one machine. pkilint holds every name without a dot for invalid, which RFC 1034 §3.5 does not.
    let mut local = template(Profile::Service, ec_key());
    local.dns_names = vec!["localhost".to_owned()];
    assert!(openssl_extensions(&issue(&ca, &local, NOW), "subjectAltName").contains("DNS:localhost"));
    let certificate = issue(&ca, &template(Profile::Manager, ec_key()), NOW);
    let arguments = ["x509", "-in", "c", "-inform", "DER", "-noout", "-subject", "-nameopt", "utf8,sep_comma_plus"];
    assert_eq!(
        openssl(&arguments, &[("c", &certificate)]).trim(),
        "subject=C=FR,ST=Île-de-France,L=Paris,O=J1CFRA - FRANCE LA POSTE,CN=Hélène Ñandú"
    );
}

#[test]
fn templates_that_ask_for_more_than_the_profile_are_refused() {
    let ca = ca(Algorithm::EcdsaP256);
    type Change = fn(&mut Template);
    let cases: [(&str, Profile, Change); 12] = [
        ("alternative names", Profile::Workstation, |given| given.dns_names.push("api.poste.example".to_owned())),
        ("alternative names", Profile::Server, |given| given.dns_names.clear()),
        ("alternative names", Profile::Server, |given| given.dns_names.push("*.poste.example".to_owned())),
        ("alternative names", Profile::Server, |given| given.dns_names.push("api.poste.example".to_owned())),
        ("alternative names", Profile::Server, |given| given.ip_addresses.push("192.0.2.1".parse().unwrap())),
        ("alternative names", Profile::Manager, |given| given.emails.push("nobody".to_owned())),
        ("CRL", Profile::Mobile, |given| given.places.as_mut().unwrap().crl = "ldap://ca.ptc.example".to_owned()),
        ("OCSP responder", Profile::Mobile, |given| given.places.as_mut().unwrap().ocsp = "ldap://ca".to_owned()),
        ("issuer's certificate", Profile::Mobile, |given| given.places.as_mut().unwrap().issuer.clear()),
        ("subject", Profile::Mobile, |given| given.subject.common_name = "A".repeat(65)),
        ("subject", Profile::Mobile, |given| given.subject.common_name.clear()),
        ("subject", Profile::Mobile, |given| given.subject.locality = "Paris\0".to_owned()),
    ];
    for (expected, profile, change) in cases {
        let mut given = template(profile, ec_key());
        change(&mut given);
        let said = broken(ca.prepare(&given, Serial::fresh(NOW).unwrap(), NOW));
        assert!(said.contains(expected), "{given:?}: {said}");
    }
    for key in [b"no key".to_vec(), Vec::new()] {
        let given = template(Profile::Mobile, key);
        assert!(matches!(ca.prepare(&given, Serial::fresh(NOW).unwrap(), NOW), Err(CaError::Encoding(_))));
    }
    let (_, issuing) = X509Certificate::from_der(ca.issuing()).unwrap();
    let given = template(Profile::Mobile, issuing.public_key().raw.to_vec());
    assert!(broken(ca.prepare(&given, Serial::fresh(NOW).unwrap(), NOW)).contains("not the issuing key"));
}

#[test]
fn recorded_bytes_are_taken_up_and_changed_ones_refused() {
    let ca = ca(Algorithm::EcdsaP256);
    for profile in Profile::ALL {
        let prepared = ca.prepare(&template(profile, ec_key()), Serial::fresh(NOW).unwrap(), NOW).unwrap();
        let resumed = ca.resume(prepared.tbs().to_vec()).unwrap();
        assert_eq!(resumed, prepared);
        let certificate = ca.sign(&resumed).unwrap();
        let (_, read) = X509Certificate::from_der(&certificate).unwrap();
        assert_eq!(read.tbs_certificate.as_ref(), prepared.tbs());
        assert_eq!(Serial::try_from(read.raw_serial()).unwrap(), prepared.serial());
        assert_eq!(read.validity().not_after.to_datetime(), prepared.not_after());
    }
    let prepared = ca.prepare(&template(Profile::Server, ec_key()), Serial::fresh(NOW).unwrap(), NOW).unwrap();
    let other = ca_at(Algorithm::EcdsaP256, NOW);
    assert!(matches!(other.sign(&prepared), Err(CaError::Signature)), "signed what another CA has checked");
    for (name, bytes) in [
        ("nothing", Vec::new()),
        ("truncated", prepared.tbs()[..prepared.tbs().len() - 1].to_vec()),
        ("trailing", [prepared.tbs(), &[0]].concat()),
        ("a whole certificate", ca.sign(&prepared).unwrap()),
    ] {
        assert!(matches!(ca.resume(bytes), Err(CaError::Lint { .. })), "{name}");
    }
}

/// Everything that could come back from a record that somebody wrote into.
#[test]
fn bytes_that_break_a_rule_are_not_signed() {
    let ca = ca(Algorithm::EcdsaP256);
    let other = ca_at(Algorithm::EcdsaP256, NOW);
    let own_key = KeyPair::generate().unwrap();
    let forge = |issuing: &[u8], change: fn(&mut CertificateParams)| {
        let mut given = CertificateParams::default();
        given.serial_number = Some(SerialNumber::from_slice(Serial::fresh(NOW).unwrap().as_ref()));
        given.not_before = NOW - Duration::MINUTE;
        given.not_after = NOW + Duration::DAY;
        given.distinguished_name = DistinguishedName::new();
        given.distinguished_name.push(DnType::CommonName, "machine");
        given.is_ca = IsCa::ExplicitNoCa;
        given.use_authority_key_identifier_extension = true;
        given.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        given.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut given);
        let issuer = Issuer::from_ca_cert_der(&CertificateDer::from(issuing), &own_key).unwrap();
        let certificate = given.signed_by(&own_key, &issuer).unwrap();
        X509Certificate::from_der(certificate.der()).unwrap().1.tbs_certificate.as_ref().to_vec()
    };
    ca.resume(forge(ca.issuing(), |_| {})).unwrap();
    type Change = fn(&mut CertificateParams);
    let cases: [(&str, Change); 21] = [
        ("serial number", |given| given.serial_number = Some(SerialNumber::from_slice(&[0]))),
        ("serial number", |given| given.serial_number = Some(SerialNumber::from_slice(&[0x40; 21]))),
        ("start is before", |given| given.not_after = given.not_before),
        ("inside the issuing", |given| given.not_before = datetime!(2020-01-01 0:00 UTC)),
        ("inside the issuing", |given| given.not_after = datetime!(2050-01-01 0:00 UTC)),
        ("no longer than the profile", |given| given.not_after = datetime!(2029-01-01 0:00 UTC)),
        ("subject", |given| given.distinguished_name = DistinguishedName::new()),
        ("subject", |given| given.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 12]), "Title")),
        ("CA rights", |given| given.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        ("CA rights", |given| given.is_ca = IsCa::NoCa),
        ("key usage", |given| given.key_usages.push(KeyUsagePurpose::KeyCertSign)),
        ("key usage", |given| given.key_usages.clear()),
        ("key usage", |given| given.key_usages.push(KeyUsagePurpose::KeyEncipherment)),
        ("extended key usage", |given| given.extended_key_usages.push(ExtendedKeyUsagePurpose::Any)),
        ("extended key usage", |given| given.extended_key_usages.clear()),
        ("authority key identifier", |given| given.use_authority_key_identifier_extension = false),
        ("OCSP responder and", |given| {
            // One caIssuers, and no OCSP.
            let content = [&[0x30, 0x13, 0x30, 0x11, 6, 8, 43, 6, 1, 5, 5, 7, 48, 2, 0x86, 5], b"http:".as_slice()];
            let oid = [1, 3, 6, 1, 5, 5, 7, 1, 1];
            given.custom_extensions.push(CustomExtension::from_oid_content(&oid, content.concat()));
        }),
        ("not to be asked for", |given| {
            given.custom_extensions.push(CustomExtension::from_oid_content(NOCHECK, vec![5, 0]));
        }),
        ("not to be asked for", |given| {
            given.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
            given.custom_extensions.push(CustomExtension::from_oid_content(NOCHECK, vec![4, 1, 0]));
        }),
        ("extension is known", |given| {
            given.custom_extensions.push(CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]));
        }),
        ("extension is known", |given| {
            given.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 37], vec![0x30, 0]));
        }),
    ];
    for (expected, change) in cases {
        let said = broken(ca.resume(forge(ca.issuing(), change)));
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let said = broken(ca.resume(forge(ca.issuing(), |given| {
        given.crl_distribution_points = vec![CrlDistributionPoint { uris: vec!["file:///crl".to_owned()] }];
        given.subject_alt_names = vec![SanType::URI("http://x".try_into().unwrap())];
    })));
    assert!(said.contains("CRL") && said.contains("alternative names"), "{said}");
    assert!(broken(ca.resume(forge(other.issuing(), |_| {}))).contains("authority key identifier"));
    assert!(broken(ca.resume(forge(ca.root(), |_| {}))).contains("issuer is the issuing"));
    let rsa = ca_at(Algorithm::Rsa3072, NOW);
    assert!(broken(rsa.resume(forge(rsa.issuing(), |_| {}))).contains("signature algorithm"));
}

#[test]
fn no_certificate_outlives_its_issuer() {
    // Two years that cross from UTCTime to GeneralizedTime (RFC 5280 §4.1.2.5), and an issuer that ends before they do.
    for (made, issued, end) in [
        (NOW, datetime!(2036-07-14 11:00:00 UTC), datetime!(2036-07-14 11:59:00 UTC)),
        (datetime!(2045-01-01 0:00 UTC), datetime!(2048-06-01 0:00 UTC), datetime!(2050-05-31 23:59:00 UTC)),
        (datetime!(2041-03-01 0:00 UTC), datetime!(2049-12-31 23:59:59 UTC), datetime!(2051-02-28 23:59:00 UTC)),
        (datetime!(2049-12-31 23:59:30 UTC), datetime!(2050-01-01 0:00:30 UTC), datetime!(2051-12-31 23:59:30 UTC)),
    ] {
        let ca = ca_at(Algorithm::EcdsaP256, made);
        let certificate = issue(&ca, &template(Profile::Server, ec_key()), issued);
        openssl_verify(ca.root(), ca.issuing(), &certificate, "sslclient", issued);
        webpki_verify(ca.root(), ca.issuing(), &certificate, CLIENT_AUTH, issued).unwrap();
        let (_, read) = X509Certificate::from_der(&certificate).unwrap();
        assert_eq!(read.validity().not_after.to_datetime(), end);
        pkilint_certificate(&format!("issued {issued}"), &certificate);
    }
    let ca = ca(Algorithm::EcdsaP256);
    for (now, expected) in [
        (datetime!(2037-01-01 0:00 UTC), "start is before the end"),
        (NOW - Duration::HOUR, "inside the issuing certificate"),
    ] {
        let said = broken(ca.prepare(&template(Profile::Server, ec_key()), Serial::fresh(now).unwrap(), now));
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn revoked_certificates_are_listed() {
    for algorithm in Algorithm::ALL {
        let ca = ca(algorithm);
        let [good, bad, worse] = [(); 3].map(|()| {
            let prepared =
                ca.prepare(&template(Profile::Workstation, ec_key()), Serial::fresh(NOW).unwrap(), NOW).unwrap();
            (prepared.serial(), ca.sign(&prepared).unwrap())
        });
        let later = NOW + Duration::DAY;
        let crl = ca
            .crl(
                42,
                later,
                later + Duration::WEEK,
                &[
                    Revoked { serial: bad.0, revoked_at: NOW, code: RevocationCode::KeyCompromise },
                    Revoked { serial: worse.0, revoked_at: later, code: RevocationCode::Unspecified },
                ],
            )
            .unwrap();
        let empty = ca.crl(u64::MAX, NOW, later, &[]).unwrap();
        for (name, list) in [("CRL", &crl), ("empty CRL", &empty)] {
            pkilint_crl(&format!("{algorithm} {name}"), list);
            let arguments = ["crl", "-in", "crl", "-inform", "DER", "-noout", "-verify", "-CAfile", "issuing", "-text"];
            let said = openssl(&arguments, &[("crl", list), ("issuing", pem(ca.issuing()).as_bytes())]);
            assert!(said.contains("verify OK"), "{said}");
        }
        let said = openssl(&["crl", "-in", "crl", "-inform", "DER", "-noout", "-text"], &[("crl", &crl)]);
        assert!(said.contains("Version 2") && said.contains("Key Compromise"), "{said}");
        assert!(!said.contains("Unspecified"), "{said}");
        let said = openssl(&["crl", "-in", "crl", "-inform", "DER", "-noout", "-crlnumber"], &[("crl", &crl)]);
        assert_eq!(said.trim(), "crlNumber=0x2A");
        for (certificate, revoked) in [(&good, false), (&bad, true), (&worse, true)] {
            let list = webpki::OwnedCertRevocationList::from_der(&crl).unwrap().into();
            let found = webpki_revoked(ca.issuing(), &certificate.1, &list, later);
            assert_eq!(found, revoked, "{algorithm}");
        }
    }
}

/// Every reason, and dates on both sides of 2050, by the thousand.
#[test]
fn a_long_list_is_read_by_others_entry_by_entry() {
    let made = datetime!(2049-06-01 0:00 UTC);
    let ca = ca_at(Algorithm::EcdsaP256, made);
    let revoked: Vec<Revoked> = (0..20_000_i32)
        .map(|number| Revoked {
            serial: Serial::fresh(NOW).unwrap(),
            revoked_at: made + Duration::HOUR * number,
            code: RevocationCode::ALL[number as usize % RevocationCode::ALL.len()],
        })
        .collect();
    let now = made + Duration::HOUR * 20_000;
    let crl = ca.crl(1, now, now + Duration::WEEK, &revoked).unwrap();
    let arguments = ["crl", "-in", "crl", "-inform", "DER", "-noout", "-verify", "-CAfile", "issuing"];
    let said = openssl(&arguments, &[("crl", &crl), ("issuing", pem(ca.issuing()).as_bytes())]);
    assert!(said.contains("verify OK"), "{said}");
    let (_, read) = CertificateRevocationList::from_der(&crl).unwrap();
    let entries: Vec<_> = read.iter_revoked_certificates().collect();
    assert_eq!(entries.len(), revoked.len());
    for (entry, expected) in entries.iter().zip(&revoked) {
        assert_eq!(entry.raw_serial(), expected.serial.as_ref());
        assert_eq!(entry.revocation_date.to_datetime(), expected.revoked_at);
        assert_eq!(entry.revocation_date.is_generalizedtime(), expected.revoked_at.year() >= 2050);
        let reason = entry.reason_code().map(|(_, reason)| reason.to_string());
        let word = |text: String| text.replace(' ', "").to_lowercase();
        match expected.code {
            RevocationCode::Unspecified => assert_eq!(reason, None),
            code => assert_eq!(word(reason.unwrap()), code.as_str().to_lowercase()),
        }
    }
    // A verifier that reads the whole of it, and finds the last one.
    let list = webpki::OwnedCertRevocationList::from_der(&crl).unwrap();
    drop(webpki::CertRevocationList::from(list));
}

#[test]
fn lists_that_break_a_rule_are_not_signed() {
    let ca = ca(Algorithm::EcdsaP256);
    let serial = Serial::fresh(NOW).unwrap();
    let entry = |revoked_at| Revoked { serial, revoked_at, code: RevocationCode::Superseded };
    assert!(broken(ca.crl(1, NOW, NOW + Duration::DAY, &[entry(NOW), entry(NOW)])).contains("there once"));
    assert!(broken(ca.crl(1, NOW, NOW + Duration::DAY, &[entry(NOW + Duration::HOUR)])).contains("nothing is revoked"));
    assert!(broken(ca.crl(1, NOW - Duration::DAY, NOW, &[])).contains("within the issuing"));
    assert!(broken(ca.crl(1, NOW, NOW, &[])).contains("next update"));
}

#[test]
fn a_ca_is_loaded_as_it_was_made() {
    for algorithm in Algorithm::ALL {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("data/ca");
        let made =
            Ca::create(&folder, &NewCa { algorithm, environment: "test", root_crl: None }, &KeyAccess::default(), NOW)
                .unwrap();
        assert_eq!(folder.metadata().unwrap().mode() & 0o777, 0o700);
        for (name, mode) in
            [("root.crt.pem", 0o644), ("root.key.pem", 0o600), ("issuing.crt.pem", 0o644), ("issuing.key.pem", 0o600)]
        {
            assert_eq!(folder.join(name).metadata().unwrap().mode() & 0o777, mode, "{name}");
        }
        // The root's key may be kept elsewhere.
        fs::remove_file(folder.join("root.key.pem")).unwrap();
        let ca = Ca::load(&folder, &KeyAccess::default()).unwrap();
        assert_eq!((ca.root(), ca.issuing()), (made.root(), made.issuing()));
        let certificate = issue(&ca, &template(Profile::Mobile, ec_key()), NOW);
        webpki_verify(made.root(), made.issuing(), &certificate, CLIENT_AUTH, NOW).unwrap();
        assert_eq!(format!("{ca:?}"), "Ca { .. }");
    }
}

#[test]
fn a_ca_is_not_made_over_another() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("ca");
    let made = Ca::create(
        &folder,
        &NewCa { algorithm: Algorithm::EcdsaP256, environment: "test", root_crl: None },
        &KeyAccess::default(),
        NOW,
    )
    .unwrap();
    let error = Ca::create(
        &folder,
        &NewCa { algorithm: Algorithm::EcdsaP256, environment: "test", root_crl: None },
        &KeyAccess::default(),
        NOW,
    )
    .unwrap_err()
    .to_string();
    assert!(error.contains("exists already") && error.contains(folder.to_str().unwrap()), "{error}");
    assert_eq!(Ca::load(&folder, &KeyAccess::default()).unwrap().root(), made.root());
    assert_eq!(fs::read_dir(folder.parent().unwrap()).unwrap().count(), 1, "remains are left over");
}

#[test]
fn a_damaged_ca_says_which_file_and_what_to_do() {
    let parent = tempfile::tempdir().unwrap();
    let other = parent.path().join("other");
    Ca::create(
        &other,
        &NewCa { algorithm: Algorithm::EcdsaP256, environment: "test", root_crl: None },
        &KeyAccess::default(),
        NOW,
    )
    .unwrap();
    type Damage = fn(&Path, &Path);
    let cases: [(&str, &[&str], Damage); 9] = [
        ("no key", &["issuing.key.pem", "missing"], |ca, _| fs::remove_file(ca.join("issuing.key.pem")).unwrap()),
        ("no certificate", &["issuing.crt.pem", "missing"], |ca, _| {
            fs::remove_file(ca.join("issuing.crt.pem")).unwrap();
        }),
        ("no root", &["root.crt.pem", "missing"], |ca, _| fs::remove_file(ca.join("root.crt.pem")).unwrap()),
        ("open key", &["issuing.key.pem", "0640", "chmod 600"], |ca, _| open(&ca.join("issuing.key.pem"))),
        ("open root key", &["root.key.pem", "0640", "chmod 600"], |ca, _| open(&ca.join("root.key.pem"))),
        ("another key", &["issuing.key.pem", "issuing.crt.pem", "belong"], |ca, other| {
            fs::copy(other.join("issuing.key.pem"), ca.join("issuing.key.pem")).unwrap();
        }),
        ("another root key", &["root.key.pem", "root.crt.pem", "belong"], |ca, other| {
            fs::copy(other.join("root.key.pem"), ca.join("root.key.pem")).unwrap();
        }),
        ("another root", &["root.crt.pem", "issued"], |ca, other| {
            fs::copy(other.join("root.key.pem"), ca.join("root.key.pem")).unwrap();
            fs::copy(other.join("root.crt.pem"), ca.join("root.crt.pem")).unwrap();
        }),
        ("garbage", &["issuing.crt.pem", "PEM"], |ca, _| fs::write(ca.join("issuing.crt.pem"), "garbage").unwrap()),
    ];
    for (number, (name, words, damage)) in cases.into_iter().enumerate() {
        let folder = parent.path().join(number.to_string());
        Ca::create(
            &folder,
            &NewCa { algorithm: Algorithm::EcdsaP256, environment: "test", root_crl: None },
            &KeyAccess::default(),
            NOW,
        )
        .unwrap();
        damage(&folder, &other);
        let text = Ca::load(&folder, &KeyAccess::default()).unwrap_err().text();
        for language in Language::ALL {
            let hint = text.hint(language).unwrap();
            let said = format!("{} {hint}", text.in_language(language));
            for word in words.iter().filter(|word| language == Language::English || word.contains('.')) {
                assert!(said.contains(word), "{name}: {said}");
            }
        }
    }
}

fn open(path: &Path) {
    fs::set_permissions(path, PermissionsExt::from_mode(0o640)).unwrap();
}
