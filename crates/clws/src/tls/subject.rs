//! Names of certificate holders as text (RFC 4514).
//!
//! What is read here was verified: it only has to be shown. What is malformed gives no name.

use std::fmt::Write;

const SET: u8 = 0x31;
const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;
/// `UTF8String`, `PrintableString`, `IA5String` and, read as ASCII, `TeletexString`.
const TEXTS: [u8; 4] = [0x0c, 0x13, 0x16, 0x14];

/// Object identifiers of attributes and their short names (RFC 4514 §3).
const SHORT: [(&[u8], &str); 10] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], "emailAddress"),
];

/// A name, given by the content of its outer sequence, the last part first.
pub(super) fn to_string(mut name: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    while !name.is_empty() {
        let (set, rest) = element(name, SET)?;
        parts.push(relative(set)?);
        name = rest;
    }
    parts.reverse();
    Some(parts.join(","))
}

/// One part, which may have several attributes.
fn relative(mut set: &[u8]) -> Option<String> {
    let mut out = String::new();
    while !set.is_empty() {
        let (pair, rest) = element(set, SEQUENCE)?;
        let (kind, value) = element(pair, OID)?;
        if !out.is_empty() {
            out.push('+');
        }
        attribute(kind, value, &mut out)?;
        set = rest;
    }
    Some(out)
}

/// An attribute that has no short name, or no text, is written in hexadecimal.
fn attribute(kind: &[u8], value: &[u8], out: &mut String) -> Option<()> {
    let hex = |bytes: &[u8], out: &mut String| {
        bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}")).ok()
    };
    if let Some((_, name)) = SHORT.iter().find(|(oid, _)| *oid == kind) {
        out.push_str(name);
    } else {
        out.push_str("OID.#");
        hex(kind, out)?;
    }
    out.push('=');
    let text = TEXTS.iter().find_map(|tag| element(value, *tag));
    if let Some(text) = text.and_then(|(text, _)| str::from_utf8(text).ok()) {
        escape(text, out);
    } else {
        out.push('#');
        hex(value, out)?;
    }
    Some(())
}

/// RFC 4514 §2.4, and control characters in hexadecimal, so that a name stays one line.
fn escape(text: &str, out: &mut String) {
    let last = text.chars().count().saturating_sub(1);
    for (at, c) in text.chars().enumerate() {
        match c {
            ' ' if at == 0 || at == last => out.push_str("\\ "),
            '#' if at == 0 => out.push_str("\\#"),
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    // Writing to a string does not fail.
                    let _ = write!(out, "\\{byte:02x}");
                }
            }
            c => out.push(c),
        }
    }
}

/// The content of the element with this tag at the front, and what follows it (X.690 §8.1).
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (len, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        0x81 => rest.split_first().map(|(len, rest)| (usize::from(*len), rest))?,
        0x82 => {
            rest.split_first_chunk().map(|(len, r)| (usize::from(u16::from_be_bytes(*len)), r))?
        }
        _ => return None,
    };
    (first == tag).then_some(())?;
    rest.split_at_checked(len)
}

#[cfg(test)]
mod tests {
    use super::to_string;

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
    }

    fn part(oid: &[u8], tag: u8, text: &[u8]) -> Vec<u8> {
        tlv(0x31, &tlv(0x30, &[tlv(6, oid), tlv(tag, text)].concat()))
    }

    #[test]
    fn the_most_specific_part_comes_first() {
        let name = [
            part(&[0x55, 4, 6], 0x13, b"FI"),
            part(&[0x55, 4, 10], 0x0c, "\u{e9}, Inc".as_bytes()),
            part(&[0x55, 4, 3], 0x0c, b"#alice "),
        ];
        assert_eq!(to_string(&name.concat()).unwrap(), "CN=\\#alice\\ ,O=\u{e9}\\, Inc,C=FI");
    }

    #[test]
    fn what_can_not_be_shown_is_written_in_hexadecimal() {
        let name = [part(&[0x55, 4, 99], 0x0c, b"x\n"), part(&[0x55, 4, 3], 0x1e, &[0, 65])];
        assert_eq!(to_string(&name.concat()).unwrap(), "CN=#1e020041,OID.#550463=x\\0a");
        assert_eq!(to_string(b"").unwrap(), "");
    }

    #[test]
    fn what_is_cut_short_is_no_name() {
        let name = part(&[0x55, 4, 3], 0x0c, b"alice");
        for end in 1..name.len() {
            assert_eq!(to_string(&name[..end]), None, "{end}");
        }
    }
}
