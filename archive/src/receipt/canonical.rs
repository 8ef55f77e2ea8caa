//! Canonical JSON (RFC 8785) of values without fractions: one spelling for one value.

use std::fmt::Write as _;

use serde_json::{Number, Value};

/// The greatest whole number that every reader of JSON knows exactly: 2^53 - 1 (RFC 8785, section
/// 3.2.2.3, and RFC 7493, section 2.2).
const MOST: u64 = (1 << 53) - 1;

/// Writes a value.
///
/// # Errors
/// The number in it that is a fraction or beyond 2^53 - 1 either way.
pub(super) fn write(value: &Value) -> Result<String, Number> {
    let mut out = String::new();
    put(value, &mut out)?;
    Ok(out)
}

fn put(value: &Value, out: &mut String) -> Result<(), Number> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Number(number) => {
            let size = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            if size.is_none_or(|size| size > MOST) {
                return Err(number.clone());
            }
            let _ = write!(out, "{number}");
        }
        Value::String(text) => put_text(text, out),
        Value::Array(items) => put_all('[', items, ']', out, put)?,
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            // By UTF-16 code units, as the RFC has it.
            fields.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            put_all('{', fields, '}', out, |(name, value), out| {
                put_text(name, out);
                out.push(':');
                put(value, out)
            })?;
        }
    }
    Ok(())
}

fn put_all<T>(
    open: char,
    items: impl IntoIterator<Item = T>,
    close: char,
    out: &mut String,
    mut put: impl FnMut(T, &mut String) -> Result<(), Number>,
) -> Result<(), Number> {
    out.push(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        put(item, out)?;
    }
    out.push(close);
    Ok(())
}

fn put_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(json: &str) -> Result<String, Number> {
        write(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn one_value_has_one_spelling() {
        // Strings and literals of RFC 8785, section 3.2.2; the order of names of section 3.2.3.
        let given = r#"{ "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
                         "literals": [null, true, false], "numbers": [0, -1, 9007199254740991] }"#;
        let expected = "{\"literals\":[null,true,false],\"numbers\":[0,-1,9007199254740991],\
             \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(canonical(given).unwrap(), expected);
        let names =
            r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#;
        let sorted =
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}";
        assert_eq!(canonical(names).unwrap(), sorted);
        assert_eq!(canonical(sorted).unwrap(), sorted);
    }

    #[test]
    fn a_number_that_not_everybody_reads_alike_is_refused() {
        for number in ["1.5", "1e3", "9007199254740992", "-9007199254740992", "0.0"] {
            assert!(canonical(&format!("[{number}]")).is_err(), "{number}");
        }
    }
}
