//! Bytes to packets. The bytes may be anything: every size is checked before it is used.

use bytes::Bytes;
use models::{Ticks, WallMicros};

use super::boxes::{Cursor, Error};
use super::write::{
    PRFT_CAPTURED, SAMPLE_BYTES, TFHD_BASE_IS_MOOF, TRACK, TRUN_FIELDS, data_offset,
};
use super::{Fragment, MAX_MEDIA_TIME, ntp};
use crate::opus::{MAX_DURATION, Packet};

/// What [`recover`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The fragments before the torn point.
    pub fragments: Vec<Fragment>,
    /// How many bytes from the front they take: where the file is to be cut.
    pub whole_bytes: usize,
    /// What is wrong behind them; `None` where nothing is left over.
    pub torn: Option<Error>,
}

/// Every fragment of a chunk (or of several chunks, one after the other).
///
/// Each must begin where the one before it ends, with a higher sequence number.
///
/// # Errors
/// The first thing that is not as [`super::write_fragment`] writes it, and at which byte.
pub fn read_fragments(bytes: &[u8]) -> Result<Vec<Fragment>, Error> {
    let found = recover(bytes);
    found.torn.map_or(Ok(found.fragments), Err)
}

/// The whole fragments from the front of a file that may end anywhere or turn to rubbish.
#[must_use]
pub fn recover(bytes: &[u8]) -> Recovered {
    let mut cursor = Cursor::new(bytes);
    let mut found = Recovered { fragments: Vec::new(), whole_bytes: 0, torn: None };
    while !cursor.is_empty() {
        match read_fragment(&mut cursor, found.fragments.last()) {
            Ok(fragment) => {
                found.fragments.push(fragment);
                found.whole_bytes = cursor.offset();
            }
            Err(error) => {
                found.torn = Some(error);
                break;
            }
        }
    }
    found
}

/// What a `moof` says.
struct Moof {
    seq: u32,
    start: Ticks,
    /// Duration and size of each packet; `table` is the same as stored, 8 bytes a packet.
    samples: Vec<(Ticks, usize)>,
    payload: usize,
}

fn read_fragment(cursor: &mut Cursor<'_>, before: Option<&Fragment>) -> Result<Fragment, Error> {
    let (wall, captured) = read_prft(cursor)?;
    let moof = read_moof(cursor, before)?;
    if moof.start != captured.0 {
        let (found, expected) = (captured.0.0, moof.start.0);
        let field = "prft media time";
        return Err(Error::Field { offset: captured.1, field, found, expected });
    }
    let mut mdat = cursor.enter(b"mdat")?;
    // One copy for all packets of the fragment, which then share it.
    let mut data = Bytes::copy_from_slice(mdat.take("packets", moof.payload)?);
    mdat.end()?;
    let packet = |(duration, size): (Ticks, usize)| Packet { data: data.split_to(size), duration };
    let packets = moof.samples.into_iter().map(packet).collect();
    Ok(Fragment { seq: moof.seq, start: moof.start, wall, packets })
}

/// The wall clock, the media time it is of, and where the latter stands.
fn read_prft(cursor: &mut Cursor<'_>) -> Result<(WallMicros, (Ticks, usize)), Error> {
    let mut prft = cursor.enter_full(b"prft", 1, PRFT_CAPTURED)?;
    prft.expect_u32("track", TRACK)?;
    let wall = ntp::from_ntp(prft.u64("wall clock")?);
    let offset = prft.offset();
    let media = Ticks(prft.u64("prft media time")?);
    prft.end()?;
    Ok((wall, (media, offset)))
}

fn read_moof(cursor: &mut Cursor<'_>, before: Option<&Fragment>) -> Result<Moof, Error> {
    let mut moof = cursor.enter(b"moof")?;
    let mut mfhd = moof.enter_full(b"mfhd", 0, 0)?;
    let least = before.map_or(0, |before| before.seq.saturating_add(1));
    let seq = mfhd.u32_within("fragment sequence number", least, u32::MAX)?;
    mfhd.end()?;
    let mut traf = moof.enter(b"traf")?;
    moof.end()?;
    let mut tfhd = traf.enter_full(b"tfhd", 0, TFHD_BASE_IS_MOOF)?;
    tfhd.expect_u32("track", TRACK)?;
    tfhd.end()?;
    let start = read_tfdt(&mut traf, before)?;
    let (samples, payload) = read_trun(&mut traf)?;
    traf.end()?;
    Ok(Moof { seq, start, samples, payload })
}

fn read_tfdt(traf: &mut Cursor<'_>, before: Option<&Fragment>) -> Result<Ticks, Error> {
    let mut tfdt = traf.enter_full(b"tfdt", 1, 0)?;
    let (field, offset) = ("media time", tfdt.offset());
    let start = match before {
        Some(before) => {
            let end = before.span().end;
            tfdt.expect_u64(field, end.0)?;
            end
        }
        None => Ticks(tfdt.u64(field)?),
    };
    if start > MAX_MEDIA_TIME {
        let (found, most) = (start.0, MAX_MEDIA_TIME.0);
        return Err(Error::Bounds { offset, field, found, least: 0, most });
    }
    tfdt.end()?;
    Ok(start)
}

/// Duration and size of every packet, and the sum of the sizes.
fn read_trun(traf: &mut Cursor<'_>) -> Result<(Vec<(Ticks, usize)>, usize), Error> {
    let mut trun = traf.enter_full(b"trun", 0, TRUN_FIELDS)?;
    // The table that must follow bounds the count, and so what is allocated for it.
    let room = u32::try_from(trun.left().saturating_sub(8) / SAMPLE_BYTES).unwrap_or(u32::MAX);
    let count = trun.u32_within("packet count", 1, room.max(1))? as usize;
    let offset = u32::try_from(data_offset(count)).unwrap_or(u32::MAX);
    trun.expect_u32("data offset", offset)?;
    let mut samples = Vec::with_capacity(count.min(room as usize));
    let mut payload = 0_usize;
    for _ in 0..count {
        let duration = trun.u32_within("packet duration", 1, MAX_DURATION.0 as u32)?;
        let size = trun.u32_within("packet size", 1, u32::MAX)? as usize;
        payload = payload.saturating_add(size);
        samples.push((Ticks(duration.into()), size));
    }
    trun.end()?;
    Ok((samples, payload))
}
