//! `AF_PACKET`: `struct sockaddr_ll`, packet(7).

use super::{
    bytes::{Hex, at},
    decoded::Address,
};

/// | offset | field | |
/// |---|---|---|
/// | 2 | `sll_protocol` | u16, big-endian: an Ethernet protocol number |
/// | 4 | `sll_ifindex` | i32, host order |
/// | 11 | `sll_halen` | u8: length of the address |
/// | 12 | `sll_addr` | 8 bytes, or more where hardware addresses are longer |
pub(super) fn decode(bytes: &[u8]) -> Option<Address> {
    let protocol = u16::from_be_bytes(at(bytes, 2)?);
    let ifindex = i32::from_ne_bytes(at(bytes, 4)?);
    let [halen] = at(bytes, 11)?;
    let there = bytes.get(12..)?;
    let address = match there.get(..halen.into()).unwrap_or(there) {
        [] => String::new(),
        address => format!(",address={}", Hex(address, ":")),
    };
    Some(Address::notation(format!(
        "protocol={protocol:#06x},ifindex={ifindex}{address}"
    )))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{decode, testing::*},
        *,
    };

    /// Destination of a sockaddr with this address, and this length of it.
    fn destination(halen: u8, address: &[u8]) -> String {
        let head: &[&[u8]] = &[&[0x08, 0x00], &2_i32.to_ne_bytes(), &[0xff; 3], &[halen]];
        decode(&sockaddr(17, &[&head.concat(), address])).destination()
    }

    #[test]
    fn without_an_address() {
        let fields: &[&[u8]] = &[&[0x88, 0xcc], &(-1_i32).to_ne_bytes(), &[0xff; 3], &[0]];
        let expected = "protocol=0x88cc,ifindex=-1".to_owned();
        assert_shortest(17, fields, Address::notation(expected));
    }

    #[test]
    fn as_much_of_the_address_as_is_there() {
        let mac = [0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
        for (halen, address, expected) in [
            (6, &mac[..], ",address=aa:bb:cc:dd:ee:ff"),
            (6, &[mac, mac].concat(), ",address=aa:bb:cc:dd:ee:ff"),
            (2, &mac, ",address=aa:bb"),
            (255, &mac, ",address=aa:bb:cc:dd:ee:ff"),
            (255, &[], ""),
            (0, &mac, ""),
        ] {
            let expected = format!("protocol=0x0800,ifindex=2{expected}");
            assert_eq!(destination(halen, address), expected);
        }
    }
}
