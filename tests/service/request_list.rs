//! Lists and searches over many requests, of which the index has some and some not: whatever it has, the answers are the same.

use ptc_enroll::protocol::messages::RequestSummary;
use ptc_enroll::protocol::request::{Kind, State};
use ptc_enroll::service::db::request_index;
use ptc_enroll::service::db::request_list::Order;
use ptc_enroll::service::registration::RequestQuery;

use crate::support::service::{A, B, Draft, Service, operator};

/// Copies requests 1 (of A, to the even numbers) and 2 (of B), each copy with a name and a key of its own: every thousandth is
/// a telephone's, every seventh waits, three name the same MAC address, and a few have a rare word.
macro_rules! copy {
    ($from:literal, $to:literal) => {
        concat!(
            "INSERT INTO requests (number, organisation, package, kind, common_name, identity, state, csr, csr_sha256,
                                   key_sha256, token_sha256, body_sha256, machine, contact, mac_address, search,
                                   submitted_at)
             WITH RECURSIVE copies (i) AS (SELECT ",
            $from,
            " UNION ALL SELECT i + 1 FROM copies WHERE i < ",
            $to,
            ")
             SELECT i, organisation, package, CASE WHEN i % 1000 = 0 THEN 'mobile' ELSE kind END, 'PC-' || (9999 - i),
                    'pc-' || (9999 - i), CASE WHEN i % 7 = 0 THEN 'pending' ELSE 'rejected' END, csr, csr_sha256,
                    'key-' || i, token_sha256, body_sha256, '{}', contact,
                    CASE WHEN i IN (5, 2395, 2995) THEN '00AA00AA00AA' ELSE '' END,
                    'pc-' || (9999 - i) || CASE WHEN i % 900 = 1 THEN ' selten' ELSE ' häufig' END, submitted_at
             FROM copies JOIN requests ON number = 1 + i % 2"
        )
    };
}

/// All that a query finds, page by page; how many pages it took.
fn all(service: &Service, query: &RequestQuery) -> (Vec<RequestSummary>, usize) {
    let mut query = RequestQuery { limit: Some(200), ..query.clone() };
    let (mut items, mut pages) = (Vec::new(), 0);
    loop {
        let page = service.run(service.app.list_requests(&operator(), &query)).unwrap();
        items.extend(page.items);
        pages += 1;
        match page.next {
            None => return (items, pages),
            after => query.after = after,
        }
    }
}

#[test]
fn what_is_found_does_not_depend_on_the_index() {
    let service = Service::start();
    for organisation in [A, B] {
        service.submit(organisation, Draft::workstation(organisation, "ORIGINAL"));
    }
    service.tamper(copy!(3, 1_300));
    // While the service writes the index behind them.
    check_what_is_found(&service, 1_300);
    while service.run(service.app.index_requests(0)) {}
    check_what_is_found(&service, 1_300);
    service.tamper(copy!(1_301, 2_400));
    while service.run(service.app.index_requests(0)) {}
    service.tamper(copy!(2_401, 3_000));
    check_what_is_found(&service, 3_000);

    // Wherever the others are: in the large table, among the last ones, or not in the index.
    for (number, warnings) in
        [(5, vec!["duplicate-mac"]), (2_395, vec!["duplicate-mac"]), (2_995, vec!["duplicate-mac"]), (2_994, vec![])]
    {
        let (items, _) = all(&service, &search(&format!("pc-{}", 9_999 - number)));
        assert_eq!(items[0].warnings, warnings, "{number}");
    }
}

#[test]
fn of_several_with_the_same_key_the_newest_of_ones_own_is_named() {
    let service = Service::start();
    let numbers = [A, B, A, A, B].map(|organisation| service.pending(organisation).number);
    let [first, of_b, second, third, last] = numbers;
    service.tamper("UPDATE requests SET key_sha256 = 'the same'");
    let named = |number| {
        let warnings = service.detail(number).warnings;
        warnings.into_iter().find(|warning| warning.rule == "duplicate-key").map(|warning| warning.found)
    };
    let check = |where_the_others_are: &str| {
        for (number, other) in [(first, third), (second, third), (third, second), (of_b, last), (last, of_b)] {
            assert_eq!(named(number), Some(other.to_string()), "{number}, {where_the_others_are}");
        }
    };
    check("not in the index");
    while service.run(service.app.index_requests(0)) {}
    check("in the index");
    // Who is alone in an organisation hears of the newest of another one.
    service.tamper("UPDATE requests SET key_sha256 = number WHERE number IN (2, 4)");
    for number in [first, last] {
        assert_eq!(named(number), Some(second.to_string()), "{number}");
    }
}

fn search(words: &str) -> RequestQuery {
    RequestQuery { search: Some(words.to_owned()), ..RequestQuery::default() }
}

/// Compares lists and searches with what the copies up to a number are.
fn check_what_is_found(service: &Service, last: u64) {
    let copies = || 3..=last;
    let query = RequestQuery::default();
    let pending = RequestQuery { state: Some(State::Pending), ..query.clone() };
    let waits = |number: &u64| number.is_multiple_of(7);
    let of_a = |number: &u64| number.is_multiple_of(2);
    let cases: Vec<(RequestQuery, Vec<u64>)> = vec![
        (query.clone(), copies().collect()),
        (RequestQuery { order: Order::Newest, ..query.clone() }, copies().rev().collect()),
        (RequestQuery { kind: Some(Kind::Mobile), ..query.clone() }, vec![1_000, 2_000, 3_000]),
        (pending.clone(), copies().filter(waits).collect()),
        (RequestQuery { order: Order::Name, ..pending.clone() }, copies().filter(waits).rev().collect()),
        (
            RequestQuery { order: Order::Organisation, ..pending.clone() },
            // B's code comes before that of A.
            copies().filter(|it| waits(it) && !of_a(it)).chain(copies().filter(|it| waits(it) && of_a(it))).collect(),
        ),
        (
            RequestQuery { kind: Some(Kind::Mobile), order: Order::Organisation, ..query.clone() },
            vec![1_000, 2_000, 3_000],
        ),
        (search("selten"), vec![901, 1_801, 2_701]),
        (RequestQuery { order: Order::Newest, ..search("SELTEN pc-") }, vec![2_701, 1_801, 901]),
        (RequestQuery { organisation: Some(B.to_owned()), ..search("selten") }, vec![901, 1_801, 2_701]),
        (RequestQuery { organisation: Some(A.to_owned()), ..search("selten") }, vec![]),
        (
            RequestQuery { order: Order::Newest, ..search("häufig") },
            copies().filter(|number| number % 900 != 1).rev().collect(),
        ),
        (search("pc-7604"), vec![2_395]),
        (search("pc-7003 häufig"), vec![2_996]),
        (search("7_2"), vec![]),
        (search("lt"), vec![901, 1_801, 2_701]),
        (RequestQuery { state: Some(State::Pending), ..search("äufi") }, copies().filter(waits).collect()),
        (
            RequestQuery { order: Order::Name, search: Some("äu".to_owned()), ..pending },
            copies().filter(waits).rev().collect(),
        ),
        (search("nirgendwo"), vec![]),
        // Nothing stands for anything else.
        (search("pc_7004"), vec![]),
        (search("pc-7%4"), vec![]),
        (search("pc-7004\\"), vec![]),
    ];
    for (query, expected) in &cases {
        let (items, pages) = all(service, query);
        let found: Vec<u64> = items.iter().map(|item| item.number.0).filter(|number| *number > 2).collect();
        let expected: Vec<u64> = expected.iter().copied().filter(|number| *number <= last).collect();
        assert_eq!(found, expected, "{query:?}");
        // No page looks at more than 1,000 rows.
        if query.kind.is_some() {
            assert!(pages as u64 >= last / 1_000, "{query:?}: {pages}");
        }
    }
}

#[test]
fn the_index_is_left_behind_no_further_than_it_may() {
    let service = Service::start();
    for organisation in [A, B] {
        service.submit(organisation, Draft::workstation(organisation, "ORIGINAL"));
    }
    let behind = || {
        service.run(async { request_index::behind(&mut service.app.database().read().await.unwrap()).await.unwrap() })
    };
    service.tamper(copy!(3, 3_000));
    // Meanwhile the service may do the same.
    while service.run(service.app.index_requests(1_000)) {
        assert!(behind() < 3_000);
    }
    assert!(behind() <= 1_000);
    while service.run(service.app.index_requests(0)) {}
    // These do not fill a block of 128 yet.
    assert_eq!(behind(), 56);
}
