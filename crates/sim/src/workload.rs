//! What is asked of the engines: prompt and output lengths, as in ShareGPT V3 or as other uses have them.

use serde::Deserialize;

use crate::random::Normal;

/// The lengths of one request in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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

    /// Short questions.
    const SHORT: Self = Self {
        input_mu: 4.0,
        input_sigma: 0.6,
        input_min: 4,
        input_max: 400,
        output_mu: 4.6,
        output_sigma: 0.7,
        total_max: 2048,
    };

    /// Documents of some thousand tokens with questions.
    const DOCUMENT: Self = Self {
        input_mu: 7.8,
        input_sigma: 0.5,
        input_min: 500,
        input_max: 8192,
        output_mu: 5.5,
        output_sigma: 0.7,
        total_max: 12_288,
    };

    /// Whole books and code bases, up to 32k tokens.
    const LONG: Self = Self {
        input_mu: 9.2,
        input_sigma: 0.7,
        input_min: 2048,
        input_max: 32_768,
        output_mu: 5.3,
        output_sigma: 0.8,
        total_max: 36_864,
    };

    /// ShareGPT's questions with answers that think aloud first, about 1,700 tokens.
    const REASONING: Self = Self { output_mu: 7.2, output_sigma: 0.7, total_max: 10_240, ..Self::SHAREGPT };

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

/// A mixture of lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mix {
    /// Conversations as in ShareGPT.
    #[default]
    ShareGpt,
    /// Four short questions for each document.
    Bimodal,
    /// ShareGPT, and each twentieth prompt has 2k to 32k tokens.
    Long,
    /// ShareGPT's questions, long answers.
    Reasoning,
}

impl Mix {
    /// The lengths that most requests have, those that the others have, and the part of the others.
    fn parts(self) -> (Lengths, Lengths, f64) {
        match self {
            Self::ShareGpt => (Lengths::SHAREGPT, Lengths::SHAREGPT, 0.0),
            Self::Bimodal => (Lengths::SHORT, Lengths::DOCUMENT, 0.2),
            Self::Long => (Lengths::SHAREGPT, Lengths::LONG, 0.05),
            Self::Reasoning => (Lengths::REASONING, Lengths::REASONING, 0.0),
        }
    }
}

/// An endless stream of requests that a seed fixes.
#[derive(Debug, Clone)]
pub struct Workload {
    /// The lengths that most requests have, those that the others have, and the part of the others.
    parts: (Lengths, Lengths, f64),
    normal: Normal,
    rng: fastrand::Rng,
}

impl Workload {
    /// Requests of these lengths.
    pub fn new(lengths: Lengths, seed: u64) -> Self {
        Self::of_parts((lengths, lengths, 0.0), seed)
    }

    /// Requests of this mixture.
    pub fn mixed(mix: Mix, seed: u64) -> Self {
        Self::of_parts(mix.parts(), seed)
    }

    fn of_parts(parts: (Lengths, Lengths, f64), seed: u64) -> Self {
        Self { parts, normal: Normal::new(seed), rng: fastrand::Rng::with_seed(!seed) }
    }
}

impl Iterator for Workload {
    type Item = Length;

    fn next(&mut self) -> Option<Length> {
        let (most, others, part) = self.parts;
        let lengths = if part > 0.0 && self.rng.f64() < part { others } else { most };
        Some(lengths.draw(&mut self.normal))
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
        let draw = |seed| Workload::mixed(Mix::ShareGpt, seed).take(20).collect::<Vec<_>>();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn mixtures_have_their_parts() {
        let share = |mix, over: u32| {
            let over = |length: &Length| length.input >= over;
            Workload::mixed(mix, 1).take(20_000).filter(over).count() as f64 / 20_000.0
        };
        assert!((share(Mix::Bimodal, 500) - 0.2).abs() < 0.01);
        assert!((share(Mix::Long, 2048) - 0.05).abs() < 0.01);
        let outputs: f64 =
            Workload::mixed(Mix::Reasoning, 1).take(20_000).map(|length| f64::from(length.output)).sum();
        assert!((outputs / 20_000.0 - 1700.0).abs() < 100.0, "{}", outputs / 20_000.0);
    }
}
