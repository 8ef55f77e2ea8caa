//! `roomtape ingest`: takes the sound of rooms. On this machine it keeps only what is being written.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use api::{Probe, Pulse};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Role;
use crate::config::Config;
use crate::home::{self, Home};
use crate::{log, receipts, signals};

/// Where it tells how it is, unless told otherwise.
const HEALTH: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8092);

/// How often what lies in the backup store is moved to the first.
const DRAIN_BACKUP: Duration = Duration::from_secs(30);

/// Records until the process is asked to end; then finishes what is being written and hands its
/// recordings over.
///
/// # Errors
/// What kept it from starting or from keeping what it held.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    let ending = signals::heed()?;
    let _lock = home::lock(&config.data)?;
    let home = home::open(&config).await?;
    let pulse = Pulse::starting();
    let probe = Probe::without_store(home.db.clone(), home.store.clone(), pulse.clone());
    super::show_health(&config, HEALTH, probe, Some(metrics(&home))).await?;
    let (mut role, icecast) = start(&config, &home).await?;
    pulse.ready();
    log::print("roomtape records");
    say(icecast);
    let outcome = super::until_the_end(&mut role, &ending, &pulse).await;
    role.end().await?;
    outcome
}

/// What is counted, for whoever asks.
pub(crate) fn metrics(home: &Home) -> api::Metrics {
    let meters = home.meters.clone();
    Arc::new(move || meters.text())
}

/// Says where Icecast sources go.
pub(crate) fn say(icecast: Option<SocketAddr>) {
    if let Some(icecast) = icecast {
        log::print(&format!("Icecast sources: icecast://source:KEY@{icecast}/ROOM"));
    }
}

/// Starts the role; returns once everything listens, and where Icecast sources go.
///
/// # Errors
/// An address that cannot be bound, or a spool that cannot be looked through.
pub(crate) async fn start(
    config: &Config,
    home: &Home,
) -> anyhow::Result<(Role, Option<SocketAddr>)> {
    let (bound, is_bound) = oneshot::channel();
    let settings = ::ingest::Config {
        spool_dir: home.spool.clone(),
        worker_name: config.worker_name.clone(),
        rtp_bind: config.rtp_bind,
        icecast_listen: config.icecast,
        marks: config.marks,
        meters: home.meters.clone(),
        doors: config.doors.clone(),
    };
    if config.backup_store.is_some() {
        let store = home.store.clone();
        tokio::spawn(async move { store.keep_draining(DRAIN_BACKUP).await });
    }
    let (db, signer) = (home.db.clone(), config.receipt_key.clone());
    tokio::spawn(receipts::keep_making(db, signer));
    let stop = CancellationToken::new();
    let work = ::ingest::run(home.db.clone(), home.store.clone(), settings, bound, stop.clone());
    let mut role = Role::new("ingest", stop, async move { work.await.map_err(named) });
    // Dropped without an answer, it failed: the role says how.
    match is_bound.await {
        Ok(bound) => Ok((role, bound.icecast)),
        Err(_) => Err(role.failed().await),
    }
}

/// The error with the setting that is to blame.
fn named(error: ::ingest::Error) -> anyhow::Error {
    let setting = match &error {
        ::ingest::Error::Icecast { .. } => "icecast",
        ::ingest::Error::Spool { .. } => "data",
    };
    anyhow::Error::from(error).context(format!("the setting {setting} cannot be used"))
}
