//! What verifying costs: our puts and gets beside the bare ones of the AWS client, on one Garage.
//!
//! `cargo test -p roomtape-archive speed -- --ignored --nocapture`

use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use models::RecordingId;
use servers::garage;

use super::{Address, S3};
use crate::key::Key;
use crate::store::place::Secret;

/// Four seconds of Opus at 128 kbit/s.
const SIZE: usize = 64 * 1024;
const OBJECTS: u32 = 1500;

/// Runs `work` for each number, so many at a time; says how many a second and how long they took.
async fn measure<F: Future<Output = ()>>(name: &str, at_once: usize, work: impl Fn(u32) -> F) {
    let began = Instant::now();
    let timed = |n| {
        let work = work(n);
        async move {
            let began = Instant::now();
            work.await;
            began.elapsed()
        }
    };
    let took = stream::iter(0..OBJECTS).map(timed).buffer_unordered(at_once);
    let mut took: Vec<Duration> = took.collect().await;
    let each_s = f64::from(OBJECTS) / began.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |share: usize| took[(took.len() - 1) * share / 100].as_secs_f64() * 1e3;
    eprintln!(
        "{name:<9} {at_once:>3} at once: {each_s:>6.0}/s, median {:>6.1} ms, 99 % {:>6.1} ms",
        at(50),
        at(99)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn speed() {
    let bucket = garage().new_bucket();
    let address = Address::parse(&bucket.url).unwrap();
    let secret = Secret::from(bucket.secret.as_str());
    let s3 = S3::new(&address, Some(&bucket.key), Some(&secret)).await.unwrap();
    let bytes: Bytes = (0..SIZE).map(|at| (at * 31 % 241) as u8).collect();
    for at_once in [1, 16, 64] {
        let (ours, bare) = (RecordingId::new(), RecordingId::new());
        measure("put", at_once, async |n| {
            s3.put(&Key::Chunk(ours, n, 0), bytes.clone()).await.unwrap();
        })
        .await;
        let name = |n| s3.name(&Key::Chunk(bare, n, 0));
        measure("bare put", at_once, async |n| {
            let put = s3.clients.inner.put_object().bucket(&bucket.name).key(name(n));
            put.body(ByteStream::from(bytes.clone())).send().await.unwrap();
        })
        .await;
        measure("get", at_once, async |n| {
            let got = s3.get(&Key::Chunk(ours, n, 0), None).await.unwrap();
            assert_eq!(got.len(), SIZE);
        })
        .await;
        measure("bare get", at_once, async |n| {
            let got = s3.clients.inner.get_object().bucket(&bucket.name).key(name(n));
            let got = got.send().await.unwrap().body.collect().await.unwrap();
            assert_eq!(got.into_bytes().len(), SIZE);
        })
        .await;
    }
}
