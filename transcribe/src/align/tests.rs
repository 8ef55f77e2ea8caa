use proptest::prelude::*;

use super::*;

fn text(bytes: &str, passed: u32) -> Token {
    Token::Text(Text {
        bytes: bytes.as_bytes().to_vec(),
        log_probability: -0.1,
        passed: Some(passed),
        clock: Vec::new(),
    })
}

fn ms(start: u64, end: u64) -> Span {
    Span::new(Ticks::from_millis(start), Ticks::from_millis(end))
}

fn heard(tokens: Vec<Token>) -> Heard {
    Heard { tokens, ..Heard::default() }
}

#[test]
fn clauses_start_and_end_where_the_engine_says() {
    let heard = heard(vec![
        Token::Time(15),
        text(" Hello", 35),
        text(" every", 45),
        text("one", 55),
        text(",", 58),
        Token::Time(60),
        Token::Time(70),
        text(" welcome.", 95),
        Token::Time(100),
    ]);
    let clauses = align(&heard, ms(10_000, 13_000), &[ms(10_200, 12_100)]);
    let texts: Vec<String> = clauses.iter().map(Clause::text).collect();
    assert_eq!(texts, ["Hello everyone,", "welcome."]);
    assert_eq!(clauses[0].span(), ms(10_300, 11_200));
    assert_eq!(clauses[1].span(), ms(11_400, 12_000));
    let second = clauses[0].words[1].span.start;
    // A little after the attention had passed over the first word.
    assert!(
        second >= Ticks::from_millis(10_660) && second <= Ticks::from_millis(10_800),
        "{second}"
    );
    assert!(clauses.iter().all(|clause| clause.in_speech));
}

#[test]
fn a_start_in_a_pause_moves_to_the_speech_after_it() {
    let tokens = vec![Token::Time(50), text(" Yes.", 140), Token::Time(150)];
    let clauses = align(&heard(tokens), ms(0, 4000), &[ms(100, 900), ms(2000, 3000)]);
    assert_eq!(clauses[0].span(), ms(2000, 3000));
}

#[test]
fn a_word_ends_where_its_speech_does() {
    let tokens = vec![Token::Time(5), text(" one", 45), text(" two", 140), Token::Time(150)];
    let speech = [ms(100, 900), ms(2500, 3000)];
    let clauses = align(&heard(tokens), ms(0, 4000), &speech);
    let spans: Vec<Span> = clauses[0].words.iter().map(|word| word.span).collect();
    assert_eq!(spans[0], ms(100, 900));
    assert!(spans[1].start >= Ticks::from_millis(880) && spans[1].end == Ticks::from_secs(3));
}

#[test]
fn words_far_from_all_speech_were_made_up() {
    let tokens = vec![Token::Time(200), text(" Thanks.", 230), Token::Time(240)];
    let clauses = align(&heard(tokens), ms(0, 6000), &[ms(100, 900)]);
    assert!(!clauses[0].in_speech);
}

#[test]
fn characters_split_between_tokens_are_whole_again() {
    let [first, second] = [&"é".as_bytes()[..1], &"é".as_bytes()[1..]].map(|bytes| {
        Token::Text(Text { bytes: bytes.to_vec(), passed: Some(20), ..Text::default() })
    });
    let tokens = vec![Token::Time(0), text(" caf", 15), first, second, Token::Time(30)];
    let clauses = align(&heard(tokens), ms(0, 1000), &[ms(0, 1000)]);
    assert_eq!(clauses[0].text(), "café");
}

#[test]
fn nothing_heard_is_nothing() {
    assert_eq!(align(&Heard::default(), ms(0, 1000), &[]), []);
    let blank = heard(vec![Token::Time(0), text(" ", 5), Token::Time(10)]);
    assert_eq!(align(&blank, ms(0, 1000), &[]), []);
}

fn token() -> impl Strategy<Value = Token> {
    let clock = prop::collection::btree_map(0_u32..1501, -9.0_f32..0.0, 0..6);
    let text = ("( |)[a-z.,]{0,6}", prop::option::of(0_u32..1600), -5.0_f32..0.0, clock);
    prop_oneof![
        (0_u32..1501).prop_map(Token::Time),
        text.prop_map(|(bytes, passed, log_probability, clock)| Token::Text(Text {
            bytes: bytes.into_bytes(),
            log_probability,
            passed,
            clock: clock.into_iter().collect(),
        })),
    ]
}

proptest! {
    /// Whatever an engine says, and wherever speech is.
    #[test]
    fn words_are_in_order_and_inside_the_window(
        tokens in prop::collection::vec(token(), 0..60),
        length in 1000_u64..30_000,
        speech in prop::collection::vec((0_u64..2000, 100_u64..4000), 0..8),
    ) {
        let audio = ms(5000, 5000 + length);
        let mut at = 5000;
        let speech: Vec<Span> = speech
            .into_iter()
            .map(|(pause, length)| {
                let span = ms(at + pause, at + pause + length).intersection(audio);
                at += pause + length;
                span
            })
            .filter(|span| !span.is_empty())
            .collect();
        let expected: usize = drafts(&heard(tokens.clone())).iter().map(|d| d.words.len()).sum();
        let clauses = align(&heard(tokens), audio, &speech);
        let words: Vec<&Word> = clauses.iter().flat_map(|clause| &clause.words).collect();
        prop_assert_eq!(words.len(), expected, "no word is dropped");
        for word in &words {
            prop_assert!(word.span.start >= audio.start && word.span.end <= audio.end);
            prop_assert!(word.span.start < word.span.end);
            prop_assert!((0.0..=1.0).contains(&word.confidence));
        }
        for pair in words.windows(2) {
            prop_assert!(pair[0].span.start <= pair[1].span.start);
            // Only where there is no room left at the end of the audio do words lie on each other.
            let same = pair[0].span.start == pair[1].span.start;
            prop_assert!(pair[0].span.end <= pair[1].span.start || same);
        }
    }
}
