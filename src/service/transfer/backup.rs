//! Makes a backup: the home's files and the records of the database, from beside the running service or without one.

use std::collections::BTreeMap;
use std::io::{BufWriter, IntoInnerError};
use std::path::{Component, Path, PathBuf};

use tokio::runtime::Builder;
use zeroize::Zeroizing;

use super::checks::{check_record, check_root};
use super::manifest::{DATABASE, FORMAT, FileDigest, HOME, path_of};
use super::tables::{Count, read_out};
use super::{CaKeys, Manifest, TransferError, Watch};
use crate::kill_point;
use crate::protocol::secret::sha256_hex;
use crate::service::app::Clock;
use crate::service::config::{Home, Settings};
use crate::service::db::records;
use crate::service::files::{self, FileError};
use crate::service::opening;
use crate::service::private_key;

/// Makes a backup in a new folder, which appears whole or not at all, owner-only. Needs no passphrase. Blocks; not to be
/// called from within a runtime.
///
/// # Errors
/// [`FileError::Exists`] where something is there already; [`TransferError::AuditBroken`] and [`TransferError::Foreign`]
/// where what is there would not make an installation again.
pub fn backup(home: &Home, to: &Path, clock: &Clock, watch: Watch<'_>) -> Result<Manifest, TransferError> {
    let settings = Settings::load(home)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut made = None;
    files::create_folder_after(to, discard_interrupted, |staging| {
        // The files first: what they certify is recorded before it comes to lie there.
        let files = copy_files(home, &settings, staging)?;
        kill_point::pass("backup-files");
        let manifest = runtime.block_on(save(home, &settings, files, staging, clock, watch))?;
        manifest.write(staging)?;
        kill_point::pass("backup-manifest");
        // As whoever restores it will.
        made = Some(Manifest::read(staging)?.0);
        for folder in [staging.to_owned(), staging.join(DATABASE), staging.join(HOME)] {
            files::sync_folder(&folder).map_err(|cause| FileError::new(&folder, cause))?;
        }
        Ok::<(), TransferError>(())
    })?;
    made.ok_or_else(|| TransferError::NoBackup { path: to.to_owned() })
}

/// Removes what backups left beside this one that were interrupted: each had another name, and the CA's keys are in it.
fn discard_interrupted(staging: &Path) -> Result<(), TransferError> {
    for folder in files::interrupted_beside(staging) {
        // An installation has no such folder, and goes on with what is there.
        if folder.join(HOME).is_dir() {
            log::warn!(folder:% = folder.display(); "an interrupted backup is removed");
            std::fs::remove_dir_all(&folder).map_err(|cause| FileError::new(&folder, cause))?;
        }
    }
    Ok(())
}

/// What of the home is in the backup.
struct Files {
    kept: BTreeMap<String, FileDigest>,
    left_out: Vec<PathBuf>,
    ca_keys: CaKeys,
}

fn copy_files(home: &Home, settings: &Settings, staging: &Path) -> Result<Files, TransferError> {
    let mut files = Files { kept: BTreeMap::new(), left_out: Vec::new(), ca_keys: CaKeys::Absent };
    let mut paths = vec![home.settings()];
    for folder in [home.ca(), home.tls(), home.package_signer()] {
        paths.extend(files::names_in(&folder)?.into_iter().map(|name| folder.join(name)));
    }
    for file in settings.secret_files() {
        match file.is_relative() && file.components().all(|part| matches!(part, Component::Normal(_))) {
            true => paths.push(home.folder().join(file)),
            // In another home it would be looked for in the same place elsewhere.
            false => files.left_out.push(file.clone()),
        }
    }
    for file in settings.key_opening_files() {
        // Whoever has the backup would have the keys and what opens them.
        let opening = home.folder().join(file);
        paths.retain(|path| !is_same(path, &opening));
        files.left_out.push(file.clone());
    }
    for path in paths {
        let Some(name) = path.strip_prefix(home.folder()).ok().and_then(Path::to_str) else { continue };
        let content = Zeroizing::new(files::read_public(&path)?);
        if path.starts_with(home.ca()) && name.ends_with(".key.pem") {
            let encrypted = std::str::from_utf8(&content).is_ok_and(private_key::is_encrypted);
            let others_encrypted = files.ca_keys != CaKeys::Plain;
            files.ca_keys = if encrypted && others_encrypted { CaKeys::Encrypted } else { CaKeys::Plain };
        }
        let copy = staging.join(HOME).join(name);
        files::ensure_folder(copy.parent().unwrap_or(staging))?;
        files::write_secret(&copy, &content)?;
        let digest = FileDigest { bytes: content.len() as u64, sha256: sha256_hex(&content) };
        files.kept.insert(name.to_owned(), digest);
    }
    Ok(files)
}

/// Whether both lead to one file, by whatever way.
fn is_same(one: &Path, other: &Path) -> bool {
    let resolved = |path: &Path| std::fs::canonicalize(path).ok();
    one == other || resolved(one).is_some_and(|path| resolved(other) == Some(path))
}

/// Writes the records of one moment.
async fn save(
    home: &Home,
    settings: &Settings,
    files: Files,
    staging: &Path,
    clock: &Clock,
    watch: Watch<'_>,
) -> Result<Manifest, TransferError> {
    let place = settings.place(home)?;
    let database = opening::open(&place, home).await?;
    // The snapshot is that of its first look: nothing of before this moment is missing.
    let taken_at = clock.now().truncate_to_second();
    let mut snapshot = database.snapshot().await?;
    let connection = &mut *snapshot;
    let trust_anchor_sha256 = check_root(connection, &home.ca(), &place.to_string()).await?;
    let (audit_entries, audit_head) = check_record(connection).await?;
    let found = records::tables(connection).await?;
    let mut count = Count { watch, done: 0, of: 0 };
    for table in &found {
        count.of += records::count(connection, table).await?;
    }
    files::ensure_folder(&staging.join(DATABASE))?;
    let mut tables = Vec::new();
    for table in found {
        let path = path_of(staging, &table);
        let mut file = BufWriter::with_capacity(1 << 16, files::create_secret(&path)?);
        tables.push(read_out(connection, table, &mut file, &mut count).await?);
        let synced = file.into_inner().map_err(IntoInnerError::into_error).and_then(|file| file.sync_all());
        synced.map_err(|cause| FileError::new(&path, cause))?;
        kill_point::pass("backup-table");
    }
    let manifest = Manifest {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        taken_at,
        environment: settings.environment.clone(),
        trust_anchor_sha256,
        ca_keys: files.ca_keys,
        schema: records::schema(connection).await?,
        audit_entries,
        audit_head,
        tables,
        last_numbers: records::last_numbers(connection).await?,
        files: files.kept,
        left_out: files.left_out,
    };
    drop(snapshot);
    database.close().await;
    Ok(manifest)
}
