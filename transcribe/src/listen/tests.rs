use models::{Gap, GapCause};

use super::*;

/// Somebody speaks: a buzz with moving formants is speech enough for the detector only by luck, so
/// these tests use what must be silent, and `tests/` the conversation.
fn quiet(seconds: u64) -> Vec<f32> {
    vec![0.0; speech::samples(Ticks::from_secs(seconds))]
}

#[test]
fn silence_moves_the_frontier_and_is_forgotten() {
    let mut listener = Listener::new(Policy::FINISHED, Ticks::ZERO, &[]);
    for seconds in 1..=120 {
        listener.push(&quiet(1));
        let behind = Ticks::from_secs(seconds).saturating_sub(listener.frontier());
        assert!(behind <= Ticks::from_millis(1100), "{behind}");
        assert!(listener.buffer.samples.len() <= speech::samples(Ticks::from_millis(3200)));
    }
    listener.finish();
    assert_eq!(listener.pop(), None);
}

#[test]
fn going_on_begins_on_a_whole_frame_a_little_before() {
    assert_eq!(Listener::from(Ticks::ZERO), Ticks::ZERO);
    let from = Listener::from(Ticks(100_001));
    let frame = speech::ticks(speech::FRAME);
    assert_eq!(from.0 % frame.0, 0);
    assert!(from <= Ticks(100_001).saturating_sub(PRE_ROLL));
    assert!(from + frame > Ticks(100_001).saturating_sub(PRE_ROLL));
}

#[test]
fn long_gaps_are_silenced_and_short_ones_are_not() {
    let gap = |start, length| Gap {
        start: Ticks::from_millis(start),
        duration: Ticks::from_millis(length),
        wall_us: 0,
        cause: GapCause::Loss,
    };
    // Also one that reaches over the end of what has come.
    let gaps = [gap(200, 20), gap(400, 150), gap(900, 1000)];
    let mut listener = Listener::new(Policy::FINISHED, Ticks::ZERO, &gaps);
    listener.push(&vec![0.01; 16_000]);
    let at = |ms: u64| listener.buffer.samples[(ms * 16) as usize];
    assert!(at(210) > 0.0 && at(399) > 0.0 && at(551) > 0.0);
    assert!(at(401) == 0.0 && at(549) == 0.0 && at(901) == 0.0 && at(999) == 0.0);
    listener.push(&vec![0.01; 16_000]);
    let at = |ms: u64| listener.buffer.samples[(ms * 16) as usize];
    assert!(at(1000) == 0.0 && at(1899) == 0.0 && at(1901) > 0.0);
}

#[test]
fn the_quietest_place_is_found() {
    let mut buffer = Buffer { start: Ticks::from_secs(5), samples: vec![0.5; 32_000] };
    buffer.samples[20_000..21_000].fill(0.01);
    let range = Span::new(Ticks::from_millis(5500), Ticks::from_millis(7000));
    let at = buffer.quietest(range);
    let low = Span::new(
        Ticks::from_secs(5) + speech::ticks(20_000),
        Ticks::from_secs(5) + speech::ticks(21_000),
    );
    assert!(low.contains(at), "{at}");
}
