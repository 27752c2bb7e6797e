//! Nucleotides as symbols 0 to 3 in the order A < T < G < C, which is not the order of ASCII.
//!
//! The order matters: `3 - s` exchanges A with C and T with G, so the map that reverses the lexicographic order also
//! exchanges the classes {A, T} and {G, C}. Balancing rests on that.

use super::Error;

/// Letters of the symbols.
pub const LETTERS: [u8; 4] = *b"ATGC";

/// What [`SYMBOLS`] holds for a letter that is no nucleotide.
pub const FOREIGN: u8 = 255;

/// Symbols of the letters, in upper and lower case.
pub const SYMBOLS: [u8; 256] = {
    let mut table = [FOREIGN; 256];
    let mut symbol = 0;
    while symbol < 4 {
        table[LETTERS[symbol] as usize] = symbol as u8;
        table[LETTERS[symbol].to_ascii_lowercase() as usize] = symbol as u8;
        symbol += 1;
    }
    table
};

/// Symbols of a word given in letters.
pub fn to_symbols(letters: &[u8]) -> Result<Vec<u8>, Error> {
    let mut symbols = vec![0; letters.len()];
    read_symbols(letters, &mut symbols)?;
    Ok(symbols)
}

/// Symbols of a word given in letters, into as many places.
///
/// Without a table and without an early end, so that many letters are looked at together.
#[allow(clippy::needless_bitwise_bool, reason = "a lazy operator would look at one letter after the other")]
pub fn read_symbols(letters: &[u8], symbols: &mut [u8]) -> Result<(), Error> {
    assert_eq!(letters.len(), symbols.len(), "a place for each letter");
    let mut is_word = true;
    for (symbol, &letter) in symbols.iter_mut().zip(letters) {
        // Of A, C, T and G the second and third lowest bits are 0, 1, 2 and 3.
        let (second, third) = (letter >> 1 & 1, letter >> 2 & 1);
        *symbol = second << 1 | (second ^ third);
        is_word &= letter_of(*symbol) == letter & !0x20;
    }
    if is_word {
        return Ok(());
    }
    let foreign = |(_, letter): &(usize, &u8)| SYMBOLS[usize::from(**letter)] == FOREIGN;
    let (position, &letter) = letters.iter().enumerate().find(foreign).expect("one of them is no nucleotide");
    Err(Error::Letter { position, letter: letter as char })
}

/// Letters of a word given in symbols.
pub fn to_ascii(symbols: &[u8]) -> Vec<u8> {
    symbols.iter().map(|&symbol| letter_of(symbol)).collect()
}

/// The letter of a symbol by what its bits change in that of 0, which unlike a look into a table is done for many at once.
#[inline]
pub const fn letter_of(symbol: u8) -> u8 {
    let (low, high) = (symbol & 1, symbol >> 1 & 1);
    let [a, t, g, c] = LETTERS;
    a ^ (low * (a ^ t)) ^ (high * (a ^ g)) ^ ((low & high) * (a ^ t ^ g ^ c))
}

/// Symbol of the base that pairs with `symbol`: A with T, G with C.
pub const fn pairing(symbol: u8) -> u8 {
    symbol ^ 1
}

/// +1 for G and C, -1 for A and T.
pub fn disparity(symbol: u8) -> i32 {
    if symbol >= 2 { 1 } else { -1 }
}

/// Number of G and C less number of A and T.
pub fn word_disparity(word: &[u8]) -> i32 {
    let strong = word.iter().filter(|&&symbol| symbol >= 2).count() as i32;
    2 * strong - word.len() as i32
}

/// The word's reverse complement strand.
pub fn reverse_complement(word: &[u8]) -> Vec<u8> {
    word.iter().rev().map(|&symbol| pairing(symbol)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_symbols_are_inverse() {
        assert_eq!(to_symbols(b"ATGCatgc").unwrap(), [0, 1, 2, 3, 0, 1, 2, 3]);
        assert_eq!(to_ascii(&[0, 1, 2, 3]), b"ATGC");
        for letter in 0..=255 {
            let symbol = SYMBOLS[usize::from(letter)];
            let error = Error::Letter { position: 1, letter: letter as char };
            let expected = if symbol == FOREIGN { Err(error) } else { Ok(vec![3, symbol]) };
            assert_eq!(to_symbols(&[b'c', letter]), expected);
        }
        assert_eq!(to_symbols(b"AN").unwrap_err(), Error::Letter { position: 1, letter: 'N' });
    }

    #[test]
    fn complements_are_those_of_chemistry_and_of_order() {
        assert_eq!(to_ascii(&reverse_complement(&to_symbols(b"AACGT").unwrap())), b"ACGTT");
        for symbol in 0..4 {
            assert_eq!(disparity(3 - symbol), -disparity(symbol));
        }
    }
}
