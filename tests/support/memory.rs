//! Memory whose every page is as a case needs it.

use std::{fs::File, io, os::fd::AsRawFd as _, ptr::null_mut};

use anyhow::{Result, ensure};

use super::sockaddr::Sockaddr;

/// Size of a page in bytes.
pub(crate) fn page_size() -> usize {
    // SAFETY: takes and returns integers.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
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

    fn map(count: usize, flags: i32, fd: i32) -> Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let length = count * page_size();
        // SAFETY: a new mapping, wherever the kernel likes it.
        let start = unsafe {
            libc::mmap(
                null_mut(),
                length,
                protection,
                libc::MAP_PRIVATE | flags,
                fd,
                0,
            )
        };
        ensure!(
            start != libc::MAP_FAILED,
            "cannot map: {}",
            io::Error::last_os_error()
        );
        Ok(Self {
            start: start.cast(),
            count,
        })
    }

    /// Address of the byte at `offset`.
    pub(crate) fn address(&self, offset: usize) -> u64 {
        (self.start.expose_provenance() + offset) as u64
    }

    /// Writes an address into the pages, which makes them present, and returns where it is.
    pub(crate) fn put(&mut self, offset: usize, address: &Sockaddr) -> u64 {
        let end = offset + address.len();
        assert!(end <= self.count * page_size(), "does not fit");
        // SAFETY: within the mapping, as was just checked.
        let destination = unsafe { self.start.add(offset) };
        // SAFETY: within the mapping too, and nobody else has a pointer into it.
        unsafe {
            destination.copy_from_nonoverlapping(address.bytes.as_ptr(), address.len());
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
        // SAFETY: the mapping is ours alone; holes in it do no harm.
        unsafe {
            libc::munmap(self.start.cast(), self.count * page_size());
        }
    }
}
