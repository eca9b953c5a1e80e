//! The ring buffer: reserve room for a record, fill it in place, submit. Whatever finds no room is counted.

use aya_ebpf::{
    bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_PROD_POS},
    macros::map,
    maps::RingBuf,
};
use connect_ebpf::{loss::KernelLoss, settings::RING_BYTES};

use super::loss::lose;
use crate::fact::setting::setting;

/// Records on their way to the agent.
#[map]
static RECORDS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// Reserves a record, has all of it written, and submits it; counts [`KernelLoss::RingFull`] where the
/// ring buffer has no room.
#[inline(always)]
pub(crate) fn submit<T: 'static>(write: impl FnOnce(*mut T)) {
    let Some(mut record) = RECORDS.reserve::<T>(0) else {
        lose(KernelLoss::RingFull);
        return;
    };
    write(record.as_mut_ptr());
    record.submit(wakeup(size_of::<T>() as u64));
}

/// As [`submit`], but a record is submitted, or its loss counted, only if it is still wanted when all of it is
/// written. Returns whether it is.
#[inline(always)]
pub(crate) fn submit_if<T: 'static>(
    write: impl FnOnce(*mut T),
    is_wanted: impl Fn() -> bool,
) -> bool {
    let Some(mut record) = RECORDS.reserve::<T>(0) else {
        let is_wanted = is_wanted();
        if is_wanted {
            lose(KernelLoss::RingFull);
        }
        return is_wanted;
    };
    write(record.as_mut_ptr());
    if is_wanted() {
        record.submit(wakeup(size_of::<T>() as u64));
        true
    } else {
        record.discard(u64::from(BPF_RB_NO_WAKEUP));
        false
    }
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
