//! Many rooms for a long time, with mild faults: memory stays what it was, and nothing is lost.

use std::path::Path;
use std::time::Duration;

use reqwest::Client;
use serde_json::Value;
use servers::Fault;
use tokio::time::{Instant, sleep_until};

use crate::Settings;
use crate::memory::Memory;
use crate::support::crowd::Network;
use crate::support::rig::Rig;
use crate::support::{api, secs};

/// Between two samples of memory.
const SAMPLE_EVERY: Duration = secs(10);
/// A network as it is on most days.
const MILD: Network = Network { lost: 3, bursts: 1, late: 5, twice: 2 };
/// Into how many parts the time is cut: in each the store is away once, and the database once.
const PARTS: u32 = 6;
/// Memory is looked at from then on, or after a third where there is not that much time.
const WARM: Duration = secs(600);

pub(crate) async fn run(settings: &Settings) -> bool {
    let length = secs(settings.minutes * 60);
    let mut rig = settings.rig("soak").await;
    rig.start().await;
    let crowd = rig.go_live(settings.seed, secs(4)).await;
    crowd.network(MILD);
    let processes = [rig.process().id(), rig.api.id()];
    let mut memory = Memory::new(Path::new(env!("CARGO_TARGET_TMPDIR")), vec!["ingest", "api"]);
    let began = Instant::now();
    let client = Client::builder().no_proxy().timeout(secs(60)).build().expect("a client");
    let (mut said, mut heard) = (Duration::ZERO, true);
    while began.elapsed() < length {
        let at = began.elapsed();
        memory.sample(at, &processes);
        if at >= said {
            println!("{} min: {}", at.as_secs() / 60, memory.last());
            said += secs(60);
        }
        weather(&rig, at, length / PARTS);
        if let Err(error) = listen(&client, &rig, at.as_secs() as usize / 10).await {
            println!("WRONG: {} min: a listener: {error:?}", at.as_secs() / 60);
            heard = false;
        }
        sleep_until(began + (at + SAMPLE_EVERY)).await;
    }
    weather(&rig, Duration::ZERO, length);
    let flat = memory.judge(WARM.min(length / 3));
    crate::judge(rig, crowd).await && flat && heard
}

/// In the middle of each part the store is away, for a minute where a part is ten minutes long; near
/// its end the database.
fn weather(rig: &Rig, at: Duration, part: Duration) {
    let tenth = at.as_millis() * 10 / part.as_millis() % 10;
    for (link, away) in [(&rig.store, 4), (&rig.database, 8)] {
        if let Some(link) = link {
            link.set(if tenth == away { Fault::Cut } else { Fault::None });
        }
    }
}

/// Hears a bit of one room after the other, as listeners do. What they complain of is said, and does
/// not end the soak.
async fn listen(client: &Client, rig: &Rig, turn: usize) -> Result<(), reqwest::Error> {
    let base = &rig.pages.base;
    let get = async |path: String| client.get(path).send().await?.error_for_status();
    let listed = get(format!("{base}/api/recordings?limit=100")).await?.json::<Value>().await?;
    let rows = listed["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(row) = rows.get(turn % rows.len().max(1)) else { return Ok(()) };
    let recording = format!("{base}/api/recordings/{}", api::id(row));
    let playlist = get(format!("{recording}/playlist.m3u8")).await?.text().await?;
    if let Some(uri) = playlist.lines().rfind(|line| !line.starts_with('#')) {
        get(format!("{recording}/{uri}")).await?.bytes().await?;
    }
    Ok(())
}
