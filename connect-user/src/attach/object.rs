//! The kernel object, loaded: its settings fixed and its maps made, but no program yet.

use anyhow::{Context as _, Result};
use aya::{Ebpf, EbpfLoader};
use connect_ebpf::{
    attempt::{
        ASSOCIATIONS_ENTRIES, ASSOCIATIONS_MAP, ATTEMPTS_MAP, HANDOVERS_MAP, IDENTITIES_ENTRIES,
        IDENTITIES_MAP,
    },
    counter::{
        COUNTING_GLOBAL, DURATIONS, DURATIONS_MAP, FAILURES, FAILURES_MAP, TALLIES, TALLIES_MAP,
    },
    record::RECORDS_MAP,
    series::SERIES_MAP,
    settings::{
        INFLIGHT_MAP, LINEAGE_ENTRIES, LINEAGE_MAP, OUTCOMES_OFF, REQUESTS_BY_SOCKET_MAP,
        REQUESTS_ENTRIES, REQUESTS_MAP, SETTINGS_GLOBAL, SUSPENDED_MAP, Settings,
        suspended_entries,
    },
};

use super::counts::Counts;
use crate::observation::Capacity;

/// The kernel object, as connect-user/build.rs made it.
pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/connect-ebpf"));

/// Loads it. A map that these settings leave unused has one element.
///
/// # Errors
///
/// The kernel refuses a map.
pub(super) fn load(settings: &Settings, counts: &Counts, capacity: Capacity) -> Result<Ebpf> {
    let used = |is_used, entries| if is_used { entries } else { 1 };
    let suspended = suspended_entries(capacity.threads);
    let attempts = used(settings.outcomes != OUTCOMES_OFF, capacity.attempts);
    let identities = used(
        settings.outcomes != OUTCOMES_OFF && settings.sockets != 0,
        IDENTITIES_ENTRIES,
    );
    let requests = used(settings.io_uring != 0, REQUESTS_ENTRIES);
    EbpfLoader::new()
        .override_global(SETTINGS_GLOBAL, settings, true)
        .override_global(COUNTING_GLOBAL, &counts.counting, true)
        .map_max_entries(RECORDS_MAP, counts.ring_bytes)
        .map_max_entries(INFLIGHT_MAP, capacity.threads)
        .map_max_entries(SUSPENDED_MAP, used(settings.interruptions != 0, suspended))
        .map_max_entries(ATTEMPTS_MAP, attempts)
        .map_max_entries(HANDOVERS_MAP, attempts)
        .map_max_entries(IDENTITIES_MAP, identities)
        .map_max_entries(
            ASSOCIATIONS_MAP,
            used(settings.associations != 0, ASSOCIATIONS_ENTRIES),
        )
        .map_max_entries(REQUESTS_MAP, requests)
        .map_max_entries(REQUESTS_BY_SOCKET_MAP, requests)
        .map_max_entries(LINEAGE_MAP, used(settings.lineage != 0, LINEAGE_ENTRIES))
        .map_max_entries(TALLIES_MAP, counts.room(TALLIES))
        .map_max_entries(FAILURES_MAP, counts.room(FAILURES as usize))
        .map_max_entries(DURATIONS_MAP, counts.room(DURATIONS))
        .map_max_entries(SERIES_MAP, counts.max_series)
        .load(OBJECT)
        .context("the kernel refuses the maps of connect-observer")
}
