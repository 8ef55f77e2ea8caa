//! `roomtape repair`: mends what `roomtape verify` names, as far as it can be mended.
//!
//! What is done, in steps of which any may be the last one and can be done again:
//!
//! - A chunk whose object is gone or spoilt is taken from wherever its bytes still are (this machine's
//!   spool, the backup store, the whole as one file). Objects never change: in place of a spoilt one
//!   comes a new take, put first and rowed in one transaction; then the spoilt one goes.
//! - Rows that are missing are made again from objects that fit in between exactly.
//! - What is lost for good becomes a gap of cause `broken`, filled with concealment of the same
//!   length, but only where asked for (`--conceal`).
//! - Objects that no row names go, where all of their time has other sound.
//! - Receipts are made anew; the old ones stay in the chain.
//!
//! Rows are changed only of recordings that are over, and only where they still are as they were seen
//! (`Db::mend`). Of one that is going on a lost object is put again, and nothing else.
//!
//! Exit status: 0 where nothing is left, 1 where something is, 2 where it could not be tried.

mod mender;
mod objects;

use std::collections::HashSet;
use std::process::ExitCode;

use anyhow::Context as _;
use archive::Store;
use archive::receipt::sign::Signer;
use archive::verify::{self, Damage};
use indicatif::ProgressBar;
use models::RecordingId;

use crate::config::Loaded;
use crate::home::{self, Home};
use crate::verify::{MOMENT, Pages, lasting, look, progress, strangers};
use crate::{cli, log, receipts};
use mender::Mender;

/// The exit status of a repair that could not be tried.
const UNSEEN: u8 = 2;

/// What became of a damage, or would.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    what: String,
    is_mended: bool,
}

impl Outcome {
    fn mended(damage: &Damage, how: &str) -> Self {
        Self { what: format!("{damage}: {how}"), is_mended: true }
    }

    fn left(damage: &Damage, why: &str) -> Self {
        Self { what: format!("{damage}: {why}"), is_mended: false }
    }
}

/// Mends the recordings named, or all.
pub(crate) async fn run(loaded: Loaded, args: cli::Repair) -> ExitCode {
    match repair(loaded, args).await {
        Ok(code) => code,
        Err(error) => {
            log::failure(&error);
            ExitCode::from(UNSEEN)
        }
    }
}

async fn repair(loaded: Loaded, args: cli::Repair) -> anyhow::Result<ExitCode> {
    let config = loaded.validate()?;
    let home = home::open(&config).await?;
    let backup = home::backup(&config).await?;
    let stored = match args.recordings.is_empty() {
        true => home.store.recordings().await.context("listing what is in the store")?,
        false => Vec::new(),
    };
    let bar = progress();
    let mut work = Work { home, backup, signer: config.receipt_key, args, bar, mended: 0, left: 0 };
    let (mut again, mut known, mut may_pass) = (Vec::new(), HashSet::new(), false);
    let mut pages = Pages::new(work.args.recordings.clone());
    while let Some(page) = pages.next(&work.home).await? {
        for id in page {
            known.insert(id);
            let damaged = work.first(id).await.with_context(|| id.to_string())?;
            may_pass |= damaged == Some(true);
            again.extend(damaged.map(|_| id));
        }
    }
    let unknown: Vec<_> = stored.into_iter().filter(|id| !known.contains(id)).collect();
    if may_pass || !unknown.is_empty() {
        tokio::time::sleep(MOMENT).await;
    }
    for id in again {
        work.second(id).await.with_context(|| id.to_string())?;
    }
    for id in unknown {
        work.unknown(id).await.with_context(|| id.to_string())?;
    }
    Ok(work.end())
}

struct Work {
    home: Home,
    backup: Option<Store>,
    signer: Option<Signer>,
    args: cli::Repair,
    bar: ProgressBar,
    mended: u64,
    left: u64,
}

impl Work {
    /// Mends what cannot be something that is being done just now. `None` where nothing was wrong; else
    /// whether some of it may be.
    async fn first(&mut self, id: RecordingId) -> anyhow::Result<Option<bool>> {
        let seen = look(&self.home, id, self.args.jobs, &self.bar).await?;
        if seen.damage.is_empty() {
            return Ok(None);
        }
        let may_pass = seen.damage.iter().any(Damage::may_pass);
        // What a receipt tells is compared once the rows are as they should be.
        let later =
            |damage: &Damage| damage.may_pass() || matches!(damage, Damage::ReceiptDiffers { .. });
        let lasting = seen.damage.into_iter().filter(|damage| !later(damage)).collect();
        let mender = Mender::new(&self.home, self.backup.as_ref(), &self.args, &seen.kept);
        let outcomes = mender.all(lasting).await?;
        self.tell(id, outcomes);
        Ok(Some(may_pass))
    }

    /// Sees to objects that no row names and to the receipt.
    async fn second(&mut self, id: RecordingId) -> anyhow::Result<()> {
        let (kept, mut damage) = lasting(&self.home, id).await?;
        let receipts = self.home.db.receipts(id).await.context("reading its receipts")?;
        damage.retain(|damage| *damage != Damage::NoReceipt);
        let told = verify::receipts(&kept.facts(), &receipts, kept.is_receipted).into_iter();
        damage.extend(told.filter(|damage| matches!(damage, Damage::ReceiptDiffers { .. })));
        let mender = Mender::new(&self.home, self.backup.as_ref(), &self.args, &kept);
        let outcomes = mender.all(damage).await?;
        self.tell(id, outcomes);
        let wanted = self.home.db.receipt_changes(id).await.context("reading its rows")? > 0;
        if wanted && self.args.dry_run {
            self.tell(id, vec![Outcome::mended(&Damage::NoReceipt, "one would be made")]);
        } else if wanted
            && let Some(made) = receipts::make(&self.home.db, self.signer.as_ref(), id).await?
        {
            let how = format!("receipt {} made", made.number);
            self.tell(id, vec![Outcome::mended(&Damage::NoReceipt, &how)]);
        }
        Ok(())
    }

    /// Sees to the objects of a recording that no row knows.
    async fn unknown(&mut self, id: RecordingId) -> anyhow::Result<()> {
        let keys = strangers(&self.home, id).await?;
        if keys.is_empty() {
            return Ok(());
        }
        let damage = Damage::Unknown;
        if !self.args.remove_unknown {
            let why = "left: it may be on its way here, or be another installation's \
                       (--remove-unknown removes it)";
            self.tell(id, vec![Outcome::left(&damage, why)]);
            return Ok(());
        }
        for key in &keys {
            if !self.args.dry_run {
                self.home.store.delete(key).await.context("removing an object")?;
            }
        }
        let how = format!("{} objects removed", keys.len());
        self.tell(id, vec![Outcome::mended(&damage, &how)]);
        Ok(())
    }

    fn tell(&mut self, id: RecordingId, outcomes: Vec<Outcome>) {
        for Outcome { what, is_mended } in outcomes {
            *(if is_mended { &mut self.mended } else { &mut self.left }) += 1;
            let mark = if is_mended { "mended" } else { "left  " };
            let mark = if self.args.dry_run && is_mended { "to do " } else { mark };
            self.bar.suspend(|| log::print(&format!("{mark}  {id}  {what}")));
        }
    }

    fn end(self) -> ExitCode {
        self.bar.finish_and_clear();
        let Self { mended, left, args, .. } = self;
        log::print(&match (mended, left) {
            (0, 0) => "nothing is damaged".to_owned(),
            _ if args.dry_run => format!("{mended} things can be mended, {left} cannot"),
            _ => format!("{mended} things mended, {left} left"),
        });
        if left == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
