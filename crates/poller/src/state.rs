//! Whether an engine answers, as far as it is worth a line in a log.

use tblb_core::engine::{Engine, Reading};
use tblb_core::fault::Fault;
use tblb_core::load::Signal;

/// How the polls of an engine go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There are readings, of this engine.
    Answers(&'static Engine),
    /// There are readings of this engine, but something in its pages cannot be used.
    Flawed {
        /// The engine.
        engine: &'static Engine,
        /// Why it cannot be used.
        fault: Fault,
        /// The signal that is unknown for it, None if no signal is.
        signal: Option<Signal>,
    },
    /// There are none.
    Fails(Fault),
}

impl State {
    pub(crate) fn of(outcome: &Result<Reading, Fault>) -> State {
        match outcome {
            Ok(Reading { engine, flaw: Some(fault), flawed, .. }) => {
                State::Flawed { engine, fault: *fault, signal: *flawed }
            }
            Ok(reading) => State::Answers(reading.engine),
            Err(fault) => State::Fails(*fault),
        }
    }
}

/// So many polls in a row must differ from the state that was told before another one is: one poll that fails now
/// and then would otherwise fill the log.
const STEADY: u32 = 2;

/// What was told of an engine, and what it has been since.
#[derive(Debug, Default)]
pub(crate) struct Told {
    state: Option<State>,
    others: u32,
}

impl Told {
    /// Takes in how a poll went; if it has to be told, the state that was told before (none at first) and the new.
    pub fn change(&mut self, state: State) -> Option<(Option<State>, State)> {
        if self.state == Some(state) {
            self.others = 0;
            return None;
        }
        self.others += 1;
        if self.state.is_some() && self.others < STEADY {
            return None;
        }
        self.others = 0;
        Some((self.state.replace(state), state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_once_and_when_they_last() {
        let engine = State::Answers(Engine::named("vllm").unwrap());
        let (refused, timeout) = (State::Fails(Fault::Refused), State::Fails(Fault::Timeout));
        let mut told = Told::default();
        assert_eq!(told.change(engine), Some((None, engine)), "the first at once");
        assert_eq!(told.change(engine), None);
        for _ in 0..9 {
            assert_eq!(told.change(refused), None, "now and then");
            assert_eq!(told.change(engine), None);
        }
        assert_eq!(told.change(timeout), None);
        assert_eq!(told.change(refused), Some((Some(engine), refused)));
        assert_eq!(told.change(refused), None);
        assert_eq!(told.change(engine), None);
        assert_eq!(told.change(engine), Some((Some(refused), engine)));
    }
}
