//! Finds windows ahead of the engine: getting chunks, decoding them and looking for speech go on while
//! it reads, so that it never waits for them.

use archive::Store;
use models::{Chunk, Gap, RecordingId, Ticks};
use tokio::sync::mpsc;

use crate::listen::{Clip, Listener};
use crate::pcm;
use crate::window::Policy;

/// Windows that are found and wait, at most: each has up to half a minute of samples.
pub(super) const MOST: usize = 4;

/// Silence of this length is noted as done, so that nobody listens to it again.
const SILENCE: Ticks = Ticks::from_secs(20);

/// What is next in a recording.
#[derive(Debug)]
pub(super) enum Found {
    /// A window to be read.
    Clip(Clip),
    /// Nobody speaks before this.
    Quiet(Ticks),
}

/// What to look for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// How long windows are.
    pub(super) policy: Policy,
    /// Everything before this is done.
    pub(super) covered: Ticks,
    /// Whether there will be no more chunks than those there are.
    pub(super) whole: bool,
}

/// Finds the windows of `chunks` and hands them to `found` as that has room; ends early where nobody
/// takes them any more.
///
/// # Errors
/// A chunk could not be had or decoded.
pub(super) async fn find(
    store: Store,
    id: RecordingId,
    chunks: Vec<Chunk>,
    gaps: &[Gap],
    plan: Plan,
    found: mpsc::Sender<Found>,
) -> Result<(), pcm::Error> {
    let mut listener = Listener::new(plan.policy, plan.covered, gaps);
    let from = Listener::from(plan.covered);
    let first = pcm::Stream::first(from);
    let needed = chunks.into_iter().filter(|chunk| chunk.span().end > first).collect();
    let mut stream = pcm::Stream::new(store, id, needed, from);
    let mut told = plan.covered;
    while let Some(samples) = stream.next().await? {
        listener = listen(listener, samples).await?;
        if tell(&mut listener, &mut told, &found).await.is_err() {
            return Ok(());
        }
    }
    if plan.whole {
        listener.finish();
        // Nobody takes them any more: then nobody waits for us either.
        let _ = tell(&mut listener, &mut told, &found).await;
    }
    Ok(())
}

/// Hands on what is certain by now.
async fn tell(
    listener: &mut Listener,
    told: &mut Ticks,
    found: &mpsc::Sender<Found>,
) -> Result<(), mpsc::error::SendError<Found>> {
    while let Some(clip) = listener.pop() {
        *told = clip.window.keep.end;
        found.send(Found::Clip(clip)).await?;
    }
    let quiet = listener.frontier();
    if quiet.saturating_sub(*told) >= SILENCE {
        *told = quiet;
        found.send(Found::Quiet(quiet)).await?;
    }
    Ok(())
}

/// Finds speech off the async threads.
async fn listen(mut listener: Listener, samples: Vec<f32>) -> Result<Listener, pcm::Error> {
    let work = move || {
        listener.push(&samples);
        listener
    };
    tokio::task::spawn_blocking(work).await.map_err(pcm::Error::Stopped)
}
