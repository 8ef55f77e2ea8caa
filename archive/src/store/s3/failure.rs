//! What went wrong, from what the AWS client says of it.

use std::error::Error as StdError;
use std::io;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::store::error::{Cause, Source};

/// An answer that is a refusal.
#[derive(Debug, thiserror::Error)]
#[error("status {status} {code}: {message}")]
struct Refusal {
    status: u16,
    code: String,
    message: String,
}

/// A failed request: what it means, and what there is to say about it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    /// Status of the answer, where one came.
    pub(super) status: Option<u16>,
    pub(super) code: Option<String>,
    pub(super) source: Source,
}

impl Failure {
    pub(super) fn is(&self, status: u16) -> bool {
        self.status == Some(status)
    }

    pub(super) fn has_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

impl<E> From<SdkError<E, HttpResponse>> for Failure
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        if let SdkError::ServiceError(answer) = &error {
            let status = answer.raw().status().as_u16();
            let code = answer.err().code().map(str::to_owned);
            let message = answer.err().message().unwrap_or("no reason given").to_owned();
            let cause = of_answer(status, code.as_deref(), &message);
            let shown = code.clone().unwrap_or_else(|| "without a code".into());
            let source = Box::new(Refusal { status, code: shown, message });
            return Self { cause, status: Some(status), code, source };
        }
        let cause = match &error {
            SdkError::TimeoutError(_) => Cause::Timeout,
            SdkError::DispatchFailure(failure) if failure.is_timeout() => Cause::Timeout,
            SdkError::DispatchFailure(_) if is_certificate(&error) => Cause::Certificate,
            SdkError::DispatchFailure(_) => Cause::Unreachable,
            SdkError::ResponseError(_) => Cause::Garbled,
            _ => Cause::Refused,
        };
        Self { cause, status: None, code: None, source: Box::new(error) }
    }
}

/// What an answer's status and code mean. Codes come first: they say more.
fn of_answer(status: u16, code: Option<&str>, message: &str) -> Cause {
    match (code.unwrap_or_default(), status) {
        ("NoSuchBucket", _) => Cause::Bucket,
        ("InvalidAccessKeyId", _) => Cause::Key,
        // Garage refuses an unknown key, and one with another secret, as it does everything else.
        ("AccessDenied", _) if message.contains("No such key") => Cause::Key,
        ("AccessDenied", _) if message.contains("Invalid signature") => Cause::Secret,
        ("SignatureDoesNotMatch", _) => Cause::Secret,
        ("AuthorizationHeaderMalformed" | "PermanentRedirect", _) | (_, 301) => Cause::Region,
        ("RequestTimeTooSkewed", _) => Cause::Clock,
        ("BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" | "IncompleteBody", _) => {
            Cause::Damaged
        }
        ("SlowDown" | "InternalError" | "RequestTimeout" | "ConditionalRequestConflict", _) => {
            Cause::Busy
        }
        (_, 429 | 500..) => Cause::Busy,
        (_, 403) => Cause::Forbidden,
        // All is well, it says, but not in the words of S3.
        ("", 200..=299) => Cause::Stranger,
        _ => Cause::Refused,
    }
}

/// Whether TLS failed at the certificate, which no retry will mend.
fn is_certificate(error: &(dyn StdError + 'static)) -> bool {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return matches!(tls, rustls::Error::InvalidCertificate(_));
    }
    // An I/O error hides what it carries from the chain.
    let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    if let Some(carried) = carried {
        return is_certificate(carried);
    }
    error.source().is_some_and(is_certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_mean_what_an_operator_would_look_for() {
        for (status, code, message, cause) in [
            (404, Some("NoSuchBucket"), "", Cause::Bucket),
            (403, Some("InvalidAccessKeyId"), "", Cause::Key),
            (403, Some("SignatureDoesNotMatch"), "", Cause::Secret),
            (403, Some("AccessDenied"), "Access Denied", Cause::Forbidden),
            (403, None, "", Cause::Forbidden),
            (400, Some("AuthorizationHeaderMalformed"), "", Cause::Region),
            (301, None, "", Cause::Region),
            (403, Some("RequestTimeTooSkewed"), "", Cause::Clock),
            (400, Some("BadDigest"), "", Cause::Damaged),
            (503, Some("SlowDown"), "", Cause::Busy),
            (500, Some("InternalError"), "", Cause::Busy),
            (502, None, "", Cause::Busy),
            (429, None, "", Cause::Busy),
            (400, Some("RequestTimeout"), "", Cause::Busy),
            (200, None, "", Cause::Stranger),
            (200, Some("InternalError"), "", Cause::Busy),
            (400, Some("InvalidRequest"), "", Cause::Refused),
        ] {
            assert_eq!(of_answer(status, code, message), cause, "{status} {code:?}");
        }
    }
}
