//! Shows how far batches are until they are done, and does their work meanwhile where nobody else
//! does.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use models::batch::{Progress, State};
use models::{Batch, Db};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::words;
use crate::config::Config;
use crate::{log, signals, worker};

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(500);
/// How often a line is said where there is no terminal to draw on.
const SAY: Duration = Duration::from_secs(30);
/// Progress of the last so many looks makes the rate.
const LATELY: usize = 240;

/// Shows how far `batches` are until nothing of them is left to do, or until asked to end: they go on
/// then. `own`: the setting of the weights with which this command does the work itself.
///
/// # Errors
/// The database cannot be used.
pub(super) async fn follow(
    config: &Config,
    db: &Db,
    mut batches: Vec<Batch>,
    own: Option<String>,
) -> anyhow::Result<ExitCode> {
    let ending = signals::heed()?;
    let worker = own.map(|setting| Own::start(config, setting));
    log::print(match worker {
        Some(_) => "this command transcribes by itself, until it is done; Ctrl-C ends it",
        None => "the workers there are transcribe; Ctrl-C ends this view only",
    });
    let mut view = View::new();
    let outcome = loop {
        let read = again(db, &mut batches).await;
        if read.is_err() || batches.iter().all(|batch| !goes_on(batch)) {
            break read.map(|()| true);
        }
        view.show(&batches);
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = ending.cancelled() => break Ok(false),
        }
    };
    view.end();
    let did_work = worker.is_some();
    if let Some(worker) = worker {
        worker.end().await;
    }
    if outcome? {
        return report(db, &batches).await;
    }
    for batch in &batches {
        let id = batch.id;
        log::print(&if did_work {
            format!("what is left of {id} waits: `roomtape reprocess watch {id}` goes on with it")
        } else {
            format!("{id} goes on: `roomtape reprocess watch {id}` shows it again")
        });
    }
    Ok(ExitCode::SUCCESS)
}

fn goes_on(batch: &Batch) -> bool {
    batch.state == State::Running
}

async fn again(db: &Db, batches: &mut [Batch]) -> anyhow::Result<()> {
    for batch in batches {
        *batch = db.batch(batch.id).await.context("looking at the batch")?;
    }
    Ok(())
}

/// Says how it came out.
async fn report(db: &Db, batches: &[Batch]) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for batch in batches {
        log::print(&words::line(batch));
        super::failures(db, batch).await?;
        if batch.state == State::Paused {
            log::print(&format!("`roomtape reprocess resume {}` goes on with it", batch.id));
        }
        if batch.progress.failed > 0 || batch.state == State::Cancelled {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// A worker of this command's own.
struct Own {
    stop: CancellationToken,
    supervisor: JoinHandle<()>,
}

impl Own {
    fn start(config: &Config, setting: String) -> Self {
        let mut config = config.clone();
        config.weights = setting;
        let stop = CancellationToken::new();
        let supervised = worker::supervise(config, worker::Duty::Batches, stop.clone());
        Self { stop, supervisor: tokio::spawn(supervised) }
    }

    async fn end(self) {
        self.stop.cancel();
        let _ = self.supervisor.await;
    }
}

/// What is drawn, or said from time to time.
struct View {
    bar: ProgressBar,
    said: Option<Instant>,
    /// When it was looked, and how much audio was done by then, in milliseconds.
    seen: Vec<(Instant, u64)>,
}

impl View {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{bar:30} {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        Self { bar: ProgressBar::new(0).with_style(style), said: None, seen: Vec::new() }
    }

    fn show(&mut self, batches: &[Batch]) {
        let now = Instant::now();
        let sum = sum(batches);
        self.seen.push((now, sum.done_ms));
        if self.seen.len() > LATELY {
            self.seen.remove(0);
        }
        let line = status(&sum, self.rate());
        if std::io::stderr().is_terminal() {
            self.bar.set_length(sum.total_ms.saturating_sub(sum.lost_ms));
            self.bar.set_position(sum.done_ms);
            self.bar.set_message(line);
        } else if self.said.is_none_or(|said| now.saturating_duration_since(said) >= SAY) {
            self.said = Some(now);
            log::print(&line);
        }
    }

    /// Media time done in the time that went by, as seen lately; `None`: nothing was done yet.
    fn rate(&self) -> Option<f64> {
        let ((begin, before), (end, after)) = (self.seen.first()?, self.seen.last()?);
        let (done, took) = (after.checked_sub(*before)?, end.saturating_duration_since(*begin));
        (done > 0 && !took.is_zero()).then(|| done as f64 / 1_000.0 / took.as_secs_f64())
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// All of them as one.
fn sum(batches: &[Batch]) -> Progress {
    batches.iter().fold(Progress::default(), |all, Batch { progress: one, .. }| Progress {
        ready: all.ready + one.ready,
        running: all.running + one.running,
        done: all.done + one.done,
        failed: all.failed + one.failed,
        cancelled: all.cancelled + one.cancelled,
        total_ms: all.total_ms + one.total_ms,
        done_ms: all.done_ms + one.done_ms,
        lost_ms: all.lost_ms + one.lost_ms,
    })
}

/// How far it is, how fast, and when it will be done.
fn status(at: &Progress, rate: Option<f64>) -> String {
    let mut line = words::progress(at);
    if let Some(rate) = rate {
        let left = words::length((at.left_ms() as f64 / rate) as u64);
        line.push_str(&format!("; {rate:.1} times as fast as it plays, {left} left"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_tells_when_it_will_be_done() {
        let at = Progress {
            ready: 4,
            running: 2,
            done: 3,
            failed: 1,
            total_ms: 4_000_000,
            done_ms: 1_300_000,
            lost_ms: 100_000,
            ..Progress::default()
        };
        let line = status(&at, Some(26.0));
        assert_eq!(
            line,
            "3 of 10 done (33 %), 2 running, 1 failed; 26.0 times as fast as it plays, 100 s left"
        );
        assert!(!status(&at, None).contains("left"));
    }
}
