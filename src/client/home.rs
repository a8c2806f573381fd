//! Where the client keeps its files.

use std::env;
use std::path::{Path, PathBuf};

use crate::protocol::request::StoreScope;

/// The variable that names the home folder.
pub const VARIABLE: &str = "PTC_ENROLL_HOME";

/// The places of configuration, state and certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Install packages and downloaded certificates, a folder an environment.
    pub config: PathBuf,
    /// One small file a request, a folder an environment.
    pub state: PathBuf,
    /// The event log that support asks for.
    pub log: PathBuf,
    /// Where the file store keeps what every account may use.
    pub machine_store: PathBuf,
    /// Where the file store keeps what this account may use.
    pub user_store: PathBuf,
}

impl Home {
    /// `--home`, else the variable, else the folder the package was unpacked to, else the platform's place.
    pub fn find(flag: Option<&Path>) -> Self {
        if let Some(folder) = flag.map(Path::to_path_buf).or_else(|| variable(VARIABLE)) {
            // An absolute path stays right in messages, and in links that others follow.
            return Self::below(&std::path::absolute(&folder).unwrap_or(folder));
        }
        match unpacked() {
            Some(folder) => Self::below(&folder),
            None => Self::of_platform(),
        }
    }

    /// Whether a path, which need not exist, leads to where packages, requests, stores and events are kept.
    pub fn keeps(&self, path: &Path) -> bool {
        let real = |path: &Path| match (path.canonicalize(), path.parent(), path.file_name()) {
            (Err(_), Some(folder), Some(name)) => folder.canonicalize().map(|folder| folder.join(name)),
            (real, ..) => real,
        };
        let Ok(path) = std::path::absolute(path).and_then(|path| real(&path)) else { return false };
        let places = [&self.config, &self.state, &self.log, &self.machine_store, &self.user_store];
        places.into_iter().any(|place| real(place).is_ok_and(|place| path.starts_with(place)))
    }

    /// Everything below one folder.
    fn below(folder: &Path) -> Self {
        Self {
            config: folder.join("config"),
            state: folder.join("state"),
            log: folder.join("enroll.log"),
            machine_store: folder.join("store").join(StoreScope::Machine.as_str()),
            user_store: folder.join("store").join(StoreScope::User.as_str()),
        }
    }

    #[cfg(windows)]
    fn of_platform() -> Self {
        let program_data = variable("ProgramData").unwrap_or_else(|| PathBuf::from(r"C:\ProgramData"));
        Self::below(&program_data.join("PTC Enroll"))
    }

    /// The Filesystem Hierarchy Standard's places for root, the XDG folders for everybody else.
    #[cfg(not(windows))]
    fn of_platform() -> Self {
        let machine_store = PathBuf::from("/var/lib/ptc-enroll/store/machine");
        let user = variable("HOME").unwrap_or_else(|| PathBuf::from("/"));
        let xdg = |name, default: &str| variable(name).unwrap_or_else(|| user.join(default)).join("ptc-enroll");
        let state = xdg("XDG_STATE_HOME", ".local/state");
        let user_store = state.join("store").join(StoreScope::User.as_str());
        if rustix::process::geteuid().is_root() {
            let state = PathBuf::from("/var/lib/ptc-enroll");
            let config = PathBuf::from("/etc/ptc-enroll");
            return Self {
                config,
                log: state.join("enroll.log"),
                state: state.join("state"),
                machine_store,
                user_store,
            };
        }
        let config = xdg("XDG_CONFIG_HOME", ".config");
        Self { config, log: state.join("enroll.log"), state: state.join("state"), machine_store, user_store }
    }

    /// Where the file store of a scope is.
    pub fn store(&self, scope: StoreScope) -> &Path {
        match scope {
            StoreScope::Machine => &self.machine_store,
            StoreScope::User => &self.user_store,
        }
    }
}

/// A variable that holds an absolute or relative path; an empty one counts as unset.
fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The program's own folder, where a package was unpacked beside it.
fn unpacked() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let folder = program.parent()?;
    let config = folder.join("config");
    let holds_package = std::fs::read_dir(&config)
        .ok()?
        .flatten()
        .any(|entry| entry.path().join(crate::protocol::package::SETTINGS).is_file());
    holds_package.then(|| folder.to_path_buf())
}
