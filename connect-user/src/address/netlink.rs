//! `AF_NETLINK`: `struct sockaddr_nl`, netlink(7).

use super::{bytes::at, decoded::Address};

/// | offset | field | |
/// |---|---|---|
/// | 4 | `nl_pid` | u32, host order: a port id, 0 is the kernel |
/// | 8 | `nl_groups` | u32, host order: a mask of multicast groups |
pub(super) fn decode(bytes: &[u8]) -> Option<Address> {
    let pid = u32::from_ne_bytes(at(bytes, 4)?);
    let groups = u32::from_ne_bytes(at(bytes, 8)?);
    Some(Address::notation(format!("pid={pid},groups={groups}")))
}

#[cfg(test)]
mod tests {
    use super::{super::testing::*, *};

    #[test]
    fn pid_and_groups() {
        let fields: &[&[u8]] = &[&[0xff; 2], &42_u32.to_ne_bytes(), &[0xff; 4]];
        let expected = "pid=42,groups=4294967295".to_owned();
        assert_shortest(16, fields, Address::notation(expected));
        assert_shortest(
            16,
            &[&[0; 10]],
            Address::notation("pid=0,groups=0".to_owned()),
        );
    }
}
