//! What is asked of the engines: prompt and output lengths as in ShareGPT V3.

use crate::random::Normal;

/// The lengths of one request in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// Tokens of the prompt.
    pub input: u32,
    /// Tokens to generate.
    pub output: u32,
}

/// Log-normal lengths.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lengths {
    /// Mean of the logarithm of the input length.
    pub input_mu: f64,
    /// Standard deviation of the logarithm of the input length.
    pub input_sigma: f64,
    /// The shortest input.
    pub input_min: u32,
    /// The longest input.
    pub input_max: u32,
    /// Mean of the logarithm of the output length.
    pub output_mu: f64,
    /// Standard deviation of the logarithm of the output length.
    pub output_sigma: f64,
    /// Input and output together at most.
    pub total_max: u32,
}

impl Lengths {
    /// The conversations of ShareGPT V3 as vLLM's benchmark filters them: fitted to the token means of the field test,
    /// about 215 in and 200 out.
    pub const SHAREGPT: Self = Self {
        input_mu: 4.78,
        input_sigma: 1.2,
        input_min: 4,
        input_max: 1024,
        output_mu: 4.85,
        output_sigma: 1.05,
        total_max: 2048,
    };

    /// Draws one request. An output that would exceed the total is drawn again.
    pub fn draw(&self, normal: &mut Normal) -> Length {
        let input = (self.input_mu + self.input_sigma * normal.draw()).exp() as u32;
        let input = input.clamp(self.input_min, self.input_max);
        loop {
            let output = self.draw_output(normal);
            if input + output <= self.total_max {
                return Length { input, output };
            }
        }
    }

    /// Draws the output length of a request whose caller left it to the model.
    pub fn draw_output(&self, normal: &mut Normal) -> u32 {
        ((self.output_mu + self.output_sigma * normal.draw()).exp() as u32).max(1)
    }
}

/// An endless stream of requests that a seed fixes.
#[derive(Debug, Clone)]
pub struct Workload {
    lengths: Lengths,
    normal: Normal,
}

impl Workload {
    /// Requests of these lengths.
    pub fn new(lengths: Lengths, seed: u64) -> Self {
        Self { lengths, normal: Normal::new(seed) }
    }
}

impl Iterator for Workload {
    type Item = Length;

    fn next(&mut self) -> Option<Length> {
        Some(self.lengths.draw(&mut self.normal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_keep_their_bounds_and_means() {
        let count = 100_000;
        let (mut input, mut output) = (0.0, 0.0);
        for length in Workload::new(Lengths::SHAREGPT, 1).take(count) {
            assert!((4..=1024).contains(&length.input));
            assert!(length.output >= 1 && length.input + length.output <= 2048);
            input += f64::from(length.input) / count as f64;
            output += f64::from(length.output) / count as f64;
        }
        assert!((input - 214.0).abs() < 4.0, "{input}");
        assert!((output - 206.0).abs() < 4.0, "{output}");
    }

    #[test]
    fn the_seed_fixes_the_lengths() {
        let draw = |seed| Workload::new(Lengths::SHAREGPT, seed).take(20).collect::<Vec<_>>();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
