//! The kernel's counters, read and added up over the CPUs.

use std::fmt::{self, Debug, Formatter};

use aya::maps::MapError;
use connect_ebpf::{
    code::{CallResult, Settlement},
    counter::{Durations, Failure, TRANSPORTS, Tally, durations_index, tally_index},
    family::{CLASSES, COARSE_CLASSES},
    histogram::{BUCKETS, Histogram},
};

use super::encode::{Unreadable, sum};
use crate::attach::maps::CounterMaps;

/// The kernel's counters.
pub struct Counters(CounterMaps);

/// Sums of connects and of attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Connects that returned.
    pub returned: u64,
    /// Connects that returned an errno other than EINPROGRESS.
    pub failed: u64,
    /// Connects that returned EINPROGRESS.
    pub in_progress: u64,
    /// Attempts that were established.
    pub established: u64,
    /// Attempts that failed.
    pub outcomes_failed: u64,
    /// Attempts that were abandoned.
    pub abandoned: u64,
}

/// Counts of one class of families and one transport, of which some are not 0.
pub(super) struct Counted {
    pub(super) class: u8,
    pub(super) transport: u8,
    tally: Tally,
}

impl Counted {
    /// Connects by the number of their [`connect_ebpf::code::Via`] and by result. The failures among them
    /// are those whose errno found no room.
    pub(super) fn calls(&self) -> impl Iterator<Item = (u8, CallResult, u64)> {
        (0..).zip(self.tally.results).flat_map(|(via, counts)| {
            let results = CallResult::ALL.iter().zip(counts);
            results.map(move |(&result, count)| (via, result, count))
        })
    }

    /// Attempts by what became of them; [`Settlement::Pending`] stands for those that have begun.
    pub(super) fn attempts(&self) -> impl Iterator<Item = (Settlement, u64)> {
        Settlement::ALL.iter().copied().zip(self.tally.outcomes)
    }
}

/// Failures by errno, and how many there were of each.
pub(super) type Failures = Vec<(Failure, u64)>;

impl Counters {
    /// Of these maps.
    #[must_use]
    pub const fn new(maps: CounterMaps) -> Self {
        Self(maps)
    }

    /// Sums of all connects and attempts.
    ///
    /// # Errors
    ///
    /// The kernel does not let its counters be read.
    pub fn sums(&self) -> Result<Sums, MapError> {
        let mut sums = Sums::default();
        for counted in self.tallies()? {
            for (_, result, count) in counted.calls() {
                match result {
                    CallResult::Success => {}
                    CallResult::InProgress => sums.in_progress += count,
                    CallResult::Failure => sums.failed += count,
                    CallResult::Unreturned => continue,
                }
                sums.returned += count;
            }
            for (settlement, count) in counted.attempts() {
                match settlement {
                    Settlement::Pending => {}
                    Settlement::Established => sums.established += count,
                    Settlement::Failed => sums.outcomes_failed += count,
                    Settlement::Abandoned => sums.abandoned += count,
                }
            }
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

    pub(super) fn tallies(&self) -> Result<Vec<Counted>, MapError> {
        let mut all = Vec::new();
        for (class, transport) in pairs(CLASSES) {
            let per_cpu = self.0.tallies.get(&tally_index(class, transport), 0)?;
            let mut tally = Tally {
                results: Default::default(),
                outcomes: Default::default(),
            };
            for counts in per_cpu.iter() {
                add(
                    tally.results.as_flattened_mut(),
                    counts.results.as_flattened(),
                );
                add(&mut tally.outcomes, &counts.outcomes);
            }
            let mut counts = tally.results.as_flattened().iter().chain(&tally.outcomes);
            if counts.any(|&count| count > 0) {
                all.push(Counted {
                    class,
                    transport,
                    tally,
                });
            }
        }
        Ok(all)
    }

    pub(super) fn failures(&self) -> Result<Failures, MapError> {
        let mut failures = Vec::new();
        for entry in &self.0.failures {
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

    /// Calls back with every histogram that is not empty, by coarse class, transport and code.
    pub(super) fn durations<Code: Copy>(
        &self,
        codes: [Code; 3],
        select: fn(&Durations) -> &[Histogram; 3],
        mut each: impl FnMut(u8, u8, Code, &Histogram) -> fmt::Result,
    ) -> Result<(), Unreadable> {
        for (class, transport) in pairs(COARSE_CLASSES) {
            let index = durations_index(class, transport);
            let per_cpu = self.0.durations.get(&index, 0)?;
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
            for (code, sum) in codes.into_iter().zip(sums) {
                if sum.buckets.iter().any(|&count| count > 0) {
                    each(class, transport, code, &sum)?;
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

fn add(sums: &mut [u64], counts: &[u64]) {
    for (sum, count) in sums.iter_mut().zip(counts) {
        // One CPU may have taken back what another has counted.
        *sum = sum.wrapping_add(*count);
    }
}

/// Every class below `classes` with every transport.
fn pairs(classes: usize) -> impl Iterator<Item = (u8, u8)> {
    let below = |bound: usize| 0..u8::try_from(bound).unwrap_or(u8::MAX);
    below(classes).flat_map(move |class| below(TRANSPORTS).map(move |transport| (class, transport)))
}
