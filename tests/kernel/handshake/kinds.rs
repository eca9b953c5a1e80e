//! Transports other than plain TCP.

use std::{
    net::TcpStream,
    os::fd::{AsFd as _, OwnedFd},
};

use anyhow::{Context as _, Result};
use libc::{ECONNREFUSED, EINPROGRESS, IPPROTO_MPTCP, SOCK_NONBLOCK, SOCK_STREAM};

use super::conclude;
use crate::support::{
    attempt::Settlement,
    case::Case,
    feature::MULTIPATH,
    network::{SILENT, route_to_silence},
    sockaddr::{inet, loopback},
    stage::Stage,
    syscall::{bind, listen, socket},
};

pub(crate) const CASES: &[Case] = &[
    Case::outcomes("multipath_tcp_has_outcomes", multipath).needs(&MULTIPATH),
    Case::outcomes("multipath_tcp_settled_in_the_call", multipath_blocking).needs(&MULTIPATH),
];

fn mptcp(flags: i32) -> Result<OwnedFd> {
    socket(libc::AF_INET, SOCK_STREAM | flags, IPPROTO_MPTCP)
        .context("no Multipath TCP: CONFIG_MPTCP, sysctl net.mptcp.enabled")
}

fn multipath(stage: &Stage) -> Result<()> {
    let listener = mptcp(0)?;
    let address = loopback(7000);
    bind(listener.as_fd(), &address.bytes)?;
    listen(listener.as_fd(), 16)?;
    for (address, errno) in [(&address, 0), (&loopback(9), ECONNREFUSED)] {
        let socket = TcpStream::from(mptcp(SOCK_NONBLOCK)?);
        stage.expect(EINPROGRESS, &socket, address)?;
        conclude(stage, &socket, address, errno)?;
    }
    route_to_silence()?;
    let silent = inet(SILENT, 80);
    let socket = mptcp(SOCK_NONBLOCK)?;
    stage.expect(EINPROGRESS, &socket, &silent)?;
    stage.settled(&socket, &silent, Settlement::Abandoned)
}

fn multipath_blocking(stage: &Stage) -> Result<()> {
    let listener = mptcp(0)?;
    let address = loopback(7000);
    bind(listener.as_fd(), &address.bytes)?;
    listen(listener.as_fd(), 16)?;
    stage.expect(0, &mptcp(0)?, &address)?;
    stage.expect(ECONNREFUSED, &mptcp(0)?, &loopback(9))
}
