//! Text that an untrusted application chose, made safe to show.

use std::fmt::{self, Display, Formatter, Write as _};

/// Bytes shown as text where they are printable UTF-8, and as `\xNN` (lower-case hex) elsewhere.
///
/// A backslash is doubled, so that the text can be turned back into the same bytes. What is not
/// printable (control and format characters, separators other than the space, combining marks,
/// unassigned and private code points) could break a line, reorder it or drive a terminal: it is
/// shown byte by byte.
///
/// ```
/// use connect_observer::escape::Escaped;
///
/// assert_eq!(Escaped("/tmp/ä b".as_bytes()).to_string(), "/tmp/ä b");
/// assert_eq!(Escaped(b"a\\b\n\xff").to_string(), r"a\\b\x0a\xff");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for char in chunk.valid().chars() {
                match char {
                    '\\' => f.write_str(r"\\")?,
                    _ if is_printable(char) => f.write_char(char)?,
                    _ => write_hex(f, char.encode_utf8(&mut [0; 4]).as_bytes())?,
                }
            }
            write_hex(f, chunk.invalid())?;
        }
        Ok(())
    }
}

/// Whether `char` may be shown as it is: what `char::escape_debug` leaves alone, and both quotes.
fn is_printable(char: char) -> bool {
    matches!(char, '\'' | '"') || char.escape_debug().len() == 1
}

/// Writes each byte as `\xNN`.
fn write_hex(f: &mut Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, r"\x{byte:02x}"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The inverse of [`Escaped`].
    pub(crate) fn unescape(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = text;
        while let Some((literal, escape)) = rest.split_once('\\') {
            bytes.extend(literal.bytes());
            rest = if let Some(rest) = escape.strip_prefix('\\') {
                bytes.push(b'\\');
                rest
            } else {
                let (digits, rest) = escape.strip_prefix('x').unwrap().split_at(2);
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest
            };
        }
        bytes.extend(rest.bytes());
        bytes
    }

    #[test]
    fn examples() {
        for (bytes, expected) in [
            (&b""[..], ""),
            (b"/run/a b.sock", "/run/a b.sock"),
            (b"it's \"quoted\"", "it's \"quoted\""),
            ("grüße/日本/🦀".as_bytes(), "grüße/日本/🦀"),
            (br"\", r"\\"),
            (br"\x41", r"\\x41"),
            (b"\0\t\r\n\x1b[31m\x7f", r"\x00\x09\x0d\x0a\x1b[31m\x7f"),
            ("\u{85}".as_bytes(), r"\xc2\x85"), // C1: next line
            ("\u{a0}".as_bytes(), r"\xc2\xa0"), // no-break space
            ("\u{202e}".as_bytes(), r"\xe2\x80\xae"), // right-to-left override
            ("\u{2066}".as_bytes(), r"\xe2\x81\xa6"), // left-to-right isolate
            ("\u{200b}".as_bytes(), r"\xe2\x80\x8b"), // zero width space
            ("\u{2028}".as_bytes(), r"\xe2\x80\xa8"), // line separator
            ("\u{feff}".as_bytes(), r"\xef\xbb\xbf"), // byte order mark
            ("e\u{301}".as_bytes(), r"e\xcc\x81"), // combining accent
            ("\u{e000}".as_bytes(), r"\xee\x80\x80"), // private use
            ("\u{378}".as_bytes(), r"\xcd\xb8"), // unassigned
            (b"\xff\xfe", r"\xff\xfe"),         // never UTF-8
            (b"a\xe2\x82", r"a\xe2\x82"),       // cut in the middle
            (b"\xc0\xaf", r"\xc0\xaf"),         // overlong
            (b"\xed\xa0\x80", r"\xed\xa0\x80"), // surrogate
        ] {
            assert_eq!(Escaped(bytes).to_string(), expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn every_char_is_itself_or_escaped() {
        for char in '\0'..=char::MAX {
            let shown = Escaped(char.to_string().as_bytes()).to_string();
            if shown == char.to_string() {
                let debug = char.escape_debug().to_string();
                assert!(debug == shown || "'\"".contains(char), "{debug}");
            } else {
                assert!(shown.starts_with('\\') && shown.is_ascii(), "{shown}");
                assert_eq!(unescape(&shown), char.to_string().as_bytes());
            }
        }
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes: Vec<u8>) {
            prop_assert_eq!(unescape(&Escaped(&bytes).to_string()), bytes);
        }

        #[test]
        fn text_comes_back(text: String) {
            prop_assert_eq!(unescape(&Escaped(text.as_bytes()).to_string()), text.as_bytes());
        }

        #[test]
        fn any_bytes_are_safe(bytes: Vec<u8>) {
            prop_assert!(!Escaped(&bytes).to_string().contains(char::is_control));
        }
    }
}
