use super::*;
use crate::db::jobs;
use crate::id::JobId;
use crate::job::State as Job;

/// All jobs there are to claim, in the order in which they are given out.
pub(super) async fn claims(db: &Db) -> Vec<JobId> {
    let mut order = Vec::new();
    while let Some((job, _)) = claim(db, at(40)).await {
        order.push(job.id);
    }
    order
}

pub(super) async fn asked_for_more_urgently_a_job_moves_up(place: &Place) {
    let db = place.open().await;
    let (first, second) = (of_host(&db, "ada", 1).await[0].clone(), of_host(&db, "bob", 1).await);
    let enqueue = async |id, class| db.enqueue(Kind::Transcribe, class, id, at(0)).await.unwrap();
    let batch = enqueue(first.id, Class::Batch).await;
    let fresh = enqueue(second[0].id, Class::Fresh).await;
    assert_eq!(enqueue(second[0].id, Class::Batch).await, fresh, "nothing is put off");
    assert_eq!(enqueue(first.id, Class::Fresh).await, batch);
    let moved = db.job(batch).await.unwrap();
    assert_eq!((moved.priority, moved.state), (50, Job::Ready));
    assert_eq!(claims(&db).await, [batch, fresh], "of two with one turn the elder goes first");
    assert_eq!(enqueue(first.id, Class::Live).await, batch, "it is being worked on");
    assert_eq!(db.job(batch).await.unwrap().priority, 50);
}

/// Recordings of a new room of this host, being imported.
pub(super) async fn of_host(db: &Db, host: &str, many: usize) -> Vec<Recording> {
    let slug = format!("room-of-{host}");
    let room = crate::Room { host: host.into(), ..a_room(&slug) };
    db.create_room(&room).await.unwrap();
    let first = db.create_recording(&new_recording(room.id, State::Importing)).await.unwrap();
    let mut all = vec![first.clone()];
    // In one transaction: ten thousand would take a while on a disk that keeps its promises.
    let mut tx = db.begin("make recordings").await.unwrap();
    for _ in 1..many {
        let next = Recording { id: RecordingId::new(), ..first.clone() };
        run!(
            tx,
            "make recordings",
            "INSERT INTO recordings
                 (id, room_id, title, origin, state, channels, source, created_at, updated_at)
             SELECT $2, room_id, title, origin, state, channels, source, created_at, updated_at
             FROM recordings WHERE id = $1",
            first.id.0,
            next.id.0,
        )
        .unwrap();
        all.push(next);
    }
    tx.commit().await.unwrap();
    all
}

/// Has all of them transcribed.
pub(super) async fn enqueue_all(db: &Db, recordings: &[Recording]) -> Vec<JobId> {
    let mut tx = db.begin("make jobs").await.unwrap();
    let mut ids = Vec::new();
    for recording in recordings {
        let (kind, class) = (Kind::Transcribe, Class::Fresh);
        ids.push(jobs::enqueue_within(&mut tx, kind, class, recording, at(0)).await.unwrap());
    }
    tx.commit().await.unwrap();
    ids
}

pub(super) async fn a_host_with_ten_thousand_jobs_queues_behind_itself(place: &Place) {
    let db = place.open().await;
    let busy = enqueue_all(&db, &of_host(&db, "busy", 10_000).await).await;
    for done in &busy[..3] {
        let (job, lease) = claim(&db, at(1)).await.unwrap();
        assert_eq!(job.id, *done, "its own jobs go in their order");
        db.finish_job(&lease, at(1)).await.unwrap();
    }
    let other = of_host(&db, "other", 2).await;
    let other = enqueue_all(&db, &other).await;
    let mut order = Vec::new();
    for _ in 0..6 {
        order.push(claim(&db, at(2)).await.unwrap().0.id);
    }
    assert_eq!(order, [busy[3], other[0], busy[4], other[1], busy[5], busy[6]]);

    // A room where nobody is named is a host of its own.
    let nobody = of_host(&db, "", 1).await;
    let nobody = enqueue_all(&db, &nobody).await;
    assert_eq!(db.job(nobody[0]).await.unwrap().host, "room-of-");
    assert_eq!(claim(&db, at(3)).await.unwrap().0.id, busy[7]);
    assert_eq!(claim(&db, at(3)).await.unwrap().0.id, nobody[0]);
}

pub(super) async fn hosts_take_turns_however_they_come(place: &Place) {
    let db = place.open().await;
    let a = of_host(&db, "a", 4).await;
    let b = of_host(&db, "b", 40).await;
    let b = enqueue_all(&db, &b).await;
    // A host that brings one job after the other, each when the one before it is done, gets every
    // second claim: neither more, though its queue is always empty, nor less.
    let mut order = Vec::new();
    for next in &a {
        let job = db.enqueue(Kind::Transcribe, Class::Fresh, next.id, at(1)).await.unwrap();
        loop {
            let (claimed, lease) = claim(&db, at(1)).await.unwrap();
            db.finish_job(&lease, at(1)).await.unwrap();
            order.push(claimed.host);
            if claimed.id == job {
                break;
            }
        }
    }
    assert_eq!(order, ["b", "a", "b", "a", "b", "a", "b", "a"]);
    // What one host did in the past does not count against it.
    for _ in 4..b.len() {
        let (_, lease) = claim(&db, at(2)).await.unwrap();
        db.finish_job(&lease, at(2)).await.unwrap();
    }
    assert!(claim(&db, at(2)).await.is_none());
    let again = of_host(&db, "late", 2).await;
    let (late, b) = (enqueue_all(&db, &again).await, enqueue_all(&db, &a[..1]).await);
    assert_eq!(claims(&db).await, [late[0], b[0], late[1]]);
}

pub(super) async fn what_comes_back_stands_at_the_head(place: &Place) {
    let db = place.open().await;
    let a = enqueue_all(&db, &of_host(&db, "a", 30).await).await;
    let (_, given_back) = claim(&db, at(0)).await.unwrap();
    let (_, failed) = claim(&db, at(0)).await.unwrap();
    for _ in 2..20 {
        let (_, lease) = claim(&db, at(0)).await.unwrap();
        db.finish_job(&lease, at(0)).await.unwrap();
    }
    db.release_job(&given_back, at(1)).await.unwrap();
    db.fail_job(&failed, "no network", false, at(1)).await.unwrap();
    let back = db.job(failed.job_id).await.unwrap();
    let head = db.job(a[20]).await.unwrap().turn;
    assert_eq!(db.job(given_back.job_id).await.unwrap().turn, head);
    // A new host queues from where the queue is, not from where those that come back once were.
    let b = enqueue_all(&db, &of_host(&db, "b", 30).await).await;
    assert_eq!(db.job(b[0]).await.unwrap().turn, head);
    let mut order = Vec::new();
    for _ in 0..4 {
        order.push(claim(&db, back.run_after).await.unwrap().0.id);
    }
    assert_eq!(order, [a[0], a[1], a[20], b[0]]);
}
