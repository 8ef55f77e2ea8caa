//! The transcription worker as a child process, started and supervised by `serve`, so that a crash
//! inside the engine cannot cost a recording its sound.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::log;

/// First wait before a worker that died is started again; doubled each time.
const RESTART_FIRST: Duration = Duration::from_secs(1);
/// Longest such wait.
const RESTART_MAX: Duration = Duration::from_secs(60);
/// A worker that ran this long was healthy: the next wait is the first again.
const HEALTHY: Duration = Duration::from_secs(60);
/// How long a worker may take to give its leases back: about one window.
const GIVE_BACK: Duration = Duration::from_secs(15);

/// What a worker process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duty {
    /// Whatever there is to do.
    Everything,
    /// What asks for its weights.
    Batches,
}

/// Keeps one worker process running until `shutdown`.
pub(crate) async fn supervise(config: Config, duty: Duty, shutdown: CancellationToken) {
    let mut wait = RESTART_FIRST;
    while !shutdown.is_cancelled() {
        let started = Instant::now();
        match start(&config, duty) {
            Ok(mut worker) => tokio::select! {
                ended = worker.ended() => tracing::error!(
                    status = ?ended.ok(),
                    "the transcription worker ended; starting it again"
                ),
                () = shutdown.cancelled() => return worker.end().await,
            },
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "the transcription worker did not start; trying again"
            ),
        }
        wait = if started.elapsed() >= HEALTHY { RESTART_FIRST } else { wait };
        tokio::select! {
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(RESTART_MAX),
            () = shutdown.cancelled() => return,
        }
    }
}

/// A worker process.
pub(crate) struct Worker {
    child: Child,
    /// Closed, it tells the worker to end. Kept apart because waiting for a child closes its own.
    stdin: Option<ChildStdin>,
}

/// Starts a worker on the same settings as this process.
///
/// # Errors
/// The program cannot be started.
pub(crate) fn start(config: &Config, duty: Duty) -> anyhow::Result<Worker> {
    let program = std::env::current_exe().context("finding the running program")?;
    let mut command = Command::new(&program);
    command.arg("transcribe").arg("--end-with-stdin");
    if duty == Duty::Batches {
        command.arg("--only-batches");
    }
    command
        .envs(config.environment())
        .env("ROOMTAPE_LOG", log::filter())
        .stdin(Stdio::piped())
        .kill_on_drop(true);
    // A Ctrl-C in the terminal is for us; we end the worker when the recordings are safe.
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
    let stdin = child.stdin.take();
    Ok(Worker { child, stdin })
}

impl Worker {
    /// Waits for its end by itself.
    ///
    /// # Errors
    /// The system does not know the process.
    pub(crate) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Asks it to give its leases back, and kills it where it does not in time.
    pub(crate) async fn end(mut self) {
        drop(self.stdin.take());
        if tokio::time::timeout(GIVE_BACK, self.child.wait()).await.is_err() {
            tracing::warn!("the transcription worker did not end in time; its lease will run out");
            let _ = self.child.kill().await;
        }
    }
}
