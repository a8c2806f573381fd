//! What the programs under test said, kept where `tests/run` asks for it: it searches all of it for secrets.

use std::env;
use std::ffi::OsStr;
use std::path::Path;

/// Keeps what one of our two programs said; what others say is theirs.
pub fn keep_of(program: &OsStr, said: &[&[u8]]) {
    let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with("ptc-enroll") {
        keep(&said.concat());
    }
}

/// Keeps a log, where there is one.
pub fn keep_log(path: &Path) {
    if let Ok(said) = std::fs::read(path) {
        keep(&said);
    }
}

fn keep(said: &[u8]) {
    let Some(folder) = env::var_os("PTC_TEST_OUTPUT").filter(|_| !said.is_empty()) else { return };
    let (mut file, _) = tempfile::Builder::new().tempfile_in(folder).unwrap().keep().unwrap();
    std::io::Write::write_all(&mut file, said).unwrap();
}
