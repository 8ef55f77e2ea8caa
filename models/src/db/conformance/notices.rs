//! On PostgreSQL changes are told to other processes: two handles stand for two.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

use super::*;
use crate::db::Change;

/// A failed test's patience, not a measure of anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `wanted` is heard and gives everything that was heard, it included.
async fn until(changes: &mut Receiver<Change>, wanted: Change) -> Vec<Change> {
    let mut heard = Vec::new();
    let hear = async {
        while heard.last() != Some(&wanted) {
            heard.push(changes.recv().await.unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, hear).await.unwrap_or_else(|_| panic!("no {wanted:?}"));
    heard
}

fn nothing_waits(changes: &mut Receiver<Change>) {
    assert!(matches!(changes.try_recv(), Err(TryRecvError::Empty)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_hear_of_a_change_and_we_hear_once() {
    let place = postgres_database().await;
    let (ours, theirs) = (place.open().await, place.open().await);
    let (mut here, mut there) = (ours.changes(), theirs.changes());
    let made = recording(&ours, "room", State::Live).await;
    add_chunks(&ours, made.id, 0..1).await;
    // Their answer comes behind everything of ours.
    let told =
        HashSet::from([Change::Room(made.room_id), Change::Recording(made.id), Change::Jobs]);
    let mut heard = HashSet::new();
    while !heard.is_superset(&told) {
        heard.insert(tokio::time::timeout(PATIENCE, there.recv()).await.unwrap().unwrap());
    }
    assert_eq!(heard, told);
    let room = a_room("answer");
    theirs.create_room(&room).await.unwrap();
    let heard = until(&mut here, Change::Room(room.id)).await;
    let of_ours: Vec<_> = heard.iter().filter(|change| told.contains(change)).collect();
    assert_eq!(of_ours.len(), heard.len() - 1, "{heard:?}");
    let rooms = heard.iter().filter(|change| **change == Change::Room(made.room_id));
    assert_eq!(rooms.count(), 1, "told when it was committed, not again when it came back");
    nothing_waits(&mut here);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_committed_is_not_told() {
    let place = postgres_database().await;
    let (ours, theirs) = (place.open().await, place.open().await);
    let mut there = theirs.changes();
    let room = a_room("room");
    ours.create_room(&room).await.unwrap();
    assert!(is_conflict(ours.create_room(&a_room("room")).await));
    let other = a_room("other");
    ours.create_room(&other).await.unwrap();
    let told: HashSet<_> = until(&mut there, Change::Room(other.id)).await.into_iter().collect();
    assert!(told.is_subset(&HashSet::from([Change::Room(room.id), Change::Room(other.id)])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_was_cut_off_says_so_and_hears_again() {
    let place = postgres_database().await;
    let server = servers::postgres();
    let (ours, theirs) = (place.open().await, place.open().await);
    let mut there = theirs.changes();
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name LIKE '% listens'";
    assert_eq!(server.psql(&place.url, cut), "2");
    until(&mut there, Change::Unknown).await;
    let room = a_room("room");
    ours.create_room(&room).await.unwrap();
    until(&mut there, Change::Room(room.id)).await;
    // Those who were idle are thrown away before they are used, or fail in a way that passes.
    let cut = "SELECT count(pg_terminate_backend(pid)) > 2 FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert_eq!(server.psql(&place.url, cut), "t");
    let mut refused = 0;
    while let Err(error) = ours.room(room.id).await {
        assert!(error.is_transient(), "{error:?}");
        refused += 1;
        assert!(refused < 20, "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_last_is_told_before_the_end() {
    let place = postgres_database().await;
    let (ours, theirs) = (place.open().await, place.open().await);
    let mut there = theirs.changes();
    let room = a_room("room");
    ours.create_room(&room).await.unwrap();
    ours.close().await;
    until(&mut there, Change::Room(room.id)).await;

    let ours = place.open().await;
    let room = a_room("another room");
    ours.create_room(&room).await.unwrap();
    drop(ours);
    until(&mut there, Change::Room(room.id)).await;
    // Nobody is left but theirs and who asks.
    let left = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND application_name LIKE '% listens'";
    let alone = async {
        while servers::postgres().psql(&place.url, left) != "1" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, alone).await.expect("the listener ends with its handle");
}
