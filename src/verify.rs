//! `roomtape verify`: reads back everything that is kept, and names what is not as it was.
//!
//! Recordings are read one after the other, the objects of each some at a time; memory is that of one
//! recording's rows and of the objects being read. What may only be something that is being done just
//! now is looked at again at the end.
//!
//! Exit status: 0 where nothing is damaged, 1 where something is, 2 where it could not be looked at.

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use archive::Key;
use archive::verify::{self, Damage, Read};
use indicatif::{ProgressBar, ProgressStyle};
use models::db::{self, Filter};
use models::recording::State;
use models::{Recording, RecordingId};
use serde_json::json;

use crate::cli;
use crate::config::Loaded;
use crate::home::{self, Home};
use crate::log;
use crate::receipts::Kept;

/// Recordings listed at once.
const PAGE: u32 = 200;
/// How often rows may change while their objects are read before that is taken as it is.
const TRIES: u32 = 4;
/// How long what is being done just now is given.
pub(crate) const MOMENT: Duration = Duration::from_secs(2);
/// After so many failures in a row it is not a recording that is at fault.
const PATIENCE: u32 = 5;
/// The exit status of a look that could not be had.
const UNSEEN: u8 = 2;

/// Looks at the recordings named, or at all.
pub(crate) async fn run(loaded: Loaded, args: cli::Verify) -> ExitCode {
    match verify(loaded, args).await {
        Ok(code) => code,
        Err(error) => {
            log::failure(&error);
            ExitCode::from(UNSEEN)
        }
    }
}

async fn verify(loaded: Loaded, args: cli::Verify) -> anyhow::Result<ExitCode> {
    let home = home::open(&loaded.validate()?).await?;
    let mut report = Report::new(args.json);
    // Before the rows, so that none that is made meanwhile is taken for unknown.
    let stored = match args.recordings.is_empty() {
        true => home.store.recordings().await.context("listing what is in the store")?,
        false => Vec::new(),
    };
    let (mut again, mut known) = (Vec::new(), HashSet::new());
    let mut pages = Pages::new(args.recordings);
    while let Some(page) = pages.next(&home).await? {
        for id in page {
            known.insert(id);
            match look(&home, id, args.jobs, &report.bar).await {
                Ok(seen) => {
                    report.count(&seen);
                    let (passing, lasting): (Vec<_>, Vec<_>) =
                        seen.damage.iter().partition(|damage| damage.may_pass());
                    lasting.iter().for_each(|damage| report.tell(&seen.kept.recording, damage));
                    again.extend((!passing.is_empty()).then_some(id));
                }
                Err(error) => report.fail(error.context(id.to_string()))?,
            }
        }
    }
    let unknown: Vec<_> = stored.into_iter().filter(|id| !known.contains(id)).collect();
    if !again.is_empty() || !unknown.is_empty() {
        tokio::time::sleep(MOMENT).await;
    }
    for id in again {
        let (kept, damage) = lasting(&home, id).await.with_context(|| id.to_string())?;
        damage.iter().for_each(|damage| report.tell(&kept.recording, damage));
    }
    for id in unknown {
        if !strangers(&home, id).await?.is_empty() {
            report.tell_of(id, "", &Damage::Unknown);
        }
    }
    Ok(report.end())
}

/// The objects of a recording that no row knows; none where one does.
///
/// # Errors
/// It could not be looked at.
pub(crate) async fn strangers(home: &Home, id: RecordingId) -> anyhow::Result<Vec<Key>> {
    match home.db.recording(id).await {
        Ok(_) => return Ok(Vec::new()),
        Err(db::Error::NotFound { .. }) => {}
        Err(error) => return Err(error).context("looking for the recording"),
    }
    // On a disk a folder outlives what was in it.
    let listed = home.store.list(&Key::prefix(id)).await.context("listing its objects")?;
    Ok(listed.iter().filter_map(|(path, _)| Key::parse(path)).collect())
}

/// What was seen of a recording.
pub(crate) struct Seen {
    pub(crate) kept: Kept,
    pub(crate) read: Read,
    pub(crate) damage: Vec<Damage>,
}

/// Looks at all of a recording, again where its rows changed meanwhile and something seems wrong.
///
/// # Errors
/// It could not be looked at.
pub(crate) async fn look(
    home: &Home,
    id: RecordingId,
    at_once: usize,
    bar: &ProgressBar,
) -> anyhow::Result<Seen> {
    let mut tries = 1;
    loop {
        let listed = home.store.list(&Key::prefix(id)).await.context("listing its objects")?;
        let kept = Kept::read(&home.db, id).await.context("reading its rows")?;
        let receipts = home.db.receipts(id).await.context("reading its receipts")?;
        bar.set_message(kept.recording.title.clone());
        let facts = kept.facts();
        let step = |bytes| bar.inc(bytes);
        let read = verify::objects(&home.store, &facts, &listed, at_once.clamp(1, 64), step);
        let read = read.await.context("reading its objects")?;
        let mut damage = verify::rows(&facts);
        damage.extend(read.damage.clone());
        damage.extend(verify::receipts(&facts, &receipts, kept.is_receipted));
        if damage.is_empty() || tries == TRIES {
            return Ok(Seen { kept, read, damage });
        }
        if Kept::read(&home.db, id).await.context("reading its rows")? == kept {
            return Ok(Seen { kept, read, damage });
        }
        tries += 1;
    }
}

/// What seemed wrong a moment ago and might have been something being done: whatever is wrong of that
/// kind now.
///
/// # Errors
/// It could not be looked at.
pub(crate) async fn lasting(home: &Home, id: RecordingId) -> anyhow::Result<(Kept, Vec<Damage>)> {
    let listed = home.store.list(&Key::prefix(id)).await.context("listing its objects")?;
    let kept = Kept::read(&home.db, id).await.context("reading its rows")?;
    let mut damage = verify::unnamed(&kept.facts(), &listed);
    damage.retain(Damage::may_pass);
    if kept.recording.state == State::Ended && !kept.is_receipted {
        damage.push(Damage::NoReceipt);
    }
    Ok((kept, damage))
}

/// The recordings to look at: those named, or all, the newest first.
pub(crate) struct Pages {
    named: Option<Vec<RecordingId>>,
    before: Option<RecordingId>,
}

impl Pages {
    pub(crate) fn new(named: Vec<RecordingId>) -> Self {
        Self { named: Some(named).filter(|named| !named.is_empty()), before: None }
    }

    /// The next of them; `None` after the last.
    ///
    /// # Errors
    /// They could not be listed.
    pub(crate) async fn next(&mut self, home: &Home) -> anyhow::Result<Option<Vec<RecordingId>>> {
        if let Some(named) = &mut self.named {
            return Ok(Some(std::mem::take(named)).filter(|named| !named.is_empty()));
        }
        let page = home.db.recordings(&Filter::default(), self.before, PAGE).await;
        let page = page.context("listing the recordings")?;
        self.before = page.last().map(|last| last.id);
        let ids: Vec<_> = page.iter().map(|recording| recording.id).collect();
        Ok(Some(ids).filter(|ids| !ids.is_empty()))
    }
}

/// A line that moves while something is read, on a terminal.
pub(crate) fn progress() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {bytes} read, {bytes_per_sec}  {msg}");
    let bar = ProgressBar::new_spinner();
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar
}

/// What is said, for people or for programs.
struct Report {
    json: bool,
    bar: ProgressBar,
    recordings: u64,
    objects: u64,
    bytes: u64,
    damaged: u64,
    unseen: u64,
    in_a_row: u32,
}

impl Report {
    fn new(json: bool) -> Self {
        let (recordings, objects, bytes, damaged, unseen, in_a_row) = (0, 0, 0, 0, 0, 0);
        Self { json, bar: progress(), recordings, objects, bytes, damaged, unseen, in_a_row }
    }

    fn count(&mut self, seen: &Seen) {
        self.recordings += 1;
        self.objects += seen.read.objects;
        self.bytes += seen.read.bytes;
        self.in_a_row = 0;
    }

    fn tell(&mut self, recording: &Recording, damage: &Damage) {
        self.tell_of(recording.id, &recording.title, damage);
    }

    fn tell_of(&mut self, id: RecordingId, title: &str, damage: &Damage) {
        self.damaged += 1;
        let line = match self.json {
            true => {
                json!({ "recording": id, "damage": damage.kind(), "detail": damage.to_string() })
                    .to_string()
            }
            false => format!("{id}  {damage}  ({title})"),
        };
        self.bar.suspend(|| log::print(&line));
    }

    /// Names a recording that could not be looked at; goes on, unless that has become the rule.
    fn fail(&mut self, error: anyhow::Error) -> anyhow::Result<()> {
        self.unseen += 1;
        self.in_a_row += 1;
        if self.in_a_row == PATIENCE {
            return Err(error.context("giving up after several failures in a row"));
        }
        self.bar.suspend(|| log::failure(&error));
        Ok(())
    }

    fn end(self) -> ExitCode {
        self.bar.finish_and_clear();
        let Self { recordings, objects, bytes, damaged, unseen, .. } = self;
        if self.json {
            let sum = json!({
                "recordings": recordings, "objects": objects, "bytes": bytes, "damaged": damaged,
                "unseen": unseen,
            });
            log::print(&sum.to_string());
        } else {
            let megabytes = bytes as f64 / 1e6;
            let found = match damaged {
                0 => "nothing is damaged".to_owned(),
                n => format!(
                    "{n} things are wrong: `roomtape repair --dry-run` says what can be done"
                ),
            };
            let unseen = match unseen {
                0 => String::new(),
                n => format!("; {n} recordings could not be looked at"),
            };
            let read =
                format!("{recordings} recordings, {objects} objects, {megabytes:.1} MB read");
            log::print(&format!("{read}: {found}{unseen}"));
        }
        match (unseen, damaged) {
            (0, 0) => ExitCode::SUCCESS,
            (0, _) => ExitCode::FAILURE,
            _ => ExitCode::from(UNSEEN),
        }
    }
}
