//! What the collectors of the kernel's counters have in common.

use std::fmt;

use aya::maps::{MapError, PerCpuValues};
use prometheus_client::encoding::{EncodeLabelSet, MetricEncoder, NoLabelSet};

/// Writes one line of a counter.
pub(super) fn counter<S: EncodeLabelSet>(
    encoder: &mut MetricEncoder<'_>,
    labels: &S,
    value: u64,
) -> fmt::Result {
    encoder
        .encode_family(labels)?
        .encode_counter::<NoLabelSet, _, u64>(&value, None)
}

/// Writes one line of a counter of seconds.
pub(super) fn seconds<S: EncodeLabelSet>(
    encoder: &mut MetricEncoder<'_>,
    labels: &S,
    value: f64,
) -> fmt::Result {
    encoder
        .encode_family(labels)?
        .encode_counter::<NoLabelSet, _, u64>(&value, None)
}

/// Sum over the CPUs.
pub(super) fn sum(per_cpu: &PerCpuValues<u64>) -> u64 {
    per_cpu.iter().sum()
}

/// The kernel's counters cannot be read, or what was read cannot be written.
#[derive(Debug)]
pub(super) struct Unreadable;

impl From<MapError> for Unreadable {
    fn from(error: MapError) -> Self {
        log::error!("cannot read the kernel's counters: {error}");
        Self
    }
}

impl From<fmt::Error> for Unreadable {
    fn from(_: fmt::Error) -> Self {
        Self
    }
}

impl From<Unreadable> for fmt::Error {
    fn from(_: Unreadable) -> Self {
        Self
    }
}
