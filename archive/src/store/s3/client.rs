//! The AWS client, set up as the address says.

use std::path::Path;

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_s3::config::timeout::{TimeoutConfig, TimeoutConfigBuilder};
use aws_sdk_s3::config::{
    Builder, Credentials, ProvideCredentials as _, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client as http;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::Address;
use crate::store::error::{Cause, Error, Source};
use crate::store::place::Secret;

/// The most time between two tries. Waits double from [`BACKOFF_FIRST`] on, and are spread by
/// chance so that many writers do not come back all at once.
const BACKOFF_MOST: std::time::Duration = std::time::Duration::from_secs(3);
const BACKOFF_FIRST: std::time::Duration = std::time::Duration::from_millis(200);
/// What most servers that are not AWS expect, and all of them accept.
const REGION_ELSEWHERE: &str = "us-east-1";

/// Clients for one address.
#[derive(Debug)]
pub(super) struct Clients {
    /// Sends requests.
    pub(super) inner: Client,
    /// Signs addresses for others, under the name that they know the server by.
    pub(super) public: Client,
}

/// Sets up clients; nothing is sent to the store yet.
///
/// # Errors
/// [`Error::Unusable`]: no key, or the file of authorities is of no use.
pub(super) async fn connect(
    address: &Address,
    key: Option<&str>,
    secret: Option<&Secret>,
) -> Result<Clients, Error> {
    let unusable =
        |cause| move |source: Source| Error::Unusable { place: address.shown(), cause, source };
    let http = http_client(address).map_err(unusable(Cause::Ca))?;
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .timeout_config(timeouts(address).build())
        .retry_config(retries(address))
        .stalled_stream_protection(
            StalledStreamProtectionConfig::enabled().grace_period(address.timeout).build(),
        );
    loader = match (key, secret) {
        (Some(key), Some(secret)) => {
            let given = Credentials::new(key, secret.reveal(), None, None, "settings");
            loader.credentials_provider(given)
        }
        (None, None) => loader,
        _ => return Err(unusable(Cause::HalfAKey)("one half is missing".into())),
    };
    if let Some(profile) = &address.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(endpoint) = &address.endpoint {
        loader = loader.endpoint_url(endpoint.as_str());
    }
    let elsewhere = address.endpoint.as_ref().map(|_| REGION_ELSEWHERE);
    if let Some(region) = address.region.as_deref().or(elsewhere) {
        loader = loader.region(Region::new(region.to_owned()));
    }
    let shared = loader.load().await;
    if shared.region().is_none() {
        let problem = "nobody says its region: add region=…, or set AWS_REGION".into();
        return Err(Error::Address { address: address.shown(), problem });
    }
    if let Some(credentials) = shared.credentials_provider() {
        let found = credentials.provide_credentials().await;
        found.map_err(|error| unusable(Cause::NoKey)(error.into()))?;
    }
    let config = Builder::from(&shared)
        .force_path_style(address.path_style)
        // Otherwise clients of one region share what they may spend on retries, so that one store
        // that is away would cost the other, its backup, its retries.
        .retry_partition(RetryPartition::new(address.shown()))
        // Objects carry a SHA-256 of ours; older servers stumble over checksums of anything else.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenSupported);
    // A presigned address must not ask for headers that a browser will not send.
    let public =
        config.clone().response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    let public = match &address.public_endpoint {
        Some(endpoint) => public.endpoint_url(endpoint.as_str()),
        None => public,
    };
    Ok(Clients {
        inner: Client::from_conf(config.build()),
        public: Client::from_conf(public.build()),
    })
}

/// How long each part of a request may take. A whole request may take all its tries and the waits
/// between them.
pub(super) fn timeouts(address: &Address) -> TimeoutConfigBuilder {
    TimeoutConfig::builder()
        .connect_timeout(address.connect_timeout)
        .read_timeout(address.timeout)
        .operation_attempt_timeout(address.timeout)
        .operation_timeout((address.timeout + BACKOFF_MOST) * address.attempts)
}

/// Connections that break, 500, 502, 503, 504 and throttling are tried again, nothing else is.
fn retries(address: &Address) -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(address.attempts)
        .with_initial_backoff(BACKOFF_FIRST)
        .with_max_backoff(BACKOFF_MOST)
}

/// Without TLS where the endpoint has none, so that a machine without any authorities will do.
fn http_client(address: &Address) -> Result<SharedHttpClient, Source> {
    if address.endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme() == "http") {
        return Ok(http::Builder::new().build_http());
    }
    let trusted = match &address.ca {
        Some(file) => TrustStore::empty().with_pem_certificate(authorities(file)?),
        None => TrustStore::default(),
    };
    let context = TlsContext::builder().with_trust_store(trusted).build()?;
    let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);
    Ok(http::Builder::new().tls_provider(provider).tls_context(context).build_https())
}

/// A PEM file that has been seen to hold certificates: the client would panic at anything else.
fn authorities(file: &Path) -> Result<Vec<u8>, Source> {
    let named = |error: Source| -> Source { format!("{}: {error}", file.display()).into() };
    let pem = std::fs::read(file).map_err(|error| named(error.into()))?;
    let mut found = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| named(format!("{error:?}").into()))?;
        found.add(certificate).map_err(|error| named(error.into()))?;
    }
    if found.is_empty() {
        return Err(named("there is no certificate in it".into()));
    }
    Ok(pem)
}
