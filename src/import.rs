//! `roomtape import`: recordings from audio files, several at once, with progress.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use models::job::State;
use models::room::{Audience, RecordingPolicy};
use models::{Recording, Room, RoomId, WallMicros};

use crate::config::Config;
use crate::home::Home;
use crate::{cli, home, log, receipts, worker};

/// How often the transcription's progress is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Imports every file; those that fail are named, the others stay.
///
/// # Errors
/// Arguments that do not fit together, or a data folder that cannot be opened. A file that fails is
/// an exit status of 1, not an error.
pub(crate) async fn run(config: Config, args: cli::Import) -> anyhow::Result<ExitCode> {
    if args.title.is_some() && args.files.len() > 1 {
        bail!("--title names one recording: give one FILE with it");
    }
    let home = home::open(&config).await?;
    let room = room(&home, &args.room).await?;
    let bars = MultiProgress::new();
    let jobs = args.jobs.clamp(1, 64);

    let outcomes: Vec<_> = futures_util::stream::iter(args.files.clone())
        .map(|file| one(&home, &room, file, args.title.clone(), &bars))
        .buffered(jobs)
        .collect()
        .await;
    let imported: Vec<Recording> = outcomes.iter().flatten().cloned().collect();
    let failed = outcomes.len() - imported.len();
    for recording in &imported {
        let made = receipts::make(&home.db, config.receipt_key.as_ref(), recording.id).await;
        if let Err(error) = made {
            // Whoever records makes it sooner or later.
            log::failure(
                &error.context(format!("the receipt of {} is not made yet", recording.id)),
            );
        }
    }

    let untold = if args.transcribe && !imported.is_empty() {
        transcribe(&config, &home, &imported, &bars).await?
    } else {
        if !imported.is_empty() {
            log::print("`roomtape serve` transcribes them (or import with --transcribe)");
        }
        0
    };
    Ok(if failed + untold == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The room of that short name, made where it is not there.
async fn room(home: &Home, slug: &str) -> anyhow::Result<Room> {
    match home.db.room_by_slug(slug).await {
        Ok(room) => return Ok(room),
        Err(models::db::Error::NotFound { .. }) => {}
        Err(error) => return Err(error).context("looking for the room"),
    }
    let title = if slug == "imports" { "Imported recordings" } else { slug };
    let room = Room {
        id: RoomId::new(),
        slug: slug.to_owned(),
        title: title.to_owned(),
        host: String::new(),
        glossary: String::new(),
        audience: Audience::Everyone,
        policy: RecordingPolicy::Manual,
        rtp_port: None,
        source_key: None,
        grace_ms: 30_000,
        created_at: WallMicros::now(),
    };
    room.check().with_context(|| format!("--room {slug}"))?;
    home.db.create_room(&room).await.context("making the room")?;
    Ok(room)
}

/// Imports one file and says how it went; `None` where it failed.
async fn one(
    home: &Home,
    room: &Room,
    file: PathBuf,
    title: Option<String>,
    bars: &MultiProgress,
) -> Option<Recording> {
    let bar = bars.add(ProgressBar::new(0).with_style(style("{msg}")));
    bar.set_message(name(&file));
    let imported =
        ingest::import_file(&home.db, &home.store, &home.spool, &file, room, title, |progress| {
            bar.set_length(progress.total.map_or(0, |total| total.as_millis()));
            bar.set_position(progress.done.as_millis());
        })
        .await;
    bar.finish_and_clear();
    bars.remove(&bar);
    match imported {
        Ok(imported) => {
            let recording = &imported.recording;
            let mut line = format!("{}  {}  {}", recording.id, recording.duration, file.display());
            for warning in &imported.warnings {
                line.push_str("  — ");
                line.push_str(warning);
            }
            bars.suspend(|| log::print(&line));
            Some(imported.recording)
        }
        Err(error) => {
            let error = anyhow::Error::from(error).context(file.display().to_string());
            bars.suspend(|| log::failure(&error));
            None
        }
    }
}

fn style(what: &str) -> ProgressStyle {
    ProgressStyle::with_template(&format!("{{bar:30}} {{percent:>3}} % {{elapsed}} {what}"))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}

/// Runs a worker until the words of `recordings` are there; returns how many could not be had.
async fn transcribe(
    config: &Config,
    home: &Home,
    recordings: &[Recording],
    bars: &MultiProgress,
) -> anyhow::Result<usize> {
    let mut worker = worker::start(config, worker::Duty::Everything)?;
    let total: u64 = recordings.iter().map(|recording| recording.duration.as_millis()).sum();
    let bar = bars.add(ProgressBar::new(total).with_style(style("transcribing")));
    let outcome = loop {
        let mut done_ms = 0;
        let (mut waiting, mut failures) = (0, Vec::new());
        for recording in recordings {
            let jobs = home.db.jobs_of(recording.id).await.context("looking at the jobs")?;
            for job in jobs {
                done_ms += job.done.as_millis();
                match job.state {
                    State::Ready | State::Running => waiting += 1,
                    State::Dead | State::Cancelled => {
                        failures.push((recording.title.clone(), job.error));
                    }
                    State::Done => {}
                }
            }
        }
        bar.set_position(done_ms);
        if waiting == 0 {
            break Ok(failures);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            status = worker.ended() => {
                break Err(anyhow::anyhow!("the transcription worker ended: {status:?}"));
            }
        }
    };
    bar.finish_and_clear();
    worker.end().await;
    let failures = outcome?;
    for (title, error) in &failures {
        log::failure(&anyhow::anyhow!(
            "{title}: no words: {}",
            error.as_deref().unwrap_or("cancelled")
        ));
    }
    if failures.is_empty() {
        log::print("transcribed; `roomtape serve` shows them");
    }
    Ok(failures.len())
}
