//! How full the ring buffer is.

use std::{
    fmt, io,
    os::fd::{AsFd as _, OwnedFd},
    ptr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use prometheus_client::{
    collector::Collector, encoding::DescriptorEncoder, metrics::MetricType, registry::Unit,
};
use rustix::{
    mm::{MapFlags, ProtFlags, mmap, munmap},
    param::page_size,
};

use crate::attach::maps::Ring;

/// The two pages at the beginning of a ring buffer in which consumer and producer say how far they
/// are (`kernel/bpf/ringbuf.c`), mapped to be read.
#[derive(Debug)]
struct Position(ptr::NonNull<AtomicU64>);

// SAFETY: the page is only read, atomically, and stays mapped until this is dropped.
#[expect(unsafe_code, reason = "a pointer into a mapping")]
unsafe impl Send for Position {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "a pointer into a mapping")]
unsafe impl Sync for Position {}

impl Position {
    /// Maps page `page` of the ring buffer.
    fn map(ring: &OwnedFd, page: u64) -> io::Result<Self> {
        let offset = page * page_size() as u64;
        #[expect(unsafe_code, reason = "no library maps these pages")]
        // SAFETY: a new mapping, at an address that the kernel chooses, which nobody else knows.
        let page = unsafe {
            mmap(
                ptr::null_mut(),
                page_size(),
                ProtFlags::READ,
                MapFlags::SHARED,
                ring.as_fd(),
                offset,
            )
        }?;
        ptr::NonNull::new(page.cast())
            .map(Self)
            .ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    fn get(&self) -> u64 {
        #[expect(unsafe_code, reason = "a pointer into a mapping")]
        // SAFETY: the page is mapped, aligned and begins with the number, which the kernel changes.
        unsafe { self.0.as_ref() }.load(Relaxed)
    }
}

impl Drop for Position {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "no library unmaps these pages")]
        // SAFETY: what `map` has mapped, and nobody has a reference into it.
        let unmapped = unsafe { munmap(self.0.as_ptr().cast(), page_size()) };
        if let Err(error) = unmapped {
            log::debug!("cannot unmap a page of the ring buffer: {error}");
        }
    }
}

/// Serves how full the ring buffer is.
#[derive(Debug)]
pub struct RingCollector {
    consumer: Position,
    producer: Position,
    size: u32,
}

impl RingCollector {
    /// Of this ring buffer.
    ///
    /// # Errors
    ///
    /// It cannot be mapped.
    pub fn new(ring: &Ring) -> io::Result<Self> {
        Ok(Self {
            consumer: Position::map(&ring.descriptor, 0)?,
            producer: Position::map(&ring.descriptor, 1)?,
            size: ring.size,
        })
    }
}

impl Collector for RingCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut bytes = |name, help, value: u64| {
            encoder
                .encode_descriptor(name, help, Some(&Unit::Bytes), MetricType::Gauge)?
                .encode_gauge(&value)
        };
        bytes(
            "ring_buffer_size",
            "Size of the ring buffer",
            self.size.into(),
        )?;
        // The consumer first: it only ever comes nearer to the producer.
        let consumed = self.consumer.get();
        let pending = self.producer.get().saturating_sub(consumed);
        bytes(
            "ring_buffer_pending",
            "Bytes in the ring buffer that the agent has not taken yet",
            pending.min(self.size.into()),
        )
    }
}
