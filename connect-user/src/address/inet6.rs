//! `AF_INET6`: `struct sockaddr_in6`, ipv6(7).

use std::net::Ipv6Addr;

use super::{bytes::at, decoded::Address};

/// | offset | field | |
/// |---|---|---|
/// | 2 | `sin6_port` | u16, big-endian |
/// | 4 | `sin6_flowinfo` | u32, not shown |
/// | 8 | `sin6_addr` | 16 bytes, in the order they are written |
/// | 24 | `sin6_scope_id` | u32, host order: an interface index; 0 is none |
///
/// An IPv4-mapped address (`::ffff:a.b.c.d`) is the IPv4 address that the kernel connects to, and has no scope.
///
/// The kernel accepts 24 bytes, which is the struct before it had a scope (`SIN6_LEN_RFC2133`).
pub(super) fn decode(bytes: &[u8]) -> Option<Address> {
    let ip = Ipv6Addr::from(at::<16>(bytes, 8)?);
    let port = Some(u16::from_be_bytes(at(bytes, 2)?).into());
    if let Some(mapped) = ip.to_ipv4_mapped() {
        return Some(Address {
            network_type: Some("ipv4"),
            peer_address: Some(mapped.to_string()),
            peer_port: port,
            ..Address::default()
        });
    }
    let scope = at(bytes, 24).map_or(0, u32::from_ne_bytes);
    Some(Address {
        network_type: Some("ipv6"),
        peer_address: Some(match scope {
            0 => ip.to_string(),
            _ => format!("{ip}%{scope}"),
        }),
        peer_port: port,
        ..Address::default()
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{decode, testing::*},
        *,
    };

    const PORT: [u8; 2] = 443_u16.to_be_bytes();
    const FLOW: [u8; 4] = [0xff; 4];
    const LINK_LOCAL: [u8; 16] = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).octets();

    #[test]
    fn without_room_for_a_scope() {
        assert_shortest(
            10,
            &[&PORT, &FLOW, &LINK_LOCAL],
            Address {
                network_type: Some("ipv6"),
                peer_address: Some("fe80::1".to_owned()),
                peer_port: Some(443),
                ..Address::default()
            },
        );
    }

    #[test]
    fn scope() {
        let two: &[u8] = &2_u32.to_ne_bytes();
        for (scope, expected) in [
            (&[0; 4][..], "[fe80::1]:443"),
            (two, "[fe80::1%2]:443"),
            (&[0xff; 3], "[fe80::1]:443"),
            (&[two, &[0xff; 100]].concat(), "[fe80::1%2]:443"),
        ] {
            let bytes = sockaddr(10, &[&PORT, &FLOW, &LINK_LOCAL, scope]);
            assert_eq!(decode(&bytes).destination(), expected);
        }
    }

    #[test]
    fn mapped_is_the_ipv4_that_it_is() {
        let mapped = Ipv6Addr::from_bits(0xffff_7f00_0001).octets();
        let lengths: [&[u8]; 3] = [&[], &[0; 4], &[7; 4]];
        for scope in lengths {
            let address = decode(&sockaddr(10, &[&PORT, &FLOW, &mapped, scope]));
            assert_eq!(address.family.as_deref(), Some("AF_INET6"));
            assert_eq!(address.network_type, Some("ipv4"));
            assert_eq!(address.destination(), "127.0.0.1:443");
        }
        // IPv4-compatible, and so close to mapped: neither is.
        for not_mapped in [0x7f00_0001, 0xfffe_7f00_0001, 0x1_ffff_7f00_0001] {
            let bytes = Ipv6Addr::from_bits(not_mapped).octets();
            let address = decode(&sockaddr(10, &[&PORT, &FLOW, &bytes]));
            assert_eq!(address.network_type, Some("ipv6"));
        }
    }
}
