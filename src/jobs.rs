//! `roomtape jobs`: the work that is queued, running and done; tried again and taken back.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use models::db::{self, JobFilter};
use models::job::{Cost, State};
use models::{Db, Job, JobId, RecordingId, WallMicros};

use crate::cli::{Jobs, JobsAction, JobsList};
use crate::config::Config;
use crate::{home, log};

/// How often `--watch` looks.
const LOOK: Duration = Duration::from_millis(500);
/// Dead jobs read at once.
const PAGE: u32 = 200;

/// Does what is asked with jobs.
///
/// # Errors
/// The database cannot be used.
pub(crate) async fn run(config: Config, args: Jobs) -> anyhow::Result<ExitCode> {
    let Jobs { list, action } = args;
    if action.is_some() && (list.watch || list.state.is_some() || list.kind.is_some()) {
        bail!("options of `jobs list` stand behind `list`");
    }
    let db = home::open(&config).await?.db;
    match action.unwrap_or(JobsAction::List(list)) {
        JobsAction::List(list) => show(&db, &list).await,
        JobsAction::Retry { dead: true, .. } => retry_dead(&db).await,
        JobsAction::Retry { ids, .. } => {
            each(&ids, "to be tried again", async |id| db.retry_job(id, WallMicros::now()).await)
                .await
        }
        JobsAction::Cancel { ids } => {
            each(&ids, "cancelled", async |id| db.cancel_job(id, WallMicros::now()).await).await
        }
    }
}

/// Shows jobs, newest first. Fails where one of them is dead, for whoever waits for them.
async fn show(db: &Db, list: &JobsList) -> anyhow::Result<ExitCode> {
    let filter = JobFilter { state: list.state, kind: list.kind };
    let mut titles = HashMap::new();
    loop {
        // Looked at first: what ends meanwhile is then among what is shown.
        let busy = list.watch && is_busy(db, filter).await?;
        let jobs = db.jobs(filter, None, list.limit).await.context("listing jobs")?;
        let mut lines = Vec::new();
        for job in &jobs {
            lines.push(line(job, &title(db, &mut titles, job.recording_id).await));
        }
        if jobs.is_empty() {
            lines.push("no jobs".to_owned());
        }
        log::print(&lines.join("\n"));
        if !busy {
            let dead = jobs.iter().any(|job| job.state == State::Dead);
            return Ok(if dead { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
        tokio::time::sleep(LOOK).await;
        log::print("");
    }
}

/// Whether something of it is still to be done, be it older than what is shown.
async fn is_busy(db: &Db, filter: JobFilter) -> anyhow::Result<bool> {
    for open in [State::Ready, State::Running] {
        if filter.state.is_none_or(|state| state == open) {
            let filter = JobFilter { state: Some(open), ..filter };
            if !db.jobs(filter, None, 1).await.context("listing jobs")?.is_empty() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Does something with each job; says of each that it was done, or why not.
async fn each(
    ids: &[JobId],
    done: &str,
    act: impl AsyncFn(JobId) -> db::Result<Job>,
) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for id in ids {
        match act(*id).await {
            Ok(_) => log::print(&format!("{id}  {done}")),
            Err(error @ (db::Error::NotFound { .. } | db::Error::Conflict { .. })) => {
                log::print(&format!("{id}  not {done}: {error}"));
                code = ExitCode::FAILURE;
            }
            Err(error) => return Err(error).with_context(|| format!("job {id}")),
        }
    }
    Ok(code)
}

/// Tries every dead job again. One that cannot be (there is another in its place) is told, and is
/// no failure: nothing is missing.
async fn retry_dead(db: &Db) -> anyhow::Result<ExitCode> {
    let filter = JobFilter { state: Some(State::Dead), kind: None };
    let mut before = None;
    let mut none = true;
    loop {
        let dead = db.jobs(filter, before, PAGE).await.context("listing dead jobs")?;
        let ids: Vec<_> = dead.iter().map(|job| job.id).collect();
        before = ids.last().copied();
        if before.is_none() {
            break;
        }
        none = false;
        let retry = async |id| db.retry_job(id, WallMicros::now()).await;
        each(&ids, "to be tried again", retry).await?;
    }
    if none {
        log::print("no dead jobs");
    }
    Ok(ExitCode::SUCCESS)
}

async fn title(db: &Db, titles: &mut HashMap<RecordingId, String>, id: RecordingId) -> String {
    if let Some(title) = titles.get(&id) {
        return title.clone();
    }
    let title = db.recording(id).await.map_or_else(|_| id.to_string(), |found| found.title);
    titles.insert(id, title.clone());
    title
}

fn line(job: &Job, title: &str) -> String {
    let kind = match job.kind {
        models::job::Kind::TranscribeLive => "live words",
        models::job::Kind::Transcribe => "transcribe",
    };
    let state = match job.state {
        State::Ready if job.held => "paused",
        State::Ready if job.attempt > 0 => "waits to try again",
        State::Ready => "queued",
        State::Running => "running",
        State::Done => "done",
        State::Dead => "failed",
        State::Cancelled => "cancelled",
    };
    let error = job.error.as_deref().filter(|_| job.state != State::Done);
    let percent = (job.done.0 * 100).checked_div(job.total.0);
    let progress = percent.map_or("  - %".to_owned(), |done| format!("{:>3} %", done.min(100)));
    let mut line = format!("{}  {kind:<10}  {state:<18}  {progress}  {title}", job.id);
    if let Some(cost) = &job.cost {
        line.push_str(&format!("  ({})", paid(cost)));
    }
    if let Some(error) = error {
        line.push_str("  — ");
        line.push_str(error);
    }
    line
}

/// What it took, in a few words.
fn paid(cost: &Cost) -> String {
    let Cost { wall_ms, audio, windows, threads, device } = cost;
    let (took, factor) = (*wall_ms as f64 / 1e3, audio.as_millis() as f64 / *wall_ms as f64);
    let thread = if *threads == 1 { "thread" } else { "threads" };
    format!(
        "{took:.1} s for {} s of audio, {factor:.1}x; {windows} windows, {threads} {thread}, {device}",
        audio.as_millis().div_ceil(1_000)
    )
}

#[cfg(test)]
mod tests {
    use models::Ticks;

    use super::*;

    #[test]
    fn a_cost_is_said_in_a_few_words() {
        let (audio, device) = (Ticks::from_secs(100), "cpu".to_owned());
        let cost = Cost { wall_ms: 4_000, audio, windows: 5, threads: 2, device };
        assert_eq!(paid(&cost), "4.0 s for 100 s of audio, 25.0x; 5 windows, 2 threads, cpu");
    }
}
