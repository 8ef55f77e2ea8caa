use proptest::prelude::*;

use super::*;
use crate::speaker::KnownBy;
use crate::time::Ticks;
use crate::transcript::{Segment, Suppressed, Word};

const ALL: Ticks = Ticks(u64::MAX);

fn ms(start: u64, end: u64) -> Span {
    Span::new(Ticks::from_millis(start), Ticks::from_millis(end))
}

/// A segment of words of 250 ms, 300 ms apart, from `at` ms on.
fn segment(ordinal: u32, at: u64, text: &str) -> Segment {
    let word = |(i, text): (u64, &str)| Word {
        span: ms(at + i * 300, at + i * 300 + 250),
        text: text.into(),
        confidence: 0.5,
    };
    let words: Vec<_> = (0..).zip(text.split(' ')).map(word).collect();
    Segment {
        ordinal,
        span: Span::new(words[0].span.start, words[words.len() - 1].span.end),
        text: text.into(),
        speaker: None,
        confidence: 0.5,
        language: None,
        suppressed: None,
        words,
    }
}

fn edit(number: u32, span: Span, replaced: &str, text: &str) -> Edit {
    Edit {
        number,
        subject: Subject::Words(span),
        replaced: replaced.into(),
        heard: replaced.into(),
        text: text.into(),
        made_by: String::new(),
        made_at: WallMicros(i64::from(number)),
        undone_at: None,
    }
}

/// An edit made of what is shown, as a person makes it.
fn made(
    number: u32,
    own: &[Segment],
    edits: &[Edit],
    span: Span,
    replaced: &str,
    text: &str,
) -> Edit {
    let shown = overlay(own.to_vec(), edits, ALL);
    let (span, heard) = locate(own, &shown, span, replaced).unwrap();
    Edit { heard, ..edit(number, span, replaced, text) }
}

fn read(overlaid: &Overlaid) -> String {
    let texts = overlaid.segments.iter().map(|segment| segment.text.as_str());
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" / ")
}

fn first() -> Vec<Segment> {
    vec![segment(0, 0, "they came to teh house"), segment(1, 2_000, "at night")]
}

#[test]
fn a_word_is_replaced_in_its_own_time_and_by_letters() {
    let fix = made(1, &first(), &[], ms(900, 1_150), "teh", "the red");
    let shown = overlay(first(), &[fix], ALL);
    assert_eq!(read(&shown), "they came to the red house / at night");
    let words = &shown.segments[0].words;
    assert_eq!((words[3].span, words[4].span), (ms(900, 1_025), ms(1_025, 1_150)));
    assert_eq!(words[3].confidence, 1.0);
    assert_eq!(shown.edited[0], [None, None, None, Some(1), Some(1), None]);
    assert_eq!(shown.conflicts, []);
}

#[test]
fn words_are_taken_out_even_over_the_end_of_a_segment() {
    let cut = made(1, &first(), &[], ms(1_200, 2_250), "house at", "");
    let shown = overlay(first(), &[cut], ALL);
    assert_eq!(read(&shown), "they came to teh / night");
    let all = made(2, &first(), &[], ms(2_000, 2_550), "at night", "");
    let shown = overlay(first(), &[all], ALL);
    assert_eq!(read(&shown), "they came to teh house");
    assert_eq!((shown.segments.len(), shown.segments[1].words.len()), (2, 0));
}

#[test]
fn an_edit_survives_another_version_and_says_where_that_hears_something_else() {
    let fix = made(1, &first(), &[], ms(900, 1_150), "teh", "the");
    let hears = |text: &str| overlay(vec![segment(0, 40, text)], std::slice::from_ref(&fix), ALL);
    for same in ["they came to teh house", "they came to the house", "they came to The, house"] {
        let shown = hears(same);
        assert_eq!(read(&shown), "they came to the house");
        assert_eq!(shown.conflicts, [], "{same}");
    }
    let other = hears("they came to that house");
    assert_eq!(read(&other), "they came to the house");
    assert_eq!(other.conflicts, [Conflict { number: 1, says: "that".into() }]);
    let nothing = hears("they came to");
    assert_eq!(read(&nothing), "they came to the");
    assert_eq!(nothing.conflicts, [Conflict { number: 1, says: String::new() }]);
}

#[test]
fn an_edit_is_shown_where_a_version_has_no_words_at_all() {
    let fix = edit(1, ms(900, 1_150), "teh", "the");
    let shown = overlay(vec![], std::slice::from_ref(&fix), ALL);
    assert_eq!(read(&shown), "the");
    let mut hidden = segment(0, 0, "thanks for watching");
    hidden.suppressed = Some(Suppressed::Loop);
    let shown = overlay(vec![hidden.clone()], std::slice::from_ref(&fix), ALL);
    assert_eq!(shown.segments[0], hidden);
    assert_eq!((shown.segments[1].ordinal, &*shown.segments[1].text), (1, "the"));
    // A version that has not come so far does not know yet what it will say.
    assert_eq!(overlay(vec![], &[fix], Ticks::from_millis(1_000)).segments, []);
}

#[test]
fn the_later_edit_wins_in_its_part_and_gives_it_back() {
    let own = first();
    let whole = made(1, &own, &[], ms(600, 1_450), "to teh house", "into the horse");
    let part = made(
        2,
        &own,
        std::slice::from_ref(&whole),
        {
            let shown = overlay(own.clone(), std::slice::from_ref(&whole), ALL);
            shown.segments[0].words[4].span
        },
        "horse",
        "house",
    );
    assert!(whole.lies_under(&part));
    let both = [whole.clone(), part.clone()];
    let shown = overlay(own.clone(), &both, ALL);
    assert_eq!(read(&shown), "they came into the house / at night");
    assert_eq!(shown.conflicts, []);
    let undone = [whole, Edit { undone_at: Some(WallMicros(9)), ..part }];
    assert_eq!(read(&overlay(own, &undone, ALL)), "they came into the horse / at night");
}

#[test]
fn a_correction_of_a_correction_is_one_decision() {
    let (span, own) = (ms(900, 1_150), first());
    let one = made(1, &own, &[], span, "teh", "the");
    let two = made(2, &own, std::slice::from_ref(&one), span, "the", "this");
    assert_eq!(two.heard, "teh");
    let edits = [one, two];
    for (version, says) in [("teh", None), ("the", None), ("this", None), ("that", Some("that"))] {
        let version = vec![segment(0, 0, &format!("they came to {version} house"))];
        let shown = overlay(version, &edits, ALL);
        assert_eq!(read(&shown), "they came to this house");
        let found: Vec<_> = shown.conflicts.iter().map(|c| (c.number, &*c.says)).collect();
        assert_eq!(found, says.map(|says| (2, says)).into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn words_that_are_not_there_any_more_are_told() {
    let own = first();
    let shown = overlay(own.clone(), &[], ALL);
    let there = locate(&own, &shown, ms(900, 1_150), "the");
    assert_eq!(there, Err(Refusal::Changed("teh".into())));
    let there = locate(&own, &shown, ms(905, 1_150), "teh");
    assert_eq!(there, Err(Refusal::Changed("teh".into())));
    assert_eq!(locate(&own, &shown, ms(9_000, 9_100), "x"), Err(Refusal::Changed(String::new())));
    let mut twins = own;
    let twin = Word { text: "uh".into(), ..twins[0].words[3].clone() };
    twins[0].words.insert(3, twin);
    let shown = overlay(twins.clone(), &[], ALL);
    assert_eq!(locate(&twins, &shown, ms(900, 1_150), "teh"), Err(Refusal::Inseparable));
    assert!(locate(&twins, &shown, ms(900, 1_150), "uh teh").is_ok());
}

#[test]
fn a_speaker_is_called_what_the_last_edit_says() {
    let known = [Speaker {
        label: "s1".into(),
        name: "Grace".into(),
        known_by: KnownBy::Voice,
        turns: vec![],
    }];
    let renamed = |number, label: &str, text: &str| Edit {
        subject: Subject::Speaker(label.into()),
        ..edit(number, Span::default(), "", text)
    };
    let edits = [renamed(1, "s1", "Ada"), renamed(2, "s2", "Bo"), renamed(3, "s1", "Ada L.")];
    assert_eq!((name_of("s1", &known, &[]), name_of("s2", &known, &[])), ("Grace", "s2"));
    assert_eq!((name_of("s1", &known, &edits), name_of("s2", &known, &edits)), ("Ada L.", "Bo"));
    assert!(edits[0].lies_under(&edits[2]) && !edits[0].lies_under(&edits[1]));
    assert_eq!(overlay(first(), &edits, ALL).segments, first());
}

#[test]
fn texts_are_tidied_and_bounded() {
    let wanted = |subject, text: &str| Wanted {
        subject,
        version: None,
        replaced: " a  b ".into(),
        text: text.into(),
        made_by: "Ada".into(),
    };
    let words = || Subject::Words(ms(0, 10));
    let tidy = wanted(words(), "\tone \n two ").checked().unwrap();
    assert_eq!((&*tidy.replaced, &*tidy.text), ("a b", "one two"));
    assert!(wanted(words(), "").checked().is_ok());
    assert_eq!(wanted(words(), &"x".repeat(2_001)).checked(), Err(Invalid::Text(2_001)));
    assert_eq!(wanted(words(), "a\u{7}").checked(), Err(Invalid::Control));
    assert_eq!(wanted(Subject::Speaker("s1".into()), " ").checked(), Err(Invalid::Name(0)));
}

/// A version: words of some length with some silence between them, in segments of three.
fn version() -> impl Strategy<Value = Vec<Segment>> {
    proptest::collection::vec(("[a-d]{1,3}", 0u64..40, 0u64..40, 0u64..9), 0..40).prop_map(
        |words| {
            let mut at = 0;
            let mut segments: Vec<Segment> = Vec::new();
            for (ordinal, some) in (0..).zip(words.chunks(3)) {
                let mut spoken = Vec::new();
                for (text, length, silence, _) in some {
                    // Ends may reach into the next word, starts never go back.
                    let span = Span::new(Ticks(at), Ticks(at + length));
                    spoken.push(Word { span, text: text.clone(), confidence: 0.5 });
                    at += silence;
                }
                let texts: Vec<_> = spoken.iter().map(|word| word.text.as_str()).collect();
                let end = spoken.iter().map(|word| word.span.end).max().unwrap_or_default();
                segments.push(Segment {
                    ordinal,
                    span: Span::new(spoken[0].span.start, end),
                    text: texts.join(" "),
                    speaker: None,
                    confidence: 0.5,
                    language: None,
                    suppressed: (some[0].3 == 0).then_some(Suppressed::Loop),
                    words: spoken.clone(),
                });
            }
            segments
        },
    )
}

fn shown_words(segments: &[Segment]) -> Vec<Word> {
    let shown = segments.iter().filter(|segment| segment.suppressed.is_none());
    shown.flat_map(|segment| segment.words.clone()).collect()
}

fn texts(words: &[Word]) -> Vec<String> {
    words.iter().map(|word| word.text.clone()).collect()
}

proptest! {
    /// What was laid over is there, in order, and whatever was not meant stays.
    #[test]
    fn an_edit_is_shown_whole_on_every_version(
        own in version(),
        (start, length) in (0u64..1_500, 1u64..200),
        text in proptest::collection::vec("[x-z]{1,4}", 0..4),
    ) {
        let span = Span::new(Ticks(start), Ticks(start + length));
        let fix = edit(1, span, "?", &text.join(" "));
        let shown = overlay(own.clone(), std::slice::from_ref(&fix), ALL);
        let (before, after) = (shown_words(&own), shown_words(&shown.segments));
        let new: Vec<_> = (0..after.len()).filter(|i| after[*i].text.starts_with(['x', 'y', 'z'])).collect();
        prop_assert_eq!(new.iter().map(|i| after[*i].text.clone()).collect::<Vec<_>>(), text);
        prop_assert!(new.windows(2).all(|pair| pair[0] + 1 == pair[1]), "words stand between");
        for i in &new {
            prop_assert!(after[*i].confidence == 1.0 && after[*i].span.end <= span.end.max(after[*i].span.start));
        }
        prop_assert!(after.windows(2).all(|pair| pair[0].span.start <= pair[1].span.start));
        // All that is gone lay under it.
        let (kept_before, kept_after) = match (new.first(), new.last()) {
            (Some(first), Some(last)) => (texts(&after[..*first]), texts(&after[last + 1..])),
            _ => {
                let gone = before.len() - after.len();
                let at = (0..=after.len()).find(|at| {
                    texts(&before[..*at]) == texts(&after[..*at])
                        && texts(&before[at + gone..]) == texts(&after[*at..])
                });
                let at = at.expect("words are gone in one place");
                (texts(&after[..at]), texts(&after[at..]))
            }
        };
        let all = texts(&before);
        prop_assert!(all.starts_with(&kept_before) && all.ends_with(&kept_after));
        let gone = &before[kept_before.len()..before.len() - kept_after.len()];
        for word in gone.first().into_iter().chain(gone.last()) {
            let meets = word.span.intersection(span).duration() > Ticks::ZERO
                || span.contains(word.span.start);
            prop_assert!(meets || new.is_empty(), "{word:?} does not lie in {span:?}");
        }
        for (segment, was) in shown.segments.iter().zip(&own) {
            prop_assert_eq!((segment.ordinal, segment.suppressed), (was.ordinal, was.suppressed));
            prop_assert_eq!(&segment.text, &texts(&segment.words).join(" "));
        }
        for (segment, edited) in shown.segments.iter().zip(&shown.edited) {
            prop_assert_eq!(segment.words.len(), edited.len());
        }
    }

    /// What a person picks is what is replaced, and nothing beside it; undone, all is as it was.
    #[test]
    fn what_was_picked_is_what_is_replaced(
        own in version(),
        (from, count) in (any::<prop::sample::Index>(), 1usize..5),
        text in proptest::collection::vec("[x-z]{1,4}", 0..4),
    ) {
        // Picked by milliseconds, of which words here have too few.
        let slow = |ticks: Ticks| Ticks(ticks.0 * 48);
        let own: Vec<Segment> = own.into_iter().map(|segment| Segment {
            span: Span::new(slow(segment.span.start), slow(segment.span.end)),
            words: segment.words.into_iter().map(|word| Word {
                span: Span::new(slow(word.span.start), slow(word.span.end)), ..word
            }).collect(),
            ..segment
        }).collect();
        let words = shown_words(&own);
        prop_assume!(!words.is_empty());
        let first = from.index(words.len());
        let last = (first + count).min(words.len()) - 1;
        let span = Span::new(words[first].span.start, words[last].span.end);
        let replaced = texts(&words[first..=last]).join(" ");
        let shown = overlay(own.clone(), &[], ALL);
        prop_assert_eq!(&shown.segments, &own);
        if let Ok((exact, heard)) = locate(&own, &shown, span, &replaced) {
            prop_assert_eq!(&heard, &replaced);
            let fix = edit(1, exact, &replaced, &text.join(" "));
            let after = overlay(own.clone(), std::slice::from_ref(&fix), ALL);
            let read = texts(&shown_words(&after.segments)).join(" ");
            prop_assert!(read.split_whitespace().filter(|w| w.starts_with(['x', 'y', 'z'])).count() == text.len());
            let rest = words.len() - replaced.split(' ').count();
            prop_assert_eq!(shown_words(&after.segments).len(), rest + text.len());
            prop_assert_eq!(after.conflicts, vec![]);
            let undone = Edit { undone_at: Some(WallMicros(5)), ..fix };
            prop_assert_eq!(overlay(own.clone(), &[undone], ALL).segments, own);
        }
    }
}
