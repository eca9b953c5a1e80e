//! Facts: what is read of the current task, of sockets, registers and memory. Nothing is kept here.

pub(crate) mod address;
#[cfg_attr(bpf_target_arch = "aarch64", path = "architecture/aarch64.rs")]
#[cfg_attr(bpf_target_arch = "x86_64", path = "architecture/x86_64.rs")]
pub(crate) mod architecture;
#[cfg_attr(bpf_target_arch = "aarch64", path = "architecture/compat_aarch64.rs")]
#[cfg_attr(bpf_target_arch = "x86_64", path = "architecture/compat_x86_64.rs")]
pub(crate) mod compat;
pub(crate) mod memory;
pub(crate) mod registers;
mod saved_registers;
pub(crate) mod setting;
pub(crate) mod socket;
pub(crate) mod task;
pub(crate) mod words;
