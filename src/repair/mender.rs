//! One recording's damage, mended.

use anyhow::Context as _;
use archive::concat::Layout;
use archive::verify::Damage;
use archive::{Key, Store, chunk, cmaf, repair};
use bytes::Bytes;
use ingest::{spool, upload};
use models::db::Mend;
use models::{Chunk, Gap, Span, Ticks, WallMicros};

use super::Outcome;
use crate::cli;
use crate::home::Home;
use crate::receipts::Kept;

/// Chunks mended in one transaction, whose bytes are in memory meanwhile.
const BATCH: usize = 64;
/// Length of a chunk of concealment where nothing says how many there were.
const CHUNK: Ticks = Ticks::from_secs(4);
/// Why nothing is done about what --conceal would do.
const CONCEAL: &str = "its bytes are nowhere else (--conceal makes a gap of it)";
/// Why nothing is done about a recording that is going on.
const GOES_ON: &str = "it can be mended when the recording is over";

/// Mends one recording as it was seen.
pub(super) struct Mender<'a> {
    pub(super) home: &'a Home,
    /// Where bytes may still be.
    stores: Vec<&'a Store>,
    pub(super) args: &'a cli::Repair,
    pub(super) kept: &'a Kept,
    layout: Layout,
}

/// A chunk that takes the place of another.
struct Exchange {
    old: Chunk,
    new: Chunk,
    bytes: Bytes,
}

impl<'a> Mender<'a> {
    pub(super) fn new(
        home: &'a Home,
        backup: Option<&'a Store>,
        args: &'a cli::Repair,
        kept: &'a Kept,
    ) -> Self {
        let stores = std::iter::once(&home.store).chain(backup).collect();
        let layout = Layout::new(kept.recording.channels, &kept.chunks);
        Self { home, stores, args, kept, layout }
    }

    /// Mends all of it, or says what would be done.
    ///
    /// # Errors
    /// Store or database failed. What was done so far is right; it can be done again.
    pub(super) async fn all(&self, damage: Vec<Damage>) -> anyhow::Result<Vec<Outcome>> {
        let is_chunk =
            |damage: &Damage| matches!(damage, Damage::Missing(_) | Damage::Spoilt { .. });
        let (chunks, others): (Vec<_>, Vec<_>) = damage.into_iter().partition(is_chunk);
        let mut outcomes = Vec::new();
        for batch in chunks.chunks(BATCH) {
            outcomes.extend(self.chunks(batch).await?);
        }
        let mut has_hole = false;
        for damage in others {
            let outcome = match &damage {
                Damage::NoInit | Damage::BadInit => self.init(&damage).await?,
                Damage::Hole { seqs, span } => self.hole(&damage, *seqs, *span).await?,
                Damage::Sums if has_hole => Outcome::left(&damage, "the rows come first"),
                Damage::Sums => self.sums(&damage).await?,
                Damage::Orphan { key, .. } | Damage::Export(key) => {
                    self.unnamed(&damage, *key).await?
                }
                other => Outcome::left(other, why_not(other)),
            };
            has_hole |= matches!(damage, Damage::Hole { .. }) && !outcome.is_mended;
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    fn is_open(&self) -> bool {
        self.kept.recording.state.is_open()
    }

    /// Puts lost objects again, and takes in place of spoilt ones.
    async fn chunks(&self, batch: &[Damage]) -> anyhow::Result<Vec<Outcome>> {
        let (mut outcomes, mut exchanges) = (Vec::new(), Vec::new());
        for damage in batch {
            let (chunk, is_spoilt) = match damage {
                Damage::Missing(chunk) => (chunk, false),
                Damage::Spoilt { chunk, .. } => (chunk, true),
                _ => continue,
            };
            let found = self.find(chunk).await?;
            outcomes.push(match found {
                Some(bytes) if !is_spoilt => {
                    self.put(&Key::of(self.kept.recording.id, chunk), bytes).await?;
                    Outcome::mended(damage, "put again from another copy")
                }
                _ if self.is_open() => Outcome::left(damage, GOES_ON),
                Some(bytes) => {
                    let (old, new) = (chunk.clone(), chunk.clone());
                    exchanges.push(Exchange { old, new, bytes });
                    Outcome::mended(damage, "replaced by another copy")
                }
                None if self.args.conceal => {
                    let toc = self.toc_near(chunk.seq).await;
                    let anchors = &self.kept.anchors;
                    let (new, bytes) =
                        repair::concealment(chunk.seq, 0, chunk.span(), toc, anchors);
                    exchanges.push(Exchange { old: chunk.clone(), new, bytes });
                    Outcome::mended(damage, "it is a gap now")
                }
                None => Outcome::left(damage, CONCEAL),
            });
        }
        self.exchange(exchanges).await?;
        Ok(outcomes)
    }

    /// Puts new objects under a new take, has the rows name them, and removes the old ones.
    async fn exchange(&self, mut exchanges: Vec<Exchange>) -> anyhow::Result<()> {
        if exchanges.is_empty() || self.args.dry_run {
            return Ok(());
        }
        let id = self.kept.recording.id;
        let take = self.home.db.new_take(id).await.context("beginning a new take")?;
        let mut mend = Mend::default();
        for Exchange { old, new, bytes } in &mut exchanges {
            new.take = take;
            self.put(&Key::of(id, new), bytes.clone()).await?;
            if new.sha256 != old.sha256 {
                mend.gaps.extend(repair::broken(old.span(), &self.kept.gaps));
            }
            mend.old.push(old.clone());
            mend.new.push(new.clone());
        }
        self.home.db.mend(id, &mend, WallMicros::now()).await.context("changing the rows")?;
        for old in &mend.old {
            let key = Key::of(id, old);
            self.home.store.delete(&key).await.context("removing what was replaced")?;
        }
        Ok(())
    }

    /// The bytes that a row tells of, where they still are.
    async fn find(&self, chunk: &Chunk) -> anyhow::Result<Option<Bytes>> {
        let id = self.kept.recording.id;
        let (dir, seq) = (spool::dir(&self.home.spool, id, chunk.take), chunk.seq);
        let spooled = tokio::task::spawn_blocking(move || upload::spooled(&dir, seq)).await?;
        if let Some(bytes) = spooled.filter(|bytes| chunk::parse(bytes, chunk).is_ok()) {
            return Ok(Some(bytes));
        }
        Ok(repair::find(&self.stores, id, chunk, &self.layout).await)
    }

    /// How the chunk beside a number is coded.
    async fn toc_near(&self, seq: u32) -> Option<u8> {
        let id = self.kept.recording.id;
        for chunk in &self.kept.chunks {
            if chunk.seq != seq && chunk.seq.abs_diff(seq) <= 2 {
                let bytes = self.home.store.get(&Key::of(id, chunk), None).await.ok();
                if let Some(toc) = bytes.and_then(|bytes| repair::toc_of(&bytes)) {
                    return Some(toc);
                }
            }
        }
        None
    }

    async fn init(&self, damage: &Damage) -> anyhow::Result<Outcome> {
        let key = Key::Init(self.kept.recording.id);
        if *damage == Damage::BadInit && !self.args.dry_run {
            self.home.store.delete(&key).await.context("removing the damaged header")?;
        }
        self.put(&key, cmaf::init_segment(self.kept.recording.channels).into()).await?;
        Ok(Outcome::mended(damage, "made again"))
    }

    pub(super) async fn put(&self, key: &Key, bytes: Bytes) -> anyhow::Result<()> {
        if self.args.dry_run {
            return Ok(());
        }
        self.home.store.put(key, bytes).await.context("putting an object")
    }

    /// Rows from objects, or concealment, where rows are missing.
    async fn hole(&self, damage: &Damage, seqs: (u32, u32), span: Span) -> anyhow::Result<Outcome> {
        if self.is_open() {
            return Ok(Outcome::left(damage, GOES_ON));
        }
        let rows = repair::filling(&self.unrowed(seqs.0..seqs.1).await?, seqs, span);
        if let Some(new) = rows.filter(|rows| !rows.is_empty()) {
            self.mend(Mend { new, has_new_sound: true, ..Mend::default() }).await?;
            return Ok(Outcome::mended(damage, "made again from the objects"));
        }
        let pieces = repair::pieces(seqs, span);
        if pieces.is_empty() {
            return Ok(Outcome::left(damage, "no number is free for it"));
        }
        self.conceal(damage, &pieces, span).await
    }

    /// Concealment where there is nothing.
    async fn conceal(
        &self,
        damage: &Damage,
        pieces: &[(u32, Span)],
        span: Span,
    ) -> anyhow::Result<Outcome> {
        if !self.args.conceal {
            return Ok(Outcome::left(damage, CONCEAL));
        }
        if self.args.dry_run {
            return Ok(Outcome::mended(damage, "it would be a gap"));
        }
        let id = self.kept.recording.id;
        let take = self.home.db.new_take(id).await.context("beginning a new take")?;
        let first = pieces.first().map_or(0, |(seq, _)| *seq);
        let toc = self.toc_near(first).await;
        let mut new = Vec::new();
        for (seq, span) in pieces {
            let made = repair::concealment(*seq, take, *span, toc, &self.kept.anchors);
            self.put(&Key::of(id, &made.0), made.1).await?;
            new.push(made.0);
        }
        let gaps: Vec<Gap> = repair::broken(span, &self.kept.gaps);
        self.mend(Mend { new, gaps, ..Mend::default() }).await?;
        Ok(Outcome::mended(damage, "it is a gap now"))
    }

    /// What the recording's own row says, where the chunks do not add up to it: chunks at its end whose
    /// rows are missing, or only a sum.
    async fn sums(&self, damage: &Damage) -> anyhow::Result<Outcome> {
        let last = self.kept.chunks.last();
        let (seq, end) = last.map_or((0, Ticks::ZERO), |last| (last.seq + 1, last.span().end));
        let rows = repair::following(&self.unrowed(seq..u32::MAX).await?, seq, end);
        let end = rows.last().map_or(end, |last| last.span().end);
        let seq = seq + rows.len() as u32;
        let missing = Span::new(end, self.kept.recording.duration);
        if !rows.is_empty() {
            self.mend(Mend { new: rows, has_new_sound: true, ..Mend::default() }).await?;
            if missing.is_empty() {
                return Ok(Outcome::mended(damage, "rows at the end made again from the objects"));
            }
        }
        if missing.is_empty() {
            self.mend(Mend::default()).await?;
            return Ok(Outcome::mended(damage, "added up again"));
        }
        let count = missing.duration().0.div_ceil(CHUNK.0);
        let seqs = (seq, seq.saturating_add(u32::try_from(count).unwrap_or(u32::MAX)));
        self.conceal(damage, &repair::pieces(seqs, missing), missing).await
    }

    pub(super) async fn mend(&self, mend: Mend) -> anyhow::Result<()> {
        if self.args.dry_run {
            return Ok(());
        }
        let id = self.kept.recording.id;
        self.home.db.mend(id, &mend, WallMicros::now()).await.context("changing the rows")
    }
}

fn why_not(damage: &Damage) -> &'static str {
    match damage {
        Damage::ReceiptAltered { .. }
        | Damage::ReceiptSignature { .. }
        | Damage::ReceiptChain { .. }
        | Damage::ReceiptDiffers { .. } => {
            "nobody can say what it was (`roomtape receipt make --again` makes a new one beside it)"
        }
        Damage::Stranger(_) => "left: it is not ours",
        _ => "nothing in the store tells what is right",
    }
}
