//! Archives as the kernel unpacks them into its first file system: the `newc` format of
//! Documentation/driver-api/early-userspace/buffer-format.rst.

/// Grows by each file. Everything in it is root's.
#[derive(Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    pub(super) fn directory(&mut self, path: &str) {
        self.entry(path, 0o040_755, &[]);
    }

    pub(super) fn file(&mut self, path: &str, bytes: &[u8]) {
        self.entry(path, 0o100_644, bytes);
    }

    pub(super) fn program(&mut self, path: &str, bytes: &[u8]) {
        self.entry(path, 0o100_755, bytes);
    }

    pub(super) fn link(&mut self, path: &str, target: &str) {
        self.entry(path, 0o120_777, target.as_bytes());
    }

    /// The whole archive. Another may follow it.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    /// Paths and contents end where a word does.
    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        // No file of an initrd has 4 GiB.
        let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let (inode, links, size_of_path) = (self.entries, 1, size(path.len() + 1));
        // inode, mode, uid, gid, links, mtime, size, device (4), length of the path, checksum.
        let fields = [
            inode,
            mode,
            0,
            0,
            links,
            0,
            size(content.len()),
            0,
            0,
            0,
            0,
            size_of_path,
            0,
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn entries_are_padded_to_words() {
        let mut archive = Archive::default();
        archive.file("a", b"text!");
        let bytes = archive.end();
        let header = 6 + 13 * 8;
        assert!(bytes.starts_with(b"07070100000001000081a4"));
        assert_eq!(bytes.get(header..header + 2), Some(&b"a\0"[..]));
        assert_eq!(
            bytes.get(header + 2..header + 10),
            Some(&b"text!\0\0\0"[..])
        );
        assert_eq!(bytes.len() % 4, 0);
    }
}
