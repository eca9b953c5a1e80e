//! Errors that come back while the connecting call has its socket locked, from the same host: the kernel keeps them
//! aside (`sk_err_soft`), for whoever reads `SO_ERROR`.

use std::{net::TcpStream, os::fd::AsRawFd as _};

use anyhow::{Result, ensure};
use libc::{EHOSTUNREACH, SO_ERROR, SOL_SOCKET};
use rustix::event::{PollFd, PollFlags, poll};

use super::begin;
use crate::support::{
    attempt::Settlement,
    case::Case,
    feature::ETHERNET,
    network::{Neighbour, REFUSED, SILENT, gateway_without_a_route, route_to_silence},
    option,
    sockaddr::{Sockaddr, inet, unspec},
    stage::Stage,
};

pub(crate) const CASES: &[Case] = &[
    Case::outcomes("soft_error_that_was_read_is_a_failure", read)
        .needs(&ETHERNET)
        .also_by_functions()
        .brief(),
    Case::outcomes("soft_error_that_nobody_read_stands_beside", unread)
        .needs(&ETHERNET)
        .also_by_functions(),
    Case::outcomes("soft_error_that_was_asked_for_again_is_one_failure", again).needs(&ETHERNET),
    Case::outcomes(
        "soft_error_of_an_earlier_attempt_is_not_that_of_the_next",
        earlier,
    )
    .needs(&ETHERNET),
];

/// An attempt to which a gateway says in the call that there is no such host, as poll(2) knows then.
fn refused() -> Result<(Neighbour, Sockaddr)> {
    Ok((gateway_without_a_route()?, inet(REFUSED, 80)))
}

/// Waits for an error, without reading it.
fn await_error(socket: &TcpStream) -> Result<()> {
    let mut polled = [PollFd::new(socket, PollFlags::OUT)];
    poll(&mut polled, None)?;
    ensure!(polled[0].revents().contains(PollFlags::ERR), "no error");
    Ok(())
}

fn read_error(socket: &TcpStream) -> Result<()> {
    let errno: i32 = option::get(socket.as_raw_fd(), SOL_SOCKET, SO_ERROR)?;
    ensure!(errno == EHOSTUNREACH, "SO_ERROR is {errno}");
    Ok(())
}

fn read(stage: &Stage) -> Result<()> {
    let (_gateway, address) = refused()?;
    let socket = begin(stage, &address)?;
    await_error(&socket)?;
    read_error(&socket)?;
    stage.settled(&socket, &address, Settlement::Failed(EHOSTUNREACH))
}

fn unread(stage: &Stage) -> Result<()> {
    let (_gateway, address) = refused()?;
    let socket = begin(stage, &address)?;
    await_error(&socket)?;
    stage.settled(&socket, &address, Settlement::AbandonedWith(EHOSTUNREACH))
}

fn again(stage: &Stage) -> Result<()> {
    let (_gateway, address) = refused()?;
    let socket = begin(stage, &address)?;
    await_error(&socket)?;
    stage.expect(libc::EALREADY, &socket, &address)?;
    read_error(&socket)?;
    stage.settled(&socket, &address, Settlement::Failed(EHOSTUNREACH))
}

/// The kernel keeps the error when the socket is dissolved.
fn earlier(stage: &Stage) -> Result<()> {
    let (_gateway, address) = refused()?;
    route_to_silence()?;
    let socket = begin(stage, &address)?;
    await_error(&socket)?;
    stage.expect(0, &socket, &unspec(16))?;
    stage.settled(&socket, &address, Settlement::AbandonedWith(EHOSTUNREACH))?;
    let silent = inet(SILENT, 80);
    stage.expect(libc::EINPROGRESS, &socket, &silent)?;
    read_error(&socket)?;
    stage.settled(&socket, &silent, Settlement::Abandoned)
}
