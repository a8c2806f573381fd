//! Whether bytes are DER (X.690 §10 and §11) at every level, not merely BER.
//!
//! `x509-parser` reads some BER forms. A CSR that two readers could understand in two ways has no place in a queue, so
//! it is turned away before anybody reads it.

/// A CSR nests about 10 levels; deeper input is an attack on the reader's stack.
const DEPTH_LIMIT: u8 = 24;

/// Why bytes are not one DER value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotDer {
    /// The value ends before its announced length.
    Truncated,
    /// Bytes follow the value.
    TrailingBytes,
    /// The form is BER's alone, or nested deeper than anything real.
    Form,
}

/// One value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value<'a> {
    /// Class, form and number in one octet.
    pub(crate) tag: u8,
    /// What the length announces.
    pub(crate) content: &'a [u8],
}

/// The values that stand one after the other in these bytes, up to the first that cannot be read.
pub(crate) fn values(mut bytes: &[u8]) -> impl Iterator<Item = Value<'_>> {
    std::iter::from_fn(move || {
        let (value, rest) = split(bytes).ok()?;
        bytes = rest;
        Some(value)
    })
}

/// Checks that the bytes are exactly one DER value.
pub(crate) fn check(bytes: &[u8]) -> Result<(), NotDer> {
    let rest = value(bytes, 0)?;
    if rest.is_empty() { Ok(()) } else { Err(NotDer::TrailingBytes) }
}

/// Checks the first value and returns what follows it.
fn value(bytes: &[u8], depth: u8) -> Result<&[u8], NotDer> {
    if depth > DEPTH_LIMIT {
        return Err(NotDer::Form);
    }
    let (Value { tag, mut content }, rest) = split(bytes)?;
    let constructed = tag & 0x20 != 0;
    let universal = tag & 0xc0 == 0;
    if universal {
        primitive_rules(tag, content)?;
    }
    if constructed {
        while !content.is_empty() {
            content = value(content, depth + 1)?;
        }
    }
    Ok(rest)
}

/// The first value and what follows it.
pub(crate) fn split(bytes: &[u8]) -> Result<(Value<'_>, &[u8]), NotDer> {
    let (&tag, rest) = bytes.split_first().ok_or(NotDer::Truncated)?;
    // No type of RFC 2986 or RFC 5280 has a tag number above 30 (X.690 §8.1.2.4).
    if tag & 0x1f == 0x1f {
        return Err(NotDer::Form);
    }
    let (length, rest) = length(rest)?;
    let (content, rest) = rest.split_at_checked(length).ok_or(NotDer::Truncated)?;
    Ok((Value { tag, content }, rest))
}

/// Lengths are definite and as short as can be (X.690 §10.1).
fn length(bytes: &[u8]) -> Result<(usize, &[u8]), NotDer> {
    let (&first, rest) = bytes.split_first().ok_or(NotDer::Truncated)?;
    if first < 0x80 {
        return Ok((usize::from(first), rest));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > 4 {
        return Err(NotDer::Form);
    }
    let (digits, rest) = rest.split_at_checked(count).ok_or(NotDer::Truncated)?;
    let length = digits.iter().fold(0_usize, |length, &digit| length << 8 | usize::from(digit));
    if digits[0] == 0 || length < 0x80 { Err(NotDer::Form) } else { Ok((length, rest)) }
}

/// The rules for single universal types that matter to what is read here.
fn primitive_rules(tag: u8, content: &[u8]) -> Result<(), NotDer> {
    let good = match tag {
        // End of contents, a mark of BER's (X.690 §8.1.5).
        0x00 => false,
        // BOOLEAN: one octet, all zeros or all ones (X.690 §11.1).
        0x01 => matches!(content, [0x00 | 0xff]),
        // INTEGER: as short as can be (X.690 §8.3.2).
        0x02 => match content {
            [] => false,
            [0x00, second, ..] => second & 0x80 != 0,
            [0xff, second, ..] => second & 0x80 == 0,
            _ => true,
        },
        // BIT STRING: 0 to 7 unused bits, which are zero (X.690 §11.2.1).
        0x03 => match content {
            [] => false,
            [unused] => *unused == 0,
            [unused, .., last] => *unused < 8 && last & ((1_u16 << unused) - 1) as u8 == 0,
        },
        // NULL holds nothing (X.690 §8.8.2).
        0x05 => content.is_empty(),
        // OBJECT IDENTIFIER: complete, no padding (X.690 §8.19.2).
        0x06 => content.last().is_some_and(|last| last & 0x80 == 0) && content.first() != Some(&0x80),
        // SEQUENCE and SET are constructed, strings are not (X.690 §10.2).
        0x10 | 0x11 => false,
        0x30 | 0x31 => true,
        0x20..=0x3f => false,
        _ => true,
    };
    if good { Ok(()) } else { Err(NotDer::Form) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let deep = (0..60).fold(vec![0x05, 0x00], |inner, _| {
            let mut outer = vec![0x30, inner.len() as u8];
            outer.extend(inner);
            outer
        });
        for (bytes, expected) in [
            (&[0x30, 0x03, 0x02, 0x01, 0x05][..], Ok(())),
            (&[0x30, 0x03, 0x02, 0x01], Err(NotDer::Truncated)),
            (&[0x30, 0x03, 0x02, 0x01, 0x05, 0x00], Err(NotDer::TrailingBytes)),
            (&[0x30, 0x80, 0x02, 0x01, 0x05, 0x00, 0x00], Err(NotDer::Form)),
            (&[0x30, 0x81, 0x03, 0x02, 0x01, 0x05], Err(NotDer::Form)),
            (&[0x02, 0x02, 0x00, 0x05], Err(NotDer::Form)),
            (&[0x01, 0x01, 0x01], Err(NotDer::Form)),
            (&[0x03, 0x02, 0x03, 0xff], Err(NotDer::Form)),
            (&[0x24, 0x02, 0x04, 0x00], Err(NotDer::Form)),
            (&[0x30, 0x02, 0x00, 0x00], Err(NotDer::Form)),
            (&[], Err(NotDer::Truncated)),
            (&deep, Err(NotDer::Form)),
        ] {
            assert_eq!(check(bytes), expected, "{bytes:02x?}");
        }
    }
}
