//! How a process is asked to end: Ctrl-C or SIGTERM, once to end in order, twice to end at once.

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

/// Heeds the signals from now on; the token is cancelled by the first. The second ends the process
/// there and then, as if it had crashed: the next start puts right what was left.
///
/// # Errors
/// The system refuses to tell us of signals.
pub(crate) fn heed() -> anyhow::Result<CancellationToken> {
    let ending = CancellationToken::new();
    let mut signals = Signals::new().context("listening for signals")?;
    let first = ending.clone();
    tokio::spawn(async move {
        let name = signals.next().await;
        tracing::info!(signal = name, "asked to end; a second signal ends at once");
        first.cancel();
        let name = signals.next().await;
        tracing::warn!(signal = name, "asked again: ending at once");
        std::process::exit(130);
    });
    Ok(ending)
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (interrupt, terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}
