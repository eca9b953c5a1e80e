//! The way out of the kernel: reserve room for a record, fill it in place, submit. Whatever finds
//! no room is counted.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_PROD_POS};
use connect_ebpf::loss::KernelLoss;

use crate::{
    atomic::increment,
    maps::{LOSSES, RECORDS, setting},
};

/// Reserves a record, has it filled, and submits it; counts [`KernelLoss::RingFull`] where the
/// ring buffer has no room.
#[inline(always)]
pub(crate) fn emit<T: 'static>(fill: impl FnOnce(&mut MaybeUninit<T>)) {
    let _ours = emit_if(fill, || true);
}

/// The same, if it turns out, when the record is filled, that it is ours to submit; returns that.
#[inline(always)]
pub(crate) fn emit_if<T: 'static>(
    fill: impl FnOnce(&mut MaybeUninit<T>),
    is_ours: impl FnOnce() -> bool,
) -> bool {
    let Some(mut record) = RECORDS.reserve::<T>(0) else {
        let ours = is_ours();
        if ours {
            count(KernelLoss::RingFull);
        }
        return ours;
    };
    fill(&mut record);
    let ours = is_ours();
    if ours {
        record.submit(wakeup(size_of::<T>() as u64));
    } else {
        record.discard(u64::from(BPF_RB_NO_WAKEUP));
    }
    ours
}

/// A wake-up costs more than everything else here together, so the agent's timer does the work,
/// and a wake-up comes only with every [`Settings::wakeup_bytes`] written, before the ring buffer
/// can overflow between two ticks.
///
/// [`Settings::wakeup_bytes`]: connect_ebpf::settings::Settings::wakeup_bytes
#[inline(always)]
fn wakeup(length: u64) -> u64 {
    let written = RECORDS.query(u64::from(BPF_RB_PROD_POS));
    let into_stretch = written & u64::from(setting!(wakeup_bytes).wrapping_sub(1));
    // Twice the length: another CPU may have reserved after us.
    if into_stretch < 2 * length {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
    }
}

/// Counts one loss. Returns whether it is the first of its reason on this CPU, which is when it is
/// worth a line in the log.
#[inline(always)]
pub(crate) fn count(reason: KernelLoss) -> bool {
    let Some(counter) = LOSSES.get_ptr_mut(reason.index()) else {
        return true;
    };
    // SAFETY: the pointer is the map's own and its elements are never removed.
    let counter = unsafe { &mut *counter };
    let first = *counter == 0;
    // Atomic, as a softirq may count in the middle of it.
    increment(counter);
    first
}
