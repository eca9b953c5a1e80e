//! `AF_QIPCRTR`: `struct sockaddr_qrtr` of `linux/qrtr.h`, the Qualcomm IPC router.

use super::{bytes::at, decoded::Address};

/// | offset | field | |
/// |---|---|---|
/// | 4 | `sq_node` | u32, host order |
/// | 8 | `sq_port` | u32, host order |
pub(super) fn decode(bytes: &[u8]) -> Option<Address> {
    let node = u32::from_ne_bytes(at(bytes, 4)?);
    let port = u32::from_ne_bytes(at(bytes, 8)?);
    Some(Address::notation(format!("node={node},port={port}")))
}

#[cfg(test)]
mod tests {
    use super::{super::testing::*, *};

    #[test]
    fn node_and_port() {
        let fields: &[&[u8]] = &[&[0xff; 2], &1_u32.to_ne_bytes(), &[0xff; 4]];
        let expected = "node=1,port=4294967295".to_owned();
        assert_shortest(42, fields, Address::notation(expected));
    }
}
