//! `roomtape jobs`: the work that is queued, running and done.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use models::job::State;
use models::{Db, Job, RecordingId};

use crate::config::Config;
use crate::{cli, home, log};

/// Jobs shown at most.
const SHOWN: u32 = 50;
/// How often `--watch` looks.
const LOOK: Duration = Duration::from_millis(500);

/// Shows jobs, newest first.
///
/// # Errors
/// The database cannot be read.
pub(crate) async fn run(config: Config, args: cli::Jobs) -> anyhow::Result<ExitCode> {
    let home = home::open(&config).await?;
    let mut titles = HashMap::new();
    loop {
        let jobs = home.db.jobs(None, None, SHOWN).await.context("listing jobs")?;
        let busy = jobs.iter().any(|job| matches!(job.state, State::Ready | State::Running));
        let mut lines = Vec::new();
        for job in &jobs {
            lines.push(line(job, &title(&home.db, &mut titles, job.recording_id).await));
        }
        if jobs.is_empty() {
            lines.push("no jobs yet".to_owned());
        }
        log::print(&lines.join("\n"));
        if !args.watch || !busy {
            let dead = jobs.iter().any(|job| job.state == State::Dead);
            return Ok(if dead { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
        tokio::time::sleep(LOOK).await;
        log::print("");
    }
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
    if let Some(error) = error {
        line.push_str("  — ");
        line.push_str(error);
    }
    line
}
