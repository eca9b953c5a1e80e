//! The end of a call: it is counted and reported, unless a filter says no, and leaves its attempt.

use connect_ebpf::{record::Connect, series::LABEL_CGROUP};

use super::{attempt, call::Call, observed};
use crate::{
    fact::{
        setting::{counting, setting},
        words,
    },
    output::{count, ring},
};

/// Ends a call that has returned, or never will.
///
/// A function of its own, as a call can be over in many places, some of them in loops: the verifier
/// would follow every way through this together with every way through each of them. And everything
/// stands in the call's entry: of what it does not know, the verifier follows one way, and not one for each value.
#[inline(never)]
pub(super) fn end(call: &mut Call) {
    attempt::conclude(call);
    if observed::connect(&call.connect) {
        let is_shown = counting!(records) != 0 && !is_shown_elsewhere(call);
        if is_shown || counting!(labels) & LABEL_CGROUP != 0 {
            call.note_cgroup();
        }
        count::connect(&call.connect);
        if is_shown {
            report(call);
        }
    } else if counting!(records) != 0 && observed::is_rival(&call.connect) {
        report(call);
    }
    // After the record, so that the outcome's comes behind it.
    attempt::leave(call);
}

/// Whether each attempt is shown once, and this call's is shown by another event: by that of its outcome, which
/// will come, or by that of the call that began it.
#[inline(always)]
fn is_shown_elsewhere(call: &Call) -> bool {
    let Connect {
        unsettled,
        attempt_entered_ns,
        ..
    } = call.connect;
    let only_asks = call.attempt_sk == 0 && attempt_entered_ns != 0;
    setting!(settled_only) != 0 && (unsettled != 0 || only_asks)
}

/// A function of its own, as the stacks of all that call each other have 512 bytes together.
#[inline(never)]
fn report(call: &mut Call) {
    call.note_endpoints();
    ring::submit::<Connect>(|record| {
        // SAFETY: both begin at a multiple of eight, and all of the record is written.
        unsafe { words::copy(record, &raw const call.connect) }
    });
}
