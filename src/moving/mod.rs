//! `roomtape move`: recordings from one installation into another, whatever each stands on.
//!
//! A recording's objects are copied and checked first, then its rows are written in one transaction:
//! broken off anywhere, what was copied is found and the rest is moved by the next run. With
//! `--delete` a recording goes from where it was only after all of its objects have been read back at
//! the destination and compared with the rows there.

mod objects;
mod rooms;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use models::db::{Filter, Whole};
use models::{Recording, WallMicros, db};

use crate::config::{self, Config, Loaded};
use crate::home::{self, Home};
use crate::{cli, log};
use objects::Copied;

/// Recordings listed at once.
const PAGE: u32 = 200;
/// After so many failures in a row something other than a recording is at fault.
const PATIENCE: u32 = 5;

/// Moves every recording that is over; the others are named.
///
/// # Errors
/// Two installations that are one, that cannot be opened, or with rooms of the same name. A recording
/// that fails is an exit status of 1, not an error.
pub(crate) async fn run(loaded: Loaded, args: cli::Move) -> anyhow::Result<ExitCode> {
    let (from, to) = ends(loaded, &args)?;
    refuse_to_make(&from)?;
    let from = home::open(&from).await.context("opening the installation to move from")?;
    let to = home::open(&to).await.context("opening the installation to move to")?;

    let recordings = all(&from).await?;
    let rooms = rooms::plan(&from.db, &to.db, &recordings, args.rename).await?;
    rooms::carry_out(&to.db, &rooms, args.dry_run).await?;

    let bytes = recordings.iter().map(|recording| recording.bytes).sum();
    let bar = ProgressBar::new(bytes).with_style(style());
    let mover = Mover { from, to, args, bar };
    let sum = mover.all(recordings).await?;
    mover.bar.finish_and_clear();
    sum.report(mover.args.dry_run);
    Ok(if sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes} {bytes_per_sec} {eta} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// The two installations. The one that is not named is the configured one.
fn ends(loaded: Loaded, args: &cli::Move) -> anyhow::Result<(Config, Config)> {
    let other = |place: &Path| -> anyhow::Result<Config> {
        let settings = config::load_other(place).and_then(Loaded::validate);
        settings.with_context(|| format!("reading the settings of {}", place.display()))
    };
    let (from, to) = match (&args.from, &args.to) {
        (Some(from), Some(to)) => (other(from)?, other(to)?),
        (Some(from), None) => (other(from)?, loaded.validate()?),
        (None, Some(to)) => (loaded.validate()?, other(to)?),
        (None, None) => bail!("name at least one of --from and --to"),
    };
    if from.database == to.database {
        bail!("both installations have the database {}: there is nothing to move", to.database);
    }
    Ok((from, to))
}

/// A database in a file is made where there is none, which would hide a folder that was misspelt.
fn refuse_to_make(from: &Config) -> anyhow::Result<()> {
    if let Some(path) = from.database.expose().strip_prefix("sqlite:") {
        let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
        if !path.is_file() {
            bail!("there is nothing to move: {} is not there", path.display());
        }
    }
    Ok(())
}

/// Every recording, the oldest first.
async fn all(home: &Home) -> anyhow::Result<Vec<Recording>> {
    let mut recordings: Vec<Recording> = Vec::new();
    loop {
        let before = recordings.last().map(|last| last.id);
        let page = home.db.recordings(&Filter::default(), before, PAGE).await;
        let page = page.context("listing the recordings to move")?;
        if page.is_empty() {
            recordings.reverse();
            return Ok(recordings);
        }
        recordings.extend(page);
    }
}

/// What became of a recording.
enum Outcome {
    Moved(Copied),
    /// It was at the destination already.
    There,
    /// It goes on, or somebody works on it.
    Busy,
}

/// What became of all.
#[derive(Default)]
struct Sum {
    moved: u32,
    objects: u64,
    bytes: u64,
    there: u32,
    busy: u32,
    failed: u32,
}

impl Sum {
    fn report(&self, dry: bool) {
        let Self { moved, objects, bytes, there, busy, failed } = self;
        let verb = if dry { "would be moved" } else { "moved" };
        let megabytes = *bytes as f64 / 1e6;
        let mut line = format!("{moved} recordings {verb}");
        if !dry {
            line.push_str(&format!(" ({objects} objects copied, {megabytes:.1} MB)"));
        }
        line.push_str(&format!(", {there} were there already"));
        if *busy > 0 {
            line.push_str(&format!(", {busy} are busy: move again when they are done"));
        }
        if *failed > 0 {
            line.push_str(&format!(", {failed} failed"));
        }
        log::print(&line);
    }
}

struct Mover {
    from: Home,
    to: Home,
    args: cli::Move,
    bar: ProgressBar,
}

impl Mover {
    async fn all(&self, recordings: Vec<Recording>) -> anyhow::Result<Sum> {
        let mut sum = Sum::default();
        let mut in_a_row = 0;
        for recording in recordings {
            self.bar.set_message(recording.title.clone());
            let before = self.bar.position();
            match self.one(&recording).await {
                Ok(Outcome::Moved(copied)) => {
                    sum.moved += 1;
                    sum.objects += copied.objects;
                    sum.bytes += copied.bytes;
                    self.say(if self.args.dry_run { "to move" } else { "moved" }, &recording);
                }
                Ok(Outcome::There) => sum.there += 1,
                Ok(Outcome::Busy) => {
                    sum.busy += 1;
                    self.say("busy, left", &recording);
                }
                Err(error) => {
                    sum.failed += 1;
                    in_a_row += 1;
                    let error = error.context(format!("{} ({})", recording.id, recording.title));
                    if in_a_row == PATIENCE {
                        return Err(error.context("giving up after several failures in a row"));
                    }
                    self.bar.suspend(|| log::failure(&error));
                    continue;
                }
            }
            in_a_row = 0;
            self.bar.set_position(before + recording.bytes);
        }
        Ok(sum)
    }

    fn say(&self, what: &str, recording: &Recording) {
        let Recording { id, duration, title, .. } = recording;
        self.bar.suspend(|| log::print(&format!("{what:<10}  {id}  {duration}  {title}")));
    }

    async fn one(&self, recording: &Recording) -> anyhow::Result<Outcome> {
        let id = recording.id;
        let is_there = match self.to.db.recording(id).await {
            Ok(_) => true,
            Err(db::Error::NotFound { .. }) => false,
            Err(error) => return Err(error).context("looking for it at the destination"),
        };
        if is_there && !self.args.delete {
            return Ok(Outcome::There);
        }
        let whole = self.from.db.whole(id, WallMicros::now()).await.context("reading its rows")?;
        let Some(whole) = whole else { return Ok(Outcome::Busy) };
        if self.args.dry_run {
            return Ok(if is_there { Outcome::There } else { Outcome::Moved(Copied::default()) });
        }
        let copied = if is_there {
            Copied::default()
        } else {
            let copied =
                objects::copy(&self.from.store, &self.to.store, &whole, self.args.jobs, |bytes| {
                    self.bar.inc(bytes);
                });
            let copied = copied.await?;
            self.to.db.take_in(&whole, WallMicros::now()).await.context("writing its rows")?;
            copied
        };
        if self.args.delete {
            self.delete(&whole).await?;
        }
        Ok(if is_there { Outcome::There } else { Outcome::Moved(copied) })
    }

    /// Deletes a recording where it was, once all of it was found at the destination.
    async fn delete(&self, whole: &Whole) -> anyhow::Result<()> {
        let id = whole.recording.id;
        let there = self.to.db.whole(id, WallMicros::now()).await;
        let Some(there) = there.context("reading its rows at the destination")? else {
            bail!("it is being worked on at the destination: not deleted yet");
        };
        let has_words = |transcript: &models::transcript::Transcript| {
            there.transcripts.iter().any(|(known, _)| known.id == transcript.id)
        };
        if there.chunks != whole.chunks
            || !whole.transcripts.iter().all(|(transcript, _)| has_words(transcript))
            || !whole.edits.iter().all(|edit| there.edits.contains(edit))
        {
            bail!("there is more of it here than at the destination: not deleted");
        }
        objects::verify(&self.to.store, &there, self.args.jobs).await?;
        // Rows last: they know of the objects.
        objects::delete(&self.from.store, id).await?;
        self.from.db.forget(id).await.context("forgetting it")
    }
}
