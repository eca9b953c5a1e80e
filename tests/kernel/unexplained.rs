//! Attempts that no connect call makes: sendto(2) with `MSG_FASTOPEN`.

use std::{net::TcpListener, os::fd::AsRawFd};

use anyhow::{Result, ensure};
use libc::{ECONNREFUSED, MSG_FASTOPEN};

use crate::support::{
    attempt::Settlement,
    case::Case,
    sockaddr::{Sockaddr, loopback, mapped},
    stage::Stage,
    syscall::{self, socket},
};

pub(crate) const CASES: &[Case] = &[
    Case::outcomes("fast_open_by_sendto", fast_open).brief(),
    Case::new(
        "fast_open_is_of_its_family",
        |case| {
            let observation = case.run(&["--family", "inet6"])?;
            ensure!(observation.outcomes.is_empty(), "{observation:?}");
            Ok(())
        },
        fast_open,
    ),
    // Of an IPv4-mapped address, that is IPv4.
    Case::outcomes("fast_open_to_ipv4_by_ipv6", mapped_fast_open),
    Case::new(
        "fast_open_to_ipv4_by_ipv6_is_ipv4",
        Case::assert_ipv4,
        mapped_fast_open,
    ),
];

fn fast_open(stage: &Stage) -> Result<()> {
    fast_open_by(stage, libc::AF_INET, loopback)
}

fn mapped_fast_open(stage: &Stage) -> Result<()> {
    fast_open_by(stage, libc::AF_INET6, |port| mapped([127, 0, 0, 1], port))
}

/// By sockets of this family, to a port of 127.0.0.1.
fn fast_open_by(stage: &Stage, family: i32, address: impl Fn(u16) -> Sockaddr) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let there = address(listener.local_addr()?.port());
    let tcp = || socket(family, libc::SOCK_STREAM, 0);
    // Twice: only the second knows the cookie of the other end, if it gives any.
    for _ in 0..2 {
        let client = tcp()?;
        ensure!(send(&client, &there) == 0, "not sent");
        stage.unexplained(&there, Settlement::Established)?;
    }
    let refusing = address(9);
    let client = tcp()?;
    let errno = send(&client, &refusing);
    ensure!(errno == ECONNREFUSED, "errno {errno}");
    stage.unexplained(&refusing, Settlement::Failed(ECONNREFUSED))?;
    // One with a call, so that there is something to compare.
    stage.expect(0, &tcp()?, &there)
}

fn send(socket: &impl AsRawFd, address: &Sockaddr) -> i32 {
    syscall::send_to(socket.as_raw_fd(), b"hello", MSG_FASTOPEN, &address.bytes)
}
