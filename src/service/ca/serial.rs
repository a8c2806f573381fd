//! Serial numbers, which time and chance assign.

use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;

use super::CaError;
use crate::protocol::identifier::{self, LENGTH};
use crate::protocol::secret::hex;

/// The second bit is always set, the first never: a serial is positive and its DER form as long as its own, without a
/// zero octet in front (RFC 5280 §4.1.2.2).
const FIRST_OCTET: (u8, u8) = (0x3f, 0x40);

/// A certificate's serial number: 16 octets, positive. `Display` is 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial([u8; LENGTH]);

/// A serial number that this CA never assigns.
#[derive(Debug, thiserror::Error)]
#[error("not a serial number of this CA")]
pub struct MalformedSerial;

impl Serial {
    /// A fresh serial number: the time, and 80 bits from the system's random numbers.
    pub fn fresh(now: OffsetDateTime) -> Result<Self, CaError> {
        let mut octets = identifier::fresh(now).map_err(|_| CaError::Random)?;
        // The time's first two bits, which are lost here, are 0 until the year 4199.
        let (mask, set) = FIRST_OCTET;
        octets[0] = octets[0] & mask | set;
        Ok(Self(octets))
    }
}

impl AsRef<[u8]> for Serial {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&hex(&self.0))
    }
}

/// From the content octets of a certificate's serialNumber.
impl TryFrom<&[u8]> for Serial {
    type Error = MalformedSerial;

    fn try_from(octets: &[u8]) -> Result<Self, Self::Error> {
        let octets: [u8; LENGTH] = octets.try_into().map_err(|_| MalformedSerial)?;
        let (mask, set) = FIRST_OCTET;
        if octets[0] & !mask == set { Ok(Self(octets)) } else { Err(MalformedSerial) }
    }
}

impl FromStr for Serial {
    type Err = MalformedSerial;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Digits come as by chance: a list of 100,000 takes ten times as long with a branch on each.
        let is_digit = |byte: u8| byte.is_ascii_digit() | matches!(byte, b'a'..=b'f');
        let digits = text.bytes().fold(true, |good, byte| good & is_digit(byte));
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(MalformedSerial) };
        if !digits || pairs.len() != LENGTH {
            return Err(MalformedSerial);
        }
        let value = |digit: u8| (digit & 0x0f) + 9 * (digit >> 6);
        let mut octets = [0; LENGTH];
        for (octet, [high, low]) in octets.iter_mut().zip(pairs) {
            *octet = value(*high) << 4 | value(*low);
        }
        Self::try_from(octets.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    #[test]
    fn fresh_serials_are_positive_and_read_back() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1_000 {
            let serial = Serial::fresh(OffsetDateTime::now_utc()).unwrap();
            assert!((0x40..0x80).contains(&serial.0[0]), "{serial}");
            assert_eq!(serial.to_string().parse::<Serial>().unwrap(), serial);
            assert!(seen.insert(serial), "{serial} twice");
        }
    }

    #[test]
    fn serials_of_one_moment_lie_together() {
        let now = OffsetDateTime::now_utc();
        let [before, first, second, after] =
            [-1, 0, 0, 1].map(|step| Serial::fresh(now + Duration::milliseconds(step)).unwrap());
        assert!(before < first.min(second) && first.max(second) < after);
    }

    #[test]
    fn only_the_own_form_is_read() {
        for text in [
            "",
            "00",
            &"0".repeat(32),
            &format!("c0{}", "0".repeat(30)),
            &format!("40{}", "0".repeat(31)),
            &format!("4A{}", "0".repeat(30)),
            &format!("+4{}", "0".repeat(30)),
        ] {
            assert!(text.parse::<Serial>().is_err(), "{text}");
        }
    }
}
