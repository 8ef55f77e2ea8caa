//! What every place for objects must do, said once and run on each.

use std::future::Future;
use std::io;
use std::task::Poll;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use models::RecordingId;

use super::tests::place;
use super::{Error, Store};
use crate::key::{Export, Key};

/// Runs the whole suite. `open` opens the same place each time, as a restart would.
async fn suite<F, Fut>(open: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Store>,
{
    what_was_put_is_there_after_a_restart(&open).await;
    ranges_are_exact(&open().await).await;
    objects_never_change(&open().await).await;
    lists_are_sorted_and_by_prefix(&open().await).await;
    what_is_deleted_is_gone(&open().await).await;
    many_writers_of_one_object_agree(&open().await).await;
    large_objects_are_whole_or_absent(&open().await).await;
}

async fn what_was_put_is_there_after_a_restart<F, Fut>(open: &F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Store>,
{
    let key = Key::Init(RecordingId::new());
    let store = open().await;
    assert_eq!(store.head(&key).await.unwrap(), None);
    store.put(&key, Bytes::from_static(b"header")).await.unwrap();
    drop(store);
    let store = open().await;
    assert_eq!(store.get(&key, None).await.unwrap(), "header");
    assert_eq!(store.head(&key).await.unwrap(), Some(6));
}

async fn ranges_are_exact(store: &Store) {
    let key = Key::Chunk(RecordingId::new(), 3, 0);
    store.put(&key, Bytes::from_static(b"0123456789")).await.unwrap();
    for (range, expected) in [(0..10, "0123456789"), (2..5, "234"), (9..10, "9"), (10..10, "")] {
        assert_eq!(store.get(&key, Some(range)).await.unwrap(), expected);
    }
    let reversed = std::ops::Range { start: 5, end: 2 };
    for range in [reversed, 5..11, 11..11, 0..u64::MAX] {
        let error = store.get(&key, Some(range.clone())).await.unwrap_err();
        assert!(matches!(error, Error::Range { size: 10, .. }), "{range:?}: {error}");
    }
}

async fn objects_never_change(store: &Store) {
    let key = Key::Chunk(RecordingId::new(), 0, 0);
    let first = Bytes::from(vec![7; 100_000]);
    store.put(&key, first.clone()).await.unwrap();
    store.put(&key, first.clone()).await.unwrap();
    for other in [vec![8; 100_000], vec![7; 99_999], vec![]] {
        let error = store.put(&key, other.into()).await.unwrap_err();
        assert!(matches!(error, Error::Different { there: 100_000, .. }), "{error}");
        assert_eq!(store.get(&key, None).await.unwrap(), first);
    }
}

async fn lists_are_sorted_and_by_prefix(store: &Store) {
    let (one, two) = (RecordingId::new(), RecordingId::new());
    let keys =
        [Key::Chunk(one, 10, 0), Key::Chunk(one, 9, 0), Key::Init(one), Key::Chunk(two, 0, 0)];
    for (size, key) in keys.iter().enumerate() {
        store.put(key, vec![0; size + 1].into()).await.unwrap();
    }
    let of_one = [(keys[1], 2), (keys[0], 1), (keys[2], 3)].map(|(key, size)| (key.path(), size));
    assert_eq!(store.list(&Key::prefix(one)).await.unwrap(), of_one);
    let chunk = keys[0].path();
    assert_eq!(store.list(&chunk[..chunk.len() - 5]).await.unwrap(), of_one[1..2]);
    assert_eq!(store.list(&Key::prefix(RecordingId::new())).await.unwrap(), []);
    let recordings = store.recordings().await.unwrap();
    assert!(recordings.is_sorted() && recordings.contains(&one) && recordings.contains(&two));
    assert_eq!(store.list("../").await.unwrap(), []);
    let all = store.list("").await.unwrap();
    assert!(all.is_sorted() && keys.iter().all(|key| all.iter().any(|(p, _)| *p == key.path())));
}

async fn what_is_deleted_is_gone(store: &Store) {
    let key = Key::Init(RecordingId::new());
    store.delete(&key).await.unwrap();
    store.put(&key, Bytes::from_static(b"x")).await.unwrap();
    store.delete(&key).await.unwrap();
    store.delete(&key).await.unwrap();
    assert!(matches!(store.get(&key, None).await, Err(Error::Missing(missing)) if missing == key));
    assert_eq!(store.head(&key).await.unwrap(), None);
    store.put(&key, Bytes::from_static(b"other")).await.unwrap();
    assert_eq!(store.get(&key, None).await.unwrap(), "other");
}

async fn large_objects_are_whole_or_absent(store: &Store) {
    let key = Key::Export(RecordingId::new(), [7; 16], Export::Mp4);
    // Three parts and a bit, in pieces that fit into none of them.
    let size = 3 * 8 * 1024 * 1024 + 5;
    let whole: Bytes = (0..size).map(|at: u32| (at % 251) as u8).collect();
    let pieces = |until: usize| {
        let pieces: Vec<_> = whole[..until].chunks(999_983).map(Bytes::copy_from_slice).collect();
        stream::iter(pieces.into_iter().map(Ok::<_, io::Error>))
    };
    let torn = pieces(20_000_000).chain(stream::iter([Err(io::Error::other("torn"))]));
    let error = store.put_large(&key, torn).await.unwrap_err();
    assert!(matches!(error, Error::Bytes { key: k, .. } if k == key), "{error}");
    assert_eq!(store.head(&key).await.unwrap(), None);

    assert_eq!(store.put_large(&key, pieces(whole.len())).await.unwrap(), u64::from(size));
    assert_eq!(store.head(&key).await.unwrap(), Some(u64::from(size)));
    assert!(store.get(&key, None).await.unwrap() == whole);
    let seam = 8 * 1024 * 1024 - 3..8 * 1024 * 1024 + 3;
    let part = store.get(&key, Some(seam.start as u64..seam.end as u64)).await.unwrap();
    assert_eq!(part, whole[seam]);

    let unasked = stream::poll_fn(|_| -> Poll<Option<Result<Bytes, io::Error>>> { panic!() });
    assert_eq!(store.put_large(&key, unasked).await.unwrap(), u64::from(size));
    let empty = Key::Export(RecordingId::new(), [7; 16], Export::Mp4);
    assert_eq!(store.put_large(&empty, pieces(0)).await.unwrap(), 0);
    assert_eq!(store.get(&empty, None).await.unwrap(), "");
    store.delete(&key).await.unwrap();
}

/// All with the same bytes succeed; where bytes differ, those of one of them win as a whole.
async fn many_writers_of_one_object_agree(store: &Store) {
    let key = Key::Chunk(RecordingId::new(), 1, 0);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..16_u8 {
        let store = store.clone();
        let bytes = Bytes::from(vec![writer / 8; 50_000]);
        writers.spawn(async move { (writer / 8, store.put(&key, bytes).await) });
    }
    let results = writers.join_all().await;
    let kept = store.get(&key, None).await.unwrap();
    assert!(kept.len() == 50_000 && kept.iter().all(|byte| *byte == kept[0]));
    for (value, result) in results {
        assert_eq!(result.is_ok(), value == kept[0], "{value}: {result:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn disk() {
    let dir = tempfile::tempdir().unwrap();
    suite(|| async { Store::disk(dir.path().join("deep/store")).unwrap() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s3() {
    let bucket = servers::garage().new_bucket();
    suite(|| async { Store::open(&place(&bucket)).await.unwrap() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s3_under_a_prefix_beside_others() {
    let bucket = servers::garage().new_bucket();
    let below = |prefix: &str| {
        let mut place = place(&bucket);
        place.url = place.url.replace('?', &format!("/{prefix}?"));
        async move { Store::open(&place).await.unwrap() }
    };
    let (root, other) = (Store::open(&place(&bucket)).await.unwrap(), below("tapes").await);
    let key = Key::Init(RecordingId::new());
    other.put(&key, Bytes::from_static(b"theirs")).await.unwrap();
    suite(|| below("tapes/of/ours")).await;
    assert_eq!(other.get(&key, None).await.unwrap(), "theirs");
    assert_eq!(root.head(&key).await.unwrap(), None);
    let names = root.list("").await.unwrap();
    assert!(names.iter().all(|(name, _)| name.starts_with("tapes/")), "{names:?}");
    assert_eq!(names.iter().filter(|(n, _)| n.starts_with("tapes/recordings/")).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s3_backed_by_disk() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = servers::garage().new_bucket();
    suite(|| async {
        let first = Store::open(&place(&bucket)).await.unwrap();
        first.with_backup(Store::disk(dir.path()).unwrap())
    })
    .await;
    assert_eq!(Store::disk(dir.path()).unwrap().list("").await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn disk_backed_by_s3() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = servers::garage().new_bucket();
    suite(|| async {
        let backup = Store::open(&place(&bucket)).await.unwrap();
        Store::disk(dir.path()).unwrap().with_backup(backup)
    })
    .await;
}

#[tokio::test]
async fn what_a_crash_left_on_disk_is_removed_and_never_listed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::disk(dir.path()).unwrap();
    let (left, held) = (dir.path().join(".tmp/put-left"), dir.path().join(".tmp/put-held"));
    std::fs::write(&left, b"half").unwrap();
    let writer = std::fs::File::create(&held).unwrap();
    writer.lock().unwrap();
    assert_eq!(store.list("").await.unwrap(), []);
    Store::disk(dir.path()).unwrap();
    assert!(!left.exists(), "nobody writes it: it goes");
    assert!(held.exists(), "somebody writes it: it stays");
    drop(writer);
    Store::disk(dir.path()).unwrap();
    assert!(!held.exists());
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_says_which_step_failed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::disk(dir.path()).unwrap();
    // A file where a folder belongs fails also for root, whom permissions do not stop.
    std::fs::write(dir.path().join("recordings"), b"").unwrap();
    let key = Key::Init(RecordingId::new());
    let error = store.put(&key, Bytes::from_static(b"x")).await.unwrap_err();
    assert_eq!(error.to_string(), format!("make the folder of {key}"));
    assert!(matches!(Store::disk(dir.path().join("recordings")), Err(Error::Open { .. })));
    assert_eq!(std::fs::read_dir(dir.path().join(".tmp")).unwrap().count(), 0);
}
