//! The CA's keys on disk: encrypted, under another passphrase, plain again; interrupted on the way; open to others.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::commands::Installation;
use crate::support::serving::PROGRAM;
use crate::support::site::Run;

const KEYS: [&str; 2] = ["root", "issuing"];

/// A passphrase in a file of its owner.
fn passphrase(installation: &Installation, name: &str) -> PathBuf {
    let path = installation.0.path().join(name);
    fs::write(&path, format!("never printed: {name}\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

/// An installation whose keys are encrypted from the start.
fn encrypted() -> (Installation, PathBuf) {
    let installation = Installation::empty();
    let file = passphrase(&installation, "first");
    installation.init_with(&["--operations-listen=127.0.0.1:0", &flag("--ca-passphrase-file", &file)]).exits(0);
    (installation, file)
}

fn flag(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

fn encrypt(installation: &Installation, file: &Path) -> Run {
    installation.run(["ca", "encrypt-keys", &flag("--passphrase-file", file)])
}

/// Writes the setting anew, or takes it out.
fn set(installation: &Installation, file: Option<&Path>) {
    let path = installation.home().join("enrollment.toml");
    let settings = fs::read_to_string(&path).unwrap();
    let line = file.map(|file| format!("ca_passphrase_file = {:?}\n", file.display().to_string()));
    let others = settings.lines().filter(|line| !line.starts_with("ca_passphrase_file"));
    let others: String = others.map(|line| format!("{line}\n")).collect();
    // Before the first table.
    fs::write(path, line.unwrap_or_default() + &others).unwrap();
}

fn key(installation: &Installation, name: &str) -> PathBuf {
    installation.home().join(format!("ca/{name}.key.pem"))
}

/// Whether OpenSSL opens a key with the passphrase in a file, or without one, and it is that of the certificate.
fn opens(installation: &Installation, name: &str, file: Option<&Path>) -> bool {
    let path = key(installation, name);
    let mut command = Command::new("openssl");
    command.args(["pkey", "-pubout", "-in"]).arg(&path).arg("-passin");
    command.arg(file.map_or_else(|| "pass:".to_owned(), |file| format!("file:{}", file.display())));
    let public = Run::of(&mut command);
    let certificate = path.with_file_name(format!("{name}.crt.pem"));
    let expected = Run::of(Command::new("openssl").args(["x509", "-noout", "-pubkey", "-in"]).arg(certificate));
    public.code == 0 && public.stdout == expected.exits(0).stdout
}

#[test]
fn keys_are_encrypted_from_the_first_moment_as_openssl_reads_them() {
    let (installation, file) = encrypted();
    for name in KEYS {
        let path = key(&installation, name);
        let pem = fs::read_to_string(&path).unwrap();
        assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), "{name}");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600, "{name}");
        assert!(opens(&installation, name, Some(&file)), "{name}");
        assert!(!opens(&installation, name, None), "{name}");
        let form = Run::of(Command::new("openssl").args(["asn1parse", "-in"]).arg(&path)).exits(0).stdout;
        // 0927C0 is 600,000.
        for part in [":PBES2", ":PBKDF2", ":0927C0", ":hmacWithSHA256", ":aes-256-cbc"] {
            assert!(form.contains(part), "{part}: {form}");
        }
    }
    let serving = installation.serve(&[]);
    assert_eq!(serving.stop(), 0);
    let log = fs::read_to_string(installation.0.path().join("log")).unwrap();
    assert!(!log.contains("never printed"), "{log}");
}

#[test]
fn a_passphrase_comes_from_a_file_or_from_systemd_or_the_fix_is_told() {
    let (installation, file) = encrypted();
    let other = passphrase(&installation, "other");
    let open = passphrase(&installation, "open");
    fs::set_permissions(&open, Permissions::from_mode(0o640)).unwrap();
    let empty = passphrase(&installation, "empty");
    fs::write(&empty, "\n").unwrap();
    let two_lines = installation.0.path().join("two-lines");
    fs::copy(&file, &two_lines).unwrap();
    fs::OpenOptions::new().append(true).open(&two_lines).unwrap().write_all(b"\nmore\n").unwrap();
    let missing = installation.0.path().join("missing");
    // As systemd makes it, with the right of the service's account as that of a group.
    let credentials = installation.0.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::copy(&file, credentials.join("ca-passphrase")).unwrap();
    fs::set_permissions(credentials.join("ca-passphrase"), Permissions::from_mode(0o440)).unwrap();
    let cases: [(Option<&Path>, Option<&Path>, i32, &str); 9] = [
        (Some(&file), None, 0, ""),
        (None, Some(&credentials), 0, ""),
        (Some(&other), Some(&credentials), 0, ""),
        (None, None, 8, "ca_passphrase_file"),
        (Some(&other), None, 8, "encrypt-keys"),
        (Some(&missing), None, 3, "missing"),
        (Some(&open), None, 3, "chmod 600"),
        (Some(&empty), None, 3, "secret as text"),
        // openssl would read the first of them only.
        (Some(&two_lines), None, 3, "secret as text"),
    ];
    for (number, (setting, credentials, code, word)) in cases.into_iter().enumerate() {
        set(&installation, setting);
        let mut command = installation.command();
        command.envs(credentials.map(|path| ("CREDENTIALS_DIRECTORY", path))).args(["org", "list"]);
        let run = Run::of(&mut command).exits(code);
        assert!(run.stderr.contains(word), "{number}: {}", run.stderr);
        assert!(!run.stderr.contains("never printed"), "{number}: {}", run.stderr);
    }
    let french =
        Run::of(Command::new(PROGRAM).args(["--lang=fr", "--home"]).arg(installation.home()).args(["org", "list"]));
    assert!(french.exits(3).stderr.contains("secret sous forme de texte"));
}

#[test]
fn an_installation_is_encrypted_changed_and_decrypted() {
    let installation = Installation::with_file("test");
    let (first, second) = (passphrase(&installation, "first"), passphrase(&installation, "second"));
    let plain = fs::read(key(&installation, "issuing")).unwrap();
    let run = encrypt(&installation, &first).exits(0);
    assert!(
        run.stdout.contains("root.key.pem is encrypted") && run.stdout.contains("ca_passphrase_file = "),
        "{}",
        run.stdout
    );
    installation.run(["org", "list"]).exits(8);
    set(&installation, Some(&first));
    installation.run(["org", "list"]).exits(0);
    let again = encrypt(&installation, &first).exits(0);
    assert!(again.stdout.contains("so already"), "{}", again.stdout);

    let run = encrypt(&installation, &second).exits(0);
    assert!(run.stdout.contains("issuing.key.pem is encrypted"), "{}", run.stdout);
    for name in KEYS {
        assert!(opens(&installation, name, Some(&second)) && !opens(&installation, name, Some(&first)), "{name}");
    }
    // Neither the present passphrase nor the wanted one opens them: nothing is written.
    let kept = KEYS.map(|name| fs::read(key(&installation, name)).unwrap());
    let refused = encrypt(&installation, &passphrase(&installation, "third")).exits(8);
    assert!(refused.stderr.contains("root.key.pem"), "{}", refused.stderr);
    assert_eq!(KEYS.map(|name| fs::read(key(&installation, name)).unwrap()), kept);

    set(&installation, Some(&second));
    let run = installation.run(["ca", "decrypt-keys"]).exits(0);
    assert!(
        run.stdout.contains("no longer encrypted") && run.stdout.contains("Take ca_passphrase_file out"),
        "{}",
        run.stdout
    );
    set(&installation, None);
    installation.run(["org", "list"]).exits(0);
    assert_eq!(fs::read(key(&installation, "issuing")).unwrap(), plain, "the same key as before");
    // On record is each change, not the call that changed nothing, nor the one that was refused.
    let record = installation.run(["--output=json", "audit", "list"]).exits(0).stdout;
    assert_eq!(record.matches("service.protect-keys").count(), 3, "{record}");
    assert_eq!(fs::read_dir(installation.home().join("ca")).unwrap().count(), 5, "something is left over");
}

#[test]
fn a_change_of_the_passphrase_that_is_killed_goes_on() {
    let (installation, first) = encrypted();
    let second = passphrase(&installation, "second");
    // Before the root's key, which comes first, and between the two; with a file half written.
    for (place, root) in [("keys.before-replace:1", &first), ("keys.before-replace:2", &second)] {
        let mut change = installation.command();
        change.args(["ca", "encrypt-keys", &flag("--passphrase-file", &second)]).env("PTC_ENROLL_KILL_AT", place);
        assert_eq!(Run::of(&mut change).code, -1, "{place} was never passed");
        assert!(opens(&installation, "root", Some(root)), "{place}");
        assert!(opens(&installation, "issuing", Some(&first)), "{place}");
        fs::write(installation.home().join("ca/.ptc-half"), "half a k").unwrap();
        installation.run(["org", "list"]).exits(0);
    }
    encrypt(&installation, &second).exits(0);
    for name in KEYS {
        assert!(opens(&installation, name, Some(&second)), "{name}");
    }
    set(&installation, Some(&second));
    installation.run(["org", "list"]).exits(0);
    assert!(!opens(&installation, "issuing", Some(&first)));
}

#[test]
fn keys_that_others_can_read_or_replace_stop_the_start() {
    let installation = Installation::with_file("test");
    let folder = installation.home().join("ca");
    let cases: [(&Path, u32, u32, &[&str]); 5] = [
        (&key(&installation, "issuing"), 0o640, 0o600, &["issuing.key.pem", "0640", "chmod 600"]),
        (&key(&installation, "root"), 0o604, 0o600, &["root.key.pem", "0604", "chmod 600"]),
        (&folder, 0o770, 0o700, &["ca", "0770", "chmod go-w"]),
        (&folder, 0o707, 0o700, &["ca", "0707", "chmod go-w"]),
        (&installation.home().join("tls"), 0o720, 0o700, &["tls", "0720", "chmod go-w"]),
    ];
    for (path, open, closed, words) in cases {
        fs::set_permissions(path, Permissions::from_mode(open)).unwrap();
        let run = installation.run(["serve"]).exits(8);
        for word in words {
            assert!(run.stderr.contains(word), "{word}: {}", run.stderr);
        }
        fs::set_permissions(path, Permissions::from_mode(closed)).unwrap();
    }
    installation.run(["org", "list"]).exits(0);
}

#[test]
fn keys_in_the_folder_of_another_account_stop_the_start() {
    const NOBODY: u32 = 65_534;
    const STRANGER: u32 = 65_533;
    let installation = Installation::with_file("test");
    let program = installation.0.path().join("ptc-enrollment");
    fs::copy(PROGRAM, &program).unwrap();
    fs::set_permissions(installation.0.path(), Permissions::from_mode(0o755)).unwrap();
    Run::of(Command::new("chown").arg("-R").arg(NOBODY.to_string()).arg(installation.home())).exits(0);
    let list = || {
        let account = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()];
        let mut command = Command::new("setpriv");
        command.args(account).arg(&program).args(["--lang=en", "--home"]).arg(installation.home());
        Run::of(command.args(["org", "list"]))
    };
    list().exits(0);
    let folder = installation.home().join("ca");
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    chown(&folder, Some(STRANGER), None).unwrap();
    let run = list().exits(8);
    assert!(run.stderr.contains("another account (number 65533)"), "{}", run.stderr);
    // Root encrypts what stays the service's.
    chown(&folder, Some(NOBODY), None).unwrap();
    encrypt(&installation, &passphrase(&installation, "first")).exits(0);
    for name in KEYS {
        assert_eq!(fs::metadata(key(&installation, name)).unwrap().uid(), NOBODY, "{name}");
    }
}
