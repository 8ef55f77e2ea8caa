//! What the timeline is put through.

use super::*;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const EACH_MS: &[u64] = &[10, 20, 40, 60];

pub(super) fn scenarios() -> Vec<Scenario> {
    let lossy = Scenario { loss: 50, ..PLAIN };
    let hostile = Scenario { loss: 50, burst: 8, reorder: 20, twice: 20, ..PLAIN };
    let dtx = Scenario { dtx: true, ..PLAIN };
    let faults = |name, faults| Scenario { name, faults, ..lossy.clone() };
    vec![
        PLAIN,
        Scenario { name: "5 % loss, 100 ppm slow", ppm: 100, ..lossy.clone() },
        Scenario { name: "5 % loss, 100 ppm fast", ppm: -100, ..lossy.clone() },
        Scenario { name: "5 % loss, 200 ppm slow", ppm: 200, ..lossy.clone() },
        Scenario { name: "5 % loss, 200 ppm fast", ppm: -200, ..lossy.clone() },
        Scenario { name: "burst loss", burst: 10, ppm: 100, ..lossy.clone() },
        Scenario { name: "long bursts", burst: 50, ppm: -100, ..lossy.clone() },
        Scenario { name: "reorder", reorder: 100, ppm: 100, ..lossy.clone() },
        Scenario { name: "duplicates", twice: 100, ppm: 50, ..lossy.clone() },
        Scenario { name: "jitter of 90 ms", jitter_us: 90_000, ppm: 100, ..lossy.clone() },
        Scenario { name: "packets of any length", lengths: EACH_MS, ppm: 100, ..hostile.clone() },
        Scenario { name: "short packets", lengths: &[5], ppm: 100, ..hostile.clone() },
        Scenario { name: "8 kHz", unit: 6, ppm: -100, ..hostile.clone() },
        Scenario { name: "silence, 200 ppm slow", ppm: 200, ..dtx.clone() },
        Scenario { name: "silence, 200 ppm fast", ppm: -200, ..dtx.clone() },
        Scenario { name: "silence, loss, 8 kHz", loss: 50, unit: 6, ppm: 100, ..dtx.clone() },
        faults("timestamps jump", &[(MINUTE, Fault::Jump(0)), (MINUTE, Fault::Jump(1_500))]),
        faults("SSRC changes", &[(MINUTE, Fault::Restart(0)), (MINUTE, Fault::Restart(1_900))]),
        faults("stop and resume", &[(5 * MINUTE, Fault::Restart(90_000))]),
        faults("timestamps stand still", &[(MINUTE, Fault::Freeze(5_000))]),
        faults(
            "stall with running timestamps",
            &[
                (20 * MINUTE, Fault::Stall { ms: 244_000, numbers_run: false }),
                (5 * MINUTE, Fault::Stall { ms: 1_500, numbers_run: true }),
                (15 * MINUTE, Fault::Stall { ms: 40_000, numbers_run: true }),
            ],
        ),
        faults("hold-ups", &[(MINUTE, Fault::HoldUp(3_000))]),
        faults("we stand still", &[(2 * MINUTE, Fault::Still(10_000))]),
        Scenario {
            name: "all of it",
            // Where all that follows is lost, nothing shows that a clock stood still.
            burst: 3,
            ppm: 150,
            dtx: true,
            faults: &[
                (4 * MINUTE, Fault::Jump(1_500)),
                (5 * MINUTE, Fault::Restart(5_000)),
                (6 * MINUTE, Fault::Freeze(5_000)),
                (7 * MINUTE, Fault::HoldUp(2_000)),
                (9 * MINUTE, Fault::Still(3_000)),
                (8 * MINUTE, Fault::Stall { ms: 20_000, numbers_run: true }),
            ],
            ..hostile
        },
        Scenario { name: "no absence, 200 ppm slow", ppm: 200, allowed_us: None, ..PLAIN },
        Scenario { name: "no absence, 200 ppm fast", ppm: -200, allowed_us: None, ..PLAIN },
    ]
}

/// Runs a scenario; every promise is checked as it goes. The worst errors, in µs.
fn run(scenario: &Scenario, seed: u64, secs: u64) -> Worst {
    let worst = Simulation::new(scenario, seed).run(secs, |_, _, _| {});
    assert!(worst.times <= 40_000, "{}: {worst:?}", scenario.name);
    worst
}

#[test]
fn eight_hours_with_loss_and_skew() {
    let all = scenarios();
    let worst = run(&all[1], 1, 8 * HOUR);
    assert!(worst.packets > 1_300_000, "{worst:?}");
}

#[test]
fn whatever_happens_media_time_is_true() {
    for (seed, scenario) in (100..).zip(scenarios()) {
        run(&scenario, seed, HOUR / 2);
    }
}

/// The table of docs/RELIABILITY.md: `cargo test -p roomtape-ingest --release -- --ignored --nocapture`.
#[test]
#[ignore = "takes a minute"]
fn eight_hours_of_everything() {
    for (seed, scenario) in (7..).zip(scenarios()) {
        let Worst { media, times, packets } = run(&scenario, seed, 8 * HOUR);
        let ms = |us: i64| us as f64 / 1000.0;
        println!("| {} | {packets} | {:.1} | {:.1} |", scenario.name, ms(media), ms(times));
    }
}
