//! What surrounds the loopback interface of a network namespace: routes, a neighbour who is
//! missing, a router that complains. Through rtnetlink(7) and packet(7), without other programs.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
};

use anyhow::{Context as _, Result, ensure};
use libc::{
    AF_NETLINK, AF_PACKET, IFA_LOCAL, IFLA_IFNAME, IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_LINKINFO,
    IFLA_NET_NS_FD, IP_RECVERR, IPPROTO_ICMP, IPPROTO_IP, NETLINK_ROUTE, RT_SCOPE_LINK,
    RT_SCOPE_UNIVERSE, RT_TABLE_MAIN, RTA_DST, RTA_GATEWAY, RTA_OIF, RTA_PREFSRC, RTM_NEWADDR,
    RTM_NEWLINK, RTM_NEWROUTE, RTN_UNICAST, RTPROT_STATIC, SOCK_DGRAM, SOCK_RAW,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use super::{
    child::in_thread,
    namespace::{LOOPBACK, enter_network},
    option,
    syscall::{bind, socket},
};

// Of networks for documentation (RFC 5737): nobody has them.
/// Whoever is sent anything does not answer, once [`route_to_silence`] is there.
pub(crate) const SILENT: [u8; 4] = [192, 0, 2, 1];
/// Nothing may be sent there, once [`route_to_refusal`] is there.
pub(crate) const REFUSED: [u8; 4] = [198, 51, 100, 1];
/// Should be next to us, once [`ethernet`] is there.
pub(crate) const NEIGHBOUR: [u8; 4] = [203, 0, 113, 2];
/// Ourselves, next to it.
const US: [u8; 4] = [203, 0, 113, 1];

const IPV4: u8 = 2;
const _: () = assert!(libc::AF_INET == 2, "of every architecture");

/// A route to [`SILENT`] that swallows what is sent: over the loopback it comes back to us, who are
/// somebody else.
pub(crate) fn route_to_silence() -> Result<()> {
    let mut request = route(SILENT, RTN_UNICAST, RT_SCOPE_LINK);
    request.attribute(RTA_OIF, &LOOPBACK.to_ne_bytes());
    request.attribute(RTA_PREFSRC, &Ipv4Addr::LOCALHOST.octets());
    request.send(RTM_NEWROUTE).context("no route")
}

/// A route to [`REFUSED`] that leads nowhere: `RTN_BLACKHOLE` and its like.
pub(crate) fn route_to_refusal(kind: u8) -> Result<()> {
    let request = route(REFUSED, kind, RT_SCOPE_UNIVERSE);
    request.send(RTM_NEWROUTE).context("no route")
}

fn route(to: [u8; 4], kind: u8, scope: u8) -> Request {
    // struct rtmsg: family, both prefixes, type of service, table, protocol, scope, type, flags.
    let header = [
        IPV4,
        32,
        0,
        0,
        RT_TABLE_MAIN,
        RTPROT_STATIC,
        scope,
        kind,
        0,
        0,
        0,
        0,
    ];
    let mut request = Request::new(&header);
    request.attribute(RTA_DST, &to);
    request
}

/// Name of the interface to [`NEIGHBOUR`].
pub(crate) const NEAR: &str = "near";

/// Indexes of the two ends of an Ethernet.
const NEAR_INDEX: u32 = 1000;
const FAR_INDEX: u32 = 1001;

/// An Ethernet on which [`NEIGHBOUR`] should be, and is not.
pub(crate) fn ethernet() -> Result<()> {
    veth(None)?;
    for index in [NEAR_INDEX, FAR_INDEX] {
        bring_up(index)?;
    }
    take_address(NEAR_INDEX, US)
}

/// A host of its own, which has the address [`NEIGHBOUR`] on an Ethernet with us.
pub(crate) struct Neighbour(OwnedFd);

impl Neighbour {
    pub(crate) fn new() -> Result<Self> {
        let namespace = in_thread(|| {
            enter_network()?;
            let namespace = File::open("/proc/thread-self/ns/net")?;
            Ok(OwnedFd::from(namespace))
        })?;
        veth(Some(namespace.as_fd()))?;
        bring_up(NEAR_INDEX)?;
        take_address(NEAR_INDEX, US)?;
        let neighbour = Self(namespace);
        neighbour.play(|| {
            bring_up(FAR_INDEX)?;
            take_address(FAR_INDEX, NEIGHBOUR)
        })?;
        Ok(neighbour)
    }

    /// Does something as that host. Its sockets stay there, whoever uses them.
    pub(crate) fn play<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        in_thread(|| {
            move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        })
    }
}

/// A neighbour who is our gateway to [`REFUSED`], and answers that there is no such host. The answer comes back before
/// the call that sends something returns.
pub(crate) fn gateway_without_a_route() -> Result<Neighbour> {
    const RTN_UNREACHABLE: u8 = 7;

    let gateway = Neighbour::new()?;
    gateway.play(|| {
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("no forwarding")?;
        route_to_refusal(RTN_UNREACHABLE)
    })?;
    let mut request = route(REFUSED, RTN_UNICAST, RT_SCOPE_UNIVERSE);
    request.attribute(RTA_GATEWAY, &NEIGHBOUR);
    request.send(RTM_NEWROUTE).context("no route")?;
    // Whoever answers has told its hardware address: that nobody listens there is an answer.
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    option::set(&socket, IPPROTO_IP, IP_RECVERR, &1)?;
    socket.send_to(b"here?", SocketAddrV4::new(NEIGHBOUR.into(), 9))?;
    poll(&mut [PollFd::new(&socket, PollFlags::empty())], None)?;
    Ok(gateway)
}

/// A pair of interfaces; the far one in another namespace, if there is one.
fn veth(far_namespace: Option<BorrowedFd<'_>>) -> Result<()> {
    const FAR: &str = "far";
    // From linux/veth.h.
    const VETH_INFO_PEER: u16 = 1;

    let mut far = link(FAR_INDEX, 0);
    far.attribute(IFLA_IFNAME, FAR.as_bytes());
    if let Some(namespace) = far_namespace {
        far.attribute(IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes());
    }
    let mut data = Request::default();
    data.attribute(VETH_INFO_PEER, &far.0);
    let mut information = Request::default();
    information.attribute(IFLA_INFO_KIND, b"veth");
    information.attribute(IFLA_INFO_DATA, &data.0);
    let mut near = link(NEAR_INDEX, 0);
    near.attribute(IFLA_IFNAME, NEAR.as_bytes());
    near.attribute(IFLA_LINKINFO, &information.0);
    near.send(RTM_NEWLINK).context("no pair of interfaces")
}

fn bring_up(index: u32) -> Result<()> {
    link(index, libc::IFF_UP)
        .send(RTM_NEWLINK)
        .context("an interface does not come up")
}

fn take_address(index: u32, address: [u8; 4]) -> Result<()> {
    // struct ifaddrmsg: family, prefix, flags, scope, index.
    let header = [&[IPV4, 24, 0, RT_SCOPE_UNIVERSE][..], &index.to_ne_bytes()].concat();
    let mut request = Request::new(&header);
    request.attribute(IFA_LOCAL, &address);
    request
        .send(RTM_NEWADDR)
        .context("an interface takes no address")
}

/// An interface, and which of its flags shall be set.
fn link(index: u32, flags: i32) -> Request {
    let (index, flags) = (index.to_ne_bytes(), flags.to_ne_bytes());
    // struct ifinfomsg: family, type, index, flags, and which of the flags shall change.
    Request::new(&[&[0; 4][..], &index, &flags, &flags].concat())
}

/// What follows the header of a message: its own header and attributes, each of them padded.
#[derive(Default)]
struct Request(Vec<u8>);

impl Request {
    /// `header` fills whole words.
    fn new(header: &[u8]) -> Self {
        Self(header.to_vec())
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = 4 + value.len();
        // Attributes of these requests have some dozen bytes.
        let said = u16::try_from(length).unwrap_or(u16::MAX);
        self.0
            .extend([said.to_ne_bytes(), kind.to_ne_bytes()].as_flattened());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// Has the kernel create what is not there, and change what is.
    fn send(&self, kind: u16) -> Result<()> {
        const HEADER: usize = 16;
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE;
        let flags = u16::try_from(flags)?;
        let length = u32::try_from(HEADER + self.0.len())?;
        // struct nlmsghdr: length, type, flags, sequence, port.
        let message = [
            &length.to_ne_bytes()[..],
            &kind.to_ne_bytes(),
            &flags.to_ne_bytes(),
            &[0; 8],
            &self.0,
        ];
        let mut kernel = File::from(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)?);
        kernel.write_all(&message.concat())?;
        // The same header, a negated errno, and what was sent.
        let mut answer = [0; 1024];
        let length = kernel.read(&mut answer)?;
        let errno = answer[..length]
            .get(HEADER..HEADER + 4)
            .context("half an answer")?;
        let errno = -i32::from_ne_bytes(errno.try_into()?);
        ensure!(errno == 0, "{}", std::io::Error::from_raw_os_error(errno));
        Ok(())
    }
}

/// Stands on the way to [`SILENT`], and sees what is sent there.
pub(crate) struct Router(File);

impl Router {
    pub(crate) fn new() -> Result<Self> {
        const ETH_P_IP: u16 = 0x0800;
        let protocol = ETH_P_IP.to_be();
        let socket = socket(AF_PACKET, SOCK_DGRAM, protocol.into()).context("no packet socket")?;
        // struct sockaddr_ll: family, protocol, interface.
        let family = u16::try_from(AF_PACKET)?.to_ne_bytes();
        let address = [
            &family[..],
            &ETH_P_IP.to_be_bytes(),
            &LOOPBACK.to_ne_bytes(),
            &[0; 12],
        ];
        bind(socket.as_fd(), &address.concat())?;
        Ok(Self(socket.into()))
    }

    /// Waits for a packet, and complains to its sender: an ICMP error of this type and code.
    pub(crate) fn complain(&mut self, kind: u8, code: u8) -> Result<()> {
        /// An IPv4 header without options.
        const HEADER: usize = 20;
        /// What the sender needs of what follows, to know what it is about.
        const PORTS_AND_SEQUENCE: usize = 8;
        let mut packet = [0; 2048];
        let from = loop {
            let length = self.0.read(&mut packet)?;
            ensure!(
                length >= HEADER + PORTS_AND_SEQUENCE,
                "{length} bytes are no packet"
            );
            let [_, _, _, from, to] = packet[..HEADER].as_chunks::<4>().0 else {
                continue;
            };
            if *to == SILENT {
                break *from;
            }
        };
        // Type, code, checksum, four unused bytes.
        let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
        message.extend(&packet[..HEADER + PORTS_AND_SEQUENCE]);
        let checksum = checksum(&message);
        message[2..4].copy_from_slice(&checksum);
        // Its interface is that of UDP.
        let icmp = UdpSocket::from(socket(libc::AF_INET, SOCK_RAW, IPPROTO_ICMP)?);
        icmp.send_to(&message, SocketAddrV4::new(from.into(), 0))?;
        Ok(())
    }
}

/// RFC 1071, of an even number of bytes.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes
        .as_chunks()
        .0
        .iter()
        .map(|word| u32::from(u16::from_be_bytes(*word)));
    let mut sum: u32 = words.sum();
    while let (carry @ 1.., rest) = (sum >> 16, sum & 0xffff) {
        sum = carry + rest;
    }
    let [_, _, high, low] = (!sum).to_be_bytes();
    [high, low]
}
