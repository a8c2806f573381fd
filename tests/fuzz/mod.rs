//! Whatever reads bytes from outside, fed with bytes that are nearly right: every input that was ever kept, then mutations
//! of them by chance.
//!
//! The seed is printed with a failure and taken from `PTC_FUZZ_SEED`; `PTC_FUZZ_CASES` says how many mutations each target
//! gets. An input that fails is written to `target/tmp/fuzz`; it belongs into `tests/data/fuzz`.

mod mutator;
mod service;
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::mutator::mutate;
use self::targets::{TARGETS, Target};
use crate::support::chance::{Chance, seed};

/// Longer inputs are replayed, not mutated: thousands of them take minutes.
const MUTATED_LIMIT: usize = 16 * 1024;

/// Mutations a target, unless the environment says otherwise.
const CASES: usize = 3_000;

/// No input takes longer, on a machine that does other things too; what costs more than its length takes minutes.
const PATIENCE: Duration = Duration::from_secs(5);

/// Chance for one target, and the seed that repeats it.
fn chance(target: &str) -> (u64, Chance) {
    let seed = seed("PTC_FUZZ_SEED");
    let own = target.bytes().fold(seed, |sum, byte| sum.wrapping_mul(257).wrapping_add(byte.into()));
    (seed, Chance(own))
}

fn cases(usual: usize) -> usize {
    std::env::var("PTC_FUZZ_CASES").map_or(usual, |cases| cases.parse::<usize>().unwrap() * usual / CASES)
}

/// The inputs that are kept for a target, by name.
fn kept(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fuzz").join(target);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Whether the target accepts an input, in time.
fn accepts(target: Target, input: &[u8], place: &Path) -> bool {
    let start = Instant::now();
    let accepted = (target.accepts)(input, place);
    assert!(start.elapsed() < PATIENCE, "{:?} for {} bytes", start.elapsed(), input.len());
    accepted
}

/// Replays what is kept, then tries mutations.
#[expect(clippy::print_stdout, reason = "the figure")]
fn fuzz(name: &str) {
    let target = TARGETS.into_iter().find(|target| target.name == name).unwrap();
    let place = tempfile::tempdir().unwrap();
    let mut inputs = Vec::new();
    for (path, input) in kept(name) {
        // The name says what becomes of it.
        let accepted = path.file_name().unwrap().to_string_lossy().starts_with("good");
        let outcome = catch_unwind(AssertUnwindSafe(|| accepts(target, &input, place.path())));
        assert_eq!(outcome.ok(), Some(accepted), "{}", path.display());
        if input.len() <= MUTATED_LIMIT {
            inputs.push(input);
        }
    }
    let (seed, mut chance) = chance(name);
    let cases = cases(CASES);
    let mut refused = 0;
    for case in 0..cases {
        let input = mutate(&mut chance, &inputs);
        match catch_unwind(AssertUnwindSafe(|| accepts(target, &input, place.path()))) {
            Ok(accepted) => refused += usize::from(!accepted),
            Err(_) => {
                let path = keep(name, &input);
                panic!("{name}: case {case} of PTC_FUZZ_SEED={seed}, kept as {}", path.display());
            }
        }
    }
    println!("{name}: {refused} of {cases} refused, PTC_FUZZ_SEED={seed}");
}

/// Keeps an input that something failed with.
fn keep(target: &str, input: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz").join(target);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(&ptc_enroll::protocol::secret::sha256_hex(input)[..16]);
    fs::write(&path, input).unwrap();
    path
}

macro_rules! each {
    ($($target:ident)*) => {
        $(
            #[test]
            fn $target() {
                fuzz(stringify!($target));
            }
        )*

        #[test]
        fn every_target_is_tried() {
            assert_eq!(TARGETS.map(|target| target.name), [$(stringify!($target)),*]);
        }
    };
}

each! { csr package settings answers manifest journal messages replies query ocsp text }
