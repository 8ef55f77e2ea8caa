//! One fault after the other, at random: of the store, the database, the network, the process, the
//! clock.

use std::collections::BTreeMap;
use std::time::Duration;

use servers::Fault;
use tokio::time::{Instant, sleep};

use crate::Settings;
use crate::clock::Clock;
use crate::support::check::Kind;
use crate::support::crowd::{Crowd, Network};
use crate::support::random::Random;
use crate::support::rig::Rig;
use crate::support::secs;

/// How long a fault lasts.
const LASTS: (Duration, Duration) = (Duration::from_millis(500), secs(4));
/// Between two faults.
const CALM: (Duration, Duration) = (Duration::from_millis(500), secs(3));
/// How long the process stands still: a machine that swaps or is moved.
const STILL: (Duration, Duration) = (Duration::from_millis(200), secs(3));
/// After the clock was set: what was kept meanwhile must not be the last before a kill.
const CLOCK_SETTLES: Duration = secs(3);
/// A network as bad as people still talk over.
const BAD: Network = Network { lost: 50, bursts: 5, late: 50, twice: 20 };

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Blow {
    Store,
    Database,
    Both,
    Network,
    Encoders,
    Still,
    Kill,
    Clock,
}

pub(crate) async fn run(settings: &Settings) -> bool {
    let mut random = Random::new(settings.seed);
    let mut rig = settings.rig("storm").await;
    let clock = Clock::new();
    match &clock {
        Some(clock) => rig.settings.extend(clock.settings()),
        None => println!("the clock is not set: libfaketime is not installed"),
    }
    let mut blows = vec![Blow::Network, Blow::Encoders, Blow::Still, Blow::Kill];
    if rig.store.is_some() && rig.database.is_some() {
        blows.extend([Blow::Store, Blow::Store, Blow::Database, Blow::Both]);
    }
    blows.extend(clock.as_ref().map(|_| Blow::Clock));
    rig.start().await;
    let crowd = rig.go_live(settings.seed, secs(4)).await;
    let end = Instant::now() + secs(settings.storm_s);
    // Each of them once before any of them again.
    let (mut struck, mut round) = (BTreeMap::new(), Vec::new());
    while Instant::now() < end {
        if round.is_empty() {
            round.clone_from(&blows);
        }
        let blow = round.swap_remove(random.below(round.len() as u64) as usize);
        *struck.entry(blow).or_insert(0) += 1;
        strike(&mut rig, &crowd, clock.as_ref(), &mut random, blow).await;
        sleep(random.between(CALM.0, CALM.1)).await;
    }
    println!("struck: {struck:?}");
    crate::judge(rig, crowd).await
}

async fn strike(
    rig: &mut Rig,
    crowd: &Crowd,
    clock: Option<&Clock>,
    random: &mut Random,
    blow: Blow,
) {
    let lasts = random.between(LASTS.0, LASTS.1);
    match blow {
        Blow::Store | Blow::Database | Blow::Both => {
            let fault = fault(random, blow);
            let links = [(&rig.store, Blow::Database), (&rig.database, Blow::Store)];
            let links = links.iter().filter(|(_, spares)| *spares != blow);
            let links: Vec<_> = links.filter_map(|(link, _)| link.as_ref()).collect();
            links.iter().for_each(|link| link.set(fault));
            sleep(lasts).await;
            links.iter().for_each(|link| link.set(Fault::None));
        }
        Blow::Network => {
            crowd.network(BAD);
            sleep(lasts).await;
            crowd.network(Network::default());
        }
        Blow::Encoders => {
            rig.begin(crowd, Kind::CutOff);
            crowd.cut_encoders();
            sleep(secs(1)).await;
            rig.over(crowd);
        }
        Blow::Still => {
            rig.process().signal("-STOP");
            sleep(random.between(STILL.0, STILL.1)).await;
            rig.process().signal("-CONT");
        }
        Blow::Kill => {
            rig.kill(crowd);
            rig.start().await;
            rig.over(crowd);
        }
        Blow::Clock => {
            if let Some(clock) = clock {
                let seconds = random.below(61) as i64 - 30;
                clock.set(seconds).expect("a file");
                sleep(lasts).await;
                clock.set(0).expect("a file");
                sleep(CLOCK_SETTLES).await;
            }
        }
    }
}

/// What a link may suffer.
fn fault(random: &mut Random, blow: Blow) -> Fault {
    let slow = Duration::from_millis(20 + random.below(180));
    let short = Fault::Short(1 + random.below(8_000) as usize);
    let mut faults = vec![Fault::Cut, Fault::Silent, Fault::Slow(slow), short];
    if blow == Blow::Store {
        faults.extend([Fault::Answer(503, "SlowDown"), Fault::Answer(500, "InternalError")]);
    }
    faults[random.below(faults.len() as u64) as usize]
}
