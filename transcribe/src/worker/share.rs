//! How jobs share the threads, and who goes first.

use std::sync::Arc;
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
    busy: Arc<watch::Sender<Busy>>,
}

/// Windows being decoded.
#[derive(Debug, Clone, Copy, Default)]
struct Busy {
    live: usize,
    batch: usize,
}

impl Share {
    pub(super) fn new(threads: usize) -> Self {
        let (busy, _) = watch::channel(Busy::default());
        Self { threads: threads.max(1), busy: Arc::new(busy) }
    }

    /// Waits for the turn of one window.
    pub(super) async fn turn(&self, kind: Kind) -> Turn {
        if kind == Kind::Transcribe {
            let mut busy = self.busy.subscribe();
            let free = busy.wait_for(|busy| busy.live < self.threads);
            drop(tokio::time::timeout(PATIENCE, free).await);
        }
        let mut threads = self.threads;
        self.busy.send_modify(|busy| {
            *busy.of(kind) += 1;
            threads = (self.threads / (busy.live + busy.batch)).max(1);
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
