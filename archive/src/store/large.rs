//! Large objects on disk: written piece by piece, named when they are whole.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use sha2::{Digest as _, Sha256};

use super::disk::{Disk, step};
use super::error::{Error, Source};
use super::{Published, blocking};
use crate::key::Key;

/// See [`crate::Store::put_large`].
pub(super) async fn put(
    disk: &Arc<Disk>,
    key: Key,
    mut bytes: BoxStream<'_, Result<Bytes, Source>>,
) -> Result<u64, Error> {
    let there = move |disk: &Disk| disk.head(&key);
    if let Some(size) = blocking(disk, key.path(), there).await? {
        return Ok(size);
    }
    let mut file = blocking(disk, key.path(), move |disk| disk.begin(&key)).await?;
    let (mut digest, mut size) = (Sha256::new(), 0);
    while let Some(piece) = bytes.next().await {
        let piece = piece.map_err(|source| Error::Bytes { key, source })?;
        digest.update(&piece);
        size += piece.len() as u64;
        let write = move |_: &Disk| {
            file.write_all(&piece).map_err(step("write", key))?;
            Ok(file)
        };
        file = blocking(disk, key.path(), write).await?;
    }
    let written = <[u8; 32]>::from(digest.finalize());
    blocking(disk, key.path(), move |disk| {
        let published = disk.publish_file(&key, file)?;
        let (mut back, mut back_size) = (Sha256::new(), 0);
        disk.read(&key, |piece| {
            back.update(piece);
            back_size += piece.len() as u64;
        })?;
        // One that somebody else made meanwhile is as good: the name says what is in it.
        if published == Published::There || <[u8; 32]>::from(back.finalize()) == written {
            return Ok(back_size);
        }
        disk.delete(&key)?;
        let length = |size| usize::try_from(size).unwrap_or(usize::MAX);
        Err(Error::Verify { key, back: length(back_size), given: length(size) })
    })
    .await
}
