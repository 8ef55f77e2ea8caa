use std::collections::HashSet;

use super::queue::{enqueue_all, of_host};
use super::*;
use crate::db::JobFilter;
use crate::id::TranscriptId;
use crate::job::{MAX_ATTEMPTS, State as Job};
use crate::recording::EndReason;
use crate::transcript::{MadeBy, Transcript};

/// Claims the next job for 60 s, or fails the test.
async fn must_claim(db: &Db, now: WallMicros) -> (crate::Job, Lease) {
    claim(db, now).await.expect("there is a job to claim")
}

async fn transcribe_job(db: &Db) -> crate::Job {
    let id = recording(db, "room", State::Importing).await.id;
    let job = db.enqueue(Kind::Transcribe, Class::Fresh, id, at(0)).await.unwrap();
    db.job(job).await.unwrap()
}

pub(super) async fn eight_workers_get_each_of_a_thousand_jobs_once(place: &Place) {
    let handles = [place.open().await, place.open().await];
    let mut all = HashSet::new();
    for host in ["ada", "bob", "cleo", "dan"] {
        all.extend(enqueue_all(&handles[0], &of_host(&handles[0], host, 250).await).await);
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
                    assert_eq!(job.attempt, 1);
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
    assert_eq!(done.len(), 1_000);
    assert_eq!(done.into_iter().collect::<HashSet<_>>(), all);
    for open in [Job::Ready, Job::Running] {
        let filter = JobFilter { state: Some(open), kind: None };
        assert_eq!(handles[1].jobs(filter, None, 10).await.unwrap(), []);
    }
}

pub(super) async fn limits_hold_against_eight_workers(place: &Place) {
    let handles = [place.open().await, place.open().await];
    let recordings = of_host(&handles[0], "ada", 40).await;
    enqueue_all(&handles[0], &recordings).await;
    let limits = Limits { transcribe: Some(3), live: None };
    for round in 0..10 {
        let workers: Vec<_> = (0..8)
            .map(|n| {
                let db = handles[n % 2].clone();
                tokio::spawn(async move {
                    let kinds = [Kind::TranscribeLive, Kind::Transcribe];
                    db.claim(&kinds, limits, "worker", 60_000, at(round)).await.unwrap()
                })
            })
            .collect();
        let mut got = Vec::new();
        for worker in workers {
            got.extend(worker.await.unwrap());
        }
        assert_eq!(got.len(), 3, "no more and no less in round {round}");
        for (_, lease) in got {
            handles[1].finish_job(&lease, at(round)).await.unwrap();
        }
    }
    // A kind that is full does not keep the others from being claimed, nor does a lost worker keep
    // its place for longer than its lease.
    let db = &handles[0];
    let full = Limits { transcribe: Some(1), live: None };
    let both = [Kind::TranscribeLive, Kind::Transcribe];
    let claim = async |now| db.claim(&both, full, "worker", 60_000, now).await.unwrap();
    let (lost, _) = claim(at(20)).await.unwrap();
    assert!(claim(at(20)).await.is_none());
    let live = recording(db, "live", State::Live).await.id;
    add_chunks(db, live, 0..1).await;
    assert_eq!(claim(at(21)).await.unwrap().0.kind, Kind::TranscribeLive);
    assert!(claim(at(79)).await.is_none());
    assert_eq!(claim(at(80)).await.unwrap().0.id, lost.id);
}

pub(super) async fn a_whole_site_that_was_away_comes_back(place: &Place) {
    let db = place.open().await;
    let jobs = enqueue_all(&db, &of_host(&db, "ada", 100).await).await;
    let mut leases = Vec::new();
    for _ in 0..70 {
        leases.push(must_claim(&db, at(0)).await.1);
    }
    let mut waits = at(0);
    for lease in leases.drain(..30) {
        db.fail_job(&lease, "no network", false, at(1)).await.unwrap();
        waits = waits.max(db.job(lease.job_id).await.unwrap().run_after);
    }
    // 40 leases have run out, 30 jobs have waited long enough, and 30 were never begun.
    let later = at(60).max(waits);
    must_claim(&db, later).await;
    let running = JobFilter { state: Some(Job::Running), kind: None };
    let left = db.jobs(running, None, 200).await.unwrap().len();
    assert_eq!(left, 40 - 16 + 1, "one claim takes back a few only");
    let mut seen = HashSet::new();
    for _ in 1..100 {
        let (job, _) = must_claim(&db, later).await;
        assert!(seen.insert(job.id), "{job:?} twice");
        assert_eq!(job.lease, Some(("worker".into(), later.plus_millis(60_000))));
    }
    assert!(claim(&db, later).await.is_none());
    for id in jobs {
        let job = db.job(id).await.unwrap();
        assert_eq!((job.state, job.updated_at), (Job::Running, later));
    }
}

pub(super) async fn a_lease_taken_back_is_lost_before_anyone_claims(place: &Place) {
    let db = place.open().await;
    let job = transcribe_job(&db).await;
    let (_, lease) = must_claim(&db, at(0)).await;
    let transcript = begin(&db, &lease, &job).await.unwrap();
    // Whoever looks for this kind takes it back, though he may not begin it.
    let full = Limits { transcribe: Some(0), live: None };
    let look = async |kinds: &[Kind]| db.claim(kinds, full, "w", 1_000, at(60)).await.unwrap();
    assert!(look(&[Kind::TranscribeLive]).await.is_none());
    db.heartbeat(&lease, 1_000, at(60)).await.unwrap();
    assert!(db.claim(&[Kind::Transcribe], full, "w", 1_000, at(61)).await.unwrap().is_none());
    check_refused(&db, &lease, &job, transcript.id).await;
    let ready = db.job(job.id).await.unwrap();
    assert_eq!((ready.state, ready.lease, ready.updated_at), (Job::Ready, None, at(61)));
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

async fn begin(db: &Db, lease: &Lease, job: &crate::Job) -> crate::db::Result<Transcript> {
    let made_by = MadeBy {
        engine: "e".into(),
        weights: "w".into(),
        weights_sha256: "00".into(),
        parameters: serde_json::json!({}),
    };
    db.begin_transcript(lease, job.recording_id, false, &made_by, at(1)).await
}

/// Tries everything a worker may write, and finds that nothing was.
async fn check_refused(db: &Db, stale: &Lease, job: &crate::Job, id: TranscriptId) {
    let rows = async || {
        let (job, versions) = (db.job(job.id).await, db.transcripts(job.recording_id).await);
        (job.unwrap(), versions.unwrap(), db.segments(id, 0).await.unwrap())
    };
    let before = rows().await;
    let second = Ticks::from_secs(1);
    let words = [super::transcripts::segment(0)];
    let late = at(600);
    assert!(is_lost(db.heartbeat(stale, 60_000, late).await));
    assert!(is_lost(begin(db, stale, job).await));
    assert!(is_lost(db.commit_window(stale, id, second, &words, second, late).await));
    let early = super::transcripts::secs(1, 2);
    assert!(is_lost(db.keep_ahead(stale, id, early, "", late).await));
    assert!(is_lost(db.complete_transcript(stale, id, late).await));
    assert!(is_lost(db.fail_job(stale, "late", true, late).await));
    assert!(is_lost(db.release_job(stale, late).await));
    assert!(is_lost(db.finish_job(stale, late).await));
    assert_eq!(rows().await, before, "nothing was touched");
}

pub(super) async fn a_stale_token_is_refused_on_every_write(place: &Place) {
    let db = place.open().await;
    let job = transcribe_job(&db).await;
    let (_, stale) = must_claim(&db, at(0)).await;
    let transcript = begin(&db, &stale, &job).await.unwrap();
    let (_, fresh) = must_claim(&db, at(60)).await;
    check_refused(&db, &stale, &job, transcript.id).await;

    let current = db.job(job.id).await.unwrap();
    assert_eq!((current.state, current.token, current.error), (Job::Running, fresh.token, None));
    assert_eq!(begin(&db, &fresh, &job).await.unwrap(), transcript, "the new worker resumes it");

    let unknown = Lease { job_id: crate::JobId::new(), token: 1 };
    assert!(is_lost(db.heartbeat(&unknown, 60_000, at(62)).await));
    let from_the_future = Lease { token: fresh.token + 1, ..fresh };
    assert!(is_lost(db.finish_job(&from_the_future, at(62)).await));

    db.finish_job(&fresh, at(63)).await.unwrap();
    check_refused(&db, &fresh, &job, transcript.id).await;
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

pub(super) async fn a_job_that_gets_further_may_lose_many_workers(place: &Place) {
    let db = place.open().await;
    let job = transcribe_job(&db).await;
    let mut now = at(0);
    for n in 1..=3 * u64::from(MAX_ATTEMPTS) {
        let (claimed, lease) = must_claim(&db, now).await;
        assert_eq!(claimed.attempt, if n == 1 { 1 } else { 2 });
        let transcript = begin(&db, &lease, &job).await.unwrap();
        let (done, all) = (Ticks::from_secs(n), Ticks::from_secs(600));
        db.commit_window(&lease, transcript.id, done, &[], all, now).await.unwrap();
        now = now.plus_millis(60_000);
    }
    for n in 1..MAX_ATTEMPTS {
        let (claimed, lease) = must_claim(&db, now).await;
        assert_eq!(claimed.attempt, n + 1, "it is stuck");
        let transcript = begin(&db, &lease, &job).await.unwrap();
        let all = Ticks::from_secs(600);
        db.commit_window(&lease, transcript.id, transcript.covered, &[], all, now).await.unwrap();
        now = now.plus_millis(60_000);
    }
    assert!(claim(&db, now).await.is_none());
    assert_eq!(db.job(job.id).await.unwrap().state, Job::Dead);
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
