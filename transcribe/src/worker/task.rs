//! One job: from what is covered to what is stored, window by window.

use std::time::Duration;

use archive::Store;
use models::job::{Kind, Lease};
use models::transcript::{MadeBy, State};
use models::{Chunk, Db, Job, RecordingId, Segment, Ticks, Transcript, WallMicros};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::seat::{Refusal, Sitting};
use super::share::Share;
use crate::engine::{self, Model};
use crate::listen::{Clip, Listener};
use crate::weights::Weights;
use crate::window::Policy;
use crate::{pcm, stitch};

/// Silence of this length is noted as done, so that nobody listens to it again.
const SILENCE: Ticks = Ticks::from_secs(20);

/// Wait before a window that could not be kept is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// What every job needs.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) db: Db,
    pub(super) store: Store,
    pub(super) made_by: MadeBy,
    pub(super) share: Share,
}

/// Why a job was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// It is no longer ours: nothing more may be written.
    Lost,
    /// The worker ends: the job is given back.
    Shutdown,
    /// The work failed.
    Work {
        /// Trying again cannot mend it.
        give_up: bool,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<models::db::Error> for Failure {
    fn from(error: models::db::Error) -> Self {
        use models::db::Error;
        match error {
            Error::LeaseLost => Self::Lost,
            error => {
                let give_up = matches!(error, Error::NotFound { .. } | Error::Corrupt { .. });
                Self::Work { give_up, source: error.into() }
            }
        }
    }
}

impl From<pcm::Error> for Failure {
    fn from(error: pcm::Error) -> Self {
        Self::Work { give_up: matches!(error, pcm::Error::Decode { .. }), source: error.into() }
    }
}

impl From<Refusal> for Failure {
    fn from(error: Refusal) -> Self {
        match error {
            Refusal::Engine(engine::Error::Stopped) => Self::Shutdown,
            error => Self::Work { give_up: false, source: error.into() },
        }
    }
}

/// What makes the words, with everything that decides what comes out.
pub(super) fn made_by(model: &Model, weights: &Weights) -> MadeBy {
    MadeBy {
        engine: model.name(),
        weights: weights.name.clone(),
        weights_sha256: weights.sha256.clone(),
        parameters: json!({
            "language": "en",
            "decoding": "greedy",
            "carried_context": 0,
            "flash_attention": false,
            "word_times": { "alignment_heads": model.alignment(), "method": "dtw, timestamps, speech" },
            "speech": "earshot",
        }),
    }
}

/// Does the job.
///
/// # Errors
/// [`Failure`]; what was committed stays.
pub(super) async fn work(
    context: &Context,
    job: &Job,
    lease: &Lease,
    seat: &Sitting<'_>,
) -> Result<(), Failure> {
    let live = job.kind == Kind::TranscribeLive;
    let chunks = context.db.chunks(job.recording_id).await?;
    let made_by = context.made_by(&chunks, live);
    if !live && finished_before(context, job, &made_by).await? {
        return Ok(());
    }
    let now = WallMicros::now();
    let transcript =
        context.db.begin_transcript(lease, job.recording_id, live, &made_by, now).await?;
    let total = chunks.last().map_or(Ticks::ZERO, |chunk| chunk.span().end);
    let last = context.db.last_segment(transcript.id).await?;
    let mut run = Run { context, lease, seat, kind: job.kind, transcript, total, last };
    run.transcribe(job.recording_id, chunks).await?;
    if !live {
        run.commit(total, Vec::new()).await?;
        context.db.complete_transcript(lease, run.transcript.id, WallMicros::now()).await?;
    }
    Ok(())
}

/// Whether this job's transcript was completed and only its own end could not be noted.
async fn finished_before(
    context: &Context,
    job: &Job,
    made_by: &MadeBy,
) -> Result<bool, models::db::Error> {
    let known = context.db.transcripts(job.recording_id).await?;
    Ok(known.last().is_some_and(|last| {
        last.version >= 1
            && last.state == State::Complete
            && last.created_at >= job.created_at
            && last.made_by == *made_by
    }))
}

impl Context {
    /// What makes the words of these chunks. A live recording's are not all there yet.
    fn made_by(&self, chunks: &[Chunk], live: bool) -> MadeBy {
        let mut made_by = self.made_by.clone();
        let policy = if live { Policy::LIVE } else { Policy::FINISHED };
        made_by.parameters["longest_window_ms"] = json!(policy.full.as_millis());
        if !live {
            let mut digest = Sha256::new();
            chunks.iter().for_each(|chunk| digest.update(chunk.sha256));
            // Over the chunks' own digests, in order.
            made_by.parameters["audio_sha256"] = json!(engine::hex(&digest.finalize()));
        }
        made_by
    }
}

/// A job under way.
struct Run<'a> {
    context: &'a Context,
    lease: &'a Lease,
    seat: &'a Sitting<'a>,
    kind: Kind,
    transcript: Transcript,
    total: Ticks,
    /// The last segment so far.
    last: Option<Segment>,
}

impl Run<'_> {
    /// Works through the chunks from what is covered on.
    async fn transcribe(&mut self, id: RecordingId, chunks: Vec<Chunk>) -> Result<(), Failure> {
        let live = self.kind == Kind::TranscribeLive;
        let policy = if live { Policy::LIVE } else { Policy::FINISHED };
        let covered = self.transcript.covered;
        let gaps = self.context.db.gaps(id).await?;
        let mut listener = Listener::new(policy, covered, &gaps);
        let from = Listener::from(covered);
        let first = pcm::Stream::first(from);
        let needed = chunks.into_iter().filter(|chunk| chunk.span().end > first).collect();
        let mut stream = pcm::Stream::new(self.context.store.clone(), id, needed, from);
        while let Some(samples) = stream.next().await? {
            listener = listen(listener, samples).await?;
            self.read(&mut listener).await?;
            let quiet = listener.frontier();
            if quiet.saturating_sub(self.transcript.covered) >= SILENCE {
                self.commit(quiet, Vec::new()).await?;
            }
        }
        if !live {
            listener.finish();
            self.read(&mut listener).await?;
        }
        Ok(())
    }

    /// Reads and commits the clips that are ready.
    async fn read(&mut self, listener: &mut Listener) -> Result<(), Failure> {
        while let Some(clip) = listener.pop() {
            let Clip { window, .. } = &clip;
            let keep = window.keep;
            let turn = self.context.share.turn(self.kind).await;
            let judged = self.seat.read(clip, turn.threads).await?;
            drop(turn);
            let segments = stitch::join(self.last.as_ref(), keep, judged);
            self.commit(keep.end, segments).await?;
        }
        Ok(())
    }

    /// Writes a window down, and tries again for as long as the lease lasts where the database is
    /// away for a moment: a window takes longer to read than most failures take to pass.
    async fn keep(&self, covered: Ticks, segments: &[Segment]) -> Result<(), models::db::Error> {
        let Context { db, .. } = self.context;
        let (lease, id, total) = (self.lease, self.transcript.id, self.total);
        loop {
            let now = WallMicros::now();
            match db.commit_window(lease, id, covered, segments, total, now).await {
                Err(error) if error.is_transient() => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(job = %lease.job_id, error, "a window could not be kept; trying again");
                }
                done => return done,
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn commit(&mut self, covered: Ticks, segments: Vec<Segment>) -> Result<(), Failure> {
        let covered = covered.min(self.total).max(self.transcript.covered);
        self.keep(covered, &segments).await?;
        self.transcript.covered = covered;
        if let Some(last) = segments.into_iter().last() {
            self.last = Some(last);
        }
        Ok(())
    }
}

/// Finds speech off the async threads.
async fn listen(mut listener: Listener, samples: Vec<f32>) -> Result<Listener, pcm::Error> {
    let work = move || {
        listener.push(&samples);
        listener
    };
    tokio::task::spawn_blocking(work).await.map_err(pcm::Error::Stopped)
}
