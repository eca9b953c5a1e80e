//! Counters in a hash, which may have no room for another key.

use aya_ebpf::{bindings::BPF_NOEXIST, maps::PerCpuHashMap};

use super::atomic::increment;

/// Counts one more under a key; false where the map has no room for it.
#[inline(always)]
pub(super) fn count<K>(map: &PerCpuHashMap<K, u64>, key: &K) -> bool {
    if map.get_ptr(key).is_none() {
        // Another CPU may be faster, which is as well: the entry is there, with a count for each.
        let _exists = map.insert(key, &0, u64::from(BPF_NOEXIST));
    }
    match map.get_ptr_mut(key) {
        Some(count) => {
            // SAFETY: the pointer is the map's own and this CPU's.
            increment(unsafe { &mut *count });
            true
        }
        None => false,
    }
}
