//! Bytes to events: the only place that trusts nothing. Any bytes are either an event or a
//! [`Malformed`] with its reason; none is a panic.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, SocketAddr},
};

use connect_ebpf::{
    code::{AddressSource, Kind, Settlement, SocketType, Transport, Via},
    record::{self, Endpoints, Header, KNOWN_ADDRLEN, KNOWN_ENTRY, KNOWN_FD, VERSION},
    uapi::{
        errno::{EALREADY, EINPROGRESS, EISCONN, ERESTARTSYS},
        family::{AF_INET, AF_INET6},
    },
};
use zerocopy::FromBytes as _;

use crate::{
    address,
    clock::Clock,
    errno,
    escape::Escaped,
    event::{Call, Connect, Event, KILLED, Outcome},
};

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Too short for a header: so many bytes.
    Short(usize),
    /// Of a version this agent does not know.
    Version(u16),
    /// Of a kind this agent does not know.
    Kind(u16),
    /// The header says one length, the bytes or the kind have another.
    Length {
        /// By the header.
        said: u32,
        /// By the bytes.
        got: usize,
    },
    /// A field has a value that the kernel object never writes.
    Field(&'static str),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(got) => write!(f, "{got} bytes are too short for a record"),
            Self::Version(version) => write!(f, "record version {version} is unknown"),
            Self::Kind(kind) => write!(f, "record kind {kind} is unknown"),
            Self::Length { said, got } => {
                write!(f, "a record of {got} bytes says that it has {said}")
            }
            Self::Field(name) => write!(f, "field {name} has an impossible value"),
        }
    }
}

impl std::error::Error for Malformed {}

/// Decodes one record.
///
/// # Errors
///
/// [`Malformed`], for anything that the kernel object of this build does not write.
pub fn decode(bytes: &[u8], clock: &Clock) -> Result<Event, Malformed> {
    let (header, _) =
        Header::read_from_prefix(bytes).map_err(|_short| Malformed::Short(bytes.len()))?;
    if header.version != VERSION {
        return Err(Malformed::Version(header.version));
    }
    let wrong_length = Malformed::Length {
        said: header.length,
        got: bytes.len(),
    };
    if usize::try_from(header.length) != Ok(bytes.len()) {
        return Err(wrong_length);
    }
    let kind = u8::try_from(header.kind).ok().and_then(Kind::of);
    match kind.ok_or(Malformed::Kind(header.kind))? {
        Kind::Connect => {
            let record = record::Connect::read_from_bytes(bytes).map_err(|_size| wrong_length)?;
            connect(&record, clock).map(Event::Connect)
        }
        Kind::Outcome => {
            let record = record::Outcome::read_from_bytes(bytes).map_err(|_size| wrong_length)?;
            outcome(&record, clock).map(Event::Outcome)
        }
    }
}

fn connect(record: &record::Connect, clock: &Clock) -> Result<Connect, Malformed> {
    let entry_known = record.call.known & KNOWN_ENTRY != 0;
    let errno = errno::of_return(record.ret);
    let id = id(record.call.entered_ns, record.call.tid);
    let attempt = (record.attempt_entered_ns != 0)
        .then(|| self::id(record.attempt_entered_ns, record.attempt_tid));
    let kind = (record.transport, record.socket_type);
    let mut call = call(&record.call, kind, &record.endpoints)?;
    if attempt.as_ref() != Some(&id) && !matches!(errno, 0 | EISCONN | EALREADY | EINPROGRESS) {
        // The call has not come so far that the kernel took its address for another.
        call.destination_address = None;
        call.destination_port = None;
    }
    Ok(Connect {
        id,
        attempt,
        timestamp: clock.wall(record.call.entered_ns),
        ended: clock.moment(if entry_known {
            record.call.entered_ns.saturating_add(record.duration_ns)
        } else {
            record.call.entered_ns
        }),
        call,
        errno,
        error_type: error_type(errno),
        unsettled: flag(record.unsettled, "unsettled")?,
        restarts: (record.restarts != 0).then_some(record.restarts),
        killed: flag(record.killed, "killed")?,
        duration_ns: entry_known.then_some(record.duration_ns),
        handshake_ns: (record.handshake_ns != 0).then_some(record.handshake_ns),
    })
}

fn outcome(record: &record::Outcome, clock: &Clock) -> Result<Outcome, Malformed> {
    let outcome = Settlement::of(record.outcome)
        .filter(|outcome| Settlement::FINAL.contains(outcome))
        .ok_or(Malformed::Field("outcome"))?;
    let call = call(&record.call, of_outcome(record), &record.endpoints)?;
    let id = id(record.call.entered_ns, record.call.tid);
    Ok(Outcome {
        attempt: id.clone(),
        id,
        timestamp: clock.wall(record.settled_ns),
        ended: clock.moment(record.settled_ns),
        outcome,
        // What other events say is not known here.
        superseded_by: None,
        errno: match (outcome, record.errno) {
            (Settlement::Established, _) => Some(0),
            (Settlement::Failed | Settlement::Abandoned, errno) if errno != 0 => Some(errno),
            _ => None,
        },
        error_type: (outcome != Settlement::Established)
            .then(|| error_type(record.errno))
            .flatten(),
        duration_ns: record.settled_ns.saturating_sub(record.call.entered_ns),
        left_with: if call.via == Via::Unknown {
            "an unseen call".to_owned()
        } else {
            match errno::of_return(record.ret) {
                0 => call.success().to_owned(),
                // The application never got it.
                ERESTARTSYS => KILLED.to_owned(),
                errno => errno::label(errno).into_owned(),
            }
        },
        call,
    })
}

/// An attempt that nobody has settled, as its call was.
///
/// # Errors
///
/// [`Malformed`], for anything that the kernel object of this build does not write.
pub fn unsettled(record: &record::Outcome, clock: &Clock) -> Result<Connect, Malformed> {
    let errno = errno::of_return(record.ret);
    let id = id(record.call.entered_ns, record.call.tid);
    Ok(Connect {
        attempt: Some(id.clone()),
        id,
        timestamp: clock.wall(record.call.entered_ns),
        // When it returned, its outcome would not say.
        ended: clock.moment(record.call.entered_ns),
        call: call(&record.call, of_outcome(record), &record.endpoints)?,
        errno,
        error_type: error_type(errno),
        unsettled: Some(true),
        restarts: None,
        killed: None,
        duration_ns: None,
        handshake_ns: None,
    })
}

/// What the socket of an outcome is: only sockets whose kind their transport says have any.
const fn of_outcome(record: &record::Outcome) -> (u8, u8) {
    (record.transport, SocketType::Unknown.number())
}

fn call(
    record: &record::Call,
    (transport, socket_type): (u8, u8),
    endpoints: &Endpoints,
) -> Result<Call, Malformed> {
    let transport = Transport::of(transport).ok_or(Malformed::Field("transport"))?;
    let address_source =
        AddressSource::of(record.address_source).ok_or(Malformed::Field("address_source"))?;
    let via = Via::of(record.via).ok_or(Malformed::Field("via"))?;
    let bytes = record
        .address
        .get(..usize::from(record.address_len))
        .ok_or(Malformed::Field("address_len"))?;
    let local = end(
        endpoints.family,
        endpoints.local_address,
        endpoints.local_port,
    )?;
    let peer = end(
        endpoints.family,
        endpoints.peer_address,
        endpoints.peer_port,
    )?;
    let was_read = address_source != AddressSource::NotRead;
    let passed = address::internet(bytes).filter(|_| was_read);
    // Dissolved and never connected sockets have no peer.
    let elsewhere = peer.filter(|peer| {
        let canonical = |at: SocketAddr| (at.ip().to_canonical(), at.port());
        passed.is_some_and(|passed| canonical(passed) != canonical(*peer))
    });
    Ok(Call {
        pid: record.pid,
        tid: record.tid,
        comm: comm(&record.comm),
        uid: record.uid,
        cgroup_id: record.cgroup_id,
        fd: (record.known & KNOWN_FD != 0).then_some(record.fd),
        addrlen: (record.known & KNOWN_ADDRLEN != 0).then_some(record.addrlen),
        address: if was_read {
            address::decode(bytes)
        } else {
            address::Address::default()
        },
        address_source,
        transport,
        socket_type: kind(transport, socket_type),
        // Of a socket of IPv6 that speaks IPv4, both ends are IPv4-mapped.
        local_address: local.map(|at| at.ip().to_canonical()),
        local_port: local.map(|at| at.port()),
        destination_address: elsewhere.map(|at| at.ip().to_canonical()),
        destination_port: elsewhere.map(|at| at.port()),
        via,
    })
}

/// What kind of socket it is, which most transports say; TCP's is known by its handshake, also where nobody has looked
/// at the socket.
fn kind(transport: Transport, socket_type: u8) -> SocketType {
    match transport {
        Transport::Tcp | Transport::Mptcp | Transport::Smc => SocketType::Stream,
        Transport::Udp | Transport::Udplite | Transport::Icmp => SocketType::Datagram,
        Transport::Raw => SocketType::Raw,
        // Of a number that is none, the socket went away while we looked.
        _ => SocketType::of(socket_type).unwrap_or(SocketType::Unknown),
    }
}

/// One end of a socket; `None` where it has no port.
fn end(family: u16, address: [u8; 16], port: u16) -> Result<Option<SocketAddr>, Malformed> {
    let [a, b, c, d, ..] = address;
    let ip = match family {
        0 => return Ok(None),
        AF_INET => IpAddr::from([a, b, c, d]),
        AF_INET6 => IpAddr::from(address),
        _ => return Err(Malformed::Field("endpoints")),
    };
    Ok((port != 0).then(|| SocketAddr::new(ip, port)))
}

/// The attempt, unique within a boot.
fn id(entered_ns: u64, tid: u32) -> String {
    format!("{entered_ns:x}-{tid:x}")
}

fn error_type(errno: u32) -> Option<String> {
    (errno != 0)
        .then(|| errno::label(errno))
        .map(Cow::into_owned)
}

const fn flag(byte: u8, name: &'static str) -> Result<Option<bool>, Malformed> {
    match byte {
        0 => Ok(None),
        1 => Ok(Some(true)),
        _ => Err(Malformed::Field(name)),
    }
}

/// A task name up to its NUL, escaped.
fn comm(bytes: &[u8]) -> String {
    let name = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    Escaped(name).to_string()
}
