//! Servers elsewhere: reading their CSRs from files, writing their certificates to files.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::config::ConfigError;
use super::installation::InstallationError;
use super::journal::sync_folder;
use super::store::Delivery;
use super::store::file::pem;
use crate::protocol::request::RequestNumber;
use crate::protocol::rules::CSR_LIMIT;

/// The endings of CSR files in a folder.
const ENDINGS: [&str; 5] = ["csr", "req", "p10", "pem", "der"];

/// The files meant by the arguments: files as they are, folders by the CSRs in them, in the order of their names.
pub fn files(arguments: &[PathBuf]) -> Result<Vec<PathBuf>, ConfigError> {
    let mut files = Vec::new();
    for argument in arguments {
        if !argument.is_dir() {
            files.push(argument.clone());
            continue;
        }
        let error = |source| ConfigError::File { path: argument.clone(), source };
        let mut found = Vec::new();
        for entry in fs::read_dir(argument).map_err(error)? {
            let path = entry.map_err(error)?.path();
            let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
            if ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) && path.is_file() {
                found.push(path);
            }
        }
        if found.is_empty() {
            return Err(ConfigError::NoRequests { folder: argument.clone() });
        }
        found.sort();
        files.append(&mut found);
    }
    Ok(files)
}

/// The content of a CSR file; of one that is too large just enough to see that.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    fs::File::open(path)?.take(CSR_LIMIT as u64 + 1).read_to_end(&mut content)?;
    Ok(content)
}

/// Writes certificate and issuing CA as PEM into a folder, under a name that no other file has; says where.
///
/// The same certificate again finds its own file and leaves it alone.
pub fn write(
    folder: &Path,
    number: RequestNumber,
    common_name: &str,
    delivery: &Delivery<'_>,
) -> Result<PathBuf, InstallationError> {
    let without_root = &delivery.chain[..delivery.chain.len().saturating_sub(1)];
    let content: String = std::iter::once(delivery.certificate)
        .chain(without_root.iter().map(Vec::as_slice))
        .map(|certificate| pem("CERTIFICATE", certificate))
        .collect();
    let name = format!("request-{number}-{}", clean(common_name));
    let mut attempt = 1;
    loop {
        let path = match attempt {
            1 => folder.join(format!("{name}.pem")),
            _ => folder.join(format!("{name}-{attempt}.pem")),
        };
        match create(folder, &path, content.as_bytes()) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if fs::read(&path).is_ok_and(|existing| existing == content.as_bytes()) {
                    return Ok(path);
                }
            }
            Err(source) => return Err(InstallationError::File { path, source }),
        }
        attempt += 1;
    }
}

/// Makes a file that did not exist: complete or not at all.
fn create(folder: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let mut file = tempfile::Builder::new().prefix(".ptc-").tempfile_in(folder)?;
    file.write_all(content)?;
    // A certificate is public; the folder says who may look.
    #[cfg(unix)]
    file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    file.as_file().sync_all()?;
    super::kill_point::pass("download.before-file");
    file.persist_noclobber(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// A common name as part of a file name on every system: ASCII letters, digits, `-` and inner dots; the rest is `_`.
fn clean(common_name: &str) -> String {
    let cleaned: String = common_name
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() || "-.".contains(character) { character } else { '_' })
        .collect();
    cleaned.replace("..", "_").trim_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_harmless() {
        for (given, cleaned) in [
            ("api.poste.example", "api.poste.example"),
            ("../../etc/passwd", "____etc_passwd"),
            ("C:\\x", "C__x"),
            ("a:stream", "a_stream"),
            ("\\\\server\\share", "__server_share"),
            ("x.", "x"),
        ] {
            assert_eq!(clean(given), cleaned);
        }
    }

    #[test]
    fn no_file_is_ever_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let write = |certificate: &[u8]| {
            write(folder.path(), RequestNumber(3), "NUL", &Delivery { certificate, chain: &[] }).unwrap()
        };
        let first = write(b"one");
        let second = write(b"two");
        assert_eq!(first.file_name().unwrap(), "request-3-NUL.pem");
        assert_eq!(second.file_name().unwrap(), "request-3-NUL-2.pem");
        assert_eq!(write(b"one"), first);
        assert!(fs::read_to_string(first).unwrap().contains("b25l"));
    }
}
