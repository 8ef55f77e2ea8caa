//! Addresses that are good for whoever has them.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::presigning::PresigningConfig;

use super::S3;
use crate::key::Key;
use crate::store::error::{Cause, Error, Source};

impl S3 {
    /// See [`crate::Store::presign`].
    pub(in crate::store) async fn presign(
        &self,
        key: &Key,
        ttl: Duration,
        disposition: Option<&str>,
    ) -> Result<String, Error> {
        self.sign(&self.clients.public, key, ttl, disposition).await
    }

    /// An address signed by `client`, which leads where that sends its requests.
    pub(super) async fn sign(
        &self,
        client: &Client,
        key: &Key,
        ttl: Duration,
        disposition: Option<&str>,
    ) -> Result<String, Error> {
        let failed = |source: Source| {
            let (step, what) = ("sign an address of", key.path());
            Error::Remote { step, what, cause: Cause::Refused, source }
        };
        let config = PresigningConfig::expires_in(ttl).map_err(|error| failed(error.into()))?;
        let asked = client.get_object().bucket(&self.address.bucket);
        let asked = asked.key(self.name(key)).response_content_type(key.content_type());
        let asked = asked.set_response_content_disposition(disposition.map(str::to_owned));
        let signed = asked.presigned(config).await.map_err(|error| failed(error.into()))?;
        Ok(signed.uri().to_owned())
    }
}

/// Scheme, host and port of an address.
pub(super) fn origin_of(address: &str) -> String {
    let host = address.find("://").map_or(0, |at| at + 3);
    let end = address[host..].find(['/', '?']).map_or(address.len(), |at| host + at);
    address[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::Address;
    use super::*;
    use crate::store::Secret;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn buckets_are_hosts_or_paths_and_only_aws_is_known_to_heed_conditions() {
        let secret = Secret::from("secret");
        for (address, origin, heeds) in [
            ("s3://tapes?region=eu-west-1", "https://tapes.s3.eu-west-1.amazonaws.com", true),
            (
                "s3://tapes?region=eu-west-1&path_style=true",
                "https://s3.eu-west-1.amazonaws.com",
                true,
            ),
            ("s3://tapes?endpoint=http://s3.example:3900", "http://s3.example:3900", false),
            (
                "s3://tapes?endpoint=http://s3.example:3900&path_style=false",
                "http://tapes.s3.example:3900",
                false,
            ),
            (
                "s3://tapes?region=eu-west-1&public_endpoint=https://media.example",
                "https://tapes.media.example",
                true,
            ),
        ] {
            let parsed = Address::parse(address).unwrap();
            let s3 = S3::new(&parsed, Some("key"), Some(&secret)).await.unwrap();
            assert_eq!((s3.origin(), s3.heeds_conditions), (origin, heeds), "{address}");
            let signed = s3.presign(&Key::Init(models::RecordingId::new()), MINUTE, None).await;
            let path = if parsed.path_style { "/tapes/recordings/" } else { "/recordings/" };
            assert!(signed.unwrap().starts_with(&format!("{origin}{path}")), "{address}");
        }
    }
}
