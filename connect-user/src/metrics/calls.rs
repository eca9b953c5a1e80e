//! Connects, attempts and how long they took, as metrics.

use std::{borrow::Cow, fmt, sync::Arc};

use connect_ebpf::{
    code::{CallResult, Settlement},
    counter::Failure,
    family::class_name,
};
use prometheus_client::{
    collector::Collector, encoding::DescriptorEncoder, metrics::MetricType, registry::Unit,
};

use super::{
    counters::{Counted, Counters, Failures},
    encode::{Unreadable, counter},
    histogram::histogram,
    labels,
};

/// Serves [`Counters`].
#[derive(Debug)]
pub struct CallsCollector(pub Arc<Counters>);

impl Collector for CallsCollector {
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
    tallies: &[Counted],
    failures: &Failures,
) -> fmt::Result {
    let mut encoder = encoder.encode_descriptor(
        "connects",
        "Connect calls that returned to the application, by what they returned",
        None,
        MetricType::Counter,
    )?;
    let mut line = |class, transport, via, errno: &str, count| {
        let labels = [
            ("family", class_name(class)),
            ("transport", &labels::transport(transport)),
            ("via", &labels::via(via)),
            ("errno", errno),
        ];
        counter(&mut encoder, &labels, count)
    };
    for counted in tallies {
        for (via, result, count) in counted.calls() {
            let errno = match result {
                CallResult::Success => "none",
                CallResult::InProgress => "EINPROGRESS",
                CallResult::Failure => "other",
                CallResult::Unreturned => continue,
            };
            if count > 0 {
                line(counted.class, counted.transport, via, errno, count)?;
            }
        }
    }
    for (failure, count) in failures {
        if failure.via != Failure::OUTCOME {
            let errno = labels::errno(failure.errno);
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

fn unreturned(encoder: &mut DescriptorEncoder<'_>, tallies: &[Counted]) -> fmt::Result {
    let mut encoder = encoder.encode_descriptor(
        "connects_unreturned",
        "Connect calls that never returned, as the thread ended or a signal handler left by a jump",
        None,
        MetricType::Counter,
    )?;
    for counted in tallies {
        for (via, result, count) in counted.calls() {
            if result == CallResult::Unreturned && count > 0 {
                let labels = [
                    ("family", class_name(counted.class)),
                    ("transport", &labels::transport(counted.transport)),
                    ("via", &labels::via(via)),
                ];
                counter(&mut encoder, &labels, count)?;
            }
        }
    }
    Ok(())
}

fn outcomes(
    encoder: &mut DescriptorEncoder<'_>,
    tallies: &[Counted],
    failures: &Failures,
) -> fmt::Result {
    let mut encoder = encoder.encode_descriptor(
        "outcomes",
        "Attempts that were settled, by what became of them",
        None,
        MetricType::Counter,
    )?;
    let mut line = |class, transport, outcome: Settlement, errno: Cow<'static, str>, count| {
        let labels = [
            ("family", class_name(class)),
            ("transport", &labels::transport(transport)),
            ("outcome", outcome.name()),
            ("errno", &errno),
        ];
        counter(&mut encoder, &labels, count)
    };
    for counted in tallies {
        for (outcome, count) in counted.attempts() {
            let errno = match outcome {
                Settlement::Pending => continue,
                Settlement::Failed => "other",
                Settlement::Established | Settlement::Abandoned => "none",
            };
            if count > 0 {
                line(
                    counted.class,
                    counted.transport,
                    outcome,
                    errno.into(),
                    count,
                )?;
            }
        }
    }
    for (failure, count) in failures {
        if failure.via == Failure::OUTCOME {
            let errno = labels::errno(failure.errno);
            let outcome = Settlement::Failed;
            line(failure.family, failure.transport, outcome, errno, *count)?;
        }
    }
    Ok(())
}

fn attempts_in_progress(
    encoder: &mut DescriptorEncoder<'_>,
    tallies: &[Counted],
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
    for (settlement, count) in tallies.iter().flat_map(Counted::attempts) {
        match settlement {
            Settlement::Pending => begun += count,
            Settlement::Established | Settlement::Failed | Settlement::Abandoned => {
                settled += count;
            }
        }
    }
    for (failure, count) in failures {
        if failure.via == Failure::OUTCOME {
            settled += count;
        }
    }
    // The counters are read one after the other, so more may be settled than had begun.
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
        CallResult::RETURNED,
        |durations| &durations.connect,
        |class, transport, result, sum| {
            let labels = [
                ("family", labels::coarse_class(class)),
                ("transport", &labels::transport(transport)),
                ("result", result.name()),
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
        Settlement::FINAL,
        |durations| &durations.handshake,
        |class, transport, outcome, sum| {
            let labels = [
                ("family", labels::coarse_class(class)),
                ("transport", &labels::transport(transport)),
                ("outcome", outcome.name()),
            ];
            histogram(&mut encoder.encode_family(&labels)?, sum)
        },
    )?)
}
