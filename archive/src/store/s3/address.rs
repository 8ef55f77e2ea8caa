//! `s3://BUCKET[/PREFIX]?…`, read and checked before anything is sent.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

/// How long a connection may take to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one try of a request may take. Objects are tens of kilobytes.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How often a request is tried in all.
const ATTEMPTS: u32 = 4;

/// Where objects are on S3, as `s3://BUCKET[/PREFIX]` with these options after a `?`, joined by `&`:
///
/// | option | meaning | without it |
/// |---|---|---|
/// | `endpoint` | `http(s)://HOST[:PORT]` of a server other than AWS | AWS, or `AWS_ENDPOINT_URL` |
/// | `public_endpoint` | the same server as clients reach it, for presigned addresses | `endpoint` |
/// | `region` | what requests are signed for | `us-east-1` with an endpoint; else as AWS tools do |
/// | `path_style` | `true`: the bucket is the path's first part; `false`: of the host name | `true` with an endpoint |
/// | `ca` | a PEM file: only certificates signed by these authorities are trusted | the system's authorities |
/// | `profile` | whose settings and keys are taken from the AWS files | `AWS_PROFILE`, `default` |
/// | `connect_timeout_ms` | how long a connection may take to stand | 5000 |
/// | `timeout_ms` | how long one try of a request may take | 15000 |
/// | `attempts` | how often a request is tried in all | 4 |
///
/// Keys are no part of it: an address is shown in logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) bucket: String,
    /// Empty, or with a slash at its end.
    pub(super) prefix: String,
    pub(super) endpoint: Option<Url>,
    pub(super) public_endpoint: Option<Url>,
    pub(super) region: Option<String>,
    pub(super) path_style: bool,
    pub(super) ca: Option<PathBuf>,
    pub(super) profile: Option<String>,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
}

impl Address {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence without a full stop.
    pub(in crate::store) fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("{error}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "keys do not belong into an address, they have settings of their own".into()
            );
        }
        let bucket = url.host_str().unwrap_or_default().to_owned();
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(plain) {
            let rule = "3 to 63 letters, digits, dots and dashes";
            return Err(format!("the bucket's name stands after s3:// and has {rule}"));
        }
        if url.port().is_some() || url.fragment().is_some() {
            return Err("host and port belong into endpoint=…".into());
        }
        let mut address = Self {
            bucket,
            prefix: prefix(url.path())?,
            endpoint: None,
            public_endpoint: None,
            region: None,
            path_style: false,
            ca: None,
            profile: None,
            connect_timeout: CONNECT_TIMEOUT,
            timeout: TIMEOUT,
            attempts: ATTEMPTS,
        };
        let mut path_style = None;
        for (name, value) in url.query_pairs() {
            address.set(&name, &value, &mut path_style)?;
        }
        address.path_style = path_style.unwrap_or(address.endpoint.is_some());
        Ok(address)
    }

    fn set(&mut self, name: &str, value: &str, style: &mut Option<bool>) -> Result<(), String> {
        if value.is_empty() {
            return Err(format!("{name} has no value"));
        }
        match name {
            "endpoint" => self.endpoint = Some(endpoint(name, value)?),
            "public_endpoint" => self.public_endpoint = Some(endpoint(name, value)?),
            "region" => self.region = Some(value.into()),
            "path_style" => {
                let known = value.parse().map_err(|_| format!("{name} is true or false"))?;
                *style = Some(known);
            }
            "ca" => self.ca = Some(value.into()),
            "profile" => self.profile = Some(value.into()),
            "connect_timeout_ms" => self.connect_timeout = milliseconds(name, value)?,
            "timeout_ms" => self.timeout = milliseconds(name, value)?,
            "attempts" => self.attempts = number(name, value)?,
            _ => {
                return Err(format!(
                    "it has no option {name}; it has endpoint, public_endpoint, region, path_style, \
                     ca, profile, connect_timeout_ms, timeout_ms and attempts"
                ));
            }
        }
        Ok(())
    }

    /// How it is shown: where, without the options that nobody asks for.
    pub(super) fn shown(&self) -> String {
        let Self { bucket, prefix, endpoint, .. } = self;
        let place = format!("s3://{bucket}/{prefix}");
        let place = place.trim_end_matches('/');
        match endpoint {
            Some(endpoint) => format!("{place} at {}", endpoint.as_str().trim_end_matches('/')),
            None => place.into(),
        }
    }
}

/// The path as a prefix: nothing, or words with a slash after each.
fn prefix(path: &str) -> Result<String, String> {
    let path = path.trim_matches('/');
    if path.is_empty() {
        return Ok(String::new());
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let fits = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(plain);
    if !path.split('/').all(fits) {
        return Err("the prefix has letters, digits, dots, dashes and single slashes only".into());
    }
    Ok(format!("{path}/"))
}

fn endpoint(name: &str, value: &str) -> Result<Url, String> {
    let rule = || format!("{name} looks like https://HOST:PORT");
    let url = Url::parse(value).map_err(|_| rule())?;
    let bare = url.username().is_empty() && url.password().is_none();
    let plain = url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !bare || !plain {
        return Err(rule());
    }
    Ok(url)
}

fn number(name: &str, value: &str) -> Result<u32, String> {
    let number = value.parse().ok().filter(|number| (1..=1_000_000).contains(number));
    number.ok_or_else(|| format!("{name} is a whole number from 1 to 1000000"))
}

fn milliseconds(name: &str, value: &str) -> Result<Duration, String> {
    Ok(Duration::from_millis(number(name, value)?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_as_aws_has_it() {
        let address = Address::parse("s3://tapes").unwrap();
        assert_eq!((address.bucket.as_str(), address.prefix.as_str()), ("tapes", ""));
        assert_eq!((address.path_style, address.attempts), (false, 4));
        assert_eq!(address.shown(), "s3://tapes");
        let endpoint = Address::parse("s3://tapes?endpoint=http://[::1]:3900").unwrap();
        assert!(endpoint.path_style, "a server of one's own seldom has a name for each bucket");
    }

    #[test]
    fn every_option_is_heard() {
        let text = "s3://tapes/a/b/?endpoint=https://s3.example:8443&region=eu-1&path_style=false\
            &ca=/etc/ca.pem&profile=tapes&connect_timeout_ms=100&timeout_ms=2000&attempts=2\
            &public_endpoint=https%3A%2F%2Fmedia.example";
        let address = Address::parse(text).unwrap();
        assert_eq!(address.prefix, "a/b/");
        assert_eq!(address.shown(), "s3://tapes/a/b at https://s3.example:8443");
        assert_eq!(address.public_endpoint.unwrap().as_str(), "https://media.example/");
        assert_eq!((address.region.as_deref(), address.path_style), (Some("eu-1"), false));
        assert_eq!(address.ca, Some("/etc/ca.pem".into()));
        assert_eq!((address.profile.as_deref(), address.attempts), (Some("tapes"), 2));
        assert_eq!(address.connect_timeout, Duration::from_millis(100));
        assert_eq!(address.timeout, Duration::from_secs(2));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, said) in [
            ("s3:tapes", "the bucket's name stands after s3://"),
            ("s3://", "the bucket's name stands after s3://"),
            ("s3://ab", "3 to 63"),
            ("s3://ta%20pes", "3 to 63"),
            ("s3://host:3900/tapes", "host and port belong into endpoint=…"),
            ("s3://key@tapes", "keys do not belong into an address"),
            ("s3://tapes/a//b", "single slashes"),
            ("s3://tapes/a%20b", "single slashes"),
            ("s3://tapes?endpont=http://x", "it has no option endpont; it has endpoint,"),
            ("s3://tapes?endpoint=localhost:3900", "endpoint looks like https://HOST:PORT"),
            ("s3://tapes?endpoint=ftp://x", "endpoint looks like"),
            ("s3://tapes?endpoint=http://u:p@x", "endpoint looks like"),
            ("s3://tapes?path_style=yes", "path_style is true or false"),
            ("s3://tapes?timeout_ms=0", "timeout_ms is a whole number from 1"),
            ("s3://tapes?attempts=2.5", "attempts is a whole number"),
            ("s3://tapes?region=", "region has no value"),
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
