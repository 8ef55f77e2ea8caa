//! Wrong settings are one clear sentence; keys come from where they may.

use std::process::Command;
use std::sync::Arc;

use models::RecordingId;
use servers::{free_port, garage};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::proxy::{Fault, Proxy};
use super::{place, place_at, place_with};
use crate::key::Key;
use crate::store::{Cause, Error, Place, Store};

/// Checks that a place cannot be opened for this reason, and gives what is said.
#[track_caller]
fn refused(opened: Result<Store, Error>, because: Cause) -> String {
    match opened.unwrap_err() {
        error @ Error::Unusable { cause, .. } if cause == because => error.to_string(),
        other => panic!("{because:?} expected: {other:?}"),
    }
}

#[tokio::test]
async fn each_wrong_setting_has_its_own_sentence() {
    let bucket = garage().new_bucket();
    let right = place(&bucket);
    let open = async |place: Place| Store::open(&place).await;

    let url = right.url.replace(&bucket.name, "nosuch");
    let said = refused(open(Place { url, ..right.clone() }).await, Cause::Bucket);
    let at = format!("the store s3://nosuch at {} cannot be used", garage().endpoint());
    assert_eq!(said, format!("{at}: there is no such bucket"));

    let (key, secret) = garage().new_key();
    let nobody = Some("GK000000000000000000000000".to_owned());
    refused(open(Place { key: nobody, ..right.clone() }).await, Cause::Key);
    let wrong = Place { secret: Some(secret.as_str().into()), ..right.clone() };
    let error = open(wrong).await.unwrap_err();
    assert!(!format!("{error:?} {error}").contains(&secret));
    refused(Err(error), Cause::Secret);
    let weak = Place { key: Some(key), secret: Some(secret.as_str().into()), ..right.clone() };
    refused(open(weak).await, Cause::Forbidden);
    refused(open(Place { secret: None, ..right.clone() }).await, Cause::HalfAKey);
    let region = Place { url: right.url.replace("region=garage", "region=mars"), ..right.clone() };
    refused(open(region).await, Cause::Region);

    let nowhere = format!("http://127.0.0.1:{}", free_port().unwrap());
    let error = open(place_at(&bucket, &nowhere, "attempts=1")).await.unwrap_err();
    assert!(error.is_away());
    refused(Err(error), Cause::Unreachable);
    let silent = Proxy::start(|_, _| Fault::Stall).await;
    let options = "attempts=1&timeout_ms=100";
    refused(open(place_at(&bucket, &silent.endpoint, options)).await, Cause::Timeout);
    let other = Proxy::start(|_, _| Fault::Answer(200, "")).await;
    refused(open(place_at(&bucket, &other.endpoint, "attempts=1")).await, Cause::Stranger);
    let address = open(Place::new("s3://bucket?endpoint=nonsense")).await.unwrap_err();
    assert!(matches!(address, Error::Address { .. }), "{address:?}");
}

#[tokio::test]
async fn certificates_are_checked_against_the_file_of_authorities() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let stranger = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (ca, other) = (file("ca.pem", &made.cert.pem()), file("other.pem", &stranger.cert.pem()));
    let endpoint = tls_before_garage(&made).await;
    let bucket = garage().new_bucket();
    let open = async |options: String| {
        Store::open(&place_at(&bucket, &endpoint, &format!("attempts=1&{options}"))).await
    };

    let store = open(format!("ca={ca}")).await.unwrap();
    let key = Key::Init(RecordingId::new());
    store.put(&key, "through TLS".into()).await.unwrap();
    assert_eq!(store.get(&key, None).await.unwrap(), "through TLS");
    refused(open(format!("ca={other}")).await, Cause::Certificate);

    let missing = folder.path().join("missing.pem").display().to_string();
    let no_certificate = file("key.pem", &made.signing_key.serialize_pem());
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for unusable in [&missing, &no_certificate, &file("garbage.pem", garbage)] {
        let said = refused(open(format!("ca={unusable}")).await, Cause::Ca);
        assert!(said.contains("ca="), "{said}");
    }
}

/// The address of something that speaks TLS with this certificate and hands on to Garage.
async fn tls_before_garage(made: &rcgen::CertifiedKey<rcgen::KeyPair>) -> String {
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let garage = garage().endpoint();
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(garage.trim_start_matches("http://")).await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut server = server;
                // A client that does not trust us hangs up.
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    endpoint
}

/// Not a test by itself: what [`keys_come_from_the_environment_or_a_profile`] runs in a process with
/// an environment of its own.
#[tokio::test]
#[ignore = "run by another test in a process of its own"]
async fn opens_the_place_in_its_environment() {
    let place = Place::new(std::env::var("PLACE").unwrap());
    match (Store::open(&place).await, std::env::var("FAILS")) {
        (Ok(store), Err(_)) => assert_eq!(store.list("").await.unwrap(), []),
        (opened, Ok(_)) => drop(refused(opened, Cause::NoKey)),
        (Err(error), _) => panic!("{error:?}"),
    }
}

#[test]
fn keys_come_from_the_environment_or_a_profile() {
    let bucket = garage().new_bucket();
    let home = tempfile::tempdir().unwrap();
    let run = |place: &Place, settings: &[(&str, &str)]| {
        let name = "store::tests::settings::opens_the_place_in_its_environment";
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", name, "--ignored"]).env_clear();
        child.env("HOME", home.path()).env("AWS_EC2_METADATA_DISABLED", "true");
        child.env("PLACE", &place.url).envs(settings.iter().copied());
        let output = servers::output(&mut child, std::time::Duration::from_secs(60)).unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("1 passed"), "{settings:?}: {said}");
    };
    let (id, secret) = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
    run(&place(&bucket), &[(id, &bucket.key), (secret, &bucket.secret)]);
    run(&place(&bucket), &[("FAILS", "")]);

    let keys = format!("aws_access_key_id={}\naws_secret_access_key={}", bucket.key, bucket.secret);
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    let file = home.path().join(".aws/credentials");
    std::fs::write(file, format!("[tapes]\n{keys}\n")).unwrap();
    run(&place_with(&bucket, "profile=tapes"), &[]);
    run(&place(&bucket), &[("AWS_PROFILE", "tapes")]);
    run(&place_with(&bucket, "profile=others"), &[("FAILS", "")]);
}
