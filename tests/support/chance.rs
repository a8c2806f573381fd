//! Chance that can be repeated.

/// The same in every run, unless the environment says otherwise: what others find is for whoever looks for it.
pub const SEED: u64 = 20_261_124;

/// The seed that this environment variable holds, else [`SEED`].
pub fn seed(variable: &str) -> u64 {
    std::env::var(variable).map_or(SEED, |seed| seed.parse().unwrap())
}

/// Chance that a seed repeats: splitmix64.
pub struct Chance(pub u64);

impl Chance {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below another; 0 below 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.number() % (limit.max(1) as u64)) as usize
    }

    pub fn one_of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }

    /// A piece of some bytes, of any length.
    pub fn piece<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let start = self.below(bytes.len());
        &bytes[start..start + self.below(bytes.len() - start + 1)]
    }
}
