//! Makes install packages: the files, the signed manifest, the folder and the zip.
//!
//! The format, and how a manifest is verified, is the protocol's. Secrets and the signer's certificate are recorded
//! elsewhere.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use time::OffsetDateTime;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::ca::{Profile, Template};
use super::credential::{Algorithm, Credential, CredentialError, certificates_pem};
use super::files::{self, FileError};
use crate::locales::{Language, Text};
use crate::protocol::package::{
    BadManifest, ENROLLMENT_SECRET, FORMAT, JWS_TYPE, JwsHeader, MANIFEST, Manifest, Package, SETTINGS, TRUST_ANCHOR,
};
use crate::protocol::secret::{Secret, sha256_hex};
use crate::protocol::subject::Subject;

/// The name of the files under `package-signer/`: `signer.key.pem` and `signer.crt.pem`.
const NAME: &str = "signer";
/// What to do with the package, beside the folder `config`.
const README: &str = "README.txt";

/// Why a package cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub enum PackageError {
    /// The settings, or the manifest, cannot be written out.
    Settings(Box<dyn std::error::Error + Send + Sync>),
    /// The signer's key cannot sign.
    Key,
    /// What was signed does not verify: the signer's certificate is over, or not below the trust anchor.
    Manifest(BadManifest),
    /// The zip cannot be written.
    Zip(ZipError),
}

impl PackageError {
    /// The error with its fix, for a person.
    pub fn text(&self) -> Text {
        match self {
            Self::Settings(cause) => Text::new("package-settings").with("cause", cause),
            Self::Key => Text::new("package-key"),
            Self::Manifest(cause) => Text::new("package-manifest").with("cause", cause),
            Self::Zip(cause) => Text::new("package-zip").with("cause", cause),
        }
    }
}

/// The key that signs manifests, with its certificate.
#[derive(Debug)]
pub struct Signer(Credential);

impl Signer {
    /// What is to be certified for a signer: the key is made in `folder` where it is missing.
    pub fn template(folder: &Path, environment: &str) -> Result<Template, CredentialError> {
        Ok(Template {
            profile: Profile::PackageSigner,
            subject: Subject::of_centre(format!("PTC {environment} Package Signer")),
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            emails: Vec::new(),
            public_key: Credential::prepare(folder, NAME, Algorithm::EcdsaP256)?,
            places: None,
        })
    }

    /// Writes the certificate for the key of [`Signer::template`], with the issuing certificate after it.
    pub fn install(folder: &Path, chain: &[&[u8]]) -> Result<Self, CredentialError> {
        Credential::install(folder, NAME, chain).map(Self)
    }

    /// Reads key and certificate.
    pub fn load(folder: &Path) -> Result<Self, CredentialError> {
        Credential::load(folder, NAME).map(Self)
    }

    /// Signs a manifest: a compact JWS (RFC 7515 §7.1) with ES256 (RFC 7518 §3.4).
    fn sign(&self, manifest: &Manifest) -> Result<String, PackageError> {
        let header = JwsHeader {
            alg: "ES256".to_owned(),
            typ: JWS_TYPE.to_owned(),
            x5c: self.0.chain().iter().map(|certificate| BASE64_STANDARD.encode(certificate)).collect(),
        };
        let settings = |error: serde_json::Error| PackageError::Settings(error.into());
        let header = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).map_err(settings)?);
        let payload = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(manifest).map_err(settings)?);
        let signed = format!("{header}.{payload}");
        // A JWS has r and s side by side, where X.509 has them in DER, so rcgen's signature does not serve.
        let signature = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, self.0.key().serialized_der())
            .map_err(|_| PackageError::Key)?
            .sign(&SystemRandom::new(), signed.as_bytes())
            .map_err(|_| PackageError::Key)?;
        Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The settings as the client gets them: `package.toml`.
pub fn settings(package: &Package) -> Result<String, PackageError> {
    toml::to_string_pretty(package).map_err(|error| PackageError::Settings(error.into()))
}

/// The files of a package, path with `/` → content. The manifest is verified up to the trust anchor (DER) as a client
/// will do it, so that no package leaves that would be refused.
pub fn build(
    signer: &Signer,
    package: &Package,
    trust_anchor: &[u8],
    secret: &Secret,
    now: OffsetDateTime,
) -> Result<Vec<(String, Vec<u8>)>, PackageError> {
    let mut files = vec![
        (SETTINGS, settings(package)?.into_bytes()),
        (TRUST_ANCHOR, certificates_pem(&[trust_anchor]).into_bytes()),
        (ENROLLMENT_SECRET, format!("{}\n", secret.expose()).into_bytes()),
    ];
    let digests = files.iter().map(|(name, content)| ((*name).to_owned(), sha256_hex(content)));
    let manifest = signer.sign(&Manifest {
        format: FORMAT,
        environment: package.environment.clone(),
        organisation: package.organisation.code.clone(),
        created_at: now,
        files: digests.collect::<BTreeMap<_, _>>(),
    })?;
    Manifest::verify(&manifest, trust_anchor, now).map_err(PackageError::Manifest)?;
    files.push((MANIFEST, manifest.into_bytes()));
    let folder = format!("config/{}", package.environment);
    let files = files.into_iter().map(|(name, content)| (format!("{folder}/{name}"), content));
    Ok([(README.to_owned(), readme(package).into_bytes())].into_iter().chain(files).collect())
}

/// The files of a folder that go along with a package, for [`write_folder`] and [`zip`]: the client's program and what
/// belongs to it. They are not signed; folders in it stay behind.
///
/// # Errors
/// [`FileError::Exists`] where a file would take the place of the package's own.
pub fn client_files(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, FileError> {
    let system = |cause| FileError::System { path: folder.to_owned(), cause };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(system)? {
        let path = entry.map_err(system)?.path();
        if !path.is_file() {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.eq_ignore_ascii_case(README) || name.eq_ignore_ascii_case("config") {
            return Err(FileError::Exists { path });
        }
        files.push((name, files::read_public(&path)?));
    }
    files.sort();
    Ok(files)
}

/// Whether a file is to be run: the client, by its name on every system.
fn is_program(path: &str) -> bool {
    path == "ptc-enroll" || path.ends_with(".exe")
}

/// Writes a package to a new folder, which appears whole or not at all.
///
/// # Errors
/// [`FileError::Exists`] where something is there already.
pub fn write_folder(files: &[(String, Vec<u8>)], destination: &Path) -> Result<(), FileError> {
    files::create_folder(destination, |folder| {
        for (name, content) in files {
            let path = folder.join(name);
            files::ensure_folder(path.parent().unwrap_or(folder))?;
            if path.ends_with(ENROLLMENT_SECRET) {
                files::write_secret(&path, content)?;
            } else if is_program(name) {
                files::write_program(&path, content)?;
            } else {
                files::write_public(&path, content)?;
            }
        }
        Ok(())
    })
}

/// A package as one zip file. The same package gives the same bytes.
pub fn zip(files: &[(String, Vec<u8>)]) -> Result<Vec<u8>, PackageError> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default());
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in files {
        let mode = match path {
            path if path.ends_with(ENROLLMENT_SECRET) => 0o600,
            path if is_program(path) => 0o755,
            _ => 0o644,
        };
        archive.start_file(path.as_str(), options.unix_permissions(mode)).map_err(PackageError::Zip)?;
        archive.write_all(content).map_err(|error| PackageError::Zip(error.into()))?;
    }
    Ok(archive.finish().map_err(PackageError::Zip)?.into_inner())
}

/// In both languages, with the line ends that every editor on Windows understands.
fn readme(package: &Package) -> String {
    let text = |language| {
        Text::new("package-readme")
            .with("organisation", package.organisation.subject_name())
            .with("environment", &package.environment)
            .with("url", &package.service_url)
            .with_text("kind", crate::locales::kind(package.kind))
            .with_text("store", crate::locales::store(package.store))
            .in_language(language)
    };
    let texts = Language::ALL.map(text).join("\n\n----------------------------------------\n\n");
    texts.lines().map(|line| format!("{line}\r\n")).collect()
}
