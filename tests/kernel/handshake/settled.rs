//! Attempts that the network settles: on the loopback within the call, over an Ethernet after it.

use std::net::{Ipv6Addr, TcpListener};

use anyhow::{Result, ensure};
use libc::{
    ECONNREFUSED, EHOSTUNREACH, EINPROGRESS, ENETUNREACH, ETIMEDOUT, IPPROTO_TCP, SOCK_NONBLOCK,
    SOCK_STREAM, TCP_SYNCNT, TCP_USER_TIMEOUT,
};

use super::{begin, conclude, listener, not_blocking};
use crate::support::{
    case::{Case, Seen},
    network::{NEAR, NEIGHBOUR, Neighbour, Router, SILENT, ethernet, route_to_silence},
    option,
    sockaddr::{Sockaddr, inet, inet6, loopback},
    stage::Stage,
    syscall::{socket, tcp},
};

pub(crate) const CASES: &[Case] = &[
    Case::outcomes("outcome_established_on_the_loopback", established)
        .also_by_functions()
        .brief(),
    Case::outcomes("outcome_refused_on_the_loopback", refused)
        .also_by_functions()
        .brief(),
    Case::outcomes("outcome_over_ipv6", ipv6).also_by_functions(),
    Case::outcomes("outcome_established_by_a_neighbour", by_neighbour).also_by_functions(),
    Case::outcomes("outcome_refused_by_a_neighbour", refused_by_neighbour).also_by_functions(),
    Case::outcomes("outcome_timed_out_by_tries", tries).also_by_functions(),
    Case::outcomes("outcome_timed_out_by_the_user", user_timeout).also_by_functions(),
    Case::outcomes("outcome_host_unreachable_by_icmp", |stage| {
        complaint(stage, 1, EHOSTUNREACH)
    })
    .also_by_functions(),
    Case::outcomes("outcome_net_unreachable_by_icmp", |stage| {
        complaint(stage, 0, ENETUNREACH)
    })
    .also_by_functions(),
    Case::outcomes("outcome_without_a_neighbour", no_neighbour).also_by_functions(),
    Case::of_seen(
        "settled_in_the_call_has_no_outcome",
        |_, Seen { observation, .. }| {
            observation.assert_outcomes()?;
            ensure!(observation.outcomes.is_empty(), "an outcome");
            for event in &observation.connects {
                ensure!(event.text("attempt")? == event.text("id")?, "{event:?}");
                ensure!(event.integer("network.local.port")? > 0, "{event:?}");
                let established = event.integer("errno")? == 0;
                let handshake = event.integer("handshake_ns").ok();
                ensure!(established == handshake.is_some(), "{event:?}");
                if let Some(handshake) = handshake {
                    let call = event.integer("duration_ns")?;
                    ensure!(0 < handshake && handshake <= call, "{event:?}");
                }
            }
            Ok(())
        },
        in_the_call,
    )
    .also_by_functions(),
];

fn established(stage: &Stage) -> Result<()> {
    let (_listener, address) = listener()?;
    let socket = begin(stage, &address)?;
    conclude(stage, &socket, &address, 0)
}

fn refused(stage: &Stage) -> Result<()> {
    let address = loopback(9);
    let socket = begin(stage, &address)?;
    conclude(stage, &socket, &address, ECONNREFUSED)
}

fn ipv6(stage: &Stage) -> Result<()> {
    let listener = TcpListener::bind("[::1]:0")?;
    for (port, errno) in [(listener.local_addr()?.port(), 0), (9, ECONNREFUSED)] {
        let socket = socket(libc::AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0)?;
        let address = inet6(Ipv6Addr::LOCALHOST, port, 0, "::1");
        stage.expect(EINPROGRESS, &socket, &address)?;
        conclude(stage, &socket, &address, errno)?;
    }
    Ok(())
}

fn by_neighbour(stage: &Stage) -> Result<()> {
    let neighbour = Neighbour::new()?;
    let listener = neighbour.play(|| Ok(TcpListener::bind("0.0.0.0:0")?))?;
    let address = inet(NEIGHBOUR, listener.local_addr()?.port());
    for _ in 0..10 {
        let socket = begin(stage, &address)?;
        conclude(stage, &socket, &address, 0)?;
    }
    Ok(())
}

fn refused_by_neighbour(stage: &Stage) -> Result<()> {
    let _neighbour = Neighbour::new()?;
    let address = inet(NEIGHBOUR, 9);
    // Who has that address is asked first, so the answer comes after the call.
    for _ in 0..10 {
        let socket = begin(stage, &address)?;
        conclude(stage, &socket, &address, ECONNREFUSED)?;
    }
    Ok(())
}

fn tries(stage: &Stage) -> Result<()> {
    route_to_silence()?;
    let socket = not_blocking()?;
    option::set(&socket, IPPROTO_TCP, TCP_SYNCNT, &1_i32)?;
    expect_timeout(stage, &socket)
}

fn user_timeout(stage: &Stage) -> Result<()> {
    route_to_silence()?;
    let socket = not_blocking()?;
    let milliseconds: u32 = 100;
    option::set(&socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds)?;
    expect_timeout(stage, &socket)
}

fn expect_timeout(stage: &Stage, socket: &std::net::TcpStream) -> Result<()> {
    let address = inet(SILENT, 80);
    stage.expect(EINPROGRESS, socket, &address)?;
    conclude(stage, socket, &address, ETIMEDOUT)
}

fn complaint(stage: &Stage, code: u8, errno: i32) -> Result<()> {
    const DESTINATION_UNREACHABLE: u8 = 3;
    route_to_silence()?;
    let mut router = Router::new()?;
    let address = inet(SILENT, 80);
    let socket = begin(stage, &address)?;
    router.complain(DESTINATION_UNREACHABLE, code)?;
    conclude(stage, &socket, &address, errno)
}

fn no_neighbour(stage: &Stage) -> Result<()> {
    ethernet()?;
    // Asked once, for 20 ms.
    option::sysctl(&format!("ipv4/neigh/{NEAR}/mcast_solicit"), "1")?;
    option::sysctl(&format!("ipv4/neigh/{NEAR}/retrans_time_ms"), "20")?;
    let address = inet(NEIGHBOUR, 80);
    let socket = begin(stage, &address)?;
    conclude(stage, &socket, &address, EHOSTUNREACH)
}

fn in_the_call(stage: &Stage) -> Result<()> {
    let (_listener, address) = listener()?;
    stage.expect(0, &tcp()?, &address)?;
    stage.expect(ECONNREFUSED, &tcp()?, &loopback(9))?;
    let neighbour = Neighbour::new()?;
    let listener = neighbour.play(|| Ok(TcpListener::bind("0.0.0.0:0")?))?;
    let address: Sockaddr = inet(NEIGHBOUR, listener.local_addr()?.port());
    stage.expect(0, &tcp()?, &address)?;
    stage.expect(ECONNREFUSED, &tcp()?, &inet(NEIGHBOUR, 9))
}
