//! What every engine has to do: the same cases on each, run by [`suite!`] on an async function that
//! gives a place for a fresh database.

mod batches;
mod beginnings;
mod chunks;
mod crowds;
mod edits;
mod holds;
mod jobs;
mod leases;
mod moving;
mod notices;
mod places;
mod queue;
mod receipts;
mod recordings;
mod rooms;
mod schemas;
mod transcripts;

use std::any::Any;

use super::{Db, Error, NewRecording};
use crate::chunk::Chunk;
use crate::id::{RecordingId, RoomId};
use crate::job::{Class, Job, Kind, Lease, Limits};
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
                a_text_with_a_nul_in_it_is_taken,
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
            holds {
                a_full_disk_is_told_unless_another_has_room,
                a_worker_takes_hold_of_what_is_free,
                a_loose_grip_makes_way_for_a_source,
                a_worker_without_hold_writes_nothing,
                one_of_eight_workers_takes_hold,
                a_worker_looks_after_its_own_and_nobodys,
                a_batch_has_an_outcome_for_each_chunk,
                late_chunks_take_the_place_of_concealment,
                late_chunks_wait_or_follow_the_end,
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
            queue {
                asked_for_more_urgently_a_job_moves_up,
                a_host_with_ten_thousand_jobs_queues_behind_itself,
                hosts_take_turns_however_they_come,
                what_comes_back_stands_at_the_head,
            }
            batches {
                weights_that_are_asked_for_are_waited_for,
                a_recording_is_worked_on_once_at_a_time,
                a_paused_batch_waits_and_goes_on,
                a_paused_batch_holds_what_waits_to_be_tried_again,
                a_cancelled_batch_is_over,
                what_has_been_done_or_waits_is_not_done_again,
                terms_select_recordings,
                what_a_job_took_adds_up,
                a_version_may_be_made_without_being_shown,
                an_older_version_does_not_take_the_place_of_a_newer,
                versions_in_the_making_do_not_harm_each_other,
                how_long_it_takes_follows_from_what_was_done,
            }
            leases {
                eight_workers_get_each_of_a_thousand_jobs_once,
                limits_hold_against_eight_workers,
                an_expired_lease_is_taken_over,
                a_whole_site_that_was_away_comes_back,
                a_late_worker_nobody_replaced_goes_on,
                a_stale_token_is_refused_on_every_write,
                a_lease_taken_back_is_lost_before_anyone_claims,
                a_job_that_kills_its_workers_is_dead,
                a_job_that_gets_further_may_lose_many_workers,
                a_job_given_back_has_lost_no_attempt,
                cancelling_and_ending_take_the_lease,
            }
            transcripts {
                words_are_read_as_they_were_written,
                a_confidence_that_is_no_number_is_none,
                a_window_is_resumed_where_it_was_committed,
                windows_that_were_read_early_wait_for_their_turn,
                a_window_that_does_not_follow_is_refused,
                the_finished_version_is_shown,
                live_captions_are_shown_at_once_and_close_with_the_recording,
                other_weights_make_another_version,
                a_job_writes_to_its_own_recording_only,
                speakers_are_replaced_whole,
            }
            edits {
                a_complete_version_may_be_shown_and_rolled_back,
                an_edit_outlives_the_version_it_was_made_on,
                an_edit_of_what_has_changed_is_refused,
                an_edit_is_undone_after_those_made_over_it,
                a_speaker_is_renamed_in_the_whole_recording,
                eight_people_edit_a_recording_and_none_in_vain,
            }
            moving {
                a_recording_is_moved_whole,
                what_was_still_to_be_done_is_done_at_the_destination,
                what_is_not_at_rest_is_not_moved,
                a_room_is_moved_once_and_its_name_stays_unique,
            }
            receipts {
                what_has_ended_wants_one_receipt,
                rows_are_mended_as_they_were_seen_or_not_at_all,
            }
            crowds {
                a_name_or_a_port_goes_to_one_of_eight,
                a_room_is_recorded_by_one_of_eight_and_ended_once,
                eight_writers_of_a_recording_lose_nothing,
                a_window_is_kept_from_one_of_eight,
                nobody_waits_in_a_circle,
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

mod postgres {
    suite!(crate::db::conformance::postgres_database);
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

/// A copy of a database that was migrated once: faster than migrating each.
async fn postgres_database() -> Place {
    static TEMPLATE: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();
    let server = servers::postgres();
    let template = async {
        let url = server.new_database();
        Db::migrate(&url).await.unwrap();
        url
    };
    let url = server.copy_of(TEMPLATE.get_or_init(|| template).await);
    Place { url, _keep: Box::new(()) }
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
        glossary: String::new(),
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
    let kinds = [Kind::TranscribeLive, Kind::Transcribe];
    db.claim(&kinds, Limits::default(), "worker", 60_000, now).await.unwrap()
}

fn is_conflict<T>(result: super::Result<T>) -> bool {
    matches!(result, Err(Error::Conflict { .. }))
}

fn is_lost<T>(result: super::Result<T>) -> bool {
    matches!(result, Err(Error::LeaseLost))
}
