//! What every decoder needs to read bytes, and to show them.

use std::fmt::{self, Display, Formatter};

/// The field of `N` bytes at `offset`, for `u32::from_ne_bytes` and its like; `None` when the bytes
/// end before it does.
pub(super) fn at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

/// The bytes before the first NUL, or all of them.
pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Bytes as two lower-case hex digits each, with a separator between them.
pub(super) struct Hex<'a>(pub(super) &'a [u8], pub(super) &'a str);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(bytes, separator) = self;
        let mut before = "";
        for byte in *bytes {
            write!(f, "{before}{byte:02x}")?;
            before = separator;
        }
        Ok(())
    }
}
