//! Settings in two stages: raw values layered from defaults, file, environment and flags
//! ([`Loaded`]), then a validated [`Config`].

mod environment;
mod secret;
mod valid;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use figment::Figment;
use figment::providers::{Format as _, Serialized, Toml};
use serde::{Deserialize, Serialize};

use crate::cli::Options;
use environment::Environment;

pub(crate) use secret::{Address, Secret};
pub(crate) use valid::{Config, Place};

/// Settings as written, not yet checked. A text that is empty is not set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    data: PathBuf,
    database: Address,
    database_file: PathBuf,
    store: Address,
    store_key: Secret,
    store_key_file: PathBuf,
    store_secret: Secret,
    store_secret_file: PathBuf,
    backup_store: Address,
    backup_store_key: Secret,
    backup_store_key_file: PathBuf,
    backup_store_secret: Secret,
    backup_store_secret_file: PathBuf,
    presign_s: u32,
    http: SocketAddr,
    linger_s: u32,
    health: String,
    icecast: String,
    rtp_bind: IpAddr,
    disk_low_mb: u32,
    disk_high_mb: u32,
    disk_reserve_mb: u32,
    worker_name: String,
    weights: String,
    threads: usize,
    lease_s: u32,
    limit_live: u32,
    limit_transcribe: u32,
    allowed_hosts: Vec<String>,
    connections: u32,
    connections_per_address: u32,
    trusted_proxies: Vec<IpAddr>,
    operator_token: Secret,
    operator_token_file: PathBuf,
    receipt_key: Secret,
    receipt_key_file: PathBuf,
}

impl Raw {
    fn defaults() -> Self {
        Self {
            data: default_data(),
            database: Address::default(),
            database_file: PathBuf::new(),
            store: Address::default(),
            store_key: Secret::default(),
            store_key_file: PathBuf::new(),
            store_secret: Secret::default(),
            store_secret_file: PathBuf::new(),
            backup_store: Address::default(),
            backup_store_key: Secret::default(),
            backup_store_key_file: PathBuf::new(),
            backup_store_secret: Secret::default(),
            backup_store_secret_file: PathBuf::new(),
            presign_s: 0,
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, 8090)),
            linger_s: 0,
            health: "auto".into(),
            icecast: "127.0.0.1:8091".into(),
            rtp_bind: Ipv4Addr::LOCALHOST.into(),
            disk_low_mb: 0,
            disk_high_mb: 0,
            disk_reserve_mb: 0,
            worker_name: String::new(),
            weights: "auto".into(),
            threads: 0,
            lease_s: 30,
            limit_live: 0,
            limit_transcribe: 0,
            allowed_hosts: Vec::new(),
            connections: 16_384,
            connections_per_address: 256,
            trusted_proxies: Vec::new(),
            operator_token: Secret::default(),
            operator_token_file: PathBuf::new(),
            receipt_key: Secret::default(),
            receipt_key_file: PathBuf::new(),
        }
    }
}

/// `$XDG_DATA_HOME/roomtape`, else `~/.local/share/roomtape`, else `./roomtape-data`.
fn default_data() -> PathBuf {
    let home = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    home("XDG_DATA_HOME")
        .or_else(|| home("HOME").map(|home| home.join(".local/share")))
        .map_or_else(|| PathBuf::from("roomtape-data"), |dir| dir.join("roomtape"))
}

/// Layered settings that still know where each value came from.
pub(crate) struct Loaded {
    figment: Figment,
    raw: Raw,
}

/// Reads and layers the settings.
///
/// # Errors
/// A file that cannot be read, an unknown name, or a value of the wrong form; the message names the
/// setting and where it stands.
pub(crate) fn load(options: &Options) -> anyhow::Result<Loaded> {
    let file = config_file(options)?;
    let mut figment = Figment::from(Serialized::defaults(Raw::defaults()));
    if let Some(file) = &file {
        figment = figment.merge(Toml::file_exact(file));
    }
    extract(figment.merge(Environment).merge(Serialized::from(options, "default")))
}

/// Reads the settings of another installation: those in `place`, a configuration file or a data
/// folder (with or without a `roomtape.toml` of its own). Environment and flags are this one's.
///
/// # Errors
/// Those of [`load`]; `place` is neither.
pub(crate) fn load_other(place: &Path) -> anyhow::Result<Loaded> {
    let defaults = Figment::from(Serialized::defaults(Raw::defaults()));
    if place.is_file() {
        return extract(defaults.merge(Toml::file_exact(place)));
    }
    if !place.is_dir() {
        bail!("{} is neither a data folder nor a configuration file", place.display());
    }
    let mut figment = defaults.merge(Serialized::default("data", place));
    let file = place.join(FILE);
    if file.is_file() {
        figment = figment.merge(Toml::file_exact(file));
    }
    extract(figment)
}

fn extract(figment: Figment) -> anyhow::Result<Loaded> {
    let raw = figment.extract().context("reading the settings")?;
    Ok(Loaded { figment, raw })
}

/// The configuration file in a data folder.
const FILE: &str = "roomtape.toml";

fn config_file(options: &Options) -> anyhow::Result<Option<PathBuf>> {
    if let Some(file) = &options.config {
        if !file.is_file() {
            bail!("the configuration file {} is not there", file.display());
        }
        return Ok(Some(file.clone()));
    }
    let data = options
        .data
        .clone()
        .or_else(|| std::env::var_os("ROOMTAPE_DATA").map(PathBuf::from))
        .unwrap_or_else(default_data);
    Ok(Some(data.join(FILE)).filter(|file| file.is_file()))
}

impl Loaded {
    /// Every setting, its value and where it comes from.
    pub(crate) fn show(&self) -> String {
        let mut text = String::new();
        let values = serde_json::to_value(&self.raw).unwrap_or_default();
        for (name, value) in values.as_object().into_iter().flatten() {
            let from =
                self.figment.find_metadata(name).map_or("default", |metadata| {
                    match metadata.name.as_ref() {
                        name if name.contains("environment") => "environment",
                        name if name.contains("TOML") => "file",
                        name if name.contains("Options") => "flag",
                        _ => "default",
                    }
                });
            // Secrets write themselves out as no more than that they are set.
            let _ = writeln!(text, "{name} = {value}  # {from}");
        }
        text.truncate(text.trim_end().len());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(data: &Path) -> Options {
        Options { data: Some(data.to_owned()), ..Options::default() }
    }

    #[test]
    fn a_flag_wins_over_the_file_and_each_value_knows_its_source() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("roomtape.toml"), "threads = 3\nweights = \"base.en\"\n")
            .unwrap();
        let options = Options { threads: Some(5), ..options(dir.path()) };
        let loaded = load(&options).unwrap();
        let shown = loaded.show();
        assert!(shown.contains("threads = 5  # flag"), "{shown}");
        assert!(shown.contains("weights = \"base.en\"  # file"), "{shown}");
        assert!(shown.contains("icecast = \"127.0.0.1:8091\"  # default"), "{shown}");
        assert_eq!(loaded.validate().unwrap().threads, 5);
    }

    #[test]
    fn an_unknown_setting_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("roomtape.toml"), "thread = 3\n").unwrap();
        let error = load(&options(dir.path())).err().map(|e| format!("{e:#}")).unwrap_or_default();
        assert!(error.contains("thread"), "{error}");
    }

    #[test]
    fn an_open_server_without_a_token_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let open = Options { http: Some(([0, 0, 0, 0], 80).into()), ..options(dir.path()) };
        let config = load(&open).unwrap().validate().unwrap();
        let error = config.check_pages().unwrap_err().to_string();
        assert!(error.contains("operator_token"), "{error}");
    }

    #[test]
    fn icecast_can_be_off() {
        let dir = tempfile::tempdir().unwrap();
        let off = Options { icecast: Some("off".into()), ..options(dir.path()) };
        assert_eq!(load(&off).unwrap().validate().unwrap().icecast, None);
        let bad = Options { icecast: Some("nowhere".into()), ..options(dir.path()) };
        assert!(load(&bad).unwrap().validate().is_err());
    }
}
