//! Where a store is: what an operator writes, read.

use std::fmt;
use std::path::PathBuf;

use super::error::Error;
use super::s3;

/// Where a store is, and what opens it.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// A folder (a path, or `file:` and a path), or
    /// `s3://BUCKET[/PREFIX]?endpoint=URL&region=R&…`; all options are listed at [`s3::Address`].
    pub url: String,
    /// Access key of an S3 store. Without it, environment and profile are asked as all AWS tools do.
    pub key: Option<String>,
    /// The secret that belongs to it.
    pub secret: Option<Secret>,
}

impl Place {
    /// A place that needs no key.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for whoever signs with it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// What kind of place an address names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Disk(PathBuf),
    S3(Box<s3::Address>),
}

impl Address {
    /// Reads [`Place::url`].
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let wrong = |problem: String| Error::Address { address: without_secrets(url), problem };
        if url.starts_with("s3:") {
            let address = s3::Address::parse(url).map_err(wrong)?;
            return Ok(Self::S3(Box::new(address)));
        }
        let path = match url.split_once(':') {
            Some(("file", path)) => path.strip_prefix("//").unwrap_or(path),
            Some((scheme, rest)) if rest.starts_with("//") => {
                let problem =
                    format!("{scheme}: is not known; a path, file:PATH and s3://BUCKET are");
                return Err(wrong(problem));
            }
            _ => url,
        };
        if path.is_empty() {
            return Err(wrong("it is empty".into()));
        }
        Ok(Self::Disk(path.into()))
    }
}

/// An address without user and password, should somebody have written them into it.
fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.into() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://(hidden)@{}", &rest[at + 1..]),
        None => url.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_paths_or_file_addresses() {
        for (url, path) in [
            ("objects", "objects"),
            ("/var/lib/roomtape/objects", "/var/lib/roomtape/objects"),
            ("file:objects", "objects"),
            ("file:/srv/a:b", "/srv/a:b"),
            ("file:///srv/objects", "/srv/objects"),
            ("C:\\objects", "C:\\objects"),
        ] {
            assert_eq!(Address::parse(url).unwrap(), Address::Disk(path.into()), "{url}");
        }
    }

    #[test]
    fn what_is_no_place_says_what_would_be_one() {
        for (url, said) in [
            ("", "it is empty"),
            ("file:", "it is empty"),
            ("gs://bucket", "gs: is not known; a path, file:PATH and s3://BUCKET are"),
            ("https://host/bucket", "https: is not known"),
        ] {
            let error = Address::parse(url).unwrap_err().to_string();
            assert!(error.starts_with(url) && error.contains(said), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let place = Place { secret: Some("hunter2".into()), ..Place::new("s3://b") };
        assert!(!format!("{place:?}").contains("hunter2"));
        for url in ["s3://AKIA:hunter2@bucket/p", "gs://u:hunter2@x", "s3://:hun@ter2@b?region=x"] {
            let error = Address::parse(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("ter2"), "{error}");
        }
    }
}
