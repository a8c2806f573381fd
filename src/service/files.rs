//! Files that must survive a crash and keep a secret: written whole or not at all, synced, owner-only where they must be.
//!
//! Knows nothing of what the files hold.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::Builder;
use zeroize::Zeroizing;

use crate::locales::Text;

const OWNER_ONLY_FOLDER: u32 = 0o700;
const OWNER_ONLY_FILE: u32 = 0o600;
const PUBLIC_FILE: u32 = 0o644;
const PROGRAM: u32 = 0o755;

/// What the names of files start with that are being written.
const TEMPORARY: &str = ".ptc-";

/// Why a file or folder cannot be read or made. The cause stands in the text, for a person to read, so it is no `source`
/// that would be printed a second time.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub enum FileError {
    /// Something is there already and is not overwritten.
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// Nothing is there.
    Missing {
        /// What was looked for.
        path: PathBuf,
    },
    /// A secret that other accounts of the machine may read.
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A secret in a folder whose files other accounts may replace.
    OpenFolder {
        /// The folder.
        folder: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A secret, or its folder, that belongs to somebody else.
    ForeignOwner {
        /// The file or folder.
        path: PathBuf,
        /// The number of the account that it belongs to.
        owner: u32,
    },
    /// The folder that is to be replaced is the one in which the command was called.
    Current {
        /// The folder.
        path: PathBuf,
    },
    /// A mount point is where something is to take a place in one step.
    MountPoint {
        /// The file or folder.
        path: PathBuf,
    },
    /// What should be one line of text is none, or more.
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    System {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

impl FileError {
    /// The error with its fix, for a person.
    pub fn text(&self) -> Text {
        match self {
            Self::Exists { path } => Text::new("file-exists").with("path", path.display()),
            Self::Missing { path } => Text::new("file-missing").with("path", path.display()),
            Self::TooOpen { path, mode } => {
                Text::new("file-too-open").with("path", path.display()).with("mode", format_args!("{mode:04o}"))
            }
            Self::OpenFolder { folder, mode } => {
                Text::new("file-open-folder").with("path", folder.display()).with("mode", format_args!("{mode:04o}"))
            }
            Self::ForeignOwner { path, owner } => {
                Text::new("file-foreign-owner").with("path", path.display()).with("owner", owner)
            }
            Self::Current { path } => Text::new("file-current-folder").with("path", path.display()),
            Self::MountPoint { path } => Text::new("file-mount-point").with("path", path.display()),
            Self::NotText { path } => Text::new("file-not-text").with("path", path.display()),
            Self::System { path, cause } => Text::new("file-system").with("path", path.display()).with("cause", cause),
        }
    }

    /// Whether there was no room for it.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::System { cause, .. } if is_disk_full(cause))
    }

    /// What the system said of a file.
    pub(super) fn new(path: &Path, cause: io::Error) -> Self {
        let path = path.to_owned();
        match cause.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => Self::Exists { path },
            io::ErrorKind::NotFound => Self::Missing { path },
            _ => Self::System { path, cause },
        }
    }
}

/// Whether the system had no room for what was to be written.
pub(super) fn is_disk_full(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Makes a folder, with those above it, that only its owner can enter; one that is there stays as it is.
pub fn ensure_folder(folder: &Path) -> Result<(), FileError> {
    if folder.is_dir() {
        return Ok(());
    }
    owner_only()
        .recursive(true)
        .create(folder)
        .and_then(|()| sync_folder(parent(folder)))
        .map_err(|cause| FileError::new(folder, cause))
}

/// Under which name the log says that somebody else is waited for.
pub const WAITING: &str = "waiting";

/// How the name of a folder ends while it is filled.
const STAGING: &str = ".installing";

/// Makes an owner-only folder with all that `fill` puts into it, or nothing: it is filled under another name beside
/// its place and moved there when everything is synced.
///
/// # Errors
/// Besides those of `fill`: [`FileError::Exists`] where something other than an empty folder is there, and
/// [`FileError::MountPoint`] where that is one.
pub fn create_folder<E: From<FileError>>(folder: &Path, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    create_folder_after(folder, |_| Ok(()), fill)
}

/// The same after a look at what an interrupted attempt left, if one did, before that is thrown away.
pub fn create_folder_after<E: From<FileError>>(
    folder: &Path,
    look: impl FnOnce(&Path) -> Result<(), E>,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    // Of a link, what it leads to.
    let folder = &match fs::canonicalize(folder) {
        Err(_) if folder.is_symlink() => return Err(FileError::Exists { path: folder.to_owned() }.into()),
        resolved => resolved.unwrap_or_else(|_| folder.to_owned()),
    };
    let parent = parent(folder);
    ensure_folder(parent)?;
    // Two at once would fill the same folder: the second waits, and finds the place occupied.
    let _turn = wait_for_turn(parent)?;
    let occupied = fs::read_dir(folder)
        .map_or_else(|error| error.kind() != io::ErrorKind::NotFound, |mut entries| entries.next().is_some());
    if occupied {
        return Err(FileError::Exists { path: folder.to_owned() }.into());
    }
    // Whoever called would be left in one that is no longer there.
    if std::env::current_dir().is_ok_and(|current| current == *folder) {
        return Err(FileError::Current { path: folder.to_owned() }.into());
    }
    if is_mount_point(folder) {
        return Err(FileError::MountPoint { path: folder.to_owned() }.into());
    }
    // Always the same name, so that what an interrupted attempt left lies about with its secrets no longer than until
    // the next one.
    let mut name = OsString::from(".");
    name.push(folder.file_name().unwrap_or_default());
    name.push(STAGING);
    let staging = parent.join(name);
    look(&staging)?;
    discard(&staging).and_then(|()| owner_only().create(&staging)).map_err(|cause| FileError::new(&staging, cause))?;
    let filled = fill(&staging).and_then(|()| {
        // Moving over an empty folder succeeds, over a full one fails: what appeared meanwhile is not lost.
        let moved = sync_folder(&staging).and_then(|()| fs::rename(&staging, folder));
        moved.and_then(|()| sync_folder(parent)).map_err(|cause| FileError::new(folder, cause).into())
    });
    if filled.is_err() {
        let _ = discard(&staging);
    }
    filled
}

/// The folders beside this one in which an interrupted attempt left something under another name, for who has the turn. None
/// where the file system has no locks: others may be at work on them.
pub fn interrupted_beside(staging: &Path) -> Vec<PathBuf> {
    let folder = parent(staging);
    // Whoever asks has the lock, and even they do not get another one.
    let has_locks = File::open(folder).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)));
    let entries = has_locks.then(|| fs::read_dir(folder).ok()).flatten().into_iter().flatten().filter_map(Result::ok);
    let is_staging = |name: &OsStr| name.to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(STAGING));
    let left = entries.filter(|entry| is_staging(&entry.file_name())).map(|entry| entry.path());
    left.filter(|path| path != staging).collect()
}

/// Waits until nobody else has this file or folder for their own, which they have until they drop what is returned. Where
/// the file system has no locks, that nobody does this is left to people.
pub fn wait_for_turn(path: &Path) -> Result<Option<File>, FileError> {
    let turn = cfg!(unix).then(|| File::open(path)).transpose().map_err(|cause| FileError::new(path, cause))?;
    if let Some(turn) = &turn
        && let Err(TryLockError::WouldBlock) = turn.try_lock()
    {
        log::warn!(target: WAITING, path:% = path.display(); "waiting for another command that is at work there");
        let _ = turn.lock();
    }
    Ok(turn)
}

fn discard(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}

/// Writes a secret that only the owner can read from the moment it exists. Never overwrites.
pub fn write_secret(path: &Path, content: &[u8]) -> Result<(), FileError> {
    write(path, content, OWNER_ONLY_FILE, |file| file.persist_noclobber(path))
}

/// A new file that only the owner can read from the moment it exists, for what is too long to be written at once. Whoever
/// fills it syncs it. Never overwrites.
pub fn create_secret(path: &Path) -> Result<File, FileError> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, OWNER_ONLY_FILE);
    options.open(path).map_err(|cause| FileError::new(path, cause))
}

/// The names of the files in a folder and of links to files, in their order, without the folders in it; none where it is
/// missing.
pub fn names_in(folder: &Path) -> Result<Vec<String>, FileError> {
    let entries = match fs::read_dir(folder) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|cause| FileError::new(folder, cause))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|cause| FileError::new(folder, cause))?;
        let name = entry.file_name();
        // What an interrupted write left is no file of anybody's.
        let Some(name) = name.to_str().filter(|name| !name.starts_with(TEMPORARY)) else { continue };
        // Of a link, what it leads to.
        let path = entry.path();
        if fs::metadata(&path).map_err(|cause| FileError::new(&path, cause))?.is_file() {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Writes a secret in place of one that is there, for the same owner.
pub fn replace_secret(path: &Path, content: &[u8]) -> Result<(), FileError> {
    write(path, content, OWNER_ONLY_FILE, |file| {
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt, fchown};
            let owned = fs::metadata(path).and_then(|old| fchown(file.as_file(), Some(old.uid()), Some(old.gid())));
            if let Err(error) = owned {
                return Err(tempfile::PersistError { error, file });
            }
        }
        file.persist(path)
    })
}

/// Writes a file that everybody may read, in place of one that may be there.
pub fn write_public(path: &Path, content: &[u8]) -> Result<(), FileError> {
    write(path, content, PUBLIC_FILE, |file| file.persist(path))
}

/// Makes sure that [`write_public`] can put a file in place of this one, and changes nothing.
pub fn check_replaceable(path: &Path) -> Result<(), FileError> {
    if is_mount_point(path) {
        return Err(FileError::MountPoint { path: path.to_owned() });
    }
    let folder = parent(path);
    temporary(PUBLIC_FILE).tempfile_in(folder).map(drop).map_err(|cause| FileError::new(folder, cause))
}

/// Whether something is mounted there, which no rename puts anything in place of (rename(2), EBUSY). Linux tells since 5.8.
fn is_mount_point(path: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
        statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())
            .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        false
    }
}

/// Removes a file; one that is not there is none.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path).and_then(|()| sync_folder(parent(path))) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(FileError::new(path, cause)),
        _ => Ok(()),
    }
}

/// Writes a program that everybody may run, in place of one that may be there.
pub fn write_program(path: &Path, content: &[u8]) -> Result<(), FileError> {
    write(path, content, PROGRAM, |file| file.persist(path))
}

fn write(
    path: &Path,
    content: &[u8],
    mode: u32,
    persist: impl FnOnce(tempfile::NamedTempFile) -> Result<File, tempfile::PersistError>,
) -> Result<(), FileError> {
    let folder = parent(path);
    let attempt = || {
        let mut file = temporary(mode).tempfile_in(folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        persist(file)?;
        sync_folder(folder)
    };
    attempt().map_err(|cause| FileError::new(path, cause))
}

/// Reads a secret, which nobody but its owner may be able to read, nor anybody else to replace. The owner is this account
/// or root.
pub fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    read_kept(path, 0o077)
}

/// Reads a secret that is one line of text.
pub fn read_secret_text(path: &Path) -> Result<Zeroizing<String>, FileError> {
    one_line(path, &read_secret(path)?)
}

/// Reads a credential that systemd has put there, one line of text. It is root's, and the service's account can read it
/// by an access list, which shows as a right of the group (acl(5)).
pub(super) fn read_credential_text(path: &Path) -> Result<Zeroizing<String>, FileError> {
    one_line(path, &read_kept(path, 0o007)?)
}

#[cfg_attr(not(unix), expect(unused_variables, reason = "only Unix has modes"))]
fn read_kept(path: &Path, forbidden: u32) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let mut content = Zeroizing::new(Vec::new());
    let mut file = File::open(path).map_err(|cause| FileError::new(path, cause))?;
    #[cfg(unix)]
    check_rights(path, &file, forbidden)?;
    file.read_to_end(&mut content).map_err(|cause| FileError::new(path, cause))?;
    Ok(content)
}

#[cfg(unix)]
fn check_rights(path: &Path, file: &File, forbidden: u32) -> Result<(), FileError> {
    use std::os::unix::fs::MetadataExt;

    let folder = parent(path);
    let of_file = file.metadata().map_err(|cause| FileError::new(path, cause))?;
    let of_folder = fs::metadata(folder).map_err(|cause| FileError::new(folder, cause))?;
    let mode = of_file.mode() & 0o7777;
    if mode & forbidden != 0 {
        return Err(FileError::TooOpen { path: path.to_owned(), mode });
    }
    // In a sticky folder nobody replaces the files of others (inode(7)).
    let mode = of_folder.mode() & 0o7777;
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        return Err(FileError::OpenFolder { folder: folder.to_owned(), mode });
    }
    // Root works on what is the service's.
    let account = rustix::process::geteuid().as_raw();
    for (path, owner) in [(path, of_file.uid()), (folder, of_folder.uid())] {
        if account != 0 && owner != account && owner != 0 {
            return Err(FileError::ForeignOwner { path: path.to_owned(), owner });
        }
    }
    Ok(())
}

fn one_line(path: &Path, bytes: &[u8]) -> Result<Zeroizing<String>, FileError> {
    let not_text = || FileError::NotText { path: path.to_owned() };
    let text = std::str::from_utf8(bytes).map_err(|_| not_text())?.trim_end_matches(['\r', '\n']);
    // Others that read it, as openssl, take the first line only.
    if text.is_empty() || text.contains(['\r', '\n']) { Err(not_text()) } else { Ok(Zeroizing::new(text.to_owned())) }
}

/// Reads a file that is no secret.
pub fn read_public(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(|cause| FileError::new(path, cause))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A new name is durable when its folder is.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Makes folders that only their owner can enter; elsewhere than on Unix, the rights of the folder above apply.
fn owner_only() -> fs::DirBuilder {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix has modes"))]
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, OWNER_ONLY_FOLDER);
    builder
}

/// A temporary file with these permissions from the start; elsewhere than on Unix, its folder's rights apply.
fn temporary(mode: u32) -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder.prefix(TEMPORARY);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    builder
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).map_or(0, |metadata| metadata.mode() & 0o777)
    }

    #[test]
    fn secrets_are_the_owners_and_are_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write_secret(&path, b"one").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert!(matches!(write_secret(&path, b"two"), Err(FileError::Exists { .. })));
        assert_eq!(read_secret(&path).unwrap().as_slice(), b"one");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file is left over");
    }

    #[test]
    fn secrets_that_others_can_read_are_refused_with_the_fix() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for (mode, refused) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true), (0o660, true)] {
            let _ = fs::remove_file(&path);
            write_secret(&path, b"secret").unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(matches!(read_secret(&path), Err(FileError::TooOpen { .. })), refused, "{mode:o}");
        }
        let text = read_secret(&path).unwrap_err().text();
        let hint = text.hint(crate::locales::Language::English).unwrap();
        assert!(hint.contains("chmod") && hint.contains(path.to_str().unwrap()), "{hint}");
    }

    #[test]
    fn folders_are_made_whole_or_not_at_all() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        let fail = create_folder(&folder, |staging| {
            write_secret(&staging.join("first"), b"1")?;
            Err(FileError::Missing { path: "second".into() })
        });
        assert!(matches!(fail, Err(FileError::Missing { .. })));
        assert_eq!(fs::read_dir(folder.parent().unwrap()).unwrap().count(), 0, "remains are left over");
        // One that was killed cannot clean up; the next one does.
        let killed = folder.with_file_name(".b.installing");
        fs::create_dir(&killed).unwrap();
        fs::write(killed.join("first"), "a key").unwrap();
        create_folder(&folder, |staging| write_secret(&staging.join("first"), b"1")).unwrap();
        assert_eq!(fs::read_dir(folder.parent().unwrap()).unwrap().count(), 1, "remains are left over");
        assert_eq!(mode(&folder), 0o700);
        let again = create_folder(&folder, |staging| write_secret(&staging.join("first"), b"2"));
        assert!(matches!(again, Err(FileError::Exists { .. })), "{again:?}");
        assert_eq!(fs::read(folder.join("first")).unwrap(), b"1");
    }
}
