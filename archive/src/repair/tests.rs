use super::*;

fn secs(start: u64, end: u64) -> Span {
    Span::new(Ticks::from_secs(start), Ticks::from_secs(end))
}

fn chunk(seq: u32, take: u32, start: u64, end: u64) -> Chunk {
    let span = secs(start, end);
    let (start, duration) = (span.start, span.duration());
    Chunk { seq, take, start, duration, bytes: 1, sha256: [0; 32] }
}

fn gap(start: u64, end: u64, cause: GapCause) -> Gap {
    let span = secs(start, end);
    let duration = span.duration();
    Gap { start: span.start, duration, wall_us: duration.as_micros(), cause }
}

#[test]
fn a_hole_is_filled_by_what_leads_from_one_end_to_the_other() {
    let found = [
        chunk(1, 0, 4, 8),
        chunk(1, 2, 4, 7),
        chunk(2, 0, 8, 12),
        chunk(2, 1, 8, 11),
        chunk(5, 0, 4, 12),
    ];
    let rows = filling(&found, (1, 3), secs(4, 12)).unwrap();
    assert_eq!(rows, [found[0].clone(), found[2].clone()]);
    assert_eq!(filling(&found, (1, 3), secs(4, 13)), None);
    assert_eq!(filling(&found, (1, 2), secs(4, 7)).unwrap()[0].take, 2);
    assert_eq!(filling(&found, (3, 4), secs(12, 16)), None);
    let onwards = following(&[found[0].clone(), found[2].clone()], 1, Ticks::from_secs(4));
    assert_eq!(onwards, rows);
    assert_eq!(following(&found, 3, Ticks::from_secs(12)), []);
}

#[test]
fn an_object_that_may_be_wanted_stays() {
    let rows = [chunk(0, 0, 0, 4), chunk(1, 1, 4, 8)];
    let orphan = chunk(1, 0, 4, 8);
    let useless = |gaps: &[Gap]| is_useless(Some(&orphan), &rows, gaps);
    assert!(useless(&[]) && is_useless(None, &rows, &[]));
    assert!(useless(&[gap(0, 4, GapCause::Down), gap(5, 6, GapCause::Loss)]));
    assert!(!useless(&[gap(7, 8, GapCause::Down)]), "it may be what is missing");
    assert!(!is_useless(Some(&chunk(2, 0, 7, 9)), &rows, &[]), "nothing else has its time");
}

#[test]
fn concealment_takes_exactly_the_time_that_is_missing() {
    let anchors = [Anchor { media: Ticks::from_secs(2), wall: WallMicros(10_000_000) }];
    let span = Span::new(Ticks::from_secs(4), Ticks(Ticks::from_secs(7).0 + 7));
    let (chunk, bytes) = concealment(1, 3, span, None, &anchors);
    assert_eq!((chunk.seq, chunk.take, chunk.span()), (1, 3, span));
    let fragments = chunk::parse(&bytes, &chunk).unwrap();
    assert_eq!((fragments.len(), fragments[0].wall), (1, WallMicros(12_000_000)));
    assert_eq!(row(&bytes, 1, 3), Some(chunk));
    assert_eq!(toc_of(&bytes), Some(PLAIN_TOC));
    assert_eq!(row(&bytes.slice(..bytes.len() - 1), 1, 3), None);

    let parts = pieces((3, 6), Span::new(Ticks(10), Ticks(20)));
    let spans = [(3, 10, 13), (4, 13, 16), (5, 16, 20)];
    assert_eq!(parts, spans.map(|(seq, a, b)| (seq, Span::new(Ticks(a), Ticks(b)))));
    assert_eq!(pieces((3, 3), span), []);
}

#[test]
fn what_was_a_gap_already_keeps_its_cause() {
    let gaps = [gap(0, 5, GapCause::Down), gap(6, 6, GapCause::Paused), gap(7, 9, GapCause::Loss)];
    assert_eq!(broken(secs(4, 8), &gaps), [gap(5, 7, GapCause::Broken)]);
    assert_eq!(broken(secs(10, 14), &gaps), [gap(10, 14, GapCause::Broken)]);
    assert_eq!(broken(secs(1, 4), &gaps), []);
}
