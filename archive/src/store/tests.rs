//! What is particular to one kind of place: faults on the way, wrong settings, a store that is away.

use super::{Place, Secret};

/// A bucket as an operator would name it.
pub(super) fn place(bucket: &servers::Bucket) -> Place {
    let (key, secret) = (Some(bucket.key.clone()), Some(Secret::from(bucket.secret.as_str())));
    Place { url: bucket.url.clone(), key, secret }
}
