//! Registers that a task saved when it entered the kernel, whichever processor it runs on.

/// Registers that a task saved.
#[derive(Clone, Copy)]
pub(crate) struct SavedRegisters {
    /// Which system call it is in; negative in an interrupt or fault.
    pub(crate) system_call: i64,
    /// The first three arguments of the system call that it is in.
    pub(crate) arguments: [u64; 3],
    /// What the system call is going to return, as far as that is decided.
    pub(crate) result: i64,
    /// Where the task makes the system call.
    pub(crate) place: Place,
}

/// Where in its program a thread stands.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Place {
    /// The stack pointer; 0 where it is not known.
    pub(crate) stack_pointer: u64,
    /// The instruction pointer; 0 where it is not known.
    pub(crate) instruction_pointer: u64,
}

impl Place {
    /// A place that is not known.
    pub(crate) const UNKNOWN: Self = Self {
        stack_pointer: 0,
        instruction_pointer: 0,
    };
}

impl SavedRegisters {
    /// Of a task whose registers cannot be read.
    pub(crate) const UNKNOWN: Self = Self {
        system_call: 0,
        arguments: [0; 3],
        result: 0,
        place: Place::UNKNOWN,
    };
}
