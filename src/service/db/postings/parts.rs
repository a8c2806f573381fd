//! What a text is found by: its words' parts, a few characters each, and its organisation.

/// How many characters a word has at least: what is shorter is not found through the index.
pub(in crate::service::db) const SHORTEST: usize = 3;

/// How many characters a part has. Among a million, three hexadecimal digits in a row are in every list.
pub(super) const PART: usize = SHORTEST + 1;

/// Stands behind a word, so that its last three characters begin a part too. No word has it.
const END: char = '\n';

/// A part of a text, or an organisation, as the index knows it. Parts that begin with the same three characters follow each
/// other: only the low bits are of the fourth. Another part may have the same number, where that character is far from Latin
/// or by a wonder; who asks compares the rows.
pub(in crate::service::db) type Part = u32;
const LAST_CHARACTER: Part = 0xff;

/// Parts that follow each other, within a section of any block: one, or all that begin with the same three characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::service::db) struct Parts {
    pub(super) first: Part,
    pub(super) last: Part,
}

impl Parts {
    /// An organisation as a part that no text has.
    pub(in crate::service::db) fn of_organisation(code: &str) -> Self {
        let part = organisation_part(code);
        Self { first: part, last: part }
    }

    /// Those that a word of three characters or more is found by, spread over it, about so many; first what tells most.
    pub(in crate::service::db) fn of_word(word: &str, most: usize) -> Vec<Self> {
        let characters: Vec<char> = word.chars().collect();
        if characters.len() == SHORTEST {
            let first = beginning(&characters);
            return vec![Self { first, last: first | LAST_CHARACTER }];
        }
        let all: Vec<Part> = characters.windows(PART).map(part).collect();
        let mut places: Vec<usize> = (0..all.len()).step_by(all.len().div_ceil(most.max(1)).max(1)).collect();
        places.extend(all.len().checked_sub(1));
        places.dedup();
        // Machines that belong together have names that begin alike, and one domain.
        let end = characters.iter().position(|character| matches!(character, '.' | '@')).unwrap_or(characters.len());
        places.sort_by_key(|place| {
            let (distance, is_behind) = ((place + PART).abs_diff(end), place + PART > end);
            // Neighbours have three characters in common, and say little more than one of them: every other comes first.
            (is_behind, !is_behind && distance % 2 == 1, distance)
        });
        places.into_iter().map(|place| Self { first: all[place], last: all[place] }).collect()
    }
}

/// All parts of a text and its organisation, each once.
pub(in crate::service::db) fn parts(text: &str, organisation: &str) -> Vec<Part> {
    let mut parts = vec![organisation_part(organisation)];
    let mut characters = Vec::new();
    for word in text.split_whitespace() {
        characters.clear();
        characters.extend(word.chars().chain([END]));
        parts.extend(characters.windows(PART).map(part));
    }
    parts.sort_unstable();
    parts.dedup();
    parts
}

fn organisation_part(code: &str) -> Part {
    hash(1, code.chars())
}

fn part(characters: &[char]) -> Part {
    beginning(characters) | (u32::from(characters[SHORTEST]) & LAST_CHARACTER)
}

/// The first of the parts that begin with these three characters.
fn beginning(characters: &[char]) -> Part {
    hash(0, characters[..SHORTEST].iter().copied()) & !LAST_CHARACTER
}

/// The high half of a product (Knuth, The Art of Computer Programming 3, §6.4). It must stay the same from release to
/// release.
fn hash(kind: u64, characters: impl Iterator<Item = char>) -> u32 {
    let mix = |hash: u64, character: char| (hash ^ u64::from(character)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (characters.fold(kind << 32, mix) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::Parts;

    #[test]
    fn a_long_word_is_asked_for_by_parts_of_all_of_it() {
        assert!(Parts::of_word("ab", 16).is_empty());
        assert!(!Parts::of_word("abc", 16).is_empty());
        let long = "001a2b3c4d5e-bfebfbff000906ea-00000001";
        let asked = Parts::of_word(long, 4);
        assert!((4..=5).contains(&asked.len()), "{asked:?}");
        for end in ["001a", "0001"] {
            assert!(asked.contains(&Parts::of_word(end, 1)[0]), "{end}");
        }
    }

    #[test]
    fn a_word_is_asked_for_first_by_what_sets_it_apart() {
        for (word, first) in [
            ("pc-0123456", ["3456", "1234"]),
            ("pc-0123456.poste.example", ["3456", "1234"]),
            ("admin500@poste.example", ["n500", "min5"]),
            ("ab", [""; 2]),
            ("pc1.poste", ["pc1.", "c1.p"]),
        ] {
            let parts = Parts::of_word(word, 32);
            let first = first.iter().filter(|part| !part.is_empty()).map(|part| Parts::of_word(part, 1)[0]);
            assert_eq!(parts.iter().copied().take(2).collect::<Vec<_>>(), first.collect::<Vec<_>>(), "{word}");
        }
    }
}
