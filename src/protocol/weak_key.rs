//! RSA moduli that can be factored without effort. What else a key must be stands in [`super::rules`].

use num_bigint::BigUint;

/// Whether a modulus falls to trial division or to Fermat's method, and to which.
pub(super) fn weakness(modulus: &BigUint) -> Option<&'static str> {
    if !modulus.bit(0) {
        return Some("n ≡ 0 (mod 2)");
    }
    if PRODUCTS.into_iter().any(|product| shares_a_factor(product, modulus)) {
        return Some("n ≡ 0 (mod p), p < 752");
    }
    if falls_to_fermat(modulus) {
        return Some("p ≈ q (Fermat)");
    }
    None
}

/// The odd primes below 752 (CA/Browser Forum, Baseline Requirements §6.1.6), multiplied into as few words as hold
/// them: the long division by a word costs the same for one prime as for seven.
const PRODUCTS: [u64; 18] = products();

const fn products() -> [u64; 18] {
    let mut products = [1_u64; 18];
    let mut word = 0;
    let mut candidate = 3;
    while candidate < 752 {
        if is_prime(candidate) {
            match products[word].checked_mul(candidate) {
                Some(product) => products[word] = product,
                None => {
                    word += 1;
                    products[word] = candidate;
                }
            }
        }
        candidate += 2;
    }
    assert!(word + 1 == products.len());
    products
}

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

/// Euclid's algorithm; after its first step all numbers fit a word.
fn shares_a_factor(product: u64, modulus: &BigUint) -> bool {
    let (mut larger, mut smaller) = (product, low_word(&(modulus % product)));
    while smaller != 0 {
        (larger, smaller) = (smaller, larger % smaller);
    }
    larger != 1
}

/// Fermat: n = a² - b². For p and q close together, a is the root of n or one of the next few numbers (Baseline
/// Requirements §6.1.1.3: 100 rounds).
fn falls_to_fermat(modulus: &BigUint) -> bool {
    let mut a = modulus.sqrt();
    if &a * &a < *modulus {
        a += 1_u32;
    }
    let mut square = &a * &a - modulus;
    // (a + 1)² = a² + 2a + 1; the step itself grows by 2.
    let mut step: BigUint = a * 2_u32 + 1_u32;
    for _ in 0..100 {
        if could_be_square(&square) {
            let root = square.sqrt();
            if &root * &root == square {
                return true;
            }
        }
        square += &step;
        step += 2_u32;
    }
    false
}

/// Turns away most numbers that are not squares without taking a root: a square is 0, 1, 4, 9, 16 … modulo 64.
fn could_be_square(number: &BigUint) -> bool {
    const SQUARES: [u64; 4] = [squares(64), squares(63), squares(61), squares(55)];
    let [by_64, by_63, by_61, by_55] = SQUARES;
    by_64 >> (low_word(number) % 64) & 1 == 1 && {
        let rest = low_word(&(number % (63_u32 * 61 * 55)));
        by_63 >> (rest % 63) & 1 == 1 && by_61 >> (rest % 61) & 1 == 1 && by_55 >> (rest % 55) & 1 == 1
    }
}

/// The remainders that squares leave, one bit each.
const fn squares(modulus: u64) -> u64 {
    let (mut set, mut root) = (0, 0);
    while root < modulus {
        set |= 1 << (root * root % modulus);
        root += 1;
    }
    set
}

fn low_word(number: &BigUint) -> u64 {
    number.iter_u64_digits().next().unwrap_or_default()
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
}
