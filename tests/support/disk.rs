//! What a power failure leaves on a disk: every write and every sync of a real program, played back up to any moment. What is
//! kept is as little as POSIX promises: of a file what it held when it was last synced, of a folder the names that it had
//! when it was last synced.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use super::chance::Chance;
use super::receivers::eventually;
use super::strace::{Reader, Step};

/// What is kept of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Nothing.
    Nothing,
    /// All names, and of contents nothing: a new file is empty.
    Names,
    /// All names, and of each file the first writes, the last of them up to the middle of a page.
    Some,
}

/// A folder as it was before it was recorded, and all that happened in it since.
pub struct Recording {
    folder: PathBuf,
    before: Disk,
    steps: Vec<(usize, Step)>,
    /// How long the files are that were read so far.
    read: usize,
}

impl Recording {
    /// Begins with what lies in the folder now; all of it is on disk.
    pub fn of(folder: &Path) -> Self {
        let folder = folder.canonicalize().unwrap();
        let mut before = Disk::default();
        before.take_over(&folder, 0);
        Self { folder, before, steps: Vec::new(), read: 0 }
    }

    /// How far a recording is that is under way.
    pub fn position(&self, trace: &Path) -> usize {
        self.read + usize::try_from(fs::metadata(trace).unwrap().len()).unwrap()
    }

    /// Reads what was recorded, once the program has ended, and says how far that leads.
    pub fn read(&mut self, trace: &Path) -> usize {
        let is_over = |text: &str| text.lines().last().is_some_and(|line| line.contains("+++ "));
        eventually("the end of a recording", || is_over(&fs::read_to_string(trace).unwrap()));
        let mut reader = Reader::default();
        for line in fs::read_to_string(trace).unwrap().split_inclusive('\n') {
            self.read += line.len();
            for step in reader.steps(line.trim_end()) {
                if step.path().is_none_or(|path| path.starts_with(&self.folder)) {
                    self.steps.push((self.read, step));
                }
            }
        }
        self.read
    }

    /// The moments at which the power may fail so that it makes a difference: before and after each sync.
    pub fn moments(&self) -> Vec<usize> {
        let mut moments = Vec::new();
        for pair in self.steps.windows(2) {
            match (&pair[0].1, &pair[1].1) {
                (_, Step::SyncBegins { .. } | Step::SyncAll) => moments.push(pair[0].0),
                (Step::SyncEnds { .. } | Step::SyncAll, _) => moments.push(pair[0].0),
                _ => {}
            }
        }
        moments.extend(self.steps.last().map(|(at, _)| *at));
        moments.sort_unstable();
        moments.dedup();
        moments
    }

    /// Whether the network was touched by then.
    pub fn was_online(&self, moment: usize) -> bool {
        self.steps.iter().any(|(at, step)| *at <= moment && matches!(step, Step::Connect))
    }

    /// Makes a folder as it is after a power failure at a moment.
    pub fn restore(&self, moment: usize, kept: Kept, chance: &mut Chance, to: &Path) {
        let mut disk = self.before.clone();
        for (_, step) in self.steps.iter().take_while(|(at, _)| *at <= moment) {
            disk.go(step, &self.folder);
        }
        disk.write(0, kept, chance, to);
    }
}

/// Files and folders, as programs see them and as they are after a power failure.
#[derive(Clone)]
struct Disk {
    files: Vec<File>,
    /// The first is the one that everything lies in.
    folders: Vec<Folder>,
    /// Where symbolic links lead; a link is there with its name, or not at all.
    links: Vec<PathBuf>,
}

#[derive(Clone, Default)]
struct File {
    synced: Vec<u8>,
    /// What came after, in its order.
    unsynced: Vec<Change>,
    /// How much of it was there when a sync began that has not ended.
    syncing: usize,
    mode: u32,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Clone, Default)]
struct Folder {
    names: BTreeMap<OsString, Node>,
    syncing: BTreeMap<OsString, Node>,
    synced: BTreeMap<OsString, Node>,
    mode: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    File(usize),
    Folder(usize),
    Link(usize),
}

impl Default for Disk {
    fn default() -> Self {
        Self { files: Vec::new(), folders: vec![Folder { mode: 0o700, ..Folder::default() }], links: Vec::new() }
    }
}

impl Disk {
    fn take_over(&mut self, from: &Path, into: usize) {
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            let node = if entry.path().is_symlink() {
                self.links.push(fs::read_link(entry.path()).unwrap());
                Node::Link(self.links.len() - 1)
            } else if entry.path().is_dir() {
                self.folders.push(Folder { mode, ..Folder::default() });
                let folder = self.folders.len() - 1;
                self.take_over(&entry.path(), folder);
                Node::Folder(folder)
            } else {
                self.files.push(File { synced: fs::read(entry.path()).unwrap(), mode, ..File::default() });
                Node::File(self.files.len() - 1)
            };
            self.folders[into].names.insert(entry.file_name(), node);
        }
        self.folders[into].synced = self.folders[into].names.clone();
    }

    fn go(&mut self, step: &Step, root: &Path) {
        let inside = |path: &Path| path.strip_prefix(root).unwrap().to_owned();
        match step {
            Step::Open { path, mode, truncated } => {
                let path = inside(path);
                let file = match self.node(&path) {
                    Some(Node::File(file)) => file,
                    Some(_) => return,
                    None => {
                        self.files.push(File { mode: *mode, ..File::default() });
                        self.put(&path, Node::File(self.files.len() - 1));
                        self.files.len() - 1
                    }
                };
                if *truncated {
                    self.files[file].unsynced.push(Change::Length(0));
                }
            }
            Step::Folder { path, mode } => {
                self.folders.push(Folder { mode: *mode, ..Folder::default() });
                self.put(&inside(path), Node::Folder(self.folders.len() - 1));
            }
            Step::Write { path, offset, content } => {
                self.change(&inside(path), Change::Write(*offset, content.clone()))
            }
            Step::Length { path, length } => self.change(&inside(path), Change::Length(*length)),
            Step::Rename { from, to } => {
                let node = self.take(&inside(from)).unwrap_or_else(|| panic!("{from:?} is not there"));
                self.put(&inside(to), node);
            }
            Step::Link { from, to } => {
                let node = self.node(&inside(from)).unwrap();
                self.put(&inside(to), node);
            }
            Step::Symlink { target, path } => {
                self.links.push(target.clone());
                self.put(&inside(path), Node::Link(self.links.len() - 1));
            }
            Step::Remove { path } => {
                self.take(&inside(path));
            }
            Step::Mode { path, mode } => match self.node(&inside(path)) {
                Some(Node::File(file)) => self.files[file].mode = *mode,
                Some(Node::Folder(folder)) => self.folders[folder].mode = *mode,
                _ => {}
            },
            Step::SyncBegins { path } => match self.node(&inside(path)) {
                Some(Node::File(file)) => self.files[file].syncing = self.files[file].unsynced.len(),
                Some(Node::Folder(folder)) => self.folders[folder].syncing = self.folders[folder].names.clone(),
                _ => {}
            },
            Step::SyncEnds { path } => match self.node(&inside(path)) {
                Some(Node::File(file)) => self.files[file].sync(),
                Some(Node::Folder(folder)) => self.folders[folder].synced = self.folders[folder].syncing.clone(),
                _ => {}
            },
            Step::SyncAll => {
                for file in &mut self.files {
                    file.syncing = file.unsynced.len();
                    file.sync();
                }
                self.folders.iter_mut().for_each(|folder| folder.synced = folder.names.clone());
            }
            Step::Connect => {}
        }
    }

    fn change(&mut self, path: &Path, change: Change) {
        let Some(Node::File(file)) = self.node(path) else { panic!("{path:?} is written and not there") };
        self.files[file].unsynced.push(change);
    }

    fn node(&self, path: &Path) -> Option<Node> {
        let mut node = Node::Folder(0);
        let mut passed = PathBuf::new();
        for part in path.components() {
            if let Node::Link(link) = node {
                node = self.node(&passed.with_file_name(&self.links[link]))?;
            }
            let (Node::Folder(folder), Component::Normal(name)) = (node, part) else { return None };
            node = *self.folders[folder].names.get(name)?;
            passed.push(name);
        }
        Some(node)
    }

    fn names_beside(&mut self, path: &Path) -> &mut BTreeMap<OsString, Node> {
        match self.node(path.parent().unwrap()) {
            Some(Node::Folder(folder)) => &mut self.folders[folder].names,
            _ => panic!("{path:?} lies in no folder"),
        }
    }

    fn put(&mut self, path: &Path, node: Node) {
        let name = path.file_name().unwrap().to_owned();
        self.names_beside(path).insert(name, node);
    }

    fn take(&mut self, path: &Path) -> Option<Node> {
        let name = path.file_name().unwrap().to_owned();
        self.names_beside(path).remove(&name)
    }

    fn write(&self, folder: usize, kept: Kept, chance: &mut Chance, to: &Path) {
        fs::create_dir(to).unwrap();
        let folder = &self.folders[folder];
        for (name, node) in if kept == Kept::Nothing { &folder.synced } else { &folder.names } {
            let path = to.join(name);
            match node {
                Node::Folder(folder) => self.write(*folder, kept, chance, &path),
                Node::Link(link) => symlink(&self.links[*link], &path).unwrap(),
                Node::File(file) => {
                    let file = &self.files[*file];
                    fs::write(&path, file.after(kept, chance)).unwrap();
                    fs::set_permissions(&path, Permissions::from_mode(file.mode)).unwrap();
                }
            }
        }
        fs::set_permissions(to, Permissions::from_mode(folder.mode)).unwrap();
    }
}

impl File {
    fn sync(&mut self) {
        let rest = self.unsynced.split_off(self.syncing);
        for change in std::mem::replace(&mut self.unsynced, rest) {
            change.apply(&mut self.synced);
        }
        self.syncing = 0;
    }

    /// What it holds after a power failure.
    fn after(&self, kept: Kept, chance: &mut Chance) -> Vec<u8> {
        let mut content = self.synced.clone();
        if kept == Kept::Some && !self.unsynced.is_empty() {
            let whole = chance.below(self.unsynced.len() + 1);
            self.unsynced[..whole].iter().for_each(|change| change.apply(&mut content));
            if let Some(Change::Write(offset, written)) = self.unsynced.get(whole) {
                // Disks write sectors.
                let torn = chance.below(written.len() / 512 + 1) * 512;
                Change::Write(*offset, written[..torn].to_vec()).apply(&mut content);
            }
        }
        content
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Length(length) => content.resize(*length, 0),
            Self::Write(offset, written) => {
                if content.len() < offset + written.len() {
                    content.resize(offset + written.len(), 0);
                }
                content[*offset..][..written.len()].copy_from_slice(written);
            }
        }
    }
}
