//! What others write, and pages of others.

use std::io::{Read, Write};
use std::net::TcpListener;

use ptc_enroll::protocol::request::State;

use super::chromium::Browser;
use crate::support::service::{A, Draft, Service};

/// Would leave a trace if it ran, and break a page that took it for its own.
const HTML: &str =
    "</td></table><script>window.ran = 1</script><img src=x onerror='window.ran = 1'><b id=main>bold</b>";

#[test]
fn what_machines_say_is_text() {
    let service = Service::at_its_address();
    let long = "W".repeat(64);
    let mut drafts = [
        Draft::workstation(A, "PC-HTML").described(HTML),
        Draft::workstation(A, "PC-BIDI").described("good \u{202E}dab\u{202C} \u{200B}end"),
        Draft::workstation(A, "PC-LONG").described(&"x".repeat(2_000)),
        Draft::workstation(A, &long),
    ];
    drafts[0].submission.machine.host_name = HTML.to_owned();
    drafts[0].submission.machine.os_version = HTML.chars().take(60).collect();
    drafts[0].submission.contact.telephone = HTML.chars().skip(13).take(60).collect();
    let numbers = drafts.map(|draft| service.submit(A, draft).number);
    let browser = Browser::of(&service, &service.manager(A));
    let mut pages = vec!["/requests".to_owned(), "/requests?search=script".to_owned()];
    pages.extend(numbers.iter().map(|number| format!("/requests/{number}")));
    for page in &pages {
        browser.widen(1280);
        browser.open(page);
        let (text, name) = (browser.text(), page.replace(['/', '?', '='], "-"));
        browser.screenshot(&format!("hostile{name}"));
        assert_eq!(browser.run("return window.ran === undefined"), true, "{page}");
        let foreign = browser.run("return document.querySelectorAll('script:not([src]), img, b').length");
        assert_eq!(foreign, 0, "{page}");
        assert!(!text.contains(['\u{202E}', '\u{202C}', '\u{200B}']), "{page}: {text}");
        for width in [1280, 320] {
            browser.widen(width);
            browser.screenshot(&format!("hostile{name}-{width}"));
            let overhang = browser.run("return document.documentElement.scrollWidth - innerWidth");
            assert!(overhang.as_i64().unwrap() <= 0, "{page} at {width}: {overhang}");
        }
        assert_eq!(browser.complaints(), [""; 0], "{page}");
    }
    // One wordy machine does not push the others out of sight.
    browser.widen(1280);
    browser.open(&pages[0]);
    let heights = "[...document.querySelectorAll('#rows tr')].map((it) => it.offsetHeight)";
    let tallest = browser.run(&format!("return Math.max(...{heights})"));
    assert!(tallest.as_i64().unwrap() < 200, "a row of {tallest} pixels");
    browser.open(&pages[2]);
    browser.see(HTML);
    browser.open(&pages[3]);
    browser.see("\\u{202e}dab");
}

/// Serves one page to everybody, from an origin of its own, until the test ends.
fn elsewhere(page: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Only GETs come here, and what they ask for does not matter.
            let _ = stream.read(&mut [0; 4096]);
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close";
            let _ = write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{page}", page.len());
        }
    });
    format!("http://localhost:{port}/")
}

#[test]
fn pages_of_others_neither_frame_nor_decide() {
    let service = Service::at_its_address();
    let enrolled = service.submit(A, Draft::workstation(A, "SECRET-NAME"));
    let browser = Browser::of(&service, &service.manager(A));
    // The certificate is shown without asking, as in a browser where the manager is at work.
    browser.open("/requests");
    browser.see("SECRET-NAME");

    let own = service.secure_url();
    browser.open_elsewhere(&elsewhere(format!("<p>other</p><iframe src='{own}/requests'></iframe>")));
    browser.see("other");
    browser.wait("the refusal", || browser.complaints().iter().any(|it| it.contains("frame-ancestors")));
    browser.enter_frame();
    assert!(!browser.text().contains("SECRET-NAME"), "{}", browser.text());

    let digest = service.detail(enrolled.number).csr_sha256;
    let forms = [
        (format!("/requests/{}/approve", enrolled.number), "csr_sha256", digest.as_str()),
        (format!("/requests/{}/reject", enrolled.number), "reason", "because"),
    ];
    for (path, field, value) in forms {
        let form = format!(
            "<form method=post action='{own}{path}'><input name={field} value='{value}'><button>win</button></form>"
        );
        browser.open_elsewhere(&elsewhere(form));
        browser.click("button");
        browser.see("Request from another site");
        assert_eq!(service.detail(enrolled.number).status.state, State::Pending, "{path}");
    }
}
