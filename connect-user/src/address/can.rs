//! `AF_CAN`: `struct sockaddr_can` of `linux/can.h`.

use super::{bytes::at, decoded::Address};

/// | offset | field | |
/// |---|---|---|
/// | 4 | `can_ifindex` | i32, host order: 0 is any interface |
/// | 8 | `rx_id` | u32, host order: a CAN id with its flags |
/// | 12 | `tx_id` | u32, host order: likewise |
///
/// The address of a J1939 socket shares the bytes from 8 on: the two ids are then the halves of
/// its u64 name, and its u32 PGN at 16 and u8 address at 20 are not shown. Nothing in the bytes
/// shows the protocol.
pub(super) fn decode(bytes: &[u8]) -> Option<Address> {
    let ifindex = i32::from_ne_bytes(at(bytes, 4)?);
    let id = |offset| at(bytes, offset).map(u32::from_ne_bytes);
    Some(Address::notation(match (id(8), id(12)) {
        (Some(rx), Some(tx)) => format!("ifindex={ifindex},rx_id={rx:#x},tx_id={tx:#x}"),
        _ => format!("ifindex={ifindex}"),
    }))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{decode, testing::*},
        *,
    };

    const INTERFACE: &[u8] = &5_i32.to_ne_bytes();

    #[test]
    fn interface() {
        let expected = Address::notation("ifindex=5".to_owned());
        assert_shortest(29, &[&[0xff; 2], INTERFACE], expected);
    }

    #[test]
    fn ids_when_both_are_there() {
        let ids = [0x123_u32.to_ne_bytes(), 0x8000_0321_u32.to_ne_bytes()].concat();
        let destination =
            |ids: &[u8]| decode(&sockaddr(29, &[&[0; 2], INTERFACE, ids])).destination();
        let expected = "ifindex=5,rx_id=0x123,tx_id=0x80000321";
        assert_eq!(destination(&ids), expected);
        assert_eq!(destination(&[ids, vec![0xff; 8]].concat()), expected);
        assert_eq!(destination(&[0xff; 7]), "ifindex=5");
    }
}
