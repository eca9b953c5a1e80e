//! What the agent has fixed before the verifier runs, one field at a time.

use aya_ebpf::Global;
use connect_ebpf::{counter::Counting, settings::Settings};

/// Frozen before the verifier runs; see [`Settings`].
#[unsafe(no_mangle)]
pub(crate) static SETTINGS: Global<Settings> = Global::new(Settings::DEFAULT);

/// Frozen before the verifier runs; see [`Counting`].
#[unsafe(no_mangle)]
pub(crate) static COUNTING: Global<Counting> = Global::new(Counting::DEFAULT);

/// Loads one field of a frozen global: only that field, and volatile, as the value at compile time is not
/// the value at run time.
macro_rules! frozen {
    ($global:ident as $type:ty, $($field:ident).+) => {{
        let value = (&raw const $crate::fact::setting::$global).cast::<$type>();
        // SAFETY: `Global` is a transparent wrapper of the value.
        let field = unsafe { &raw const (*value).$($field).+ };
        // SAFETY: the static is initialised, aligned and never written.
        unsafe { core::ptr::read_volatile(field) }
    }};
}
pub(crate) use frozen;

/// One field of the settings: `setting!(pid)`, `setting!(offsets.task_files)`.
macro_rules! setting {
    ($($field:ident).+) => {
        $crate::fact::setting::frozen!(SETTINGS as connect_ebpf::settings::Settings, $($field).+)
    };
}
pub(crate) use setting;

/// One field of what is counted: `counting!(labels)`.
macro_rules! counting {
    ($field:ident) => {
        $crate::fact::setting::frozen!(COUNTING as connect_ebpf::counter::Counting, $field)
    };
}
pub(crate) use counting;
