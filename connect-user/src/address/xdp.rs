//! `AF_XDP`: `struct sockaddr_xdp` of `linux/if_xdp.h`.

use super::{bytes::at, decoded::Address};

/// | offset | field | |
/// |---|---|---|
/// | 2 | `sxdp_flags` | u16, host order |
/// | 4 | `sxdp_ifindex` | u32, host order |
/// | 8 | `sxdp_queue_id` | u32, host order |
/// | 12 | `sxdp_shared_umem_fd` | u32, not shown |
pub(super) fn decode(bytes: &[u8]) -> Option<Address> {
    let bytes = bytes.first_chunk::<16>()?;
    let flags = u16::from_ne_bytes(at(bytes, 2)?);
    let ifindex = u32::from_ne_bytes(at(bytes, 4)?);
    let queue = u32::from_ne_bytes(at(bytes, 8)?);
    Some(Address::notation(format!(
        "ifindex={ifindex},queue={queue},flags={flags:#x}"
    )))
}

#[cfg(test)]
mod tests {
    use super::{super::testing::*, *};

    #[test]
    fn interface_queue_and_flags() {
        let flags = 0x12_u16.to_ne_bytes();
        let (ifindex, queue) = (3_u32.to_ne_bytes(), 7_u32.to_ne_bytes());
        let expected = Address::notation("ifindex=3,queue=7,flags=0x12".to_owned());
        assert_shortest(44, &[&flags, &ifindex, &queue, &[0xff; 4]], expected);
    }
}
