//! UDP over IPv4: connect only sets the peer.

use std::{
    net::{Ipv6Addr, UdpSocket},
    os::fd::AsRawFd as _,
};

use anyhow::{Result, ensure};
use libc::{
    EACCES, ECONNREFUSED, EINVAL, EMSGSIZE, ENETUNREACH, IP_MTU_DISCOVER, IPPROTO_IP, SO_ERROR,
    SOL_SOCKET,
};
use rustix::event::{PollFd, PollFlags, poll};

use crate::support::{
    attempt::Settlement,
    case::Case,
    child::{fork, succeed},
    feature::ERROR_REPORT,
    network::{Router, SILENT, route_to_silence},
    option,
    sockaddr::{Sockaddr, inet, inet6, loopback, unspec},
    stage::Stage,
    syscall::{socket, udp},
};

/// Alone: on a busy machine, a program may take its error away before the hook can look at it, which is counted, and so
/// would be a loss of all cases that share an agent.
pub(crate) const CASES: &[Case] = &[
    Case::exact("udp_success_and_failure", peers),
    Case::outcomes("association_with_nobody_fails_once", nobody)
        .needs(&ERROR_REPORT)
        .alone()
        .also_by_functions()
        .brief(),
    Case::outcomes("association_over_ipv6_fails", ipv6)
        .needs(&ERROR_REPORT)
        .alone(),
    Case::outcomes("association_that_is_made_anew_fails_anew", anew)
        .needs(&ERROR_REPORT)
        .alone(),
    Case::outcomes(
        "association_that_is_dissolved_or_answered_does_not_fail",
        no_failure,
    )
    .needs(&ERROR_REPORT)
    .alone(),
    Case::outcomes(
        "association_with_a_path_that_is_too_narrow_does_not_fail",
        narrow,
    )
    .needs(&ERROR_REPORT)
    .alone(),
    Case::outcomes(
        "association_does_not_fail_by_errors_of_the_one_before",
        errors_of_before,
    )
    .needs(&ERROR_REPORT)
    .alone(),
    Case::outcomes("association_fails_for_whoever_made_it", inherited)
        .needs(&ERROR_REPORT)
        .alone(),
];

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

/// A port of the loopback at which nobody listens.
const NOBODY: u16 = 9;

/// Sends something, and waits for the error that comes back; and reads it.
fn send_in_vain(socket: &UdpSocket, errno: i32) -> Result<()> {
    socket.send(b"anybody there?")?;
    let mut polled = [PollFd::new(socket, PollFlags::empty())];
    poll(&mut polled, None)?;
    ensure!(polled[0].revents().contains(PollFlags::ERR), "no error");
    let found: i32 = option::get(socket.as_raw_fd(), SOL_SOCKET, SO_ERROR)?;
    ensure!(found == errno, "SO_ERROR is {found}");
    Ok(())
}

/// Connects, sends, and writes down that it failed.
fn fails(stage: &Stage, socket: &UdpSocket, address: &Sockaddr) -> Result<()> {
    stage.expect(0, socket, address)?;
    send_in_vain(socket, ECONNREFUSED)?;
    stage.settled(socket, address, Settlement::Failed(ECONNREFUSED))
}

fn nobody(stage: &Stage) -> Result<()> {
    let client = UdpSocket::from(udp()?);
    fails(stage, &client, &loopback(NOBODY))?;
    // What fails again has failed already.
    send_in_vain(&client, ECONNREFUSED)?;
    send_in_vain(&client, ECONNREFUSED)
}

fn ipv6(stage: &Stage) -> Result<()> {
    let client = UdpSocket::from(socket(libc::AF_INET6, libc::SOCK_DGRAM, 0)?);
    let address = inet6(Ipv6Addr::LOCALHOST, NOBODY, 0, "::1");
    fails(stage, &client, &address)
}

fn anew(stage: &Stage) -> Result<()> {
    let client = UdpSocket::from(udp()?);
    fails(stage, &client, &loopback(NOBODY))?;
    fails(stage, &client, &inet([127, 0, 0, 2], NOBODY))?;
    fails(stage, &client, &loopback(NOBODY))
}

fn no_failure(stage: &Stage) -> Result<()> {
    let client = UdpSocket::from(udp()?);
    stage.expect(0, &client, &loopback(NOBODY))?;
    stage.expect(0, &client, &unspec(16))?;
    // Errors come to it all the same, if it asks for them.
    option::set(&client, IPPROTO_IP, libc::IP_RECVERR, &1)?;
    client.send_to(b"anybody there?", ("127.0.0.1", NOBODY))?;
    let mut polled = [PollFd::new(&client, PollFlags::empty())];
    poll(&mut polled, None)?;

    let server = UdpSocket::bind("127.0.0.1:0")?;
    let answered = UdpSocket::from(udp()?);
    stage.expect(0, &answered, &loopback(server.local_addr()?.port()))?;
    answered.send(b"anybody there?")?;
    let mut bytes = [0; 32];
    let (length, from) = server.recv_from(&mut bytes)?;
    server.send_to(&bytes[..length], from)?;
    answered.recv(&mut bytes)?;
    Ok(())
}

fn narrow(stage: &Stage) -> Result<()> {
    route_to_silence()?;
    let mut router = Router::new()?;
    let client = UdpSocket::from(udp()?);
    option::set(&client, IPPROTO_IP, IP_MTU_DISCOVER, &libc::IP_PMTUDISC_DO)?;
    option::set(&client, IPPROTO_IP, libc::IP_RECVERR, &1)?;
    let address = inet(SILENT, 53);
    stage.expect(0, &client, &address)?;
    client.send(b"anybody there?")?;
    // Destination unreachable, fragmentation needed.
    router.complain(3, 4)?;
    let mut polled = [PollFd::new(&client, PollFlags::empty())];
    poll(&mut polled, None)?;
    let found: i32 = option::get(client.as_raw_fd(), SOL_SOCKET, SO_ERROR)?;
    ensure!(found == EMSGSIZE, "SO_ERROR is {found}");
    Ok(())
}

fn inherited(stage: &Stage) -> Result<()> {
    let client = UdpSocket::from(udp()?);
    let address = loopback(NOBODY);
    stage.expect(0, &client, &address)?;
    succeed(fork(|| send_in_vain(&client, ECONNREFUSED))?)?;
    stage.settled(&client, &address, Settlement::Failed(ECONNREFUSED))
}

/// Two errors wait to be read when the socket gets another peer. When one is read, the kernel reports the other again.
fn errors_of_before(stage: &Stage) -> Result<()> {
    let client = UdpSocket::from(udp()?);
    client.set_nonblocking(true)?;
    option::set(&client, IPPROTO_IP, libc::IP_RECVERR, &1)?;
    fails(stage, &client, &loopback(NOBODY))?;
    send_in_vain(&client, ECONNREFUSED)?;
    let server = UdpSocket::bind("127.0.0.1:0")?;
    let address = loopback(server.local_addr()?.port());
    stage.expect(0, &client, &address)?;
    let mut read = 0;
    while receive_error(&client) {
        read += 1;
    }
    ensure!(read == 2, "{read} errors were read");
    client.send(b"anybody there?")?;
    server.recv(&mut [0; 32])?;
    Ok(())
}

/// Takes one message from the queue of errors; false where there is none.
fn receive_error(socket: &UdpSocket) -> bool {
    let mut byte = [0_u8; 64];
    // SAFETY: the buffer is as long as is said.
    let length = unsafe {
        libc::recv(
            socket.as_raw_fd(),
            byte.as_mut_ptr().cast(),
            byte.len(),
            libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT,
        )
    };
    length >= 0
}
