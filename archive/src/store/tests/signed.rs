//! Addresses that need no key, fetched by a client that has none.

use std::process::Command;
use std::time::Duration;

use models::RecordingId;
use servers::garage;

use super::{place, place_with};
use crate::key::Key;
use crate::store::Store;

const MINUTE: Duration = Duration::from_secs(60);

/// Head and body of what curl gets.
fn curl(arguments: &[&str]) -> (String, String) {
    let mut curl = Command::new("curl");
    let output = servers::output(curl.args(["-sS", "-i"]).args(arguments), MINUTE).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_the_address_gets_the_object_under_its_name() {
    let bucket = garage().new_bucket();
    let store = Store::open(&place(&bucket)).await.unwrap();
    let key = Key::Init(RecordingId::new());
    store.put(&key, "0123456789".into()).await.unwrap();
    let name = "attachment; filename=\"Town hall.mp4\"; filename*=UTF-8''Town%20hall.mp4";
    let url = store.presign(&key, MINUTE, Some(name)).await.unwrap().unwrap();
    assert!(url.starts_with(&format!("{}/{}/recordings/", garage().endpoint(), bucket.name)));
    assert_eq!(store.origin(), Some(garage().endpoint().as_str()));
    assert!(!url.contains(&bucket.secret));

    let (head, body) = curl(&[&url]);
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("content-type: audio/mp4"), "{head}");
    assert!(head.contains(&format!("content-disposition: {}", name.to_lowercase())), "{head}");
    assert_eq!(body, "0123456789");
    let (head, body) = curl(&["-H", "range: bytes=2-4", &url]);
    assert!(head.starts_with("http/1.1 206") && body == "234", "{head}");

    let bare = url.split('?').next().unwrap();
    let other = url.replace("init.mp4", "chunks/00000000.m4s");
    let forged = url.replace("X-Amz-Expires=60", "X-Amz-Expires=600");
    for refused in [bare, &other, &forged] {
        assert_ne!(refused, url);
        let (head, _) = curl(&[refused]);
        assert!(head.starts_with("http/1.1 403"), "{refused}: {head}");
    }
    let disk = Store::disk(tempfile::tempdir().unwrap().path()).unwrap();
    assert_eq!((disk.presign(&key, MINUTE, None).await.unwrap(), disk.origin()), (None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_can_be_a_host_of_its_own() {
    let bucket = garage().new_bucket();
    let store = Store::open(&place(&bucket)).await.unwrap();
    let key = Key::Init(RecordingId::new());
    store.put(&key, "virtual".into()).await.unwrap();
    let named = garage().named_endpoint();
    // Only signed for there: not every machine finds names below localhost. An address that is a
    // number has no hosts below it, so that requests go by the path all the same.
    let options = format!("path_style=false&public_endpoint={named}");
    let store = Store::open(&place_with(&bucket, &options)).await.unwrap();
    let url = store.presign(&key, MINUTE, None).await.unwrap().unwrap();
    let host = named.trim_start_matches("http://");
    assert!(url.starts_with(&format!("http://{}.{host}/recordings/", bucket.name)), "{url}");
    let origin = format!("http://{}.{host}", bucket.name);
    assert_eq!(store.origin(), Some(origin.as_str()));
    let resolve = format!("{}.{host}:127.0.0.1", bucket.name);
    let (head, body) = curl(&["--resolve", &resolve, &url]);
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(body, "virtual");
}
