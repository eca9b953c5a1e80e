//! Bytes to events: the only place that trusts nothing. Any bytes are either an event or a
//! [`Malformed`] with its reason; none is a panic.

use std::{borrow::Cow, fmt};

use connect_ebpf::record::{
    self, ADDRESS_AT_ENTRY, ADDRESS_AT_EXIT, ADDRESS_NOT_READ, Header, KIND_CONNECT,
    KNOWN_ARGUMENTS, KNOWN_ENTRY, VERSION, VIA_SYSCALL,
};
use zerocopy::FromBytes as _;

use crate::{
    address,
    clock::Clock,
    errno,
    escape::Escaped,
    event::{Connect, Event},
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
        kind => Err(Malformed::Kind(kind)),
    }
}

fn connect(record: &record::Connect, clock: Clock) -> Result<Connect, Malformed> {
    let entry_known = record.known & KNOWN_ENTRY != 0;
    let arguments_known = record.known & KNOWN_ARGUMENTS != 0;
    let address_source = match record.address_source {
        ADDRESS_NOT_READ => None,
        ADDRESS_AT_ENTRY => Some("entry"),
        ADDRESS_AT_EXIT => Some("exit"),
        _ => return Err(Malformed::Field("address_source")),
    };
    let via = match record.via {
        VIA_SYSCALL => "syscall",
        _ => return Err(Malformed::Field("via")),
    };
    let killed = match record.killed {
        0 => false,
        1 => true,
        _ => return Err(Malformed::Field("killed")),
    };
    let address = record
        .address
        .get(..usize::from(record.address_len))
        .ok_or(Malformed::Field("address_len"))?;
    let errno = errno::of_return(record.ret);
    Ok(Connect {
        id: format!("{:x}-{:x}", record.entered_ns, record.tid),
        timestamp: clock.wall(record.entered_ns),
        pid: record.pid,
        tid: record.tid,
        comm: comm(&record.comm),
        uid: record.uid,
        cgroup_id: record.cgroup_id,
        fd: arguments_known.then_some(record.fd),
        addrlen: arguments_known.then_some(record.addrlen),
        address: if address_source.is_some() {
            address::decode(address)
        } else {
            address::Address::default()
        },
        address_source,
        errno,
        error_type: (errno != 0)
            .then(|| errno::label(errno))
            .map(Cow::into_owned),
        restarts: (record.restarts != 0).then_some(record.restarts),
        killed: killed.then_some(true),
        duration_ns: entry_known.then_some(record.duration_ns),
        via,
    })
}

/// A task name up to its NUL, escaped.
fn comm(bytes: &[u8]) -> String {
    let name = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    Escaped(name).to_string()
}
