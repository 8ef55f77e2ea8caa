//! How true the wall clock is that a recording's anchors tell.

use archive::cmaf::Fragment;
use models::{Anchor, WallMicros};

use super::scenarios::scenarios;
use super::*;
use crate::anchors::Anchors;

/// Fragments of 40 packets, five a chunk; the truth of each.
fn fragments(scenario: &Scenario, secs: u64) -> Vec<(Fragment, i64)> {
    let mut fragments = Vec::new();
    let mut n = 0;
    Simulation::new(scenario, 3).run(secs, |start, end_us, true_end_us| {
        n += 1;
        if n % 40 == 1 {
            let wall = WallMicros(end_us - 20_000);
            let fragment = Fragment { seq: n / 40 + 1, start, wall, packets: Vec::new() };
            fragments.push((fragment, true_end_us - 20_000));
        }
    });
    fragments
}

#[test]
fn anchors_are_few_and_true() {
    let names = ["5 % loss, 100 ppm slow", "no absence, 200 ppm slow", "no absence, 200 ppm fast"];
    for scenario in scenarios().iter().filter(|scenario| names.contains(&scenario.name)) {
        let fragments = fragments(scenario, 8 * 3600);
        let mut known = Anchors::new(None);
        let mut anchors: Vec<Anchor> = Vec::new();
        for chunk in fragments.chunks(5) {
            let chunk: Vec<Fragment> = chunk.iter().map(|(fragment, _)| fragment.clone()).collect();
            anchors.extend(known.of_chunk(&chunk, &[]));
        }
        let off = |(fragment, truth): &(Fragment, i64)| {
            let last = anchors.partition_point(|anchor| anchor.media <= fragment.start) - 1;
            let since = fragment.start.saturating_sub(anchors[last].media);
            (anchors[last].wall.plus(since).0 - truth).abs()
        };
        let worst = fragments.iter().map(off).max().unwrap();
        println!("{}: {} anchors, {worst} us off at most", scenario.name, anchors.len());
        assert!(worst <= 40_000, "{}: {worst} us", scenario.name);
        assert!(anchors.len() < 800, "{}: {} anchors", scenario.name, anchors.len());
    }
}
