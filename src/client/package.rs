//! The install package of an environment, as it lies under the client's home: found, checked, read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use x509_parser::pem::Pem;

use super::api::Trust;
use super::home::Home;
use crate::locales::Text;
use crate::protocol::package::{
    self, BadManifest, ENROLLMENT_SECRET, FILES, MANIFEST, Manifest, Package, SETTINGS, TRUST_ANCHOR,
};
use crate::protocol::secret::{Secret, sha256_hex};

/// Where the fingerprint of the first trust anchor of an environment is kept, under its state.
const PIN: &str = "trust-anchor.sha256";

/// A package whose manifest was checked.
#[derive(Debug, Clone)]
pub struct InstalledPackage {
    /// The settings.
    pub settings: Package,
    /// The root certificate, DER.
    pub trust_anchor: Vec<u8>,
    /// What proves to the service that the organisation asks.
    pub secret: Secret,
    /// The folder it lies in, where downloaded certificates go too.
    pub folder: PathBuf,
}

/// Why there is no package to work with.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub enum PackageError {
    /// No package lies under the home.
    None {
        /// Where packages were looked for.
        folder: PathBuf,
    },
    /// Several packages, and none was chosen.
    Several {
        /// Their environments.
        environments: Vec<String>,
    },
    /// The chosen environment has no package.
    Unknown {
        /// The chosen environment.
        environment: String,
        /// Those that have one.
        environments: Vec<String>,
    },
    /// A file is missing or cannot be read.
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The signature of the manifest is not good.
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Why.
        #[source]
        source: BadManifest,
    },
    /// A file is not the one that was signed.
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The package is signed, but says something that this version cannot use.
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The package belongs to another installation of the service than the one known here.
    Foreign {
        /// The environment.
        environment: String,
        /// SHA-256 of the trust anchor known here.
        known: String,
        /// SHA-256 of the package's trust anchor.
        found: String,
        /// The file to remove where the change is wanted.
        pin: PathBuf,
    },
}

impl PackageError {
    /// What happened and why.
    pub fn text(&self) -> Text {
        match self {
            Self::None { folder } => Text::new("error-no-package").with("folder", folder.display()),
            Self::Several { environments } => {
                Text::new("error-several-packages").with("environments", environments.join(", "))
            }
            Self::Unknown { environment, environments } => Text::new("error-unknown-environment")
                .with("environment", environment)
                .with("environments", environments.join(", ")),
            Self::File { path, source } => {
                Text::new("error-package-file").with("path", path.display()).with("reason", source)
            }
            Self::Manifest { path, source } => {
                Text::new("error-package-manifest").with("path", path.display()).with("reason", source)
            }
            Self::Changed { path } => Text::new("error-package-changed").with("path", path.display()),
            Self::Content { path, reason } => {
                Text::new("error-package-content").with("path", path.display()).with("reason", reason)
            }
            Self::Foreign { environment, known, found, pin } => Text::new("error-package-foreign")
                .with("environment", environment)
                .with("known", known)
                .with("found", found)
                .with("pin", pin.display()),
        }
    }
}

impl InstalledPackage {
    /// Finds the package of the environment, or the only one there is, and checks that nobody changed it.
    ///
    /// The first package of an environment pins its trust anchor; one with another anchor is refused from then on.
    pub fn load(home: &Home, environment: Option<&str>, now: OffsetDateTime) -> Result<Self, PackageError> {
        let name = choose(home, environment)?;
        let folder = home.config.join(&name);
        let read = |file: &str| {
            let path = folder.join(file);
            fs::read(&path).map_err(|source| PackageError::File { path, source })
        };
        let content_error = |file: &str, reason: String| PackageError::Content { path: folder.join(file), reason };

        let anchor_pem = read(TRUST_ANCHOR)?;
        let trust_anchor = match Pem::iter_from_buffer(&anchor_pem).next() {
            Some(Ok(block)) if block.label == "CERTIFICATE" => block.contents,
            _ => return Err(content_error(TRUST_ANCHOR, "PEM CERTIFICATE".to_owned())),
        };
        let jws = String::from_utf8_lossy(&read(MANIFEST)?).into_owned();
        let manifest = Manifest::verify(&jws, &trust_anchor, now)
            .map_err(|source| PackageError::Manifest { path: folder.join(MANIFEST), source })?;
        let mut files = Vec::with_capacity(FILES.len());
        for file in FILES {
            let content = if file == TRUST_ANCHOR { anchor_pem.clone() } else { read(file)? };
            if !manifest.vouches_for(file, &content) {
                return Err(PackageError::Changed { path: folder.join(file) });
            }
            files.push((file, content));
        }
        let text = |file: &str| {
            files.iter().find(|(name, _)| *name == file).map(|(_, content)| String::from_utf8_lossy(content))
        };
        let settings: Package = toml::from_str(&text(SETTINGS).unwrap_or_default())
            .map_err(|error| content_error(SETTINGS, error.message().to_owned()))?;
        if settings.format != package::FORMAT {
            return Err(content_error(SETTINGS, format!("format = {}", settings.format)));
        }
        if settings.environment != name || manifest.environment != name {
            return Err(content_error(SETTINGS, format!("environment = {:?} ≠ {name:?}", settings.environment)));
        }
        if manifest.organisation != settings.organisation.code {
            return Err(PackageError::Changed { path: folder.join(SETTINGS) });
        }
        let secret = Secret::parse(&text(ENROLLMENT_SECRET).unwrap_or_default())
            .map_err(|error| content_error(ENROLLMENT_SECRET, error.to_string()))?;
        check_pin(home, &name, &sha256_hex(&trust_anchor))?;
        Ok(Self { settings, trust_anchor, secret, folder })
    }

    /// Whom the connections to the service trust.
    pub fn trust(&self) -> Trust<'_> {
        if self.settings.system_roots { Trust::System } else { Trust::Anchor(&self.trust_anchor) }
    }

    /// Keeps the trust anchor's fingerprint, once there is something to protect: called before the first submission.
    pub fn pin(&self, state: &Path) -> io::Result<()> {
        let pin = state.join(PIN);
        if pin.exists() {
            Ok(())
        } else {
            super::journal::write_durably(&pin, sha256_hex(&self.trust_anchor).as_bytes())
        }
    }
}

/// Refuses a trust anchor that is not the one known here.
fn check_pin(home: &Home, environment: &str, found: &str) -> Result<(), PackageError> {
    let pin = home.state.join(environment).join(PIN);
    match fs::read_to_string(&pin) {
        Ok(known) if known.trim() == found => Ok(()),
        Ok(known) => Err(PackageError::Foreign {
            environment: environment.to_owned(),
            known: known.trim().to_owned(),
            found: found.to_owned(),
            pin,
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(PackageError::File { path: pin, source }),
    }
}

/// The environment that was asked for, or the only one there is.
fn choose(home: &Home, environment: Option<&str>) -> Result<String, PackageError> {
    let mut environments: Vec<String> = fs::read_dir(&home.config)
        .map(|entries| {
            entries
                .flatten()
                .filter(|entry| entry.path().join(SETTINGS).is_file())
                .filter_map(|entry| entry.file_name().into_string().ok())
                .filter(|name| package::check_environment(name))
                .collect()
        })
        .unwrap_or_default();
    environments.sort();
    match environment {
        Some(environment) if environments.iter().any(|known| known == environment) => Ok(environment.to_owned()),
        Some(environment) if !environments.is_empty() => {
            Err(PackageError::Unknown { environment: environment.to_owned(), environments })
        }
        _ => match environments.len() {
            0 => Err(PackageError::None { folder: home.config.clone() }),
            1 => Ok(environments.remove(0)),
            _ => Err(PackageError::Several { environments }),
        },
    }
}
