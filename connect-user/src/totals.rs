//! The sums of a run.

use std::{collections::BTreeMap, fmt, ops};

use serde::{Serialize, Serializer};

use crate::{
    collect::Loss,
    event::{Connect, Verdict},
};

/// Connects by verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// All of them.
    pub events: u64,
    /// Those that returned an errno other than EINPROGRESS.
    pub failed: u64,
    /// Those that returned EINPROGRESS.
    pub in_progress: u64,
}

impl Tally {
    /// One connect.
    #[must_use]
    pub fn of(connect: &Connect) -> Self {
        let verdict = connect.verdict();
        Self {
            events: 1,
            failed: u64::from(verdict == Verdict::Failed),
            in_progress: u64::from(verdict == Verdict::InProgress),
        }
    }
}

impl ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.failed += other.failed;
        self.in_progress += other.in_progress;
    }
}

/// What was delivered, and what was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Connects written to the output.
    #[serde(flatten)]
    pub tally: Tally,
    /// Connects that were made and not delivered.
    pub lost: u64,
    /// The same by reason, as `lost.REASON`; a reason that never occurred is absent.
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
            lost,
            reasons,
        } = self;
        write!(
            f,
            "totals: events {}, failed {}, in progress {}, lost {lost}",
            tally.events, tally.failed, tally.in_progress
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
