//! Metrics: what the kernel object has counted, and the health of the tool itself, in the formats
//! that Prometheus reads. Everything is read when it is asked for; nothing is kept.

pub mod counters;
pub mod format;
pub mod health;
mod names;
pub mod process;
pub mod ring;
pub mod series;

use std::sync::Arc;

use anyhow::Result;
use connect_ebpf::counter::{
    Counting, LABEL_CGROUP, LABEL_PEER_ADDRESS, LABEL_PEER_PORT, LABEL_PROCESS,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, MetricEncoder, NoLabelSet},
    registry::Registry,
};

use crate::{
    attach::Attached,
    cli::{Label, Serving},
    preflight,
    serve::Bound,
};

use self::{
    counters::{Counters, CountersCollector},
    format::Format,
    health::{HealthCollector, LossCounts},
    process::ProcessCollector,
    ring::RingCollector,
    series::{Series, SeriesCollector},
};

/// Prefix of every metric but those of the process, whose names are common to all exporters.
pub const PREFIX: &str = "connect_observer";

/// Size of a ring buffer that stays empty: a page, on any machine.
const UNUSED_RING_BYTES: u32 = 64 << 10;

/// What the kernel object counts, and how much room it has for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What is counted.
    pub counting: Counting,
    /// How many combinations of labels.
    pub max_series: u32,
}

impl Plan {
    /// Records only.
    pub const RECORDS: Self = Self {
        counting: Counting::DEFAULT,
        max_series: 1,
    };

    /// Counters for a listener, and records or not.
    #[must_use]
    pub fn of(serving: &Serving, bound: &Bound, records: bool) -> Self {
        let labels = label_bits(&serving.labels);
        Self {
            counting: Counting {
                records: u32::from(records),
                counters: 1,
                labels,
                // Elsewhere, the number that we know is somebody else's.
                own_pid: if preflight::require_initial_pid_namespace().is_ok() {
                    std::process::id()
                } else {
                    0
                },
                own_port: bound.address().port().into(),
                own_address: bound.ipv4(),
            },
            max_series: if labels == 0 { 1 } else { serving.max_series },
        }
    }

    /// Size of the ring buffer in bytes: as asked for, or as small as can be.
    #[must_use]
    pub const fn ring_bytes(&self, asked_kib: u32) -> u32 {
        if self.counting.records == 0 {
            UNUSED_RING_BYTES
        } else {
            asked_kib << 10
        }
    }

    /// Number of elements of a map of counters: `full`, or as good as none.
    #[must_use]
    pub fn room(&self, full: usize) -> u32 {
        if self.counting.counters == 0 {
            1
        } else {
            u32::try_from(full).unwrap_or(u32::MAX)
        }
    }
}

fn label_bits(labels: &[Label]) -> u32 {
    labels.iter().fold(0, |bits, label| {
        bits | match label {
            Label::Process => LABEL_PROCESS,
            Label::Cgroup => LABEL_CGROUP,
            Label::PeerPort => LABEL_PEER_PORT,
            Label::PeerAddress => LABEL_PEER_ADDRESS,
        }
    })
}

/// Everything that is served.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    counters: Arc<Counters>,
    series: Option<Series>,
}

impl Metrics {
    /// Of a loaded kernel object.
    ///
    /// # Errors
    ///
    /// Its counters have been taken already.
    pub fn new(
        attached: &mut Attached,
        plan: Plan,
        serving: &Serving,
        losses: LossCounts,
    ) -> Result<Self> {
        let mut registry = Registry::default();
        let own = registry.sub_registry_with_prefix(PREFIX);
        let counters = Arc::new(attached.counters()?);
        own.register_collector(Box::new(CountersCollector(Arc::clone(&counters))));
        own.register_collector(Box::new(HealthCollector::new(attached.hooks()?, losses)));
        if plan.counting.records != 0 {
            let (ring, size) = attached.ring()?;
            own.register_collector(Box::new(RingCollector::new(&ring, size)?));
        }
        let series = if plan.counting.labels == 0 {
            None
        } else {
            let series = Series::new(
                attached.series()?,
                plan.counting.labels,
                plan.max_series,
                serving.series_ttl,
            );
            own.register_collector(Box::new(SeriesCollector(series.clone())));
            Some(series)
        };
        registry.register_collector(Box::new(ProcessCollector));
        Ok(Self {
            registry,
            counters,
            series,
        })
    }

    /// The kernel's counters.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// The metrics as they are now.
    ///
    /// # Errors
    ///
    /// The kernel's counters cannot be read.
    pub fn encode(&self, format: Format) -> Result<Vec<u8>, std::fmt::Error> {
        format.encode(&self.registry)
    }

    /// Forgets series that were not counted for long.
    pub fn tidy(&self) {
        if let Some(series) = &self.series {
            series.tidy();
        }
    }
}

/// One line of a counter.
fn counter<S: EncodeLabelSet>(
    encoder: &mut MetricEncoder<'_>,
    labels: &S,
    value: u64,
) -> std::fmt::Result {
    encoder
        .encode_family(labels)?
        .encode_counter::<NoLabelSet, _, u64>(&value, None)
}

/// One line of a counter of seconds.
fn seconds<S: EncodeLabelSet>(
    encoder: &mut MetricEncoder<'_>,
    labels: &S,
    value: f64,
) -> std::fmt::Result {
    encoder
        .encode_family(labels)?
        .encode_counter::<NoLabelSet, _, u64>(&value, None)
}
