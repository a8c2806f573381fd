//! Install packages over their life: until when they are good, and what takes their place.

use ptc_enroll::protocol::messages::{NewPackage, PackageSummary, RequestStatus};
use ptc_enroll::protocol::package::{Defaults, Package};
use ptc_enroll::protocol::problem::ProblemCode;
use ptc_enroll::protocol::request::{Kind, StoreScope};
use ptc_enroll::protocol::secret::Secret;
use serde_json::{Value, json};
use time::Duration;
use time::format_description::well_known::Rfc3339;

use crate::support::service::{A, B, Draft, Service, new_package, operator, secret_of};

fn create(service: &Service, new: &NewPackage) -> (i64, Secret) {
    let created = service.run(service.app.create_package(&operator(), new)).unwrap();
    (created.id, secret_of(&created))
}

fn listed(service: &Service, id: i64) -> PackageSummary {
    let packages = service.run(service.app.list_packages(&operator())).unwrap();
    packages.into_iter().find(|package| package.id == id).unwrap()
}

fn submits(service: &Service, secret: &Secret) -> u16 {
    service.public().submit(secret, None, &Draft::workstation(A, &service.fresh("PC-"))).status
}

#[test]
fn an_expired_package_is_refused_and_what_it_brought_is_still_answered() {
    let service = Service::start();
    let ends = service.now() + Duration::days(30);
    let (id, secret) = create(&service, &NewPackage { expires_at: Some(ends), ..new_package(A) });
    assert_eq!(listed(&service, id).expires_at, Some(ends.replace_nanosecond(0).unwrap()));
    let draft = Draft::workstation(A, "PC-1");
    let first = service.public().submit(&secret, Some("key"), &draft);
    assert_eq!(first.status, 201, "{}", first.text());
    service.advance(Duration::days(29));
    assert_eq!(submits(&service, &secret), 201);
    service.advance(Duration::days(1));
    let refused = service.public().submit(&secret, None, &Draft::workstation(A, "PC-2"));
    let problem = refused.is_problem(ProblemCode::Forbidden);
    let day = ends.date().to_string();
    assert!(problem.detail.as_ref().is_some_and(|detail| detail.contains(&day)), "{problem:?}");
    let again = service.public().submit(&secret, Some("key"), &draft);
    assert_eq!(again.status, 200, "{}", again.text());
    assert_eq!(again.json::<RequestStatus>().number, first.json::<RequestStatus>().number);
}

#[test]
fn a_rotated_package_is_good_for_its_grace_and_no_longer() {
    let service = Service::start();
    let ptc = service.secure(Some(&service.ptc_manager()));
    let defaults = Defaults { locality: Some("Paris".to_owned()), ..Defaults::default() };
    let new = NewPackage {
        store: StoreScope::User,
        external_requests: true,
        expires_at: Some(service.now() + Duration::days(100)),
        defaults,
        ..new_package(A)
    };
    let (id, old) = create(&service, &new);
    service.advance(Duration::days(10));
    let created = service.run(service.app.rotate_package(&operator(), id, 7)).unwrap();
    let rotated = secret_of(&created);
    let (before, after) = (listed(&service, id), listed(&service, created.id));
    assert_eq!(created.replaces.as_ref(), Some(&before));
    assert_eq!((before.replaced_by, before.disabled), (Some(created.id), false));
    let close = |end: Option<time::OffsetDateTime>, days| {
        let off = end.unwrap() - (service.now() + Duration::days(days));
        assert!(off.abs() < Duration::minutes(1), "{off}");
    };
    close(before.expires_at, 7);
    close(after.expires_at, 100);
    assert_eq!(
        (after.kind, after.store, after.external_requests, &after.defaults, after.organisation.as_str()),
        (Kind::Workstation, StoreScope::User, true, &new.defaults, A)
    );
    assert_eq!(created.package.defaults, new.defaults);
    assert_ne!(old, rotated);

    assert_eq!((submits(&service, &old), submits(&service, &rotated)), (201, 201));
    service.advance(Duration::days(7) + Duration::minutes(1));
    assert_eq!((submits(&service, &old), submits(&service, &rotated)), (403, 201));
    let refused = service.public().submit(&old, None, &Draft::workstation(A, "PC-9"));
    let detail = refused.is_problem(ProblemCode::Forbidden).detail.unwrap();
    assert!(detail.contains("newer install package"), "{detail}");

    // A second click, or a second manager, makes no second package.
    let reply = ptc.post(&format!("/manager/packages/{id}/rotate"), &json!({}));
    reply.is_problem(ProblemCode::StateConflict);
    // Without grace the old one ends at once; one that was ended can be replaced.
    let path = format!("/manager/packages/{}/rotate", created.id);
    ptc.post(&path, &json!({ "grace_days": 367 })).is_problem(ProblemCode::InvalidField);
    ptc.post(&path, &json!({ "days": 1 })).is_problem(ProblemCode::Malformed);
    let reply = ptc.post(&path, &json!({}));
    assert_eq!((reply.status, reply.header("content-type")), (201, Some("application/zip")));
    assert!(reply.header("content-disposition").unwrap().contains("J1CFRA-test-workstation.zip"));
    assert_eq!(submits(&service, &rotated), 403);
    let third = listed(&service, created.id).replaced_by.unwrap();
    assert_eq!(ptc.post(&format!("/manager/packages/{third}/disable"), &json!({})).status, 200);
    let fourth = service.run(service.app.rotate_package(&operator(), third, 30)).unwrap();
    assert!(listed(&service, third).disabled);
    assert_eq!(submits(&service, &secret_of(&fourth)), 201);
    ptc.post("/manager/packages/99/rotate", &json!({})).is_problem(ProblemCode::NotFound);

    let audited = service.audited(&format!("package:{id}"));
    assert_eq!(audited.last().unwrap().1, "package.rotate");
    assert_eq!(audited.last().unwrap().2, json!({ "replaced_by": created.id, "grace_days": 7 }));
}

#[test]
fn grace_lengthens_no_life() {
    let service = Service::start();
    let ends = service.now() + Duration::days(3);
    let (id, secret) = create(&service, &NewPackage { expires_at: Some(ends), ..new_package(A) });
    service.run(service.app.rotate_package(&operator(), id, 300)).unwrap();
    service.advance(Duration::days(4));
    assert_eq!(submits(&service, &secret), 403);
    // The longest life that a date can say has no further one; its end is kept.
    let longest = time::macros::datetime!(9999-12-31 23:59:59 UTC);
    let (id, _) = create(&service, &NewPackage { expires_at: Some(longest), ..new_package(A) });
    service.advance(Duration::days(4));
    let created = service.run(service.app.rotate_package(&operator(), id, 0)).unwrap();
    assert_eq!(created.expires_at, Some(longest));
}

#[test]
fn packages_are_listed_and_ended_over_the_api() {
    let service = Service::start();
    let ptc = service.secure(Some(&service.ptc_manager()));
    let (id, secret) = create(&service, &new_package(A));
    let ends = (service.now() + Duration::days(1)).format(&Rfc3339).unwrap();
    let body = json!({ "organisation": B, "kind": "server", "store": "machine", "expires_at": ends });
    assert_eq!(ptc.post("/manager/packages", &body).status, 201);
    let past = (service.now() - Duration::SECOND).format(&Rfc3339).unwrap();
    let body = json!({ "organisation": B, "kind": "server", "store": "machine", "expires_at": past });
    ptc.post("/manager/packages", &body).is_problem(ProblemCode::InvalidField);

    let packages: Value = ptc.get("/manager/packages").json();
    assert_eq!(packages.as_array().unwrap().len(), 2);
    assert_eq!((&packages[0]["organisation"], &packages[0]["disabled"]), (&json!(A), &json!(false)));
    assert_eq!(packages[0].get("expires_at"), None);
    assert!(packages[1]["expires_at"].is_string());
    let reply = ptc.get("/manager/packages").text();
    assert!(!reply.contains(secret.expose()) && !reply.contains(secret.fingerprint().as_str()), "{reply}");

    let path = format!("/manager/packages/{id}/disable");
    let ended: PackageSummary = ptc.post(&path, &json!({})).json();
    assert!(ended.disabled && ended.disabled_at.is_some());
    service.advance(Duration::HOUR);
    assert_eq!(ptc.post(&path, &json!({})).json::<PackageSummary>(), ended);
    assert_eq!(submits(&service, &secret), 403);
    ptc.post("/manager/packages/99/disable", &json!({})).is_problem(ProblemCode::NotFound);
}

#[test]
fn a_preview_checks_everything_and_makes_nothing() {
    let service = Service::start();
    let preview = |new: &NewPackage| service.run(service.app.preview_package(&operator(), new));
    let entries = || service.run(service.app.audit_record(&operator(), 0, Some(200))).unwrap().items.len();
    let before = entries();
    let new =
        NewPackage { defaults: Defaults { key: Some("ec-p256".to_owned()), ..Defaults::default() }, ..new_package(A) };
    let shown = preview(&new).unwrap();
    let ended = NewPackage { expires_at: Some(service.now()), ..new.clone() };
    let key = NewPackage { defaults: Defaults { key: Some("des".to_owned()), ..Defaults::default() }, ..new.clone() };
    let external = NewPackage { kind: Kind::ExternalServer, ..new.clone() };
    for (wrong, field) in
        [(&ended, "expires_at"), (&key, "defaults.key"), (&external, "kind"), (&new_package("X9"), "organisation")]
    {
        let said = preview(wrong).unwrap_err().to_string();
        assert!(said.contains(field), "{said}");
    }
    assert!(service.run(service.app.list_packages(&operator())).unwrap().is_empty());
    assert_eq!(entries(), before);
    let created = service.run(service.app.create_package(&operator(), &new)).unwrap();
    assert_eq!(toml::from_str::<Package>(&shown).unwrap(), created.package);
    let (_, settings) = created.files.iter().find(|(path, _)| path.ends_with("package.toml")).unwrap();
    assert_eq!(shown.as_bytes(), settings);
}
