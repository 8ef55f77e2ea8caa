//! `roomtape reprocess`: recordings transcribed again in bulk, with an estimate first.
//!
//! All of it is rows: what is queued here is done by whichever workers have the weights, goes on when
//! this command ends, and survives every restart. Where no worker has them this command runs one
//! itself, as `serve` does, that does nothing else.

mod follow;
mod words;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use models::batch::{NewBatch, Outlook, Plan, Selection, State};
use models::{Batch, BatchId, Db, WallMicros, db};

use crate::cli::{Reprocess, ReprocessAction, ReprocessNew};
use crate::config::Config;
use crate::home::{self, Home};
use crate::{log, weights};

/// Batches looked through for what is still to be done.
const RECENT: u32 = 200;
/// Failures that are named.
const FAILURES: u32 = 20;

/// Does what is asked with batches.
///
/// # Errors
/// Terms or weights that are not clear, a batch that is not there, or a database that cannot be used.
pub(crate) async fn run(config: Config, args: Reprocess) -> anyhow::Result<ExitCode> {
    let Reprocess { new, action } = args;
    if action.is_some() && new.is_asked() {
        bail!("options of a new batch do not go with a command on another");
    }
    let home = home::open(&config).await?;
    let (db, now) = (&home.db, WallMicros::now());
    match action {
        None => return begin(&config, &home, new).await,
        Some(ReprocessAction::List { limit }) => list(db, limit).await?,
        Some(ReprocessAction::Show { batch }) => {
            let batch = read(db, batch).await?;
            log::print(&words::whole(&batch, &outlook(db, &batch).await?));
            failures(db, &batch).await?;
        }
        Some(ReprocessAction::Watch { batch, work }) => {
            let batch = read(db, batch).await?;
            let own = here(&config, &home, &batch, work).await?;
            return follow::follow(&config, db, vec![batch], own).await;
        }
        Some(ReprocessAction::Pause { batch }) => {
            said(batch, db.pause_batch(batch, now).await, "paused")?;
        }
        Some(ReprocessAction::Resume { batch }) => {
            said(batch, db.resume_batch(batch, now).await, "goes on")?;
        }
        Some(ReprocessAction::Cancel { batch }) => {
            said(batch, db.cancel_batch(batch, now).await, "cancelled")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Estimates, queues and follows a new batch.
async fn begin(config: &Config, home: &Home, new: ReprocessNew) -> anyhow::Result<ExitCode> {
    let selection: Selection = new.terms.join(",").parse().context("--where")?;
    let db = &home.db;
    let asked = weights::asked(&config.weights, &home.weights, db).await?;
    if config.weights == "auto" && asked.weights.name == transcribe::weights::DEMO {
        bail!(
            "no weights are here but the demo's, which know 242 words: name others with --weights"
        );
    }
    let now = WallMicros::now();
    let plan = db.plan(&selection, &asked.weights, now).await.context("selecting recordings")?;
    let outlook = db.outlook(&asked.weights.sha256, now).await.context("estimating")?;
    log::print(&words::estimate(&plan, &asked.weights.name, &outlook));
    if new.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    let own = match own(&new, &asked, &outlook) {
        Err(refusal) if !plan.wanted.is_empty() || plan.open > 0 => return Err(refusal),
        Err(_) => None,
        Ok(own) => own,
    };
    let mut batches = Vec::new();
    if plan.wanted.is_empty() {
        log::print("nothing to queue");
    } else {
        let what = NewBatch {
            filter: selection.to_string(),
            weights: asked.weights.clone(),
            class: new.priority.class(),
            promote: !new.no_promote,
        };
        batches.push(queue(db, &what, &plan).await?);
    }
    if plan.open > 0 {
        let others = db.batches(None, RECENT).await.context("looking for batches")?;
        let known: Vec<_> = batches.iter().map(|batch| batch.id).collect();
        let goes_on = |batch: &Batch| {
            batch.state == State::Running
                && batch.weights.sha256 == asked.weights.sha256
                && !known.contains(&batch.id)
        };
        batches.extend(others.into_iter().filter(goes_on));
    }
    if new.detach || batches.is_empty() {
        if !batches.is_empty() && outlook.workers == 0 {
            log::print(&words::nobody(&asked));
        }
        return Ok(ExitCode::SUCCESS);
    }
    follow::follow(config, db, batches, own).await
}

/// Under which setting this command runs a worker itself; `None`: others do the work.
fn own(
    new: &ReprocessNew,
    asked: &weights::Asked,
    outlook: &Outlook,
) -> anyhow::Result<Option<String>> {
    match &asked.here {
        _ if new.detach || (outlook.workers > 0 && !new.work) => Ok(None),
        Some(setting) => Ok(Some(setting.clone())),
        None => bail!("{}; or queue with --detach", words::nobody(asked)),
    }
}

/// The same for a batch that there is.
async fn here(
    config: &Config,
    home: &Home,
    batch: &Batch,
    work: bool,
) -> anyhow::Result<Option<String>> {
    let outlook = outlook(&home.db, batch).await?;
    if (outlook.workers > 0 && !work) || batch.progress.open() == 0 {
        return Ok(None);
    }
    let here = weights::setting_of(&batch.weights, &config.weights, &home.weights);
    if here.is_none() {
        let asked = weights::Asked { weights: batch.weights.clone(), here: None };
        let nobody = words::nobody(&asked);
        if work {
            bail!("{nobody}");
        }
        log::print(&nobody);
    }
    Ok(here)
}

/// Makes the batch and all its jobs.
async fn queue(db: &Db, what: &NewBatch, plan: &Plan) -> anyhow::Result<Batch> {
    let now = WallMicros::now();
    let (batch, rest) = db.create_batch(what, &plan.wanted, now).await.context("queueing")?;
    db.add_to_batch(batch.id, rest, now).await.with_context(|| {
        format!("queueing; {} has what was queued so far: ask again for the rest", batch.id)
    })?;
    log::print(&format!("queued as {}", batch.id));
    read(db, batch.id).await
}

async fn read(db: &Db, id: BatchId) -> anyhow::Result<Batch> {
    db.batch(id).await.with_context(|| format!("batch {id}"))
}

async fn outlook(db: &Db, batch: &Batch) -> anyhow::Result<Outlook> {
    db.outlook(&batch.weights.sha256, WallMicros::now()).await.context("estimating")
}

async fn list(db: &Db, limit: u32) -> anyhow::Result<()> {
    let batches = db.batches(None, limit).await.context("listing batches")?;
    if batches.is_empty() {
        log::print("nothing was transcribed again yet");
    }
    for batch in &batches {
        log::print(&words::line(batch));
    }
    Ok(())
}

fn said(id: BatchId, done: db::Result<Batch>, what: &str) -> anyhow::Result<()> {
    let batch = done.with_context(|| format!("batch {id} is not {what}"))?;
    log::print(&format!("{id}  {what}: {}", words::progress(&batch.progress)));
    Ok(())
}

/// Names what failed.
async fn failures(db: &Db, batch: &Batch) -> anyhow::Result<()> {
    let dead = models::job::State::Dead;
    for job in db.jobs_of_batch(batch.id, dead, FAILURES).await.context("listing failures")? {
        let title = db.recording(job.recording_id).await.map(|found| found.title);
        let title = title.unwrap_or_else(|_| job.recording_id.to_string());
        log::print(&format!("{}  {title}: {}", job.id, job.error.as_deref().unwrap_or("failed")));
    }
    if batch.progress.failed > u64::from(FAILURES) {
        log::print("… and more: `roomtape jobs --state dead`");
    }
    if batch.progress.failed > 0 {
        log::print("`roomtape jobs retry --dead` tries them again");
    }
    Ok(())
}
