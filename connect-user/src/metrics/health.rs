//! The tool itself: its hooks, what it lost, what it is.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use prometheus_client::{
    collector::Collector, encoding::DescriptorEncoder, metrics::MetricType, registry::Unit,
};

use super::encode::{counter, seconds};
use crate::{
    attach::link::HookState,
    host::{kernel, program},
    loss::Loss,
    totals::Totals,
};

/// Losses by reason, on their way from who counts them to who serves them.
#[derive(Clone, Debug, Default)]
pub struct LossCounts(Arc<[AtomicU64; Loss::ALL.len()]>);

impl LossCounts {
    /// Publishes what has been lost until now.
    pub fn publish(&self, totals: &Totals) {
        for (count, loss) in self.0.iter().zip(Loss::ALL) {
            count.store(
                totals.reasons.get(loss.name()).copied().unwrap_or(0),
                Relaxed,
            );
        }
    }
}

/// Serves the health of the tool.
#[derive(Debug)]
pub struct HealthCollector {
    hooks: Vec<HookState>,
    losses: LossCounts,
}

impl HealthCollector {
    /// Of these hooks, and of what is published.
    #[must_use]
    pub const fn new(hooks: Vec<HookState>, losses: LossCounts) -> Self {
        Self { hooks, losses }
    }
}

impl Collector for HealthCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        build_info(&mut encoder)?;
        self.losses(&mut encoder)?;
        self.attached(&mut encoder)?;
        if program::is_measured() {
            self.runs(&mut encoder)?;
            self.run_time(&mut encoder)?;
        }
        Ok(())
    }
}

impl HealthCollector {
    fn losses(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut encoder = encoder.encode_descriptor(
            "events_lost",
            "Events that were not delivered, and calls that were not seen, by reason",
            None,
            MetricType::Counter,
        )?;
        for (count, loss) in self.losses.0.iter().zip(Loss::ALL) {
            counter(
                &mut encoder,
                &[("reason", loss.name())],
                count.load(Relaxed),
            )?;
        }
        Ok(())
    }

    fn attached(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut encoder = encoder.encode_descriptor(
            "hook_attached",
            "Whether a hook is in place: 1 or 0",
            None,
            MetricType::Gauge,
        )?;
        for hook in &self.hooks {
            encoder
                .encode_family(&[("hook", hook.name.as_str())])?
                .encode_gauge(&u64::from(!hook.programs.is_empty()))?;
        }
        Ok(())
    }

    fn runs(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut encoder = encoder.encode_descriptor(
            "hook_runs",
            "Runs of a hook while the kernel's BPF statistics were on",
            None,
            MetricType::Counter,
        )?;
        for (hook, runs) in self.summed("run_cnt:") {
            counter(&mut encoder, &[("hook", hook)], runs)?;
        }
        Ok(())
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "years in ns are exact to the microsecond"
    )]
    fn run_time(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut encoder = encoder.encode_descriptor(
            "hook_run_time",
            "Time spent in a hook while the kernel's BPF statistics were on",
            Some(&Unit::Seconds),
            MetricType::Counter,
        )?;
        for (hook, run_time_ns) in self.summed("run_time_ns:") {
            seconds(&mut encoder, &[("hook", hook)], run_time_ns as f64 / 1e9)?;
        }
        Ok(())
    }

    /// Sums over the programs of each hook that is attached; hooks of which the kernel says nothing are absent.
    fn summed(&self, key: &str) -> impl Iterator<Item = (&str, u64)> {
        let of_program = move |program| program::number(program, key);
        let attached = self.hooks.iter().filter(|hook| !hook.programs.is_empty());
        attached.filter_map(move |hook| {
            let values: Option<Vec<_>> = hook.programs.iter().map(of_program).collect();
            Some((hook.name.as_str(), values?.into_iter().sum()))
        })
    }
}

fn build_info(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut encoder = encoder.encode_descriptor(
        "build_info",
        "What is running; always 1",
        None,
        MetricType::Gauge,
    )?;
    let kernel = kernel::release();
    let labels = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("arch", std::env::consts::ARCH),
        ("kernel", &kernel),
    ];
    encoder.encode_family(&labels)?.encode_gauge(&1_u64)
}
