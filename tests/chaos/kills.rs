//! `kill -9` of the recording process at random moments, and started again at once.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::Settings;
use crate::support::random::Random;
use crate::support::{crowd::Crowd, rig::Rig, secs};

/// How long the process lives each time: the shortest hits it while it starts.
const LIVES: (Duration, Duration) = (Duration::from_millis(200), secs(6));

pub(crate) async fn run(settings: &Settings) -> bool {
    let mut rig = settings.rig("kills").await;
    let mut random = Random::new(settings.seed);
    rig.start().await;
    let crowd = rig.go_live(settings.seed, secs(4)).await;
    let began = Instant::now();
    for kill in 1..=settings.kills {
        rig.kill(&crowd);
        rig.start_at_once();
        live(&mut rig, &crowd, random.between(LIVES.0, LIVES.1)).await;
        if kill % 20 == 0 || kill == settings.kills {
            println!("{kill} kills in {} s", began.elapsed().as_secs());
        }
    }
    rig.ready().await;
    rig.over(&crowd);
    crate::judge(rig, crowd).await
}

/// Lets the process live for so long, and notes when it was ready.
async fn live(rig: &mut Rig, crowd: &Crowd, long: Duration) {
    let until = Instant::now() + long;
    // Killed before it was ready, it was away until then.
    let _ = timeout_at(until, rig.ready()).await;
    rig.over(crowd);
    sleep_until(until).await;
}
