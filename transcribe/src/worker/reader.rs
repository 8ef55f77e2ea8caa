//! Has windows read, several at once, and hands on in order what was.
//!
//! What was read before a window before it was goes on ahead too, to be kept: a crash must not cost
//! what is done, and who goes on after it finds that here.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use models::job::Kind;
use models::{Db, Span, Ticks, TranscriptId};
use tokio::sync::mpsc;

use super::ahead::Found;
use super::crew::Sitting;
use super::place::Place;
use super::share::Share;
use super::task::Failure;
use crate::engine::Prompt;
use crate::listen::Clip;
use crate::reading::Reading;

/// Windows that were read and cannot be written down yet, at most.
const EARLY: usize = 8;

/// Who goes on finds the same windows, but for a frame or two: what hears speech was not warm.
const SAME: Ticks = Ticks::from_millis(100);

/// What is to be written down next, or kept until it is its turn.
pub(super) enum Read {
    /// The words of a window, and up to where it keeps them.
    Words(Span, Reading),
    /// The words of a window whose turn it is not.
    Early(Span, Reading),
    /// Nobody speaks before this.
    Quiet(Ticks),
}

/// The windows that were read early by whoever worked on a transcript before.
pub(super) struct Kept(Vec<(Span, Reading)>);

impl Kept {
    /// Those there are. What another version of this program wrote and cannot be understood is read
    /// again.
    pub(super) async fn of(db: &Db, transcript: TranscriptId) -> models::db::Result<Self> {
        let kept = db.kept_ahead(transcript).await?;
        let understood =
            kept.into_iter().filter_map(|(kept, json)| Some((kept, read_kept(&json)?)));
        Ok(Self(understood.collect()))
    }

    /// None: nobody worked on it before, or nothing is read early.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    fn take(&mut self, window: Span) -> Option<Reading> {
        let near = |a: Ticks, b: Ticks| a.0.abs_diff(b.0) < SAME.0;
        let is_it = |(kept, _): &(Span, Reading)| {
            near(kept.start, window.start) && near(kept.end, window.end)
        };
        self.0.iter().position(is_it).map(|at| self.0.swap_remove(at).1)
    }
}

fn read_kept(json: &str) -> Option<Reading> {
    let reading = serde_json::from_str(json);
    reading.inspect_err(|error| tracing::debug!(%error, "a window is read again")).ok()
}

/// What has a job's windows read.
pub(super) struct Reader<'a> {
    pub(super) share: &'a Share,
    pub(super) sitting: &'a Sitting,
    /// Given back when the last window is begun.
    pub(super) place: &'a Place,
    pub(super) kind: Kind,
    pub(super) prompt: Prompt,
    pub(super) kept: Kept,
}

impl<'a> Reader<'a> {
    /// Has the windows read and hands on what was, until there are no more or nobody takes it.
    ///
    /// # Errors
    /// The engine's.
    pub(super) async fn read_all(
        mut self,
        mut windows: mpsc::Receiver<Found>,
        to: mpsc::Sender<Read>,
    ) -> Result<(), Failure> {
        let mut reading = FuturesUnordered::new();
        let mut done = BTreeMap::new();
        let (mut next, mut written, mut more) = (0_u64, 0_u64, true);
        while more || !reading.is_empty() {
            let free = reading.len() < self.places() && done.len() < EARLY;
            tokio::select! {
                found = windows.recv(), if more && free => {
                    match found {
                        Some(Found::Clip(clip)) => match self.kept.take(clip.window.keep) {
                            Some(known) => {
                                done.insert(next, Read::Words(clip.window.keep, known));
                            }
                            None => reading.push(self.hear(next, clip)),
                        },
                        Some(Found::Quiet(until)) => drop(done.insert(next, Read::Quiet(until))),
                        None => {
                            more = false;
                            // Live windows do not wait for a turn: many rooms must not pile up here.
                            if self.kind == Kind::Transcribe {
                                self.place.no_more();
                            }
                        }
                    }
                    next += u64::from(more);
                }
                Some(read) = reading.next(), if !reading.is_empty() => {
                    let (number, keep, read) = read?;
                    if number > written && to.send(Read::Early(keep, read.clone())).await.is_err() {
                        return Ok(());
                    }
                    done.insert(number, Read::Words(keep, read));
                }
            }
            while let Some(read) = done.remove(&written) {
                written += 1;
                if to.send(read).await.is_err() {
                    // Whoever writes has failed, and says why.
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// How many windows to read at once.
    fn places(&self) -> usize {
        match self.kind {
            Kind::TranscribeLive => 1,
            Kind::Transcribe => self.share.windows(),
        }
    }

    /// Has a clip read when it is its turn.
    fn hear(
        &self,
        number: u64,
        clip: Clip,
    ) -> impl Future<Output = Result<(u64, Span, Reading), Failure>> + use<'a> {
        let (share, sitting, place, kind) = (self.share, self.sitting, self.place, self.kind);
        let prompt = self.prompt.clone();
        place.waits();
        async move {
            let turn = share.turn(kind).await;
            place.begins();
            let keep = clip.window.keep;
            let reading = sitting.read(clip, prompt, turn.threads).await?;
            let (from_ms, to_ms) = (keep.start.as_millis(), keep.end.as_millis());
            tracing::debug!(from_ms, to_ms, "a window was read");
            Ok((number, keep, reading))
        }
    }
}
