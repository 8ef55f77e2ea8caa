//! Large objects, put in parts.
//!
//! A part is hashed, sent with its SHA-256 and checked by the server, several at a time. The object
//! appears, whole, when the parts are put together; then size and checksum are compared. Whatever
//! goes wrong before, parts that are there already are taken away again, also where the work is
//! dropped half-way. A process that is killed leaves them: let the bucket's lifecycle rules abort
//! uploads that are older than a day.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::operation::upload_part::builders::UploadPartFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;

use super::failure::Failure;
use super::{S3, client, remote};
use crate::key::Key;
use crate::store::error::{Error, Source};

/// Bytes in a part. At least 5 MiB are asked for, and 10,000 parts are the most: this goes to 80 GB.
const PART: usize = 8 * 1024 * 1024;
/// Parts on their way at a time. Memory is one more than that.
const AT_ONCE: usize = 3;
/// How long one try of sending a part may take: 0.5 Mbit/s will do.
const PART_TIMEOUT: Duration = Duration::from_secs(120);

/// A part that the server has.
struct Part {
    number: i32,
    bytes: u64,
    tag: Option<String>,
    digest: [u8; 32],
}

impl S3 {
    /// Keeps what `bytes` gives; see [`crate::Store::put_large`].
    pub(in crate::store) async fn put_large(
        &self,
        key: &Key,
        bytes: BoxStream<'_, Result<Bytes, Source>>,
    ) -> Result<u64, Error> {
        let _turn = self.turns.take(key.path()).await;
        if let Some(size) = self.head(key).await? {
            return Ok(size);
        }
        let mut cutter = Cutter { key: *key, bytes, rest: Bytes::new(), most: PART };
        let first = cutter.next().await?;
        if first.len() < PART {
            let size = first.len() as u64;
            return self.put_in_turn(key, first).await.map(|()| size);
        }
        let upload = self.begin(key).await?;
        let parts = self.send_parts(&upload, first, cutter).await?;
        let size = parts.iter().map(|part| part.bytes).sum();
        let digest = composite(&parts);
        self.finish(upload, parts).await?;
        let there = self.there(key).await?;
        let same = there.as_ref().is_some_and(|there| {
            // Not every server keeps the checksum of parts.
            there.size == size && there.sha256.as_ref().is_none_or(|kept| *kept == digest)
        });
        if same {
            return Ok(size);
        }
        let bytes = |size| usize::try_from(size).unwrap_or(usize::MAX);
        let back = bytes(there.map_or(0, |there| there.size));
        Err(Error::Verify { key: *key, back, given: bytes(size) })
    }

    async fn begin(&self, key: &Key) -> Result<Upload, Error> {
        let asked = self.clients.inner.create_multipart_upload().bucket(&self.address.bucket);
        let asked = asked.key(self.name(key)).content_type(key.content_type());
        let asked = asked.cache_control(key.cache_control());
        let asked = asked.checksum_algorithm(ChecksumAlgorithm::Sha256);
        let begun = asked.send().await.map_err(|error| remote("begin", key)(error.into()))?;
        Ok(Upload {
            client: self.clients.inner.clone(),
            bucket: self.address.bucket.clone(),
            name: self.name(key),
            key: *key,
            id: begun.upload_id().unwrap_or_default().to_owned(),
            is_open: true,
        })
    }

    /// Sends `first` and all that follow; gives them in order.
    async fn send_parts(
        &self,
        upload: &Upload,
        first: Bytes,
        mut others: Cutter<'_>,
    ) -> Result<Vec<Part>, Error> {
        let timeouts = client::timeouts(&self.address)
            .read_timeout(PART_TIMEOUT)
            .operation_attempt_timeout(PART_TIMEOUT)
            .operation_timeout(PART_TIMEOUT * self.address.attempts);
        let slow = Builder::new().timeout_config(timeouts.build());
        // Tasks of their own, so that they go on while the next part is waited for.
        let mut sending = JoinSet::new();
        let (mut sent, mut part, mut number) = (Vec::new(), first, 1);
        while !part.is_empty() {
            if sending.len() == AT_ONCE {
                sent.extend(next_sent(&mut sending, upload).await?);
            }
            sending.spawn(send_part(upload.part(number, &part), slow.clone(), number, part));
            number += 1;
            part = others.next().await?;
        }
        while let Some(part) = next_sent(&mut sending, upload).await? {
            sent.push(part);
        }
        sent.sort_unstable_by_key(|part| part.number);
        Ok(sent)
    }

    /// Makes the parts one object.
    async fn finish(&self, mut upload: Upload, parts: Vec<Part>) -> Result<(), Error> {
        let part = |part: Part| {
            CompletedPart::builder()
                .part_number(part.number)
                .set_e_tag(part.tag)
                .checksum_sha256(BASE64_STANDARD.encode(part.digest))
                .build()
        };
        let parts = parts.into_iter().map(part).collect();
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let asked = upload.client.complete_multipart_upload().bucket(&upload.bucket);
        let asked = asked.key(&upload.name).upload_id(&upload.id).multipart_upload(parts);
        match Box::pin(asked.send()).await.map_err(Failure::from) {
            Ok(_) => upload.is_open = false,
            // A try before this one did it, and only its answer was lost: what is there is compared.
            Err(failure) if failure.has_code("NoSuchUpload") => upload.is_open = false,
            Err(failure) => return Err(remote("put together the parts of", &upload.key)(failure)),
        }
        Ok(())
    }
}

/// Sends a part with its checksum.
async fn send_part(
    asked: UploadPartFluentBuilder,
    slow: Builder,
    number: i32,
    part: Bytes,
) -> Result<Part, Failure> {
    let digest: [u8; 32] = Sha256::digest(&part).into();
    let bytes = part.len() as u64;
    let asked = asked.checksum_sha256(BASE64_STANDARD.encode(digest)).body(ByteStream::from(part));
    let sent = Box::pin(asked.customize().config_override(slow).send()).await?;
    Ok(Part { number, bytes, tag: sent.e_tag, digest })
}

/// Waits for a part that is on its way.
async fn next_sent(
    sending: &mut JoinSet<Result<Part, Failure>>,
    upload: &Upload,
) -> Result<Option<Part>, Error> {
    match sending.join_next().await {
        None => Ok(None),
        Some(Ok(Ok(part))) => Ok(Some(part)),
        Some(Ok(Err(failure))) => Err(remote("put a part of", &upload.key)(failure)),
        Some(Err(source)) => Err(Error::Stopped { what: upload.key.path(), source }),
    }
}

/// An upload in parts, which is aborted where it is dropped before it is finished.
struct Upload {
    client: Client,
    bucket: String,
    name: String,
    key: Key,
    id: String,
    is_open: bool,
}

impl Upload {
    /// The request for one of its parts, without the bytes.
    fn part(&self, number: i32, part: &Bytes) -> UploadPartFluentBuilder {
        let asked = self.client.upload_part().bucket(&self.bucket).key(&self.name);
        let asked = asked.upload_id(&self.id).part_number(number);
        asked.content_length(i64::try_from(part.len()).unwrap_or(i64::MAX))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let (true, Ok(runtime)) = (self.is_open, tokio::runtime::Handle::try_current()) else {
            return;
        };
        let asked = self.client.abort_multipart_upload().bucket(&self.bucket);
        let asked = asked.key(&self.name).upload_id(&self.id);
        let key = self.key;
        runtime.spawn(async move {
            match asked.send().await.map_err(Failure::from) {
                Err(failure) if !failure.is(404) => {
                    let error: &(dyn std::error::Error + 'static) = &*failure.source;
                    tracing::warn!(%key, error, "parts of a broken upload are left in the store");
                }
                _ => tracing::debug!(%key, "parts of a broken upload removed"),
            }
        });
    }
}

/// Cuts what comes into parts of one size, which some servers insist on.
struct Cutter<'a> {
    key: Key,
    bytes: BoxStream<'a, Result<Bytes, Source>>,
    /// What came and did not fit into the part before.
    rest: Bytes,
    /// Bytes in a part.
    most: usize,
}

impl Cutter<'_> {
    /// The next part; shorter at the end, then empty.
    async fn next(&mut self) -> Result<Bytes, Error> {
        let mut part = BytesMut::new();
        while part.len() < self.most {
            if self.rest.is_empty() {
                match self.bytes.next().await {
                    Some(Ok(bytes)) => self.rest = bytes,
                    Some(Err(source)) => return Err(Error::Bytes { key: self.key, source }),
                    None => break,
                }
            }
            let room = self.rest.len().min(self.most - part.len());
            part.extend_from_slice(&self.rest.split_to(room));
        }
        Ok(part.freeze())
    }
}

/// SHA-256 over the parts' own, as servers give it for an object put in parts.
fn composite(parts: &[Part]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.digest);
    }
    format!("{}-{}", BASE64_STANDARD.encode(digest.finalize()), parts.len())
}
