//! Certificates that do not fit are not installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::proxy::Fault;
use crate::support::site::{FIELDS, Machine, Run, Site, external_csr};

/// A second CSR with the key of a first one, for another host.
fn same_key(first: &Path, host: &str) -> PathBuf {
    let path = first.with_file_name(format!("{host}.csr"));
    let subject = format!("/C=FR/L=Paris/O=J1CFRA - FRANCE LA POSTE/OU=Server/CN={host}");
    let made = Run::of(
        Command::new("openssl")
            .args(["req", "-new", "-sha256", "-subj", &subject])
            .args(["-addext", "keyUsage=digitalSignature,keyEncipherment,dataEncipherment"])
            .args(["-addext", "extendedKeyUsage=serverAuth", "-key"])
            .arg(first.with_extension("key"))
            .arg("-out")
            .arg(&path),
    );
    assert_eq!(made.code, 0, "{}", made.stderr);
    path
}

fn submit(machine: &Machine, csr: &Path) -> u64 {
    let run = machine.run(["--output=json", "submit-external", csr.to_str().unwrap(), FIELDS[0]]).exits(0).json();
    run["result"]["files"][0]["request"]["number"].as_u64().unwrap()
}

#[test]
fn a_certificate_that_fits_neither_key_nor_name_nor_chain_is_not_installed() {
    let site = Site::builder().behind_proxy().start();
    let machine = site.workstation("pc");
    let wanted = external_csr(site.folder(), "api.poste.example", &[]);
    let other_name = same_key(&wanted, "web.poste.example");
    let other_key = external_csr(&tempfile::tempdir().unwrap().keep(), "api.poste.example", &[]);
    let number = submit(&machine, &wanted);
    site.approve(number);
    // Another machine asks for another name with the same key, and for the same name with another key.
    let rival = site.workstation("rival");
    let [named, keyed] = [&other_name, &other_key].map(|csr| submit(&rival, csr));
    site.approve(named);
    site.approve(keyed);
    // Another service certifies the very same CSR.
    let foreign = Site::start();
    let elsewhere = foreign.workstation("pc");
    foreign.approve(submit(&elsewhere, &wanted));

    let right = site.certificate(number);
    let download = machine.home.join(format!("config/test/request-{number}-api.poste.example.pem"));
    for (wrong, words) in [
        (site.certificate(keyed), "belongs to another key"),
        (site.certificate(named), "names “web.poste.example”"),
        (foreign.certificate(1), "does not lead up to"),
        ("AAAA".to_owned(), "cannot be read"),
    ] {
        site.proxy.as_ref().unwrap().next([Fault::Swap(right.clone(), wrong)]);
        let run = machine.run(["fetch"]).exits(8);
        assert!(run.stdout.contains(words), "{words}: {}", run.stdout);
        assert!(!download.exists(), "{words}: it was written all the same");
    }
    machine.run(["fetch"]).exits(0);
    assert!(fs::read_to_string(download).unwrap().contains("BEGIN CERTIFICATE"));
}
