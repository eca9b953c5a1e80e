//! UDP over IPv4: connect only sets the peer.

use std::net::UdpSocket;

use anyhow::Result;
use libc::{EACCES, EINVAL, ENETUNREACH};

use crate::support::{
    case::Case,
    sockaddr::{Sockaddr, inet, loopback},
    stage::Stage,
    syscall::udp,
};

pub(crate) const CASES: &[Case] = &[Case::exact("udp_success_and_failure", peers)];

fn peers(stage: &Stage) -> Result<()> {
    let server = UdpSocket::bind("127.0.0.1:0")?;
    let port = server.local_addr()?.port();
    let client = udp()?;
    stage.expect(0, &client, &loopback(port))?;
    // Again, to another peer.
    stage.expect(0, &client, &inet([127, 1, 2, 3], 53))?;
    stage.expect(0, &client, &inet([127, 0, 0, 1], 0))?;
    stage.expect(EACCES, &client, &inet([255, 255, 255, 255], 67))?;
    stage.expect(ENETUNREACH, &client, &inet([203, 0, 113, 9], 123))?;
    let short = Sockaddr::raw(&loopback(port).bytes[..15], Some("AF_INET"));
    stage.expect(EINVAL, &client, &short)
}
