//! Objects in a bucket of an S3 store.
//!
//! **Verified.** A put carries the SHA-256 of its bytes, which the server checks before it keeps
//! them; then the server is asked what it has, and size and SHA-256 are compared (where it keeps no
//! SHA-256, the object is read back). A get checks the length, and the checksum where the whole
//! object is read. A body that breaks off is asked for again.
//!
//! **Objects never change.** A put says `If-None-Match: *`, so that a server that heeds it (AWS does)
//! lets only one writer through. Others are asked first whether the object is there. Between that
//! question and the put another process could write; that is ruled out above: who writes under a
//! name holds the database's lease on it. Writers within this process take turns. In either case
//! what is there is compared with what was to be put. See `docs/decisions/009`.

mod address;
mod client;
mod failure;
mod large;
mod signed;
mod turns;

#[cfg(test)]
mod speed;

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumMode;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use models::RecordingId;
use sha2::{Digest as _, Sha256};

use super::error::{Cause, Error};
use super::place::Secret;
use crate::key::Key;
pub use address::Address;
use client::Clients;
use failure::Failure;
use signed::origin_of;
use turns::Turns;

/// Most names in one answer of a list; what servers allow.
const PAGE: i32 = 1000;
/// Where names of servers end that are known to heed conditions on puts; of others one cannot know.
const AWS: [&str; 2] = [".amazonaws.com", ".amazonaws.com.cn"];
/// How often a body that breaks off is asked for. A connection that broke is no reason to wait;
/// where the server is in trouble, the next request itself is tried with waits.
const BODY_TRIES: u32 = 4;

/// One bucket, or what lies below a prefix in it.
pub(super) struct S3 {
    address: Address,
    clients: Clients,
    turns: Turns,
    /// Scheme, host and port of the addresses that it signs.
    origin: String,
    /// Whether a put that is only to be done where nothing is there yet is heeded as such.
    heeds_conditions: bool,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3({})", self.address.shown())
    }
}

/// What the server says it has.
struct There {
    size: u64,
    /// SHA-256 of its bytes in Base64; of an object put in parts, that of the parts' own.
    sha256: Option<String>,
}

impl S3 {
    /// Sets up clients; nothing is sent yet.
    pub(super) async fn new(
        address: &Address,
        key: Option<&str>,
        secret: Option<&Secret>,
    ) -> Result<Self, Error> {
        let clients = client::connect(address, key, secret).await?;
        let mut s3 = Self {
            address: address.clone(),
            clients,
            turns: Turns::default(),
            origin: String::new(),
            heeds_conditions: false,
        };
        // Endpoints may come from the environment too. Any key's address shows where it leads.
        let key = Key::Init(RecordingId::new());
        let moment = Duration::from_secs(1);
        s3.origin = origin_of(&s3.sign(&s3.clients.public, &key, moment, None).await?);
        let asked = origin_of(&s3.sign(&s3.clients.inner, &key, moment, None).await?);
        s3.heeds_conditions = AWS.iter().any(|aws| asked.ends_with(aws));
        Ok(s3)
    }

    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Asks for one name: that needs the bucket, the key and the right to read, and unlike a `HEAD`
    /// its answer says which of them is wrong.
    pub(super) async fn check(&self) -> Result<(), Error> {
        let asked = self.clients.inner.list_objects_v2().bucket(&self.address.bucket);
        let asked = asked.prefix(&self.address.prefix).max_keys(1).send().await;
        asked.map(drop).map_err(|error| {
            let Failure { cause, source, .. } = error.into();
            Error::Unusable { place: self.address.shown(), cause, source }
        })
    }

    pub(super) async fn put(&self, key: &Key, bytes: Bytes) -> Result<(), Error> {
        let _turn = self.turns.take(key.path()).await;
        self.put_in_turn(key, bytes).await
    }

    /// Puts while nobody else in this process writes the name.
    async fn put_in_turn(&self, key: &Key, bytes: Bytes) -> Result<(), Error> {
        let sha256 = BASE64_STANDARD.encode(Sha256::digest(&bytes));
        let given = bytes.len();
        if !self.heeds_conditions
            && let Some(there) = self.there(key).await?
        {
            return self.compare(key, &there, &bytes, &sha256).await;
        }
        match self.send(key, bytes.clone(), &sha256).await {
            Ok(()) => {}
            // Somebody was faster, or a try whose answer was lost.
            Err(failure) if failure.is(412) => {
                return match self.there(key).await? {
                    Some(there) => self.compare(key, &there, &bytes, &sha256).await,
                    None => Err(remote("put", key)(failure)),
                };
            }
            Err(failure) => return Err(remote("put", key)(failure)),
        }
        let Some(there) = self.there(key).await? else {
            return Err(Error::Verify { key: *key, back: 0, given });
        };
        self.compare(key, &there, &bytes, &sha256).await.map_err(|error| match error {
            Error::Different { there, .. } => Error::Verify { key: *key, back: there, given },
            other => other,
        })
    }

    async fn send(&self, key: &Key, bytes: Bytes, sha256: &str) -> Result<(), Failure> {
        let put = self.clients.inner.put_object().bucket(&self.address.bucket);
        let put = put.key(self.name(key)).content_type(key.content_type());
        let put = put.cache_control(key.cache_control()).if_none_match("*");
        let put = put.checksum_sha256(sha256).body(ByteStream::from(bytes));
        Box::pin(put.send()).await.map(drop).map_err(Failure::from)
    }

    /// Whether what is there is `bytes`.
    async fn compare(
        &self,
        key: &Key,
        there: &There,
        bytes: &Bytes,
        sha256: &str,
    ) -> Result<(), Error> {
        let same = match &there.sha256 {
            _ if there.size != bytes.len() as u64 => false,
            Some(kept) if !kept.contains('-') => kept == sha256,
            _ => self.get(key, None).await? == bytes,
        };
        let size = usize::try_from(there.size).unwrap_or(usize::MAX);
        let different = Error::Different { key: *key, there: size, given: bytes.len() };
        if same { Ok(()) } else { Err(different) }
    }

    /// What the server has under a name.
    async fn there(&self, key: &Key) -> Result<Option<There>, Error> {
        let asked = self.clients.inner.head_object().bucket(&self.address.bucket);
        let asked = asked.key(self.name(key)).checksum_mode(ChecksumMode::Enabled);
        match asked.send().await.map_err(Failure::from) {
            Ok(answer) => {
                let size = answer.content_length().and_then(|size| u64::try_from(size).ok());
                let sha256 = answer.checksum_sha256().map(str::to_owned);
                Ok(Some(There { size: size.unwrap_or_default(), sha256 }))
            }
            Err(failure) if failure.is(404) => Ok(None),
            Err(failure) => Err(remote("ask the size of", key)(failure)),
        }
    }

    pub(super) async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Bytes, Error> {
        // What no server would understand, or would answer with something else.
        if let Some(range) = range.clone().filter(|r| r.start >= r.end || r.end > i64::MAX as u64) {
            let size = self.head(key).await?.ok_or(Error::Missing(*key))?;
            let empty = range.start == range.end && range.end <= size;
            let outside = Error::Range { key: *key, range, size };
            return if empty { Ok(Bytes::new()) } else { Err(outside) };
        }
        let mut tries = 1;
        loop {
            let answer = self.ask(key, range.as_ref()).await?;
            let known = length(&answer);
            match answer.body.collect().await {
                Ok(body) => return cut(key, body.into_bytes(), known, range),
                Err(error) if tries < BODY_TRIES => {
                    let error: &(dyn std::error::Error + 'static) = &error;
                    tracing::debug!(%key, tries, error, "an object's body broke off; asking again");
                    tries += 1;
                }
                Err(error) => {
                    let (step, what, cause) = ("get", key.path(), Cause::Garbled);
                    return Err(Error::Remote { step, what, cause, source: error.into() });
                }
            }
        }
    }

    /// Asks for an object's bytes; `range` is neither empty nor reversed.
    async fn ask(&self, key: &Key, range: Option<&Range<u64>>) -> Result<GetObjectOutput, Error> {
        let asked = self.clients.inner.get_object().bucket(&self.address.bucket);
        let asked = asked.key(self.name(key));
        let bytes = range.map(|range| format!("bytes={}-{}", range.start, range.end - 1));
        let failure: Failure = match Box::pin(asked.set_range(bytes).send()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error.into(),
        };
        if failure.has_code("NoSuchKey") {
            return Err(Error::Missing(*key));
        }
        if let Some(range) = range.filter(|_| failure.is(416)) {
            let size = self.head(key).await?.ok_or(Error::Missing(*key))?;
            return Err(Error::Range { key: *key, range: range.clone(), size });
        }
        Err(remote("get", key)(failure))
    }

    pub(super) async fn head(&self, key: &Key) -> Result<Option<u64>, Error> {
        Ok(self.there(key).await?.map(|there| there.size))
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, Error> {
        let mut found = Vec::new();
        let mut next = None;
        loop {
            let asked = self.clients.inner.list_objects_v2().bucket(&self.address.bucket);
            let asked = asked.prefix(format!("{}{prefix}", self.address.prefix));
            let asked = asked.max_keys(PAGE).set_continuation_token(next);
            let page = asked.send().await.map_err(|error| remote("list", prefix)(error.into()))?;
            for object in page.contents() {
                let name = object.key().and_then(|name| name.strip_prefix(&self.address.prefix));
                let size = object.size().and_then(|size| u64::try_from(size).ok());
                if let (Some(name), Some(size)) = (name, size) {
                    found.push((name.to_owned(), size));
                }
            }
            next = page.next_continuation_token().map(str::to_owned);
            if next.is_none() {
                break;
            }
        }
        // Servers sort by bytes already; not all that call themselves S3 do.
        found.sort_unstable();
        Ok(found)
    }

    pub(super) async fn recordings(&self) -> Result<Vec<RecordingId>, Error> {
        let folder = format!("{}{}", self.address.prefix, Key::RECORDINGS);
        let (mut found, mut next) = (Vec::new(), None);
        loop {
            let asked = self.clients.inner.list_objects_v2().bucket(&self.address.bucket);
            let asked = asked.prefix(&folder).delimiter("/");
            let asked = asked.max_keys(PAGE).set_continuation_token(next);
            let failed = |error| remote("list", Key::RECORDINGS)(Failure::from(error));
            let page = asked.send().await.map_err(failed)?;
            for below in page.common_prefixes() {
                let name = below.prefix().and_then(|name| name.strip_prefix(&folder));
                found.extend(
                    name.and_then(|name| name.trim_end_matches('/').parse::<RecordingId>().ok()),
                );
            }
            next = page.next_continuation_token().map(str::to_owned);
            if next.is_none() {
                break;
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    pub(super) async fn delete(&self, key: &Key) -> Result<(), Error> {
        let asked = self.clients.inner.delete_object().bucket(&self.address.bucket);
        match asked.key(self.name(key)).send().await.map_err(Failure::from) {
            Err(failure) if !failure.has_code("NoSuchKey") => Err(remote("remove", key)(failure)),
            _ => Ok(()),
        }
    }

    /// The name that an object has in the bucket.
    fn name(&self, key: &Key) -> String {
        format!("{}{}", self.address.prefix, key.path())
    }
}

/// What an answer says of its length: of the whole object, and whether it is only a part.
#[derive(Debug, Clone, Copy)]
struct Length {
    size: Option<u64>,
    is_part: bool,
}

fn length(answer: &GetObjectOutput) -> Length {
    let number = |size: i64| u64::try_from(size).ok();
    match answer.content_range().and_then(|range| range.rsplit_once('/')) {
        Some((_, size)) => Length { size: size.parse().ok(), is_part: true },
        None => Length { size: answer.content_length().and_then(number), is_part: false },
    }
}

/// What was asked for, out of what came.
fn cut(key: &Key, body: Bytes, length: Length, range: Option<Range<u64>>) -> Result<Bytes, Error> {
    let came = body.len() as u64;
    let short = |expected: u64| Error::Remote {
        step: "get",
        what: key.path(),
        cause: Cause::Garbled,
        source: format!("{came} bytes came instead of {expected}").into(),
    };
    let size = length.size.unwrap_or(came);
    let Some(range) = range else {
        return if came == size { Ok(body) } else { Err(short(size)) };
    };
    if range.end > size {
        return Err(Error::Range { key: *key, range, size });
    }
    let wanted = range.end - range.start;
    if length.is_part {
        return if came == wanted { Ok(body) } else { Err(short(wanted)) };
    }
    // It does not know ranges, and has sent the whole. Both ends are at most the body's length.
    if came != size {
        return Err(short(size));
    }
    Ok(body.slice(range.start as usize..range.end as usize))
}

fn remote(step: &'static str, what: impl ToString) -> impl FnOnce(Failure) -> Error {
    move |Failure { cause, source, .. }| Error::Remote {
        step,
        what: what.to_string(),
        cause,
        source,
    }
}
