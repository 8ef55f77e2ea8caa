//! Segments with their words, which are one JSON column: they are always read together.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use super::code::{Code, int, number, parse_opt, span, text};
use super::engine::Tx;
use super::{Db, Error, Result};
use crate::id::TranscriptId;
use crate::time::{Span, Ticks};
use crate::transcript::{Segment, Word};

impl Db {
    /// The segments of a transcript from `from_ordinal` on, suppressed ones included, in order.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn segments(
        &self,
        transcript: TranscriptId,
        from_ordinal: u32,
    ) -> Result<Vec<Segment>> {
        let rows: Vec<Row> = all!(
            self.pools,
            "read the segments",
            "SELECT * FROM segments WHERE transcript_id = $1 AND ordinal >= $2 ORDER BY ordinal",
            transcript.0,
            i64::from(from_ordinal),
        )?;
        rows.into_iter().map(Segment::try_from).collect()
    }

    /// The last segment of a transcript, suppressed ones included: what the next window follows.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub async fn last_segment(&self, transcript: TranscriptId) -> Result<Option<Segment>> {
        let row: Option<Row> = one!(
            self.pools,
            "read the last segment",
            "SELECT * FROM segments WHERE transcript_id = $1 ORDER BY ordinal DESC LIMIT 1",
            transcript.0,
        )?;
        row.map(Segment::try_from).transpose()
    }
}

/// Adds a segment to a transcript.
pub(super) async fn insert(tx: &mut Tx, transcript: TranscriptId, segment: &Segment) -> Result<()> {
    run!(
        tx,
        "keep the segment",
        "INSERT INTO segments (transcript_id, ordinal, start_ticks, end_ticks, text, speaker,
                               confidence, suppressed, words, language)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        transcript.0,
        i64::from(segment.ordinal),
        int(segment.span.start.0),
        int(segment.span.end.0),
        text(&segment.text),
        segment.speaker.as_deref().map(text),
        f64::from(probability(segment.confidence)),
        segment.suppressed.map(Code::code),
        write_words(&segment.words)?,
        segment.language.as_deref(),
    )?;
    Ok(())
}

/// What is no number (a mean of nothing) is no confidence: neither JSON nor SQLite can hold it.
fn probability(value: f32) -> f32 {
    if value.is_finite() { value } else { 0.0 }
}

/// A word in a segment's JSON column: `[start, end, "text", confidence]`.
#[derive(Serialize, Deserialize)]
struct StoredWord<'a>(u64, u64, Cow<'a, str>, f32);

fn write_words(words: &[Word]) -> Result<String> {
    let stored: Vec<_> = words
        .iter()
        .map(|w| {
            let text = Cow::Borrowed(w.text.as_str());
            StoredWord(w.span.start.0, w.span.end.0, text, probability(w.confidence))
        })
        .collect();
    serde_json::to_string(&stored).map_err(|e| Error::Corrupt { what: format!("words: {e}") })
}

fn read_words(json: &str) -> Result<Vec<Word>> {
    let stored: Vec<StoredWord<'_>> = serde_json::from_str(json)
        .map_err(|e| Error::Corrupt { what: format!("words of a segment: {e}") })?;
    let word = |StoredWord(start, end, text, confidence)| Word {
        span: Span { start: Ticks(start), end: Ticks(end) },
        text: Cow::into_owned(text),
        confidence,
    };
    Ok(stored.into_iter().map(word).collect())
}

#[derive(FromRow)]
struct Row {
    ordinal: i64,
    start_ticks: i64,
    end_ticks: i64,
    text: String,
    speaker: Option<String>,
    confidence: f64,
    suppressed: Option<String>,
    words: String,
    language: Option<String>,
}

impl TryFrom<Row> for Segment {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            ordinal: number("ordinal", row.ordinal)?,
            span: span(row.start_ticks, row.end_ticks)?,
            text: row.text,
            speaker: row.speaker,
            // Written from an f32, so nothing is lost on the way back.
            confidence: row.confidence as f32,
            language: row.language,
            suppressed: parse_opt(row.suppressed.as_deref())?,
            words: read_words(&row.words)?,
        })
    }
}
