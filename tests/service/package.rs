//! An install package as its receiver sees it: believed as it was made, refused as soon as anything is changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use ptc_enroll::protocol::messages::Organisation;
use ptc_enroll::protocol::package::{BadManifest, Defaults, FILES, FORMAT, Manifest, Package};
use ptc_enroll::protocol::request::{Kind, StoreScope};
use ptc_enroll::protocol::secret::Secret;
use ptc_enroll::service::ca::{Algorithm, Ca, KeyAccess, NewCa, Profile, Serial, Template};
use ptc_enroll::service::package::{PackageError, Signer, build, write_folder, zip};
use tempfile::TempDir;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

const NOW: OffsetDateTime = datetime!(2026-07-14 12:00:00 UTC);

struct Setup {
    folder: TempDir,
    ca: Ca,
    signer: Signer,
    secret: Secret,
}

impl Setup {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Template)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = Ca::create(
            &folder.path().join("ca"),
            &NewCa { algorithm: Algorithm::EcdsaP256, environment: "test", root_crl: None },
            &KeyAccess::default(),
            NOW,
        )
        .unwrap();
        let place = folder.path().join("package-signer");
        let mut template = Signer::template(&place, "test").unwrap();
        change(&mut template);
        let prepared = ca.prepare(&template, Serial::fresh(NOW).unwrap(), NOW).unwrap();
        Signer::install(&place, &[&ca.sign(&prepared).unwrap(), ca.issuing()]).unwrap();
        let signer = Signer::load(&place).unwrap();
        Self { folder, ca, signer, secret: Secret::random().unwrap() }
    }

    fn build(&self, now: OffsetDateTime) -> Result<Vec<(String, Vec<u8>)>, PackageError> {
        build(&self.signer, &package(), self.ca.root(), &self.secret, now)
    }
}

fn package() -> Package {
    Package {
        format: FORMAT,
        environment: "test".to_owned(),
        service_url: "https://enroll.ptc.example".to_owned(),
        secure_url: "https://secure.ptc.example".to_owned(),
        kind: Kind::Workstation,
        store: StoreScope::Machine,
        external_requests: true,
        system_roots: false,
        organisation: Organisation {
            code: "J1CFRA".to_owned(),
            name: "FRANCE LA POSTE".to_owned(),
            country: "FR".to_owned(),
        },
        defaults: Defaults { locality: Some("Paris".to_owned()), ..Defaults::default() },
    }
}

fn file<'a>(files: &'a [(String, Vec<u8>)], name: &str) -> &'a [u8] {
    &files.iter().find(|(path, _)| *path == format!("config/test/{name}")).unwrap().1
}

fn manifest(files: &[(String, Vec<u8>)]) -> &str {
    std::str::from_utf8(file(files, "manifest.jws")).unwrap()
}

#[test]
fn a_package_is_believed_as_it_was_made() {
    let setup = Setup::new();
    let files = setup.build(NOW).unwrap();
    let manifest = Manifest::verify(manifest(&files), setup.ca.root(), NOW).unwrap();
    assert_eq!((manifest.environment.as_str(), manifest.organisation.as_str()), ("test", "J1CFRA"));
    assert_eq!(manifest.created_at, NOW);
    for name in FILES {
        assert!(manifest.vouches_for(name, file(&files, name)), "{name}");
        let changed = [file(&files, name), b" "].concat();
        assert!(!manifest.vouches_for(name, &changed), "{name}");
    }
    let settings = std::str::from_utf8(file(&files, "package.toml")).unwrap();
    assert_eq!(toml::from_str::<Package>(settings).unwrap(), package());
    let secret = std::str::from_utf8(file(&files, "enrollment-secret")).unwrap();
    assert_eq!(Secret::parse(secret).unwrap(), setup.secret);
    let anchor = pem::parse(file(&files, "trust-anchor.pem")).unwrap();
    assert_eq!(anchor.contents(), setup.ca.root());
    let (path, readme) = &files[0];
    let readme = std::str::from_utf8(readme).unwrap();
    assert_eq!(path, "README.txt");
    for words in
        ["J1CFRA - FRANCE LA POSTE", "https://enroll.ptc.example", "Unpack", "Décompressez", "Poste de travail"]
    {
        assert!(readme.contains(words), "{words}: {readme}");
    }
    assert!(!readme.contains(setup.secret.expose()) && !settings.contains(setup.secret.expose()));
}

#[test]
fn what_was_changed_or_is_foreign_is_refused() {
    let setup = Setup::new();
    let stranger = Setup::new();
    let files = setup.build(NOW).unwrap();
    let jws = manifest(&files);
    let parts: Vec<&str> = jws.split('.').collect();
    let encode = |text: String| BASE64_URL_SAFE_NO_PAD.encode(text);
    let decode = |part: &str| String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let header = |from: &str, to: &str| {
        let changed = decode(parts[0]).replace(from, to);
        assert_ne!(changed, decode(parts[0]));
        format!("{}.{}.{}", encode(changed), parts[1], parts[2])
    };
    let payload = encode(decode(parts[1]).replace("J1CFRA", "J1CDEA"));
    let foreign = stranger.build(NOW).unwrap();
    let root = setup.ca.root();
    let later = datetime!(2036-07-14 12:00:00 UTC);
    for (name, jws, anchor, now, expected) in [
        ("another payload", format!("{}.{payload}.{}", parts[0], parts[2]), root, NOW, BadManifest::Signature),
        (
            "another signature",
            format!("{}.{}.{}", parts[0], parts[1], "A".repeat(86)),
            root,
            NOW,
            BadManifest::Signature,
        ),
        ("no signature", format!("{}.{}.", parts[0], parts[1]), root, NOW, BadManifest::Signature),
        ("another type", header("ptc-package-manifest", "JWT"), root, NOW, BadManifest::Malformed),
        ("another algorithm", header("ES256", "none"), root, NOW, BadManifest::Malformed),
        ("half of it", parts[..2].join("."), root, NOW, BadManifest::Malformed),
        ("nothing", String::new(), root, NOW, BadManifest::Malformed),
        ("a foreign anchor", jws.to_owned(), stranger.ca.root(), NOW, BadManifest::Signer),
        ("a foreign signer", manifest(&foreign).to_owned(), root, NOW, BadManifest::Signer),
        ("after the signer's end", jws.to_owned(), root, later, BadManifest::Signer),
    ] {
        assert_eq!(Manifest::verify(&jws, anchor, now), Err(expected), "{name}");
    }
    // A clock that is behind does not make a package look forged.
    assert!(Manifest::verify(jws, root, NOW - Duration::HOUR).is_ok());
}

#[test]
fn no_package_is_made_that_would_be_refused() {
    let setup = Setup::new();
    let late = setup.build(datetime!(2036-07-14 12:00:00 UTC));
    assert!(matches!(late, Err(PackageError::Manifest(BadManifest::Signer))), "{late:?}");
    // Below the same root, with another usage: a certificate of a machine signs no manifests.
    let machine = Setup::with(|template| template.profile = Profile::Mobile);
    let wrong = machine.build(NOW);
    assert!(matches!(wrong, Err(PackageError::Manifest(BadManifest::Signer))), "{wrong:?}");
}

#[test]
fn a_folder_appears_whole_and_is_not_overwritten() {
    let setup = Setup::new();
    let files = setup.build(NOW).unwrap();
    let folder = setup.folder.path().join("out/J1CFRA");
    write_folder(&files, &folder).unwrap();
    for (path, content) in &files {
        assert_eq!(fs::read(folder.join(path)).unwrap(), *content, "{path}");
    }
    let mode = |path: &str| folder.join(path).metadata().unwrap().mode() & 0o777;
    assert_eq!(mode("config/test/enrollment-secret"), 0o600);
    assert_eq!(mode("README.txt"), 0o644);
    let error = write_folder(&files, &folder).unwrap_err().to_string();
    assert!(error.contains("exists already") && error.contains("J1CFRA"), "{error}");
}

#[test]
fn a_zip_is_unpacked_by_others() {
    let setup = Setup::new();
    let files = setup.build(NOW).unwrap();
    let archive = zip(&files).unwrap();
    assert_eq!(archive, zip(&files).unwrap(), "the same package gives other bytes");
    let place = setup.folder.path().join("package.zip");
    let unpacked = setup.folder.path().join("unpacked");
    fs::write(&place, archive).unwrap();
    let script = "import sys, zipfile\n\
        archive = zipfile.ZipFile(sys.argv[1])\n\
        assert archive.testzip() is None\n\
        archive.extractall(sys.argv[2])\n\
        for entry in archive.infolist(): print(entry.filename, oct(entry.external_attr >> 16 & 0o777))\n";
    let output = Command::new("python3").args(["-c", script]).args([&place, &unpacked]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (path, content) in &files {
        assert_eq!(fs::read(unpacked.join(path)).unwrap(), *content, "{path}");
        let mode = if path.ends_with("enrollment-secret") { "0o600" } else { "0o644" };
        assert!(said.contains(&format!("{path} {mode}\n")), "{said}");
    }
}
