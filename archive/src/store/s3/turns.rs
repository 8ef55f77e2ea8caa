//! Writers of one name take turns.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

type Line = Arc<tokio::sync::Mutex<()>>;

/// A queue for each name that somebody is writing.
#[derive(Debug, Default)]
pub(super) struct Turns {
    lines: Arc<Mutex<HashMap<String, Line>>>,
}

/// The right to write a name, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    lines: Arc<Mutex<HashMap<String, Line>>>,
    name: String,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits until nobody else writes `name`.
    pub(super) async fn take(&self, name: String) -> Turn {
        let line = {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(lines.entry(name.clone()).or_default())
        };
        // Made before waiting, so that a writer who gives up while he waits leaves nothing behind.
        let mut turn = Turn { lines: Arc::clone(&self.lines), name, guard: None };
        turn.guard = Some(line.lock_owned().await);
        turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        drop(self.guard.take());
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waits holds the line too.
        if lines.get(&self.name).is_some_and(|line| Arc::strong_count(line) == 1) {
            lines.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_is_left() {
        let turns = Turns::default();
        let first = turns.take("a".into()).await;
        let other = turns.take("b".into()).await;
        let second = turns.take("a".into());
        tokio::pin!(second);
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        let second = second.await;
        assert_eq!(turns.lines.lock().unwrap().len(), 2);
        drop((second, other));
        assert!(turns.lines.lock().unwrap().is_empty());
        let held = turns.take("c".into()).await;
        {
            let gives_up = turns.take("c".into());
            tokio::pin!(gives_up);
            assert!(gives_up.as_mut().now_or_never().is_none());
        }
        drop(held);
        assert!(turns.lines.lock().unwrap().is_empty());
    }
}
