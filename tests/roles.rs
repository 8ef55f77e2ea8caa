//! The roles as processes of their own: what they say of themselves, and how they end.

use std::path::Path;

use models::{Db, Grip, job};
use reqwest::Method;

use crate::support::cluster::{Installation, Source};
use crate::support::{Api, api, secs, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_ends_in_order_and_leaves_nothing_behind() {
    let installation = Installation::new();
    let pages = installation.start("api", "pages").await;
    let worker = installation.start("transcribe", "worker").await;
    let ingest = installation.start("ingest", "first").await;
    let api = Api::new(pages.http);
    let key = api.icecast_room("hall").await;
    let source = Source::start("hall", &key, vec![ingest.icecast], secs(60));
    let live = api.recording("hall", "live", secs(30)).await;
    let path = format!("/api/recordings/{}", api::id(&live));
    let stored = || async { api.get(&path).await["duration_ms"].as_u64() };
    until("a chunk", secs(30), || async { stored().await.filter(|ms| *ms >= 4_000) }).await;

    source.stop();
    let before = stored().await;
    ingest.terminate();
    assert!(stored().await >= before);
    assert_eq!(
        chunks_in(&installation.data("first").join("spool")),
        0,
        "all of it is in the store"
    );
    let db = Db::open(&installation.database).await.unwrap();
    let id = api::id(&live).parse().unwrap();
    assert_eq!(db.holder(id).await.unwrap().unwrap().grip, Grip::None, "anybody may go on");
    assert_eq!(api.get(&path).await["state"], "live", "it was handed over, not ended");
    source.join();

    let heir = installation.start("ingest", "second").await;
    api.recording("hall", "ended", secs(30)).await;
    heir.terminate();
    worker.terminate();
    for job in db.jobs_of(id).await.unwrap() {
        assert_ne!(job.state, job::State::Running, "its lease was given back: {job:?}");
    }
    pages.terminate();
    for name in ["pages", "worker"] {
        assert!(!installation.data(name).exists(), "{name} keeps nothing on its machine");
    }
}

/// How many chunks lie in a spool.
fn chunks_in(spool: &Path) -> usize {
    let entries = std::fs::read_dir(spool).unwrap().map(|entry| entry.unwrap().path());
    let count = |path: std::path::PathBuf| {
        if path.is_dir() {
            chunks_in(&path)
        } else {
            path.extension().is_some_and(|e| e == "m4s").into()
        }
    };
    entries.map(count).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_process_says_so_and_a_second_signal_ends_it_at_once() {
    let installation = Installation::new();
    // Longer than any test waits.
    let settings = [("ROOMTAPE_LINGER_S", "3600")];
    let pages = installation.start_with("api", "pages", &settings).await;
    let api = Api::new(pages.http);
    assert_eq!(api.get("/readyz").await["status"], "ready");
    pages.ask_to_end();
    until("it to say that it ends", secs(20), || async {
        let answer = api.request(Method::GET, "/readyz", None).await;
        (answer.status() == 503).then_some(())
    })
    .await;
    let (status, code) = api.problem(Method::GET, "/readyz", None).await;
    assert_eq!((status, code.as_str()), (503, "not_ready"));
    assert_eq!(api.get("/healthz").await["status"], "ok");
    assert!(api.get("/api/rooms").await["items"].is_array(), "it still works");
    pages.ask_to_end();
    assert_eq!(pages.end().code(), Some(130));
}
