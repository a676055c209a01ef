//! Virtual time that follows the real clock and can be stopped.

use std::time::{Duration, Instant};

use crate::node::Nanos;

#[derive(Debug)]
pub(super) struct Clock {
    origin: Instant,
    stopped: Option<Instant>,
}

impl Clock {
    pub fn new() -> Self {
        Self { origin: Instant::now(), stopped: None }
    }

    /// Nanoseconds since the start, without the time in which the clock stood.
    pub fn now(&self) -> Nanos {
        let now = self.stopped.unwrap_or_else(Instant::now);
        u64::try_from((now - self.origin).as_nanos()).unwrap_or(u64::MAX)
    }

    /// When the clock will show `at`; `None` while it stands.
    pub fn instant(&self, at: Nanos) -> Option<Instant> {
        self.stopped.is_none().then(|| self.origin + Duration::from_nanos(at))
    }

    /// Lets the clock stand or run.
    pub fn set_stopped(&mut self, stopped: bool) {
        if stopped {
            self.stopped.get_or_insert_with(Instant::now);
        } else if let Some(since) = self.stopped.take() {
            self.origin += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_clock_stands_and_goes_on_from_there() {
        let mut clock = Clock::new();
        clock.set_stopped(true);
        let stood = clock.now();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!((clock.now(), clock.instant(0)), (stood, None));
        clock.set_stopped(true);
        clock.set_stopped(false);
        let since = Instant::now();
        let now = clock.now();
        assert!(
            now >= stood && Duration::from_nanos(now - stood) <= since.elapsed() + Duration::from_millis(20)
        );
        assert!(clock.instant(now).is_some_and(|at| at <= Instant::now()));
    }
}
