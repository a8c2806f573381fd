//! RSA moduli that can be factored without effort. What else a key must be stands in [`super::rules`].
//!
//! The service asks this of each submission: what words can tell costs no long division.

use num_bigint::BigUint;

/// Whether a modulus falls to trial division or to Fermat's method, and to which.
pub(super) fn weakness(modulus: &BigUint) -> Option<&'static str> {
    if !modulus.bit(0) {
        return Some("n ≡ 0 (mod 2)");
    }
    if has_small_factor(modulus) {
        return Some("n ≡ 0 (mod p), p < 752");
    }
    if falls_to_fermat(modulus) {
        return Some("p ≈ q (Fermat)");
    }
    None
}

/// An odd number to divide by with multiplications alone (Granlund and Montgomery, Division by Invariant Integers using
/// Multiplication, §9).
#[derive(Clone, Copy)]
struct Divisor {
    value: u64,
    /// Modulo 2^64.
    inverse: u64,
    /// The largest quotient.
    most: u64,
}

impl Divisor {
    const fn new(value: u64) -> Self {
        // Newton's method: three bits are right from the start, and each step doubles them.
        let (mut inverse, mut bits) = (value, 3);
        while bits < u64::BITS {
            inverse = inverse.wrapping_mul(2_u64.wrapping_sub(value.wrapping_mul(inverse)));
            bits *= 2;
        }
        Self { value, inverse, most: u64::MAX / value }
    }

    const fn divides(self, number: u64) -> bool {
        number.wrapping_mul(self.inverse) <= self.most
    }

    /// One word of Montgomery's reduction, the lowest first: what is left of all of them has exactly those factors in
    /// common with the divisor that the number has.
    const fn reduce(self, left: u64, word: u64) -> u64 {
        let (low, borrow) = word.overflowing_sub(left);
        let quotient = low.wrapping_mul(self.inverse);
        ((quotient as u128 * self.value as u128) >> u64::BITS) as u64 + borrow as u64
    }
}

/// The odd primes below 752 (CA/Browser Forum, Baseline Requirements §6.1.6).
const PRIMES: [Divisor; 132] = {
    let mut primes = [Divisor::new(1); 132];
    let (mut count, mut candidate) = (0, 3);
    while candidate < 752 {
        if is_prime(candidate) {
            primes[count] = Divisor::new(candidate);
            count += 1;
        }
        candidate += 2;
    }
    assert!(count == primes.len());
    primes
};

/// How many of them, multiplied, fit a word.
const FACTORS: usize = 6;

/// So many of them each, multiplied: a number is reduced once for all of them.
const PRODUCTS: [Divisor; PRIMES.len() / FACTORS] = {
    let mut products = [Divisor::new(1); PRIMES.len() / FACTORS];
    let mut index = 0;
    while index < PRIMES.len() {
        products[index / FACTORS] = Divisor::new(products[index / FACTORS].value * PRIMES[index].value);
        index += 1;
    }
    products
};

const fn is_prime(odd: u64) -> bool {
    let mut divisor = 3;
    while divisor * divisor <= odd {
        if odd.is_multiple_of(divisor) {
            return false;
        }
        divisor += 2;
    }
    true
}

fn has_small_factor(modulus: &BigUint) -> bool {
    let mut left = [0; PRODUCTS.len()];
    for word in modulus.iter_u64_digits() {
        left.iter_mut().zip(&PRODUCTS).for_each(|(left, product)| *left = product.reduce(*left, word));
    }
    left.iter().zip(PRIMES.chunks(FACTORS)).any(|(left, primes)| primes.iter().any(|prime| prime.divides(*left)))
}

/// Fermat: n = a² - b². For p and q close together, a is the root of n or one of the next few numbers (Baseline
/// Requirements §6.1.1.3: 100 rounds).
fn falls_to_fermat(modulus: &BigUint) -> bool {
    let mut root = modulus.sqrt();
    if &root * &root < *modulus {
        root += 1_u32;
    }
    let square = &root * &root - modulus;
    let mut sieves = SIEVES.map(|sieve| sieve.begin(&root, &square));
    (0..100_u32).any(|round| {
        let possible = sieves.iter().all(Sieved::could_be_square);
        sieves.iter_mut().for_each(Sieved::next);
        possible && {
            let a = &root + round;
            let square = &a * &a - modulus;
            let b = square.sqrt();
            &b * &b == square
        }
    })
}

/// Small numbers, of which no two have a common factor, each with the remainders that squares leave, a bit each. Nearly
/// every number that is no square leaves, of at least one of them, a remainder that no square leaves.
struct Sieve {
    product: u32,
    squares: [(u32, u64); 4],
}

const SIEVES: [Sieve; 2] = [Sieve::of([64, 63, 61, 55]), Sieve::of([59, 53, 47, 43])];

/// a² - n, modulo the product of a sieve.
struct Sieved {
    sieve: Sieve,
    square: u32,
    /// To (a + 1)² - n: 2a + 1.
    step: u32,
}

impl Sieve {
    const fn of([a, b, c, d]: [u32; 4]) -> Self {
        let squares = [(a, squares(a)), (b, squares(b)), (c, squares(c)), (d, squares(d))];
        Self { product: a * b * c * d, squares }
    }

    fn begin(self, root: &BigUint, square: &BigUint) -> Sieved {
        let rest = |number: &BigUint| (number % self.product).iter_u32_digits().next().unwrap_or_default();
        Sieved { square: rest(square), step: 2 * rest(root) + 1, sieve: self }
    }
}

impl Sieved {
    fn could_be_square(&self) -> bool {
        self.sieve.squares.iter().all(|(modulus, squares)| squares >> (self.square % modulus) & 1 == 1)
    }

    fn next(&mut self) {
        self.square = (self.square + self.step) % self.sieve.product;
        self.step += 2;
    }
}

/// The remainders that squares leave, one bit each.
const fn squares(modulus: u32) -> u64 {
    let (mut set, mut root) = (0_u64, 0);
    while root < modulus {
        set |= 1 << (root * root % modulus);
        root += 1;
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three primes: 2^521 - 1, 2^607 - 1 (Mersenne's), and the least one above 2^521.
    fn primes() -> [BigUint; 3] {
        let power = |exponent: u32| BigUint::from(1_u32) << exponent;
        [power(521) - 1_u32, power(607) - 1_u32, power(521) + 887_u32]
    }

    #[test]
    fn table() {
        let [left, right, next] = primes();
        for (modulus, expected) in [
            (&left * &right, None),
            (&left * 751_u32 * &right, Some("n ≡ 0 (mod p), p < 752")),
            (&left * 3_u32 * &right, Some("n ≡ 0 (mod p), p < 752")),
            (&left * 757_u32 * &right, None),
            (&left * &right * 2_u32, Some("n ≡ 0 (mod 2)")),
            (&left * &next, Some("p ≈ q (Fermat)")),
            (&left * &left, Some("p ≈ q (Fermat)")),
        ] {
            assert_eq!(weakness(&modulus), expected, "{modulus:x}");
        }
    }

    #[test]
    fn each_prime_below_752_is_tried() {
        // Mersenne's primes, of 1 to 70 words.
        for exponent in [61_u32, 89, 2_203, 4_423] {
            let prime = (BigUint::from(1_u32) << exponent) - 1_u32;
            for factor in (1_u32..1_000).step_by(2) {
                let has_small = (3..752).step_by(2).any(|divisor| factor % divisor == 0);
                assert_eq!(has_small_factor(&(&prime * factor)), has_small, "{factor}(2^{exponent} - 1)");
            }
        }
    }

    /// n = (a + b)(a - b), for b so large that a comes in a certain round.
    #[test]
    fn a_hundred_rounds_of_fermat() {
        let a = (BigUint::from(1_u32) << 1_024) + 643_u32;
        for round in 0..=101_u32 {
            // b² = 2a(k + ½) leaves a root between a - k - 1 and a - k.
            let b = BigUint::sqrt(&(&a * (2 * round + 1)));
            assert_eq!(falls_to_fermat(&(&a * &a - &b * &b)), round < 100, "{round}");
        }
    }
}
