//! `AF_INET`: `struct sockaddr_in`, ip(7).

use std::net::Ipv4Addr;

use super::{bytes::at, decoded::Address};

/// | offset | field | |
/// |---|---|---|
/// | 2 | `sin_port` | u16, big-endian |
/// | 4 | `sin_addr` | 4 bytes, in the order they are written |
/// | 8 | `sin_zero` | 8 bytes that mean nothing, but the kernel refuses fewer |
pub(super) fn decode(bytes: &[u8]) -> Option<Address> {
    let bytes = bytes.first_chunk::<16>()?;
    Some(Address {
        network_type: Some("ipv4"),
        peer_address: Some(Ipv4Addr::from(at::<4>(bytes, 4)?).to_string()),
        peer_port: Some(u16::from_be_bytes(at(bytes, 2)?).into()),
        ..Address::default()
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{decode, testing::*},
        *,
    };

    #[test]
    fn address_and_port() {
        let fields: &[&[u8]] = &[&80_u16.to_be_bytes(), &[127, 0, 0, 1], &[0xff; 8]];
        assert_shortest(
            2,
            fields,
            Address {
                network_type: Some("ipv4"),
                peer_address: Some("127.0.0.1".to_owned()),
                peer_port: Some(80),
                ..Address::default()
            },
        );
        assert_eq!(decode(&sockaddr(2, fields)).destination(), "127.0.0.1:80");
    }

    #[test]
    fn all_zero_is_still_an_address() {
        assert_eq!(decode(&sockaddr(2, &[&[0; 14]])).destination(), "0.0.0.0:0");
    }
}
