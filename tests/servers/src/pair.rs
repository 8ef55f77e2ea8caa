//! On which pair of a database and a store tests run: a file and a folder, or PostgreSQL and Garage
//! where the environment says `ROOMTAPE_TEST_PAIR=postgres`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::{garage, postgres};

/// Which pair tests run on: `postgres`, or nothing for SQLite and a folder.
const SETTING: &str = "ROOMTAPE_TEST_PAIR";

/// Where a test keeps rows and objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Address of the database. It has no schema yet the first time.
    pub database: String,
    /// Address of the store.
    pub store: String,
    /// What opens it, where something has to: access key and secret.
    pub keys: Option<(String, String)>,
    /// The bucket that it is.
    bucket: Option<String>,
}

/// The pair that belongs to the data folder of a test: new where the folder is seen for the first
/// time, and the same again where it is opened again as if by another process.
///
/// # Panics
/// The environment names a pair that there is not, or a server does not start.
pub fn pair(folder: &Path) -> Pair {
    static SEEN: OnceLock<Mutex<HashMap<PathBuf, Pair>>> = OnceLock::new();
    let mut seen = SEEN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    seen.entry(folder.to_owned()).or_insert_with(|| new(folder)).clone()
}

/// Whether tests run on PostgreSQL and Garage.
///
/// # Panics
/// The environment names a pair that there is not.
#[must_use]
pub fn on_postgres() -> bool {
    match std::env::var(SETTING).as_deref() {
        Ok("postgres") => true,
        Ok("" | "sqlite") | Err(_) => false,
        Ok(other) => panic!("{SETTING}={other} is neither sqlite nor postgres"),
    }
}

fn new(folder: &Path) -> Pair {
    if !on_postgres() {
        let database = format!("sqlite:{}", folder.join("roomtape.db").display());
        let store = folder.join("objects").display().to_string();
        return Pair { database, store, keys: None, bucket: None };
    }
    let bucket = garage().new_bucket();
    Pair {
        database: postgres().new_database(),
        store: bucket.url,
        keys: Some((bucket.key, bucket.secret)),
        bucket: Some(bucket.name),
    }
}

impl Pair {
    /// How many objects there are.
    ///
    /// # Panics
    /// The store cannot be read.
    #[must_use]
    pub fn objects(&self) -> usize {
        let Some(bucket) = &self.bucket else { return count(Path::new(&self.store)) };
        let info = garage().cli(&["bucket", "info", bucket]);
        let line = info.lines().find_map(|line| line.trim().strip_prefix("Objects:"));
        line.and_then(|count| count.trim().parse().ok()).expect("Garage tells how many there are")
    }

    /// Has the store refuse what is put under `prefix`, or take it again. A folder refuses that
    /// alone (there is a file in its place), a bucket refuses everything.
    ///
    /// # Panics
    /// It cannot be done.
    pub fn refuse_puts(&self, prefix: &str, refused: bool) {
        if let (Some(bucket), Some((key, _))) = (&self.bucket, &self.keys) {
            let verb = if refused { "deny" } else { "allow" };
            garage().cli(&["bucket", verb, "--write", bucket, "--key", key]);
            return;
        }
        let place = Path::new(&self.store).join(prefix);
        let aside = format!("{}-aside-{}", self.store, prefix.replace('/', "-"));
        if refused {
            let folder = place.parent().expect("it is below the store's folder");
            std::fs::create_dir_all(folder).expect("a folder for what is in the way");
            // Nothing need be there yet.
            let _ = std::fs::rename(&place, aside);
            std::fs::write(place, b"in the way").expect("something in the way");
        } else {
            std::fs::remove_file(&place).expect("it was in the way");
            let _ = std::fs::rename(aside, place);
        }
    }
}

/// How many files there are below a folder.
fn count(folder: &Path) -> usize {
    let mut files = 0;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        files += if path.is_dir() { count(&path) } else { 1 };
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_pair() {
        let (one, two) = (Path::new("/nowhere/one"), Path::new("/nowhere/two"));
        assert_eq!(pair(one), pair(one));
        assert_ne!(pair(one).database, pair(two).database);
        assert_ne!(pair(one).store, pair(two).store);
        assert_eq!(pair(one).keys.is_some(), on_postgres());
        assert_eq!(pair(one).objects(), 0);
    }
}
