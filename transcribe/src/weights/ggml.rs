//! Walks a ggml Whisper file from end to end, so that a cut or foreign one is refused before
//! whisper.cpp sees it: a corrupt header aborts the process there, a cut file loads as an empty
//! model.
//!
//! The form, as whisper.cpp's loader reads it (little-endian): magic; eleven 32-bit parameters; mel
//! filters (rows, columns, floats); vocabulary (count, then length and bytes of each); tensors until
//! the end of the file (dimensions, length of the name, type; sizes; name; data).

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

const MAGIC: u32 = 0x6767_6d6c;
/// No Whisper file has a name, token or dimension beyond these; they bound what is read.
const MAX_NAME: u32 = 256;
const MAX_TOKENS: u32 = 200_000;
const MAX_LAYERS: u32 = 128;
const MAX_BANDS: u32 = 1024;
const MAX_FREQUENCIES: u32 = 4096;

/// Why a file is no whole Whisper model.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read.
    #[error("reading it")]
    Read(#[from] std::io::Error),
    /// It begins with other bytes.
    #[error("it is not a ggml Whisper file")]
    Foreign,
    /// Something in it cannot be right.
    #[error("its {0} cannot be right")]
    Corrupt(&'static str),
    /// It ends too early.
    #[error("it is cut off: {found} of {expected} tensors are whole")]
    Cut {
        /// Whole tensors.
        found: u32,
        /// Tensors that its header promises.
        expected: u32,
    },
}

/// Checks that `path` is a whole ggml Whisper file.
///
/// # Errors
/// What is wrong with it.
pub fn check(path: &Path) -> Result<(), Error> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    walk(&mut BufReader::new(file), bytes)
}

fn walk(file: &mut (impl Read + Seek), bytes: u64) -> Result<(), Error> {
    let head = Head::read(file)?;
    let mut found = 0;
    while file.stream_position()? < bytes {
        let Some(tensor) = Tensor::read(file, bytes)? else { break };
        file.seek(SeekFrom::Start(tensor.data.end))?;
        found += 1;
    }
    if found == head.tensors { Ok(()) } else { Err(Error::Cut { found, expected: head.tensors }) }
}

/// What stands before the tensors.
#[derive(Debug)]
pub(crate) struct Head {
    /// How most weights are kept: a number of ggml's, and a thousand for each version of them.
    pub(crate) file_type: u32,
    pub(crate) filters: Filters,
    /// How many tensors there are to be.
    tensors: u32,
}

/// Which frequencies are in which band of the spectrum.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Filters {
    /// How many frequencies there are.
    pub(crate) frequencies: usize,
    /// For each band the share of each frequency, one band after the other.
    pub(crate) shares: Vec<f32>,
}

/// Where one tensor is in its file, and what it is.
#[derive(Debug)]
pub(crate) struct Tensor {
    pub(crate) name: Vec<u8>,
    /// How its weights are kept: a number of ggml's.
    pub(crate) kind: u32,
    /// The length of a row first.
    pub(crate) sizes: Vec<u32>,
    /// Its bytes in the file.
    pub(crate) data: Range<u64>,
}

impl Head {
    /// Where [`Self::file_type`] is in the file.
    pub(crate) const FILE_TYPE_AT: usize = 4 + 10 * 4;

    /// Reads it, and leaves `file` at the first tensor.
    pub(crate) fn read(file: &mut (impl Read + Seek)) -> Result<Self, Error> {
        if number(file).ok() != Some(MAGIC) {
            return Err(Error::Foreign);
        }
        let mut parameters = [0; 11];
        for value in &mut parameters {
            *value = number(file).map_err(|error| early(error, "header"))?;
        }
        let [_, _, _, _, audio_layers, _, _, _, text_layers, _, file_type] = parameters;
        let some = 1..=MAX_LAYERS;
        if !some.contains(&audio_layers) || !some.contains(&text_layers) {
            return Err(Error::Corrupt("header"));
        }
        let filters = Filters::read(file)?;
        skip_vocabulary(file)?;
        Ok(Self { file_type, filters, tensors: 11 + 15 * audio_layers + 24 * text_layers })
    }
}

impl Filters {
    fn read(file: &mut impl Read) -> Result<Self, Error> {
        const PART: &str = "mel filters";
        let early = |error| early(error, PART);
        let (bands, frequencies) = (number(file).map_err(early)?, number(file).map_err(early)?);
        if bands > MAX_BANDS || frequencies > MAX_FREQUENCIES {
            return Err(Error::Corrupt(PART));
        }
        let frequencies = frequencies as usize;
        let mut bytes = vec![0; bands as usize * frequencies * 4];
        file.read_exact(&mut bytes).map_err(early)?;
        let shares = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok(Self { frequencies, shares })
    }
}

fn skip_vocabulary(file: &mut (impl Read + Seek)) -> Result<(), Error> {
    let tokens = number(file).map_err(|error| early(error, "vocabulary"))?;
    if tokens > MAX_TOKENS {
        return Err(Error::Corrupt("vocabulary"));
    }
    for _ in 0..tokens {
        let length = number(file).map_err(|error| early(error, "vocabulary"))?;
        if length > MAX_NAME {
            return Err(Error::Corrupt("vocabulary"));
        }
        file.seek(SeekFrom::Current(i64::from(length)))?;
    }
    Ok(())
}

impl Tensor {
    /// Reads what stands before its data, and leaves `file` there; `None` where the file of that many
    /// bytes ends inside it.
    pub(crate) fn read(file: &mut (impl Read + Seek), bytes: u64) -> Result<Option<Self>, Error> {
        match Self::whole(file, bytes) {
            Err(Error::Read(error)) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            read => read,
        }
    }

    fn whole(file: &mut (impl Read + Seek), bytes: u64) -> Result<Option<Self>, Error> {
        let (dimensions, length, kind) = (number(file)?, number(file)?, number(file)?);
        if dimensions == 0 || dimensions > 4 || length > MAX_NAME {
            return Err(Error::Corrupt("tensors"));
        }
        let sizes = (0..dimensions).map(|_| number(file)).collect::<Result<Vec<_>, _>>()?;
        let mut name = vec![0; length as usize];
        file.read_exact(&mut name)?;
        let elements = sizes.iter().fold(1_u64, |all, size| all.saturating_mul(u64::from(*size)));
        let (block, size) = layout(kind).ok_or(Error::Corrupt("tensor types"))?;
        let start = file.stream_position()?;
        let end = start.saturating_add((elements / block).saturating_mul(size));
        Ok((end <= bytes).then_some(Self { name, kind, sizes, data: start..end }))
    }
}

/// Elements and bytes of one block of a ggml tensor type.
const fn layout(kind: u32) -> Option<(u64, u64)> {
    Some(match kind {
        0 => (1, 4),      // f32
        1 => (1, 2),      // f16
        2 => (32, 18),    // q4_0
        3 => (32, 20),    // q4_1
        6 => (32, 22),    // q5_0
        7 => (32, 24),    // q5_1
        8 => (32, 34),    // q8_0
        10 => (256, 84),  // q2_K
        11 => (256, 110), // q3_K
        12 => (256, 144), // q4_K
        13 => (256, 176), // q5_K
        14 => (256, 210), // q6_K
        _ => return None,
    })
}

fn number(file: &mut impl Read) -> std::io::Result<u32> {
    let mut bytes = [0; 4];
    file.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn early(error: std::io::Error, part: &'static str) -> Error {
    if error.kind() == ErrorKind::UnexpectedEof { Error::Corrupt(part) } else { Error::Read(error) }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const DEMO: &[u8] = include_bytes!("../../weights/demo/roomtape-demo.en-q5_0.bin");

    fn verdict(bytes: &[u8]) -> Result<(), Error> {
        walk(&mut Cursor::new(bytes), bytes.len() as u64)
    }

    #[test]
    fn the_demo_model_is_whole() {
        verdict(DEMO).unwrap();
    }

    #[test]
    fn a_cut_anywhere_is_found() {
        for cut in [0, 3, 20, 5_000, 300_000, DEMO.len() / 2, DEMO.len() - 1] {
            assert!(verdict(&DEMO[..cut]).is_err(), "{cut}");
        }
        assert!(matches!(verdict(&DEMO[..DEMO.len() / 2]), Err(Error::Cut { .. })));
    }

    #[test]
    fn something_else_is_refused() {
        assert!(matches!(verdict(b"RIFF....WAVE"), Err(Error::Foreign)));
        let mut bytes = DEMO[..200].to_vec();
        bytes[20] = 0xff;
        bytes[23] = 0xff;
        assert!(verdict(&bytes).is_err());
    }
}
