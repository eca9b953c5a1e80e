//! The event model, and with it the public JSON: one struct per event, fields in the order in
//! which they are written, a key absent when its fact is unknown.

use std::net::IpAddr;

use connect_ebpf::{
    code::{AddressSource, Settlement, SocketType, Transport, Via},
    uapi::errno::EINPROGRESS,
};
use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::{
    address::Address,
    clock::Moment,
    coverage::Coverage,
    totals::{Tally, Totals},
};

/// Everything that can appear in the stream.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// A connect call returned.
    Connect(Connect),
    /// An attempt was settled after its call.
    Outcome(Outcome),
    /// Records were dropped.
    Lost(Lost),
    /// A fact about the observation itself.
    Notice(Notice),
}

impl Event {
    /// What it adds to the sums of a run.
    #[must_use]
    pub fn tally(&self) -> Tally {
        match self {
            Self::Connect(connect) => {
                let verdict = connect.verdict();
                let is = |one| u64::from(verdict == one);
                Tally {
                    events: 1,
                    failed: is(Verdict::Failed),
                    in_progress: is(Verdict::InProgress),
                    unfollowed: u64::from(
                        verdict == Verdict::InProgress && connect.unsettled.is_none(),
                    ),
                    asked_again: is(Verdict::AskedAgain),
                    without_connection: u64::from(
                        verdict == Verdict::Succeeded && !connect.call.connects(),
                    ),
                    ..Tally::default()
                }
            }
            Self::Outcome(outcome) => {
                let is = |one| u64::from(outcome.outcome == one);
                Tally {
                    outcomes: 1,
                    established: is(Settlement::Established),
                    outcomes_failed: is(Settlement::Failed),
                    failed_associations: u64::from(
                        outcome.outcome == Settlement::Failed && !outcome.call.connects(),
                    ),
                    abandoned: is(Settlement::Abandoned),
                    superseded: u64::from(outcome.superseded_by.is_some()),
                    ..Tally::default()
                }
            }
            Self::Lost(_) | Self::Notice(_) => Tally::default(),
        }
    }
}

/// Who called, with which arguments, on which socket: part of every event of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// Process id in the initial pid namespace.
    #[serde(rename = "process.pid")]
    pub pid: u32,
    /// Thread id in the initial pid namespace.
    #[serde(rename = "thread.id")]
    pub tid: u32,
    /// Task name at entry, escaped.
    #[serde(rename = "process.comm")]
    pub comm: String,
    /// Real user id in the initial user namespace.
    #[serde(rename = "process.real_user.id")]
    pub uid: u32,
    /// cgroup v2 id.
    #[serde(rename = "cgroup.id")]
    pub cgroup_id: u64,
    /// The descriptor, as passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fd: Option<i32>,
    /// The length of the address, as passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addrlen: Option<i32>,
    /// What the address says.
    #[serde(flatten)]
    pub address: Address,
    /// Whose copy of the address was read, and when: the caller's at entry or at exit, or the kernel's.
    #[serde(rename = "address.source", skip_serializing_if = "was_not_read")]
    pub address_source: AddressSource,
    /// What the socket is.
    #[serde(rename = "network.transport", skip_serializing_if = "is_unknown")]
    pub transport: Transport,
    /// What kind of socket it is.
    #[serde(rename = "socket.type", skip_serializing_if = "is_unknown_type")]
    pub socket_type: SocketType,
    /// The socket's own address.
    #[serde(
        rename = "network.local.address",
        skip_serializing_if = "Option::is_none"
    )]
    pub local_address: Option<IpAddr>,
    /// The socket's own port.
    #[serde(rename = "network.local.port", skip_serializing_if = "Option::is_none")]
    pub local_port: Option<u16>,
    /// Where the kernel really connects to, if not to the address that was passed.
    #[serde(
        rename = "destination.address",
        skip_serializing_if = "Option::is_none"
    )]
    pub destination_address: Option<IpAddr>,
    /// The port at [`Self::destination_address`].
    #[serde(rename = "destination.port", skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<u16>,
    /// How the call was made.
    pub via: Via,
}

/// Families whose sockets send nothing at a connect, unless they make connections. Those of others, as
/// Bluetooth's, may set up a link all the same.
const CONNECTIONLESS: [&str; 8] = [
    "AF_UNIX",
    "AF_INET",
    "AF_INET6",
    "AF_NETLINK",
    "AF_CAN",
    "AF_TIPC",
    "AF_VSOCK",
    "AF_QIPCRTR",
];

impl Call {
    /// Whether an IPv4-mapped address of IPv6 was passed, so that what is sent is IPv4.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        self.address.network_type == Some("ipv4") && self.passed("AF_INET6")
    }

    /// The family of the address; of an IPv4-mapped one, that of IPv4.
    #[must_use]
    pub fn family(&self) -> Option<&str> {
        if self.is_mapped() {
            Some("AF_INET")
        } else {
            self.address.family.as_deref()
        }
    }

    /// Whether a connection is there when it succeeds: not so of a datagram socket, which only notes its peer, nor
    /// where the call dissolves what was there.
    #[must_use]
    pub fn connects(&self) -> bool {
        self.success() == "ok"
            && !self.transport.is_datagram()
            && !["AF_NETLINK", "AF_PACKET", "AF_QIPCRTR"]
                .into_iter()
                .any(|family| self.passed(family))
    }

    /// What a success comes to, as a person reads it: a connection, or only what the socket has noted.
    #[must_use]
    pub fn success(&self) -> &'static str {
        if self.passed("AF_UNSPEC") {
            "dissolved"
        } else if self.socket_type.is_connectionless()
            && CONNECTIONLESS.into_iter().any(|family| self.passed(family))
        {
            "associated"
        } else {
            "ok"
        }
    }

    /// Whether the address passed is of this family.
    fn passed(&self, family: &str) -> bool {
        self.address.family.as_deref() == Some(family)
    }
}

/// A connect call that returned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Connect {
    /// The call, unique within a boot: a thread enters one call at a time.
    pub id: String,
    /// [`Self::id`] of the call that began the attempt, of which there may be many calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<String>,
    /// When the call was entered; when it returned, if its entry was not seen.
    #[serde(serialize_with = "rfc3339")]
    pub timestamp: Timestamp,
    /// When it returned, as far as that is known.
    #[serde(skip)]
    pub ended: Moment,
    /// The call.
    #[serde(flatten)]
    pub call: Call,
    /// What the application got: 0, or an errno.
    pub errno: u32,
    /// Name of the errno.
    #[serde(rename = "error.type", skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// True when the attempt goes on: its outcome will be an event with this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsettled: Option<bool>,
    /// How often the kernel restarted the call after a signal; absent when it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<u32>,
    /// True when the call never returned to the application; the errno is then the kernel's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub killed: Option<bool>,
    /// Time from the first entry to the last return, in ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ns: Option<u64>,
    /// Time from the SYN to the established connection, in ns, where the call waited for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshake_ns: Option<u64>,
}

/// What became of an attempt that its call left unsettled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// That of the call that began the attempt.
    pub id: String,
    /// [`Self::id`] once more, as every event about an attempt has this key.
    pub attempt: String,
    /// When it was settled.
    #[serde(serialize_with = "rfc3339")]
    pub timestamp: Timestamp,
    /// [`Self::timestamp`], on both clocks.
    #[serde(skip)]
    pub ended: Moment,
    /// The call that began it.
    #[serde(flatten)]
    pub call: Call,
    /// What became of it.
    pub outcome: Settlement,
    /// Of an attempt that was given up, as another address of the same try was established: that one's `id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
    /// 0 if established; why it failed, where that is known; of one that was abandoned, the error that the network
    /// had reported and the application had not read, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<u32>,
    /// Name of the errno.
    #[serde(rename = "error.type", skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// Time from the call's entry to the settlement, in ns.
    pub duration_ns: u64,
    /// What the call had returned: `EINPROGRESS`, `EINTR`, or `ok`.
    #[serde(skip)]
    pub left_with: String,
}

/// The result of a call that never returned, as a person reads it.
pub(crate) const KILLED: &str = "killed";

/// What became of a call, or of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It returned 0, or is established.
    Succeeded,
    /// It will be settled after the call.
    InProgress,
    /// It failed with an errno.
    Failed,
    /// The application gave up.
    Abandoned,
    /// The application needed it no more, as another address of the same try was faster.
    Superseded,
    /// The call only asked for an attempt, which counts where it was begun or is settled.
    AskedAgain,
}

impl Connect {
    /// What it means for the attempt. One that goes on has not failed, whatever its call has returned.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.asks_again() {
            return Verdict::AskedAgain;
        }
        if self.unsettled == Some(true) {
            return Verdict::InProgress;
        }
        match self.errno {
            0 => Verdict::Succeeded,
            EINPROGRESS => Verdict::InProgress,
            _ => Verdict::Failed,
        }
    }

    /// Whether it only asks for an attempt that an earlier call has begun.
    #[must_use]
    pub fn asks_again(&self) -> bool {
        self.attempt
            .as_ref()
            .is_some_and(|attempt| *attempt != self.id)
    }

    /// The result as a person reads it: the errno, or `killed` where there is none, as the call never
    /// returned; of a success `ok`, `associated` of a socket that makes no connections, and `dissolved` where the
    /// socket has no peer from now on.
    #[must_use]
    pub fn result(&self) -> &str {
        if self.killed == Some(true) {
            KILLED
        } else {
            self.error_type
                .as_deref()
                .unwrap_or_else(|| self.call.success())
        }
    }
}

impl Outcome {
    /// What it means for the attempt.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        match self.outcome {
            Settlement::Established => Verdict::Succeeded,
            Settlement::Failed => Verdict::Failed,
            Settlement::Abandoned if self.superseded_by.is_some() => Verdict::Superseded,
            Settlement::Abandoned => Verdict::Abandoned,
            Settlement::Pending => Verdict::InProgress,
        }
    }

    /// The result as a person reads it: `established`, `abandoned`, `superseded`, the errno, or `failed`
    /// where that is not known.
    #[must_use]
    pub fn result(&self) -> &str {
        if self.superseded_by.is_some() {
            return "superseded";
        }
        match (&self.error_type, self.outcome) {
            (Some(error), Settlement::Failed) => error,
            _ => self.outcome.name(),
        }
    }

    /// The name of the error that the network had reported, and that nobody has read, if the attempt was abandoned.
    #[must_use]
    pub fn unread(&self) -> Option<&str> {
        self.error_type
            .as_deref()
            .filter(|_| self.outcome == Settlement::Abandoned)
    }
}

/// Records were dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// When the agent found out.
    #[serde(serialize_with = "rfc3339")]
    pub timestamp: Timestamp,
    /// How many.
    pub count: u64,
    /// Why: see [`crate::loss::Loss`].
    pub reason: &'static str,
}

/// A fact about the observation itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "notice", rename_all = "lowercase")]
pub enum Notice {
    /// The hooks are live.
    Start {
        /// Since when.
        #[serde(serialize_with = "rfc3339")]
        timestamp: Timestamp,
        /// What is seen, and what is not.
        #[serde(flatten)]
        coverage: Coverage,
    },
    /// The hooks are gone.
    Stop {
        /// Since when.
        #[serde(serialize_with = "rfc3339")]
        timestamp: Timestamp,
        /// What was seen, and what was lost.
        #[serde(flatten)]
        totals: Totals,
    },
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn was_not_read(source: &AddressSource) -> bool {
    *source == AddressSource::NotRead
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
pub(crate) const fn is_unknown(transport: &Transport) -> bool {
    !transport.is_known()
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
pub(crate) fn is_unknown_type(socket_type: &SocketType) -> bool {
    *socket_type == SocketType::Unknown
}

/// A time as the public JSON has it: UTC, with nanoseconds.
pub(crate) fn rfc3339<S: Serializer>(
    timestamp: &Timestamp,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{timestamp:.9}"))
}
