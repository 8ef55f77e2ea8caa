//! What is particular to one kind of place: faults on the way, wrong settings, a store that is away.

mod away;
mod faults;
mod proxy;
mod settings;
mod signed;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use models::RecordingId;

use super::{Place, Secret, Store};
use crate::key::Key;

/// A bucket as an operator would name it.
pub(super) fn place(bucket: &servers::Bucket) -> Place {
    let (key, secret) = (Some(bucket.key.clone()), Some(Secret::from(bucket.secret.as_str())));
    Place { url: bucket.url.clone(), key, secret }
}

/// The same with more options.
fn place_with(bucket: &servers::Bucket, options: &str) -> Place {
    let place = place(bucket);
    Place { url: format!("{}&{options}", place.url), ..place }
}

/// The same behind another endpoint.
fn place_at(bucket: &servers::Bucket, endpoint: &str, options: &str) -> Place {
    let place = place_with(bucket, options);
    let own = servers::garage().endpoint();
    Place { url: place.url.replace(&own, endpoint), ..place }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_list_goes_on_past_the_most_that_one_answer_holds() {
    let bucket = servers::garage().new_bucket();
    let store = Store::open(&place(&bucket)).await.unwrap();
    let recording = RecordingId::new();
    let keys: Vec<_> = (0..1003).map(|seq| Key::Chunk(recording, seq, 0)).collect();
    let put = stream::iter(&keys).map(|key| store.put(key, Bytes::from_static(b"x")));
    put.buffer_unordered(32).try_collect::<()>().await.unwrap();
    let all: Vec<_> = keys.iter().map(|key| (key.path(), 1)).collect();
    assert_eq!(store.list(&Key::prefix(recording)).await.unwrap(), all);
}
