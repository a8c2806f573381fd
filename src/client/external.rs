//! Servers elsewhere: reading their CSRs from files, writing their certificates to files.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use super::config::ConfigError;
use super::installation::InstallationError;
use super::journal::sync_folder;
use super::store::Delivery;
use super::store::file::pem;
use crate::protocol::request::RequestNumber;
use crate::protocol::rules::CSR_LIMIT;

/// The endings of CSR files in a folder.
const ENDINGS: [&str; 5] = ["csr", "req", "p10", "pem", "der"];

/// The files meant by the arguments: files as they are, folders by the CSRs in them, and patterns (`csrs/*.csr`), which
/// not every shell expands, by the files that fit; in the order of their names.
pub fn files(arguments: &[PathBuf]) -> Result<Vec<PathBuf>, ConfigError> {
    let mut files = Vec::new();
    for argument in arguments {
        let mut found = match argument.to_str() {
            _ if argument.is_dir() => in_folder(argument)?,
            Some(pattern) if pattern.contains(['*', '?', '[']) && !argument.exists() => fitting(pattern)?,
            _ if is_no_file(argument) => return Err(ConfigError::NotAFile { path: argument.clone() }),
            _ => vec![argument.clone()],
        };
        found.sort();
        files.append(&mut found);
    }
    Ok(files)
}

/// Whether something else than a file stands there: a folder, a device, a pipe that nobody writes to and that would be
/// waited for without end. What cannot be looked at is left to fail by itself, with its reason.
pub fn is_no_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let error = |source| ConfigError::File { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(error)? {
        let path = entry.map_err(error)?.path();
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        if ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) && !is_no_file(&path) {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(ConfigError::NoRequests { folder: folder.to_owned() });
    }
    Ok(found)
}

fn fitting(pattern: &str) -> Result<Vec<PathBuf>, ConfigError> {
    let none = || ConfigError::NoMatch { pattern: PathBuf::from(pattern) };
    let options = glob::MatchOptions { case_sensitive: !cfg!(windows), ..glob::MatchOptions::new() };
    let mut found = Vec::new();
    for path in glob::glob_with(pattern, options).map_err(|_| none())? {
        let path = path.map_err(|error| {
            let path = error.path().to_owned();
            ConfigError::File { path, source: error.into() }
        })?;
        if !is_no_file(&path) {
            found.push(path);
        }
    }
    if found.is_empty() { Err(none()) } else { Ok(found) }
}

/// Whether a file can be written where it is wanted, known before the work whose result it is.
pub fn check_place(path: &Path) -> Result<(), ConfigError> {
    // A device or a link would be replaced, not written to.
    if fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(ConfigError::ReportNotAFile { path: path.to_owned() });
    }
    let beside = |path: PathBuf| {
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        tempfile::Builder::new().prefix(".ptc-").tempfile_in(folder)
    };
    let file = std::path::absolute(path).and_then(beside);
    file.map(drop).map_err(|source| ConfigError::Report { path: path.to_owned(), source })
}

/// The content of a CSR file; of one that is too large just enough to see that.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    fs::File::open(path)?.take(CSR_LIMIT as u64 + 1).read_to_end(&mut content)?;
    Ok(content)
}

/// A certificate on its way to a file.
#[derive(Debug)]
pub struct Download<'a> {
    /// The request's number.
    pub number: RequestNumber,
    /// The name asked for.
    pub common_name: &'a str,
    /// What was checked.
    pub delivery: Delivery<'a>,
}

/// Writes each certificate, with its issuing CA, as PEM into a folder, under a name that no other file has; says where.
/// When this returns, all survive a power cut.
///
/// The same certificate again finds its own file and leaves it alone.
pub fn write(folder: &Path, downloads: &[Download<'_>]) -> Vec<Result<PathBuf, InstallationError>> {
    let failed = |path: PathBuf| move |source| InstallationError::File { path, source };
    let together = downloads.len() >= SYNCED_TOGETHER;
    // Opened before anything is written: an error is told to whoever had the file system open when it came.
    let file_system = together.then(|| fs::File::open(folder));
    let prepared: Vec<_> = downloads
        .iter()
        .map(|download| {
            let content = download.pem();
            let file = write_beside(folder, content.as_bytes(), !together).map_err(failed(folder.to_owned()))?;
            Ok((content, file))
        })
        .collect();
    let synced = file_system.map_or(Ok(()), |folder| sync_file_system(&folder?));
    crate::kill_point::pass("download.before-file");
    let mut placed: Vec<Result<PathBuf, InstallationError>> = Vec::with_capacity(downloads.len());
    for (download, prepared) in downloads.iter().zip(prepared) {
        placed.push(match (&synced, prepared) {
            (Ok(()), Ok((content, file))) => place(folder, &download.name(), &content, file),
            (Err(error), Ok(_)) => Err(failed(folder.to_owned())(again(error))),
            (_, Err(error)) => Err(error),
        });
    }
    match sync_folder(folder) {
        Ok(()) => placed,
        Err(error) => placed.into_iter().map(|path| path.and_then(|path| Err(failed(path)(again(&error))))).collect(),
    }
}

/// The same error once more, with what the system said.
fn again(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

impl Download<'_> {
    fn pem(&self) -> String {
        let Delivery { certificate, chain } = &self.delivery;
        let without_root = &chain[..chain.len().saturating_sub(1)];
        std::iter::once(*certificate)
            .chain(without_root.iter().map(Vec::as_slice))
            .map(|certificate| pem("CERTIFICATE", certificate))
            .collect()
    }

    /// The file's name without its ending.
    fn name(&self) -> String {
        format!("request-{}-{}", self.number, clean(self.common_name))
    }
}

/// Writes a file beside its place.
fn write_beside(folder: &Path, content: &[u8], sync: bool) -> io::Result<TempPath> {
    let mut file = tempfile::Builder::new().prefix(".ptc-").tempfile_in(folder)?;
    file.write_all(content)?;
    // A certificate is public; the folder says who may look.
    #[cfg(unix)]
    file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    if sync {
        file.as_file().sync_all()?;
    }
    Ok(file.into_temp_path())
}

/// Puts a file in a place that is free, or finds the same content there.
fn place(folder: &Path, name: &str, content: &str, file: TempPath) -> Result<PathBuf, InstallationError> {
    let mut file = file;
    let mut attempt = 1;
    loop {
        let path = match attempt {
            1 => folder.join(format!("{name}.pem")),
            _ => folder.join(format!("{name}-{attempt}.pem")),
        };
        match file.persist_noclobber(&path) {
            Ok(()) => return Ok(path),
            Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => {
                if fs::read(&path).is_ok_and(|existing| existing == content.as_bytes()) {
                    return Ok(path);
                }
                file = refused.path;
            }
            Err(refused) => return Err(InstallationError::File { path, source: refused.error }),
        }
        attempt += 1;
    }
}

/// From this many files on, one sync of the whole file system costs less than one each (0.3 ms and more).
const SYNCED_TOGETHER: usize = if cfg!(target_os = "linux") { 16 } else { usize::MAX };

/// Makes everything that was written to the folder's file system durable, and tells of errors on the way since the folder
/// was opened (syncfs(2)).
#[cfg(target_os = "linux")]
fn sync_file_system(folder: &fs::File) -> io::Result<()> {
    Ok(rustix::fs::syncfs(folder)?)
}

/// Elsewhere each file was synced as it was written.
#[cfg(not(target_os = "linux"))]
fn sync_file_system(_folder: &fs::File) -> io::Result<()> {
    Ok(())
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
            let delivery = Delivery { certificate, chain: &[] };
            let download = Download { number: RequestNumber(3), common_name: "NUL", delivery };
            write(folder.path(), &[download]).remove(0).unwrap()
        };
        let first = write(b"one");
        let second = write(b"two");
        assert_eq!(first.file_name().unwrap(), "request-3-NUL.pem");
        assert_eq!(second.file_name().unwrap(), "request-3-NUL-2.pem");
        assert_eq!(write(b"one"), first);
        assert!(fs::read_to_string(first).unwrap().contains("b25l"));
    }
}
