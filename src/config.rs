//! Settings in two stages: raw values layered from defaults, file, environment and flags
//! ([`Loaded`]), then a validated [`Config`].

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use serde::{Deserialize, Serialize};

use crate::cli::Options;

/// Environment variables that begin with our prefix and are not settings.
const NOT_SETTINGS: [&str; 3] = ["config", "log", "playwright"];

/// Settings as written, not yet checked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    data: PathBuf,
    http: SocketAddr,
    icecast: String,
    rtp_bind: IpAddr,
    weights: String,
    threads: usize,
    allowed_hosts: Vec<String>,
    operator_token: String,
}

impl Raw {
    fn defaults() -> Self {
        Self {
            data: default_data(),
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, 8090)),
            icecast: "127.0.0.1:8091".into(),
            rtp_bind: Ipv4Addr::LOCALHOST.into(),
            weights: "auto".into(),
            threads: 0,
            allowed_hosts: Vec::new(),
            operator_token: String::new(),
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

/// Settings that have been checked.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Folder of everything kept.
    pub(crate) data: PathBuf,
    /// Configuration file that was read, for handing on to the worker.
    pub(crate) file: Option<PathBuf>,
    /// Pages and API.
    pub(crate) http: SocketAddr,
    /// Icecast sources; `None`: off.
    pub(crate) icecast: Option<SocketAddr>,
    /// Where rooms' RTP ports are opened.
    pub(crate) rtp_bind: IpAddr,
    /// Weights by name, file or `auto`.
    pub(crate) weights: String,
    /// Threads for recognition, at least one.
    pub(crate) threads: usize,
    /// Host names beside localhost.
    pub(crate) allowed_hosts: Vec<String>,
    /// What an operator must show; `None`: whoever reaches the server is its operator.
    pub(crate) operator_token: Option<String>,
}

/// Layered settings that still know where each value came from.
pub(crate) struct Loaded {
    figment: Figment,
    raw: Raw,
    file: Option<PathBuf>,
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
    let figment = figment
        .merge(Env::prefixed("ROOMTAPE_").ignore(&NOT_SETTINGS))
        .merge(Serialized::from(options, "default"));
    let raw = figment.extract().context("reading the settings")?;
    Ok(Loaded { figment, raw, file })
}

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
    Ok(Some(data.join("roomtape.toml")).filter(|file| file.is_file()))
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
            let shown = if name == "operator_token" && value != "" {
                "(set)".to_owned()
            } else {
                value.to_string()
            };
            let _ = writeln!(text, "{name} = {shown}  # {from}");
        }
        text.truncate(text.trim_end().len());
        text
    }

    /// Checks the settings against each other and the machine.
    ///
    /// # Errors
    /// One sentence that names the setting.
    pub(crate) fn validate(self) -> anyhow::Result<Config> {
        let Self { raw, file, .. } = self;
        let icecast = match raw.icecast.as_str() {
            "off" => None,
            addr => Some(addr.parse().with_context(|| {
                format!(
                    "icecast = {addr:?} is neither an address such as 127.0.0.1:8091 nor \"off\""
                )
            })?),
        };
        let operator_token = Some(raw.operator_token).filter(|token| !token.is_empty());
        if operator_token.as_ref().is_some_and(|token| token.len() < 16) {
            bail!("operator_token must have at least 16 characters");
        }
        if operator_token.is_none() && !raw.http.ip().is_loopback() {
            bail!(
                "http = {} can be reached from other machines: set operator_token too, or whoever \
                 reaches it could end recordings",
                raw.http
            );
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Config {
            data: absolute(&raw.data)?,
            file,
            http: raw.http,
            icecast,
            rtp_bind: raw.rtp_bind,
            weights: raw.weights,
            threads: if raw.threads == 0 { cores } else { raw.threads },
            allowed_hosts: raw.allowed_hosts,
            operator_token,
        })
    }
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("data = {}", path.display()))
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
        let error = load(&open).unwrap().validate().unwrap_err().to_string();
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
