//! Where metrics are served: `--listen`.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream},
};

use crate::{ended::agent, support::agent::Agent};

/// Serves metrics there while it is asked from these addresses of this host; port 0 is one that is free.
fn serves(listen: &str, from: &[IpAddr]) {
    let running = Agent::start(&mut agent(["export", "--listen", listen])).unwrap();
    running.ready().unwrap();
    let said = running.stderr.text();
    let (_, url) = said.split_once("http://").expect("where it serves");
    let (place, _) = url.split_once("/metrics").expect("what it serves");
    let (_, port) = place.rsplit_once(':').expect("a port");
    let port: u16 = port.parse().unwrap();
    for &address in from {
        let mut client = TcpStream::connect((address, port)).unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
        client.write_all(request).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
    running.terminate().unwrap();
}

/// The loopback addresses of this host, which may do without IPv6.
fn loopbacks() -> Vec<IpAddr> {
    let both = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    let is_there = |&address: &IpAddr| std::net::TcpListener::bind((address, 0)).is_ok();
    both.into_iter().filter(is_there).collect()
}

#[test]
fn a_port_alone_is_on_every_address() {
    serves(":0", &loopbacks());
}

#[test]
fn a_name_is_looked_up() {
    serves("localhost:0", &[]);
}
