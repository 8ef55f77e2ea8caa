//! A put is tried again or fails loudly; what is read is what was kept.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use models::RecordingId;
use servers::garage;

use super::proxy::{Fault, Proxy};
use super::{place, place_at};
use crate::key::{Export, Key};
use crate::store::{Cause, Error, Store};

/// Bytes that look nothing like XML.
fn audio(size: usize) -> Bytes {
    (0..size).map(|at| (at * 37 % 253) as u8).collect()
}

/// A store seen through `plan`, once it is open, and the same without it.
async fn spoiled(
    bucket: &servers::Bucket,
    plan: impl Fn(&str, usize) -> Fault + Send + Sync + 'static,
) -> (Proxy, Store, Store) {
    // Opening it asks for a list, which is no part of the test.
    let plan = move |method: &str, before: usize| match (method, before) {
        ("GET", 0) => Fault::None,
        ("GET", _) => plan(method, before - 1),
        _ => plan(method, before),
    };
    let proxy = Proxy::start(plan).await;
    let store = Store::open(&place_at(bucket, &proxy.endpoint, "timeout_ms=2000")).await.unwrap();
    (proxy, store, Store::open(&place(bucket)).await.unwrap())
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let bucket = garage().new_bucket();
    for fault in [
        Fault::Reset,
        Fault::LoseAnswer,
        Fault::Answer(500, "InternalError"),
        Fault::Answer(503, "SlowDown"),
        Fault::Answer(503, "ServiceUnavailable"),
        Fault::Answer(502, ""),
    ] {
        let spoil = fault.clone();
        let plan = move |_: &str, n| if n < 2 { spoil.clone() } else { Fault::None };
        let (proxy, store, direct) = spoiled(&bucket, plan).await;
        let key = Key::Chunk(RecordingId::new(), 1, 0);
        let bytes = audio(50_000);
        store.put(&key, bytes.clone()).await.unwrap_or_else(|e| panic!("{fault:?}: {e:?}"));
        assert!(proxy.asked("PUT") > 2, "{fault:?}");
        assert_eq!(direct.get(&key, None).await.unwrap(), bytes, "{fault:?}");
        assert_eq!(store.get(&key, None).await.unwrap(), bytes, "{fault:?}");
        assert_eq!(store.list("").await.unwrap(), direct.list("").await.unwrap());
    }
}

#[tokio::test]
async fn answers_that_break_off_are_asked_for_again() {
    let bucket = garage().new_bucket();
    for fault in [Fault::CutAnswer, Fault::ShortAnswer] {
        let spoil = fault.clone();
        let plan = move |method: &str, n| match method {
            "GET" if n < 2 => spoil.clone(),
            _ => Fault::None,
        };
        let (proxy, store, direct) = spoiled(&bucket, plan).await;
        let (key, bytes) = (Key::Chunk(RecordingId::new(), 1, 0), audio(50_001));
        direct.put(&key, bytes.clone()).await.unwrap();
        assert_eq!(store.get(&key, None).await.unwrap(), bytes, "{fault:?}");
        assert_eq!(proxy.asked("GET"), 1 + 3, "{fault:?}");
    }
    let cut =
        |method: &str, n| if method == "GET" && n < 1 { Fault::CutAnswer } else { Fault::None };
    let (_proxy, store, direct) = spoiled(&bucket, cut).await;
    assert_eq!(store.list("").await.unwrap(), direct.list("").await.unwrap());
}

#[tokio::test]
async fn what_always_breaks_off_fails_loudly_and_never_short() {
    let bucket = garage().new_bucket();
    for fault in [Fault::CutAnswer, Fault::ShortAnswer] {
        let plan = move |method: &str, _| if method == "GET" { fault.clone() } else { Fault::None };
        let (_proxy, store, direct) = spoiled(&bucket, plan).await;
        let (key, bytes) = (Key::Chunk(RecordingId::new(), 1, 0), audio(50_001));
        direct.put(&key, bytes).await.unwrap();
        for range in [None, Some(10..40_010)] {
            let error = store.get(&key, range).await.unwrap_err();
            assert!(matches!(error, Error::Remote { cause: Cause::Garbled, .. }), "{error:?}");
        }
    }
}

#[tokio::test]
async fn refusals_are_not_tried_again() {
    let bucket = garage().new_bucket();
    for (status, code, cause) in [
        (403, "AccessDenied", Cause::Forbidden),
        (403, "InvalidAccessKeyId", Cause::Key),
        (404, "NoSuchBucket", Cause::Bucket),
        (400, "InvalidRequest", Cause::Refused),
    ] {
        let plan = move |method: &str, _| match method {
            "HEAD" => Fault::None,
            _ => Fault::Answer(status, code),
        };
        let (proxy, store, _) = spoiled(&bucket, plan).await;
        let key = Key::Init(RecordingId::new());
        for error in
            [store.put(&key, audio(9)).await.unwrap_err(), store.get(&key, None).await.unwrap_err()]
        {
            assert!(matches!(error, Error::Remote { cause: c, .. } if c == cause), "{error:?}");
            assert!(!error.is_away());
        }
        assert_eq!((proxy.asked("PUT"), proxy.asked("GET")), (1, 2), "{code}");
    }
}

#[tokio::test]
async fn altered_bytes_are_not_kept() {
    let bucket = garage().new_bucket();
    let plan = |method: &str, _| if method == "PUT" { Fault::Alter } else { Fault::None };
    let (_proxy, store, direct) = spoiled(&bucket, plan).await;
    let key = Key::Init(RecordingId::new());
    let error = store.put(&key, audio(1000)).await.unwrap_err();
    assert!(matches!(error, Error::Remote { cause: Cause::Damaged, .. }), "{error:?}");
    assert_eq!(direct.head(&key).await.unwrap(), None);
}

#[tokio::test]
async fn a_put_that_is_said_to_have_worked_is_looked_at() {
    let bucket = garage().new_bucket();
    let direct = Store::open(&place(&bucket)).await.unwrap();
    let key = Key::Init(RecordingId::new());
    let nothing = |method: &str, _| match method {
        "PUT" => Fault::Answer(200, ""),
        _ => Fault::None,
    };
    let (_proxy, store, _) = spoiled(&bucket, nothing).await;
    let error = store.put(&key, audio(1000)).await.unwrap_err();
    assert!(matches!(error, Error::Verify { back: 0, given: 1000, .. }), "{error:?}");

    for other in [audio(999), audio(1001).slice(1..)] {
        let key = Key::Init(RecordingId::new());
        let (to, back) = (direct.clone(), other.len());
        let replace = move |method: &str, _| match method {
            "PUT" => Fault::Replace(to.clone(), key, other.clone()),
            _ => Fault::None,
        };
        let (_proxy, store, _) = spoiled(&bucket, replace).await;
        let error = store.put(&key, audio(1000)).await.unwrap_err();
        let Error::Verify { back: found, given: 1000, .. } = error else { panic!("{error:?}") };
        assert_eq!(found, back);
        let again = store.put(&key, audio(1000)).await.unwrap_err();
        assert!(matches!(again, Error::Different { given: 1000, .. }), "{again:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_upload_leaves_no_parts() {
    const MIB: usize = 1024 * 1024;
    let bucket = garage().new_bucket();
    let pieces = || stream::iter((0..40).map(|_| Ok::<_, std::io::Error>(audio(MIB))));
    let key = || Key::Export(RecordingId::new(), [1; 16], Export::Mp4);

    // The third part is refused.
    let plan = |method: &str, n| match method {
        "PUT" if n >= 2 => Fault::Answer(403, "AccessDenied"),
        _ => Fault::None,
    };
    let (proxy, store, direct) = spoiled(&bucket, plan).await;
    let error = store.put_large(&key(), pieces()).await.unwrap_err();
    assert!(matches!(error, Error::Remote { cause: Cause::Forbidden, .. }), "{error:?}");
    assert!(proxy.asked("PUT") >= 3);
    no_upload_is_left(&bucket).await;

    // Whoever wanted it goes away while it is under way.
    let (reached, at) = tokio::sync::oneshot::channel();
    let mut reached = Some(reached);
    let endless = pieces().chain(stream::poll_fn(move |_| {
        reached.take().map(|reached| reached.send(()));
        std::task::Poll::Pending
    }));
    let other = direct.clone();
    let upload = tokio::spawn(async move { other.put_large(&key(), endless).await });
    at.await.unwrap();
    assert_ne!(unfinished(&bucket), 0);
    upload.abort();
    no_upload_is_left(&bucket).await;

    // A part that does not get through at first.
    let plan = |method: &str, n| match method {
        "PUT" if n < 2 => Fault::Reset,
        _ => Fault::None,
    };
    let (_proxy, store, _) = spoiled(&bucket, plan).await;
    assert_eq!(store.put_large(&key(), pieces()).await.unwrap(), 40 * MIB as u64);
    no_upload_is_left(&bucket).await;
    assert_eq!(direct.list("").await.unwrap().len(), 1);
}

/// Uploads that are begun and neither finished nor aborted, as the server counts them.
fn unfinished(bucket: &servers::Bucket) -> usize {
    let info = garage().cli(&["bucket", "info", &bucket.name]);
    let line = info.lines().find(|line| line.contains("nfinished")).unwrap_or_default();
    let count = line.split_whitespace().find_map(|word| word.parse().ok());
    count.unwrap_or(0)
}

async fn no_upload_is_left(bucket: &servers::Bucket) {
    for _ in 0..3000 {
        if unfinished(bucket) == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("parts are left: {}", garage().cli(&["bucket", "info", &bucket.name]));
}
