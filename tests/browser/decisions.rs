//! Decisions as managers take them: by keys, without script, many at once, and while others decide too.

use ptc_enroll::protocol::messages::RequestStatus;
use ptc_enroll::protocol::request::State;
use serde_json::json;

use super::chromium::{Browser, ENTER, SPACE, TAB};
use crate::support::service::{A, Draft, Enrolled, Service, operator};

/// Refreshes the page as it does by itself every few seconds.
const REFRESH: &str = "document.dispatchEvent(new Event('visibilitychange'))";

/// What the client that submitted a request is told.
fn told(service: &Service, enrolled: &Enrolled) -> RequestStatus {
    service.public().get_as(&enrolled.draft.token, &format!("/requests/{}", enrolled.number)).json()
}

#[test]
fn keys_alone_decide() {
    let service = Service::at_its_address();
    let requests = [service.pending(A), service.pending(A), service.pending(A)];
    let browser = Browser::of(&service, &service.manager(A));
    browser.open("/requests");
    // The second row.
    browser.press("jjo");
    browser.see(&format!("Request {}", requests[1].number));
    browser.press("a");
    browser.press(ENTER);
    browser.see("Decided");
    assert_eq!(told(&service, &requests[1]).state, State::Approved);
    // On to the next one, and no to that.
    browser.press("n");
    browser.see(&format!("Request {}", requests[2].number));
    browser.press("r");
    browser.press("Nobody knows this machine.");
    browser.press(ENTER);
    browser.see("Decided");
    let status = told(&service, &requests[2]);
    assert_eq!(status.state, State::Rejected);
    assert_eq!(status.reason.as_deref(), Some("Nobody knows this machine."));
    // Back in the list, the first one still waits.
    browser.press("u");
    browser.wait("the list", || browser.path().starts_with("/requests") && browser.text().contains("Waiting"));
    assert_eq!(told(&service, &requests[0]).state, State::Pending);
}

#[test]
fn single_keys_can_be_turned_off() {
    let service = Service::at_its_address();
    service.pending(A);
    let browser = Browser::of(&service, &service.manager(A));
    browser.open("/requests");
    browser.press("?");
    browser.wait_for("return document.getElementById('keys').open");
    browser.click("#keys-on");
    browser.click("#keys button");
    browser.press("j");
    assert_eq!(browser.run("return document.querySelectorAll('tr.here').length"), 0);
}

#[test]
fn without_script_everything_can_be_decided() {
    let service = Service::at_its_address();
    let requests: Vec<Enrolled> = (0..4).map(|_| service.pending(A)).collect();
    let browser = Browser::of(&service, &service.manager(A));
    browser.chromium("Emulation.setScriptExecutionDisabled", json!({ "value": true }));

    // One by the mouse.
    browser.open("/requests");
    browser.click(&format!("a[href='/requests/{}']", requests[0].number));
    browser.click("#approve");
    browser.see("Decided");
    assert_eq!(told(&service, &requests[0]).state, State::Approved);

    // One by Tab and Enter: from the button past it lies the reason.
    browser.open(&format!("/requests/{}", requests[1].number));
    let mut tabs = 0;
    while browser.focused() != "reason" {
        browser.press(TAB);
        tabs += 1;
        assert!(tabs < 30, "Tab never comes to the reason");
    }
    browser.press("Not ours.");
    browser.press(ENTER);
    browser.see("Not ours.");
    let status = told(&service, &requests[1]);
    assert_eq!((status.state, status.reason.as_deref()), (State::Rejected, Some("Not ours.")));

    // The others together, one of which is decided by somebody else before the last click.
    browser.open("/requests");
    for enrolled in &requests[2..] {
        browser.click(&format!("input[value='{}']", enrolled.number));
    }
    browser.click("#selection button.primary");
    browser.see("2 requests can be decided on.");
    service.approve(requests[3].number);
    browser.click("#approve");
    browser.see("1 request approved.");
    browser.see("1 not decided.");
    browser.see("decided by");
    assert_eq!(told(&service, &requests[2]).state, State::Approved);
}

#[test]
fn everything_that_matches_is_decided_on_as_one() {
    let service = Service::at_its_address();
    // More than a page, and one that somebody else decides on meanwhile.
    let mine = service.pending_many(A, 60);
    let browser = Browser::of(&service, &service.manager(A));
    browser.open("/requests");
    let mut tabs = 0;
    while browser.focused() != "all" {
        browser.press(TAB);
        tabs += 1;
        assert!(tabs < 200, "Tab never comes to the button");
    }
    browser.press(ENTER);
    browser.see("60 requests can be decided on.");
    service.approve(mine[30].0);
    browser.press("a");
    browser.press(ENTER);
    browser.see("Bulk decision");
    // The page says so by itself.
    browser.see("60 of 60");
    browser.see("finished");
    browser.see("decided by operator test");
    let first = browser.run("return document.querySelector('#rows th').textContent");
    assert_eq!(first, mine[30].0.to_string(), "what was not decided comes first");
    for (number, _) in &mine {
        assert_eq!(service.detail(*number).status.state, State::Approved);
    }

    // Without script, a rejection, and the page is looked at again.
    service.pending_many(A, 55);
    browser.chromium("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    browser.open("/requests?state=waiting");
    browser.click("#all");
    browser.see("55 requests can be decided on.");
    browser.click("#reason");
    browser.press("Not ours.");
    browser.press(ENTER);
    browser.wait("the end", || {
        browser.open(&browser.path());
        browser.text().contains("finished")
    });
    assert!(browser.text().contains("Reject: Not ours."), "{}", browser.text());
}

#[test]
fn a_new_request_appears_and_disturbs_nothing() {
    let service = Service::at_its_address();
    let first = service.pending(A);
    service.pending(A);
    let browser = Browser::of(&service, &service.manager(A));
    browser.open("/requests");
    browser.press("jjx");
    let before = browser.run("return document.activeElement.getAttribute('href') + document.activeElement.tagName");
    let newest = service.submit(A, Draft::workstation(A, "JUST-ARRIVED"));
    browser.run(REFRESH);
    browser.see("JUST-ARRIVED");
    let after = browser.run("return document.activeElement.getAttribute('href') + document.activeElement.tagName");
    assert_eq!(after, before, "the focus moved");
    let chosen = "return [...document.querySelectorAll('#rows input:checked')].length";
    assert_eq!(browser.run(chosen), 1);
    // Keys go on from the same row.
    browser.press("j");
    let here = browser.run("return document.activeElement.textContent");
    assert_eq!(here, newest.number.to_string());
    // What is decided elsewhere goes.
    service.approve(first.number);
    browser.run(REFRESH);
    browser.wait_for(&format!("return !document.querySelector(\"a[href='/requests/{}']\")", first.number));
    assert_eq!(browser.run(chosen), 1);
}

#[test]
fn whoever_comes_second_is_told_who_was_first() {
    let service = Service::at_its_address();
    let browser = Browser::of(&service, &service.manager(A));

    let decided = service.pending(A);
    browser.open(&format!("/requests/{}", decided.number));
    service.approve(decided.number);
    let serial = told(&service, &decided).issued.unwrap().serial;
    browser.click("#approve");
    browser.see("This is not possible any more");
    let year = service.now().year().to_string();
    for expected in ["“Approved” since", "decided by operator test", year.as_str()] {
        browser.see(expected);
    }
    assert_eq!(told(&service, &decided).issued.unwrap().serial, serial, "a second certificate");

    let older = service.pending(A);
    browser.open(&format!("/requests/{}", older.number));
    let newer = service.submit(A, Draft::workstation(A, &service.detail(older.number).status.common_name));
    browser.click("#approve");
    browser.see(&format!("request {} took the place of this one", newer.number));
    assert_eq!(told(&service, &newer).state, State::Pending);

    // A page that is still open when a request is decided says so by itself.
    browser.open(&format!("/requests/{}", newer.number));
    service.approve(newer.number);
    browser.run(REFRESH);
    browser.see("Decided");
    browser.wait_for("return !document.getElementById('approve')");
}

#[test]
fn a_disabled_manager_is_shut_out_at_the_next_click() {
    let service = Service::at_its_address();
    let enrolled = service.pending(A);
    let manager = service.manager(A);
    let browser = Browser::of(&service, &manager);
    browser.open(&format!("/requests/{}", enrolled.number));
    service.run(service.app.disable_manager(&operator(), manager.id)).unwrap();
    browser.click("#approve");
    browser.see("Certificate no longer valid");
    browser.see("its holder is disabled");
    assert_eq!(told(&service, &enrolled).state, State::Pending);
    browser.open("/requests");
    browser.see("Certificate no longer valid");
}

#[test]
fn two_managers_see_that_they_look_at_the_same() {
    let service = Service::at_its_address();
    let enrolled = service.pending(A);
    let page = format!("/requests/{}", enrolled.number);
    let manager = Browser::of(&service, &service.manager(A));
    let centre = Browser::of(&service, &service.ptc_manager());
    manager.open(&page);
    assert!(!manager.text().contains("Also open at"), "{}", manager.text());
    centre.open(&page);
    centre.see("Also open at: Jean Dupont");
    manager.run(REFRESH);
    manager.see("Also open at: Perrine Centrale");
    assert_eq!(manager.run("return document.querySelectorAll('#approve').length"), 1);
    // Space presses what has the focus, as everywhere.
    manager.press("a");
    manager.press(SPACE);
    manager.see("Decided");
    centre.run(REFRESH);
    centre.see("Decided");
}
