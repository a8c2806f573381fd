//! Changes where the database is in the text of `enrollment.toml`, and leaves everything else as people wrote it.

use std::path::Path;

use toml::Value;

use crate::service::config::Settings;

const DATABASE: &str = "database";
const PASSWORD_FILE: &str = "database_password_file";
/// The setting after which a new one is put: it is in every file, before the first table.
const BEFORE: &str = "environment";

/// The text with another database: a server's URL with the file of the password, or none of both for the file in the home.
/// `None` where it is written so that nothing can be put in; `settings` are those that it holds now.
pub(super) fn with_database(
    text: &str,
    settings: &Settings,
    database: Option<(&str, Option<&Path>)>,
) -> Option<String> {
    let url = database.map(|(url, _)| url.to_owned());
    let file = database.and_then(|(_, file)| file).map(Path::to_path_buf);
    let added = match database {
        Some((url, file)) => lines_of(url, file)?,
        None => String::new(),
    };
    let (mut changed, mut in_table, mut put) = (String::new(), false, false);
    for line in text.split_inclusive('\n') {
        in_table |= line.trim_start().starts_with('[');
        let name = line.split_once('=').map_or("", |(name, _)| name.trim());
        if !in_table && [DATABASE, PASSWORD_FILE].contains(&name) {
            continue;
        }
        changed += line;
        if !in_table && name == BEFORE && !put {
            changed += if line.ends_with('\n') { "" } else { "\n" };
            changed += &added;
            put = true;
        }
    }
    // A form of TOML that is not looked for above is read as something else now, or not at all.
    let expected = Settings { database: url, database_password_file: file, ..settings.clone() };
    (toml::from_str::<Settings>(&changed).ok()? == expected).then_some(changed)
}

/// The lines with which the settings name a server, if the path can be written in them.
pub(super) fn lines_of(url: &str, password_file: Option<&Path>) -> Option<String> {
    let mut lines = format!("{DATABASE} = {}\n", Value::from(url));
    if let Some(file) = password_file {
        lines += &format!("{PASSWORD_FILE} = {}\n", Value::from(file.to_str()?));
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../../config/enrollment.toml");

    #[test]
    fn one_setting_changes_and_every_comment_stays() {
        let settings: Settings = toml::from_str(SAMPLE).unwrap();
        let url = "postgres:///enroll?host=/run/postgresql";
        let there = with_database(SAMPLE, &settings, Some((url, Some(Path::new("/etc/a \"b\""))))).unwrap();
        let added: Vec<&str> = there.lines().filter(|line| !SAMPLE.lines().any(|old| old == *line)).collect();
        assert_eq!(
            added,
            [format!("database = \"{url}\"").as_str(), "database_password_file = '/etc/a \"b\"'"],
            "{there}"
        );
        let changed: Settings = toml::from_str(&there).unwrap();
        assert_eq!(changed.database.as_deref(), Some(url));
        // Another one takes its place, and back it is the same text.
        let other = with_database(&there, &changed, Some(("postgres:///other", None))).unwrap();
        assert_eq!(other.matches("\ndatabase").count(), 1, "{other}");
        assert_eq!(with_database(&there, &changed, None).unwrap(), SAMPLE);
    }

    #[test]
    fn what_cannot_be_changed_is_left_alone() {
        for text in [
            SAMPLE.replace("environment = \"test\"", "\"environment\" = \"test\""),
            SAMPLE.replace("environment = \"test\"", "environment = \"test\"\n\"database\" = \"postgres:///old\""),
        ] {
            let settings: Settings = toml::from_str(&text).unwrap();
            assert_eq!(with_database(&text, &settings, Some(("postgres:///enroll", None))), None);
        }
    }
}
