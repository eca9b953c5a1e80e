//! Connects, outcomes and their durations, as the kernel object has counted them.

use std::{
    fmt::{self, Debug, Formatter},
    sync::Arc,
};

use aya::maps::{MapData, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues};
use connect_ebpf::counter::{
    BOUNDS_NS, BUCKETS, CLASSIC_BOUNDS_NS, COARSE_FAMILIES, Durations, FAMILIES, Failure,
    Histogram, NATIVE_EXPONENT_MAX, NATIVE_EXPONENT_MIN, OUTCOME_BEGUN, RESULT_FAILURE,
    RESULT_IN_PROGRESS, RESULT_SUCCESS, RESULT_UNRETURNED, TRANSPORTS, Tally, durations_index,
    native_bound_ns, tally_index,
};
use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, MetricEncoder, NativeHistogram, NativeHistogramBuckets, NoLabelSet,
    },
    metrics::MetricType,
    registry::Unit,
};

use super::{counter, names};

/// Nanoseconds in a second.
const SECOND_NS: f64 = 1e9;

/// The kernel's counters.
pub struct Counters {
    tallies: PerCpuArray<MapData, Tally>,
    failures: PerCpuHashMap<MapData, Failure, u64>,
    durations: PerCpuArray<MapData, Durations>,
}

/// Sums of connects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// That returned.
    pub returned: u64,
    /// With an errno other than EINPROGRESS.
    pub failed: u64,
    /// With EINPROGRESS.
    pub in_progress: u64,
    /// Attempts that were established.
    pub established: u64,
    /// Attempts that failed.
    pub outcomes_failed: u64,
    /// Attempts that were abandoned.
    pub abandoned: u64,
}

/// The tallies that are not 0, with family and transport.
type Tallies = Vec<(u8, u8, Tally)>;
/// The failures by errno.
type Failures = Vec<(Failure, u64)>;

impl Counters {
    /// Of these maps.
    #[must_use]
    pub const fn new(
        tallies: PerCpuArray<MapData, Tally>,
        failures: PerCpuHashMap<MapData, Failure, u64>,
        durations: PerCpuArray<MapData, Durations>,
    ) -> Self {
        Self {
            tallies,
            failures,
            durations,
        }
    }

    /// Sums of all connects.
    ///
    /// # Errors
    ///
    /// The counters cannot be read.
    pub fn sums(&self) -> Result<Sums, MapError> {
        let mut sums = Sums::default();
        for (_, _, tally) in self.tallies()? {
            for [success, in_progress, failure, _] in tally.results {
                sums.returned += success + in_progress + failure;
                sums.in_progress += in_progress;
                sums.failed += failure;
            }
            let [_, established, failed, abandoned] = tally.outcomes;
            sums.established += established;
            sums.outcomes_failed += failed;
            sums.abandoned += abandoned;
        }
        for (failure, count) in self.failures()? {
            if failure.via == Failure::OUTCOME {
                sums.outcomes_failed += count;
            } else {
                sums.returned += count;
                sums.failed += count;
            }
        }
        Ok(sums)
    }

    fn tallies(&self) -> Result<Tallies, MapError> {
        let mut tallies = Vec::new();
        for (family, transport) in pairs(FAMILIES) {
            let per_cpu = self.tallies.get(&tally_index(family, transport), 0)?;
            let mut sum = Tally {
                results: [[0; 4]; 4],
                outcomes: [0; 4],
            };
            for tally in per_cpu.iter() {
                add(sum.results.as_flattened_mut(), tally.results.as_flattened());
                add(&mut sum.outcomes, &tally.outcomes);
            }
            if sum.results.as_flattened().iter().any(|&count| count > 0)
                || sum.outcomes.iter().any(|&count| count > 0)
            {
                tallies.push((family, transport, sum));
            }
        }
        Ok(tallies)
    }

    fn failures(&self) -> Result<Failures, MapError> {
        let mut failures = Vec::new();
        for entry in &self.failures {
            let (failure, per_cpu) = entry?;
            failures.push((failure, sum(&per_cpu)));
        }
        failures.sort_unstable_by_key(|(failure, _)| {
            (
                failure.via,
                failure.family,
                failure.transport,
                failure.errno,
            )
        });
        Ok(failures)
    }

    /// Calls back with every histogram that is not empty.
    fn durations(
        &self,
        select: fn(&Durations) -> &[Histogram; 3],
        mut each: impl FnMut(u8, u8, usize, &Histogram) -> fmt::Result,
    ) -> Result<(), Unreadable> {
        for (family, transport) in pairs(COARSE_FAMILIES) {
            let per_cpu = self.durations.get(&durations_index(family, transport), 0)?;
            let mut sums = [Histogram {
                sum_ns: 0,
                buckets: [0; BUCKETS],
            }; 3];
            for durations in per_cpu.iter() {
                for (sum, histogram) in sums.iter_mut().zip(select(durations)) {
                    sum.sum_ns = sum.sum_ns.wrapping_add(histogram.sum_ns);
                    add(&mut sum.buckets, &histogram.buckets);
                }
            }
            for (index, sum) in sums.iter().enumerate() {
                if sum.buckets.iter().any(|&count| count > 0) {
                    each(family, transport, index, sum)?;
                }
            }
        }
        Ok(())
    }
}

impl Debug for Counters {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters").finish_non_exhaustive()
    }
}

/// Sum over the CPUs.
pub(super) fn sum(per_cpu: &PerCpuValues<u64>) -> u64 {
    per_cpu.iter().sum()
}

fn add(sums: &mut [u64], counts: &[u64]) {
    for (sum, count) in sums.iter_mut().zip(counts) {
        // One CPU may have taken back what another has counted.
        *sum = sum.wrapping_add(*count);
    }
}

/// Every family below `families` with every transport.
fn pairs(families: usize) -> impl Iterator<Item = (u8, u8)> {
    let below = |bound: usize| 0..u8::try_from(bound).unwrap_or(u8::MAX);
    below(families)
        .flat_map(move |family| below(TRANSPORTS).map(move |transport| (family, transport)))
}

/// The kernel does not let its counters be read.
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

/// Serves [`Counters`].
#[derive(Debug)]
pub struct CountersCollector(pub Arc<Counters>);

impl Collector for CountersCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(counters) = self;
        let tallies = counters.tallies().map_err(Unreadable::from)?;
        let failures = counters.failures().map_err(Unreadable::from)?;
        connects(&mut encoder, &tallies, &failures)?;
        unreturned(&mut encoder, &tallies)?;
        connect_durations(&mut encoder, counters)?;
        outcomes(&mut encoder, &tallies, &failures)?;
        handshake_durations(&mut encoder, counters)?;
        attempts_in_progress(&mut encoder, &tallies, &failures)
    }
}

fn connects(
    encoder: &mut DescriptorEncoder<'_>,
    tallies: &Tallies,
    failures: &Failures,
) -> fmt::Result {
    let mut encoder = encoder.encode_descriptor(
        "connects",
        "Connect calls that returned to the application, by what they returned",
        None,
        MetricType::Counter,
    )?;
    let mut line = |family, transport, via, errno: &str, count| {
        let labels = [
            ("family", names::family(family)),
            ("transport", &names::transport(transport)),
            ("via", &names::via(via)),
            ("errno", errno),
        ];
        counter(&mut encoder, &labels, count)
    };
    for &(family, transport, tally) in tallies {
        for (via, results) in (0..).zip(tally.results) {
            for (result, errno) in [
                (RESULT_SUCCESS, "none"),
                (RESULT_IN_PROGRESS, "EINPROGRESS"),
                (RESULT_FAILURE, "other"),
            ] {
                let count = results.get(result).copied().unwrap_or(0);
                if count > 0 {
                    line(family, transport, via, errno, count)?;
                }
            }
        }
    }
    for (failure, count) in failures {
        if failure.via != Failure::OUTCOME {
            let errno = names::errno(failure.errno);
            line(
                failure.family,
                failure.transport,
                failure.via,
                &errno,
                *count,
            )?;
        }
    }
    Ok(())
}

fn unreturned(encoder: &mut DescriptorEncoder<'_>, tallies: &Tallies) -> fmt::Result {
    let mut encoder = encoder.encode_descriptor(
        "connects_unreturned",
        "Connect calls that never returned, as the thread ended or a signal handler left by a jump",
        None,
        MetricType::Counter,
    )?;
    for &(family, transport, tally) in tallies {
        for (via, results) in (0..).zip(tally.results) {
            let count = results.get(RESULT_UNRETURNED).copied().unwrap_or(0);
            if count > 0 {
                let labels = [
                    ("family", names::family(family)),
                    ("transport", &names::transport(transport)),
                    ("via", &names::via(via)),
                ];
                counter(&mut encoder, &labels, count)?;
            }
        }
    }
    Ok(())
}

fn outcomes(
    encoder: &mut DescriptorEncoder<'_>,
    tallies: &Tallies,
    failures: &Failures,
) -> fmt::Result {
    let mut encoder = encoder.encode_descriptor(
        "outcomes",
        "Attempts that were settled, by what became of them",
        None,
        MetricType::Counter,
    )?;
    let mut line = |family, transport, outcome, errno: &str, count| {
        let labels = [
            ("family", names::family(family)),
            ("transport", &names::transport(transport)),
            ("outcome", outcome),
            ("errno", errno),
        ];
        counter(&mut encoder, &labels, count)
    };
    for &(family, transport, tally) in tallies {
        let [_, settled @ ..] = tally.outcomes;
        for (outcome, count) in names::OUTCOMES.into_iter().zip(settled) {
            if count > 0 {
                let errno = if outcome == FAILED { "other" } else { "none" };
                line(family, transport, outcome, errno, count)?;
            }
        }
    }
    for (failure, count) in failures {
        if failure.via == Failure::OUTCOME {
            let errno = names::errno(failure.errno);
            line(failure.family, failure.transport, FAILED, &errno, *count)?;
        }
    }
    Ok(())
}

/// The outcome that has an errno.
const FAILED: &str = names::OUTCOMES[1];

fn attempts_in_progress(
    encoder: &mut DescriptorEncoder<'_>,
    tallies: &Tallies,
    failures: &Failures,
) -> fmt::Result {
    let mut encoder = encoder.encode_descriptor(
        "attempts_in_progress",
        "Attempts that have begun and are not settled yet",
        None,
        MetricType::Gauge,
    )?;
    let mut begun = 0_u64;
    let mut settled = 0_u64;
    for (_, _, tally) in tallies {
        begun += tally.outcomes.get(OUTCOME_BEGUN).copied().unwrap_or(0);
        settled += tally.outcomes.iter().skip(1).sum::<u64>();
    }
    for (failure, count) in failures {
        if failure.via == Failure::OUTCOME {
            settled += count;
        }
    }
    // The counters are not all read at the same moment.
    encoder.encode_gauge(&begun.saturating_sub(settled))
}

fn connect_durations(encoder: &mut DescriptorEncoder<'_>, counters: &Counters) -> fmt::Result {
    let mut encoder = encoder.encode_descriptor(
        "connect_duration",
        "Time in the connect call, of calls whose entry was seen",
        Some(&Unit::Seconds),
        MetricType::Histogram,
    )?;
    Ok(counters.durations(
        |durations| &durations.connect,
        |family, transport, result, sum| {
            let labels = [
                ("family", names::coarse_family(family)),
                ("transport", &names::transport(transport)),
                (
                    "result",
                    names::RESULTS.get(result).copied().unwrap_or_default(),
                ),
            ];
            histogram(&mut encoder.encode_family(&labels)?, sum)
        },
    )?)
}

fn handshake_durations(encoder: &mut DescriptorEncoder<'_>, counters: &Counters) -> fmt::Result {
    let mut encoder = encoder.encode_descriptor(
        "handshake_duration",
        "Time from the start of an attempt to its settlement",
        Some(&Unit::Seconds),
        MetricType::Histogram,
    )?;
    Ok(counters.durations(
        |durations| &durations.handshake,
        |family, transport, outcome, sum| {
            let labels = [
                ("family", names::coarse_family(family)),
                ("transport", &names::transport(transport)),
                (
                    "outcome",
                    names::OUTCOMES.get(outcome).copied().unwrap_or_default(),
                ),
            ];
            histogram(&mut encoder.encode_family(&labels)?, sum)
        },
    )?)
}

/// A histogram, classic and native.
#[expect(
    clippy::cast_precision_loss,
    reason = "a sum of years in ns is exact to the microsecond"
)]
fn histogram(encoder: &mut MetricEncoder<'_>, histogram: &Histogram) -> fmt::Result {
    let count = histogram.buckets.iter().sum();
    let classic = classic_buckets(histogram);
    let (zero_count, deltas) = native_buckets(histogram);
    let length = u32::try_from(deltas.len()).unwrap_or(u32::MAX);
    encoder.encode_histogram_with_native::<NoLabelSet>(
        histogram.sum_ns as f64 / SECOND_NS,
        count,
        &classic,
        None,
        NativeHistogram {
            schema: 0,
            zero_threshold: f64::from(NATIVE_EXPONENT_MIN).exp2(),
            zero_count,
            negative: NativeHistogramBuckets {
                spans: &[],
                deltas: &[],
            },
            positive: NativeHistogramBuckets {
                // Bucket i holds what is above 2^(i-1) and not above 2^i.
                spans: &[(NATIVE_EXPONENT_MIN + 1, length)],
                deltas: &deltas,
            },
            created: None,
        },
    )
}

/// Counts by upper bound in seconds, not accumulated.
#[expect(clippy::cast_precision_loss, reason = "a bound is at most 130 s")]
fn classic_buckets(histogram: &Histogram) -> Vec<(f64, u64)> {
    let bounds = CLASSIC_BOUNDS_NS.into_iter().chain([u64::MAX]);
    let mut counts = split(histogram, bounds.clone());
    bounds
        .map(|bound| {
            let seconds = if bound == u64::MAX {
                f64::INFINITY
            } else {
                bound as f64 / SECOND_NS
            };
            (seconds, counts.next().unwrap_or(0))
        })
        .collect()
}

/// The count of what is nearly 0, and the differences from each bucket to the next. The last holds
/// everything that is longer than the highest bound.
fn native_buckets(histogram: &Histogram) -> (u64, Vec<i64>) {
    let bounds = (NATIVE_EXPONENT_MIN..=NATIVE_EXPONENT_MAX).map(native_bound_ns);
    let mut counts = split(histogram, bounds.chain([u64::MAX]));
    let zero_count = counts.next().unwrap_or(0);
    let mut before = 0;
    let deltas = counts.map(|count| {
        let count = count.cast_signed();
        count - std::mem::replace(&mut before, count)
    });
    (zero_count, deltas.collect())
}

/// Counts between bounds, of which each is one of [`BOUNDS_NS`] and the last is above them all.
fn split(histogram: &Histogram, bounds: impl Iterator<Item = u64>) -> impl Iterator<Item = u64> {
    let mut buckets = BOUNDS_NS
        .into_iter()
        .chain([u64::MAX])
        .zip(histogram.buckets)
        .peekable();
    bounds.map(move |bound| {
        let mut sum = 0;
        while let Some((_, count)) = buckets.next_if(|&(upper, _)| upper <= bound) {
            sum += count;
        }
        sum
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// One duration in each bucket.
    const EVEN: Histogram = Histogram {
        sum_ns: 0,
        buckets: [1; BUCKETS],
    };

    #[test]
    fn bounds_ascend_and_are_those_of_both_kinds() {
        assert!(BOUNDS_NS.is_sorted_by(|a, b| a < b));
        for bound in CLASSIC_BOUNDS_NS {
            assert!(BOUNDS_NS.contains(&bound), "{bound}");
        }
        for exponent in NATIVE_EXPONENT_MIN..=NATIVE_EXPONENT_MAX {
            assert!(BOUNDS_NS.contains(&native_bound_ns(exponent)), "{exponent}");
        }
    }

    #[test]
    fn classic_buckets_hold_what_is_not_above_their_bound() {
        let buckets = classic_buckets(&EVEN);
        let mut accumulated = 0;
        for (bound, count) in buckets {
            accumulated += count;
            let upper_ns = (bound * SECOND_NS).round();
            let expected = BOUNDS_NS.iter().filter(|&&upper| {
                Duration::from_nanos(upper).as_secs_f64() * SECOND_NS <= upper_ns
            });
            let above = usize::from(bound == f64::INFINITY);
            assert_eq!(accumulated, (expected.count() + above) as u64, "{bound}");
        }
        assert_eq!(accumulated, BUCKETS as u64);
    }

    #[test]
    fn native_buckets_hold_everything() {
        let (zero, deltas) = native_buckets(&EVEN);
        let mut count = 0;
        let mut sum = zero.cast_signed();
        for delta in &deltas {
            count += delta;
            sum += count;
        }
        assert_eq!(sum, BUCKETS.cast_signed() as i64);
        assert_eq!(deltas.len(), 25);
        // Only 130 s and what is above it lie above 128 s.
        assert_eq!(count, 2);
    }
}
