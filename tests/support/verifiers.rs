//! Verifiers that were not written here: OpenSSL's command, rustls-webpki, pkilint. All take DER.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use tempfile::TempDir;
use time::OffsetDateTime;
use webpki::{
    ALL_VERIFICATION_ALGS, CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RevocationOptionsBuilder,
    anchor_from_trusted_cert,
};

/// Everything `openssl` says; panics with it where the command fails.
pub(crate) fn openssl(arguments: &[&str], files: &[(&str, &[u8])]) -> String {
    let folder = Folder::with(files);
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder.0.path())
        .output()
        .unwrap_or_else(|error| panic!("openssl does not start ({error}): apt-get install openssl"));
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "openssl {}: {said}", arguments.join(" "));
    said
}

/// Verifies a certificate strictly up to the root, for a purpose of OpenSSL (`sslclient`, `sslserver`, `any`).
pub(crate) fn openssl_verify(root: &[u8], issuing: &[u8], certificate: &[u8], purpose: &str, at: OffsetDateTime) {
    let at = at.unix_timestamp().to_string();
    let arguments = [
        "verify",
        "-x509_strict",
        "-check_ss_sig",
        "-purpose",
        purpose,
        "-attime",
        &at,
        "-CAfile",
        "root",
        "-untrusted",
        "issuing",
        "certificate",
    ];
    let said =
        openssl(&arguments, &[("root", pem(root).as_bytes()), ("issuing", issuing), ("certificate", certificate)]);
    assert!(said.contains("certificate: OK"), "{said}");
}

/// What OpenSSL prints of a certificate's extensions.
pub(crate) fn openssl_extensions(certificate: &[u8], extensions: &str) -> String {
    openssl(
        &["x509", "-in", "certificate", "-inform", "DER", "-noout", "-ext", extensions],
        &[("certificate", certificate)],
    )
}

/// Verifies a certificate for an extended key usage, given as the OID's encoding, with rustls-webpki.
pub(crate) fn webpki_verify(
    root: &[u8],
    issuing: &[u8],
    certificate: &[u8],
    usage: &'static [u8],
    at: OffsetDateTime,
) -> Result<(), webpki::Error> {
    let root = CertificateDer::from(root);
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at.unix_timestamp().try_into().unwrap()));
    EndEntityCert::try_from(&CertificateDer::from(certificate))?
        .verify_for_usage(
            ALL_VERIFICATION_ALGS,
            &[anchor_from_trusted_cert(&root)?],
            &[CertificateDer::from(issuing)],
            at,
            KeyUsage::required_if_present(usage),
            None,
            None,
        )
        .map(drop)
}

/// Whether rustls-webpki finds a client's certificate on the CRL.
pub(crate) fn webpki_revoked(
    issuing: &[u8],
    certificate: &[u8],
    crl: &CertRevocationList<'_>,
    at: OffsetDateTime,
) -> bool {
    let issuing = CertificateDer::from(issuing);
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at.unix_timestamp().try_into().unwrap()));
    let crls = [crl];
    let revocation =
        RevocationOptionsBuilder::new(&crls).unwrap().with_expiration_policy(ExpirationPolicy::Enforce).build();
    let certificate = CertificateDer::from(certificate);
    let certificate = EndEntityCert::try_from(&certificate).unwrap();
    let anchors = [anchor_from_trusted_cert(&issuing).unwrap()];
    let usage = KeyUsage::client_auth();
    match certificate.verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, &[], at, usage, Some(revocation), None) {
        Ok(_) => false,
        Err(webpki::Error::CertRevoked) => true,
        Err(other) => panic!("{other:?}"),
    }
}

/// id-kp-serverAuth, as [`webpki_verify`] takes it.
pub(crate) const SERVER_AUTH: &[u8] = &[43, 6, 1, 5, 5, 7, 3, 1];
/// id-kp-clientAuth.
pub(crate) const CLIENT_AUTH: &[u8] = &[43, 6, 1, 5, 5, 7, 3, 2];
/// id-kp-codeSigning.
pub(crate) const CODE_SIGNING: &[u8] = &[43, 6, 1, 5, 5, 7, 3, 3];
/// id-kp-OCSPSigning.
pub(crate) const OCSP_SIGNING: &[u8] = &[43, 6, 1, 5, 5, 7, 3, 9];

/// Lints a certificate with pkilint; panics at any finding of severity WARNING or above.
pub(crate) fn pkilint_certificate(name: &str, certificate: &[u8]) {
    pkilint(name, &["lint_pkix_cert", "lint"], certificate);
}

/// Lints a CRL with pkilint; panics at any finding of severity WARNING or above.
pub(crate) fn pkilint_crl(name: &str, crl: &[u8]) {
    pkilint(name, &["lint_crl", "lint", "--type", "CRL", "--profile", "PKIX"], crl);
}

/// Lints an OCSP response with pkilint; panics at any finding of severity WARNING or above.
pub(crate) fn pkilint_ocsp(name: &str, response: &[u8]) {
    pkilint(name, &["lint_ocsp_response", "lint"], response);
}

fn pkilint(name: &str, command: &[&str], der: &[u8]) {
    let folder = Folder::with(&[("document", der)]);
    let output = Command::new(command[0])
        .args(&command[1..])
        .args(["--severity", "WARNING", "--document-format", "DER"])
        .arg(folder.path("document"))
        .output()
        .unwrap_or_else(|error| panic!("{} does not start ({error}): pip install pkilint", command[0]));
    let [findings, errors] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success() && findings.trim().is_empty(), "pkilint on {name}: {findings}{errors}");
}

/// A certificate as PEM, which OpenSSL wants for `-CAfile`.
pub(crate) fn pem(certificate: &[u8]) -> String {
    pem::encode(&pem::Pem::new("CERTIFICATE", certificate))
}

struct Folder(TempDir);

impl Folder {
    fn with(files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
