//! Existing audio files in: each becomes a recording of its own.
//!
//! MP3, M4A and ADTS AAC, WAV, FLAC, Ogg Vorbis and FLAC are decoded and encoded once; Opus in Ogg,
//! WebM, Matroska and MP4 is kept as it came. A file says nothing dependable about when it was
//! recorded, so that media time zero is the moment of the import.
//!
//! A file without audio leaves no recording behind. One that ends in the middle, or is damaged
//! there, is imported up to that place, with a warning. Where our own disk, store or database
//! fails, the recording is marked failed and its spool removed.

mod edit;
mod media;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use archive::Store;
use models::db::{self, Held as Holding, NewRecording};
use models::recording::{EndReason, Origin, State};
use models::room::{RecordingPolicy, TITLE_MAX_CHARS};
use models::{Db, Grip, Recording, Room, Ticks, WallMicros};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::place::{self, Place};
use crate::record::{self, Mode, Recorder};
use crate::spool;
use crate::tap::Event;
pub use media::Error as Unreadable;
use media::Media;

/// Batches that may wait between the reading thread and the writer: enough for both to be busy.
const AHEAD: usize = 16;

/// What the worker that imports is called.
const IMPORTER: &str = "import";

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Media time written.
    pub done: Ticks,
    /// Media time there is, where the file says so.
    pub total: Option<Ticks>,
}

/// What an import made.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The recording, ended.
    pub recording: Recording,
    /// What was wrong with the file, for people; empty where nothing was.
    pub warnings: Vec<String>,
}

/// Why a file was not imported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The room.
    #[error("this room must not be recorded")]
    NotRecordable,
    /// The file.
    #[error("it cannot be imported")]
    Unreadable(#[source] Unreadable),
    /// A container without a single packet.
    #[error("there is no audio in it")]
    NoAudio,
    /// The rows.
    #[error("could not {step}")]
    Rows {
        /// What failed.
        step: &'static str,
        /// Why.
        source: db::Error,
    },
    /// Spool or store.
    #[error("the audio could not be kept")]
    Keep(#[from] record::Error),
    /// It was taken for dead, and for failed, before it had begun.
    #[error("another process has given this import up")]
    Taken,
    /// The reading thread is gone, by a fault of ours or because the process ends.
    #[error("reading the file was stopped")]
    Stopped,
}

/// What the reading thread says first.
struct Opened {
    name: String,
    channels: u8,
    total: Option<Ticks>,
}

/// Makes a recording of `room` from the file at `path`, and tells `progress` how far it is.
///
/// `title` is the file's name without its ending where not given.
///
/// # Errors
/// [`Error`]; no audio of the file is offered then.
pub async fn import_file(
    db: &Db,
    store: &Store,
    spool_dir: &Path,
    path: &Path,
    room: &Room,
    title: Option<String>,
    progress: impl Fn(Progress),
) -> Result<Imported, Error> {
    if room.policy == RecordingPolicy::Never {
        return Err(Error::NotRecordable);
    }
    let Reading { opened, mut batches, thread } = read(path.to_owned());
    let opened = opened.await.map_err(|_| Error::Stopped)?.map_err(Error::Unreadable)?;
    // A recording is made once there is audio: a file without any leaves nothing behind.
    let first = match batches.recv().await {
        Some(Ok(events)) => events,
        Some(Err(error)) => return Err(Error::Unreadable(error)),
        None => return Err(Error::NoAudio),
    };
    let started = WallMicros::now();
    let new = NewRecording {
        room_id: room.id,
        title: title.unwrap_or_else(|| title_of(path)),
        origin: Origin::Import,
        state: State::Importing,
        channels: opened.channels,
        source: opened.name,
        created_at: started,
    };
    let rows = |step| move |source| Error::Rows { step, source };
    let recording = db.create_recording(&new).await.map_err(rows("make the recording"))?;
    let worker = place::passing_worker(IMPORTER);
    let place = Place::new(db.clone(), store.clone(), spool_dir.to_owned(), worker);
    let held = db.hold(recording.id, &place.worker, Grip::Firm, started).await;
    let holding = held.map_err(rows("take hold of the recording"))?.ok_or(Error::Taken)?;
    let _alive = place.stay_alive();
    let tell = |done| progress(Progress { done, total: opened.total });
    let written = write(&place, &holding, started, first, &mut batches, tell).await;
    drop(batches);
    // Nothing more came: that is the file's end only if the thread ended as it should.
    let read = thread.await.map_err(|_| Error::Stopped);
    match written.and_then(|warnings| read.map(|()| warnings)) {
        Ok(warnings) => {
            let ended = db.end_recording(holding.hold, EndReason::Imported, WallMicros::now());
            Ok(Imported { recording: ended.await.map_err(rows("end the recording"))?, warnings })
        }
        Err(error) => {
            give_up(&place, &holding).await;
            Err(error)
        }
    }
}

/// Writes all batches; returns warnings.
async fn write(
    place: &Place,
    holding: &Holding,
    started: WallMicros,
    first: Vec<Event>,
    batches: &mut mpsc::Receiver<Result<Vec<Event>, Unreadable>>,
    tell: impl Fn(Ticks),
) -> Result<Vec<String>, Error> {
    let mut recorder = Recorder::open(place, holding, Mode::Import).await?;
    let mut next = Some(Ok(first));
    let mut warnings = Vec::new();
    while let Some(batch) = next {
        let done = recorder.media();
        match batch {
            Ok(events) => recorder.write(events, started.plus(done)).await?,
            Err(error) => warnings.push(format!("cut off at {done}: {}", chain(&error))),
        }
        tell(recorder.media());
        next = batches.recv().await;
    }
    recorder.finish().await?;
    Ok(warnings)
}

/// Marks a recording failed and removes what is spooled of it.
async fn give_up(place: &Place, holding: &Holding) {
    let id = holding.recording.id;
    let ended =
        place.db.end_recording(holding.hold, EndReason::Unreadable, WallMicros::now()).await;
    if let Err(error) = ended {
        tracing::error!(recording = %id, %error, "a failed import could not be marked so");
    }
    let dir = spool::dir(&place.spool_dir, id, holding.take);
    if let Err(error) = tokio::fs::remove_dir_all(&dir).await {
        tracing::warn!(recording = %id, %error, "the spool of a failed import could not be removed");
    }
}

/// A file being read on a thread of its own.
struct Reading {
    opened: oneshot::Receiver<Result<Opened, Unreadable>>,
    batches: mpsc::Receiver<Result<Vec<Event>, Unreadable>>,
    thread: JoinHandle<()>,
}

/// Starts to read a file.
fn read(path: PathBuf) -> Reading {
    let (tell, opened) = oneshot::channel();
    let (sender, batches) = mpsc::channel(AHEAD);
    let thread = tokio::task::spawn_blocking(move || {
        let mut media = match Media::open(&path) {
            Ok(media) => media,
            Err(error) => {
                // Nobody may be there to hear it any more, here and below.
                let _ = tell.send(Err(error));
                return;
            }
        };
        let (name, channels, total) = (media.name.clone(), media.channels, media.total);
        let _ = tell.send(Ok(Opened { name, channels, total }));
        while let Some(batch) = media.next().transpose() {
            let failed = batch.is_err();
            if sender.blocking_send(batch).is_err() || failed {
                return;
            }
        }
    });
    Reading { opened, batches, thread }
}

/// A title for a file that was given none.
fn title_of(path: &Path) -> String {
    let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
    let name: String = name.trim().chars().take(TITLE_MAX_CHARS).collect();
    if name.is_empty() { "Imported".into() } else { name }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
