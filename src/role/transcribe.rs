//! `roomtape transcribe`: writes words down. On this machine it keeps only weights.
//!
//! Under `serve` it is a child process of the server. By itself it is one process, engine and signs
//! of life together: where the engine crashes, the process is gone, whoever started it (systemd, a
//! container runtime) sees that and starts it again, and its jobs go to others when their leases run
//! out. A supervisor of our own between the two would only hide the crash.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use api::{Probe, Pulse};
use tokio_util::sync::CancellationToken;

use super::Role;
use crate::config::Config;
use crate::home::{self, Home};
use crate::{cli, log, signals, weights};

/// Where it tells how it is, unless told otherwise.
const HEALTH: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8093);

/// Works until asked to end; then gives its jobs back.
///
/// # Errors
/// What kept it from starting, or an engine that broke.
pub(crate) async fn run(config: Config, args: cli::Transcribe) -> anyhow::Result<()> {
    let ending = signals::heed()?;
    let home = home::open(&config).await?;
    let weights = weights::choose(&config.weights, &home.weights)?;
    let pulse = Pulse::starting();
    if args.end_with_stdin {
        tokio::spawn(end_with_stdin(ending.clone()));
    } else {
        let probe = Probe::new(home.db.clone(), home.store.clone(), pulse.clone());
        super::show_health(&config, HEALTH, probe, None).await?;
    }
    let mut role = start(&config, home, weights, args.only_batches);
    pulse.ready();
    if !args.end_with_stdin {
        log::print("roomtape transcribes");
    }
    let outcome = super::until_the_end(&mut role, &ending, &pulse).await;
    role.end().await?;
    outcome
}

fn start(
    config: &Config,
    home: Home,
    weights: transcribe::weights::Weights,
    only_asked: bool,
) -> Role {
    let worker = transcribe::Config {
        worker: format!("{}:{}", config.worker_name, std::process::id()),
        threads: config.threads,
        weights,
        lease: config.lease,
        limits: config.limits,
        only_asked,
    };
    let stop = CancellationToken::new();
    let work = transcribe::run(home.db, home.store, worker, stop.clone());
    Role::new("transcribe", stop, async move { work.await.context("transcribing") })
}

/// Waits until standard input has been read to its end: on a thread of its own, which a runtime
/// that ends must not wait for.
async fn end_with_stdin(ending: CancellationToken) {
    let (closed, is_closed) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut sink = [0_u8; 64];
        let mut stdin = std::io::stdin();
        while !matches!(stdin.read(&mut sink), Ok(0) | Err(_)) {}
        let _ = closed.send(());
    });
    let _ = is_closed.await;
    ending.cancel();
}
