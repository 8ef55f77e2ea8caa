//! Settings from the environment.

use figment::providers::Env;
use figment::value::{Dict, Map, Value};
use figment::{Error, Metadata, Profile, Provider};

/// What begins every variable of ours.
pub(crate) const PREFIX: &str = "ROOMTAPE_";

/// Variables that begin so and are not settings.
const NOT_SETTINGS: [&str; 4] = ["config", "log", "playwright", "garage"];

/// Settings that are not texts: their variables are read as numbers and lists.
const NO_TEXT: [&str; 13] = [
    "threads",
    "lease_s",
    "limit_live",
    "limit_transcribe",
    "presign_s",
    "linger_s",
    "disk_low_mb",
    "disk_high_mb",
    "disk_reserve_mb",
    "allowed_hosts",
    "connections",
    "connections_per_address",
    "trusted_proxies",
];

/// `ROOMTAPE_<NAME>` for every setting. A text is taken as it stands, so that a password of digits
/// remains a text.
pub(super) struct Environment;

impl Environment {
    fn variables() -> Env {
        Env::prefixed(PREFIX).filter(|name| {
            let name = name.as_str().to_ascii_lowercase();
            !NOT_SETTINGS.contains(&name.as_str()) && !name.starts_with("test_")
        })
    }
}

impl Provider for Environment {
    fn metadata(&self) -> Metadata {
        Self::variables().metadata()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let mut settings = Dict::new();
        for (name, text) in Self::variables().iter() {
            let name = name.as_str().to_owned();
            let value = if NO_TEXT.contains(&name.as_str()) {
                text.parse().unwrap_or_else(|never| match never {})
            } else {
                Value::from(text)
            };
            settings.insert(name, value);
        }
        Ok(Profile::Default.collect(settings))
    }
}
