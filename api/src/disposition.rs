//! `Content-Disposition` (RFC 6266) with a file name that is safe everywhere.

use axum::http::HeaderValue;

/// Longest stem of a file name, in characters: with extension and encoding it stays below the 255
/// bytes that file systems allow.
const STEM_MAX_CHARS: usize = 80;

/// The header for a file called after `title`: shown in place, or kept as a file where `attachment`.
///
/// Old clients read the ASCII name; others the full one (`filename*`, RFC 8187).
#[must_use]
pub fn header(title: &str, extension: &str, attachment: bool) -> HeaderValue {
    let stem = stem(title);
    let ascii: String = stem.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
    let kind = if attachment { "attachment" } else { "inline" };
    let encoded = percent_encoded(&format!("{stem}.{extension}"));
    let text = format!("{kind}; filename=\"{ascii}.{extension}\"; filename*=UTF-8''{encoded}");
    HeaderValue::from_str(&text).expect("only visible ASCII is left, by construction")
}

/// Letters, digits and a few harmless signs of `title`; everything else becomes one dash.
fn stem(title: &str) -> String {
    let mut stem = String::new();
    for c in title.trim().chars().take(STEM_MAX_CHARS) {
        if c.is_alphanumeric() || matches!(c, '_' | '(' | ')' | ' ') {
            stem.push(c);
        } else if !stem.ends_with('-') {
            stem.push('-');
        }
    }
    let stem = stem.trim_matches(['-', ' ']);
    if stem.is_empty() { "recording".into() } else { stem.into() }
}

fn percent_encoded(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_and_still_readable() {
        for (title, expected) in [
            (
                "Town hall 3",
                "inline; filename=\"Town hall 3.mp4\"; filename*=UTF-8''Town%20hall%203.mp4",
            ),
            (
                "../../etc/passwd",
                "inline; filename=\"etc-passwd.mp4\"; filename*=UTF-8''etc-passwd.mp4",
            ),
            (
                "a\"\r\nSet-Cookie: x",
                "inline; filename=\"a-Set-Cookie- x.mp4\"; filename*=UTF-8''a-Set-Cookie-%20x.mp4",
            ),
            ("Käse", "inline; filename=\"K_se.mp4\"; filename*=UTF-8''K%C3%A4se.mp4"),
            ("...", "inline; filename=\"recording.mp4\"; filename*=UTF-8''recording.mp4"),
        ] {
            assert_eq!(header(title, "mp4", false), expected, "{title}");
        }
        assert!(header("a", "wav", true).to_str().unwrap().starts_with("attachment; "));
    }
}
