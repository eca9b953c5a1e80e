//! `AF_VSOCK`: `struct sockaddr_vm`, vsock(7).

use super::{bytes::at, decoded::Address};

/// | offset | field | |
/// |---|---|---|
/// | 4 | `svm_port` | u32, host order |
/// | 8 | `svm_cid` | u32, host order: a context id, 2 is the host |
/// | 12 | `svm_flags`, `svm_zero` | not shown, but the kernel refuses fewer than 16 bytes |
pub(super) fn decode(bytes: &[u8]) -> Option<Address> {
    let bytes = bytes.first_chunk::<16>()?;
    Some(Address {
        peer_address: Some(u32::from_ne_bytes(at(bytes, 8)?).to_string()),
        peer_port: Some(u32::from_ne_bytes(at(bytes, 4)?)),
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
    fn cid_and_port() {
        let port = 70_000_u32.to_ne_bytes();
        let fields: &[&[u8]] = &[&[0xff; 2], &port, &2_u32.to_ne_bytes(), &[0; 4]];
        assert_shortest(
            40,
            fields,
            Address {
                peer_address: Some("2".to_owned()),
                peer_port: Some(70_000),
                ..Address::default()
            },
        );
        assert_eq!(decode(&sockaddr(40, fields)).destination(), "2:70000");
    }
}
