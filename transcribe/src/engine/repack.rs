//! Weights in a form that the processor multiplies faster than the one they are kept in.
//!
//! Five bits a weight save space, but have to be put together from two places each time they are
//! used, and whisper.cpp's fast kernels take only one of their two forms. Eight bits hold what five
//! held to within a fifteenth of their step (docs/decisions/018).
#![expect(unsafe_code, reason = "ggml's conversions are to be had through C only")]

use std::ffi::c_void;
use std::io::{Read, Seek, SeekFrom};

use whisper_rs::whisper_rs_sys as sys;

use crate::weights::ggml::{Error, Head, Tensor};

/// ggml's numbers for the forms of weights that are repacked (q5_0, q5_1), of one tensor …
const SLOW: [u32; 2] = [sys::ggml_type_GGML_TYPE_Q5_0, sys::ggml_type_GGML_TYPE_Q5_1];
/// … and of most of a file.
const SLOW_FILES: [u32; 2] =
    [sys::ggml_ftype_GGML_FTYPE_MOSTLY_Q5_0 as u32, sys::ggml_ftype_GGML_FTYPE_MOSTLY_Q5_1 as u32];
/// What they are repacked to (q8_0), of one tensor …
const FAST: u32 = sys::ggml_type_GGML_TYPE_Q8_0;
/// … and of most of a file.
const FAST_FILE: u32 = sys::ggml_ftype_GGML_FTYPE_MOSTLY_Q8_0 as u32;
/// What a file's type has for each version of its quantisation: whisper.cpp knows this one.
const VERSION: u32 = sys::GGML_QNT_VERSION_FACTOR;

/// Weights converted at once: memory for a moment.
const AT_ONCE: usize = 1 << 20;

/// The model in `file`, of that many bytes, with the weights that are slow for the processor made fast;
/// `None` where it has none. What its head says is believed: the model is one that was checked.
///
/// # Errors
/// Where it cannot be read, or is no whole Whisper model.
pub(super) fn for_processor(
    file: &mut (impl Read + Seek),
    bytes: u64,
) -> Result<Option<Vec<u8>>, Error> {
    let head = Head::read(file)?;
    if !SLOW_FILES.contains(&(head.file_type % VERSION)) {
        return Ok(None);
    }
    let end = file.stream_position()?;
    file.seek(SeekFrom::Start(0))?;
    let mut packed = Vec::new();
    file.take(end).read_to_end(&mut packed)?;
    let file_type = head.file_type / VERSION * VERSION + FAST_FILE;
    packed[Head::FILE_TYPE_AT..][..4].copy_from_slice(&file_type.to_le_bytes());
    while let Some(tensor) = Tensor::read(file, bytes)? {
        let mut data = vec![0; (tensor.data.end - tensor.data.start) as usize];
        file.read_exact(&mut data)?;
        put(&mut packed, &tensor, &data);
    }
    Ok(Some(packed))
}

/// Adds a tensor, in the fast form where it has a slow one.
fn put(packed: &mut Vec<u8>, tensor: &Tensor, data: &[u8]) {
    let slow = SLOW.contains(&tensor.kind);
    let kind = if slow { FAST } else { tensor.kind };
    for number in [tensor.sizes.len() as u32, tensor.name.len() as u32, kind] {
        packed.extend_from_slice(&number.to_le_bytes());
    }
    for size in &tensor.sizes {
        packed.extend_from_slice(&size.to_le_bytes());
    }
    packed.extend_from_slice(&tensor.name);
    if slow {
        repack(packed, tensor.kind, data);
    } else {
        packed.extend_from_slice(data);
    }
}

/// Adds weights of that kind in the fast form.
fn repack(packed: &mut Vec<u8>, kind: u32, data: &[u8]) {
    // SAFETY: `kind` is one of `SLOW`, which are types of ggml's, whose traits live for ever.
    let (from, to) =
        unsafe { (&*sys::ggml_get_type_traits(kind), &*sys::ggml_get_type_traits(FAST)) };
    let Some(to_float) = from.to_float else { unreachable!("ggml reads its q5_0 and q5_1") };
    let block = from.blck_size as usize;
    assert_eq!(from.blck_size, to.blck_size, "both forms keep 32 weights together");
    let mut floats = vec![0.0_f32; AT_ONCE];
    for part in data.chunks(AT_ONCE / block * from.type_size) {
        let blocks = part.len() / from.type_size;
        let weights = blocks * block;
        let start = packed.len();
        packed.resize(start + blocks * to.type_size, 0);
        // SAFETY: `part` holds `blocks` blocks of `kind`, `floats` at least as many weights, and what
        // was just added to `packed` as many blocks of the fast form. Rows do not matter to it: it is
        // given one, of whole blocks.
        let written = unsafe {
            to_float(part.as_ptr().cast(), floats.as_mut_ptr(), weights as i64);
            let into: *mut c_void = packed[start..].as_mut_ptr().cast();
            sys::ggml_quantize_chunk(
                FAST,
                floats.as_ptr(),
                into,
                0,
                1,
                weights as i64,
                std::ptr::null(),
            )
        };
        assert_eq!(written, blocks * to.type_size, "ggml writes whole blocks");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::weights::{Source, Weights};

    fn values(kind: u32, data: &[u8]) -> Vec<f32> {
        // SAFETY: as above; `data` holds whole blocks of 32 weights.
        unsafe {
            let traits = &*sys::ggml_get_type_traits(kind);
            let weights = data.len() / traits.type_size * traits.blck_size as usize;
            let mut floats = vec![0.0; weights];
            traits.to_float.unwrap()(data.as_ptr().cast(), floats.as_mut_ptr(), weights as i64);
            floats
        }
    }

    #[test]
    fn the_demo_model_stays_what_it_is() {
        let Source::Bytes(demo) = Weights::demo().source else { panic!("it is inside") };
        let packed = for_processor(&mut Cursor::new(demo), demo.len() as u64).unwrap().unwrap();
        let (mut before, mut after) = (Cursor::new(demo), Cursor::new(&packed[..]));
        let (old, new) = (Head::read(&mut before).unwrap(), Head::read(&mut after).unwrap());
        assert_eq!((old.file_type, new.file_type), (2008, 2007));
        assert_eq!(old.filters, new.filters);
        let mut tensors = 0;
        let (end, new_end) = (demo.len() as u64, packed.len() as u64);
        while before.position() < end {
            let old = Tensor::read(&mut before, end).unwrap().unwrap();
            let new = Tensor::read(&mut after, new_end).unwrap().unwrap();
            assert_eq!((&old.name, &old.sizes), (&new.name, &new.sizes));
            let range = |tensor: &Tensor| tensor.data.start as usize..tensor.data.end as usize;
            let (was, is) = (&demo[range(&old)], &packed[range(&new)]);
            if SLOW.contains(&old.kind) {
                assert_eq!(new.kind, FAST);
                for (was, is) in values(old.kind, was).chunks(32).zip(values(FAST, is).chunks(32)) {
                    let most = was.iter().fold(0.0_f32, |most, weight| most.max(weight.abs()));
                    for (was, is) in was.iter().zip(is) {
                        assert!((was - is).abs() <= most / 230.0, "{was} {is} of {most}");
                    }
                }
            } else {
                assert_eq!((old.kind, was), (new.kind, is));
            }
            before.set_position(old.data.end);
            after.set_position(new.data.end);
            tensors += 1;
        }
        assert_eq!((tensors, after.position()), (11 + 15 * 4 + 24 * 4, new_end));
    }

    #[test]
    fn what_is_fast_already_and_what_is_cut_is_not_touched() {
        let Source::Bytes(demo) = Weights::demo().source else { panic!("it is inside") };
        let packed = for_processor(&mut Cursor::new(demo), demo.len() as u64).unwrap().unwrap();
        let again = for_processor(&mut Cursor::new(&packed[..]), packed.len() as u64).unwrap();
        assert!(again.is_none());
        assert!(for_processor(&mut Cursor::new(&demo[..99]), 99).is_err());
    }
}
