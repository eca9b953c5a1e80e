//! The account of an observation: what was lost, and where it has been reported.

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::Timestamp;

use crate::{
    collect::Collector,
    event::Lost,
    loss::Loss,
    metrics::health::LossCounts,
    totals::{Scope, Tally, Totals},
};

/// Losses from the beginning on.
#[derive(Debug)]
pub(super) struct Account {
    totals: Totals,
    /// Losses that the stream of events has not reported yet.
    unreported: BTreeMap<&'static str, u64>,
    /// Losses on their way to the metrics.
    published: LossCounts,
}

impl Account {
    /// Nothing was lost yet.
    pub(super) fn new(published: LossCounts, scope: Scope) -> Self {
        Self {
            totals: Totals {
                scope,
                ..Totals::default()
            },
            unreported: BTreeMap::new(),
            published,
        }
    }

    /// Counts losses.
    pub(super) fn lose(&mut self, loss: Loss, count: u64) {
        self.totals.lose(loss, count);
        *self.unreported.entry(loss.name()).or_default() += count;
    }

    /// Asks the kernel object what it has lost since the last time.
    pub(super) fn ask(&mut self, collector: &mut Collector) -> Result<()> {
        for (loss, count) in collector.losses()? {
            self.lose(loss, count);
        }
        Ok(())
    }

    /// Hands the losses over to the metrics.
    pub(super) fn publish(&self) {
        self.published.publish(&self.totals);
    }

    /// The losses that the stream has not reported yet, one for each reason.
    pub(super) fn unreported(&self) -> Vec<Lost> {
        let timestamp = Timestamp::now();
        self.unreported
            .iter()
            .map(|(&reason, &count)| Lost {
                timestamp,
                count,
                reason,
            })
            .collect()
    }

    /// The report of a loss, which was counted before, has not reached the stream.
    pub(super) fn report_again(&mut self, reason: &'static str, count: u64) {
        *self.unreported.entry(reason).or_default() += count;
    }

    /// The stream has reported the losses of this reason.
    pub(super) fn reported(&mut self, reason: &str) {
        self.unreported.remove(reason);
    }

    /// How many attempts nobody has settled when the observation ends.
    pub(super) const fn unsettled(&mut self, count: usize) {
        self.totals.unsettled = count as u64;
    }

    /// The totals, with this delivered.
    pub(super) fn totals(&self, tally: Tally) -> Totals {
        Totals {
            tally,
            ..self.totals.clone()
        }
    }
}
