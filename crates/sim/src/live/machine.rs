//! Whether the machine kept up: a load client that is late measures itself.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::summary::Summary;

/// What the CPUs have done since the machine was started, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    all: u64,
    idle: u64,
    /// Of this process and those that it started and saw end.
    own: u64,
}

impl Cpu {
    /// Up to now; `None` where there is no `/proc`.
    pub fn now() -> Option<Self> {
        let read = |path| std::fs::read_to_string(path).ok();
        Self::read(&read("/proc/stat")?, &read("/proc/self/stat")?)
    }

    fn read(all: &str, own: &str) -> Option<Self> {
        let all = all.lines().next()?.strip_prefix("cpu ")?;
        // user, nice, system, idle, iowait, irq, softirq, steal; what follows is part of the first two.
        let all = numbers(all.split_whitespace().take(8))?;
        // The name, in parentheses, may hold anything. Of what follows it the 12th to the 15th number are user and
        // system, its own and of its children.
        let own = numbers(own.rsplit_once(") ")?.1.split_whitespace().skip(11).take(4))?;
        Some(Self { all: all.iter().sum(), idle: all.get(3)? + all.get(4)?, own: own.iter().sum() })
    }

    /// The share of the CPUs' time since `before` in which they did anything, and that in which they worked for this
    /// process or for one that it started and that has ended meanwhile, both from 0 to 1.
    pub fn busy_since(&self, before: &Self) -> (f64, f64) {
        let all = self.all.saturating_sub(before.all).max(1) as f64;
        let part = |ticks: u64, before: u64| ticks.saturating_sub(before) as f64 / all;
        (1.0 - part(self.idle, before.idle), part(self.own, before.own))
    }
}

fn numbers<'a>(words: impl Iterator<Item = &'a str>) -> Option<Vec<u64>> {
    words.map(|word| word.parse().ok()).collect()
}

/// How late the thread that awaits this wakes: what every time that it takes may be too long by.
#[derive(Debug, Default)]
pub struct Lateness(Vec<f64>);

impl Lateness {
    /// How often it looks: seldom enough to cost nothing.
    const EVERY: Duration = Duration::from_millis(20);

    /// Watches for ever.
    pub async fn watch(&mut self) -> Infallible {
        loop {
            let at = Instant::now() + Self::EVERY;
            sleep_until(at).await;
            self.0.push(at.elapsed().as_secs_f64() * 1e3);
        }
    }

    /// In ms; `None` if it never watched. Timers are as fine as 1 ms, so a thread that is never late has up to that.
    pub fn ms(&self) -> Option<Summary> {
        Summary::of(self.0.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_what_was_not_idle_or_waiting_for_disks() {
        let cpu = |all: &str, own: &str| Cpu::read(all, own).expect("ticks");
        let own = "7 (a) b) S 1 7 7 0 -1 4194304 1 2 3 4";
        let before = cpu(
            "cpu  100 20 30 800 50 0 0 0 7 7\ncpu0 1 1 1 1 1 1 1 1 1 1\n",
            &format!("{own} 5 6 7 8 20 0"),
        );
        let after = cpu("cpu  150 20 40 870 70 0 0 0 9 9\n", &format!("{own} 15 6 12 8 20 0"));
        let (busy, own) = after.busy_since(&before);
        assert!((busy - 60.0 / 150.0).abs() < 1e-9 && (own - 15.0 / 150.0).abs() < 1e-9, "{busy} {own}");
        assert_eq!((Cpu::read("", "1 (a) S"), Cpu::read("cpu  1 2 x", "1 (a) S")), (None, None));
    }

    #[tokio::test]
    async fn a_thread_that_was_held_up_is_late() {
        let mut lateness = Lateness::default();
        let held_up = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            std::thread::sleep(Duration::from_millis(80));
            tokio::time::sleep(Duration::from_millis(60)).await;
        };
        tokio::select! {
            _ = lateness.watch() => {}
            () = held_up => {}
        }
        assert!(lateness.ms().is_some_and(|ms| ms.p99 > 30.0), "{lateness:?}");
    }
}
