//! Permission denied: by the file system, by a route, by a socket without `SO_BROADCAST`.

use std::{
    env, fs,
    net::UdpSocket,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::Path,
};

use anyhow::Result;
use libc::{EACCES, RTN_PROHIBIT};
use rustix::{process::Uid, thread::set_thread_res_uid};

use crate::support::{
    conformance::Proof,
    network::{REFUSED, route_to_refusal},
    sockaddr::{inet, unix},
    stage::Stage,
    syscall::{tcp, udp, unix_stream},
};

pub(super) const UNIX: &[Proof] = &[
    Proof::new(
        "errno_eacces_unix_no_write_permission",
        "unix: the user may not write to the socket file",
        no_write_permission,
    ),
    Proof::new(
        "errno_eacces_unix_no_search_permission",
        "unix: the user may not search a directory of the path",
        no_search_permission,
    ),
];

pub(super) const NETWORK: &[Proof] = &[
    Proof::new(
        "errno_eacces_udp_broadcast_address",
        "UDP: a broadcast address without `SO_BROADCAST`; then with it",
        broadcast,
    ),
    Proof::new(
        "errno_eacces_prohibit_route",
        "TCP, then UDP: a route of type `prohibit`",
        prohibited,
    ),
];

const NOBODY: Uid = Uid::from_raw(65534);

/// From now on an ordinary user, in a directory that everybody may search.
fn become_nobody(stage: &Stage) -> Result<()> {
    set_mode(stage.directory(), 0o711)?;
    env::set_current_dir(stage.directory())?;
    Ok(set_thread_res_uid(NOBODY, NOBODY, NOBODY)?)
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

fn no_write_permission(stage: &Stage) -> Result<()> {
    let path = stage.file("socket");
    let _listener = UnixListener::bind(&path)?;
    set_mode(&path, 0o555)?;
    become_nobody(stage)?;
    stage.expect(EACCES, &unix_stream()?, &unix(b"socket"))
}

fn no_search_permission(stage: &Stage) -> Result<()> {
    let directory = stage.file("directory");
    fs::create_dir(&directory)?;
    let path = directory.join("socket");
    let _listener = UnixListener::bind(&path)?;
    set_mode(&path, 0o777)?;
    set_mode(&directory, 0o666)?;
    become_nobody(stage)?;
    stage.expect(EACCES, &unix_stream()?, &unix(b"directory/socket"))
}

fn broadcast(stage: &Stage) -> Result<()> {
    let socket = UdpSocket::from(udp()?);
    let everybody = inet([127, 255, 255, 255], 9);
    stage.expect(EACCES, &socket, &everybody)?;
    socket.set_broadcast(true)?;
    stage.expect(0, &socket, &everybody)
}

fn prohibited(stage: &Stage) -> Result<()> {
    route_to_refusal(RTN_PROHIBIT)?;
    stage.expect(EACCES, &tcp()?, &inet(REFUSED, 80))?;
    stage.expect(EACCES, &udp()?, &inet(REFUSED, 80))
}
