//! Settings that have been checked.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use archive::receipt::sign::Signer;
use ingest::Marks;
use models::doors;
use models::job::Limits;

use super::environment::PREFIX;
use super::secret::{self, Address, Secret};
use super::{Loaded, Raw};
use crate::descriptors;

/// Longest time for which S3 signs an address: seven days.
const PRESIGN_MAX_S: u32 = 7 * 24 * 3600;
/// Fewest characters of an operator's token.
const TOKEN_MIN: usize = 16;

/// Settings that have been checked.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Folder of everything that is kept on this machine.
    pub(crate) data: PathBuf,
    /// Address of the database.
    pub(crate) database: Address,
    /// Where objects are kept.
    pub(crate) store: Place,
    /// Where they are kept while `store` is away.
    pub(crate) backup_store: Option<Place>,
    /// How long addresses of objects are valid that listeners are given; `None`: they are given
    /// none.
    pub(crate) presign: Option<Duration>,
    /// Pages and API.
    pub(crate) http: SocketAddr,
    /// How long the API goes on answering once it is to end.
    pub(crate) linger: Duration,
    /// Icecast sources; `None`: off.
    pub(crate) icecast: Option<SocketAddr>,
    /// Where rooms' RTP ports are opened.
    pub(crate) rtp_bind: IpAddr,
    /// At how much free space of the spool's disk what is refused.
    pub(crate) marks: Marks,
    /// What this machine's processes are called.
    pub(crate) worker_name: String,
    /// Weights by name, file or `auto`.
    pub(crate) weights: String,
    /// Threads for recognition, at least one.
    pub(crate) threads: usize,
    /// How long a worker may give no sign of life before its jobs are others'.
    pub(crate) lease: Duration,
    /// How many jobs of a kind may run at once in the whole installation.
    pub(crate) limits: Limits,
    /// Who may be connected at once, to each of the addresses that are open to strangers.
    pub(crate) doors: doors::Limits,
    /// Host names beside localhost.
    pub(crate) allowed_hosts: Vec<String>,
    /// What an operator must show; `None`: whoever reaches the server is its operator.
    pub(crate) operator_token: Option<Secret>,
    /// What receipts are signed with; `None`: they are not.
    pub(crate) receipt_key: Option<Signer>,
    health: Health,
}

/// Where objects are kept, and with which credentials.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The setting's name, for errors.
    pub(crate) setting: &'static str,
    /// Its address; `None`: the folder `objects` in the data folder.
    pub(crate) url: Option<Address>,
    /// Access key.
    pub(crate) key: Option<Secret>,
    /// Its secret.
    pub(crate) secret: Option<Secret>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Usual,
    Off,
    At(SocketAddr),
}

impl Config {
    /// Where a role without pages tells how it is, whose usual address is `usual`; `None`: nowhere.
    pub(crate) fn health(&self, usual: SocketAddr) -> Option<SocketAddr> {
        match self.health {
            Health::Usual => Some(usual),
            Health::Off => None,
            Health::At(address) => Some(address),
        }
    }

    /// Keeps database and objects in the data folder, whatever the settings say.
    pub(crate) fn keep_all_in_data(&mut self) {
        self.database = in_data(&self.data);
        self.store = Place { setting: "store", url: None, key: None, secret: None };
        self.backup_store = None;
    }

    /// Refuses to show pages to other machines whose every visitor would be an operator.
    ///
    /// # Errors
    /// One sentence that names the setting.
    pub(crate) fn check_pages(&self) -> anyhow::Result<()> {
        if self.operator_token.is_none() && !self.http.ip().is_loopback() {
            bail!(
                "http = {} can be reached from other machines: set operator_token too, or whoever \
                 reaches it could end recordings",
                self.http
            );
        }
        Ok(())
    }

    /// These settings as a child process' environment: secrets may not stand in its arguments.
    /// Each is named, so that no file says otherwise.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let secret = |secret: &Option<Secret>| {
            secret.as_ref().map(|secret| secret.expose().to_owned()).unwrap_or_default()
        };
        let url = |url: &Option<Address>| {
            url.as_ref().map(|url| url.expose().to_owned()).unwrap_or_default()
        };
        let mut settings = vec![
            ("data", self.data.display().to_string()),
            ("database", self.database.expose().to_owned()),
            ("http", self.http.to_string()),
            ("worker_name", self.worker_name.clone()),
            ("weights", self.weights.clone()),
            ("threads", self.threads.to_string()),
            ("lease_s", self.lease.as_secs().to_string()),
            ("limit_live", self.limits.live.unwrap_or(0).to_string()),
            ("limit_transcribe", self.limits.transcribe.unwrap_or(0).to_string()),
            ("operator_token", secret(&self.operator_token)),
            ("store", url(&self.store.url)),
            ("store_key", secret(&self.store.key)),
            ("store_secret", secret(&self.store.secret)),
        ];
        let backup = self.backup_store.as_ref();
        settings.extend([
            ("backup_store", backup.map(|place| url(&place.url)).unwrap_or_default()),
            ("backup_store_key", backup.map(|place| secret(&place.key)).unwrap_or_default()),
            ("backup_store_secret", backup.map(|place| secret(&place.secret)).unwrap_or_default()),
        ]);
        let by_file = [
            "database",
            "operator_token",
            "store_key",
            "store_secret",
            "backup_store_key",
            "backup_store_secret",
        ];
        let values = settings.into_iter().map(|(name, value)| (variable(name), value));
        let files = by_file.map(|name| (variable(&format!("{name}_file")), String::new()));
        values.chain(files).collect()
    }
}

fn variable(setting: &str) -> String {
    format!("{PREFIX}{}", setting.to_ascii_uppercase())
}

impl Loaded {
    /// Checks the settings against each other and the machine.
    ///
    /// # Errors
    /// One sentence that names the setting.
    pub(crate) fn validate(self) -> anyhow::Result<Config> {
        let raw = self.raw;
        let data = absolute(&raw.data)?;
        let (store, backup_store) = places(&raw)?;
        let marks = marks(&raw)?;
        let database =
            secret::or_file("database", raw.database.expose(), &raw.database_file)?.into();
        let database = Address::set(database).unwrap_or_else(|| in_data(&data));
        let token = secret::secret("operator_token", raw.operator_token, &raw.operator_token_file)?;
        if token.as_ref().is_some_and(|token| token.expose().chars().count() < TOKEN_MIN) {
            bail!("operator_token must have at least {TOKEN_MIN} characters");
        }
        let receipt_key = secret::secret("receipt_key", raw.receipt_key, &raw.receipt_key_file)?;
        let receipt_key = receipt_key.map(|key| Signer::from_pem(key.expose())).transpose();
        if raw.presign_s > PRESIGN_MAX_S {
            bail!("presign_s = {} is more than seven days ({PRESIGN_MAX_S})", raw.presign_s);
        }
        if raw.lease_s == 0 {
            bail!("lease_s must be 1 at least: it is how long a worker may give no sign of life");
        }
        let places = descriptors::places(raw.connections)?;
        let limit = |most: u32| (most > 0).then_some(most);
        let presign = Duration::from_secs(raw.presign_s.into());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Config {
            data,
            database,
            store,
            backup_store,
            presign: (!presign.is_zero()).then_some(presign),
            http: raw.http,
            linger: Duration::from_secs(raw.linger_s.into()),
            icecast: address_or_off("icecast", &raw.icecast, 8091)?,
            rtp_bind: raw.rtp_bind,
            marks,
            worker_name: worker_name(raw.worker_name)?,
            weights: raw.weights,
            threads: if raw.threads == 0 { cores } else { raw.threads },
            lease: Duration::from_secs(raw.lease_s.into()),
            limits: Limits { live: limit(raw.limit_live), transcribe: limit(raw.limit_transcribe) },
            doors: doors::Limits {
                per_address: limit(raw.connections_per_address).map(|most| most as usize),
                trusted: raw.trusted_proxies,
                ..doors::Limits::of(places)
            },
            allowed_hosts: raw.allowed_hosts,
            operator_token: token,
            receipt_key: receipt_key.context("receipt_key cannot be used")?,
            health: match raw.health.as_str() {
                "auto" => Health::Usual,
                given => address_or_off("health", given, 8092)?.map_or(Health::Off, Health::At),
            },
        })
    }
}

/// The database in a data folder.
fn in_data(data: &Path) -> Address {
    Address::from(format!("sqlite:{}", data.join("roomtape.db").display()))
}

fn places(raw: &Raw) -> anyhow::Result<(Place, Option<Place>)> {
    let store = Place {
        setting: "store",
        url: raw.store.clone().set(),
        key: secret::secret("store_key", raw.store_key.clone(), &raw.store_key_file)?,
        secret: secret::secret("store_secret", raw.store_secret.clone(), &raw.store_secret_file)?,
    };
    let backup = Place {
        setting: "backup_store",
        url: raw.backup_store.clone().set(),
        key: secret::secret(
            "backup_store_key",
            raw.backup_store_key.clone(),
            &raw.backup_store_key_file,
        )?,
        secret: secret::secret(
            "backup_store_secret",
            raw.backup_store_secret.clone(),
            &raw.backup_store_secret_file,
        )?,
    };
    for place in [&store, &backup] {
        let name = place.setting;
        match (&place.key, &place.secret) {
            (Some(_), None) => bail!("{name}_key is set, but {name}_secret is not"),
            (None, Some(_)) => bail!("{name}_secret is set, but {name}_key is not"),
            _ => {}
        }
    }
    if backup.url.is_none() && backup.key.is_some() {
        bail!("backup_store_key is set, but backup_store is not");
    }
    Ok((store, backup.url.is_some().then_some(backup)))
}

/// The marks of the spool's disk, in bytes; 0: not set.
fn marks(raw: &Raw) -> anyhow::Result<Marks> {
    let (low, high, reserve) = (raw.disk_low_mb, raw.disk_high_mb, raw.disk_reserve_mb);
    if high > 0 && high < low {
        bail!("disk_high_mb = {high} must not be below disk_low_mb = {low}");
    }
    if low > 0 && reserve > low {
        bail!("disk_reserve_mb = {reserve} must not be above disk_low_mb = {low}");
    }
    let bytes = |mb: u32| u64::from(mb) << 20;
    Ok(Marks { low: bytes(low), high: bytes(high), reserve: bytes(reserve) })
}

fn address_or_off(name: &str, given: &str, like: u16) -> anyhow::Result<Option<SocketAddr>> {
    if given == "off" {
        return Ok(None);
    }
    given.parse().map(Some).with_context(|| {
        format!("{name} = {given:?} is neither an address such as 127.0.0.1:{like} nor \"off\"")
    })
}

/// The name given, else the machine's.
fn worker_name(given: String) -> anyhow::Result<String> {
    if given.chars().count() > 64 || given.chars().any(char::is_control) {
        bail!("worker_name must have at most 64 characters, on one line");
    }
    if !given.is_empty() {
        return Ok(given);
    }
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Ok(Some(name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or("localhost".into()))
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("data = {}", path.display()))
}
