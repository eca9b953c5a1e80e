//! Histograms as Prometheus reads them: classic and native, from one set of buckets.

use std::fmt;

use connect_ebpf::histogram::{
    BOUNDS_NS, CLASSIC_BOUNDS_NS, Histogram, NATIVE_EXPONENT_MAX, NATIVE_EXPONENT_MIN,
    native_bound_ns,
};
use prometheus_client::encoding::{
    MetricEncoder, NativeHistogram, NativeHistogramBuckets, NoLabelSet,
};

/// Nanoseconds in a second.
const SECOND_NS: f64 = 1e9;

/// Writes a histogram, classic and native.
#[expect(
    clippy::cast_precision_loss,
    reason = "a sum of years in ns is exact to the microsecond"
)]
pub(super) fn histogram(encoder: &mut MetricEncoder<'_>, histogram: &Histogram) -> fmt::Result {
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

    use connect_ebpf::histogram::BUCKETS;

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
