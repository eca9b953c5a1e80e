//! What the kernel object counts for metrics, and how much room it has for that.

use std::net::SocketAddr;

use connect_ebpf::{
    counter::Counting,
    series::{LABEL_CGROUP, LABEL_PEER_ADDRESS, LABEL_PEER_PORT, LABEL_PROCESS},
};

use crate::{
    host::privilege,
    observation::{Label, Observation},
};

/// Size of a ring buffer that stays empty, in bytes: a page, on any machine.
const UNUSED_RING_BYTES: u32 = 64 << 10;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// As the kernel object has it.
    pub counting: Counting,
    /// How many combinations of labels have a series of their own; 1 where none are asked for.
    pub max_series: u32,
    /// Size of the ring buffer, in bytes.
    pub ring_bytes: u32,
}

impl Counts {
    /// For this observation, whose metrics are served at `listening`, if they are.
    #[must_use]
    pub fn of(observation: &Observation, listening: Option<SocketAddr>) -> Self {
        let records = observation.events.is_some();
        let ring_bytes = if records {
            observation.capacity.ring_bytes
        } else {
            UNUSED_RING_BYTES
        };
        let (Some(serving), Some(listening)) = (&observation.serving, listening) else {
            return Self {
                counting: Counting::DEFAULT,
                max_series: 1,
                ring_bytes,
            };
        };
        let labels = serving
            .labels
            .iter()
            .fold(0, |all, label| all | bit(*label));
        Self {
            counting: Counting {
                records: u32::from(records),
                counters: 1,
                labels,
                // In another namespace, the number that we know is somebody else's.
                own_pid: if privilege::in_initial_pid_namespace().unwrap_or(true) {
                    std::process::id()
                } else {
                    0
                },
                own_port: listening.port().into(),
                own_address: match listening {
                    SocketAddr::V4(address) => u32::from_ne_bytes(address.ip().octets()),
                    SocketAddr::V6(_) => 0,
                },
            },
            max_series: if labels == 0 { 1 } else { serving.max_series },
            ring_bytes,
        }
    }

    /// Number of elements of a map of counters: `full`, or as good as none.
    #[must_use]
    pub(super) fn room(&self, full: usize) -> u32 {
        if self.counting.counters == 0 {
            1
        } else {
            u32::try_from(full).unwrap_or(u32::MAX)
        }
    }
}

const fn bit(label: Label) -> u32 {
    match label {
        Label::Process => LABEL_PROCESS,
        Label::Cgroup => LABEL_CGROUP,
        Label::PeerPort => LABEL_PEER_PORT,
        Label::PeerAddress => LABEL_PEER_ADDRESS,
    }
}
