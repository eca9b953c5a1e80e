//! The kernel's own memory, read at addresses and offsets that may be wrong.

use core::ptr::with_exposed_provenance;

use aya_ebpf::helpers::bpf_probe_read_kernel;

/// What lies so many bytes behind this address of the kernel's; `None` where nothing does. T is an
/// integer, or made of integers.
#[inline(always)]
pub(crate) fn read<T>(base: u64, offset: u32) -> Option<T> {
    let address = with_exposed_provenance(base.wrapping_add(u64::from(offset)) as usize);
    // SAFETY: the helper checks the address, and any bytes are a T.
    unsafe { bpf_probe_read_kernel(address) }.ok()
}

/// A field of a structure of the kernel's; `None` where its offset is not known.
#[inline(always)]
pub(crate) fn field<T>(base: u64, offset: u32) -> Option<T> {
    if offset == 0 {
        return None;
    }
    read(base, offset)
}
