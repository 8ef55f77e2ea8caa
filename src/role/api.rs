//! `roomtape api`: pages and API. It keeps nothing on this machine.

use std::net::SocketAddr;

use api::Pulse;
use models::doors::Doors;
use tokio_util::sync::CancellationToken;

use super::Role;
use crate::config::Config;
use crate::home::{self, Home};
use crate::{log, signals};

/// Answers until the process is asked to end; then goes on for as long as balancers are given to
/// notice, and finishes the answers under way.
///
/// # Errors
/// What kept it from starting.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    let ending = signals::heed()?;
    let home = home::open(&config).await?;
    let pulse = Pulse::default();
    let (mut role, http) = start(&config, &home, pulse.clone(), None).await?;
    log::print(&format!("roomtape shows http://{http}/"));
    let outcome = super::until_the_end(&mut role, &ending, &pulse).await;
    if outcome.is_ok() {
        tokio::time::sleep(config.linger).await;
    }
    role.end().await?;
    outcome
}

/// Starts the role; returns where it answers.
///
/// # Errors
/// An address that cannot be bound, or that would let anyone end recordings.
pub(crate) async fn start(
    config: &Config,
    home: &Home,
    pulse: Pulse,
    metrics: Option<::api::Metrics>,
) -> anyhow::Result<(Role, SocketAddr)> {
    config.check_pages()?;
    let (listener, http) = super::listen("http", config.http).await?;
    let router = ::api::router(
        home.db.clone(),
        home.store.clone(),
        ::api::Config {
            operator_token: config.operator_token.as_ref().map(|token| token.expose().to_owned()),
            allowed_hosts: config.allowed_hosts.clone(),
            presign: config.presign,
            pulse,
            metrics,
        },
    );
    let stop = CancellationToken::new();
    let work = ::api::serve(listener, router, Doors::new(config.doors.clone()), stop.clone());
    let role = Role::new("api", stop, async move {
        work.await;
        Ok(())
    });
    Ok((role, http))
}
