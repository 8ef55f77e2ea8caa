//! Sounds with known words, and the path from samples to segments without database or store.

pub(crate) mod house;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use archive::Packet;
use archive::pcm::Decoder;
use bytes::Bytes;
use models::{Gap, Segment, Ticks};
use roomtape_transcribe::engine::{Decoding, Model, Prompt, Session};
use roomtape_transcribe::heard::Heard;
use roomtape_transcribe::listen::Listener;
use roomtape_transcribe::score::{self, Score, Transcript, Truth};
use roomtape_transcribe::weights::Weights;
use roomtape_transcribe::window::Policy;
use roomtape_transcribe::{reading, stitch};

/// A file of the bundled conversation.
pub(crate) fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name)
}

/// What is said in the conversation.
pub(crate) fn truth() -> Truth {
    Truth::parse(&std::fs::read_to_string(data("conversation.json")).unwrap()).unwrap()
}

/// The conversation as a room sends it: its Opus packets.
pub(crate) fn packets() -> Vec<Packet> {
    let file = std::fs::File::open(data("conversation.opus")).unwrap();
    let mut reader = ogg::PacketReader::new(file);
    let mut packets = Vec::new();
    while let Some(packet) = reader.read_packet().unwrap() {
        let data = Bytes::from(packet.data);
        // After the two header packets.
        if !data.starts_with(b"OpusHead") && !data.starts_with(b"OpusTags") {
            let duration = archive::opus::duration(&data).unwrap();
            packets.push(Packet { data, duration });
        }
    }
    packets
}

/// The conversation at 16 kHz.
pub(crate) fn conversation() -> Vec<f32> {
    let mut decoder = Decoder::new(16_000, 1).unwrap();
    packets().iter().flat_map(|packet| decoder.decode(packet).unwrap()).collect()
}

/// Decodes as a worker does, with the demo weights.
pub(crate) struct Worker(Session);

impl Worker {
    pub(crate) fn new() -> Self {
        Self::with(&Weights::demo())
    }

    pub(crate) fn with(weights: &Weights) -> Self {
        Self(Model::open(weights).unwrap().session().unwrap())
    }

    /// What is heard in a sound, as it comes from the engine.
    pub(crate) fn hear(&mut self, samples: &[f32]) -> Heard {
        let decoding = Decoding { threads: 1, temperature: 0.0, prompt: Prompt::default() };
        self.0.hear(samples, &decoding, &AtomicBool::new(false)).unwrap()
    }

    /// The segments of `samples`, which come four seconds at a time.
    pub(crate) fn segments(&mut self, samples: &[f32], policy: Policy) -> Vec<Segment> {
        self.segments_with_gaps(samples, policy, &[])
    }

    /// The segments of a sound that comes in so many parts.
    pub(crate) fn segments_of<'a>(
        &mut self,
        part: impl Fn(usize) -> &'a [f32],
        parts: usize,
    ) -> Vec<Segment> {
        let mut listener = Listener::new(Policy::FINISHED, Ticks::ZERO, &[]);
        let mut segments = Vec::new();
        for samples in (0..parts).flat_map(|n| part(n).chunks(64_000)) {
            listener.push(samples);
            self.read(&mut listener, &mut segments);
        }
        listener.finish();
        self.read(&mut listener, &mut segments);
        segments
    }

    /// The segments of `samples` of which those in `gaps` are concealment.
    pub(crate) fn segments_with_gaps(
        &mut self,
        samples: &[f32],
        policy: Policy,
        gaps: &[Gap],
    ) -> Vec<Segment> {
        let mut listener = Listener::new(policy, Ticks::ZERO, gaps);
        let mut segments = Vec::new();
        for chunk in samples.chunks(64_000) {
            listener.push(chunk);
            self.read(&mut listener, &mut segments);
        }
        listener.finish();
        self.read(&mut listener, &mut segments);
        segments
    }

    fn read(&mut self, listener: &mut Listener, segments: &mut Vec<Segment>) {
        let go_on = AtomicBool::new(false);
        while let Some(clip) = listener.pop() {
            let reading = reading::read(&clip, |samples, temperature| {
                let decoding = Decoding { threads: 1, temperature, prompt: Prompt::default() };
                self.0.hear(samples, &decoding, &go_on)
            });
            let new = stitch::join(segments.last(), clip.window.keep, reading.unwrap().clauses);
            segments.extend(new);
        }
    }

    /// How near it comes to `truth`.
    pub(crate) fn score(&mut self, samples: &[f32], policy: Policy, truth: &Truth) -> Score {
        let began = std::time::Instant::now();
        let segments = self.segments(samples, policy);
        let seconds = samples.len() as f64 / 16_000.0;
        println!("{seconds:.1} s of sound in {:.1} s", began.elapsed().as_secs_f64());
        check_order(&segments);
        if std::env::var_os("ROOMTAPE_SHOW_WORDS").is_some() {
            show(&segments);
        }
        score::score(truth, &Transcript { segments: segments.iter().map(Into::into).collect() })
    }
}

/// Ordinals without a hole, and starts that never go back.
pub(crate) fn check_order(segments: &[Segment]) {
    let mut last = Ticks::ZERO;
    for (i, segment) in segments.iter().enumerate() {
        assert_eq!(segment.ordinal as usize, i);
        for word in &segment.words {
            assert!(word.span.start >= last, "{} starts before the word before it", word.text);
            assert!(word.span.end > word.span.start, "{} has no length", word.text);
            last = word.span.start;
        }
    }
}

fn show(segments: &[Segment]) {
    for segment in segments {
        let (from, to) = (segment.span.start, segment.span.end);
        println!("{from} {to} {:?} {:.2}", segment.suppressed, segment.confidence);
        for word in &segment.words {
            print!("  {} {}", word.span.start, word.text);
        }
        println!();
    }
}

/// The truth moved to later by so many seconds.
pub(crate) fn later(truth: &Truth, seconds: f64) -> Truth {
    let mut truth = truth.clone();
    for word in truth.turns.iter_mut().flat_map(|turn| &mut turn.words) {
        word.start += seconds;
        word.end += seconds;
    }
    truth
}

/// Noise of the given loudness (root mean square), the same each time.
pub(crate) fn noise(length: usize, loudness: f32, pink: bool) -> Vec<f32> {
    let mut seed = 12_345_u32;
    let mut white = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / 8_388_608.0 - 1.0
    };
    // Paul Kellet's economy filter makes white noise pink within half a decibel.
    let mut state = [0.0_f32; 3];
    let mut sound: Vec<f32> = (0..length)
        .map(|_| {
            let sample = white();
            if !pink {
                return sample;
            }
            state[0] = 0.99765 * state[0] + sample * 0.099_046;
            state[1] = 0.96300 * state[1] + sample * 0.296_516;
            state[2] = 0.57000 * state[2] + sample * 1.052_691;
            state.iter().sum::<f32>() + sample * 0.1848
        })
        .collect();
    let scale = loudness / rms(&sound);
    sound.iter_mut().for_each(|sample| *sample *= scale);
    sound
}

/// A tune of chords with overtones that are struck and die away, the same each time.
pub(crate) fn music(length: usize) -> Vec<f32> {
    const CHORDS: [[f32; 3]; 4] = [
        [220.0, 277.2, 329.6],
        [196.0, 246.9, 293.7],
        [174.6, 220.0, 261.6],
        [164.8, 207.7, 246.9],
    ];
    /// Samples from one stroke to the next.
    const STROKE: usize = 8_000;
    let sample = |i: usize| {
        let (stroke, since) = (i / STROKE, (i % STROKE) as f32 / 16_000.0);
        let chord = CHORDS[stroke / 4 % CHORDS.len()];
        let tone = |base: f32, overtone: f32| {
            (since * base * overtone * std::f32::consts::TAU).sin() / overtone
        };
        let tones = chord.iter().flat_map(|&base| [1.0, 2.0, 3.0].map(|n| tone(base, n)));
        tones.sum::<f32>() * 0.06 * (-3.0 * since).exp()
    };
    (0..length).map(sample).collect()
}

/// Root mean square.
pub(crate) fn rms(samples: &[f32]) -> f32 {
    (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32).sqrt()
}
