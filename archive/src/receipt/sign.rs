//! Who vouches for a receipt: Ed25519 (RFC 8032) over its bytes.
//!
//! A key is PKCS#8 in PEM, as `openssl genpkey -algorithm ed25519` makes it, and is known by the first
//! 16 digits of the SHA-256 of its public half (SubjectPublicKeyInfo, DER): what
//! `openssl pkey -pubin -in FILE -outform DER | sha256sum` begins with.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use models::Receipt;
use models::receipt::Signature;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::hex;

/// What stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// Digits of a key's name.
const NAME_DIGITS: usize = 16;

/// Why a key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a private key.
    #[error("it is not an Ed25519 key in PEM: `roomtape receipt keygen` makes one")]
    Private,
    /// Not a public key.
    #[error("it is not the public half of an Ed25519 key, in PEM or Base64")]
    Public,
    /// The system has no random numbers.
    #[error("the system gave no random numbers")]
    Random,
}

/// A private key. Cloning it is cheap.
#[derive(Clone)]
pub struct Signer(Arc<Ed25519KeyPair>);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.name())
    }
}

impl Signer {
    /// The key in a text.
    ///
    /// # Errors
    /// [`Error::Private`].
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| Error::Private)?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der());
        pair.map(|pair| Self(Arc::new(pair))).map_err(|_| Error::Private)
    }

    /// A new key, as [`Self::from_pem`] reads it.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn generate() -> Result<String, Error> {
        let made = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new());
        made.map(|der| pem("PRIVATE KEY", der.as_ref())).map_err(|_| Error::Random)
    }

    /// Vouches for a receipt's body.
    #[must_use]
    pub fn sign(&self, body: &str) -> Signature {
        let bytes = BASE64.encode(self.0.sign(body.as_bytes()));
        Signature { public_key: self.public_key(), bytes }
    }

    /// The public half in Base64.
    #[must_use]
    pub fn public_key(&self) -> String {
        BASE64.encode(self.0.public_key())
    }

    /// The public half in PEM, for those who check.
    #[must_use]
    pub fn public_pem(&self) -> String {
        pem("PUBLIC KEY", &[&SPKI[..], self.0.public_key().as_ref()].concat())
    }

    /// What the key is known by.
    #[must_use]
    pub fn name(&self) -> String {
        name_of(&self.public_key()).unwrap_or_default()
    }
}

/// Whether a signature is one of `body` by the key that it names.
#[must_use]
pub fn is_good(signature: &Signature, body: &[u8]) -> bool {
    let (key, bytes) = (BASE64.decode(&signature.public_key), BASE64.decode(&signature.bytes));
    let (Ok(key), Ok(bytes)) = (key, bytes) else { return false };
    UnparsedPublicKey::new(&ED25519, key).verify(body, &bytes).is_ok()
}

/// What a public key in Base64 is known by; `None` where it is none.
#[must_use]
pub fn name_of(public_key: &str) -> Option<String> {
    let key = BASE64.decode(public_key).ok().filter(|key| key.len() == 32)?;
    let digest = Sha256::new_with_prefix(SPKI).chain_update(key).finalize();
    Some(hex(&digest[..NAME_DIGITS / 2]))
}

/// The public key in a text (PEM, or 32 bytes in Base64), in Base64.
///
/// # Errors
/// [`Error::Public`].
pub fn public_key(text: &str) -> Result<String, Error> {
    if name_of(text.trim()).is_some() {
        return Ok(text.trim().to_owned());
    }
    let der = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes());
    let der = der.map_err(|_| Error::Public)?;
    let key = der.strip_prefix(&SPKI).filter(|key| key.len() == 32);
    key.map(|key| BASE64.encode(key)).ok_or(Error::Public)
}

fn pem(what: &str, der: &[u8]) -> String {
    // Ed25519 keys fit on one line of 64 characters each.
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", BASE64.encode(der))
}

/// A signature as a file of its own, beside the receipt's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Always `Ed25519`.
    pub algorithm: String,
    /// What the key is known by.
    pub key_id: String,
    /// The public key, 32 bytes in Base64.
    pub public_key: String,
    /// SHA-256 of the receipt.
    pub receipt_sha256: String,
    /// Over the receipt's bytes: 64 bytes in Base64.
    pub signature: String,
}

impl File {
    /// That of a receipt; `None` where nobody has signed it.
    #[must_use]
    pub fn of(receipt: &Receipt) -> Option<Self> {
        let Signature { public_key, bytes } = receipt.signature.clone()?;
        Some(Self {
            algorithm: "Ed25519".into(),
            key_id: name_of(&public_key).unwrap_or_default(),
            public_key,
            receipt_sha256: hex(&receipt.sha256),
            signature: bytes,
        })
    }

    /// The signature in it.
    #[must_use]
    pub fn signature(&self) -> Signature {
        Signature { public_key: self.public_key.clone(), bytes: self.signature.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 1: its secret key as `openssl` wraps it (RFC 8410, section 7).
    fn known() -> String {
        let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        der.extend((0..32).map(|at| u8::from_str_radix(&secret[2 * at..2 * at + 2], 16).unwrap()));
        pem("PRIVATE KEY", &der)
    }

    #[test]
    fn signatures_are_those_of_the_standard() {
        let signer = Signer::from_pem(&known()).unwrap();
        let signature = signer.sign("");
        let bytes = BASE64.decode(&signature.bytes).unwrap();
        assert_eq!(
            hex(&bytes),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e3970\
             1cf9b46bd25bf5f0595bbe24655141438e7a100b"
        );
        assert!(is_good(&signature, b"") && !is_good(&signature, b"x"));
        let other = Signer::from_pem(&Signer::generate().unwrap()).unwrap();
        assert!(!is_good(&Signature { public_key: other.public_key(), ..signature }, b""));
        assert!(!format!("{signer:?}").contains("9d61"));
    }

    #[test]
    fn the_public_half_is_read_in_either_form() {
        let signer = Signer::from_pem(&known()).unwrap();
        let key = signer.public_key();
        assert_eq!(public_key(&signer.public_pem()), Ok(key.clone()));
        assert_eq!(public_key(&format!(" {key}\n")), Ok(key.clone()));
        assert_eq!(name_of(&key), Some(signer.name()));
        assert_eq!(signer.name().len(), NAME_DIGITS);
        for text in ["", "AAAA", &known()] {
            assert_eq!(public_key(text), Err(Error::Public), "{text}");
            assert!(Signer::from_pem(&text.replace("MC4", "MC5")).is_err());
        }
    }
}
