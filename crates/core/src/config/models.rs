//! What `tblb_model` says: whether a request's model matters, and where it is named beside the body.

use super::value::one_of;
use super::{Error, parameter};

/// What `tblb_model` says, or what holds without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Models {
    /// Whether models are looked at at all.
    pub on: bool,
    /// Whether the directive stands there: else models matter only among engines that report by model, and no request is
    /// refused.
    pub given: bool,
    /// The name of a variable, without its `$`, that names the model where the body does not.
    pub variable: Option<String>,
    /// What to do with a request for a model that no peer serves; None, without the directive: pass it on.
    pub unlisted: Option<Unlisted>,
}

/// What becomes of a request for a model that no peer serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlisted {
    /// It is refused with 404.
    Reject,
    /// It is passed on as if its model were not known.
    Pass,
}

impl Unlisted {
    const ALL: [(&str, Unlisted); 2] = [("reject", Unlisted::Reject), ("pass", Unlisted::Pass)];
}

impl Default for Models {
    fn default() -> Self {
        Models { on: true, given: false, variable: None, unlisted: None }
    }
}

impl Models {
    /// Parses the words after `tblb_model`.
    ///
    /// # Errors
    /// Names the word that is wrong and what would be right.
    pub fn parse(words: &[&str]) -> Result<Self, Error> {
        let (variable, parameters) = match words {
            ["off"] => return Ok(Models { on: false, given: true, ..Models::default() }),
            [variable, parameters @ ..] => (variable, parameters),
            [] => return Err(Error::number_of_parameters("a variable or \"off\"")),
        };
        let name = variable.strip_prefix('$').filter(|name| is_name(name));
        let name =
            name.ok_or_else(|| Error::invalid(variable, "a variable such as \"$http_x_model\", or \"off\""))?;
        let mut unlisted = Unlisted::Reject;
        for word in parameters {
            let (_, value) = parameter(word, &["unlisted"])?;
            unlisted = one_of(word, value, &Unlisted::ALL)?;
        }
        Ok(Models { on: true, given: true, variable: Some(name.to_owned()), unlisted: Some(unlisted) })
    }
}

/// Whether a variable may have that name.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
