//! Numbers from a seed, so that a failure can be had again.

/// A xorshift64* generator.
pub struct Random(u64);

impl Random {
    /// The sequence of `seed`, which is not 0.
    ///
    /// # Panics
    /// When `seed` is 0: the sequence would be nothing but zeroes.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        assert_ne!(seed, 0, "a seed is not 0");
        Self(seed)
    }

    /// The next number, never 0.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number from 0 up to, but not, `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        (self.draw() >> 8) % bound
    }
}
