//! Times as they stand in certificates, lists and OCSP responses: UTC, whole seconds.

use time::{Duration, OffsetDateTime, UtcOffset};

/// Clocks differ: what is signed is good at once for whoever is a little behind.
pub(in crate::service) const BACKDATED: Duration = Duration::MINUTE;

/// Since when what is signed now is good.
pub(in crate::service) fn start(now: OffsetDateTime) -> OffsetDateTime {
    whole_seconds(now - BACKDATED)
}

/// In UTC and whole seconds (RFC 5280 §4.1.2.5).
pub(super) fn whole_seconds(time: OffsetDateTime) -> OffsetDateTime {
    let time = time.to_offset(UtcOffset::UTC);
    time - Duration::nanoseconds(i64::from(time.nanosecond()))
}

/// Since when a list that is made now is good. To whoever goes by dates, one that seems older than the last one is the older
/// one; one of the future is none yet.
pub(in crate::service) fn list_start(now: OffsetDateTime, last: Option<OffsetDateTime>) -> OffsetDateTime {
    last.map_or(start(now), |last| start(now).max(last.min(now)))
}

/// When half of a validity is over, and what is valid is made anew.
pub(in crate::service) fn middle(begin: OffsetDateTime, end: OffsetDateTime) -> OffsetDateTime {
    begin + (end - begin) / 2
}

/// Appends a Time: UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 §4.1.2.5).
pub(super) fn push_time(der: &mut Vec<u8>, time: OffsetDateTime) {
    let time = time.to_offset(UtcOffset::UTC);
    if time.year() < 2050 {
        der.extend([0x17, 13]);
        push_digits(der, time, false);
    } else {
        push_generalized_time(der, time);
    }
}

/// Appends a GeneralizedTime without fractions (RFC 5280 §4.1.2.5.2), which OCSP has throughout (RFC 6960 §4.2.1).
pub(super) fn push_generalized_time(der: &mut Vec<u8>, time: OffsetDateTime) {
    der.extend([0x18, 15]);
    push_digits(der, time.to_offset(UtcOffset::UTC), true);
}

fn push_digits(der: &mut Vec<u8>, time: OffsetDateTime, century: bool) {
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.to_hms();
    // Dates in this program lie between 1970 and 9999.
    let year = year.unsigned_abs() % 10_000;
    if century {
        push_two(der, (year / 100) as u8);
    }
    for number in [(year % 100) as u8, month.into(), day, hour, minute, second] {
        push_two(der, number);
    }
    der.push(b'Z');
}

fn push_two(der: &mut Vec<u8>, number: u8) {
    der.extend([b'0' + number / 10, b'0' + number % 10]);
}
