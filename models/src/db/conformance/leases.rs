use std::collections::HashSet;

use super::*;
use crate::job::{MAX_ATTEMPTS, State as Job};
use crate::recording::EndReason;
use crate::transcript::MadeBy;

/// Claims the next job for 60 s, or fails the test.
async fn must_claim(db: &Db, now: WallMicros) -> (crate::Job, Lease) {
    claim(db, now).await.expect("there is a job to claim")
}

async fn transcribe_job(db: &Db) -> crate::Job {
    let id = recording(db, "room", State::Importing).await.id;
    let job = db.enqueue(Kind::Transcribe, id, at(0)).await.unwrap();
    db.job(job).await.unwrap()
}

pub(super) async fn eight_workers_get_each_job_once(place: &Place) {
    let handles = [place.open().await, place.open().await];
    let mut all = HashSet::new();
    for n in 0..40 {
        let id = recording(&handles[0], &format!("room-{n}"), State::Importing).await.id;
        all.insert(handles[0].enqueue(Kind::Transcribe, id, at(0)).await.unwrap());
    }
    let workers: Vec<_> = (0..8)
        .map(|n| {
            let db = handles[n % 2].clone();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                while let Some((job, lease)) = claim(&db, at(1)).await {
                    db.heartbeat(&lease, 60_000, at(2)).await.unwrap();
                    tokio::task::yield_now().await;
                    db.finish_job(&lease, at(3)).await.unwrap();
                    mine.push(job.id);
                }
                mine
            })
        })
        .collect();
    let mut done = Vec::new();
    for worker in workers {
        done.extend(worker.await.unwrap());
    }
    assert_eq!(done.len(), 40);
    assert_eq!(done.into_iter().collect::<HashSet<_>>(), all);
}

pub(super) async fn an_expired_lease_is_taken_over(place: &Place) {
    let db = place.open().await;
    let job = transcribe_job(&db).await;
    let (_, first) = must_claim(&db, at(0)).await;
    assert!(claim(&db, at(59)).await.is_none(), "the lease holds for 60 s");
    db.heartbeat(&first, 60_000, at(50)).await.unwrap();
    assert!(claim(&db, at(109)).await.is_none(), "it was kept");

    let (taken, second) = must_claim(&db, at(110)).await;
    assert_eq!((taken.id, taken.attempt), (job.id, 2));
    assert!(second.token > first.token);
    assert_eq!(taken.lease, Some(("worker".into(), at(170))));
    assert!(is_lost(db.heartbeat(&first, 60_000, at(111)).await));
    db.finish_job(&second, at(112)).await.unwrap();
}

pub(super) async fn a_late_worker_nobody_replaced_goes_on(place: &Place) {
    let db = place.open().await;
    transcribe_job(&db).await;
    let (_, lease) = must_claim(&db, at(0)).await;
    db.heartbeat(&lease, 60_000, at(300)).await.unwrap();
    assert!(claim(&db, at(359)).await.is_none());
    db.finish_job(&lease, at(400)).await.unwrap();
}

pub(super) async fn a_stale_token_is_refused_on_every_write(place: &Place) {
    let db = place.open().await;
    let job = transcribe_job(&db).await;
    let made_by = MadeBy {
        engine: "e".into(),
        weights: "w".into(),
        weights_sha256: "00".into(),
        parameters: serde_json::json!({}),
    };
    let (_, stale) = must_claim(&db, at(0)).await;
    let begin = async |lease: &Lease| {
        db.begin_transcript(lease, job.recording_id, false, &made_by, at(1)).await
    };
    let transcript = begin(&stale).await.unwrap();
    let (_, fresh) = must_claim(&db, at(60)).await;

    let one_second = Ticks::from_secs(1);
    assert!(is_lost(db.heartbeat(&stale, 60_000, at(61)).await));
    assert!(is_lost(begin(&stale).await));
    assert!(is_lost(
        db.commit_window(&stale, transcript.id, one_second, &[], one_second, at(61)).await
    ));
    assert!(is_lost(db.complete_transcript(&stale, transcript.id, at(61)).await));
    assert!(is_lost(db.fail_job(&stale, "late", true, at(61)).await));
    assert!(is_lost(db.release_job(&stale, at(61)).await));
    assert!(is_lost(db.finish_job(&stale, at(61)).await));

    let current = db.job(job.id).await.unwrap();
    assert_eq!((current.state, current.token, current.error), (Job::Running, fresh.token, None));
    assert_eq!((current.done, current.updated_at), (Ticks::ZERO, at(60)), "nothing was touched");
    assert_eq!(db.transcripts(job.recording_id).await.unwrap(), vec![transcript.clone()]);
    assert_eq!(begin(&fresh).await.unwrap(), transcript, "the new worker resumes it");

    let unknown = Lease { job_id: crate::JobId::new(), token: 1 };
    assert!(is_lost(db.heartbeat(&unknown, 60_000, at(62)).await));
    let from_the_future = Lease { token: fresh.token + 1, ..fresh };
    assert!(is_lost(db.finish_job(&from_the_future, at(62)).await));
}

pub(super) async fn a_job_that_kills_its_workers_is_dead(place: &Place) {
    let db = place.open().await;
    let job = transcribe_job(&db).await;
    for n in 0..MAX_ATTEMPTS {
        must_claim(&db, at(i64::from(n) * 60)).await;
    }
    assert_eq!(db.job(job.id).await.unwrap().attempt, MAX_ATTEMPTS);
    assert!(claim(&db, at(i64::from(MAX_ATTEMPTS) * 60)).await.is_none());
    let dead = db.job(job.id).await.unwrap();
    assert_eq!((dead.state, dead.lease), (Job::Dead, None));
    assert!(dead.error.unwrap().contains("worker was lost"));
}

pub(super) async fn a_job_given_back_has_lost_no_attempt(place: &Place) {
    let db = place.open().await;
    let job = transcribe_job(&db).await;
    for _ in 0..=MAX_ATTEMPTS {
        let (claimed, lease) = must_claim(&db, at(0)).await;
        assert_eq!(claimed.attempt, 1);
        db.release_job(&lease, at(0)).await.unwrap();
        assert!(is_lost(db.finish_job(&lease, at(0)).await));
    }
    let ready = db.job(job.id).await.unwrap();
    assert_eq!((ready.state, ready.attempt, ready.lease), (Job::Ready, 0, None));
}

pub(super) async fn cancelling_and_ending_take_the_lease(place: &Place) {
    let db = place.open().await;
    let job = transcribe_job(&db).await;
    let (_, lease) = must_claim(&db, at(0)).await;
    db.cancel_job(job.id, at(1)).await.unwrap();
    assert!(is_lost(db.heartbeat(&lease, 60_000, at(2)).await));
    // Retried and claimed again, the first worker still holds nothing.
    db.retry_job(job.id, at(3)).await.unwrap();
    let (_, second) = must_claim(&db, at(3)).await;
    assert!(is_lost(db.finish_job(&lease, at(4)).await));
    db.finish_job(&second, at(4)).await.unwrap();

    let live = recording(&db, "live", State::Live).await.id;
    add_chunks(&db, live, 0..1).await;
    let (_, lease) = must_claim(&db, at(10)).await;
    db.end_recording(live, EndReason::Host, at(11)).await.unwrap();
    assert!(is_lost(db.finish_job(&lease, at(12)).await));
}
