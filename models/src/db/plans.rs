//! What there is to be done for a selection of recordings: nothing that has been done, or waits.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::code::{Code as _, int};
use super::recordings::Row;
use super::transcripts;
use super::{Db, Error, Result};
use crate::batch::{Plan, Selection};
use crate::id::{RecordingId, RoomId};
use crate::job::{Kind, Weights};
use crate::recording::Recording;
use crate::time::WallMicros;
use crate::transcript::{MadeBy, State, Transcript};

/// Recordings looked at with one query.
const PAGE: u32 = 500;

impl Db {
    /// What has to be done so that each recording of a selection has a complete version of its words
    /// that was made with these weights just as the workers there are make it: engine, parameters and
    /// audio included. Where no worker with these weights was ever seen, any engine's will do.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it names a recording that there is not; [`Error::Conflict`] where it
    /// names a room that there is not, or a recording that is not over.
    pub async fn plan(
        &self,
        selection: &Selection,
        weights: &Weights,
        now: WallMicros,
    ) -> Result<Plan> {
        let rooms = self.rooms_of(selection).await?;
        self.check_recordings(selection).await?;
        let keys = self.keys(weights, now).await?;
        let mut plan = Plan::default();
        let mut after = RecordingId(Uuid::nil());
        loop {
            let page = self.selected(selection, after).await?;
            let (Some(first), Some(last)) = (page.first(), page.last()) else { return Ok(plan) };
            let span = (first.id, last.id);
            after = last.id;
            let versions = self.versions_with(weights, span).await?;
            let open = self.open_with(weights, span).await?;
            let meant = |recording: &&Recording| {
                (rooms.is_empty() || rooms.contains(&recording.room_id))
                    && (selection.ids.is_empty() || selection.ids.contains(&recording.id))
            };
            for recording in page.iter().filter(meant) {
                let versions = versions.get(&recording.id).map_or(&[][..], Vec::as_slice);
                if open.contains(&recording.id) {
                    plan.open += 1;
                } else if self.is_done(recording.id, versions, &keys).await? {
                    plan.done += 1;
                } else {
                    plan.wanted.push(recording.id);
                    plan.audio += recording.duration;
                }
            }
        }
    }

    async fn rooms_of(&self, selection: &Selection) -> Result<HashSet<RoomId>> {
        let mut rooms = HashSet::new();
        for slug in &selection.rooms {
            match self.room_by_slug(slug).await {
                Ok(room) => rooms.insert(room.id),
                Err(Error::NotFound { .. }) => {
                    return Err(Error::conflict(format!("no room is called {slug:?}")));
                }
                Err(error) => return Err(error),
            };
        }
        Ok(rooms)
    }

    async fn check_recordings(&self, selection: &Selection) -> Result<()> {
        for id in &selection.ids {
            let recording = self.recording(*id).await?;
            if recording.state != crate::recording::State::Ended {
                return Err(Error::conflict(format!(
                    "the recording {id} is not over, or has no sound"
                )));
            }
        }
        Ok(())
    }

    /// What living workers make with these weights, or else what the last one made.
    async fn keys(&self, weights: &Weights, now: WallMicros) -> Result<Vec<MadeBy>> {
        let mut known = self.transcribers().await?;
        known.retain(|worker| worker.made_by.weights_sha256 == weights.sha256);
        let living = known.iter().filter(|worker| worker.alive_until > now).count();
        known.truncate(living.max(1));
        Ok(known.into_iter().map(|worker| worker.made_by).collect())
    }

    /// The next page of recordings that fit all but rooms and identifiers, the oldest first.
    async fn selected(&self, selection: &Selection, after: RecordingId) -> Result<Vec<Recording>> {
        let rows: Vec<Row> = all!(
            self.pools,
            "select recordings",
            "SELECT recordings.*
             FROM recordings
             LEFT JOIN transcripts AS shown
               ON shown.recording_id = recordings.id AND shown.promoted = TRUE
             WHERE recordings.id > $1 AND recordings.state = 'ended'
               AND recordings.duration_ticks > 0
               AND ($2 IS NULL OR COALESCE(recordings.started_at, recordings.created_at) >= $2)
               AND ($3 IS NULL OR COALESCE(recordings.started_at, recordings.created_at) < $3)
               AND ($4 IS NULL OR shown.weights = $4 OR shown.weights_sha256 = $4)
               AND ($5 IS NULL OR shown.id IS NULL
                               OR (shown.weights <> $5 AND shown.weights_sha256 <> $5))
               AND ($6 IS NULL OR COALESCE(shown.version, 0) < $6)
               AND ($7 IS NULL OR recordings.duration_ticks > $7)
               AND ($8 IS NULL OR recordings.duration_ticks < $8)
             ORDER BY recordings.id
             LIMIT $9",
            after.0,
            selection.from.map(|at| at.0),
            selection.before.map(|at| at.0),
            selection.weights.as_deref(),
            selection.other_weights.as_deref(),
            selection.version_below.map(i64::from),
            selection.longer.map(|length| int(length.0)),
            selection.shorter.map(|length| int(length.0)),
            i64::from(PAGE),
        )?;
        rows.into_iter().map(Recording::try_from).collect()
    }

    /// Complete versions with these weights of recordings from the first to the last.
    async fn versions_with(
        &self,
        weights: &Weights,
        (first, last): (RecordingId, RecordingId),
    ) -> Result<HashMap<RecordingId, Vec<Transcript>>> {
        let rows: Vec<transcripts::Row> = all!(
            self.pools,
            "list the transcripts",
            "SELECT * FROM transcripts
             WHERE weights_sha256 = $1 AND recording_id >= $2 AND recording_id <= $3
               AND version >= 1 AND state = $4",
            &weights.sha256,
            first.0,
            last.0,
            State::Complete.code(),
        )?;
        let mut versions: HashMap<_, Vec<_>> = HashMap::new();
        for row in rows {
            let version = Transcript::try_from(row)?;
            versions.entry(version.recording_id).or_default().push(version);
        }
        Ok(versions)
    }

    /// Recordings from the first to the last that have an open job which asks for these weights.
    async fn open_with(
        &self,
        weights: &Weights,
        (first, last): (RecordingId, RecordingId),
    ) -> Result<HashSet<RecordingId>> {
        let rows: Vec<(Uuid,)> = all!(
            self.pools,
            "list open jobs",
            "SELECT recording_id FROM jobs
             WHERE recording_id >= $1 AND recording_id <= $2 AND kind = $3
               AND weights_sha256 = $4 AND state IN ('ready', 'running')",
            first.0,
            last.0,
            Kind::Transcribe.code(),
            &weights.sha256,
        )?;
        Ok(rows.into_iter().map(|(id,)| RecordingId(id)).collect())
    }

    /// Whether one of these versions was made as one of `keys` makes them, of what there is now.
    async fn is_done(
        &self,
        id: RecordingId,
        versions: &[Transcript],
        keys: &[MadeBy],
    ) -> Result<bool> {
        let of_any = |version: &Transcript| version.made_by.clone().of_any();
        let alike: Vec<_> = versions
            .iter()
            .filter(|version| {
                let made_by = of_any(version);
                keys.is_empty() || keys.iter().any(|key| key.makes_the_same_as(&made_by))
            })
            .collect();
        if alike.is_empty() {
            return Ok(false);
        }
        let (chunks, vocabulary) = (self.chunks(id).await?, self.vocabulary(id).await?);
        let of_this =
            |version: &&Transcript| version.made_by == of_any(version).of(&chunks, &vocabulary);
        Ok(alike.iter().any(of_this))
    }
}
