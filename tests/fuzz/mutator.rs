//! Inputs that are nearly right: real ones with bits flipped, cut, spliced, lengths falsified, or their DER rearranged.

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::support::chance::Chance;
use crate::support::csr::der;

/// What nobody tries by hand, and what readers of text, JSON, CSV and DER treat in a way of their own.
const WORDS: [&[u8]; 28] = [
    b"\0",
    b"\n",
    b"\r\n",
    b"\"",
    b"\\",
    b"'",
    b",",
    b";",
    b"=1+1",
    b"{",
    b"[",
    b"}",
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"9999-12-31T23:59:59-23:59",
    b"0000-01-01T00:00:00+23:59",
    b"\\ud800",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    "\u{202e}".as_bytes(),
    "\u{e9}".as_bytes(),
    b"\x1b[2J",
    b"../",
    b"-----BEGIN ",
    b"\x30\x80",
    b"\x30\x84\xff\xff\xff\xff",
];

/// No input grows beyond this; what is limited has its own tests at the limit.
const LONGEST: usize = 192 * 1024;

/// A mutation of one of several inputs.
pub fn mutate(chance: &mut Chance, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut input = inputs[chance.below(inputs.len())].clone();
    let other = &inputs[chance.below(inputs.len())];
    if chance.below(3) == 0
        && let Some(changed) = rearrange_any(chance, &input)
    {
        input = changed;
    }
    for _ in 0..chance.below(4) {
        step(chance, &mut input, other);
    }
    input.truncate(LONGEST);
    input
}

fn step(chance: &mut Chance, input: &mut Vec<u8>, other: &[u8]) {
    let place = chance.below(input.len() + 1);
    let end = place + chance.below((input.len() - place).min(64) + 1);
    match chance.below(10) {
        0 => input.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1 << (place % 8)),
        1 => input.iter_mut().skip(place).take(1).for_each(|byte| *byte = chance.number() as u8),
        // What announces lengths is mostly found near the start.
        2 => {
            let near = chance.below(input.len().min(40));
            input.iter_mut().skip(near).take(1).for_each(|byte| *byte = byte.wrapping_add(chance.number() as u8 % 5));
        }
        3 => input.truncate(place),
        4 => drop(input.drain(place..end)),
        5 => drop(input.splice(place..end, chance.one_of(&WORDS).iter().copied())),
        6 => drop(input.splice(place..place, chance.one_of(&WORDS).iter().copied())),
        7 => drop(input.splice(place..end, chance.piece(other).iter().copied())),
        8 => {
            let piece = input[place..end].to_vec();
            drop(input.splice(place..place, piece));
        }
        // A piece over and over, for whatever costs more than its length.
        _ if chance.below(16) == 0 => {
            let piece = [chance.one_of(&WORDS), &input[place..end]].concat();
            let many = piece.repeat(LONGEST / piece.len());
            drop(input.splice(place..place, many));
        }
        _ => {}
    }
}

/// Rearranges DER, be it plain or in the first PEM block.
fn rearrange_any(chance: &mut Chance, input: &[u8]) -> Option<Vec<u8>> {
    if input.first() == Some(&0x30) {
        return rearrange(chance, input);
    }
    let text = std::str::from_utf8(input).ok()?;
    let (head, rest) = text.split_once("-----\n")?;
    let (body, tail) = rest.split_once("-----END")?;
    let der = BASE64_STANDARD.decode(body.replace('\n', "")).ok()?;
    let body = BASE64_STANDARD.encode(rearrange(chance, &der)?);
    Some(format!("{head}-----\n{body}\n-----END{tail}").into_bytes())
}

/// DER with one value left out, doubled, moved, of another type or with other content; every length is right again.
pub fn rearrange(chance: &mut Chance, der: &[u8]) -> Option<Vec<u8>> {
    let mut values = read(der)?;
    let mut open = &mut values;
    // Down from the root, as deep as chance has it.
    loop {
        let place = chance.below(open.len());
        let deeper = matches!(&open.get(place)?.content, Content::Values(inner) if !inner.is_empty());
        if !deeper || chance.below(6) == 0 {
            change(chance, open, place);
            return Some(values.iter().flat_map(Value::write).collect());
        }
        let Content::Values(inner) = &mut open[place].content else { return None };
        open = inner;
    }
}

fn change(chance: &mut Chance, values: &mut Vec<Value>, place: usize) {
    const TAGS: [u8; 17] =
        [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x13, 0x14, 0x16, 0x17, 0x1c, 0x1e, 0x30, 0x31, 0xa0, 0x82];
    match chance.below(6) {
        0 => drop(values.remove(place)),
        1 => values.insert(place, values[place].clone()),
        2 => {
            let other = chance.below(values.len());
            values.swap(place, other);
        }
        3 => values[place].tag = TAGS[chance.below(TAGS.len())],
        4 => {
            let many = values[place].clone();
            values.extend(std::iter::repeat_n(many, chance.below(200)));
        }
        _ => match &mut values[place].content {
            Content::Values(inner) => inner.clear(),
            Content::Bytes(bytes) => {
                let filler = bytes.clone();
                step(chance, bytes, &filler);
            }
        },
    }
}

#[derive(Clone)]
struct Value {
    tag: u8,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Bytes(Vec<u8>),
    Values(Vec<Value>),
}

impl Value {
    fn write(&self) -> Vec<u8> {
        match &self.content {
            Content::Bytes(bytes) => der(self.tag, bytes),
            Content::Values(values) => der(self.tag, values.iter().flat_map(Self::write).collect::<Vec<u8>>()),
        }
    }
}

/// The values in these bytes, if they are values to the end.
fn read(mut bytes: &[u8]) -> Option<Vec<Value>> {
    let mut values = Vec::new();
    while let [tag, length, rest @ ..] = bytes {
        let digits = usize::from(if *length < 0x80 { 0 } else { length & 0x7f });
        let long = rest.get(..digits.min(4))?.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
        let length = if digits == 0 { usize::from(*length) } else { long };
        let content = rest.get(digits..digits.checked_add(length)?)?;
        let inner = if tag & 0x20 != 0 { read(content) } else { None };
        let content_read = inner.map_or_else(|| Content::Bytes(content.to_vec()), Content::Values);
        values.push(Value { tag: *tag, content: content_read });
        bytes = &rest[digits + length..];
    }
    bytes.is_empty().then_some(values)
}
