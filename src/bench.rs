//! `roomtape bench`: how fast this machine is.

use anyhow::Context as _;
use transcribe::engine::{self, Model};
use transcribe::{Trial, Tuning};

use crate::cli::BenchAction;
use crate::config::Config;
use crate::{home, log, weights};

/// Measures, and prints what it found.
///
/// # Errors
/// The weights cannot be used, or the engine failed.
pub(crate) async fn run(config: Config, action: BenchAction) -> anyhow::Result<()> {
    match action {
        BenchAction::Transcribe => {
            let measuring = tokio::task::spawn_blocking(move || transcription(&config));
            measuring.await.context("measuring")?
        }
    }
}

/// How many windows at once, with how many threads each, are read fastest.
fn transcription(config: &Config) -> anyhow::Result<()> {
    let weights = weights::choose(&config.weights, &home::weights_dir(&config.data))?;
    let name = weights.name.clone();
    let model = Model::open(&weights)?;
    for device in engine::devices() {
        log::print(&format!("Found {device}"));
    }
    log::print(&format!("{}, weights {name}, {} threads", model.name(), config.threads));
    log::print("windows at once   threads each   times real time   (slower ways are broken off)");
    let row = |Trial { windows, threads, speed }| {
        log::print(&format!("{windows:>15}   {threads:>12}   {speed:>15.1}"));
    };
    let Tuning { windows, threads, trials } = transcribe::tune(&model, config.threads, row)?;
    if trials.is_empty() {
        log::print("nothing was tried: one thread only, or a model that is slow here");
    }
    log::print(&format!(
        "Finished recordings are read {windows} {} at once, with {threads} {} each.",
        if windows == 1 { "window" } else { "windows" },
        if threads == 1 { "thread" } else { "threads" },
    ));
    Ok(())
}
