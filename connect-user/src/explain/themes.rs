//! All that there is to say, by theme.

use super::{caller, entry::Entry, families, network, outcomes, path, policy, resources};

/// Every entry of an errno.
const THEMES: &[&[Entry]] = &[
    network::ENTRIES,
    path::ENTRIES,
    policy::ENTRIES,
    resources::ENTRIES,
    caller::ENTRIES,
    families::ENTRIES,
];

/// Every entry of an errno.
pub(super) fn errnos() -> impl Iterator<Item = &'static Entry> {
    THEMES.iter().copied().flatten()
}

/// The entry of an errno with this name, if connect is known to return it.
pub(super) fn errno(name: &str) -> Option<&'static Entry> {
    errnos().find(|entry| entry.name == name)
}

/// Every entry of an outcome.
pub(super) fn outcomes() -> impl Iterator<Item = &'static Entry> {
    outcomes::ENTRIES.iter()
}

/// The entry of an outcome with this name.
pub(super) fn outcome(name: &str) -> Option<&'static Entry> {
    outcomes().find(|entry| entry.name == name)
}
