//! The first store goes away and comes back.

use std::time::{Duration, Instant};

use bytes::Bytes;
use models::RecordingId;
use servers::Garage;

use super::place_with;
use crate::key::Key;
use crate::store::{Cause, Error, Store};

/// What an impatient operator would set.
const QUICK: &str = "attempts=2&connect_timeout_ms=500&timeout_ms=1000";

fn bytes(of: u32) -> Bytes {
    Bytes::from(vec![of as u8; 1000 + of as usize])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn puts_go_on_and_everything_comes_home() {
    let garage = Garage::start();
    let bucket = garage.new_bucket();
    let folder = tempfile::tempdir().unwrap();
    let first = Store::open(&place_with(&bucket, QUICK)).await.unwrap();
    let backup = Store::disk(folder.path()).unwrap();
    let store = first.clone().with_backup(backup.clone());
    let recording = RecordingId::new();
    let key = |seq| Key::Chunk(recording, seq, 0);
    let prefix = Key::prefix(recording);

    for seq in 0..5 {
        store.put(&key(seq), bytes(seq)).await.unwrap();
    }
    assert_eq!(backup.list("").await.unwrap(), []);

    garage.kill();
    let began = Instant::now();
    for seq in 5..55 {
        store.put(&key(seq), bytes(seq)).await.unwrap();
    }
    // One series of tries is half a second and more; fifty of them are not waited for.
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(backup.list("").await.unwrap().len(), 50);
    for seq in [5, 54] {
        assert_eq!(store.get(&key(seq), None).await.unwrap(), bytes(seq));
        assert_eq!(store.get(&key(seq), Some(1..3)).await.unwrap(), bytes(seq).slice(1..3));
        assert_eq!(store.head(&key(seq)).await.unwrap(), Some(bytes(seq).len() as u64));
    }
    let again = store.put(&key(7), bytes(8)).await.unwrap_err();
    assert!(matches!(again, Error::Different { .. }), "{again:?}");
    store.put(&key(7), bytes(7)).await.unwrap();
    // What may lie in the store that is away is not said to be missing.
    for error in [
        store.get(&key(0), None).await.unwrap_err(),
        store.head(&key(99)).await.unwrap_err(),
        store.list(&prefix).await.unwrap_err(),
        store.delete(&key(0)).await.unwrap_err(),
        store.drain_backup().await.unwrap_err(),
    ] {
        assert!(error.is_away(), "{error:?}");
    }
    assert_eq!(store.presign(&key(5), Duration::from_secs(9), None).await.unwrap(), None);
    store.check().await.unwrap();
    assert!(first.check().await.is_err());

    garage.start_again();
    let all: Vec<_> = (0..55).map(|seq| (key(seq).path(), bytes(seq).len() as u64)).collect();
    assert_eq!(store.list(&prefix).await.unwrap(), all, "those of both, none twice");
    assert_eq!(store.drain_backup().await.unwrap(), 50);
    assert_eq!(store.drain_backup().await.unwrap(), 0);
    assert_eq!(backup.list("").await.unwrap(), []);
    assert_eq!(first.list(&prefix).await.unwrap(), all);
    for seq in 0..55 {
        assert_eq!(first.get(&key(seq), None).await.unwrap(), bytes(seq));
    }
    store.put(&key(55), bytes(55)).await.unwrap();
    assert_eq!(first.head(&key(55)).await.unwrap(), Some(1055), "it is asked again");
    assert!(store.presign(&key(5), Duration::from_secs(9), None).await.unwrap().is_some());
    store.delete(&key(5)).await.unwrap();
    assert_eq!(store.head(&key(5)).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn different_objects_of_one_name_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let first = Store::disk(folder.path().join("first")).unwrap();
    let backup = Store::disk(folder.path().join("backup")).unwrap();
    let recording = RecordingId::new();
    let (same, other, only) =
        (Key::Init(recording), Key::Chunk(recording, 0, 0), Key::Chunk(recording, 1, 0));
    first.put(&same, bytes(1)).await.unwrap();
    first.put(&other, bytes(2)).await.unwrap();
    backup.put(&same, bytes(1)).await.unwrap();
    backup.put(&other, bytes(3)).await.unwrap();
    backup.put(&only, bytes(4)).await.unwrap();

    let store = first.clone().with_backup(backup.clone());
    let error = store.drain_backup().await.unwrap_err();
    assert!(matches!(error, Error::Different { key, .. } if key == other), "{error:?}");
    assert!(!error.is_away());
    assert_eq!(backup.list("").await.unwrap(), [(other.path(), 1003)]);
    assert_eq!(first.get(&other, None).await.unwrap(), bytes(2));
    assert_eq!(first.get(&only, None).await.unwrap(), bytes(4));
    assert_eq!(store.list("").await.unwrap().len(), 3);
    let put = store.put(&other, bytes(2)).await.unwrap_err();
    assert!(matches!(put, Error::Different { there: 1003, .. }), "{put:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_either_nothing_is_said_to_be_kept() {
    let garage = Garage::start();
    let (one, two) = (garage.new_bucket(), garage.new_bucket());
    let first = Store::open(&place_with(&one, QUICK)).await.unwrap();
    let backup = Store::open(&place_with(&two, QUICK)).await.unwrap();
    let store = first.with_backup(backup);
    garage.kill();
    let key = Key::Init(RecordingId::new());
    for _ in 0..2 {
        let error = store.put(&key, bytes(1)).await.unwrap_err();
        assert!(matches!(error, Error::Neither { .. }) && error.is_away(), "{error:?}");
    }
    assert!(store.check().await.unwrap_err().is_away());
    let place = place_with(&one, QUICK);
    assert!(Store::open(&place).await.unwrap_err().is_away());
    let (late, error) = Store::open_even_away(&place).await.unwrap();
    assert!(matches!(error, Some(Error::Unusable { cause: Cause::Unreachable, .. })), "{error:?}");
    garage.start_again();
    late.put(&key, bytes(1)).await.unwrap();
    assert_eq!(store.get(&key, None).await.unwrap(), bytes(1));
}
