//! What the man page says beside its errors: what a call that succeeds does.

use std::{
    env,
    io::ErrorKind,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd as _,
};

use anyhow::{Result, ensure};
use libc::{AF_UNIX, ECONNREFUSED, EISCONN, SOCK_SEQPACKET};

use super::{deaf, listener};
use crate::support::{
    conformance::Proof,
    sockaddr::{Sockaddr, loopback, unix, unspec},
    stage::Stage,
    syscall::{accept, bind, listen, socket, tcp},
};

pub(super) const DATAGRAMS: &[Proof] = &[Proof::new(
    "note_datagrams_go_to_and_come_from_the_peer_alone",
    "UDP: what is sent arrives at the peer; what another socket sends does not arrive",
    peer_alone,
)];

pub(super) const STREAMS: &[Proof] = &[
    Proof::new(
        "note_stream_is_connected_to_the_listener",
        "TCP: the listener gets a connection from this socket",
        stream,
    ),
    Proof::new(
        "note_seqpacket_is_connected_to_the_listener",
        "unix, sequenced packets: the listener gets a connection",
        seqpacket,
    ),
];

pub(super) const ONCE: &[Proof] = &[Proof::new(
    "note_stream_connects_only_once",
    "TCP: again, to another listener, while connected; the first connection stays",
    only_once,
)];

pub(super) const ASSOCIATION: &[Proof] = &[Proof::new(
    "note_datagram_socket_changes_its_association",
    "UDP: to one peer, then to another; what is sent arrives at the last",
    association,
)];

pub(super) const DISSOLVING: &[Proof] = &[
    Proof::new(
        "note_unspec_dissolves_udp",
        "UDP: to a peer, then to AF_UNSPEC; getpeername(2) then fails with ENOTCONN, and datagrams of \
         everybody arrive",
        dissolve_udp,
    ),
    Proof::new(
        "note_unspec_dissolves_tcp",
        "TCP: to a listener, then to AF_UNSPEC; getpeername(2) then fails with ENOTCONN; then to the \
         listener again",
        dissolve_tcp,
    ),
];

pub(super) const FAILURE: &[Proof] = &[Proof::new(
    "note_failed_socket_can_be_used_again",
    "TCP: refused, then to a port on which somebody listens: portable applications take a new \
     socket, Linux takes the old one too",
    failed,
)];

/// A socket, and its address.
fn receiver() -> Result<(UdpSocket, Sockaddr)> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_nonblocking(true)?;
    let address = loopback(socket.local_addr()?.port());
    Ok((socket, address))
}

/// Whether this is what arrives next. On the loopback, what was sent is there.
fn arrives(socket: &UdpSocket, datagram: &[u8]) -> Result<bool> {
    let mut buffer = [0; 16];
    match socket.recv(&mut buffer) {
        Ok(length) => Ok(buffer[..length] == *datagram),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn has_no_peer(peer: std::io::Result<SocketAddr>) -> bool {
    peer.is_err_and(|error| error.kind() == ErrorKind::NotConnected)
}

fn peer_alone(stage: &Stage) -> Result<()> {
    let (socket, _) = receiver()?;
    let (peer, address) = receiver()?;
    stage.expect(0, &socket, &address)?;
    ensure!(socket.peer_addr()? == peer.local_addr()?, "another peer");
    socket.send(b"there")?;
    ensure!(arrives(&peer, b"there")?, "nothing arrives at the peer");
    let stranger = UdpSocket::bind("127.0.0.1:0")?;
    stranger.send_to(b"stranger", socket.local_addr()?)?;
    peer.send_to(b"back", socket.local_addr()?)?;
    ensure!(
        arrives(&socket, b"back")?,
        "not the peer's is what arrives first"
    );
    ensure!(!arrives(&socket, b"stranger")?, "a stranger's arrives");
    Ok(())
}

fn stream(stage: &Stage) -> Result<()> {
    let (listener, address) = listener()?;
    let socket = TcpStream::from(tcp()?);
    stage.expect(0, &socket, &address)?;
    let (_connection, from) = listener.accept()?;
    ensure!(from == socket.local_addr()?, "a connection from {from}");
    ensure!(
        socket.peer_addr()? == listener.local_addr()?,
        "another peer"
    );
    Ok(())
}

fn seqpacket(stage: &Stage) -> Result<()> {
    env::set_current_dir(stage.directory())?;
    let listener = socket(AF_UNIX, SOCK_SEQPACKET, 0)?;
    bind(listener.as_fd(), &unix(b"socket").bytes)?;
    listen(listener.as_fd(), 1)?;
    stage.expect(0, &socket(AF_UNIX, SOCK_SEQPACKET, 0)?, &unix(b"socket"))?;
    accept(listener.as_fd())?;
    Ok(())
}

fn only_once(stage: &Stage) -> Result<()> {
    let (first, address) = listener()?;
    let (_second, other_address) = listener()?;
    let socket = TcpStream::from(tcp()?);
    stage.expect(0, &socket, &address)?;
    stage.expect(EISCONN, &socket, &other_address)?;
    ensure!(socket.peer_addr()? == first.local_addr()?, "another peer");
    Ok(())
}

fn association(stage: &Stage) -> Result<()> {
    let (socket, _) = receiver()?;
    let (first, first_address) = receiver()?;
    let (second, second_address) = receiver()?;
    stage.expect(0, &socket, &first_address)?;
    stage.expect(0, &socket, &second_address)?;
    ensure!(socket.peer_addr()? == second.local_addr()?, "another peer");
    socket.send(b"there")?;
    ensure!(
        arrives(&second, b"there")?,
        "nothing arrives at the last peer"
    );
    ensure!(
        !arrives(&first, b"there")?,
        "something arrives at the first peer"
    );
    Ok(())
}

fn dissolve_udp(stage: &Stage) -> Result<()> {
    // A port that the kernel has chosen would be given back together with the peer.
    let socket = UdpSocket::bind("127.0.0.1:9")?;
    socket.set_nonblocking(true)?;
    let (_peer, address) = receiver()?;
    stage.expect(0, &socket, &address)?;
    stage.expect(0, &socket, &unspec(16))?;
    ensure!(has_no_peer(socket.peer_addr()), "a peer is left");
    let stranger = UdpSocket::bind("127.0.0.1:0")?;
    stranger.send_to(b"stranger", socket.local_addr()?)?;
    ensure!(
        arrives(&socket, b"stranger")?,
        "a stranger's does not arrive"
    );
    Ok(())
}

fn dissolve_tcp(stage: &Stage) -> Result<()> {
    let (listener, address) = listener()?;
    let socket = TcpStream::from(tcp()?);
    stage.expect(0, &socket, &address)?;
    stage.expect(0, &socket, &unspec(16))?;
    ensure!(has_no_peer(socket.peer_addr()), "a peer is left");
    stage.expect(0, &socket, &address)?;
    ensure!(
        socket.peer_addr()? == listener.local_addr()?,
        "another peer"
    );
    Ok(())
}

fn failed(stage: &Stage) -> Result<()> {
    let (_deaf, nobody) = deaf()?;
    let (listener, address): (TcpListener, _) = listener()?;
    let socket = TcpStream::from(tcp()?);
    stage.expect(ECONNREFUSED, &socket, &nobody)?;
    stage.expect(0, &socket, &address)?;
    ensure!(
        socket.peer_addr()? == listener.local_addr()?,
        "another peer"
    );
    Ok(())
}
