//! What a program does to files, as strace(1) tells it.
//!
//! strace and not a library in front of libc: some of what we use (tempfile, rustix) calls the kernel by itself.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What changes a disk, and `connect`: what must be on disk before the network is touched.
const CALLS: &str = "openat,open,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,fsync,\
     fdatasync,sync_file_range,syncfs,sync,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,link,linkat,\
     symlink,symlinkat,chmod,fchmod,fchmodat,connect,copy_file_range,sendfile,splice";

/// A command that is recorded into a file; it keeps its process id.
pub fn recorded(command: &Command, trace: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-D", "-f", "-y", "-xx", "-s", "16777216", "--seccomp-bpf", "-e"]).arg(format!("trace={CALLS}"));
    strace.arg("-o").arg(trace).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            strace.env(name, value);
        }
    }
    strace
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Step {
    Open { path: PathBuf, mode: u32, truncated: bool },
    Folder { path: PathBuf, mode: u32 },
    Write { path: PathBuf, offset: usize, content: Vec<u8> },
    Length { path: PathBuf, length: usize },
    Rename { from: PathBuf, to: PathBuf },
    Link { from: PathBuf, to: PathBuf },
    Symlink { target: PathBuf, path: PathBuf },
    Remove { path: PathBuf },
    Mode { path: PathBuf, mode: u32 },
    SyncBegins { path: PathBuf },
    SyncEnds { path: PathBuf },
    SyncAll,
    Connect,
}

impl Step {
    /// What it is done to, by which it is in the folder or not.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Open { path, .. }
            | Self::Folder { path, .. }
            | Self::Write { path, .. }
            | Self::Length { path, .. }
            | Self::Rename { to: path, .. }
            | Self::Link { to: path, .. }
            | Self::Symlink { path, .. }
            | Self::Remove { path }
            | Self::Mode { path, .. }
            | Self::SyncBegins { path }
            | Self::SyncEnds { path } => Some(path),
            Self::SyncAll | Self::Connect => None,
        }
    }
}

/// Understands what strace prints.
#[derive(Default)]
pub struct Reader {
    /// Calls of each thread that have begun and not ended.
    begun: HashMap<String, String>,
    /// Where each descriptor writes next.
    positions: HashMap<u32, usize>,
    /// How long each file is, for those that write at the end.
    lengths: HashMap<PathBuf, usize>,
    /// The descriptors that write at the end.
    appending: HashMap<u32, bool>,
}

impl Reader {
    /// What a line tells.
    pub fn steps(&mut self, line: &str) -> Vec<Step> {
        let Some((thread, said)) = line.split_once(' ') else { return Vec::new() };
        let said = said.trim_start();
        if let Some(begun) = said.strip_suffix(" <unfinished ...>") {
            self.begun.insert(thread.to_owned(), begun.to_owned());
            let Some((name, arguments)) = begun.split_once('(') else { return Vec::new() };
            return match (name, path_of(arguments)) {
                ("fsync" | "fdatasync", Some(path)) => vec![Step::SyncBegins { path }],
                _ => Vec::new(),
            };
        }
        if said.starts_with("<... ") {
            let (Some(begun), Some((_, rest))) = (self.begun.remove(thread), said.split_once(" resumed>")) else {
                return Vec::new();
            };
            let whole = self.call(&format!("{begun}{rest}"));
            // Its beginning was told when it began.
            return whole.into_iter().filter(|step| !matches!(step, Step::SyncBegins { .. })).collect();
        }
        self.call(said)
    }

    fn call(&mut self, said: &str) -> Vec<Step> {
        let Some((name, rest)) = said.split_once('(') else { return Vec::new() };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { return Vec::new() };
        if name == "connect" {
            // Under way or done; to the name service's socket it is no network.
            return if arguments.contains("AF_INET") { vec![Step::Connect] } else { Vec::new() };
        }
        if result.starts_with('-') || result.starts_with('?') {
            return Vec::new();
        }
        let arguments = arguments.trim_end().trim_end_matches(')');
        let parts: Vec<&str> = arguments.split(", ").collect();
        let mode =
            |part: Option<&&str>| part.and_then(|part| u32::from_str_radix(part, 8).ok()).unwrap_or(0o644) & !0o022;
        let number = |part: &str| part.parse::<usize>().unwrap_or_else(|_| panic!("{said:.200}"));
        match name {
            "open" | "openat" => {
                let (path, flags) = match name {
                    "open" => (text_path(parts[0]), 1),
                    _ => (at(parts[0], parts[1]), 2),
                };
                let (flags, created) = (parts[flags], parts.get(flags + 1));
                // Without a name nothing of it is left.
                if flags.contains("O_TMPFILE") {
                    return Vec::new();
                }
                let descriptor = result.split('<').next().unwrap().trim().parse().unwrap();
                let length = *self
                    .lengths
                    .entry(path.clone())
                    .or_insert_with(|| fs::metadata(&path).map_or(0, |found| usize::try_from(found.len()).unwrap()));
                self.positions.insert(descriptor, 0);
                self.appending.insert(descriptor, flags.contains("O_APPEND"));
                let truncated = flags.contains("O_TRUNC");
                if truncated || length > 0 && flags.contains("O_EXCL") {
                    self.lengths.insert(path.clone(), 0);
                }
                match flags.contains("O_CREAT") || truncated {
                    true => vec![Step::Open { path, mode: mode(created), truncated }],
                    false => Vec::new(),
                }
            }
            "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2" => {
                let Some(path) = path_of(parts[0]).filter(|path| path.is_absolute()) else { return Vec::new() };
                let descriptor: u32 = parts[0].split('<').next().unwrap().parse().unwrap();
                let mut content: Vec<u8> = arguments.split('"').skip(1).step_by(2).flat_map(bytes).collect();
                content.truncate(number(result.trim()));
                let offset = match name {
                    "write" | "writev" if self.appending.get(&descriptor) == Some(&true) => {
                        self.lengths.get(&path).copied().unwrap_or_default()
                    }
                    "write" | "writev" => self.positions.get(&descriptor).copied().unwrap_or_default(),
                    "pwrite64" => number(parts[parts.len() - 1]),
                    _ => number(parts[3]),
                };
                let end = offset + content.len();
                if name.starts_with('w') {
                    self.positions.insert(descriptor, end);
                }
                let length = self.lengths.entry(path.clone()).or_default();
                *length = end.max(*length);
                vec![Step::Write { path, offset, content }]
            }
            "ftruncate" => {
                let (path, length) = (path_of(parts[0]).unwrap(), number(parts[1]));
                self.lengths.insert(path.clone(), length);
                vec![Step::Length { path, length }]
            }
            "fsync" | "fdatasync" => match path_of(parts[0]) {
                Some(path) => vec![Step::SyncBegins { path: path.clone() }, Step::SyncEnds { path }],
                None => Vec::new(),
            },
            "sync" | "syncfs" => vec![Step::SyncAll],
            "rename" => self.rename(text_path(parts[0]), text_path(parts[1])),
            "renameat" | "renameat2" => self.rename(at(parts[0], parts[1]), at(parts[2], parts[3])),
            "link" => vec![Step::Link { from: text_path(parts[0]), to: text_path(parts[1]) }],
            "linkat" => vec![Step::Link { from: at(parts[0], parts[1]), to: at(parts[2], parts[3]) }],
            "symlink" => vec![Step::Symlink { target: text_path(parts[0]), path: text_path(parts[1]) }],
            "symlinkat" => vec![Step::Symlink { target: text_path(parts[0]), path: at(parts[1], parts[2]) }],
            "unlink" | "rmdir" => vec![Step::Remove { path: text_path(parts[0]) }],
            "unlinkat" => vec![Step::Remove { path: at(parts[0], parts[1]) }],
            "mkdir" => vec![Step::Folder { path: text_path(parts[0]), mode: mode(parts.get(1)) }],
            "mkdirat" => vec![Step::Folder { path: at(parts[0], parts[1]), mode: mode(parts.get(2)) }],
            "chmod" => vec![Step::Mode { path: text_path(parts[0]), mode: mode(parts.get(1)) }],
            "fchmod" => {
                path_of(parts[0]).map(|path| Step::Mode { path, mode: mode(parts.get(1)) }).into_iter().collect()
            }
            "fchmodat" => vec![Step::Mode { path: at(parts[0], parts[1]), mode: mode(parts.get(2)) }],
            // Promises nothing (sync_file_range(2)).
            "sync_file_range" => Vec::new(),
            // Between sockets and pipes only, as far as anybody has seen; in a folder that is recorded, not understood.
            _ => {
                assert!(!matches!(name, "truncate" | "fallocate" | "creat"), "{said}");
                Vec::new()
            }
        }
    }

    fn rename(&mut self, from: PathBuf, to: PathBuf) -> Vec<Step> {
        let length = self.lengths.remove(&from).unwrap_or_default();
        self.lengths.insert(to.clone(), length);
        vec![Step::Rename { from, to }]
    }
}

/// `\x41\x42` as bytes.
fn bytes(text: &str) -> Vec<u8> {
    text.split("\\x").skip(1).map(|digits| u8::from_str_radix(&digits[..2], 16).unwrap()).collect()
}

fn text_path(argument: &str) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes(argument.trim_matches('"'))))
}

/// The path behind a descriptor, `3<\x2f>`, if the file still has one.
fn path_of(argument: &str) -> Option<PathBuf> {
    let (_, rest) = argument.split_once('<')?;
    let (path, after) = rest.split_once('>')?;
    (!after.starts_with("(deleted)")).then(|| PathBuf::from(OsString::from_vec(bytes(path))))
}

/// A path that is told from a folder on.
fn at(folder: &str, argument: &str) -> PathBuf {
    let path = text_path(argument);
    path_of(folder).map_or_else(|| path.clone(), |folder| folder.join(&path))
}
