//! Bytes to events: the only place that trusts nothing. Any bytes are either an event or a
//! [`Malformed`] with its reason; none is a panic.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, SocketAddr},
};

use connect_ebpf::record::{
    self, ADDRESS_AT_ENTRY, ADDRESS_AT_EXIT, ADDRESS_KERNEL, ADDRESS_NOT_READ, Endpoints, Header,
    KIND_CONNECT, KIND_OUTCOME, KNOWN_ADDRLEN, KNOWN_ENTRY, KNOWN_FD, OUTCOME_ABANDONED,
    OUTCOME_ESTABLISHED, OUTCOME_FAILED, TRANSPORT_DCCP, TRANSPORT_ICMP, TRANSPORT_MPTCP,
    TRANSPORT_OTHER, TRANSPORT_RAW, TRANSPORT_SCTP, TRANSPORT_SMC, TRANSPORT_TCP, TRANSPORT_UDP,
    TRANSPORT_UDPLITE, TRANSPORT_UNIX, TRANSPORT_UNKNOWN, VERSION, VIA_COMPAT, VIA_IO_URING,
    VIA_SYSCALL, VIA_UNKNOWN,
};
use zerocopy::FromBytes as _;

use crate::{
    address,
    clock::Clock,
    errno,
    escape::Escaped,
    event::{Call, Connect, Event, Outcome, Settlement},
};

const EISCONN: u32 = 106;
const EALREADY: u32 = 114;
const EINPROGRESS: u32 = 115;

/// Families of [`Endpoints`].
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

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
pub fn decode(bytes: &[u8], clock: Clock) -> Result<Event, Malformed> {
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
    match header.kind {
        KIND_CONNECT => {
            let record = record::Connect::read_from_bytes(bytes).map_err(|_size| wrong_length)?;
            connect(&record, clock).map(Event::Connect)
        }
        KIND_OUTCOME => {
            let record = record::Outcome::read_from_bytes(bytes).map_err(|_size| wrong_length)?;
            outcome(&record, clock).map(Event::Outcome)
        }
        kind => Err(Malformed::Kind(kind)),
    }
}

fn connect(record: &record::Connect, clock: Clock) -> Result<Connect, Malformed> {
    let entry_known = record.call.known & KNOWN_ENTRY != 0;
    let errno = errno::of_return(record.ret);
    let id = id(record.call.entered_ns, record.call.tid);
    let attempt = (record.attempt_entered_ns != 0)
        .then(|| self::id(record.attempt_entered_ns, record.attempt_tid));
    let mut call = call(&record.call, record.transport, &record.endpoints)?;
    if attempt.as_ref() != Some(&id) && !matches!(errno, 0 | EISCONN | EALREADY | EINPROGRESS) {
        // The call has not come so far that the kernel took its address for another.
        call.destination_address = None;
        call.destination_port = None;
    }
    Ok(Connect {
        id,
        attempt,
        timestamp: clock.wall(record.call.entered_ns),
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

fn outcome(record: &record::Outcome, clock: Clock) -> Result<Outcome, Malformed> {
    let outcome = match record.outcome {
        OUTCOME_ESTABLISHED => Settlement::Established,
        OUTCOME_FAILED => Settlement::Failed,
        OUTCOME_ABANDONED => Settlement::Abandoned,
        _ => return Err(Malformed::Field("outcome")),
    };
    let id = id(record.call.entered_ns, record.call.tid);
    Ok(Outcome {
        attempt: id.clone(),
        id,
        timestamp: clock.wall(record.settled_ns),
        call: call(&record.call, record.transport, &record.endpoints)?,
        outcome,
        errno: match (outcome, record.errno) {
            (Settlement::Established, _) => Some(0),
            (Settlement::Abandoned, _) | (Settlement::Failed, 0) => None,
            (Settlement::Failed, errno) => Some(errno),
        },
        error_type: match outcome {
            Settlement::Failed => error_type(record.errno),
            Settlement::Established | Settlement::Abandoned => None,
        },
        duration_ns: record.settled_ns.saturating_sub(record.call.entered_ns),
        left_with: if record.call.via == VIA_UNKNOWN {
            "an unseen call".to_owned()
        } else {
            error_type(errno::of_return(record.ret)).unwrap_or_else(|| "ok".to_owned())
        },
    })
}

/// An attempt that nobody has settled, as its call was.
///
/// # Errors
///
/// [`Malformed`], for anything that the kernel object of this build does not write.
pub fn unsettled(record: &record::Outcome, clock: Clock) -> Result<Connect, Malformed> {
    let errno = errno::of_return(record.ret);
    let id = id(record.call.entered_ns, record.call.tid);
    Ok(Connect {
        attempt: Some(id.clone()),
        id,
        timestamp: clock.wall(record.call.entered_ns),
        call: call(&record.call, record.transport, &record.endpoints)?,
        errno,
        error_type: error_type(errno),
        unsettled: Some(true),
        restarts: None,
        killed: None,
        duration_ns: None,
        handshake_ns: None,
    })
}

fn call(record: &record::Call, transport: u8, endpoints: &Endpoints) -> Result<Call, Malformed> {
    let address_source = match record.address_source {
        ADDRESS_NOT_READ => None,
        ADDRESS_AT_ENTRY => Some("entry"),
        ADDRESS_AT_EXIT => Some("exit"),
        ADDRESS_KERNEL => Some("kernel"),
        _ => return Err(Malformed::Field("address_source")),
    };
    let via = match record.via {
        VIA_SYSCALL => "syscall",
        VIA_IO_URING => "io_uring",
        VIA_COMPAT => "compat",
        VIA_UNKNOWN => "unknown",
        _ => return Err(Malformed::Field("via")),
    };
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
    let passed = address_source.and_then(|_| address::internet(bytes));
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
        address: if address_source.is_some() {
            address::decode(bytes)
        } else {
            address::Address::default()
        },
        address_source,
        transport: self::transport(transport)?,
        local_address: local.map(|at| at.ip()),
        local_port: local.map(|at| at.port()),
        destination_address: elsewhere.map(|at| at.ip()),
        destination_port: elsewhere.map(|at| at.port()),
        via,
    })
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

/// Name of a transport, as OpenTelemetry writes it.
const fn transport(code: u8) -> Result<Option<&'static str>, Malformed> {
    Ok(match code {
        TRANSPORT_UNKNOWN | TRANSPORT_OTHER => None,
        TRANSPORT_TCP => Some("tcp"),
        TRANSPORT_UDP => Some("udp"),
        TRANSPORT_UNIX => Some("unix"),
        TRANSPORT_MPTCP => Some("mptcp"),
        TRANSPORT_SCTP => Some("sctp"),
        TRANSPORT_DCCP => Some("dccp"),
        TRANSPORT_UDPLITE => Some("udplite"),
        TRANSPORT_ICMP => Some("icmp"),
        TRANSPORT_RAW => Some("raw"),
        TRANSPORT_SMC => Some("smc"),
        _ => return Err(Malformed::Field("transport")),
    })
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
