//! `AF_BLUETOOTH`: five structs of `include/net/bluetooth/` in the kernel.

use super::{
    bytes::{Hex, at},
    decoded::Address,
};

/// Nothing in the bytes names the protocol; their number does:
///
/// | length | struct | fields |
/// |---|---|---|
/// | 6 | `sockaddr_hci` | u16 device at 2, u16 channel at 4, both host order |
/// | 8 | `sockaddr_sco` | bdaddr at 2 |
/// | 10 | `sockaddr_rc` (RFCOMM) | bdaddr at 2, u8 channel at 8 |
/// | 12 to 14 | `sockaddr_l2` | u16 psm at 2, bdaddr at 4, u16 cid at 10, both little-endian |
///
/// `sockaddr_iso` is 10 bytes too, with the type of its address (1 and 2 for low energy) in place
/// of the channel, and is read as RFCOMM.
pub(super) fn decode(bytes: &[u8]) -> Option<Address> {
    Some(Address::notation(match bytes.len() {
        6 => {
            let device = u16::from_ne_bytes(at(bytes, 2)?);
            let channel = u16::from_ne_bytes(at(bytes, 4)?);
            format!("hci={device},channel={channel}")
        }
        8 => bdaddr(bytes, 2)?,
        10 => {
            let [channel] = at(bytes, 8)?;
            format!("{},channel={channel}", bdaddr(bytes, 2)?)
        }
        12..=14 => {
            let psm = u16::from_le_bytes(at(bytes, 2)?);
            let cid = u16::from_le_bytes(at(bytes, 10)?);
            format!("{},psm={psm},cid={cid}", bdaddr(bytes, 4)?)
        }
        _ => return None,
    }))
}

/// A device address (`bdaddr_t`): 6 bytes, stored in reverse of the order they are written in.
fn bdaddr(bytes: &[u8], offset: usize) -> Option<String> {
    let mut written: [u8; 6] = at(bytes, offset)?;
    written.reverse();
    Some(Hex(&written, ":").to_string())
}

#[cfg(test)]
mod tests {
    use super::super::{decode, testing::*};

    /// 00:1a:7d:da:71:13.
    const BDADDR: &[u8] = &[0x13, 0x71, 0xda, 0x7d, 0x1a, 0x00];

    #[test]
    fn by_length() {
        let hci: &[&[u8]] = &[&1_u16.to_ne_bytes(), &3_u16.to_ne_bytes()];
        let l2cap: &[&[u8]] = &[&[0x19, 0x00], BDADDR, &[0x40, 0x01]];
        for (fields, expected) in [
            (hci.concat(), "hci=1,channel=3"),
            (BDADDR.to_vec(), "00:1a:7d:da:71:13"),
            ([BDADDR, &[22, 0]].concat(), "00:1a:7d:da:71:13,channel=22"),
            (l2cap.concat(), "00:1a:7d:da:71:13,psm=25,cid=320"),
            (
                [&l2cap.concat()[..], &[1]].concat(),
                "00:1a:7d:da:71:13,psm=25,cid=320",
            ),
            (
                [&l2cap.concat()[..], &[1, 0]].concat(),
                "00:1a:7d:da:71:13,psm=25,cid=320",
            ),
        ] {
            assert_eq!(decode(&sockaddr(31, &[&fields])).destination(), expected);
        }
    }

    #[test]
    fn of_no_known_length() {
        for length in [2, 3, 4, 5, 7, 9, 11, 15, 16, 128] {
            let address = decode(&sockaddr(31, &[&vec![0; length - 2]]));
            assert_eq!(address.peer_address, None, "{length}");
            assert!(address.raw.is_some(), "{length}");
        }
    }
}
