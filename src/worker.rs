//! The transcription worker: the role itself (`roomtape transcribe`), and its supervision as a child
//! process by `serve`, so that a crash inside the engine cannot cost a recording its sound.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cli;
use crate::config::Config;
use crate::serve::asked_to_end;
use crate::{home, weights};

/// First wait before a worker that died is started again; doubled each time.
const RESTART_FIRST: Duration = Duration::from_secs(1);
/// Longest such wait.
const RESTART_MAX: Duration = Duration::from_secs(60);
/// A worker that ran this long was healthy: the next wait is the first again.
const HEALTHY: Duration = Duration::from_secs(60);
/// How long a worker may take to give its leases back: about one window.
const GIVE_BACK: Duration = Duration::from_secs(15);

/// Works until asked to end.
///
/// # Errors
/// Weights that cannot be used, or a data folder that cannot be opened.
pub(crate) async fn run(config: Config, args: cli::Transcribe) -> anyhow::Result<()> {
    let home = home::open(&config).await?;
    let weights = weights::choose(&config.weights, &home.weights)?;
    let shutdown = CancellationToken::new();
    let ender = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = asked_to_end() => {}
            () = stdin_closed(), if args.end_with_stdin => {}
        }
        ender.cancel();
    });
    let worker = transcribe::Config {
        worker: format!("{}:{}", hostname(), std::process::id()),
        threads: config.threads,
        weights,
    };
    transcribe::run(home.db, home.store, worker, shutdown).await.context("transcribing")
}

/// Reads standard input to its end, on a thread of its own.
async fn stdin_closed() {
    let mut sink = [0_u8; 64];
    let mut stdin = tokio::io::stdin();
    while !matches!(stdin.read(&mut sink).await, Ok(0) | Err(_)) {}
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

/// Keeps one worker process running until `shutdown`.
pub(crate) async fn supervise(config: Config, shutdown: CancellationToken) {
    let mut wait = RESTART_FIRST;
    while !shutdown.is_cancelled() {
        let started = Instant::now();
        match start(&config) {
            Ok(child) => {
                let Some(status) = watch(child, &shutdown).await else { return };
                tracing::error!(%status, "the transcription worker ended; starting it again");
            }
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

/// Starts a worker on the same settings as this process.
///
/// # Errors
/// The program cannot be started.
pub(crate) fn start(config: &Config) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("finding the running program")?;
    let mut command = Command::new(&program);
    command.arg("transcribe").arg("--end-with-stdin");
    if let Some(file) = &config.file {
        command.arg("--config").arg(file);
    }
    command
        .arg("--data")
        .arg(&config.data)
        .args(["--http", &config.http.to_string()])
        .args(["--weights", &config.weights])
        .args(["--threads", &config.threads.to_string()])
        .stdin(Stdio::piped())
        .kill_on_drop(true);
    if let Some(token) = &config.operator_token {
        command.env("ROOMTAPE_OPERATOR_TOKEN", token);
    }
    // A Ctrl-C in the terminal is for us; we end the worker when the recordings are safe.
    #[cfg(unix)]
    command.process_group(0);
    command.spawn().with_context(|| format!("starting {}", program.display()))
}

/// Waits for the worker's end and gives its status, or `None` when it was ended by `shutdown`.
async fn watch(mut child: Child, shutdown: &CancellationToken) -> Option<ExitStatus> {
    tokio::select! {
        status = child.wait() => return status.ok(),
        () = shutdown.cancelled() => {}
    }
    end(child).await;
    None
}

/// Asks a worker to give its leases back, and kills it where it does not in time.
pub(crate) async fn end(mut child: Child) {
    drop(child.stdin.take());
    if tokio::time::timeout(GIVE_BACK, child.wait()).await.is_err() {
        tracing::warn!("the transcription worker did not end in time; its lease will run out");
        let _ = child.kill().await;
    }
}
