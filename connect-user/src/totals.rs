//! The sums of a run.

use std::{collections::BTreeMap, fmt, ops};

use serde::{Serialize, Serializer};

use crate::loss::Loss;

/// Events by what they say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Connects.
    pub events: u64,
    /// Connects that returned an errno other than EINPROGRESS.
    pub failed: u64,
    /// Connects that returned EINPROGRESS.
    pub in_progress: u64,
    /// Outcomes, of attempts that their call had left unsettled.
    pub outcomes: u64,
    /// Outcomes: the connection was established.
    #[serde(rename = "outcomes.established")]
    pub established: u64,
    /// Outcomes: the attempt failed.
    #[serde(rename = "outcomes.failed")]
    pub outcomes_failed: u64,
    /// Outcomes: the application gave up.
    #[serde(rename = "outcomes.abandoned")]
    pub abandoned: u64,
}

impl Tally {
    /// Connects and outcomes.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.events + self.outcomes
    }
}

impl ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.failed += other.failed;
        self.in_progress += other.in_progress;
        self.outcomes += other.outcomes;
        self.established += other.established;
        self.outcomes_failed += other.outcomes_failed;
        self.abandoned += other.abandoned;
    }
}

/// What was delivered, and what was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// What was written to the output.
    #[serde(flatten)]
    pub tally: Tally,
    /// Attempts that were not settled when the observation ended.
    pub unsettled: u64,
    /// Connects and outcomes that happened and were not delivered.
    pub lost: u64,
    /// [`Self::lost`] by reason, as `lost.REASON`; a reason that never occurred is absent.
    #[serde(flatten, serialize_with = "prefixed")]
    pub reasons: BTreeMap<&'static str, u64>,
}

impl Totals {
    /// Counts losses.
    pub fn lose(&mut self, reason: Loss, count: u64) {
        if count > 0 {
            self.lost += count;
            *self.reasons.entry(reason.name()).or_default() += count;
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tally,
            unsettled,
            lost,
            reasons,
        } = self;
        write!(
            f,
            "totals: events {}, failed {}, in progress {}; outcomes {}, established {}, failed {}, \
             abandoned {}, unsettled {unsettled}; lost {lost}",
            tally.events,
            tally.failed,
            tally.in_progress,
            tally.outcomes,
            tally.established,
            tally.outcomes_failed,
            tally.abandoned,
        )?;
        let mut separator = " (";
        for (reason, count) in reasons {
            write!(f, "{separator}{reason} {count}")?;
            separator = ", ";
        }
        if reasons.is_empty() {
            Ok(())
        } else {
            f.write_str(")")
        }
    }
}

fn prefixed<S: Serializer>(
    reasons: &BTreeMap<&'static str, u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(
        reasons
            .iter()
            .map(|(reason, count)| (format!("lost.{reason}"), count)),
    )
}
