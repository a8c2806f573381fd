//! Identifiers that are made without asking anybody.

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use time::OffsetDateTime;

/// How many octets an identifier has.
pub const LENGTH: usize = 16;

/// How many of these tell the time.
const TIME: usize = 6;

/// The milliseconds since 1970 in 48 bits, then 80 bits of chance: the order of UUIDs of version 7 (RFC 9562 §5.7, §6.11).
///
/// What is made together lies together in an index. By chance alone, each would be written to a page of its own.
///
/// # Errors
/// Fails only where the system has no random numbers.
pub fn fresh(now: OffsetDateTime) -> Result<[u8; LENGTH], Unspecified> {
    let milliseconds = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    let mut octets = (u128::from(milliseconds) << (8 * (LENGTH - TIME))).to_be_bytes();
    rand::fill(&mut octets[TIME..])?;
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn identifiers_come_in_the_order_of_their_milliseconds_and_never_twice() {
        let now = datetime!(2026-11-30 22:45:00.123 UTC);
        let many: Vec<[u8; LENGTH]> = (0..1_000).map(|_| fresh(now).unwrap()).collect();
        assert!(many.iter().all(|one| one.starts_with(&[0x01, 0xa2, 0x2e, 0xa2, 0x06, 0x5b])), "{many:x?}");
        let distinct: std::collections::HashSet<_> = many.iter().collect();
        assert_eq!(distinct.len(), many.len());
        let [before, after] = [-1, 1].map(|step| fresh(now + Duration::milliseconds(step)).unwrap());
        assert!(many.iter().all(|one| before < *one && *one < after));
    }
}
