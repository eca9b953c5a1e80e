//! The event model, and with it the public JSON: one struct per event, fields in the order in
//! which they are written, a key absent when its fact is unknown.

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// Everything that can appear in the stream.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every event is a connect, and none is kept"
)]
pub enum Event {
    /// A connect call returned.
    Connect(Connect),
    /// Records were dropped.
    Lost(Lost),
    /// A fact about the observation itself.
    Notice(Notice),
}

/// A connect call that returned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Connect {
    /// The attempt, unique within a boot: a thread enters one call at a time.
    pub id: String,
    /// When the call was entered; when it returned, if its entry was not seen.
    #[serde(serialize_with = "rfc3339")]
    pub timestamp: Timestamp,
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
    /// Whose bytes were read, and when: `entry` or `exit`.
    #[serde(rename = "address.source", skip_serializing_if = "Option::is_none")]
    pub address_source: Option<&'static str>,
    /// What the application got: 0, or an errno.
    pub errno: u32,
    /// Name of the errno.
    #[serde(rename = "error.type", skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// How often the kernel restarted the call after a signal; absent when it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<u32>,
    /// True when the call never returned to the application; the errno is then the kernel's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub killed: Option<bool>,
    /// Time from the first entry to the last return, in ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ns: Option<u64>,
    /// How the call was made.
    pub via: &'static str,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It returned 0.
    Succeeded,
    /// It will be settled after the call.
    InProgress,
    /// It returned an errno.
    Failed,
}

/// `EINPROGRESS`.
const EINPROGRESS: u32 = 115;

impl Connect {
    /// What the errno means for the attempt.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        match self.errno {
            0 => Verdict::Succeeded,
            EINPROGRESS => Verdict::InProgress,
            _ => Verdict::Failed,
        }
    }

    /// The result as a person reads it: `ok`, the errno, or `killed` where there is none, as the
    /// call never returned.
    #[must_use]
    pub fn result(&self) -> &str {
        if self.killed == Some(true) {
            "killed"
        } else {
            self.error_type.as_deref().unwrap_or("ok")
        }
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
    /// Why: see [`crate::collect::Loss`].
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
        coverage: crate::coverage::Coverage,
    },
    /// The hooks are gone.
    Stop {
        /// Since when.
        #[serde(serialize_with = "rfc3339")]
        timestamp: Timestamp,
        /// What was seen, and what was lost.
        #[serde(flatten)]
        totals: crate::totals::Totals,
    },
}

/// What a sockaddr says: see [`crate::address::Address`], whose serialised form this is.
pub use crate::address::Address;

/// A time as the public JSON has it: UTC, with nanoseconds.
pub(crate) fn rfc3339<S: Serializer>(
    timestamp: &Timestamp,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{timestamp:.9}"))
}
