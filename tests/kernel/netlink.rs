//! Netlink: the peer is a port and multicast groups.

use anyhow::Result;
use libc::{AF_NETLINK, EINVAL, NETLINK_ROUTE, SOCK_RAW};

use crate::support::{
    case::Case,
    sockaddr::{Sockaddr, loopback, netlink},
    stage::Stage,
    syscall::socket,
};

pub(crate) const CASES: &[Case] = &[Case::exact("netlink_peers", peers)];

fn peers(stage: &Stage) -> Result<()> {
    let client = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)?;
    stage.expect(0, &client, &netlink(0, 0))?;
    stage.expect(0, &client, &netlink(4_000_000_000, 0))?;
    stage.expect(0, &client, &netlink(0, 1))?;
    stage.expect(0, &client, &netlink(17, 0x8000_0001))?;
    stage.expect(EINVAL, &client, &loopback(1))?;
    let short = Sockaddr::raw(&netlink(17, 0).bytes[..11], Some("AF_NETLINK"));
    stage.expect(EINVAL, &client, &short)
}
