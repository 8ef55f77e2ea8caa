//! Weights that may be fetched: name, size, SHA-256, licence and source.
//!
//! All are OpenAI's Whisper weights (MIT) in whisper.cpp's ggml form. Digests are those of the
//! published files; a file with another digest is never used.

/// Weights that may be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Short name, as on the command line.
    pub name: &'static str,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: &'static str,
    /// Under which licence they are given.
    pub licence: &'static str,
    /// What they are good for.
    pub about: &'static str,
}

/// Where the published files stand; a file's address is this and its [`Entry::file_name`].
pub const SOURCE: &str = "https://huggingface.co/ggerganov/whisper.cpp/resolve/main/";

/// Weights that may be fetched, the best last: `auto` takes the last one that is here.
pub const CATALOGUE: &[Entry] = &[
    Entry {
        name: "tiny.en",
        bytes: 77_704_715,
        sha256: "921e4cf8686fdd993dcd081a5da5b6c365bfde1162e72b08d75ac75289920b1f",
        licence: "MIT",
        about: "English; fastest, for a first look",
    },
    Entry {
        name: "base.en",
        bytes: 147_964_211,
        sha256: "a03779c86df3323075f5e796cb2ce5029f00ec8869eee3fdfb897afe36c6d002",
        licence: "MIT",
        about: "English; a good start on a laptop",
    },
    Entry {
        name: "small.en",
        bytes: 487_614_201,
        sha256: "c6138d6d58ecc8322097e0f987c32f1be8bb0a18532a3f88f734d1bbf9c41e5d",
        licence: "MIT",
        about: "English; better words, about three times the work",
    },
    Entry {
        name: "medium.en",
        bytes: 1_533_774_781,
        sha256: "cc37e93478338ec7700281a7ac30a10128929eb8f427dda2e865faa8f6da4356",
        licence: "MIT",
        about: "English; wants a GPU or patience",
    },
    Entry {
        name: "large-v3-turbo-q5_0",
        bytes: 574_041_195,
        sha256: "394221709cd5ad1f40c46e6031ca61bce88931e6e088c188294c6d5a55ffa7e2",
        licence: "MIT",
        about: "many languages; large-v3-turbo in a third of the memory",
    },
    Entry {
        name: "large-v3-turbo",
        bytes: 1_624_555_275,
        sha256: "1fc70f774d38eb169993ac391eea357ef47c88757ef72ee5943879b7e8e2bc69",
        licence: "MIT",
        about: "many languages; for GPUs",
    },
];

impl Entry {
    /// Name of the published file, and of the file in the weights folder.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("ggml-{}.bin", self.name)
    }
}

/// The entry of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    CATALOGUE.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_digests_well_formed() {
        for (i, entry) in CATALOGUE.iter().enumerate() {
            assert!(CATALOGUE[..i].iter().all(|other| other.name != entry.name));
            assert_eq!(entry.sha256.len(), 64);
            assert!(entry.sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
            assert_eq!(find(entry.name), Some(entry));
        }
        assert_eq!(find("base"), None);
    }
}
