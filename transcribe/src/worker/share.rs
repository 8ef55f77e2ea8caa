//! How jobs share the threads, and who goes first.

use std::sync::Arc;
use std::time::Duration;

use models::job::Kind;
use tokio::sync::watch;

/// How long a finished recording's window waits for live ones to leave threads free. Then it goes
/// on beside them: it must get done too.
const PATIENCE: Duration = Duration::from_secs(3);

/// The threads there are. Clones share them.
///
/// Threads of one window wait for each other and spin: one that has to wait for a core holds all of
/// them up. So no more are given out than there are, as far as it goes.
#[derive(Debug, Clone)]
pub(super) struct Share {
    threads: usize,
    /// Windows of one finished recording at once, and threads for each.
    windows: usize,
    each: usize,
    patience: Duration,
    busy: Arc<watch::Sender<Busy>>,
}

/// What is going on.
#[derive(Debug, Clone, Copy, Default)]
struct Busy {
    /// Live rooms that are written down, each one window at a time.
    rooms: usize,
    /// Threads that live windows have, and those of finished recordings.
    live: usize,
    batch: usize,
}

impl Share {
    /// `threads` in all; finished recordings are read in `windows` at once, with `each` threads.
    pub(super) fn new(threads: usize, windows: usize, each: usize) -> Self {
        let (busy, _) = watch::channel(Busy::default());
        let [threads, windows, each] = [threads, windows, each].map(|count| count.max(1));
        Self { threads, windows, each, patience: PATIENCE, busy: Arc::new(busy) }
    }

    /// How many windows of a finished recording to read at once.
    pub(super) fn windows(&self) -> usize {
        self.windows
    }

    /// Notes that a live room is being written down, until that is dropped.
    pub(super) fn room(&self) -> Room {
        self.busy.send_modify(|busy| busy.rooms += 1);
        Room(Arc::clone(&self.busy))
    }

    /// Waits for the turn of one window.
    pub(super) async fn turn(&self, kind: Kind) -> Turn {
        let threads = match kind {
            Kind::TranscribeLive => self.take_live(),
            Kind::Transcribe => self.wait().await,
        };
        Turn { kind, threads, busy: Arc::clone(&self.busy) }
    }

    /// A live window's threads: at once, and not those that other rooms will want.
    fn take_live(&self) -> usize {
        let mut taken = 1;
        self.busy.send_modify(|busy| {
            let left = self.threads.saturating_sub(busy.batch);
            taken = (left / busy.rooms.max(1)).max(1);
            busy.live += taken;
        });
        taken
    }

    /// Waits for a finished recording's window, for live ones with some patience.
    async fn wait(&self) -> usize {
        let mut busy = self.busy.subscribe();
        let patience = tokio::time::sleep(self.patience);
        tokio::pin!(patience);
        let mut patient = true;
        loop {
            let mut taken = None;
            busy.borrow_and_update();
            self.busy.send_if_modified(|busy| {
                let others = busy.batch + self.each <= self.threads || busy.batch == 0;
                let left = self.threads.saturating_sub(busy.batch + busy.live);
                if others && (left >= self.each || busy.live == 0 || !patient) {
                    let threads = left.clamp(1, self.each);
                    busy.batch += threads;
                    taken = Some(threads);
                }
                taken.is_some()
            });
            if let Some(threads) = taken {
                return threads;
            }
            tokio::select! {
                // Never an error: this holds a sender itself.
                _ = busy.changed() => {}
                () = &mut patience, if patient => patient = false,
            }
        }
    }
}

/// A live room that is being written down.
#[derive(Debug)]
pub(super) struct Room(Arc<watch::Sender<Busy>>);

impl Drop for Room {
    fn drop(&mut self) {
        self.0.send_modify(|busy| busy.rooms -= 1);
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
        self.busy.send_modify(|busy| match self.kind {
            Kind::TranscribeLive => busy.live -= self.threads,
            Kind::Transcribe => busy.batch -= self.threads,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it is the turn of nobody yet.
    macro_rules! waits {
        ($turn:ident) => {
            tokio::select! {
                biased;
                _ = &mut $turn => false,
                () = std::future::ready(()) => true,
            }
        };
    }

    #[tokio::test]
    async fn live_windows_go_first_and_no_more_threads_are_given_than_there_are() {
        let share = Share::new(4, 2, 2);
        let rooms = [share.room(), share.room()];
        let live = share.turn(Kind::TranscribeLive).await;
        let other = share.turn(Kind::TranscribeLive).await;
        assert_eq!((live.threads, other.threads), (2, 2));
        let batch = share.turn(Kind::Transcribe);
        tokio::pin!(batch);
        assert!(waits!(batch));
        drop((live, other, rooms));
        let batch = batch.await;
        let second = share.turn(Kind::Transcribe).await;
        assert_eq!((batch.threads, second.threads), (2, 2));
        // A live window comes at once all the same.
        let _room = share.room();
        assert_eq!(share.turn(Kind::TranscribeLive).await.threads, 1);
        drop((batch, second));
    }

    #[tokio::test]
    async fn a_finished_recording_does_not_wait_for_live_ones_for_ever() {
        let share = Share { patience: Duration::ZERO, ..Share::new(2, 2, 1) };
        let _live = share.turn(Kind::TranscribeLive).await;
        let first = share.turn(Kind::Transcribe).await;
        let _second = share.turn(Kind::Transcribe).await;
        assert_eq!(first.threads, 1);
        // But for others of its kind.
        let third = share.turn(Kind::Transcribe);
        tokio::pin!(third);
        assert!(waits!(third));
        drop(first);
        assert_eq!(third.await.threads, 1);
    }
}
