//! A job's place with a worker, which the next job gets as soon as nothing more has to be begun for
//! this one: while its last windows are read, others' first ones are.

use std::sync::{Mutex, MutexGuard, PoisonError};

use models::job::Kind;
use tokio::sync::mpsc;

/// One job's place. Given back once: when the last window was begun, or when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    kind: Kind,
    outlook: Mutex<Outlook>,
}

/// What is still to come.
#[derive(Debug)]
struct Outlook {
    /// Windows that are known and not begun.
    waiting: usize,
    /// Whether there may be more than those that are known.
    more: bool,
    back: Option<mpsc::UnboundedSender<Kind>>,
}

impl Place {
    /// A place for a job of that kind, which `back` is told of when it is free.
    pub(super) fn new(kind: Kind, back: mpsc::UnboundedSender<Kind>) -> Self {
        let outlook = Outlook { waiting: 0, more: true, back: Some(back) };
        Self { kind, outlook: Mutex::new(outlook) }
    }

    /// One window more waits for its turn.
    pub(super) fn waits(&self) {
        self.outlook().waiting += 1;
    }

    /// The turn of one that waited has come.
    pub(super) fn begins(&self) {
        let mut outlook = self.outlook();
        outlook.waiting = outlook.waiting.saturating_sub(1);
        self.give_back(&mut outlook);
    }

    /// No window will wait beyond those that do.
    pub(super) fn no_more(&self) {
        let mut outlook = self.outlook();
        outlook.more = false;
        self.give_back(&mut outlook);
    }

    fn give_back(&self, outlook: &mut Outlook) {
        if outlook.waiting == 0
            && !outlook.more
            && let Some(back) = outlook.back.take()
        {
            // Nobody takes it any more where the worker ends.
            let _ = back.send(self.kind);
        }
    }

    fn outlook(&self) -> MutexGuard<'_, Outlook> {
        self.outlook.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.outlook().waiting = 0;
        self.no_more();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_when_the_last_window_begins() {
        let (back, mut freed) = mpsc::unbounded_channel();
        let place = Place::new(Kind::Transcribe, back);
        place.waits();
        place.begins();
        assert!(freed.try_recv().is_err(), "there may be more");
        place.waits();
        place.waits();
        place.no_more();
        place.begins();
        assert!(freed.try_recv().is_err(), "one waits");
        place.begins();
        assert_eq!(freed.try_recv(), Ok(Kind::Transcribe));
        drop(place);
        assert!(freed.try_recv().is_err(), "once");
    }

    #[test]
    fn a_place_is_free_when_its_job_is_over_in_any_way() {
        let (back, mut freed) = mpsc::unbounded_channel();
        let place = Place::new(Kind::TranscribeLive, back);
        place.waits();
        drop(place);
        assert_eq!(freed.try_recv(), Ok(Kind::TranscribeLive));
    }
}
