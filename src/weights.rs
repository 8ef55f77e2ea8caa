//! `roomtape weights`, and the choice of the weights to work with.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use models::{Db, job};
use transcribe::weights::catalogue::{self, CATALOGUE, Entry};
use transcribe::weights::{Weights, fetch, ggml};

use crate::cli::{self, WeightsAction};
use crate::config::Config;
use crate::{home, log};

/// Lists, fetches or checks weights.
///
/// # Errors
/// An unknown name, or weights that could not be brought.
pub(crate) async fn run(config: Config, args: cli::Weights) -> anyhow::Result<ExitCode> {
    let dir = home::weights_dir(&config.data);
    match args.action {
        WeightsAction::List => list(&dir),
        WeightsAction::Pull { name, from, mirror } => {
            let entry = entry(&name)?;
            let bar = ProgressBar::new(entry.bytes).with_style(style());
            let step = |here, _| bar.set_position(here);
            let path = match from {
                Some(from) => fetch::take(entry, &from, &dir, step),
                None => {
                    let source = mirror.unwrap_or_else(|| catalogue::SOURCE.to_owned());
                    let source = format!("{}/", source.trim_end_matches('/'));
                    fetch::pull(entry, &source, &dir, step).await
                }
            };
            bar.finish_and_clear();
            let path = path.with_context(|| format!("bringing the weights {name}"))?;
            log::print(&format!("{name} is here and whole: {}", path.display()));
        }
        WeightsAction::Check { names } => return check(&dir, &names),
    }
    Ok(ExitCode::SUCCESS)
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes} {bytes_per_sec} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn list(dir: &Path) {
    log::print("name                  size      here  licence  about");
    for entry in CATALOGUE {
        let here = if dir.join(entry.file_name()).is_file() { "yes" } else { "-" };
        log::print(&format!(
            "{:<20}  {:>5} MB  {here:<4}  {:<7}  {}",
            entry.name,
            entry.bytes / 1_000_000,
            entry.licence,
            entry.about
        ));
    }
    log::print(
        "roomtape-demo.en         12 MB  yes   own      242 words of the demo, nothing else",
    );
}

fn check(dir: &Path, names: &[String]) -> anyhow::Result<ExitCode> {
    let entries: Vec<&Entry> = if names.is_empty() {
        CATALOGUE.iter().filter(|entry| dir.join(entry.file_name()).is_file()).collect()
    } else {
        names.iter().map(|name| entry(name)).collect::<Result<_, _>>()?
    };
    if entries.is_empty() {
        log::print("no weights here: `roomtape weights pull base.en` brings some");
    }
    let mut code = ExitCode::SUCCESS;
    for entry in entries {
        match fetch::check(entry, &dir.join(entry.file_name())) {
            Ok(()) => log::print(&format!("{}: whole", entry.name)),
            Err(error) => {
                log::failure(&anyhow::Error::from(error).context(entry.name));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

fn entry(name: &str) -> anyhow::Result<&'static Entry> {
    catalogue::find(name).with_context(|| {
        let names: Vec<_> = CATALOGUE.iter().map(|entry| entry.name).collect();
        format!("no weights are called {name:?}; there are {}", names.join(", "))
    })
}

/// The weights that `setting` (`auto`, a name, or a file) means, checked.
///
/// # Errors
/// They are not here, or not whole; the message says what to do.
pub(crate) fn choose(setting: &str, dir: &Path) -> anyhow::Result<Weights> {
    let at = |entry: &Entry| dir.join(entry.file_name());
    match setting {
        "auto" => match CATALOGUE.iter().rev().find(|entry| at(entry).is_file()) {
            Some(entry) => published(entry, at(entry)),
            None => Ok(Weights::demo()),
        },
        "demo" | "roomtape-demo.en" => Ok(Weights::demo()),
        name if catalogue::find(name).is_some() => {
            let entry = entry(name)?;
            if !at(entry).is_file() {
                bail!("the weights {name} are not here: run `roomtape weights pull {name}`");
            }
            published(entry, at(entry))
        }
        file if Path::new(file).is_file() => own(Path::new(file)),
        other => {
            bail!("weights = {other:?} is neither a file nor a name in `roomtape weights list`")
        }
    }
}

/// Weights that work may ask for, here or elsewhere.
pub(crate) struct Asked {
    /// What they are.
    pub(crate) weights: job::Weights,
    /// The setting under which they are here; `None`: they are not.
    pub(crate) here: Option<String>,
}

/// The weights that `setting` means: those that are here, in the catalogue, or that some worker has
/// had.
///
/// # Errors
/// Nobody knows them, or what is here is not whole.
pub(crate) async fn asked(setting: &str, dir: &Path, db: &Db) -> anyhow::Result<Asked> {
    let entry = catalogue::find(setting);
    if let Some(entry) = entry.filter(|entry| !dir.join(entry.file_name()).is_file()) {
        let (name, sha256) = (entry.name.to_owned(), entry.sha256.to_owned());
        return Ok(Asked { weights: job::Weights { name, sha256 }, here: None });
    }
    match choose(setting, dir) {
        Ok(weights) => {
            let weights = job::Weights { name: weights.name, sha256: weights.sha256 };
            Ok(Asked { weights, here: Some(setting.to_owned()) })
        }
        Err(unknown) => {
            let workers = db.transcribers().await.context("looking at the workers")?;
            let known = workers.into_iter().map(|worker| worker.made_by);
            let found = known.into_iter().find(|made_by| made_by.weights == setting);
            let Some(found) = found else { return Err(unknown) };
            let (name, sha256) = (found.weights, found.weights_sha256);
            Ok(Asked { weights: job::Weights { name, sha256 }, here: None })
        }
    }
}

/// The setting under which these weights are here: the configured one, or their own name.
pub(crate) fn setting_of(weights: &job::Weights, configured: &str, dir: &Path) -> Option<String> {
    let is_it =
        |setting: &&str| choose(setting, dir).is_ok_and(|chosen| chosen.sha256 == weights.sha256);
    [configured, &weights.name].into_iter().find(is_it).map(ToOwned::to_owned)
}

fn published(entry: &'static Entry, path: PathBuf) -> anyhow::Result<Weights> {
    fetch::check(entry, &path).with_context(|| {
        format!("checking the weights (run `roomtape weights pull {}` again)", entry.name)
    })?;
    Ok(Weights::file(entry.name, entry.sha256, path))
}

/// Weights that an operator made: no digest is known, so the file is walked from end to end.
fn own(path: &Path) -> anyhow::Result<Weights> {
    ggml::check(path).with_context(|| format!("weights = {}", path.display()))?;
    let digest = fetch::sha256(path)?;
    let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
    Ok(Weights::file(&name, &digest, path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_here_or_not_whole_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        assert!(choose("auto", dir.path()).is_ok());
        let missing = choose("base.en", dir.path()).unwrap_err().to_string();
        assert!(missing.contains("weights pull base.en"), "{missing}");
        let half = dir.path().join("half.bin");
        let demo: &[u8] = include_bytes!("../transcribe/weights/demo/roomtape-demo.en-q5_0.bin");
        std::fs::write(&half, &demo[..demo.len() / 2]).unwrap();
        let cut = format!("{:#}", choose(&half.display().to_string(), dir.path()).unwrap_err());
        assert!(cut.contains("half.bin") && cut.contains("cut off"), "{cut}");
        std::fs::write(&half, demo).unwrap();
        assert!(choose(&half.display().to_string(), dir.path()).is_ok());
    }
}
