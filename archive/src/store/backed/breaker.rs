//! Remembers that a store is away, so that not everybody waits to find out.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long nobody asks after the first failure; doubled with each look that finds it still away.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest pause: a store that is back is noticed within this.
const PAUSE_MOST: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Working,
    Away {
        pause: Duration,
        until: Instant,
    },
    /// One of those who asked is looking.
    Looking {
        pause: Duration,
    },
}

/// Whether to ask the store.
#[derive(Debug)]
pub(super) enum Way<'a> {
    /// Ask it.
    Open,
    /// It is away: do without.
    Closed,
    /// Look whether it is back, and say so.
    Look(Looking<'a>),
}

/// The task to find out. Dropped without an answer, it counts as still away.
#[derive(Debug)]
pub(super) struct Looking<'a> {
    breaker: &'a Breaker,
    began: Instant,
}

impl Breaker {
    pub(super) fn way(&self, now: Instant) -> Way<'_> {
        let mut state = self.lock();
        match *state {
            State::Working => Way::Open,
            State::Away { pause, until } if now >= until => {
                *state = State::Looking { pause };
                Way::Look(Looking { breaker: self, began: now })
            }
            State::Away { .. } | State::Looking { .. } => Way::Closed,
        }
    }

    /// Whether the store is away as far as is known.
    pub(super) fn is_closed(&self) -> bool {
        !matches!(*self.lock(), State::Working)
    }

    pub(super) fn worked(&self) {
        *self.lock() = State::Working;
    }

    pub(super) fn failed(&self, now: Instant) {
        let mut state = self.lock();
        // Many fail together where many were on their way: that is one absence.
        if matches!(*state, State::Working) {
            *state = State::Away { pause: PAUSE_FIRST, until: now + PAUSE_FIRST };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Looking<'_> {
    pub(super) fn found(self, back: bool) {
        if back {
            self.breaker.worked();
        }
    }
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        let mut state = self.breaker.lock();
        if let State::Looking { pause } = *state {
            let pause = (pause * 2).min(PAUSE_MOST);
            *state = State::Away { pause, until: self.began + pause };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_looks_and_the_pauses_grow() {
        let breaker = Breaker::default();
        let mut now = Instant::now();
        assert!(matches!(breaker.way(now), Way::Open));
        breaker.failed(now);
        assert!(breaker.is_closed());
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            now += Duration::from_millis(pause * 1000 - 1);
            breaker.failed(now);
            assert!(matches!(breaker.way(now), Way::Closed), "{pause}");
            now += Duration::from_millis(1);
            let Way::Look(looking) = breaker.way(now) else { panic!("{pause}") };
            assert!(matches!(breaker.way(now), Way::Closed), "somebody is looking");
            looking.found(false);
        }
        now += PAUSE_MOST;
        let Way::Look(looking) = breaker.way(now) else { panic!() };
        drop(looking);
        assert!(matches!(breaker.way(now), Way::Closed), "who gave up found nothing");
        now += PAUSE_MOST;
        let Way::Look(looking) = breaker.way(now) else { panic!() };
        looking.found(true);
        assert!(matches!(breaker.way(now), Way::Open) && !breaker.is_closed());
        breaker.failed(now);
        now += PAUSE_FIRST;
        assert!(matches!(breaker.way(now), Way::Look(_)), "pauses begin anew");
    }
}
