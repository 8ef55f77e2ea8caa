//! Tells others that this worker lives, and what it makes words with: whoever has recordings
//! transcribed again wants to know whether anybody can.

use std::time::Duration;

use models::batch::Transcriber;
use models::{Db, WallMicros};

/// How often a sign of life is given.
const EVERY: Duration = Duration::from_secs(10);

/// How long one counts, in milliseconds.
const COUNTS_MS: i64 = 30_000;

/// Gives signs of life for ever.
pub(super) async fn tell<T>(db: &Db, us: &Transcriber) -> T {
    loop {
        let now = WallMicros::now();
        let worker = Transcriber { alive_until: now.plus_millis(COUNTS_MS), ..us.clone() };
        if let Err(error) = db.tell_transcriber(&worker, now).await {
            let error: &dyn std::error::Error = &error;
            tracing::debug!(error, "others could not be told that this worker lives");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Says that this worker is gone.
pub(super) async fn leave(db: &Db, us: Transcriber) {
    let now = WallMicros::now();
    if let Err(error) = db.tell_transcriber(&Transcriber { alive_until: now, ..us }, now).await {
        let error: &dyn std::error::Error = &error;
        tracing::debug!(error, "others could not be told that this worker is gone");
    }
}
