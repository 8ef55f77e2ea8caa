//! What every engine has to do: the same cases on each, run by [`suite!`] on an async function that
//! gives a place for a fresh database.

mod chunks;
mod jobs;
mod leases;
mod places;
mod recordings;
mod rooms;
mod transcripts;

use std::any::Any;

use super::{Db, Error, NewRecording};
use crate::chunk::Chunk;
use crate::id::{RecordingId, RoomId};
use crate::job::{Job, Kind, Lease};
use crate::recording::{Origin, Recording, State};
use crate::room::{Audience, RecordingPolicy, Room};
use crate::time::{Ticks, WallMicros};

/// Makes one test of every case, on fresh databases from `$place`.
macro_rules! suite {
    ($place:path) => {
        suite!(@cases $place,
            rooms {
                a_room_is_read_as_it_was_written,
                slug_and_port_belong_to_one_room,
                an_unknown_room_is_not_found,
            }
            recordings {
                a_recording_lives_from_live_to_ended,
                a_room_has_one_open_recording,
                a_room_that_must_not_be_recorded_is_not,
                illegal_changes_are_refused,
                a_request_to_end_stands,
                an_unreadable_import_fails,
                ending_makes_one_job,
                ending_without_audio_makes_no_job,
                lists_are_paged_and_filtered,
                text_is_looked_for_as_it_stands,
                changes_are_told_after_the_commit,
            }
            chunks {
                chunks_add_up,
                the_same_chunk_twice_is_one,
                a_chunk_that_does_not_follow_is_refused,
                gaps_and_anchors_are_kept_once,
                a_recording_that_is_over_takes_no_chunk,
            }
            jobs {
                a_chunk_makes_and_wakes_the_live_job,
                a_live_job_woken_while_running_runs_again,
                a_live_job_put_to_sleep_is_not_woken,
                a_kind_has_one_open_job_a_recording,
                the_most_urgent_job_goes_first,
                a_failed_job_waits_and_is_dead_in_the_end,
                retry_and_cancel_keep_to_the_rules,
                jobs_are_paged_and_filtered,
            }
            leases {
                eight_workers_get_each_job_once,
                an_expired_lease_is_taken_over,
                a_late_worker_nobody_replaced_goes_on,
                a_stale_token_is_refused_on_every_write,
                a_job_that_kills_its_workers_is_dead,
                a_job_given_back_has_lost_no_attempt,
                cancelling_and_ending_take_the_lease,
            }
            transcripts {
                words_are_read_as_they_were_written,
                a_confidence_that_is_no_number_is_none,
                a_window_is_resumed_where_it_was_committed,
                a_window_that_does_not_follow_is_refused,
                the_finished_version_is_shown,
                live_captions_are_shown_at_once_and_close_with_the_recording,
                other_weights_make_another_version,
                a_job_writes_to_its_own_recording_only,
                speakers_are_replaced_whole,
            }
            places {
                reopening_keeps_everything,
                two_handles_see_the_same,
                many_may_open_a_new_place_at_once,
                what_is_not_committed_never_was,
                writers_of_two_handles_take_turns,
            }
        );
    };
    (@cases $place:path, $($subject:ident { $($case:ident),+ $(,)? })+) => {$(
        mod $subject {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::db::conformance::$subject::$case(&$place().await).await;
            }
        )+}
    )+};
}

mod sqlite {
    suite!(crate::db::conformance::sqlite_file);
}

/// Where a fresh database may be opened, more than once; gone when this is dropped.
struct Place {
    url: String,
    _keep: Box<dyn Any + Send + Sync>,
}

impl Place {
    async fn open(&self) -> Db {
        Db::open(&self.url).await.unwrap()
    }
}

async fn sqlite_file() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("made on demand/100%?.db").display());
    Place { url, _keep: Box::new(folder) }
}

/// A moment `secs` seconds into the test's time.
fn at(secs: i64) -> WallMicros {
    WallMicros(1_700_000_000_000_000).plus_millis(secs * 1000)
}

fn a_room(slug: &str) -> Room {
    Room {
        id: RoomId::new(),
        slug: slug.into(),
        title: format!("Room {slug}"),
        host: String::new(),
        audience: Audience::Everyone,
        policy: RecordingPolicy::Auto,
        rtp_port: None,
        source_key: None,
        grace_ms: 30_000,
        created_at: at(0),
    }
}

/// A new recording in a room of its own.
async fn recording(db: &Db, slug: &str, state: State) -> Recording {
    let room = a_room(slug);
    db.create_room(&room).await.unwrap();
    db.create_recording(&new_recording(room.id, state)).await.unwrap()
}

fn new_recording(room_id: RoomId, state: State) -> NewRecording {
    NewRecording {
        room_id,
        title: "Monday".into(),
        origin: Origin::Pending,
        state,
        channels: 1,
        source: String::new(),
        created_at: at(1),
    }
}

/// Chunk `seq` of a recording whose chunks are all four seconds long.
fn chunk(seq: u32) -> Chunk {
    Chunk {
        seq,
        take: 0,
        start: Ticks::from_secs(u64::from(seq) * 4),
        duration: Ticks::from_secs(4),
        bytes: 16_000 + u64::from(seq),
        sha256: [u8::try_from(seq).unwrap(); 32],
    }
}

async fn add_chunks(db: &Db, recording: RecordingId, seqs: std::ops::Range<u32>) {
    for seq in seqs {
        db.add_chunk(recording, &chunk(seq), &[], &[], at(10)).await.unwrap();
    }
}

/// Claims the next job of any kind for 60 s.
async fn claim(db: &Db, now: WallMicros) -> Option<(Job, Lease)> {
    db.claim(&[Kind::TranscribeLive, Kind::Transcribe], "worker", 60_000, now).await.unwrap()
}

fn is_conflict<T>(result: super::Result<T>) -> bool {
    matches!(result, Err(Error::Conflict { .. }))
}

fn is_lost<T>(result: super::Result<T>) -> bool {
    matches!(result, Err(Error::LeaseLost))
}
