//! Which of a block's requests have every part that was asked for.

use super::{Block, Parts, lists};

/// Some of a block's requests.
#[derive(Debug)]
pub(in crate::service::db) struct Chosen {
    block: Block,
    /// `None` while they are all.
    offsets: Option<Offsets>,
}

impl Chosen {
    /// All of them.
    pub(super) const fn all_of(block: Block) -> Self {
        Self { block, offsets: None }
    }

    /// The block.
    pub(in crate::service::db) const fn block(&self) -> Block {
        self.block
    }

    /// Keeps those that have one of these parts, given the row where their lists would be; says how many requests do.
    pub(in crate::service::db) fn keep(&mut self, parts: Parts, row: &[u8]) -> u64 {
        let (mut offsets, mut bits) = (Vec::new(), Vec::new());
        // In the order of their numbers.
        let asked = lists(self.block, self.block.row_of(parts), row)
            .skip_while(|(part, _)| *part < parts.first)
            .take_while(|(part, _)| *part <= parts.last);
        for (_, list) in asked {
            match self.block.bits(list) {
                Some(words) if bits.is_empty() => bits.extend(words),
                Some(words) => bits.iter_mut().zip(words).for_each(|(bits, word)| *bits |= word),
                None => {
                    offsets.reserve(list.len());
                    self.block.for_each_distant(list, |offset| offsets.push(offset));
                }
            }
        }
        // More than take the room of bits.
        if bits.is_empty() && offsets.len() as u64 > self.block.size() / 32 {
            bits.resize((self.block.size() / 64) as usize, 0);
        }
        let having = if bits.is_empty() {
            if !offsets.is_sorted_by(|one, next| one < next) {
                offsets.sort_unstable();
                offsets.dedup();
            }
            Offsets::Listed(offsets)
        } else {
            offsets.iter().for_each(|offset| bits[*offset as usize / 64] |= 1 << (offset % 64));
            Offsets::Bits(bits)
        };
        let count = having.count();
        match &mut self.offsets {
            None => self.offsets = Some(having),
            Some(offsets) => offsets.keep(having),
        }
        count
    }

    /// How many they are.
    pub(in crate::service::db) fn count(&self) -> u64 {
        self.offsets.as_ref().map_or(self.block.size(), Offsets::count)
    }

    /// Their numbers.
    pub(in crate::service::db) fn numbers(&self) -> Box<dyn DoubleEndedIterator<Item = u64> + '_> {
        let number = |offset| self.block.first() + offset;
        match &self.offsets {
            None => Box::new((0..self.block.size()).map(number)),
            Some(Offsets::Listed(offsets)) => Box::new(offsets.iter().map(move |offset| number(u64::from(*offset)))),
            Some(Offsets::Bits(bits)) => {
                Box::new(ones(bits.iter().copied()).map(move |offset| number(u64::from(offset))))
            }
        }
    }
}

/// Where some requests are in their block.
#[derive(Debug)]
enum Offsets {
    /// In their order.
    Listed(Vec<u32>),
    /// As bits, where they are or were many: these are compared with others much faster.
    Bits(Vec<u64>),
}

impl Offsets {
    fn count(&self) -> u64 {
        match self {
            Self::Listed(offsets) => offsets.len() as u64,
            Self::Bits(bits) => bits.iter().map(|bits| u64::from(bits.count_ones())).sum(),
        }
    }

    /// Keeps those that the other ones are too.
    fn keep(&mut self, others: Self) {
        match (&mut *self, others) {
            (Self::Listed(these), Self::Listed(others)) => {
                let mut others = others.into_iter().peekable();
                these.retain(|offset| {
                    while others.next_if(|other| other < offset).is_some() {}
                    others.peek() == Some(offset)
                });
            }
            (Self::Listed(these), Self::Bits(others)) => these.retain(|offset| is_one(&others, *offset)),
            (Self::Bits(these), Self::Listed(mut others)) => {
                others.retain(|offset| is_one(these, *offset));
                *self = Self::Listed(others);
            }
            (Self::Bits(these), Self::Bits(others)) => {
                these.iter_mut().zip(others).for_each(|(bits, others)| *bits &= others);
            }
        }
    }
}

fn is_one(bits: &[u64], offset: u32) -> bool {
    bits[offset as usize / 64] >> (offset % 64) & 1 == 1
}

/// The offsets whose bits are set.
pub(super) fn ones(
    bits: impl DoubleEndedIterator<Item = u64> + ExactSizeIterator,
) -> impl DoubleEndedIterator<Item = u32> {
    bits.enumerate().flat_map(|(place, word)| Ones { start: place as u32 * u64::BITS, word })
}

/// Those of one word.
struct Ones {
    start: u32,
    word: u64,
}

impl Iterator for Ones {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let one = self.word.trailing_zeros();
        self.word &= self.word.checked_sub(1)?;
        Some(self.start + one)
    }
}

impl DoubleEndedIterator for Ones {
    fn next_back(&mut self) -> Option<u32> {
        let one = self.word.checked_ilog2()?;
        self.word ^= 1 << one;
        Some(self.start + one)
    }
}
