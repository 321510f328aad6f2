//! Inputs made of other inputs: bits flipped, pieces cut, repeated, exchanged, and words of the language put in.

/// Numbers at the borders of types and limits.
const NUMBERS: [&str; 14] = [
    "0",
    "-1",
    "1",
    "00",
    "7",
    "255",
    "256",
    "65536",
    "4294967295",
    "4294967296",
    "9223372036854775808",
    "18446744073709551616",
    "1e400",
    "0x7f",
];

/// Bytes that end, quote or escape something in one of the languages.
const MARKS: &[u8] = b"\0\x7f\xff\"'\\{}[]:,;=/*?$% \r\n\t";

/// Makes inputs, the same ones from the same seed.
pub(crate) struct Mutator {
    state: u64,
    tokens: &'static [&'static str],
}

impl Mutator {
    /// Words that mean something to the target are `tokens`.
    pub(crate) fn new(seed: u64, tokens: &'static [&'static str]) -> Self {
        Self { state: seed | 1, tokens }
    }

    /// One input of the corpus with one to eight changes, of at most `bytes_max` bytes.
    pub(crate) fn mutation(&mut self, corpus: &[Vec<u8>], bytes_max: usize) -> Vec<u8> {
        let mut input = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(8) {
            self.change(&mut input, corpus);
            input.truncate(bytes_max);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        let range = at..(at + self.length(8)).min(input.len());
        match self.below(12) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = MARKS[self.below(MARKS.len())],
            2 => drop(input.drain(range)),
            3 => {
                let piece = input[range].to_vec();
                let count = 1 + self.length(9);
                input.splice(at..at, piece.repeat(count));
            }
            4 => {
                let other = &corpus[self.below(corpus.len())];
                let from = self.below(other.len() + 1);
                let to = (from + self.length(10)).min(other.len());
                input.splice(range, other[from..to].iter().copied());
            }
            5 => {
                let other = &corpus[self.below(corpus.len())];
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            6 => {
                let number = NUMBERS[self.below(NUMBERS.len())];
                let run = digits_from(input, at);
                input.splice(run, number.bytes());
            }
            7 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = if byte.is_ascii_lowercase() {
                        byte.to_ascii_uppercase()
                    } else {
                        byte.to_ascii_lowercase()
                    };
                }
            }
            8 => {
                // Two pieces change places.
                let piece: Vec<u8> = input.drain(range).collect();
                let to = self.below(input.len() + 1);
                input.splice(to..to, piece);
            }
            _ => {
                let token = self.tokens[self.below(self.tokens.len())];
                let replaced = if self.below(2) == 0 { at..at } else { word_from(input, at) };
                input.splice(replaced, token.bytes());
            }
        }
    }

    /// A length: small ones are as likely as large ones, all are below 2 to the power of `bits_max`.
    fn length(&mut self, bits_max: usize) -> usize {
        let bits = self.below(bits_max);
        self.below(1 << bits)
    }

    /// From 0 up to, but not, `bound`.
    fn below(&mut self, bound: usize) -> usize {
        // xorshift64*
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let drawn = self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16;
        usize::try_from(drawn).expect("48 bits") % bound
    }
}

/// The first run of digits at or after `at`; empty at the end.
fn digits_from(input: &[u8], at: usize) -> std::ops::Range<usize> {
    run_from(input, at, |byte| byte.is_ascii_digit())
}

/// The first run of letters at or after `at`, with what names of keys and headers have between them.
fn word_from(input: &[u8], at: usize) -> std::ops::Range<usize> {
    run_from(input, at, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b':'))
}

fn run_from(input: &[u8], at: usize, belongs: impl Fn(u8) -> bool) -> std::ops::Range<usize> {
    let start =
        input[at..].iter().position(|&byte| belongs(byte)).map_or(input.len(), |skipped| at + skipped);
    let length = input[start..].iter().position(|&byte| !belongs(byte)).unwrap_or(input.len() - start);
    start..start + length
}
