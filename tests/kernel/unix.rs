//! Unix sockets: pathname, abstract, unnamed.

use std::{
    env,
    os::{
        fd::AsFd as _,
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram, UnixListener},
    },
};

use anyhow::Result;
use libc::{ECONNREFUSED, EINVAL, EISCONN, ENOENT, ENOTDIR, EPROTOTYPE};

use crate::support::{
    case::Case,
    sockaddr::{unix, unix_abstract, unix_exactly, unix_unnamed},
    stage::Stage,
    syscall::{bind, listen, socket, unix_stream},
};

pub(crate) const CASES: &[Case] = &[
    Case::exact("unix_pathname", pathname)
        .also_by_functions()
        .brief(),
    Case::exact("unix_path_of_all_108_bytes", longest_path).also_by_functions(),
    Case::exact("unix_abstract", abstract_name).also_by_functions(),
    Case::exact("unix_unnamed", unnamed).also_by_functions(),
];

/// Size of `sun_path`.
const SUN_PATH: usize = 108;

fn pathname(stage: &Stage) -> Result<()> {
    env::set_current_dir(stage.directory())?;
    let listener = UnixListener::bind("listening")?;
    let client = unix_stream()?;
    stage.expect(0, &client, &unix(b"listening"))?;
    stage.expect(EISCONN, &client, &unix(b"listening"))?;
    stage.expect(0, &unix_stream()?, &unix(b"./listening"))?;
    // Without its NUL, with bytes after its NUL, and with all 110 bytes, as libraries pass it.
    stage.expect(
        0,
        &unix_stream()?,
        &unix_exactly(b"listening", b"listening"),
    )?;
    stage.expect(
        0,
        &unix_stream()?,
        &unix_exactly(b"listening\0\xff\n", b"listening"),
    )?;
    let mut padded = [0; SUN_PATH];
    padded[..9].copy_from_slice(b"listening");
    stage.expect(0, &unix_stream()?, &unix_exactly(&padded, b"listening"))?;

    drop(listener);
    stage.expect(ECONNREFUSED, &unix_stream()?, &unix(b"listening"))?;
    stage.expect(ENOENT, &unix_stream()?, &unix(b"missing"))?;
    stage.expect(ENOTDIR, &unix_stream()?, &unix(b"listening/below"))?;
    let _datagrams = UnixDatagram::bind("datagrams")?;
    stage.expect(EPROTOTYPE, &unix_stream()?, &unix(b"datagrams"))?;
    let datagram = socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0)?;
    stage.expect(0, &datagram, &unix(b"datagrams"))?;
    let packet = socket(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0)?;
    stage.expect(EPROTOTYPE, &packet, &unix(b"datagrams"))
}

/// The kernel takes a path that fills `sun_path` and has no NUL.
fn longest_path(stage: &Stage) -> Result<()> {
    env::set_current_dir(stage.directory())?;
    let path = [b'p'; SUN_PATH];
    let address = unix_exactly(&path, &path);
    let listener = unix_stream()?;
    bind(listener.as_fd(), &address.bytes)?;
    listen(listener.as_fd(), 1)?;
    stage.expect(0, &unix_stream()?, &address)?;
    // One byte shorter: another file.
    stage.expect(
        ENOENT,
        &unix_stream()?,
        &unix_exactly(&path[1..], &path[1..]),
    )?;
    // One byte longer: no unix address any more, but what was passed is shown.
    let longer = [b'p'; SUN_PATH + 1];
    stage.expect(EINVAL, &unix_stream()?, &unix_exactly(&longer, &longer))
}

fn abstract_name(stage: &Stage) -> Result<()> {
    let mut longest = [b'a'; SUN_PATH - 1];
    longest[50] = 0;
    for name in [
        &b"name"[..],
        b"with \0 and \n",
        b"trailing\0\0",
        b"\0",
        b"@",
        &longest,
    ] {
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
        stage.expect(0, &unix_stream()?, &unix_abstract(name))?;
        drop(listener);
        stage.expect(ECONNREFUSED, &unix_stream()?, &unix_abstract(name))?;
    }
    // Every byte of an abstract name counts, also a NUL at its end.
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(b"short")?)?;
    stage.expect(ECONNREFUSED, &unix_stream()?, &unix_abstract(b"short\0"))?;
    // A name of no bytes.
    stage.expect(ECONNREFUSED, &unix_stream()?, &unix_abstract(b""))
}

fn unnamed(stage: &Stage) -> Result<()> {
    stage.expect(EINVAL, &unix_stream()?, &unix_unnamed())?;
    let datagram = socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0)?;
    stage.expect(EINVAL, &datagram, &unix_unnamed())
}
