use super::*;
use crate::db::JobFilter;
use crate::id::JobId;
use crate::job::{MAX_ATTEMPTS, State as Job};
use crate::recording::EndReason;

/// The recording's live job.
async fn live_job(db: &Db, recording: RecordingId) -> crate::Job {
    let jobs = db.jobs_of(recording).await.unwrap();
    let [job] =
        <[_; 1]>::try_from(jobs).expect("a recording has one live job, however often woken");
    assert_eq!(job.kind, Kind::TranscribeLive);
    job
}

pub(super) async fn a_chunk_makes_and_wakes_the_live_job(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Live).await.id;
    add_chunks(&db, id, 0..2).await;
    let made = live_job(&db, id).await;
    assert_eq!((made.state, made.priority, made.total), (Job::Ready, 100, Ticks::from_secs(8)));

    let (claimed, lease) = claim(&db, at(20)).await.unwrap();
    assert_eq!(claimed.id, made.id);
    db.finish_job(&lease, at(21)).await.unwrap();
    assert_eq!(live_job(&db, id).await.state, Job::Done);
    assert!(claim(&db, at(22)).await.is_none());

    // A paused recording still gets the chunk that was being written.
    db.set_state(id, State::Paused, at(23)).await.unwrap();
    db.add_chunk(id, &chunk(2), &[], &[], at(24)).await.unwrap();
    let woken = live_job(&db, id).await;
    assert_eq!((woken.id, woken.state, woken.attempt), (made.id, Job::Ready, 0));
    assert_eq!((woken.total, woken.run_after), (Ticks::from_secs(12), at(24)));
    assert!(claim(&db, at(24)).await.is_some());

    let import = recording(&db, "import", State::Importing).await.id;
    add_chunks(&db, import, 0..1).await;
    assert_eq!(db.jobs_of(import).await.unwrap(), [], "an import has no live captions");
}

pub(super) async fn a_live_job_woken_while_running_runs_again(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Live).await.id;
    add_chunks(&db, id, 0..1).await;
    let (_, lease) = claim(&db, at(20)).await.unwrap();
    db.add_chunk(id, &chunk(1), &[], &[], at(21)).await.unwrap();
    db.add_chunk(id, &chunk(2), &[], &[], at(22)).await.unwrap();
    let running = live_job(&db, id).await;
    assert_eq!((running.state, running.token), (Job::Running, lease.token));
    assert_eq!(running.total, Ticks::from_secs(12));

    db.finish_job(&lease, at(23)).await.unwrap();
    let again = live_job(&db, id).await;
    assert_eq!((again.state, again.attempt, again.run_after), (Job::Ready, 0, at(23)));
    let (_, lease) = claim(&db, at(23)).await.unwrap();
    db.finish_job(&lease, at(24)).await.unwrap();
    assert_eq!(live_job(&db, id).await.state, Job::Done, "woken twice, run once");
}

pub(super) async fn a_live_job_put_to_sleep_is_not_woken(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Live).await.id;
    add_chunks(&db, id, 0..1).await;
    let job = live_job(&db, id).await;
    db.cancel_job(job.id, at(20)).await.unwrap();
    add_chunks(&db, id, 1..2).await;
    assert_eq!(live_job(&db, id).await.state, Job::Cancelled);
    db.retry_job(job.id, at(21)).await.unwrap();
    let (_, lease) = claim(&db, at(21)).await.unwrap();
    db.fail_job(&lease, "no such weights", true, at(22)).await.unwrap();
    add_chunks(&db, id, 2..3).await;
    assert_eq!(live_job(&db, id).await.state, Job::Dead);
    assert_eq!(live_job(&db, id).await.total, Ticks::from_secs(12), "what there is to do is known");

    db.end_recording(id, EndReason::Host, at(30)).await.unwrap();
    assert!(is_conflict(db.retry_job(job.id, at(31)).await), "nothing is live any more");
}

pub(super) async fn a_kind_has_one_open_job_a_recording(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Importing).await.id;
    let first = db.enqueue(Kind::Transcribe, Class::Fresh, id, at(2)).await.unwrap();
    assert_eq!(db.enqueue(Kind::Transcribe, Class::Fresh, id, at(3)).await.unwrap(), first);
    let (_, lease) = claim(&db, at(4)).await.unwrap();
    assert_eq!(
        db.enqueue(Kind::Transcribe, Class::Fresh, id, at(5)).await.unwrap(),
        first,
        "running is open"
    );
    db.finish_job(&lease, at(6)).await.unwrap();
    let second = db.enqueue(Kind::Transcribe, Class::Fresh, id, at(7)).await.unwrap();
    assert_ne!(second, first);
    db.cancel_job(second, at(8)).await.unwrap();
    let third = db.enqueue(Kind::Transcribe, Class::Fresh, id, at(9)).await.unwrap();
    assert!(is_conflict(db.retry_job(second, at(10)).await), "the third took its place");
    let ids: Vec<_> = db.jobs_of(id).await.unwrap().iter().map(|job| job.id).collect();
    assert_eq!(ids, [first, second, third]);
    assert!(matches!(
        db.enqueue(Kind::Transcribe, Class::Fresh, RecordingId::new(), at(9)).await,
        Err(Error::NotFound { what: "recording" })
    ));
}

pub(super) async fn the_most_urgent_job_goes_first(place: &Place) {
    let db = place.open().await;
    let mut ids = Vec::new();
    for (slug, class) in [("a", Class::Batch), ("b", Class::Fresh), ("c", Class::Batch)] {
        let id = recording(&db, slug, State::Importing).await.id;
        ids.push(db.enqueue(Kind::Transcribe, class, id, at(10)).await.unwrap());
    }
    let live = recording(&db, "live", State::Live).await.id;
    add_chunks(&db, live, 0..1).await;
    let live = live_job(&db, live).await.id;
    for (id, priority) in [(live, 100), (ids[1], 50), (ids[0], 10)] {
        assert_eq!(db.job(id).await.unwrap().priority, priority);
    }
    let order = super::queue::claims(&db).await;
    assert_eq!(order, [live, ids[1], ids[0], ids[2]], "live, fresh, batch");

    let one = recording(&db, "one", State::Importing).await.id;
    db.enqueue(Kind::Transcribe, Class::Fresh, one, at(50)).await.unwrap();
    let only = |kinds: &'static [Kind]| db.claim(kinds, Limits::default(), "w", 1_000, at(50));
    assert!(only(&[Kind::TranscribeLive]).await.unwrap().is_none());
    assert!(only(&[]).await.unwrap().is_none());
    let (job, lease) = only(&[Kind::Transcribe]).await.unwrap().unwrap();
    assert_eq!((job.recording_id, job.attempt), (one, 1));
    assert_eq!(job.lease, Some(("w".into(), at(51))));
    assert_eq!((lease.job_id, lease.token), (job.id, job.token));
}

pub(super) async fn a_failed_job_waits_and_is_dead_in_the_end(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Importing).await.id;
    let job = db.enqueue(Kind::Transcribe, Class::Fresh, id, at(0)).await.unwrap();
    let mut now = at(0);
    for (attempt, wait_ms) in (1..).zip([2_000, 4_000, 8_000, 16_000]) {
        let (claimed, lease) = claim(&db, now).await.unwrap();
        assert_eq!(claimed.attempt, attempt);
        db.fail_job(&lease, "out of memory", false, now).await.unwrap();
        let failed = db.job(job).await.unwrap();
        assert_eq!((failed.state, failed.lease), (Job::Ready, None));
        assert_eq!(failed.error.as_deref(), Some("out of memory"));
        let spread = wait_ms / 4;
        assert!(failed.run_after >= now.plus_millis(wait_ms - spread));
        assert!(failed.run_after <= now.plus_millis(wait_ms + spread));
        now = failed.run_after;
        assert!(claim(&db, WallMicros(now.0 - 1)).await.is_none(), "not before its time");
    }
    let (last, lease) = claim(&db, now).await.unwrap();
    assert_eq!(last.attempt, MAX_ATTEMPTS);
    db.fail_job(&lease, "again", false, now).await.unwrap();
    let dead = db.job(job).await.unwrap();
    assert_eq!((dead.state, dead.error.as_deref()), (Job::Dead, Some("again")));
    assert!(claim(&db, now.plus_millis(3_600_000)).await.is_none());

    let again = db.retry_job(job, now).await.unwrap();
    assert_eq!((again.state, again.attempt, again.error), (Job::Ready, 0, None));
    let (_, lease) = claim(&db, now).await.unwrap();
    db.finish_job(&lease, now).await.unwrap();
    let done = db.job(job).await.unwrap();
    assert_eq!((done.state, done.error), (Job::Done, None), "what went wrong is over");
}

pub(super) async fn retry_and_cancel_keep_to_the_rules(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Importing).await.id;
    let job = db.enqueue(Kind::Transcribe, Class::Fresh, id, at(0)).await.unwrap();
    let (_, lease) = claim(&db, at(0)).await.unwrap();
    assert!(is_conflict(db.retry_job(job, at(1)).await), "it is being worked on");
    db.fail_job(&lease, "no network", false, at(1)).await.unwrap();
    assert_eq!(db.retry_job(job, at(1)).await.unwrap().run_after, at(1), "waits no longer");

    let cancelled = db.cancel_job(job, at(2)).await.unwrap();
    assert_eq!(cancelled.state, Job::Cancelled);
    assert_eq!(db.cancel_job(job, at(3)).await.unwrap(), cancelled);
    assert!(claim(&db, at(4)).await.is_none());
    db.retry_job(job, at(5)).await.unwrap();
    let (_, lease) = claim(&db, at(5)).await.unwrap();
    db.fail_job(&lease, "no such file", true, at(6)).await.unwrap();
    assert!(is_conflict(db.cancel_job(job, at(7)).await), "it is dead");
    db.retry_job(job, at(8)).await.unwrap();
    let (_, lease) = claim(&db, at(8)).await.unwrap();
    db.finish_job(&lease, at(9)).await.unwrap();
    assert!(is_conflict(db.cancel_job(job, at(10)).await), "it is done");
    assert!(is_conflict(db.retry_job(job, at(10)).await), "it is done");

    let nobody = JobId::new();
    for result in [db.job(nobody).await, db.retry_job(nobody, at(1)).await] {
        assert!(matches!(result, Err(Error::NotFound { what: "job" })));
    }
    assert!(matches!(db.cancel_job(nobody, at(1)).await, Err(Error::NotFound { what: "job" })));
}

pub(super) async fn jobs_are_paged_and_filtered(place: &Place) {
    let db = place.open().await;
    let mut ids = Vec::new();
    for slug in ["a", "b", "c"] {
        let id = recording(&db, slug, State::Importing).await.id;
        ids.push(db.enqueue(Kind::Transcribe, Class::Fresh, id, at(0)).await.unwrap());
    }
    db.cancel_job(ids[1], at(1)).await.unwrap();
    let list = async |state: Option<Job>, before: Option<JobId>, limit: u32| -> Vec<JobId> {
        let filter = JobFilter { state, kind: None };
        db.jobs(filter, before, limit).await.unwrap().iter().map(|job| job.id).collect()
    };
    assert_eq!(list(None, None, 2).await, [ids[2], ids[1]]);
    assert_eq!(list(None, Some(ids[1]), 2).await, [ids[0]]);
    assert_eq!(list(Some(Job::Ready), None, 10).await, [ids[2], ids[0]]);
    assert_eq!(list(Some(Job::Cancelled), Some(ids[2]), 10).await, [ids[1]]);
    assert_eq!(list(Some(Job::Dead), None, 10).await, []);
    let live = recording(&db, "live", State::Live).await.id;
    add_chunks(&db, live, 0..1).await;
    for (state, kind, many) in [
        (None, Some(Kind::Transcribe), 3),
        (None, Some(Kind::TranscribeLive), 1),
        (Some(Job::Ready), Some(Kind::TranscribeLive), 1),
        (Some(Job::Cancelled), Some(Kind::TranscribeLive), 0),
    ] {
        let found = db.jobs(JobFilter { state, kind }, None, 10).await.unwrap();
        assert_eq!(found.len(), many, "{state:?} {kind:?}");
        assert!(kind.is_none_or(|kind| found.iter().all(|job| job.kind == kind)));
    }
}
