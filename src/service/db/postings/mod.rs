//! Which requests hold which part of a text: posting lists, in blocks of requests that never change once they are written.
//!
//! Knows no SQL. A block holds all requests with numbers from one multiple of its size to the next. Four of them become one
//! of the next level, so that a search looks into few: of a million requests, into twelve.

mod chosen;
mod parts;

use std::ops::{Range, RangeInclusive};
use std::{array, iter, mem};

pub(super) use self::chosen::Chosen;
use self::chosen::ones;
pub(super) use self::parts::{Part, Parts, SHORTEST, parts};
use super::row_number;

/// How many requests the smallest block holds, and how many blocks become one.
pub(super) const BLOCK: u64 = 128;
const FACTOR: u64 = 4;
const LEVELS: u32 = 6;

/// How many requests a section of a block is for: on average, it becomes a row of about 2 KB, whatever the level.
const REQUESTS_PER_SECTION: u64 = 16;

/// How many sections of each block are merged at once: their lists are in memory together.
const MERGED_AT_ONCE: u64 = 128;

/// The place of a section and of a block's first request in a row's id.
const SECTION_BITS: u32 = 16;
const LEVEL_SHIFT: u32 = 60;

/// Some requests whose numbers follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    level: u32,
    /// The number before its first request.
    start: u64,
}

impl Block {
    /// The smallest block that starts after a number.
    pub(super) const fn smallest(start: u64) -> Self {
        Self { level: 0, start }
    }

    /// The blocks of all requests up to a number, in their order.
    pub(super) fn up_to(end: u64) -> Vec<Self> {
        let mut blocks = Vec::new();
        let mut start = 0;
        for level in (0..LEVELS).rev() {
            let size = Self { level, start }.size();
            while start + size <= end {
                blocks.push(Self { level, start });
                start += size;
            }
        }
        blocks
    }

    /// The block that this one, as the last of four, completes.
    pub(super) fn completes(self) -> Option<Self> {
        let size = self.size() * FACTOR;
        let last = self.last().is_multiple_of(size);
        (last && self.level + 1 < LEVELS).then(|| Self { level: self.level + 1, start: self.last() - size })
    }

    /// The number of its first request.
    pub(super) const fn first(self) -> u64 {
        self.start + 1
    }

    /// The number of its last request.
    pub(super) const fn last(self) -> u64 {
        self.start + self.size()
    }

    /// The id of the row that has the lists of parts.
    pub(super) fn row_of(self, parts: Parts) -> i64 {
        self.row(u64::from(parts.first >> self.section_shift()))
    }

    /// The blocks that it is made of.
    pub(super) fn children(self) -> [Self; FACTOR as usize] {
        let size = self.size() / FACTOR;
        array::from_fn(|place| Self { level: self.level - 1, start: self.start + place as u64 * size })
    }

    /// The ids of the rows of some of its sections.
    pub(super) fn ids(self, sections: &Range<u64>) -> RangeInclusive<i64> {
        self.row(sections.start)..=self.row(sections.end - 1)
    }

    /// All of its sections.
    pub(super) const fn all_sections(self) -> Range<u64> {
        0..self.sections()
    }

    /// All of its sections, as many at a time as are merged at once.
    pub(super) fn some_sections(self) -> impl Iterator<Item = Range<u64>> {
        let end = self.sections();
        (0..end).step_by(MERGED_AT_ONCE as usize).map(move |start| start..end.min(start + MERGED_AT_ONCE))
    }

    /// Its rows, of the parts of each request in it.
    pub(super) fn rows(self, requests: impl IntoIterator<Item = (u64, Vec<Part>)>) -> Vec<(i64, Vec<u8>)> {
        // The part in the high half, the offset in the low one: numbers are put in order faster than pairs.
        let mut postings: Vec<u64> = requests
            .into_iter()
            .flat_map(|(number, parts)| {
                parts.into_iter().map(move |part| u64::from(part) << 32 | (number - self.first()))
            })
            .collect();
        postings.sort_unstable();
        let mut rows = Rows::of(self, self.all_sections());
        let mut offsets = Vec::new();
        for same in postings.chunk_by(|one, next| one >> 32 == next >> 32) {
            offsets.clear();
            offsets.extend(same.iter().map(|posting| *posting as u32));
            rows.push((same[0] >> 32) as Part, &offsets);
        }
        rows.rows
    }

    /// Those of its rows that come of some sections of the blocks that it is made of, given the rows of these of one block
    /// after the other. `None` where one is missing.
    pub(super) fn merged(self, sections: &Range<u64>, rows: &[(i64, Vec<u8>)]) -> Option<Vec<(i64, Vec<u8>)>> {
        let [child, ..] = self.children();
        let count = (sections.end - sections.start) as usize;
        if rows.len() != count * FACTOR as usize {
            return None;
        }
        let mut merged = Rows::of(self, sections.start * FACTOR..sections.end * FACTOR);
        let mut found: Vec<(Part, u32, &[u8])> = Vec::new();
        let mut offsets = Vec::new();
        for section in 0..count {
            found.clear();
            let of_section = rows[section..].iter().step_by(count);
            for (before, (id, row)) in (0..).step_by(child.size() as usize).zip(of_section) {
                found.extend(lists(child, *id, row).map(|(part, list)| (part, before, list)));
            }
            // Those of one part stay in the order of the blocks.
            found.sort_by_key(|(part, ..)| *part);
            for same in found.chunk_by(|one, next| one.0 == next.0) {
                offsets.clear();
                for (_, before, list) in same {
                    child.for_each_offset(list, |offset| offsets.push(before + offset));
                }
                merged.push(same[0].0, &offsets);
            }
        }
        Some(merged.rows)
    }

    /// All of its requests, to be narrowed down.
    pub(super) fn all(self) -> Chosen {
        Chosen::all_of(self)
    }

    /// How many requests it holds.
    pub(super) const fn size(self) -> u64 {
        BLOCK * FACTOR.pow(self.level)
    }

    const fn sections(self) -> u64 {
        self.size() / REQUESTS_PER_SECTION
    }

    /// The high bits of a part are its section.
    const fn section_shift(self) -> u32 {
        u32::BITS - self.sections().trailing_zeros()
    }

    /// Rows of one level lie together, and of those the ones of one block.
    fn row(self, section: u64) -> i64 {
        row_number(u64::from(self.level) << LEVEL_SHIFT | (self.start / BLOCK) << SECTION_BITS | section)
    }

    /// Goes through the offsets in a list.
    fn for_each_offset(self, list: &[u8], work: impl FnMut(u32)) {
        match self.bits(list) {
            Some(bits) => ones(bits).for_each(work),
            None => self.for_each_distant(list, work),
        }
    }

    /// The words of a list that has its offsets as bits: where that is shorter than the distances between them.
    fn bits(self, list: &[u8]) -> Option<impl DoubleEndedIterator<Item = u64> + ExactSizeIterator> {
        let words = || list.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        (list.len() as u64 == self.size() / 8).then(words)
    }

    /// Goes through the offsets in a list that has the distances between them.
    fn for_each_distant(self, mut list: &[u8], mut work: impl FnMut(u32)) {
        let mut next = 0;
        while let Some(distance) = take_number(&mut list) {
            let offset = distance.saturating_add(next);
            if u64::from(offset) >= self.size() {
                return;
            }
            work(offset);
            next = offset + 1;
        }
    }
}

/// The rows of some sections of a block that is being written. Each has one, however empty: whoever misses a row knows that
/// its block has become part of another one.
struct Rows {
    block: Block,
    first: u64,
    rows: Vec<(i64, Vec<u8>)>,
    /// The last part that was written into each row.
    last: Vec<Part>,
}

impl Rows {
    fn of(block: Block, sections: Range<u64>) -> Self {
        let last = sections.clone().map(|section| (section as u32) << block.section_shift()).collect();
        let first = sections.start;
        Self { block, first, rows: sections.map(|section| (block.row(section), Vec::new())).collect(), last }
    }

    /// Adds the list of a part that comes after all others.
    fn push(&mut self, part: Part, offsets: &[u32]) {
        let section = (u64::from(part >> self.block.section_shift()) - self.first) as usize;
        let (Some((_, row)), Some(last)) = (self.rows.get_mut(section), self.last.get_mut(section)) else { return };
        put_number(row, part - *last);
        *last = part;
        let distances = || {
            let mut next = 0;
            offsets.iter().map(move |offset| offset - mem::replace(&mut next, offset + 1))
        };
        let bytes = (self.block.size() / 8) as usize;
        let length = distances().map(length_of).sum::<usize>().min(bytes);
        put_number(row, length as u32);
        if length < bytes {
            distances().for_each(|distance| put_number(row, distance));
            return;
        }
        let begin = row.len();
        row.resize(begin + bytes, 0);
        offsets.iter().for_each(|offset| row[begin + *offset as usize / 8] |= 1 << (offset % 8));
    }
}

/// The lists of a row, each with its part.
fn lists(block: Block, id: i64, mut row: &[u8]) -> impl Iterator<Item = (Part, &[u8])> {
    let section = id as u32 & ((1 << SECTION_BITS) - 1);
    let mut part = section << block.section_shift();
    iter::from_fn(move || {
        part = take_number(&mut row)?.checked_add(part)?;
        let length = take_number(&mut row)?;
        let (list, rest) = row.split_at_checked(length as usize)?;
        row = rest;
        Some((part, list))
    })
}

/// Seven bits a byte, the low ones first; the last byte has no high bit (LEB128).
fn put_number(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// How many bytes that makes.
const fn length_of(number: u32) -> usize {
    (u32::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}

fn take_number(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0;
    for shift in (0..u32::BITS).step_by(7) {
        let byte = *bytes.split_off_first()?;
        number |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::parts::PART;
    use super::*;

    /// Texts of which some parts are in all, some in many, and some in one.
    fn text(number: u64) -> String {
        let words = ["guichet", "colis", "tri", "naïve", "邮政局"];
        format!("pc-{number:07}\n{} {:x}", words[(number % 5) as usize], number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The requests of a block that have all of the parts, which each say how many have them.
    fn having(block: Block, rows: &BTreeMap<i64, Vec<u8>>, asked: &[Parts]) -> Vec<u64> {
        let mut chosen = block.all();
        for parts in asked {
            let with_these = chosen.keep(*parts, &rows[&block.row_of(*parts)]);
            assert!(chosen.count() <= with_these);
        }
        chosen.numbers().collect()
    }

    #[test]
    fn blocks_of_every_level_have_the_lists_of_what_they_are_made_of() {
        let end = BLOCK * FACTOR.pow(5) + BLOCK * FACTOR + 2 * BLOCK;
        // Most numbers are nobody's.
        let is_there = |number: &u64| number.is_multiple_of(5) || *number < 4 * BLOCK;
        let mut rows: BTreeMap<i64, Vec<u8>> = BTreeMap::new();
        for start in (0..end).step_by(BLOCK as usize) {
            let mut block = Block::smallest(start);
            let texts = (block.first()..=block.last()).filter(is_there);
            let mut made = block.rows(texts.map(|number| (number, parts(&text(number), "A"))));
            loop {
                rows.extend(made);
                let Some(larger) = block.completes() else { break };
                made = Vec::new();
                for sections in block.some_sections() {
                    let mut children = Vec::new();
                    for child in larger.children() {
                        children.extend(rows.extract_if(child.ids(&sections), |_, _| true));
                    }
                    assert_eq!(larger.merged(&sections, &children[1..]), None);
                    made.extend(larger.merged(&sections, &children).unwrap());
                }
                block = larger;
            }
        }
        let blocks = Block::up_to(end);
        assert_eq!(blocks.iter().map(|block| block.level).collect::<Vec<_>>(), [5, 1, 0, 0]);
        assert_eq!(rows.len() as u64, blocks.iter().map(|block| block.sections()).sum::<u64>());
        for word in ["pc-", "pc-0000129", "guichet", "naïv", "ïve", "邮政局", "tri", "017", "0017", "nirgendwo", "xyz"]
        {
            let mut asked = Parts::of_word(word, 16);
            asked.push(Parts::of_organisation("A"));
            let found = blocks.iter().flat_map(|block| having(*block, &rows, &asked));
            let holding: Vec<u64> = (1..=end)
                .filter(is_there)
                .filter(|number| {
                    let text = text(*number);
                    let windows: Vec<char> = word.chars().collect();
                    windows.windows(PART.min(windows.len())).all(|part| text.contains(&part.iter().collect::<String>()))
                })
                .collect();
            assert_eq!(found.collect::<Vec<_>>(), holding, "{word}");
        }
        assert!(blocks.iter().all(|block| having(*block, &rows, &[Parts::of_organisation("B")]).is_empty()));
    }

    #[test]
    fn what_is_damaged_says_anything_but_does_not_end_the_service() {
        let block = Block::smallest(0);
        let all = Parts { first: 0, last: Part::MAX };
        let bits = [&[0, 16][..], &[0xff; 16]].concat();
        let twice = [&bits[..], &bits, &[0, 2, 5, 0xff, 0, 1, 5]].concat();
        let rows = [&[][..], &[0xff; 40], &[0, 0xff, 0xff, 0xff, 0x7f], &[0, 2, 0xff, 0x7f], &[0x80; 3], &bits, &twice];
        for row in rows {
            let mut chosen = block.all();
            chosen.keep(all, row);
            chosen.keep(all, row);
            assert!(chosen.numbers().count() as u64 == chosen.count() && chosen.count() <= BLOCK);
        }
    }
}
