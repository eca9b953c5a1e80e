//! Calls that return without saying what becomes of their attempt: `EINTR`, and TCP Fast Open's 0.

use std::{io::Write as _, net::TcpStream, os::fd::OwnedFd, thread};

use anyhow::{Context as _, Result, ensure};
use libc::{ECONNREFUSED, EINTR, IPPROTO_TCP};
use rustix::{process::getpid, thread::gettid};

use super::{listener, wait};
use crate::{
    interrupted::peer::Deaf,
    support::{
        attempt::Settlement,
        case::Case,
        child::{await_blocked, join},
        network::{SILENT, route_to_silence},
        option, signal,
        sockaddr::{Sockaddr, inet, loopback},
        stage::Stage,
        syscall::tcp,
    },
};

pub(crate) const CASES: &[Case] = &[
    Case::outcomes("interrupted_and_then_established", interrupted),
    Case::outcomes("interrupted_and_then_abandoned", interrupted_and_closed),
    Case::outcomes("fast_open_established_by_a_write", fast_open),
    Case::outcomes("fast_open_refused_at_a_write", fast_open_refused),
    Case::outcomes("fast_open_never_written_is_abandoned", fast_open_unused),
];

/// `connect` may return before there is anything to say (`include/uapi/linux/tcp.h`).
const TCP_FASTOPEN_CONNECT: i32 = 30;

fn interrupted(stage: &Stage) -> Result<()> {
    let deaf = Deaf::new(9)?;
    let socket = tcp()?;
    interrupt(stage, &socket, &deaf.address)?;
    deaf.hear()?;
    ensure!(wait(&socket)? == 0, "not connected");
    stage.settled(&socket, &deaf.address, Settlement::Established)
}

fn interrupted_and_closed(stage: &Stage) -> Result<()> {
    route_to_silence()?;
    let (socket, address) = (tcp()?, inet(SILENT, 80));
    interrupt(stage, &socket, &address)?;
    stage.settled(&socket, &address, Settlement::Abandoned)
}

/// A call of this thread that ends with EINTR.
fn interrupt(stage: &Stage, socket: &OwnedFd, address: &Sockaddr) -> Result<()> {
    signal::handle(libc::SIGUSR1, 0, signal::count)?;
    let caller = gettid();
    thread::scope(|scope| {
        let sender = scope.spawn(move || {
            await_blocked(getpid(), caller)?;
            signal::send_counted(caller, libc::SIGUSR1)
        });
        stage.expect(EINTR, socket, address)?;
        join(sender)
    })
}

/// Returns 0 without having sent anything, when the peer's cookie is known or none is needed.
fn begin(stage: &Stage, address: &Sockaddr) -> Result<TcpStream> {
    // Client; without a cookie, as nobody has given one.
    option::sysctl("ipv4/tcp_fastopen", "5")?;
    let socket = TcpStream::from(tcp()?);
    option::set(&socket, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &1_i32)?;
    stage.expect(0, &socket, address)?;
    Ok(socket)
}

fn fast_open(stage: &Stage) -> Result<()> {
    let (_listener, address) = listener()?;
    let mut socket = begin(stage, &address)?;
    socket.write_all(b"hello")?;
    stage.settled(&socket, &address, Settlement::Established)
}

fn fast_open_refused(stage: &Stage) -> Result<()> {
    let address = loopback(9);
    let mut socket = begin(stage, &address)?;
    let error = socket.write(b"hello").err().context("nobody has refused")?;
    ensure!(error.raw_os_error() == Some(ECONNREFUSED), "{error}");
    stage.settled(&socket, &address, Settlement::Failed(ECONNREFUSED))
}

fn fast_open_unused(stage: &Stage) -> Result<()> {
    let (_listener, address) = listener()?;
    let socket = begin(stage, &address)?;
    stage.settled(&socket, &address, Settlement::Abandoned)
}
