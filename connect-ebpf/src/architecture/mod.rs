//! What differs between processors: where a task saves its registers, and how a system call is made,
//! taken back and made again. One file per processor, with the same items.

#[cfg(bpf_target_arch = "aarch64")]
mod aarch64;
#[cfg(bpf_target_arch = "x86_64")]
mod x86_64;

#[cfg(bpf_target_arch = "aarch64")]
pub(crate) use aarch64::*;
#[cfg(bpf_target_arch = "x86_64")]
pub(crate) use x86_64::*;
