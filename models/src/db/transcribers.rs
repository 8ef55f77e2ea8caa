//! Transcription workers: what each makes words with, and until when it is taken to live.

use sqlx::FromRow;

use super::code::{number, text};
use super::{Db, Error, Result};
use crate::batch::{Outlook, Pace, Transcriber};
use crate::time::{Ticks, WallMicros};
use crate::transcript::MadeBy;

/// A worker that has been gone for so long is forgotten, where another has made words as it did.
const FORGOTTEN_MS: i64 = 3_600_000;

/// Transcripts that a pace is taken from: what was done lately says most.
const LATELY: i64 = 200;

impl Db {
    /// Notes that a worker lives, and what it makes words with.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn tell_transcriber(&self, worker: &Transcriber, now: WallMicros) -> Result<()> {
        let step = "note that the worker lives";
        let mut tx = self.begin(step).await?;
        let made_by = worker.made_by.clone().of_any();
        let parameters = made_by.parameters.to_string();
        run!(
            tx,
            step,
            "INSERT INTO transcribers (name, engine, weights, weights_sha256, parameters, places,
                                       alive_until)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (name) DO UPDATE
             SET engine = excluded.engine, weights = excluded.weights,
                 weights_sha256 = excluded.weights_sha256, parameters = excluded.parameters,
                 places = excluded.places, alive_until = excluded.alive_until",
            text(&worker.name),
            text(&made_by.engine),
            text(&made_by.weights),
            text(&made_by.weights_sha256),
            &parameters,
            i64::from(worker.places),
            worker.alive_until.0,
        )?;
        run!(
            tx,
            step,
            "DELETE FROM transcribers
             WHERE weights_sha256 = $1 AND engine = $2 AND parameters = $3 AND name <> $4
               AND alive_until < $5",
            text(&made_by.weights_sha256),
            text(&made_by.engine),
            parameters,
            text(&worker.name),
            now.plus_millis(-FORGOTTEN_MS).0,
        )?;
        tx.commit().await
    }

    /// All transcription workers that are known, those that were seen last first.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn transcribers(&self) -> Result<Vec<Transcriber>> {
        let sql = "SELECT * FROM transcribers ORDER BY alive_until DESC, name";
        let rows: Vec<Row> = all!(self.pools, "list the workers", sql)?;
        rows.into_iter().map(Transcriber::try_from).collect()
    }

    /// What is known of how long work with the weights of this SHA-256 takes.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn outlook(&self, weights_sha256: &str, now: WallMicros) -> Result<Outlook> {
        let workers = self.transcribers().await?;
        let living = || {
            workers.iter().filter(|worker| {
                worker.alive_until > now && worker.made_by.weights_sha256 == weights_sha256
            })
        };
        let pace = match self.pace(Some(weights_sha256)).await? {
            None => self.pace(None).await?,
            pace => pace,
        };
        Ok(Outlook {
            workers: living().count().try_into().unwrap_or(u32::MAX),
            places: living().map(|worker| worker.places).sum(),
            pace,
        })
    }

    /// How fast recordings were worked through lately: with these weights, or with any.
    async fn pace(&self, weights_sha256: Option<&str>) -> Result<Option<Pace>> {
        let rows: Vec<(String, i64, i64)> = all!(
            self.pools,
            "see how fast recordings were worked through",
            "SELECT weights, cost_ticks, cost_ms FROM transcripts
             WHERE ($1 IS NULL OR weights_sha256 = $1) AND version >= 1 AND cost_ms > 0
             ORDER BY id DESC LIMIT $2",
            weights_sha256,
            LATELY,
        )?;
        let Some((weights, ..)) = rows.first().cloned() else { return Ok(None) };
        // Of any weights those that were used last.
        let alike = || rows.iter().filter(|(name, ..)| *name == weights);
        let audio = Ticks(number("cost", alike().map(|(_, ticks, _)| ticks).sum())?);
        let wall_ms = number("cost", alike().map(|(.., ms)| ms).sum())?;
        Ok((audio > Ticks::ZERO).then_some(Pace { weights, audio, wall_ms }))
    }
}

#[derive(FromRow)]
struct Row {
    name: String,
    engine: String,
    weights: String,
    weights_sha256: String,
    parameters: String,
    places: i64,
    alive_until: i64,
}

impl TryFrom<Row> for Transcriber {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let parameters = serde_json::from_str(&row.parameters)
            .map_err(|e| Error::Corrupt { what: format!("parameters of a worker: {e}") })?;
        Ok(Self {
            name: row.name,
            made_by: MadeBy {
                engine: row.engine,
                weights: row.weights,
                weights_sha256: row.weights_sha256,
                parameters,
            },
            places: number("places", row.places)?,
            alive_until: WallMicros(row.alive_until),
        })
    }
}
