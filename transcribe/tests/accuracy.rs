//! How near the words come to the truth, with the demo weights. `make bench` prints the figures;
//! `ROOMTAPE_SHOW_WORDS=1` prints the words too.

use crate::support::{Worker, conversation, later, music, noise, rms, truth};
use models::{Gap, GapCause, Span, Ticks, Word};
use roomtape_transcribe::score::{Score, Truth};
use roomtape_transcribe::window::Policy;

/// whisper.cpp's own command line has 0.4 % word errors on the conversation (greedy, no carried
/// context); one point more is allowed. The times are a fifth of what its own word times are off.
fn check(what: &str, score: &Score) {
    println!("{what}: {score}");
    assert!(score.word_error_rate <= 0.014, "{what}: {score}");
    assert!(score.clause_start_max_s <= 0.15, "{what}: {score}");
    assert!(score.word_start_median_s <= 0.08, "{what}: {score}");
    assert!(score.word_start_p95_s <= 0.2, "{what}: {score}");
    assert!(score.word_start_max_s <= 0.4, "{what}: {score}");
}

#[test]
fn the_conversation_as_a_finished_recording_and_as_a_live_room() {
    let mut worker = Worker::new();
    let sound = conversation();
    check("finished", &worker.score(&sound, Policy::FINISHED, &truth()));
    check("live", &worker.score(&sound, Policy::LIVE, &truth()));
}

#[test]
fn a_long_pause_inside_costs_nothing() {
    let (mut sound, mut truth) = (conversation(), truth());
    // Between two turns.
    let turn = 14;
    let cut =
        (truth.turns[turn - 1].words.last().unwrap().end + truth.turns[turn].words[0].start) / 2.0;
    let after = Truth { turns: truth.turns.split_off(turn) };
    truth.turns.extend(later(&after, 45.0).turns);
    let at = (cut * 16_000.0) as usize;
    sound.splice(at..at, std::iter::repeat_n(0.0, 45 * 16_000));
    check("45 s of pause", &Worker::new().score(&sound, Policy::FINISHED, &truth));
}

#[test]
fn twice_as_long_is_as_good() {
    let (mut sound, mut truth) = (conversation(), truth());
    let again = later(&truth, sound.len() as f64 / 16_000.0);
    sound.extend(sound.clone());
    truth.turns.extend(again.turns);
    check("twice", &Worker::new().score(&sound, Policy::FINISHED, &truth));
}

/// Shows no words in what sounds the same each of so many minutes.
fn nothing_is_shown(sounds: &[(&str, Vec<f32>)], minutes: usize) {
    let mut worker = Worker::new();
    for (what, minute) in sounds {
        let segments = worker.segments_of(|_| minute, minutes);
        let (shown, hidden): (Vec<_>, Vec<_>) =
            segments.iter().partition(|segment| segment.suppressed.is_none());
        println!("{what}: {} hidden segments", hidden.len());
        assert!(shown.is_empty(), "{what}: {shown:?}");
    }
}

#[test]
fn nobody_speaks_in_an_hour_of_silence_hum_and_noise() {
    let length = 60 * 16_000;
    let hum = |i: usize| (i as f32 * 50.0 * std::f32::consts::TAU / 16_000.0).sin() * 0.1;
    let sounds = [
        ("silence", vec![0.0; length]),
        ("hum", (0..length).map(hum).collect()),
        ("white noise", noise(length, 0.05, false)),
        ("pink noise", noise(length, 0.05, true)),
    ];
    nothing_is_shown(&sounds, 60);
}

#[test]
fn nobody_speaks_in_music() {
    nothing_is_shown(&[("music", music(60 * 16_000))], 1);
}

/// By hand: the speech gate takes it for speech now and then, so that the engine has to hear it.
#[test]
#[ignore = "takes a quarter of an hour"]
fn nobody_speaks_in_an_hour_of_music() {
    nothing_is_shown(&[("music", music(60 * 16_000))], 60);
}

#[test]
fn concealed_sound_holds_no_words() {
    let lost = Gap {
        start: Ticks::from_millis(20_000),
        duration: Ticks::from_millis(15_000),
        wall_us: 15_000_000,
        cause: GapCause::Loss,
    };
    let mut worker = Worker::new();
    let segments = worker.segments_with_gaps(&conversation(), Policy::FINISHED, &[lost]);
    let words = || segments.iter().flat_map(|segment| &segment.words);
    let inside = Span::new(lost.start, lost.start + lost.duration);
    let within = |word: &&Word| inside.contains(word.span.start);
    assert_eq!(words().filter(within).map(|word| &word.text).collect::<Vec<_>>(), [""; 0]);
    assert!(words().any(|word| word.span.start < inside.start));
    assert!(words().filter(|word| word.span.start > inside.end).count() > 150);
}

/// The demo weights hear little in noise (their own authors' figure: 60 % wrong): what is asked is
/// that it ends, in order, and that times stay right.
#[test]
fn noise_does_not_move_the_words() {
    let mut sound = conversation();
    let noise = noise(sound.len(), rms(&sound) / 10_f32.powf(15.0 / 20.0), true);
    sound.iter_mut().zip(noise).for_each(|(sample, noise)| *sample += noise);
    let score = Worker::new().score(&sound, Policy::FINISHED, &truth());
    println!("15 dB of pink noise: {score}");
    assert!(score.word_error_rate <= 0.7, "{score}");
    assert!(score.word_start_median_s <= 0.16, "{score}");
}
