//! What the tests of the decoders share.

use super::{bytes::Hex, decode, decoded::Address, family_label};

/// A sockaddr: the family, then its fields.
pub(super) fn sockaddr(family: u16, fields: &[&[u8]]) -> Vec<u8> {
    [&family.to_ne_bytes(), fields.concat().as_slice()].concat()
}

/// Checks the shortest sockaddr of its kind: it decodes to `expected`, so it does with one byte
/// more, and with one byte less it is shown raw.
pub(super) fn assert_shortest(family: u16, fields: &[&[u8]], expected: Address) {
    let expected = Address {
        family: Some(family_label(family)),
        ..expected
    };
    let mut bytes = sockaddr(family, fields);
    assert_eq!(decode(&bytes), expected);

    bytes.push(0xff);
    assert_eq!(decode(&bytes), expected, "one byte more");

    bytes.truncate(bytes.len() - 2);
    let raw = Address {
        family: expected.family,
        raw: Some(Hex(&bytes, "").to_string()),
        ..Address::default()
    };
    assert_eq!(decode(&bytes), raw, "one byte less");
}
