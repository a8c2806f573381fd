//! Which requests hold which part of a text: posting lists, in blocks of requests that never change once they are written.
//!
//! Knows no SQL. A block holds all requests with numbers from one multiple of its size to the next. Sixteen of them become
//! one of the next level, so that a search looks into few, and each list is written three times at most.

use std::iter;
use std::ops::RangeInclusive;

use super::row_number;

/// How many characters a part has: what is shorter is not found through the index.
pub(super) const PART: usize = 3;

/// How many requests the smallest block holds, and how many blocks become one.
pub(super) const BLOCK: u64 = 128;
const FACTOR: u64 = 16;
const LEVELS: u32 = 3;

/// How many requests a section of a block is for: it becomes a row of about 2 KB, whatever the level.
const REQUESTS_PER_SECTION: u64 = 16;

/// The place of a section and of a block's first request in a row's id.
const SECTION_BITS: u32 = 12;
const LEVEL_SHIFT: u32 = 60;

/// A part of a text, or an organisation, as the index knows it. Another one may have the same number, by a wonder.
pub(super) type Part = u32;

/// All parts of a text and its organisation, each once.
pub(super) fn parts(text: &str, organisation: &str) -> Vec<Part> {
    let mut parts = vec![organisation_part(organisation)];
    let mut characters = Vec::new();
    for word in text.split_whitespace() {
        characters.clear();
        characters.extend(word.chars());
        parts.extend(characters.windows(PART).map(part));
    }
    parts.sort_unstable();
    parts.dedup();
    parts
}

/// The parts of a word, spread over it, at most about so many; none of one that is too short.
pub(super) fn parts_of_word(word: &str, most: usize) -> Vec<Part> {
    let characters: Vec<char> = word.chars().collect();
    let all: Vec<Part> = characters.windows(PART).map(part).collect();
    let spread = all.iter().step_by(all.len().div_ceil(most.max(1)).max(1));
    spread.chain(all.last()).copied().collect()
}

/// An organisation as a part that no text has.
pub(super) fn organisation_part(code: &str) -> Part {
    hash(1, code.chars())
}

fn part(characters: &[char]) -> Part {
    hash(0, characters.iter().copied())
}

/// The high half of a product (Knuth, The Art of Computer Programming 3, §6.4). It must stay the same from release to
/// release.
fn hash(kind: u64, characters: impl Iterator<Item = char>) -> u32 {
    let mix = |hash: u64, character: char| (hash ^ u64::from(character)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (characters.fold(kind << 32, mix) >> 32) as u32
}

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

    /// The block that this one, as the last of sixteen, completes.
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

    /// The id of the row that has a part's list.
    pub(super) fn row_of(self, part: Part) -> i64 {
        self.row(u64::from(part >> self.section_shift()))
    }

    /// The ids of the rows of the blocks that it is made of.
    pub(super) fn rows_of_children(self) -> RangeInclusive<i64> {
        let level = self.level - 1;
        let last = Self { level, start: self.start + self.size() - self.size() / FACTOR };
        Self { level, start: self.start }.row(0)..=last.row(last.sections() - 1)
    }

    /// Its rows, of the parts of each request in it.
    pub(super) fn rows(self, requests: impl IntoIterator<Item = (u64, Vec<Part>)>) -> Vec<(i64, Vec<u8>)> {
        let mut postings: Vec<(Part, u32)> = requests
            .into_iter()
            .flat_map(|(number, parts)| parts.into_iter().map(move |part| (part, (number - self.first()) as u32)))
            .collect();
        postings.sort_unstable();
        let mut rows = Rows::of(self);
        for same in postings.chunk_by(|one, next| one.0 == next.0) {
            let offsets: Vec<u32> = same.iter().map(|(_, offset)| *offset).collect();
            rows.push(same[0].0, &offsets);
        }
        rows.rows
    }

    /// Its rows, of all those of the blocks that it is made of, by their ids. `None` where one is missing.
    pub(super) fn merged(self, children: &[(i64, Vec<u8>)]) -> Option<Vec<(i64, Vec<u8>)>> {
        let child = Self { level: self.level - 1, start: self.start };
        let sections = child.sections() as usize;
        if children.len() != sections * FACTOR as usize {
            return None;
        }
        let mut rows = Rows::of(self);
        let mut bits = child.no_bits();
        for section in 0..sections {
            let mut found: Vec<(Part, u32, &[u8])> = Vec::new();
            let of_section = children[section..].iter().step_by(sections);
            for (before, (id, row)) in (0..).step_by(child.size() as usize).zip(of_section) {
                found.extend(lists(child, *id, row).map(|(part, list)| (part, before, list)));
            }
            found.sort_unstable_by_key(|(part, before, _)| (*part, *before));
            for same in found.chunk_by(|one, next| one.0 == next.0) {
                let mut offsets = Vec::new();
                for (_, before, list) in same {
                    bits.fill(0);
                    child.set_bits(&mut bits, list);
                    offsets.extend(ones(&bits).map(|offset| before + offset));
                }
                rows.push(same[0].0, &offsets);
            }
        }
        Some(rows.rows)
    }

    /// All of its requests, to be narrowed down.
    pub(super) fn all(self) -> Chosen {
        Chosen { block: self, bits: vec![u64::MAX; (self.size() / 64) as usize] }
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

    fn no_bits(self) -> Vec<u64> {
        vec![0; (self.size() / 64) as usize]
    }

    /// Sets the bits of the offsets in a list, which has them as bits where that is shorter than the distances between them.
    fn set_bits(self, bits: &mut [u64], mut list: &[u8]) {
        if list.len() as u64 == self.size() / 8 {
            bits.iter_mut().zip(list.as_chunks().0).for_each(|(word, bytes)| *word = u64::from_le_bytes(*bytes));
            return;
        }
        let mut offset = 0;
        while let Some(distance) = take_number(&mut list) {
            offset += distance as usize;
            let Some(word) = bits.get_mut(offset / 64) else { return };
            *word |= 1 << (offset % 64);
            offset += 1;
        }
    }
}

/// Some of a block's requests.
#[derive(Debug)]
pub(super) struct Chosen {
    block: Block,
    /// One for each request.
    bits: Vec<u64>,
}

impl Chosen {
    /// The block.
    pub(super) const fn block(&self) -> Block {
        self.block
    }

    /// Keeps those that have a part, given the row where its list would be; says how many requests have it.
    pub(super) fn keep(&mut self, part: Part, row: &[u8]) -> u32 {
        let mut having = self.block.no_bits();
        // In the order of their numbers.
        let found = lists(self.block, self.block.row_of(part), row).find(|(it, _)| *it >= part);
        if let Some((it, list)) = found
            && it == part
        {
            self.block.set_bits(&mut having, list);
        }
        self.bits.iter_mut().zip(&having).for_each(|(word, having)| *word &= having);
        having.iter().map(|word| word.count_ones()).sum()
    }

    /// How many they are.
    pub(super) fn count(&self) -> u32 {
        self.bits.iter().map(|word| word.count_ones()).sum()
    }

    /// Their numbers.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        ones(&self.bits).map(|offset| self.block.first() + u64::from(offset))
    }
}

/// The offsets whose bits are set.
fn ones(bits: &[u64]) -> impl Iterator<Item = u32> {
    (0..).step_by(64).zip(bits).flat_map(|(start, word)| {
        let mut word = *word;
        iter::from_fn(move || {
            let one = word.trailing_zeros();
            word &= word.checked_sub(1)?;
            Some(start + one)
        })
    })
}

/// The rows of a block that is being written. Each section has one, however empty: whoever misses a row knows that its block
/// has become part of another one.
struct Rows {
    block: Block,
    rows: Vec<(i64, Vec<u8>)>,
    /// The last part that was written into each row.
    last: Vec<Part>,
}

impl Rows {
    fn of(block: Block) -> Self {
        let sections = 0..block.sections();
        let last = sections.clone().map(|section| (section as u32) << block.section_shift()).collect();
        Self { block, rows: sections.map(|section| (block.row(section), Vec::new())).collect(), last }
    }

    /// Adds the list of a part that comes after all others.
    fn push(&mut self, part: Part, offsets: &[u32]) {
        let section = (part >> self.block.section_shift()) as usize;
        let (Some((_, row)), Some(last)) = (self.rows.get_mut(section), self.last.get_mut(section)) else { return };
        put_number(row, part - *last);
        *last = part;
        let mut list = Vec::with_capacity(offsets.len());
        let mut next = 0;
        for offset in offsets {
            put_number(&mut list, offset - next);
            next = offset + 1;
        }
        let bytes = (self.block.size() / 8) as usize;
        if list.len() >= bytes {
            list.clear();
            list.resize(bytes, 0);
            offsets.iter().for_each(|offset| list[*offset as usize / 8] |= 1 << (offset % 8));
        }
        put_number(row, list.len() as u32);
        row.extend(list);
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

fn take_number(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0;
    for shift in (0..u32::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
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

    use super::*;

    /// Texts of which some parts are in all, some in many, and some in one.
    fn text(number: u64) -> String {
        let words = ["guichet", "colis", "tri", "naïve", "邮政局"];
        format!("pc-{number:07}\n{} {:x}", words[(number % 5) as usize], number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The requests of a block that have all of the parts, which each say how many have them.
    fn having(block: Block, rows: &BTreeMap<i64, Vec<u8>>, parts: &[Part]) -> Vec<u64> {
        let mut chosen = block.all();
        for part in parts {
            let with_this_one = chosen.keep(*part, &rows[&block.row_of(*part)]);
            assert!(chosen.count() <= with_this_one);
        }
        chosen.numbers().collect()
    }

    #[test]
    fn blocks_of_every_level_have_the_lists_of_what_they_are_made_of() {
        let end = BLOCK * FACTOR * FACTOR + BLOCK * FACTOR + 2 * BLOCK;
        let mut rows = BTreeMap::new();
        for start in (0..end).step_by(BLOCK as usize) {
            let mut block = Block::smallest(start);
            let texts = block.first()..=block.last();
            let mut made = block.rows(texts.map(|number| (number, parts(&text(number), "A"))));
            loop {
                rows.extend(made);
                let Some(larger) = block.completes() else { break };
                let children: Vec<_> = rows
                    .range(larger.rows_of_children())
                    .map(|(id, row): (&i64, &Vec<u8>)| (*id, row.clone()))
                    .collect();
                made = larger.merged(&children).unwrap();
                assert_eq!(larger.merged(&children[1..]), None);
                rows.retain(|id, _| !larger.rows_of_children().contains(id));
                block = larger;
            }
        }
        let blocks = Block::up_to(end);
        assert_eq!(blocks.iter().map(|block| block.level).collect::<Vec<_>>(), [2, 1, 0, 0]);
        assert_eq!(rows.len() as u64, blocks.iter().map(|block| block.sections()).sum::<u64>());
        for word in ["pc-", "pc-0000129", "guichet", "naïve", "邮政局", "tri", "0017", "nirgendwo"] {
            let mut asked = parts_of_word(word, 16);
            asked.push(organisation_part("A"));
            let found = blocks.iter().flat_map(|block| having(*block, &rows, &asked));
            let holding: Vec<u64> = (1..=end)
                .filter(|number| {
                    let text = text(*number);
                    let windows: Vec<char> = word.chars().collect();
                    windows.windows(PART).all(|part| text.contains(&part.iter().collect::<String>()))
                })
                .collect();
            assert_eq!(found.collect::<Vec<_>>(), holding, "{word}");
        }
        assert!(blocks.iter().all(|block| having(*block, &rows, &[organisation_part("B")]).is_empty()));
    }

    #[test]
    fn what_is_damaged_says_anything_but_does_not_end_the_service() {
        let block = Block::smallest(0);
        let part = parts_of_word("abc", 1)[0];
        for row in [&[][..], &[0xff; 40], &[0, 0xff, 0xff, 0xff, 0x7f], &[0, 2, 0xff, 0x7f], &[0x80; 3]] {
            block.all().keep(part, row);
        }
    }

    #[test]
    fn a_long_word_is_asked_for_by_parts_of_all_of_it() {
        assert!(parts_of_word("ab", 16).is_empty());
        assert!(!parts_of_word("abc", 16).is_empty());
        let long = "001a2b3c4d5e-bfebfbff000906ea-00000001";
        let asked = parts_of_word(long, 4);
        assert!((4..=5).contains(&asked.len()), "{asked:?}");
        assert_eq!(asked.first(), parts_of_word("001", 1).first());
        assert_eq!(asked.last(), parts_of_word("001", 1).first());
    }
}
