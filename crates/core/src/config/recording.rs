//! What `tblb_record` says: where picks are written down.

use super::value::size;
use super::{Error, parameter};

/// Where picks are written down, each with all that it was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The file.
    pub file: String,
    /// The size in bytes that the file does not grow beyond.
    pub max_size: u64,
}

const PARAMETERS: [&str; 1] = ["max_size"];

/// Some ten thousand picks among eight servers, or fifteen hundred among 64.
const MAX_SIZE: u64 = 16 << 20;

impl Recording {
    /// Parses the words after `tblb_record`.
    ///
    /// # Errors
    /// Names the word that is wrong and what would be right.
    pub fn parse(words: &[&str]) -> Result<Self, Error> {
        let Some((file, parameters)) = words.split_first() else {
            return Err(Error::number_of_parameters("a file"));
        };
        if file.is_empty() {
            return Err(Error::invalid(file, "a file"));
        }
        let mut recording = Recording { file: (*file).to_owned(), max_size: MAX_SIZE };
        for word in parameters {
            let (_, value) = parameter(word, &PARAMETERS)?;
            recording.max_size = size(word, value)?;
        }
        Ok(recording)
    }
}
