use std::convert::Infallible;

use super::*;
use crate::heard::{Text, Token};
use crate::window::Window;

fn ms(start: u64, end: u64) -> Span {
    Span::new(Ticks::from_millis(start), Ticks::from_millis(end))
}

fn clip(audio: Span, speech: &[Span]) -> Clip {
    let window = Window { audio, keep: audio, speech: speech.to_vec() };
    Clip { window, samples: vec![0.1; speech::samples(audio.duration())] }
}

/// A clause of words of 200 ms each.
fn said(start_step: u32, words: &[&str], log_probability: f32) -> Vec<Token> {
    let mut tokens = vec![Token::Time(start_step)];
    let mut step = start_step;
    for word in words {
        step += 10;
        tokens.push(Token::Text(Text {
            bytes: format!(" {word}").into_bytes(),
            log_probability,
            passed: Some(step - 2),
            clock: Vec::new(),
        }));
    }
    tokens.push(Token::Time(step));
    tokens
}

fn texts(judged: &[Judged]) -> Vec<(String, Option<Suppressed>)> {
    judged.iter().map(|(clause, hidden)| (clause.text(), *hidden)).collect()
}

/// Answers call by call and notes what it was asked.
fn script(
    mut answers: Vec<Vec<Token>>,
    asked: &mut Vec<(usize, f32)>,
) -> impl FnMut(&[f32], f32) -> Result<Heard, Infallible> {
    answers.reverse();
    move |samples, temperature| {
        asked.push((samples.len(), temperature));
        Ok(Heard { tokens: answers.pop().unwrap(), ..Heard::default() })
    }
}

#[test]
fn what_is_heard_well_is_heard_once() {
    let mut asked = Vec::new();
    let clip = clip(ms(1000, 3000), &[ms(1200, 1900)]);
    let judged = read(&clip, script(vec![said(10, &["Hello", "Sam"], -0.1)], &mut asked));
    assert_eq!(texts(&judged.unwrap().clauses), [("Hello Sam".to_owned(), None)]);
    assert_eq!(asked, [(32_000, 0.0)]);
}

#[test]
fn a_loop_is_tried_once_more_and_hidden_where_it_stays_one() {
    let looping = || said(10, &["and"; 12], -0.1);
    let clip = clip(ms(0, 4000), &[ms(200, 1900)]);
    let mut asked = Vec::new();
    let good = said(10, &["and", "then", "we", "all", "went", "home", "again"], -0.3);
    let better = read(&clip, script(vec![looping(), good], &mut asked)).unwrap().clauses;
    assert_eq!(better[0].1, None);
    assert_eq!(asked[1], (64_000, SECOND_TRY));

    let mut asked = Vec::new();
    let answers = vec![looping(), looping(), looping(), looping()];
    let judged = read(&clip, script(answers, &mut asked)).unwrap().clauses;
    assert_eq!(judged.len(), 1, "kept, and not said again by the second look");
    assert_eq!(judged[0].1, Some(Suppressed::Loop));
    assert_eq!(judged[0].0.words.len(), 12);
}

#[test]
fn speech_without_words_is_looked_at_again() {
    let speech = [ms(200, 1000), ms(2000, 3000), ms(4000, 5000)];
    let clip = clip(ms(0, 6000), &speech);
    let mut first = said(10, &["one", "two", "three"], -0.1);
    // Heard at 3.2 s: 0.4 s of each pause are left out.
    first.extend(said(160, &["seven", "eight", "nine", "ten"], -0.1));
    // Times of the second look count from where its audio begins: 250 ms before the hole.
    let second = said(13, &["four", "five", "six"], -0.1);
    let mut asked = Vec::new();
    let judged = read(&clip, script(vec![first, second], &mut asked)).unwrap().clauses;
    let texts: Vec<String> = judged.iter().map(|(clause, _)| clause.text()).collect();
    assert_eq!(texts, ["one two three", "four five six", "seven eight nine ten"]);
    let lengths = asked.iter().map(|(samples, _)| speech::ticks(*samples).as_millis());
    assert_eq!(lengths.collect::<Vec<_>>(), [5200, 1500]);
    assert!(judged[2].0.span().start >= Ticks::from_millis(4000), "{judged:?}");
    let found = judged[1].0.span();
    assert!(found.start >= Ticks::from_millis(1980) && found.end <= Ticks::from_millis(3000));
}

#[test]
fn words_found_inside_a_clause_part_it() {
    let mut words = vec![Token::Time(10)];
    for (text, passed) in [("one", 28), ("two", 40), ("nine", 215), ("ten", 240)] {
        words.push(Token::Text(Text {
            bytes: format!(" {text}").into_bytes(),
            log_probability: -0.1,
            passed: Some(passed),
            clock: Vec::new(),
        }));
    }
    words.push(Token::Time(250));
    let speech = [ms(200, 800), ms(2000, 3000), ms(4000, 5000)];
    let judged: Vec<Judged> =
        align(&Heard { tokens: words, ..Heard::default() }, ms(0, 6000), &speech)
            .into_iter()
            .map(|clause| (clause, None))
            .collect();
    let mut judged = judged;
    let late: Vec<_> = judged[0].0.words.iter().map(|word| word.span.start).collect();
    let split = late.iter().filter(|at| **at < Ticks::from_millis(2000)).count();
    assert!((1..4).contains(&split), "{late:?}");
    let tokens = said(0, &["five"], -0.1);
    let found = align(&Heard { tokens, ..Heard::default() }, ms(2000, 3000), &speech[1..2]);
    insert(
        &mut judged,
        found.into_iter().map(|clause| (clause, None)).collect(),
        Ticks::from_millis(2000),
    );
    assert_eq!(judged.len(), 3);
    assert_eq!(judged[1].0.text(), "five");
    assert_eq!(judged[0].0.words.len(), split);
}
