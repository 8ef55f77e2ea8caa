use models::recording::Origin;
use models::room::{Audience, RecordingPolicy};
use models::{Anchor, Gap, GapCause, Recording, Room, RoomId, WallMicros};

use super::*;
use crate::cmaf::{Fragment, fragment_seq, init_segment, write_fragment};
use crate::key::Export;
use crate::opus;

const NOW: WallMicros = WallMicros(1_700_000_000_000_000);

/// A recording of three chunks of two seconds each, and what is known of it.
struct Kept {
    recording: Recording,
    room: Room,
    chunks: Vec<Chunk>,
    gaps: Vec<Gap>,
    anchors: Vec<Anchor>,
}

impl Kept {
    /// Rows and objects.
    fn new() -> (Self, Vec<(Key, Vec<u8>)>) {
        let (id, room_id) = (RecordingId::new(), RoomId::new());
        let mut objects = vec![(Key::Init(id), init_segment(1))];
        let mut chunks = Vec::new();
        for seq in 0..3 {
            let start = Ticks::from_secs(u64::from(seq) * 2);
            let packets = opus::conceal(8 * seq as u8, Ticks::from_secs(2));
            let fragment = Fragment { seq: fragment_seq(seq, 0), start, wall: NOW, packets };
            let bytes = write_fragment(&fragment);
            let chunk = Chunk {
                seq,
                take: 0,
                start,
                duration: fragment.duration(),
                bytes: bytes.len() as u64,
                sha256: Sha256::digest(&bytes).into(),
            };
            objects.push((Key::of(id, &chunk), bytes));
            chunks.push(chunk);
        }
        let anchor = |secs| Anchor { media: Ticks::from_secs(secs), wall: NOW };
        let kept = Self {
            recording: Recording {
                id,
                room_id,
                title: "Monday".into(),
                origin: Origin::Import,
                state: State::Ended,
                request: None,
                started_at: Some(NOW),
                ended_at: Some(NOW),
                end_reason: None,
                duration: Ticks::from_secs(6),
                bytes: chunks.iter().map(|chunk| chunk.bytes).sum(),
                channels: 1,
                source: String::new(),
                created_at: NOW,
            },
            room: Room {
                id: room_id,
                slug: "hall".into(),
                title: "Hall".into(),
                host: String::new(),
                glossary: String::new(),
                audience: Audience::Everyone,
                policy: RecordingPolicy::Auto,
                rtp_port: None,
                source_key: None,
                grace_ms: 0,
                created_at: NOW,
            },
            chunks,
            gaps: Vec::new(),
            anchors: vec![anchor(0), anchor(4)],
        };
        (kept, objects)
    }

    fn facts(&self) -> Facts<'_> {
        let Self { recording, room, chunks, gaps, anchors } = self;
        Facts { recording, room, chunks, gaps, anchors }
    }
}

fn kinds(damage: &[Damage]) -> Vec<&'static str> {
    damage.iter().map(Damage::kind).collect()
}

#[test]
fn rows_that_do_not_fit_together_are_named() {
    let (whole, _) = Kept::new();
    assert_eq!(rows(&whole.facts()), []);
    let damaged = |change: &dyn Fn(&mut Kept)| {
        let (mut kept, _) = Kept::new();
        change(&mut kept);
        kinds(&rows(&kept.facts()))
    };
    let hole = |kept: &mut Kept| kept.chunks.retain(|chunk| chunk.seq != 1);
    assert_eq!(damaged(&hole), ["rows_missing", "sums_wrong"]);
    assert_eq!(damaged(&|kept| kept.chunks[1].start = Ticks(3)), ["rows_overlap", "rows_missing"]);
    assert_eq!(damaged(&|kept| kept.recording.bytes += 1), ["sums_wrong"]);
    assert_eq!(damaged(&|kept| kept.anchors[1].wall.0 -= 2_000_000), ["anchor_wrong"]);
    assert_eq!(damaged(&|kept| kept.anchors[1].media = Ticks::from_secs(7)), ["anchor_wrong"]);
    let duration = Ticks::from_secs(2);
    let gap = Gap { start: Ticks::from_secs(5), duration, wall_us: 0, cause: GapCause::Loss };
    assert_eq!(damaged(&|kept| kept.gaps.push(gap)), ["gap_outside"]);
    let end = |kept: &mut Kept| kept.chunks.truncate(2);
    assert_eq!(damaged(&end), ["sums_wrong"]);
    let live = |kept: &mut Kept| {
        kept.recording.state = State::Live;
        kept.recording.duration = Ticks::from_secs(8);
    };
    assert_eq!(damaged(&live), Vec::<&str>::new());
}

#[test]
fn receipts_are_checked_one_by_one_and_as_a_chain() {
    let (kept, _) = Kept::new();
    let facts = kept.facts();
    let signer = sign::Signer::from_pem(&sign::Signer::generate().unwrap()).unwrap();
    let mut chain = vec![receipt::make(&facts, None, NOW).unwrap()];
    chain[0].signature = Some(signer.sign(&chain[0].body));
    chain.push(receipt::make(&facts, chain.last(), NOW).unwrap());
    let look = |chain: &[Receipt]| kinds(&receipts(&facts, chain, true));
    assert_eq!(look(&chain), Vec::<&str>::new());
    assert_eq!(look(&[]), ["receipt_missing"]);
    assert_eq!(kinds(&receipts(&facts, &chain, false)), ["receipt_missing"]);
    assert_eq!(look(&chain[1..]), ["receipt_chain"]);

    let mut altered = chain.clone();
    altered[0].body = altered[0].body.replace("Monday", "Friday");
    assert_eq!(look(&altered), ["receipt_altered", "receipt_signature"]);
    // With a hash that fits, the next one does not name it.
    altered[0].sha256 = receipt::digest(&altered[0].body);
    assert_eq!(look(&altered), ["receipt_signature", "receipt_chain"]);
    let (mut other, _) = Kept::new();
    other.recording.id = kept.recording.id;
    other.gaps.push(Gap {
        start: Ticks::ZERO,
        duration: Ticks(1),
        wall_us: 0,
        cause: GapCause::Loss,
    });
    assert_eq!(kinds(&receipts(&other.facts(), &chain, true)), ["receipt_differs"]);
    // One that is going on has none.
    other.recording.state = State::Live;
    assert_eq!(receipts(&other.facts(), &[], true), []);
}

#[tokio::test]
async fn every_damage_to_an_object_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::disk(dir.path()).unwrap();
    let (mut kept, objects) = Kept::new();
    for (key, bytes) in &objects {
        store.put(key, bytes.clone().into()).await.unwrap();
    }
    let id = kept.recording.id;
    let look = async |kept: &Kept| {
        let listed = store.list(&Key::prefix(id)).await.unwrap();
        super::objects(&store, &kept.facts(), &listed, 2, |_| ()).await.unwrap()
    };
    let layout = Layout::new(1, &kept.chunks);
    let export = Key::Export(id, layout.digest(), Export::Mp4);
    let pieces = layout.pieces(0..layout.len()).into_iter().map(|piece| match piece {
        crate::concat::Piece::Header(bytes) => bytes.to_vec(),
        crate::concat::Piece::Chunk { seq, .. } => objects[seq as usize + 1].1.clone(),
    });
    let whole = pieces.collect::<Vec<_>>().concat();
    store.put(&export, whole.clone().into()).await.unwrap();
    let clean = look(&kept).await;
    assert_eq!((clean.objects, clean.damage.len()), (5, 0), "{clean:?}");

    let spoil = |key: &Key, bytes: &[u8]| std::fs::write(dir.path().join(key.path()), bytes);
    let (key, bytes) = &objects[1];
    let mut other = bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    spoil(key, &other).unwrap();
    spoil(&objects[2].0, &bytes[..bytes.len() / 2]).unwrap();
    std::fs::remove_file(dir.path().join(objects[3].0.path())).unwrap();
    spoil(&objects[0].0, b"x").unwrap();
    spoil(&export, &[&whole[..whole.len() - 1], b"x"].concat()).unwrap();
    store.put(&Key::Chunk(id, 1, 7), bytes.clone().into()).await.unwrap();
    store.put(&Key::Export(id, [0; 16], Export::Mp4), bytes.clone().into()).await.unwrap();
    std::fs::write(dir.path().join(Key::prefix(id)).join("notes.txt"), b"x").unwrap();
    let expected = [
        "init_damaged",
        "chunk_damaged",
        "chunk_damaged",
        "chunk_missing",
        "orphan",
        "orphan",
        "stranger",
        "export_damaged",
    ];
    assert_eq!(kinds(&look(&kept).await.damage), expected);
    std::fs::remove_file(dir.path().join(objects[0].0.path())).unwrap();
    kept.recording.state = State::Live;
    let live = look(&kept).await.damage;
    assert_eq!(live[0].kind(), "init_missing");
    assert!(!kinds(&live).contains(&"orphan"), "what is new has no row yet");
}
