//! The administrator's commands, killed at every step, and called again.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Crashing, KILL_AT};
use crate::service::commands::Installation;
use crate::service::promises::{Record, is_on};
use crate::support::database::TestDatabase;
use crate::support::service::A;
use crate::support::serving::PROGRAM;
use crate::support::site::Run;

impl Crashing {
    fn admin(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(["--lang=en", "--output=json", "--home"]).arg(self.service.home()).args(arguments);
        command
    }
}

/// Runs a command that kills itself at a place.
#[track_caller]
fn command_dies_at(place: &str, mut command: Command) {
    let run = Run::of(command.env(KILL_AT, place));
    assert_eq!(run.code, -1, "{place} was never passed: {}", run.stderr);
}

#[test]
fn an_organisation_is_added_once() {
    let site = Crashing::start();
    for (place, made) in [("organisation.before-commit", false), ("organisation.after-commit", true)] {
        let code = if made { "J1AFTER" } else { "J1BEFORE" };
        let add = || site.admin(&["org", "add", "--code", code, "--name=POSTE", "--country=FR"]);
        command_dies_at(place, add());
        let again = Run::of(&mut add());
        assert_eq!(again.code == 0, !made, "{place}: {}", again.stderr);
        assert!(!made || again.stderr.contains(code), "{place}: {}", again.stderr);
        assert_eq!(site.service.audited(&format!("organisation:{code}")).len(), 1, "{place}");
        site.keeps_all();
    }
}

#[test]
fn a_package_is_made_or_not_and_the_next_one_can_be() {
    let site = Crashing::start();
    let packages = || site.service.number("SELECT count(*) FROM packages");
    let create = |out: &Path| {
        let out = format!("--out={}", out.display());
        site.admin(&["package", "create", "--organisation", A, "--kind=workstation", "--store=machine", &out])
    };
    for (place, made) in [("package.before-commit", 0), ("package.after-commit", 1)] {
        let (before, out) = (packages(), site.service.folder().join(place));
        command_dies_at(place, create(&out));
        assert_eq!(packages() - before, made, "{place}");
        // Its secret is with nobody, so it opens nothing.
        assert!(!out.exists(), "{place}");
        Run::of(&mut create(&out)).exits(0);
        site.keeps_all();
    }
    for (place, made) in [("rotate.before-commit", 0), ("rotate.after-commit", 1)] {
        let before = packages();
        let rotate = |out: &str, id: i64| {
            let out = format!("--out={}", site.service.folder().join(out).display());
            site.admin(&["package", "rotate", &id.to_string(), &out])
        };
        let newest = || site.service.number("SELECT max(id) FROM packages");
        command_dies_at(place, rotate("lost", newest()));
        assert_eq!(packages() - before, made, "{place}");
        // The newest one is what is rotated, whether anybody has its secret or not.
        Run::of(&mut rotate(place, newest())).exits(0);
        site.keeps_all();
    }
    for place in ["end-package.before-commit", "end-package.after-commit"] {
        let id = site.service.number("SELECT max(id) FROM packages WHERE disabled_at IS NULL").to_string();
        command_dies_at(place, site.admin(&["package", "disable", &id]));
        Run::of(&mut site.admin(&["package", "disable", &id])).exits(0);
        let ended = site.service.audited(&format!("package:{id}"));
        assert_eq!(ended.iter().filter(|(_, action, _)| action == "package.disable").count(), 1, "{place}");
        site.keeps_all();
    }
}

#[test]
fn a_manager_is_issued_once() {
    let mut site = Crashing::start();
    let folder = |name: &str| format!("--out={}", site.service.folder().join(name).display());
    let add = |place: &str| {
        let (name, email) = (format!("--name={place}"), format!("--email={place}@poste.example"));
        site.admin(&[
            "manager",
            "add",
            &name,
            &email,
            "--role=registration-manager",
            "--organisation",
            A,
            &folder(place),
        ])
    };
    let id = || site.service.number("SELECT max(id) FROM managers").to_string();
    for (place, made) in
        [("manager.before-commit", false), ("manager.after-commit", true), ("manager.after-sign", true)]
    {
        command_dies_at(place, add(place));
        let again = Run::of(&mut add(place));
        if made {
            // In office without a certificate in their folder, where the key lies: as the answer to the second call says.
            assert_eq!(again.code, 3, "{place}: {}", again.stdout);
            Run::of(&mut site.admin(&["manager", "reissue", &id(), "--revoke-older", &folder(place)])).exits(0);
        } else {
            again.exits(0);
        }
        let valid = "SELECT count(*) FROM certificates WHERE revoked_at IS NULL
                     AND manager = (SELECT max(id) FROM managers)";
        assert_eq!(site.service.number(valid), 1, "{place}");
    }
    for place in ["reissue.before-commit", "reissue.after-commit"] {
        let reissue = || site.admin(&["manager", "reissue", &id(), "--revoke-older", &folder(place)]);
        command_dies_at(place, reissue());
        Run::of(&mut reissue()).exits(0);
    }
    for place in ["disable.before-commit", "disable.after-commit"] {
        let name = format!("before-{place}");
        Run::of(&mut add(&name)).exits(0);
        command_dies_at(place, site.admin(&["manager", "disable", &id()]));
        Run::of(&mut site.admin(&["manager", "disable", &id()])).exits(0);
    }
    // Who was put out of office by a command that died is on the list of a service that comes back.
    site.come_back();
    let revoked: Vec<(String,)> = Record::of(&site.service)
        .rows("SELECT serial FROM certificates WHERE manager IS NOT NULL AND revoked_at IS NOT NULL");
    let list = site.list();
    assert!(revoked.len() >= 6 && revoked.iter().all(|(serial,)| is_on(&list, serial)), "{revoked:?}");
    site.keeps_all();
}

#[test]
fn an_installation_that_is_killed_is_made_by_the_next_call() {
    for place in [
        "init.after-ca",
        "init.after-database",
        "init.after-certificates",
        "init.before-publication",
        "init.before-mark",
    ] {
        let installation = Installation::empty();
        let database = TestDatabase::new();
        if database.is_none() && place == "init.before-mark" {
            // A file has another name until it is complete, and no mark.
            continue;
        }
        let url = database.as_ref().map(|database| format!("--database={}", database.url()));
        let mut flags = vec!["--operations-listen=127.0.0.1:0"];
        flags.extend(url.as_deref());
        command_dies_at(place, installation.init_command(&flags));
        let is_there = place == "init.before-mark";
        assert_eq!(installation.home().exists(), is_there, "{place}");
        if url.is_some() && matches!(place, "init.after-certificates" | "init.before-mark") {
            // Somebody else's, begun or there: it stays.
            let refused = Installation::empty().init_with(&flags).exits(3);
            assert!(refused.stderr.contains("database"), "{}", refused.stderr);
        }
        installation.init_with(&flags).exits(if is_there { 3 } else { 0 });
        installation.run(["audit", "verify"]).exits(0);
        drop(installation.serve(&[]));
    }
}

/// Something of another installation lies in the manager's folder, which is seen after the database was filled.
#[test]
fn an_installation_that_fails_is_made_by_the_next_call() {
    let installation = Installation::empty();
    let database = TestDatabase::new();
    let url = database.as_ref().map(|database| format!("--database={}", database.url()));
    let flags: Vec<&str> = url.as_deref().into_iter().chain(["--operations-listen=127.0.0.1:0"]).collect();
    let in_the_way = installation.0.path().join("manager/manager.crt.pem");
    fs::create_dir(in_the_way.parent().unwrap()).unwrap();
    fs::write(&in_the_way, "another").unwrap();
    let refused = installation.init_with(&flags).exits(3);
    assert!(refused.stderr.contains("manager.crt.pem"), "{}", refused.stderr);
    assert!(!installation.home().exists());
    fs::remove_file(&in_the_way).unwrap();
    installation.init_with(&flags).exits(0);
    installation.run(["audit", "verify"]).exits(0);
}
