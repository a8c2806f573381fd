//! Every page for both roles, in both languages and themes: complete, readable, without complaints.

use ptc_enroll::locales::Language;
use ptc_enroll::protocol::bulk::{BulkDecision, BulkState, BulkVerdict, ShownRequest};
use ptc_enroll::protocol::request::{Kind, RequestNumber, State};
use ptc_enroll::service::auth::Actor;
use ptc_enroll::service::registration::{Maker, RequestQuery};
use ptc_enroll::service::web::PAGES;
use serde_json::{Value, json};

use super::chromium::{Browser, axe};
use crate::support::receivers::eventually;
use crate::support::service::{A, B, Draft, Identity, Service, operator};

/// What axe-core looks for: WCAG 2.2 at level AA, and what it calls good practice besides.
const RULES: &str = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']";
/// How many pixels of the page lie beside a window, outside of what scrolls by itself.
const OVERHANG: &str = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";

/// In how many lines the sections stand.
const NAVIGATION_LINES: &str =
    "return new Set([...document.querySelectorAll('header nav li')].map((it) => it.offsetTop)).size";

/// A service with something on every page, and the numbers of a pending and an approved request.
fn furnished() -> (Service, RequestNumber, RequestNumber) {
    let service = Service::at_its_address();
    for number in 0..8 {
        service.submit(B, Draft::workstation(B, &format!("VERTEILZENTRUM-{number}")));
    }
    let named = |name: &str| service.submit(A, Draft::workstation(A, name).described("The new one at counter 3."));
    let approved = named("GUICHET-3");
    service.approve(approved.number);
    // A second request of the same machine, which is compared with what it has.
    let pending = named("GUICHET-3");
    named("GUICHET-4");
    named("GUICHET-4");
    service.submit(A, Draft::new(A, Kind::ExternalServer, "api.poste.example"));
    (service, pending.number, approved.number)
}

/// Bulk decisions of a manager: one that is shown and not started, one that another process is working on, and one that
/// has ended; their paths.
fn bulk(service: &Service, identity: &Identity) -> [(&'static str, String); 3] {
    let managers = service.run(service.app.list_managers(&operator())).unwrap();
    let actor = Actor::Manager(managers.into_iter().find(|manager| manager.id == identity.id).unwrap());
    let maker = Maker { actor: &actor, certificate: Some(&identity.serial) };
    let decide = || {
        let mut shown = service.pending_many(A, 3);
        shown[1].1 = "0".repeat(64);
        let requests = shown.into_iter().map(|(number, csr_sha256)| ShownRequest { number, csr_sha256 }).collect();
        let asked = BulkDecision { verdict: BulkVerdict::Reject, reason: Some("Not ours.".to_owned()), requests };
        let id = service.run(service.app.decide_in_bulk(maker, None, asked, Language::English)).unwrap().id;
        eventually("the end of a bulk decision", || {
            service.run(service.app.bulk(&actor, id, Language::English)).unwrap().state == BulkState::Finished
        });
        id
    };
    let (running, ended) = (decide(), decide());
    service.tamper(
        "UPDATE bulk_decisions SET state = 'running', ended_at = NULL, worker = 'another', worker_until = 4102444800, decided = 1
         WHERE id = (SELECT min(id) FROM bulk_decisions WHERE state = 'finished')",
    );
    let query = RequestQuery { state: Some(State::Pending), ..RequestQuery::default() };
    let draft = service.run(service.app.draft_bulk(maker, &query, false)).unwrap().unwrap().id;
    [("bulk-draft", draft), ("bulk-running", running), ("bulk-ended", ended)]
        .map(|(name, id)| (name, format!("/requests/bulk/{id}")))
}

/// Names and paths of the pages of a role.
fn paths(service: &Service, ptc: bool, pending: RequestNumber, approved: RequestNumber) -> Vec<(&'static str, String)> {
    let serial = service.detail(approved).status.issued.unwrap().serial;
    let mut paths = vec![
        ("queue", "/requests?state=pending".to_owned()),
        ("queue-all", "/requests?state=pending&order=name".to_owned()),
        ("queue-empty", "/requests?search=nobody".to_owned()),
        ("request-pending", format!("/requests/{pending}")),
        ("request-approved", format!("/requests/{approved}")),
        ("certificates", "/certificates".to_owned()),
        ("certificate", format!("/certificates/{serial}")),
        ("refused", "/requests/999999".to_owned()),
        ("bulk-list", "/requests/bulk".to_owned()),
    ];
    if ptc {
        paths.extend(
            ["organisations", "managers", "packages", "profiles", "health", "audit"].map(|it| (it, format!("/{it}"))),
        );
    }
    paths
}

/// What axe-core finds wrong with the page that is shown.
fn violations(browser: &Browser) -> Vec<String> {
    browser.run(axe());
    let script = format!(
        "const done = arguments[0];
         axe.run(document, {{ runOnly: {{ type: 'tag', values: {RULES} }} }}).then(
             (result) => done(result.violations.flatMap((rule) => rule.nodes.map((node) =>
                 `${{rule.id}}: ${{node.target}} ${{node.failureSummary}} ${{node.html.slice(0, 200)}}`))),
             (error) => done([String(error)]))"
    );
    let found = browser.run_async(&script);
    found.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

/// Looks at each page in light and dark, in the language that the browser is in, and collects what is wrong.
fn look(browser: &Browser, paths: &[(&str, String)], who: &[&str], label: &str, wrong: &mut Vec<String>) {
    for (name, path) in paths {
        let here = format!("{label}-{name}");
        browser.widen(1280);
        browser.open(path);
        let text = browser.text();
        if *name != "refused" {
            for expected in who.iter().filter(|expected| !text.contains(**expected)) {
                wrong.push(format!("{here} does not show {expected:?}: {text}"));
            }
        }
        let lines = browser.run(NAVIGATION_LINES);
        if lines != 1 && *name != "refused" {
            wrong.push(format!("{here} has its sections in {lines} lines"));
        }
        for theme in ["light", "dark"] {
            browser.prefer(theme);
            browser.screenshot(&format!("{here}-{theme}"));
            wrong.extend(violations(browser).into_iter().map(|it| format!("{here}, {theme}: {it}")));
        }
        // 320 pixels are 400 % of 1280 (WCAG 2.2, 1.4.10).
        for width in [320, 3840] {
            browser.widen(width);
            browser.screenshot(&format!("{here}-{width}"));
            let overhang = browser.run(OVERHANG);
            if overhang != 0 {
                wrong.push(format!("{here} is {overhang} pixels wider than {width}: {}", widest(browser)));
            }
        }
        // A page that is refused comes with a status that Chromium reports as a failed load.
        let complaints = browser.complaints().into_iter().filter(|it| *name != "refused" || !it.contains("404"));
        wrong.extend(complaints.map(|it| format!("{here}: {it}")));
    }
}

/// Which elements reach over the edge of the window.
fn widest(browser: &Browser) -> Value {
    browser.run(
        "return [...document.querySelectorAll('body *')]
             .filter((it) => it.getBoundingClientRect().right > document.documentElement.clientWidth + 1
                 && !it.parentElement.closest('.scroll'))
             .map((it) => it.outerHTML.slice(0, 80)).slice(0, 5)",
    )
}

/// Looks at the pages of a role in both languages; changing the language keeps the page.
fn look_twice(service: &Service, identity: &Identity, paths: &[(&str, String)], role: &str, who: [&[&str]; 2]) {
    let browser = Browser::of(service, identity);
    let mut wrong = Vec::new();
    look(&browser, paths, who[0], &format!("{role}-en"), &mut wrong);
    let (_, path) = &paths[1];
    browser.open(path);
    browser.click("button[value=fr]");
    browser.wait_for("return document.documentElement.lang === 'fr'");
    assert_eq!(browser.path(), *path, "the language changed the page");
    look(&browser, paths, who[1], &format!("{role}-fr"), &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_of_a_registration_manager_is_complete_and_accessible() {
    let (service, pending, approved) = furnished();
    let manager = service.manager(A);
    let mut paths = paths(&service, false, pending, approved);
    paths.extend(bulk(&service, &manager));
    let who = [
        &["Jean Dupont", "registration manager", "J1CFRA – FRANCE LA POSTE", "test"][..],
        &["Jean Dupont", "gestionnaire d’enregistrement", "J1CFRA – FRANCE LA POSTE", "test"],
    ];
    look_twice(&service, &manager, &paths, "rm", who);
}

#[test]
fn every_page_of_a_ptc_manager_is_complete_and_accessible() {
    let (service, pending, approved) = furnished();
    service.manager(A);
    let mut paths = paths(&service, true, pending, approved);
    paths.extend(bulk(&service, &service.ptc_manager()));
    // A page that is added to the table is looked at here too; these are no pages.
    let elsewhere =
        ["/", "/certificates/{serial}/download", "/audit/export", "/static/{name}", "/requests/bulk/{id}/results"];
    for (_, route) in PAGES.iter().filter(|(method, route)| *method == "get" && !elsewhere.contains(route)) {
        let fixed = route.split('{').next().unwrap();
        let is_route = |path: &str| match route.contains('{') {
            true => path.starts_with(fixed) && path.len() > fixed.len(),
            false => path.split('?').next() == Some(*route),
        };
        assert!(paths.iter().any(|(_, path)| is_route(path)), "{route} is not looked at");
    }
    let who = [
        &["Perrine Centrale", "PTC manager", "all organisations", "test"][..],
        &["Perrine Centrale", "gestionnaire du CTP", "toutes les organisations", "test"],
    ];
    look_twice(&service, &service.ptc_manager(), &paths, "ptc", who);
}

#[test]
fn what_forms_lead_to_is_complete_and_accessible() {
    let (service, ..) = furnished();
    let browser = Browser::of(&service, &service.ptc_manager());
    let mut wrong = Vec::new();
    let mut check = |name: &str| {
        for theme in ["light", "dark"] {
            browser.prefer(theme);
            browser.screenshot(&format!("form-{name}-{theme}"));
            wrong.extend(violations(&browser).into_iter().map(|it| format!("{name}, {theme}: {it}")));
        }
        browser.widen(320);
        browser.screenshot(&format!("form-{name}-320"));
        if browser.run(OVERHANG) != 0 {
            wrong.push(format!("{name} is too wide: {}", widest(&browser)));
        }
        browser.widen(1280);
        wrong.extend(browser.complaints().into_iter().map(|it| format!("{name}: {it}")));
    };
    browser.widen(1280);
    browser.open("/requests?state=pending");
    browser.press("?");
    browser.wait_for("return document.getElementById('keys').open");
    check("keys");
    browser.click("#keys button");
    browser.click("#select-all");
    browser.click("#selection button.primary");
    browser.see("Decide on the selected requests");
    check("preview");
    browser.click("#approve");
    browser.see("Results");
    check("results");
    browser.open("/audit");
    browser.click("form[action='/audit/verify'] button");
    browser.wait_for("return !!document.querySelector('.notice.good')");
    check("verified");
    browser.open("/certificates?view=revoked");
    check("revoked");
    // The forms within the rows.
    for page in ["managers", "packages"] {
        browser.open(&format!("/{page}"));
        browser.run("document.querySelectorAll('details').forEach((it) => { it.open = true; })");
        check(&format!("{page}-opened"));
    }
    browser.run("document.getElementById('organisation').selectedIndex = 1");
    browser.click("form[action='/packages/preview'] button.primary");
    browser.wait_for("return location.pathname === '/packages/preview' && !!document.querySelector('pre')");
    check("package-preview");
    browser.open("/managers");
    browser.run(
        "document.getElementById('name').value = 'Nina'; document.getElementById('email').value = 'n@ptc.example'",
    );
    browser.run("document.getElementById('role').value = 'ptc-manager'");
    browser.click("form[action='/managers'] button.primary");
    browser.wait_for("return !!document.querySelector('a[download]')");
    check("issued");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_request_prints_without_what_only_a_screen_needs() {
    let (service, pending, _) = furnished();
    let browser = Browser::of(&service, &service.manager(A));
    browser.open(&format!("/requests/{pending}"));
    let pdf = browser.print("request");
    assert!(pdf.starts_with(b"%PDF-") && pdf.len() > 10_000, "{} bytes", pdf.len());
    browser.chromium("Emulation.setEmulatedMedia", json!({ "media": "print" }));
    let printed = browser.text();
    assert!(printed.contains("GUICHET-3") && printed.contains("Jean Dupont"), "{printed}");
    assert!(["Reject", "Français", "Back to", "Keyboard"].iter().all(|it| !printed.contains(it)), "{printed}");
}
