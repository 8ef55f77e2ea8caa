//! Values that must not be seen: neither shown, nor logged, nor part of an error.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What stands in place of a secret.
const SET: &str = "(set)";

/// A secret; empty: not set. Whatever writes it out writes only whether there is one.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// The secret itself, for handing on.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Itself, where it is set.
    pub(crate) fn set(self) -> Option<Self> {
        (!self.0.is_empty()).then_some(self)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(not set)" } else { SET })
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "" } else { SET })
    }
}

impl<'de> Deserialize<'de> for Secret {
    /// The error of a value that is no text does not repeat it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer);
        text.map(Self).map_err(|_| D::Error::custom("a text in quotation marks is wanted"))
    }
}

/// An address that may have a password in it; empty: not set. It is shown without the password.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Address(String);

impl Address {
    /// The whole address, for connecting.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Itself, where it is set.
    pub(crate) fn set(self) -> Option<Self> {
        (!self.0.is_empty()).then_some(self)
    }
}

impl From<String> for Address {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hidden(&self.0))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", hidden(&self.0))
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hidden(&self.0))
    }
}

/// `address` with what may be a password replaced: `user:password@host`, and a `password` among the
/// parameters.
fn hidden(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let (place, parameters) = match rest.split_once('?') {
        Some((place, parameters)) => (place, Some(parameters)),
        None => (rest, None),
    };
    // The last one: a password may have an `@` of its own.
    let place = match place.rsplit_once('@') {
        Some((user, host)) => {
            let user =
                user.split_once(':').map_or(user.to_owned(), |(user, _)| format!("{user}:***"));
            format!("{user}@{host}")
        }
        None => place.to_owned(),
    };
    let parameters = parameters.map(|parameters| {
        let hide = |parameter: &str| match parameter.split_once('=') {
            Some((name, _)) if name.eq_ignore_ascii_case("password") => format!("{name}=***"),
            _ => parameter.to_owned(),
        };
        parameters.split('&').map(hide).collect::<Vec<_>>().join("&")
    });
    match parameters {
        Some(parameters) => format!("{scheme}://{place}?{parameters}"),
        None => format!("{scheme}://{place}"),
    }
}

/// The setting `name`: `value`, or what stands in `file` (its last line break left out), where that
/// is how it is given.
///
/// # Errors
/// Both are given, or the file cannot be read.
pub(super) fn or_file(name: &str, value: &str, file: &Path) -> anyhow::Result<String> {
    if file.as_os_str().is_empty() {
        return Ok(value.to_owned());
    }
    if !value.is_empty() {
        bail!("both {name} and {name}_file are set: leave one of them out");
    }
    let read = std::fs::read_to_string(file);
    let text = read.with_context(|| format!("{name}_file = {} cannot be read", file.display()))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        bail!("{name}_file = {} is empty", file.display());
    }
    Ok(text.to_owned())
}

/// The secret setting `name`, where it is given in either way.
///
/// # Errors
/// Those of [`or_file`].
pub(super) fn secret(name: &str, value: Secret, file: &Path) -> anyhow::Result<Option<Secret>> {
    Ok(Secret(or_file(name, value.expose(), file)?).set())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (given, shown) in [
            ("postgres://ann:s3cret@db/rooms", "postgres://ann:***@db/rooms"),
            ("postgres://ann:s3@cret@db:5432/rooms?a=b", "postgres://ann:***@db:5432/rooms?a=b"),
            (
                "postgres://db/rooms?user=ann&Password=s3cret",
                "postgres://db/rooms?user=ann&Password=***",
            ),
            ("postgres://ann@db/rooms", "postgres://ann@db/rooms"),
            ("sqlite:/data/roomtape.db", "sqlite:/data/roomtape.db"),
            (
                "s3://tapes/a?endpoint=https://s3.example",
                "s3://tapes/a?endpoint=https://s3.example",
            ),
        ] {
            let address = Address::from(given.to_owned());
            assert_eq!(address.to_string(), shown);
            assert_eq!(format!("{address:?}"), format!("{shown:?}"));
            assert_eq!(serde_json::to_value(&address).unwrap(), shown);
            assert_eq!(address.expose(), given);
        }
        let secret: Secret = serde_json::from_str("\"s3cret\"").unwrap();
        assert_eq!(
            format!("{secret:?} {}", serde_json::to_string(&secret).unwrap()),
            "(set) \"(set)\""
        );
        let number = serde_json::from_str::<Secret>("1234567").unwrap_err().to_string();
        assert!(!number.contains("1234567"), "{number}");
    }

    #[test]
    fn a_file_takes_the_place_of_a_value_but_does_not_fight_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, "s3cret\n").unwrap();
        assert_eq!(or_file("x", "", &file).unwrap(), "s3cret");
        assert_eq!(or_file("x", "plain", Path::new("")).unwrap(), "plain");
        let both = or_file("x", "plain", &file).unwrap_err().to_string();
        assert!(both.contains("x_file") && !both.contains("plain"), "{both}");
        std::fs::write(&file, "\n").unwrap();
        assert!(or_file("x", "", &file).unwrap_err().to_string().contains("is empty"));
        let missing = or_file("x", "", &dir.path().join("none")).unwrap_err().to_string();
        assert!(missing.contains("x_file"), "{missing}");
    }
}
