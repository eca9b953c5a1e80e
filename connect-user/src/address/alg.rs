//! `AF_ALG`: `struct sockaddr_alg` of `linux/if_alg.h`, the kernel's cryptography.

use super::{bytes::until_nul, decoded::Address};
use crate::escape::Escaped;

/// | offset | field | |
/// |---|---|---|
/// | 2 | `salg_type` | 14 bytes of text |
/// | 16 | `salg_feat`, `salg_mask` | u32 each, not shown |
/// | 24 | `salg_name` | 64 bytes of text; since Linux 4.12 any length from that |
///
/// Both texts end at their first NUL, if they have one.
pub(super) fn decode(bytes: &[u8]) -> Option<Address> {
    let kind = bytes.get(2..16)?;
    let name = bytes.get(24..).filter(|name| name.len() >= 64)?;
    let [kind, name] = [kind, name].map(|text| Escaped(until_nul(text)));
    Some(Address::notation(format!("{kind}:{name}")))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{decode, testing::*},
        *,
    };

    /// `text`, and NULs up to `N` bytes.
    fn padded<const N: usize>(text: &[u8]) -> [u8; N] {
        let mut bytes = text.iter().copied().chain(std::iter::repeat(0));
        std::array::from_fn(|_| bytes.next().unwrap_or_default())
    }

    #[test]
    fn type_and_name() {
        let fields: &[&[u8]] = &[&padded::<14>(b"hash"), &[0xff; 8], &padded::<64>(b"sha256")];
        assert_shortest(38, fields, Address::notation("hash:sha256".to_owned()));
    }

    #[test]
    fn both_are_escaped() {
        let fields: &[&[u8]] = &[&padded::<14>(b"a\n"), &[0; 8], &padded::<64>(b"\\\xff")];
        assert_eq!(decode(&sockaddr(38, fields)).destination(), r"a\x0a:\\\xff");
    }

    #[test]
    fn without_a_nul() {
        let name = [b'n'; 100];
        let fields: &[&[u8]] = &[&[b't'; 14], &[0; 8], &name];
        let expected = format!("{}:{}", "t".repeat(14), "n".repeat(100));
        assert_eq!(decode(&sockaddr(38, fields)).destination(), expected);
    }
}
