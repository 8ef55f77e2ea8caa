//! Captions and words as text files.

use std::fmt::Write;

use super::Cue;
use crate::time::Ticks;
use crate::transcript::Segment;

/// A silence after which plain text begins a new paragraph.
const PARAGRAPH_PAUSE: Ticks = Ticks::from_secs(2);
/// A paragraph this long (characters) ends with its next sentence, pause or not.
const PARAGRAPH_CHARS: usize = 700;

/// The cues as WebVTT, with a voice span where the speaker is known.
///
/// <https://www.w3.org/TR/webvtt1/>, sections 4.1 and 4.2.2
#[must_use]
pub fn webvtt(cues: &[Cue]) -> String {
    let mut out = String::from("WEBVTT\n");
    for cue in cues {
        let (start, end) = (Stamp(cue.span.start, '.'), Stamp(cue.span.end, '.'));
        push(&mut out, format_args!("\n{start} --> {end}\n"));
        if let Some(speaker) = &cue.speaker {
            push(&mut out, format_args!("<v {}>", escape(&one_line(speaker))));
        }
        push(&mut out, format_args!("{}\n", escape(&cue.lines.join("\n"))));
    }
    out
}

/// The cues as SubRip. It knows no speakers, so that a name stands before their first words, beyond
/// the width of a line.
#[must_use]
pub fn srt(cues: &[Cue]) -> String {
    let mut out = String::new();
    let mut speaking = None;
    for (number, cue) in (1..).zip(cues) {
        let (start, end) = (Stamp(cue.span.start, ','), Stamp(cue.span.end, ','));
        let blank = if number == 1 { "" } else { "\n" };
        push(&mut out, format_args!("{blank}{number}\n{start} --> {end}\n"));
        if let Some(speaker) = cue.speaker.as_deref().filter(|name| speaking != Some(*name)) {
            push(&mut out, format_args!("{}: ", one_line(speaker)));
        }
        push(&mut out, format_args!("{}\n", cue.lines.join("\n")));
        speaking = cue.speaker.as_deref();
    }
    out
}

/// The words as plain text: a paragraph for what is said in one go, with the speaker's name where
/// another one begins.
#[must_use]
pub fn txt(segments: &[Segment]) -> String {
    let mut out = String::new();
    let mut before: Option<&Segment> = None;
    let mut chars = 0;
    for segment in segments.iter().filter(|segment| segment.suppressed.is_none()) {
        let text = one_line(&segment.text);
        if text.is_empty() {
            continue;
        }
        let speaker = segment.speaker.as_deref();
        let another = before.is_none_or(|before| before.speaker.as_deref() != speaker);
        let paragraph = another || before.is_some_and(|b| parted(b, segment, chars));
        if before.is_some() {
            out.push_str(if paragraph { "\n\n" } else { " " });
        }
        if let Some(speaker) = speaker.filter(|_| another) {
            push(&mut out, format_args!("{}: ", one_line(speaker)));
        }
        out.push_str(&text);
        chars = if paragraph { 0 } else { chars } + text.chars().count();
        before = Some(segment);
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

/// Whether a paragraph of `chars` characters ends between two segments of one speaker.
fn parted(before: &Segment, next: &Segment, chars: usize) -> bool {
    let pause = next.span.start.saturating_sub(before.span.end);
    let sentence = before.text.trim_end().ends_with(['.', '?', '!', '…']);
    pause >= PARAGRAPH_PAUSE || (chars >= PARAGRAPH_CHARS && sentence)
}

/// A time as `00:00:00.000`, with the given mark before the milliseconds.
struct Stamp(Ticks, char);

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = self.0.as_millis();
        let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        write!(f, "{hours:02}:{minutes:02}:{seconds:02}{}{:03}", self.1, ms % 1000)
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes whatever is written to it");
}

/// The text with every run of white space as one space.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text with the characters that WebVTT reads as markup replaced.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
