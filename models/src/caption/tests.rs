use proptest::prelude::*;

use super::*;
use crate::transcript::{Suppressed, Word};

/// A segment whose words take 300 ms each, one after the other, from `start_ms` on.
fn segment(start_ms: u64, speaker: Option<&str>, text: &str) -> Segment {
    let words: Vec<Word> = (0..)
        .zip(text.split_whitespace())
        .map(|(n, text)| Word {
            span: Span::new(
                Ticks::from_millis(start_ms + n * 300),
                Ticks::from_millis(start_ms + n * 300 + 300),
            ),
            text: text.into(),
            confidence: 0.9,
        })
        .collect();
    Segment {
        ordinal: 0,
        span: Span::new(
            words.first().map_or(Ticks::from_millis(start_ms), |w| w.span.start),
            words.last().map_or(Ticks::from_millis(start_ms), |w| w.span.end),
        ),
        text: text.into(),
        speaker: speaker.map(str::to_owned),
        confidence: 0.9,
        language: None,
        suppressed: None,
        words,
    }
}

#[test]
fn a_long_sentence_is_cut_at_its_clauses() {
    let segments = [segment(
        1_000,
        None,
        "When the harbour bell rings twice in the morning, the ferries wait for the tide, and \
         nobody on the quay is in a hurry.",
    )];
    insta::assert_snapshot!(webvtt(&cues(&segments)), @r"
    WEBVTT

    00:00:01.000 --> 00:00:03.700
    When the harbour bell
    rings twice in the morning,

    00:00:03.700 --> 00:00:08.200
    the ferries wait for the tide,
    and nobody on the quay is in a hurry.
    ");
}

#[test]
fn sentences_have_cues_of_their_own_unless_too_short_to_read() {
    let segments = [
        segment(0, None, "Is the gate open?"),
        segment(1_200, None, "Yes. Then we can go, I think."),
        segment(9_000, None, "Fine."),
    ];
    insta::assert_snapshot!(srt(&cues(&segments)), @r"
    1
    00:00:00,000 --> 00:00:01,200
    Is the gate open?

    2
    00:00:01,200 --> 00:00:03,300
    Yes. Then we can go, I think.

    3
    00:00:09,000 --> 00:00:09,800
    Fine.
    ");
}

#[test]
fn a_speaker_is_named_and_markup_is_only_text() {
    let segments = [
        segment(0, Some("Ada & Bo"), "Is a < b --> c?"),
        segment(1_800, Some("Ada & Bo"), "I say so."),
        segment(2_700, Some("Cy <x>"), "No."),
        segment(3_000, None, "Nobody knows who said that."),
    ];
    let cues = cues(&segments);
    insta::assert_snapshot!(webvtt(&cues), @r"
    WEBVTT

    00:00:00.000 --> 00:00:01.800
    <v Ada &amp; Bo>Is a &lt; b --&gt; c?

    00:00:01.800 --> 00:00:02.700
    <v Ada &amp; Bo>I say so.

    00:00:02.700 --> 00:00:03.000
    <v Cy &lt;x&gt;>No.

    00:00:03.000 --> 00:00:04.500
    Nobody knows who said that.
    ");
    insta::assert_snapshot!(srt(&cues), @r"
    1
    00:00:00,000 --> 00:00:01,800
    Ada & Bo: Is a < b --> c?

    2
    00:00:01,800 --> 00:00:02,700
    I say so.

    3
    00:00:02,700 --> 00:00:03,000
    Cy <x>: No.

    4
    00:00:03,000 --> 00:00:04,500
    Nobody knows who said that.
    ");
    insta::assert_snapshot!(txt(&segments), @r"
    Ada & Bo: Is a < b --> c? I say so.

    Cy <x>: No.

    Nobody knows who said that.
    ");
}

#[test]
fn what_is_suppressed_is_not_shown() {
    let mut hidden = segment(1_000, None, "Thanks for watching!");
    hidden.suppressed = Some(Suppressed::Silence);
    let segments = [segment(0, None, "Good night."), hidden];
    assert_eq!(cues(&segments).len(), 1);
    assert_eq!(txt(&segments), "Good night.\n");
    assert_eq!(webvtt(&[]), "WEBVTT\n");
    assert_eq!((srt(&[]), txt(&[])), (String::new(), String::new()));
}

#[test]
fn a_cue_stays_long_enough_to_read_but_not_into_the_next() {
    let lone = cues(&[segment(5_000, None, "Hm.")]);
    assert_eq!(lone[0].span, Span::new(Ticks::from_millis(5_000), Ticks::from_millis(5_800)));
    let pair = cues(&[segment(5_000, Some("a"), "Hm."), segment(5_300, Some("b"), "Well, no.")]);
    assert_eq!(pair[0].span.end, pair[1].span.start);
    assert_eq!(pair[1].span.start, Ticks::from_millis(5_300));
}

#[test]
fn a_word_longer_than_a_line_stays_whole() {
    let long = "x".repeat(60);
    let cues = cues(&[segment(0, None, &format!("before {long} after"))]);
    let lines: Vec<&str> = cues.iter().flat_map(|c| &c.lines).map(String::as_str).collect();
    assert_eq!(lines, ["before", &long, "after"]);
}

#[test]
fn a_segment_without_word_times_shares_out_its_own() {
    let mut bare = segment(0, None, "one two three four five six seven eight nine ten");
    bare.words.clear();
    bare.span = Span::new(Ticks::from_secs(10), Ticks::from_secs(30));
    let cues = cues(&[bare]);
    let shown: Vec<_> = cues.iter().map(|c| c.lines.join(" ")).collect();
    assert_eq!(shown.join(" "), "one two three four five six seven eight nine ten");
    assert!(cues.len() >= 3, "20 s of speech do not fit into fewer cues: {cues:?}");
    assert_eq!(cues[0].span.start, Ticks::from_secs(10));
}

#[test]
fn paragraphs_end_at_long_pauses_and_when_they_grow_too_long() {
    let sentence = "This is a sentence of about fifty characters, is it not?";
    let mut segments: Vec<Segment> = (0..20).map(|n| segment(n * 3_300, None, sentence)).collect();
    segments.push(segment(80_000, None, "Much later."));
    let text = txt(&segments);
    let lengths: Vec<usize> = text.trim_end().split("\n\n").map(str::len).collect();
    assert_eq!(lengths, [740, 398, 11]);
    assert_eq!(text.matches(sentence).count(), 20);
}

fn any_segments() -> impl Strategy<Value = Vec<Segment>> {
    let text = prop_oneof![
        8 => "[a-zA-Z]{1,12}[.,?!;]?",
        1 => "[a-z]{40,60}",
        1 => "[&<>äöü]{1,5}",
    ];
    // Starts rise within a transcript but may stand still; ends are wherever the engine put them.
    let word = (text, 0_u64..900_000, 0_u64..200_000, 0_u32..10);
    let segment = (proptest::collection::vec(word, 0..25), 0_u8..3, 0_u8..8);
    proptest::collection::vec(segment, 0..12).prop_map(|drafts| {
        let mut clock = 0;
        let mut segments = Vec::new();
        for (ordinal, (words, speaker, suppressed)) in (0..).zip(drafts) {
            let words: Vec<Word> = words
                .into_iter()
                .map(|(text, step, length, still)| {
                    // Most steps are those of speech; some are none at all, some are pauses.
                    clock += if still == 0 { step } else { step % 20_000 * u64::from(still > 2) };
                    let span = Span::new(Ticks(clock), Ticks(clock + length % 60_000));
                    Word { span, text, confidence: 0.5 }
                })
                .collect();
            segments.push(Segment {
                ordinal,
                span: Span::new(
                    words.first().map_or(Ticks(clock), |w| w.span.start),
                    words.last().map_or(Ticks(clock), |w| w.span.end),
                ),
                text: words.iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" "),
                speaker: (speaker > 0).then(|| format!("S{speaker}")),
                confidence: 0.5,
                language: None,
                suppressed: (suppressed == 0).then_some(Suppressed::Loop),
                words,
            });
        }
        segments
    })
}

proptest! {
    #[test]
    fn every_visible_word_is_in_exactly_one_cue_in_order(segments in any_segments()) {
        let visible = segments.iter().filter(|s| s.suppressed.is_none());
        let said: Vec<&str> = visible.flat_map(|s| s.text.split_whitespace()).collect();
        let cues = cues(&segments);
        let shown: Vec<&str> =
            cues.iter().flat_map(|c| &c.lines).flat_map(|l| l.split_whitespace()).collect();
        prop_assert_eq!(shown, said);
    }

    #[test]
    fn cues_fit_the_screen_and_never_overlap(segments in any_segments()) {
        let cues = cues(&segments);
        for cue in &cues {
            prop_assert!(matches!(cue.lines.len(), 1 | 2), "{:?}", cue.lines);
            for line in &cue.lines {
                prop_assert!(!line.is_empty());
                prop_assert!(line.chars().count() <= LINE_CHARS || !line.contains(' '), "{line}");
            }
            prop_assert!(cue.span.duration() <= LONGEST);
            prop_assert!(cue.span.start.as_millis() < cue.span.end.as_millis());
        }
        for pair in cues.windows(2) {
            prop_assert!(pair[0].span.end <= pair[1].span.start);
            let short = pair[0].span.duration() < SHORTEST;
            prop_assert!(!short || pair[0].span.end == pair[1].span.start);
        }
    }

    #[test]
    fn later_words_change_nothing_before_the_last_long_pause(segments in any_segments()) {
        let Some(end) = segments.iter().flat_map(|s| &s.words).map(|w| w.span.end).max() else {
            return Ok(());
        };
        let mut more = segments.clone();
        more.push(segment((end + Ticks::from_secs(3)).as_millis(), None, "And then some more."));
        let (before, after) = (cues(&segments), cues(&more));
        prop_assert_eq!(&after[..before.len().saturating_sub(1)],
                        &before[..before.len().saturating_sub(1)]);
        prop_assert_eq!(after.len(), before.len() + 1);
    }
}
