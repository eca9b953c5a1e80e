//! The kernel's own memory, read at addresses and offsets that may be wrong.

use core::{mem::MaybeUninit, ptr::with_exposed_provenance};

use aya_ebpf::helpers::{bpf_probe_read_kernel, generated};

/// What lies so many bytes behind this address of the kernel's; `None` where nothing does. T is an
/// integer, or made of integers.
#[inline(always)]
pub(crate) fn read<T>(base: u64, offset: u32) -> Option<T> {
    let address = with_exposed_provenance(base.wrapping_add(u64::from(offset)) as usize);
    // SAFETY: the helper checks the address, and any bytes are a T.
    unsafe { bpf_probe_read_kernel(address) }.ok()
}

/// What lies there; all 0 where nothing does, as the helper then writes. So nothing has to be told apart, which
/// spares the verifier half of the ways that follow. T is an integer, or made of integers.
#[inline(always)]
pub(crate) fn read_or_zero<T>(base: u64, offset: u32) -> T {
    let address = with_exposed_provenance(base.wrapping_add(u64::from(offset)) as usize);
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper checks the address, and writes all of the value in any case.
    let _failed = unsafe {
        generated::bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, address)
    };
    // SAFETY: all of it has been written, and any bytes are a T.
    unsafe { value.assume_init() }
}

/// Reads what lies there straight to where it is needed; false where nothing lies there.
#[inline(always)]
pub(crate) fn read_to<T>(to: &mut T, base: u64, offset: u32) -> bool {
    let address = with_exposed_provenance(base.wrapping_add(u64::from(offset)) as usize);
    // SAFETY: the helper checks the address, and any bytes are a T.
    unsafe {
        generated::bpf_probe_read_kernel((&raw mut *to).cast(), size_of::<T>() as u32, address) == 0
    }
}

/// A field of a structure of the kernel's; `None` where its offset is not known.
#[inline(always)]
pub(crate) fn field<T>(base: u64, offset: u32) -> Option<T> {
    if offset == 0 {
        return None;
    }
    read(base, offset)
}
