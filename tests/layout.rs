//! The walls between the rooms, and the few things that lie at the top of the repository.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(sources(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
    found
}

#[test]
fn rooms_open_in_one_direction_only() {
    for (room, closed) in [
        ("protocol", &["client", "service"][..]),
        ("client", &["service"]),
        ("service", &["client"]),
        ("service/ca", &["service::api", "service::db", "service::registration"]),
    ] {
        let files = sources(&root().join("src").join(room));
        assert!(!files.is_empty(), "{room} is empty");
        for file in files {
            let source = fs::read_to_string(&file).unwrap();
            for other in closed {
                for path in [format!("crate::{other}"), format!("ptc_enroll::{other}")] {
                    assert!(!source.contains(&path), "{} reaches into {other}", file.display());
                }
            }
        }
    }
}

#[test]
fn unsafe_code_stays_where_windows_is_called() {
    for file in sources(&root().join("src")) {
        let source = fs::read_to_string(&file).unwrap();
        let has_unsafe = source.lines().any(|line| !line.trim_start().starts_with("//") && line.contains("unsafe {"));
        assert!(!has_unsafe || of_windows(&file), "unsafe in {}", file.display());
    }
}

/// Files named after the system that they call.
fn of_windows(file: &Path) -> bool {
    let inside = file.strip_prefix(root()).unwrap().with_extension("");
    inside.components().any(|part| part.as_os_str() == "windows")
}

/// What is passed in `src` and killed at nowhere would be a promise that nobody tried.
#[test]
fn every_kill_point_is_in_a_test() {
    let read = |folder: &str| sources(&root().join(folder)).into_iter().map(|file| fs::read_to_string(file).unwrap());
    let passed: Vec<String> = read("src")
        .flat_map(|source| {
            let calls = source.split("kill_point::pass(\"").skip(1);
            calls.map(|call| call.split('"').next().unwrap().to_owned()).collect::<Vec<_>>()
        })
        .collect();
    assert!(passed.len() > 60, "{}", passed.len());
    let tests: String = read("tests").collect();
    let missing: Vec<&String> = passed
        .iter()
        .filter(|place| ![format!("\"{place}\""), format!("\"{place}:")].iter().any(|quoted| tests.contains(quoted)))
        .collect();
    assert!(missing.is_empty(), "{missing:?} are killed at in no test");
}

#[test]
fn the_top_level_holds_only_what_it_may() {
    let allowed = ["Cargo.toml", "Cargo.lock", "src", "config", "tests", "docs", "README.md", "target"];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let dotted = name.starts_with('.');
        assert!(dotted || allowed.contains(&name.as_str()), "{name} has no place at the top level");
    }
}
