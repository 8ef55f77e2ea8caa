//! Walks a ggml Whisper file from end to end, so that a cut or foreign one is refused before
//! whisper.cpp sees it: a corrupt header aborts the process there, a cut file loads as an empty
//! model.
//!
//! The form, as whisper.cpp's loader reads it (little-endian): magic; eleven 32-bit parameters; mel
//! filters (rows, columns, floats); vocabulary (count, then length and bytes of each); tensors until
//! the end of the file (dimensions, length of the name, type; sizes; name; data).

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

const MAGIC: u32 = 0x6767_6d6c;
/// No Whisper file has a name, token or dimension beyond these; they bound what is read.
const MAX_NAME: u32 = 256;
const MAX_TOKENS: u32 = 200_000;
const MAX_LAYERS: u32 = 128;

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
    if number(file).ok() != Some(MAGIC) {
        return Err(Error::Foreign);
    }
    let mut parameters = [0; 11];
    for value in &mut parameters {
        *value = number(file).map_err(|error| early(error, "header"))?;
    }
    let [_, _, _, _, audio_layers, _, _, _, text_layers, ..] = parameters;
    if audio_layers == 0
        || audio_layers > MAX_LAYERS
        || text_layers == 0
        || text_layers > MAX_LAYERS
    {
        return Err(Error::Corrupt("header"));
    }
    skip_filters(file).map_err(|error| early(error, "mel filters"))?;
    skip_vocabulary(file)?;

    let expected = 11 + 15 * audio_layers + 24 * text_layers;
    let mut found = 0;
    while file.stream_position()? < bytes {
        if !skip_tensor(file, bytes)? {
            break;
        }
        found += 1;
    }
    if found == expected { Ok(()) } else { Err(Error::Cut { found, expected }) }
}

fn skip_filters(file: &mut (impl Read + Seek)) -> std::io::Result<()> {
    let (rows, columns) = (number(file)?, number(file)?);
    file.seek(SeekFrom::Current(i64::from(rows).saturating_mul(i64::from(columns)) * 4))?;
    Ok(())
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

/// Skips one tensor; `false` where the file ends inside it.
fn skip_tensor(file: &mut (impl Read + Seek), bytes: u64) -> Result<bool, Error> {
    let mut head = [0; 3];
    for value in &mut head {
        match number(file) {
            Ok(read) => *value = read,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    let [dimensions, name, kind] = head;
    if dimensions == 0 || dimensions > 4 || name > MAX_NAME {
        return Err(Error::Corrupt("tensors"));
    }
    let mut elements = 1_u64;
    for _ in 0..dimensions {
        match number(file) {
            Ok(size) => elements = elements.saturating_mul(u64::from(size)),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    let (block, size) = layout(kind).ok_or(Error::Corrupt("tensor types"))?;
    let data = (elements / block).saturating_mul(size);
    let end = file.stream_position()?.saturating_add(u64::from(name)).saturating_add(data);
    if end > bytes {
        return Ok(false);
    }
    file.seek(SeekFrom::Start(end))?;
    Ok(true)
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
