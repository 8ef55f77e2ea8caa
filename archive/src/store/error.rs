//! Why a store could not do what it was asked.

use std::ops::Range;
use std::path::PathBuf;

use crate::key::Key;

/// What lies beneath an error, whoever it comes from.
pub(super) type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder of a disk store cannot be made or read.
    #[error("open the store in {}", dir.display())]
    Open {
        /// The folder.
        dir: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The address of a store is not one.
    #[error("{address} is not the address of a store: {problem}")]
    Address {
        /// As it was given, without anything secret.
        address: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// A store on another machine cannot be used as it is set up.
    #[error("the store {place} cannot be used: {cause}")]
    Unusable {
        /// Bucket, prefix and endpoint.
        place: String,
        /// Why, in the words of the settings.
        cause: Cause,
        /// What the other side, or the way to it, says.
        source: Source,
    },
    /// A step of reading or writing an object failed on this machine.
    #[error("{step} {what}")]
    Io {
        /// The step, as a verb.
        step: &'static str,
        /// The object, or the prefix that was listed.
        what: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A step of reading or writing an object failed at the store's end or on the way there.
    #[error("{step} {what}: {cause}")]
    Remote {
        /// The step, as a verb.
        step: &'static str,
        /// The object, or the prefix that was listed.
        what: String,
        /// Why.
        cause: Cause,
        /// What the other side, or the way to it, says.
        source: Source,
    },
    /// There is no such object.
    #[error("there is no object {0}")]
    Missing(Key),
    /// The range does not lie inside the object.
    #[error("bytes {} to {} of {key} were asked for, which has {size}", range.start, range.end)]
    Range {
        /// The object.
        key: Key,
        /// What was asked for.
        range: Range<u64>,
        /// The object's size.
        size: u64,
    },
    /// An object of this name with other bytes is there already. It has been left as it is.
    #[error("{key} is there already with other bytes ({there} bytes there, {given} given)")]
    Different {
        /// The object.
        key: Key,
        /// Its size.
        there: usize,
        /// How many bytes were to be put.
        given: usize,
    },
    /// What was read back is not what was written. On disk the object has been taken away again; on
    /// S3 it is left, because it cannot be known that nobody else has written it.
    #[error("{key} was written but other bytes were read back ({back} bytes back, {given} given)")]
    Verify {
        /// The object.
        key: Key,
        /// How many bytes came back.
        back: usize,
        /// How many bytes were put.
        given: usize,
    },
    /// What was to be kept could not be had. Nothing is left of it in the store.
    #[error("the bytes for {key} could not be had")]
    Bytes {
        /// The object.
        key: Key,
        /// What their giver says.
        source: Source,
    },
    /// Neither the first store nor its backup could do it.
    #[error("neither the store nor its backup did it; the backup says: {backup}")]
    Neither {
        /// What the backup says.
        backup: Box<Error>,
        /// What the first store says.
        source: Box<Error>,
    },
    /// The runtime stopped before the work was done.
    #[error("the runtime stopped the work on {what}")]
    Stopped {
        /// The object or prefix.
        what: String,
        /// What the runtime says.
        source: tokio::task::JoinError,
    },
}

impl Error {
    /// Whether the place cannot be reached or cannot do its work now, so that the same might succeed
    /// later or in another place. A refusal is no absence: a wrong key or a missing bucket is for
    /// the operator to put right, and other bytes under a name are nobody's to overwrite.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            Self::Io { .. } => true,
            Self::Remote { cause, .. } | Self::Unusable { cause, .. } => cause.is_away(),
            Self::Neither { backup, source } => backup.is_away() && source.is_away(),
            _ => false,
        }
    }
}

/// Why a store on another machine did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Neither key nor secret were given, and the environment and the profile have none.
    NoKey,
    /// Only one of the two was given.
    HalfAKey,
    /// The access key is not known there.
    Key,
    /// The secret does not belong to the access key.
    Secret,
    /// The key may not do this.
    Forbidden,
    /// There is no such bucket.
    Bucket,
    /// It wants requests signed for another region.
    Region,
    /// This machine's clock or its own is wrong.
    Clock,
    /// The file of authorities cannot be read.
    Ca,
    /// Its certificate is signed by nobody who is trusted here.
    Certificate,
    /// Nothing answers at the endpoint.
    Unreachable,
    /// No answer came in time.
    Timeout,
    /// It is overloaded or broken: it may do it later.
    Busy,
    /// The answer broke off, or came to less than was there.
    Garbled,
    /// What answers is no S3 server.
    Stranger,
    /// What arrived there is not what was sent.
    Damaged,
    /// Anything else.
    Refused,
}

impl Cause {
    /// See [`Error::is_away`].
    #[must_use]
    pub const fn is_away(self) -> bool {
        matches!(self, Self::Unreachable | Self::Timeout | Self::Busy | Self::Garbled)
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoKey => "no key was given, and the environment and the profile have none",
            Self::HalfAKey => "key and secret belong together, but only one of them was given",
            Self::Key => "it does not know the access key",
            Self::Secret => "the secret does not belong to the access key",
            Self::Forbidden => "the access key may not do this",
            Self::Bucket => "there is no such bucket",
            Self::Region => "it wants requests signed for another region (region=…)",
            Self::Clock => "its clock and this machine's differ too much",
            Self::Ca => "the file of trusted authorities cannot be used (ca=…)",
            Self::Certificate => "its certificate is not trusted (ca=… names other authorities)",
            Self::Unreachable => "nothing answers at its endpoint",
            Self::Timeout => "no answer came in time",
            Self::Busy => "it cannot do it now",
            Self::Garbled => "its answer breaks off",
            Self::Stranger => "what answers there is not an S3 server",
            Self::Damaged => "what arrived there is not what was sent",
            Self::Refused => "it refuses",
        })
    }
}
