//! One job: from what is covered to what is stored, window by window.

use std::borrow::Cow;
use std::time::Duration;

use archive::Store;
use models::job::{Kind, Lease};
use models::transcript::{Coverage, MadeBy, NO_VOCABULARY, State};
use models::{Chunk, Db, Job, RecordingId, Segment, Span, Ticks, Transcript, WallMicros};
use serde_json::json;
use tokio::sync::mpsc;

use super::ahead;
use super::crew::{Refusal, Sitting};
use super::meter::Meter;
use super::place::Place;
use super::reader::{Kept, Read, Reader};
use super::share::Share;
use crate::engine::{self, Model, Prompt};
use crate::reading::Reading;
use crate::weights::Weights;
use crate::window::Policy;
use crate::{pcm, stitch};

/// Wait before a window that could not be kept is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// What an engine that can be told of a recording is told: [`Db::vocabulary`].
const VOCABULARY: &str = "title, host, glossary, speakers";

/// What every job needs.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) db: Db,
    pub(super) store: Store,
    pub(super) made_by: MadeBy,
    pub(super) share: Share,
    /// Threads that all jobs share.
    pub(super) threads: u32,
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
    let mut parameters = json!({
        "language": if model.is_multilingual() { "detected, translated to en" } else { "en" },
        "decoding": "greedy",
        "carried_context": 0,
        "vocabulary": if model.takes_prompts() { VOCABULARY } else { NO_VOCABULARY },
        "word_times": match model.alignment() {
            Some(heads) => json!({ "alignment_heads": heads, "method": "dtw, timestamps, speech" }),
            None => json!({ "method": "timestamps, speech" }),
        },
        "speech": "earshot",
    });
    if let Some(form) = model.repacked() {
        parameters["weights_as"] = json!(form);
    }
    MadeBy {
        engine: model.name(),
        weights: weights.name.clone(),
        weights_sha256: weights.sha256.clone(),
        parameters,
    }
}

/// Does the job, and has `meter` count what that takes.
///
/// # Errors
/// [`Failure`]; what was committed stays.
pub(super) async fn work(
    context: &Context,
    job: &Job,
    lease: &Lease,
    (sitting, place): (&Sitting, &Place),
    meter: &Meter,
) -> Result<(), Failure> {
    let live = job.kind == Kind::TranscribeLive;
    let _room = live.then(|| context.share.room());
    let chunks = context.db.chunks(job.recording_id).await?;
    let vocabulary = context.db.vocabulary(job.recording_id).await?;
    let mut made_by = context.made_by(live);
    if !live {
        made_by = made_by.of(&chunks, &vocabulary);
    }
    if !live && finished_before(context, job, &made_by).await? {
        return Ok(());
    }
    let now = WallMicros::now();
    let transcript =
        context.db.begin_transcript(lease, job.recording_id, live, &made_by, now).await?;
    let total = chunks.last().map_or(Ticks::ZERO, |chunk| chunk.span().end);
    let last = context.db.last_segment(transcript.id).await?;
    meter.write(transcript.id);
    let prompt = sitting.prompt(&vocabulary);
    let kind = job.kind;
    let mut run =
        Run { context, lease, sitting, place, meter, kind, prompt, transcript, total, last };
    run.transcribe(job.recording_id, chunks).await?;
    if !live {
        run.commit(total, Vec::new(), &Coverage::default()).await?;
        meter.note(&context.db, lease).await?;
        context.db.complete_transcript(lease, run.transcript.id, WallMicros::now()).await?;
    }
    Ok(())
}

/// Whether just what this job would make is there: it was made meanwhile, or by this job, whose end
/// could not be noted.
async fn finished_before(
    context: &Context,
    job: &Job,
    made_by: &MadeBy,
) -> Result<bool, models::db::Error> {
    let known = context.db.transcripts(job.recording_id).await?;
    let is_it = |version: &Transcript| {
        version.version >= 1
            && version.state == State::Complete
            && version.made_by.makes_the_same_as(made_by)
    };
    Ok(known.iter().any(is_it))
}

impl Context {
    /// What makes the words of live or of whole recordings, of none in particular.
    pub(super) fn made_by(&self, live: bool) -> MadeBy {
        let mut made_by = self.made_by.clone();
        let policy = if live { Policy::LIVE } else { Policy::FINISHED };
        made_by.parameters["longest_window_ms"] = json!(policy.full.as_millis());
        made_by
    }
}

/// A job under way.
struct Run<'a> {
    context: &'a Context,
    lease: &'a Lease,
    sitting: &'a Sitting,
    place: &'a Place,
    meter: &'a Meter,
    kind: Kind,
    prompt: Prompt,
    transcript: Transcript,
    total: Ticks,
    /// The last segment so far.
    last: Option<Segment>,
}

impl<'a> Run<'a> {
    /// Works through the chunks from what is covered on: finds windows, ahead of the engine, which
    /// reads several at once; what was read is written down in order.
    async fn transcribe(&mut self, id: RecordingId, chunks: Vec<Chunk>) -> Result<(), Failure> {
        let live = self.kind == Kind::TranscribeLive;
        let gaps = self.context.db.gaps(id).await?;
        let plan = ahead::Plan {
            policy: if live { Policy::LIVE } else { Policy::FINISHED },
            covered: self.transcript.covered,
            whole: !live,
        };
        let (found, windows) = mpsc::channel(ahead::MOST);
        let store = self.context.store.clone();
        let finding = ahead::find(store, id, chunks, &gaps, plan, found);
        let finding = async { finding.await.map_err(Failure::from) };
        let reader = Reader {
            share: &self.context.share,
            sitting: self.sitting,
            place: self.place,
            kind: self.kind,
            prompt: self.prompt.clone(),
            kept: match live {
                true => Kept::none(),
                false => Kept::of(&self.context.db, self.transcript.id).await?,
            },
        };
        let (read, reads) = mpsc::channel(1);
        // Side by side: the engine does not wait for the database.
        tokio::try_join!(finding, reader.read_all(windows, read), self.write_all(reads)).map(drop)
    }

    /// Writes down what was read, as it comes.
    async fn write_all(&mut self, mut reads: mpsc::Receiver<Read>) -> Result<(), Failure> {
        while let Some(read) = reads.recv().await {
            self.write(read).await?;
        }
        Ok(())
    }

    async fn write(&mut self, read: Read) -> Result<(), Failure> {
        match read {
            Read::Words(keep, Reading { clauses, language, coverage }) => {
                self.meter.decoded();
                let mut segments = stitch::join(self.last.as_ref(), keep, clauses);
                let language = language.map(Cow::into_owned);
                segments.iter_mut().for_each(|it| it.language.clone_from(&language));
                self.commit(keep.end, segments, &coverage).await
            }
            Read::Early(keep, reading) => Ok(self.keep_ahead(keep, &reading).await?),
            Read::Quiet(until) => self.commit(until, Vec::new(), &Coverage::default()).await,
        }
    }

    /// Keeps a window that was read before its turn.
    async fn keep_ahead(&self, kept: Span, reading: &Reading) -> Result<(), models::db::Error> {
        let (db, lease, id) = (&self.context.db, self.lease, self.transcript.id);
        let reading = serde_json::to_string(reading)
            .map_err(|error| models::db::Error::Corrupt { what: format!("a reading: {error}") })?;
        let keep = || db.keep_ahead(lease, id, kept, &reading, WallMicros::now());
        persist(lease, keep).await
    }

    /// Writes a window down.
    async fn keep(
        &self,
        covered: Ticks,
        segments: &[Segment],
        coverage: &Coverage,
    ) -> Result<(), models::db::Error> {
        let (db, lease, id, total) = (&self.context.db, self.lease, self.transcript.id, self.total);
        let words = (segments, coverage);
        let keep = || db.commit_window(lease, id, covered, words, total, WallMicros::now());
        persist(lease, keep).await
    }

    async fn commit(
        &mut self,
        covered: Ticks,
        segments: Vec<Segment>,
        coverage: &Coverage,
    ) -> Result<(), Failure> {
        let covered = covered.min(self.total).max(self.transcript.covered);
        self.keep(covered, &segments, coverage).await?;
        self.meter.covered(covered.saturating_sub(self.transcript.covered));
        self.transcript.covered = covered;
        if let Some(last) = segments.into_iter().last() {
            self.last = Some(last);
        }
        Ok(())
    }
}

/// Tries to write for as long as the lease lasts where the database is away for a moment: a window
/// takes longer to read than most failures take to pass.
async fn persist<F>(lease: &Lease, mut write: impl FnMut() -> F) -> Result<(), models::db::Error>
where
    F: Future<Output = Result<(), models::db::Error>>,
{
    loop {
        match write().await {
            Err(error) if error.is_transient() => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(job = %lease.job_id, error, "a window could not be kept; trying again");
            }
            done => return done,
        }
        tokio::time::sleep(RETRY).await;
    }
}
