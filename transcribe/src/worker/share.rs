//! How jobs share the threads, and who goes first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use models::job::Kind;
use tokio::sync::watch;

/// How long a finished recording's window waits for live ones to leave threads free. Then it goes
/// on beside them: it must get done too.
const PATIENCE: Duration = Duration::from_secs(3);

/// The threads there are. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Share {
    threads: usize,
    /// Windows of one finished recording at once, and threads for each.
    split: Arc<Mutex<(usize, usize)>>,
    busy: Arc<watch::Sender<Busy>>,
}

/// Windows being decoded.
#[derive(Debug, Clone, Copy, Default)]
struct Busy {
    live: usize,
    batch: usize,
}

impl Share {
    /// All threads for one window at a time, until [`Share::settle`] says how it is better.
    pub(super) fn new(threads: usize) -> Self {
        let (busy, _) = watch::channel(Busy::default());
        let threads = threads.max(1);
        Self { threads, split: Arc::new(Mutex::new((1, threads))), busy: Arc::new(busy) }
    }

    /// Has finished recordings read in `windows` at once, with so many threads each.
    pub(super) fn settle(&self, windows: usize, threads: usize) {
        *self.split() = (windows.max(1), threads.max(1));
    }

    /// How many windows of a finished recording to read at once.
    pub(super) fn windows(&self) -> usize {
        self.split().0
    }

    fn split(&self) -> MutexGuard<'_, (usize, usize)> {
        self.split.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of one window.
    pub(super) async fn turn(&self, kind: Kind) -> Turn {
        if kind == Kind::Transcribe {
            let mut busy = self.busy.subscribe();
            let free = busy.wait_for(|busy| busy.live < self.threads);
            drop(tokio::time::timeout(PATIENCE, free).await);
        }
        let each = self.split().1;
        let mut threads = each;
        self.busy.send_modify(|busy| {
            *busy.of(kind) += 1;
            let share = (self.threads / (busy.live + busy.batch)).max(1);
            threads = if kind == Kind::Transcribe { each.min(share).max(1) } else { share };
        });
        Turn { kind, threads, busy: Arc::clone(&self.busy) }
    }
}

impl Busy {
    fn of(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::TranscribeLive => &mut self.live,
            Kind::Transcribe => &mut self.batch,
        }
    }
}

/// One window's turn; over when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    kind: Kind,
    /// Threads to decode with.
    pub(super) threads: usize,
    busy: Arc<watch::Sender<Busy>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.busy.send_modify(|busy| *busy.of(self.kind) -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn threads_are_split_and_live_windows_go_first() {
        let share = Share::new(2);
        let alone = share.turn(Kind::Transcribe).await;
        assert_eq!(alone.threads, 2);
        drop(alone);
        let live = share.turn(Kind::TranscribeLive).await;
        let other = share.turn(Kind::TranscribeLive).await;
        assert_eq!((live.threads, other.threads), (2, 1));

        let waiting = share.turn(Kind::Transcribe);
        tokio::pin!(waiting);
        tokio::select! {
            biased;
            turn = &mut waiting => panic!("went before the live windows: {turn:?}"),
            () = std::future::ready(()) => {}
        }
        drop(live);
        assert_eq!(waiting.await.threads, 1);
    }

    #[tokio::test]
    async fn a_finished_recording_does_not_wait_for_ever() {
        let share = Share::new(1);
        let _live = share.turn(Kind::TranscribeLive).await;
        assert_eq!(share.turn(Kind::Transcribe).await.threads, 1);
    }
}
