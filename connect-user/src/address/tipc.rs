//! `AF_TIPC`: `struct sockaddr_tipc` of `linux/tipc.h`.

use super::{bytes::at, decoded::Address};

/// | offset | field | |
/// |---|---|---|
/// | 2 | `addrtype` | u8: 1 service range, 2 service, 3 socket |
/// | 3 | `scope` | i8: 2 cluster (0 as well), 3 node |
/// | 4 | `addr` | three u32 in host order, each named by the type: type, lower, upper of a range; type, instance, domain of a service; ref and node of a socket |
///
/// The domain of a service is the node to look it up at, and shown unless it is 0: any.
pub(super) fn decode(bytes: &[u8]) -> Option<Address> {
    let [addrtype] = at(bytes, 2)?;
    let scope = i8::from_ne_bytes(at(bytes, 3)?);
    let one = u32::from_ne_bytes(at(bytes, 4)?);
    let two = u32::from_ne_bytes(at(bytes, 8)?);
    let three = u32::from_ne_bytes(at(bytes, 12)?);
    Some(Address::notation(match (addrtype, three) {
        (1, _) => format!("range={one}:{two}-{three},scope={scope}"),
        (2, 0) => format!("service={one}:{two},scope={scope}"),
        (2, _) => format!("service={one}:{two},scope={scope},domain={three}"),
        (3, _) => format!("socket={two}:{one},scope={scope}"),
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::{super::testing::*, *};

    #[test]
    fn by_type() {
        for (addrtype, scope, words, expected) in [
            (1, 3, [18888, 1, 9], "range=18888:1-9,scope=3"),
            (2, 2, [18888, 17, 0], "service=18888:17,scope=2"),
            (2, 0, [18888, 17, 5], "service=18888:17,scope=0,domain=5"),
            (3, 255, [42, 7, 9], "socket=7:42,scope=-1"),
        ] {
            let words = words.map(u32::to_ne_bytes).concat();
            let expected = Address::notation(expected.to_owned());
            assert_shortest(30, &[&[addrtype, scope], &words], expected);
        }
    }
}
