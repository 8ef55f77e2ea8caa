//! What the tests are made with.

pub mod api;
pub mod check;
pub mod cluster;
pub mod crowd;
pub mod encoder;
pub mod janus;
pub mod media;
pub mod random;
pub mod rig;
pub mod rtp;
pub mod server;
pub mod voice;
pub mod words;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

pub use api::Api;
pub use server::Server;

/// Bundled data.
pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Waits until `look` finds something, and fails the test, naming `what`, where it does not in time.
pub async fn until<T, F>(what: &str, within: Duration, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {within:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Seconds as a [`Duration`].
pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
