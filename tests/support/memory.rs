//! Memory whose every page is as a case needs it.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd as _,
    ptr::with_exposed_provenance_mut,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Result, ensure};

use super::sockaddr::Sockaddr;

/// Size of a page in bytes.
pub(crate) fn page_size() -> usize {
    // SAFETY: takes and returns integers.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// A place that a pointer of 32 bits reaches, each time another one.
#[cfg(target_arch = "x86_64")]
fn low_place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0x4000_0000);
    NEXT.fetch_add(1 << 20, Ordering::Relaxed)
}

/// Pages that nobody else uses, unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Pages {
    start: *mut u8,
    count: usize,
}

/// What may be done with a page.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Access {
    None,
    ReadWrite,
}

impl Pages {
    /// Fresh anonymous pages, none of them present.
    pub(crate) fn fresh(count: usize) -> Result<Self> {
        Self::map(count, libc::MAP_ANONYMOUS, -1)
    }

    /// A private mapping of a file, none of whose pages is present.
    pub(crate) fn of_file(file: &File, count: usize) -> Result<Self> {
        Self::map(count, 0, file.as_raw_fd())
    }

    /// Makes one where a pointer of 32 bits reaches.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn low(count: usize) -> Result<Self> {
        Self::map_at(low_place(), count, libc::MAP_ANONYMOUS, -1)
    }

    /// Maps a file there, of which no page is present.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn low_of_file(file: &File, count: usize) -> Result<Self> {
        Self::map_at(low_place(), count, 0, file.as_raw_fd())
    }

    fn map(count: usize, flags: i32, fd: i32) -> Result<Self> {
        // Far from where the kernel and the C library put things by themselves, or a hole would not
        // stay one. Each mapping has a part of its own.
        static NEXT: AtomicUsize = AtomicUsize::new(0x1000_0000_0000);
        Self::map_at(NEXT.fetch_add(1 << 30, Ordering::Relaxed), count, flags, fd)
    }

    fn map_at(place: usize, count: usize, flags: i32, fd: i32) -> Result<Self> {
        let start = with_exposed_provenance_mut(place);
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED_NOREPLACE | flags;
        let length = count * page_size();
        // SAFETY: a new mapping; MAP_FIXED_NOREPLACE takes nobody's place.
        let mapped = unsafe { libc::mmap(start, length, protection, flags, fd, 0) };
        ensure!(
            mapped == start,
            "cannot map: {}",
            io::Error::last_os_error()
        );
        Ok(Self {
            start: mapped.cast(),
            count,
        })
    }

    /// Address of the byte at `offset`.
    pub(crate) fn address(&self, offset: usize) -> u64 {
        (self.start.expose_provenance() + offset) as u64
    }

    /// Writes an address into the pages, which makes them present, and returns where it is.
    pub(crate) fn put(&mut self, offset: usize, address: &Sockaddr) -> u64 {
        self.put_bytes(offset, &address.bytes)
    }

    /// Puts any bytes there.
    pub(crate) fn put_bytes(&mut self, offset: usize, bytes: &[u8]) -> u64 {
        let end = offset + bytes.len();
        assert!(end <= self.count * page_size(), "does not fit");
        // SAFETY: within the mapping, as was just checked.
        let destination = unsafe { self.start.add(offset) };
        // SAFETY: within the mapping too, and nobody else has a pointer into it.
        unsafe {
            destination.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        self.address(offset)
    }

    /// Takes one page away, and leaves a hole.
    pub(crate) fn unmap(&mut self, page: usize) -> Result<()> {
        // SAFETY: a page of ours, to which no reference exists.
        let result = unsafe { libc::munmap(self.page(page), page_size()) };
        ensure!(result == 0, "cannot unmap: {}", io::Error::last_os_error());
        Ok(())
    }

    /// Forgets that one page is present. Its bytes are those of the file again, or zero.
    pub(crate) fn drop_page(&mut self, page: usize) -> Result<()> {
        // SAFETY: a page of ours, to which no reference exists.
        let result = unsafe { libc::madvise(self.page(page), page_size(), libc::MADV_DONTNEED) };
        ensure!(
            result == 0,
            "cannot drop a page: {}",
            io::Error::last_os_error()
        );
        Ok(())
    }

    pub(crate) fn protect(&mut self, page: usize, access: Access) -> Result<()> {
        let protection = match access {
            Access::None => libc::PROT_NONE,
            Access::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
        };
        // SAFETY: a page of ours, to which no reference exists.
        let result = unsafe { libc::mprotect(self.page(page), page_size(), protection) };
        ensure!(
            result == 0,
            "cannot protect: {}",
            io::Error::last_os_error()
        );
        Ok(())
    }

    fn page(&self, page: usize) -> *mut libc::c_void {
        assert!(page < self.count, "no such page");
        // SAFETY: within the mapping, as was just checked.
        unsafe { self.start.add(page * page_size()) }.cast()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours alone, and nobody else maps anything into its holes.
        unsafe {
            libc::munmap(self.start.cast(), self.count * page_size());
        }
    }
}
