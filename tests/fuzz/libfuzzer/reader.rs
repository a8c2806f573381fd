//! One of the readers of `tests/fuzz/targets.rs`, named by `PTC_FUZZ_TARGET`, under libFuzzer.
#![no_main]
#![expect(clippy::unwrap_used, reason = "a promise that does not hold is told by a panic")]

use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target, fuzzer_mutate};
use tempfile::TempDir;

use self::mutator::mutate;
use self::support::chance::Chance;
use self::targets::{TARGETS, Target};

#[path = "../mutator.rs"]
mod mutator;
mod support;
#[path = "../targets.rs"]
mod targets;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("PTC_FUZZ_TARGET").unwrap();
    TARGETS.into_iter().find(|target| target.name == name).unwrap()
});
static PLACE: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

fuzz_target!(|input: &[u8]| -> Corpus {
    (TARGET.accepts)(input, PLACE.path());
    // What is refused has paths of its own.
    Corpus::Keep
});

// DER whose lengths are wrong is refused at its first byte: every other mutation knows how it is built.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if seed.is_multiple_of(2) {
        return fuzzer_mutate(data, size, max_size);
    }
    let mutated = mutate(&mut Chance(seed.into()), &[data[..size].to_vec()]);
    let kept = mutated.len().min(max_size);
    data[..kept].copy_from_slice(&mutated[..kept]);
    kept
});
