//! TCP over IPv4.

use std::{net::TcpListener, os::fd::AsFd as _};

use anyhow::Result;
use libc::{ECONNREFUSED, EINPROGRESS, EISCONN, ENETUNREACH, SOCK_NONBLOCK, SOCK_STREAM};
use rustix::event::{PollFd, PollFlags, poll};

use crate::support::{
    case::Case,
    sockaddr::{inet, loopback},
    stage::Stage,
    syscall::{bind, socket, tcp},
};

pub(crate) const CASES: &[Case] = &[
    Case::exact("tcp_success_and_failure", blocking)
        .also_by_functions()
        .brief(),
    Case::exact("tcp_not_blocking", not_blocking).also_by_functions(),
];

fn blocking(stage: &Stage) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let client = tcp()?;
    stage.expect(0, &client, &loopback(port))?;
    stage.expect(EISCONN, &client, &loopback(port))?;
    // The address passed is shown, not the one that the kernel takes for it.
    stage.expect(0, &tcp()?, &inet([0, 0, 0, 0], port))?;

    // Bound, so that nobody else can have it, but nobody listens.
    let deaf = tcp()?;
    bind(deaf.as_fd(), &loopback(9).bytes)?;
    stage.expect(ECONNREFUSED, &tcp()?, &loopback(9))?;
    stage.expect(ECONNREFUSED, &tcp()?, &loopback(0))?;
    stage.expect(ENETUNREACH, &tcp()?, &inet([192, 0, 2, 1], 65535))
}

fn not_blocking(stage: &Stage) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = loopback(listener.local_addr()?.port());
    let client = socket(libc::AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)?;
    stage.expect(EINPROGRESS, &client, &address)?;
    poll(&mut [PollFd::new(&client, PollFlags::OUT)], None)?;
    stage.expect(0, &client, &address)?;
    stage.expect(EISCONN, &client, &address)?;

    let refused = socket(libc::AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)?;
    stage.expect(EINPROGRESS, &refused, &loopback(9))?;
    poll(&mut [PollFd::new(&refused, PollFlags::OUT)], None)?;
    stage.expect(ECONNREFUSED, &refused, &loopback(9))
}
