//! Where the running kernel's structures have their fields: `/sys/kernel/btf/vmlinux`.
//!
//! The format is that of `Documentation/bpf/btf.rst` and `include/uapi/linux/btf.h` in the kernel. A
//! reader of the few structures that are needed takes 2 ms, where a whole model of the kernel's
//! types takes a hundred.

use std::{collections::HashMap, fs, mem, path::Path};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use connect_ebpf::settings::Offsets;

/// Where the kernel has its own BTF.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// What the running kernel's BTF says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Offsets of everything that the kernel object reads by itself.
    pub offsets: Offsets,
    /// The raw tracepoints of io_uring, if they have the arguments that the kernel object expects.
    pub io_uring: Option<RawIoUring>,
    /// Functions that can be hooked, and their ids.
    pub functions: Functions,
}

/// Functions of the kernel, by name, with the id of their type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Functions(Vec<(&'static str, u32)>);

impl Functions {
    /// What aya needs to hook into them. Of the kernel's whole BTF, aya would make a model of 20 MB,
    /// only to look up an id: so all other types are blank.
    ///
    /// # Errors
    ///
    /// aya does not understand it, which is a bug.
    pub fn to_btf(&self) -> Result<aya::Btf> {
        aya::Btf::parse(&self.to_bytes()?, aya::Endianness::default())
            .map_err(|error| anyhow!(error).context("the functions' BTF is not understood"))
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut ids = self.0.clone();
        ids.sort_unstable_by_key(|&(_, id)| id);
        let mut strings = vec![0];
        let mut types = Vec::new();
        for (name, id) in ids {
            let start = usize::try_from(id)?.saturating_sub(1) * TYPE_LENGTH;
            while types.len() < start {
                types.extend(blank(0, KIND_FWD));
            }
            types.extend(blank(u32::try_from(strings.len())?, KIND_FUNC));
            strings.extend(name.bytes().chain([0]));
        }
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        // Version and flags.
        bytes.extend([1, 0]);
        let length = u32::try_from(types.len())?;
        for number in [
            HEADER_LENGTH,
            0,
            length,
            length,
            u32::try_from(strings.len())?,
        ] {
            bytes.extend(number.to_ne_bytes());
        }
        bytes.extend(types);
        bytes.extend(strings);
        Ok(bytes)
    }
}

/// A type of which nothing is known but its name.
fn blank(name: u32, kind: u32) -> impl Iterator<Item = u8> {
    [name, kind << 24, 0].into_iter().flat_map(u32::to_ne_bytes)
}

/// Functions that the kernel object hooks into.
const HOOKED: [&str; 3] = ["__sys_connect", "__sys_connect_file", RT_SIGRETURN];

/// The function behind `rt_sigreturn(2)`, which the kernel's `SYSCALL_DEFINE0` makes: of its own on
/// x86-64, the system call's entry on 64-bit Arm.
pub const RT_SIGRETURN: &str = if cfg!(target_arch = "aarch64") {
    "__arm64_sys_rt_sigreturn"
} else {
    "__do_sys_rt_sigreturn"
};

/// The raw tracepoints of io_uring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawIoUring {
    /// Name of the one at a submission.
    pub submit: &'static str,
    /// Whether the one at a completion has a pointer to it, and not its parts.
    pub complete_cqe: bool,
}

/// Reads it.
///
/// # Errors
///
/// The kernel has no BTF, or a structure is not as expected: which one.
pub fn layout() -> Result<Layout> {
    layout_in(Path::new(VMLINUX))
}

fn layout_in(path: &Path) -> Result<Layout> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut btf = Btf::parse(
        &bytes,
        &[
            "task_struct",
            "thread_info",
            "files_struct",
            "fdtable",
            "file",
            "inode",
            "socket_alloc",
            "socket",
            "sock",
            "sock_common",
            "inet_sock",
            "k_sigaction",
            "sigaction",
            "io_kiocb",
            "io_cqe",
            "io_connect",
            SUBMIT_REQ,
            SUBMIT_SQE,
            COMPLETE,
            REQ_FAILED,
        ],
    )
    .with_context(|| format!("{} is not understood", path.display()))?;
    Ok(Layout {
        offsets: offsets(&btf)?,
        io_uring: io_uring(&btf),
        functions: Functions(mem::take(&mut btf.functions)),
    })
}

fn offsets(btf: &Btf<'_>) -> Result<Offsets> {
    let at = |structure, field| {
        btf.offset(structure, field)
            .with_context(|| format!("the kernel's struct {structure} has no field {field}"))
    };
    // What connect-ebpf/src/socket.rs copies as a whole.
    for (structure, field, expected) in [
        ("fdtable", "max_fds", 0),
        ("fdtable", "fd", 8),
        ("socket_alloc", "socket", 0),
        ("socket", "state", 0),
        ("socket", "type", 4),
        ("socket", "file", 16),
        ("socket", "sk", 24),
        ("sock", "__sk_common", 0),
        ("sock_common", "skc_daddr", 0),
        ("sock_common", "skc_rcv_saddr", 4),
        ("sock_common", "skc_dport", 12),
        ("sock_common", "skc_family", 16),
        ("inet_sock", "sk", 0),
        // And what connect-ebpf/src/task.rs takes a task to begin with.
        ("task_struct", "thread_info", 0),
    ] {
        let found = at(structure, field)?;
        ensure!(
            found == expected,
            "the kernel's struct {structure} has {field} at {found}, not {expected}"
        );
    }
    // Absent from a kernel without IPv6.
    let sock_v6_daddr = btf.offset("sock_common", "skc_v6_daddr").unwrap_or(0);
    if sock_v6_daddr != 0 {
        let found = at("sock_common", "skc_v6_rcv_saddr")?;
        ensure!(
            found == sock_v6_daddr + 16,
            "the kernel's struct sock_common has its IPv6 addresses apart"
        );
    }
    // Absent where there is no io_uring, or not yet.
    let io = |structure, field| btf.offset(structure, field).unwrap_or(0);
    let io_kiocb_fd = match (btf.offset("io_kiocb", "cqe"), btf.offset("io_cqe", "fd")) {
        (Some(cqe), Some(fd)) => cqe + fd,
        _ => 0,
    };
    Ok(Offsets {
        task_files: at("task_struct", "files")?,
        files_fdt: at("files_struct", "fdt")?,
        file_private_data: at("file", "private_data")?,
        socket_inode_ino: at("socket_alloc", "vfs_inode")? + at("inode", "i_ino")?,
        sock_v6_daddr,
        sock_protocol: at("sock", "sk_protocol")?,
        sock_err: at("sock", "sk_err")?,
        inet_sport: at("inet_sock", "inet_sport")?,
        task_stack: at("task_struct", "stack")?,
        task_flags: at("task_struct", "flags")?,
        task_group_leader: at("task_struct", "group_leader")?,
        task_comm: at("task_struct", "comm")?,
        task_pid: at("task_struct", "pid")?,
        // On x86-64 only, if the kernel runs 32-bit programs.
        thread_info_status: btf.offset("thread_info", "status").unwrap_or(0),
        sigaction_handler: at("k_sigaction", "sa")? + at("sigaction", "sa_handler")?,
        sigaction_flags: at("k_sigaction", "sa")? + at("sigaction", "sa_flags")?,
        io_kiocb_opcode: io("io_kiocb", "opcode"),
        io_kiocb_flags: io("io_kiocb", "flags"),
        io_kiocb_fd,
    })
}

/// Types of the raw tracepoints' functions, whose first parameter is the kernel's own.
const SUBMIT_REQ: &str = "btf_trace_io_uring_submit_req";
const SUBMIT_SQE: &str = "btf_trace_io_uring_submit_sqe";
const COMPLETE: &str = "btf_trace_io_uring_complete";
const REQ_FAILED: &str = "btf_trace_io_uring_req_failed";

fn io_uring(btf: &Btf<'_>) -> Option<RawIoUring> {
    let is_request = |function, number| {
        let parameter = *btf.parameters(function)?.get(number)?;
        (btf.pointee(parameter)? == *btf.ids.get("io_kiocb")?).then_some(())
    };
    let submit = if btf.has(SUBMIT_REQ) {
        is_request(SUBMIT_REQ, 1)?;
        "io_uring_submit_req"
    } else {
        is_request(SUBMIT_SQE, 1)?;
        "io_uring_submit_sqe"
    };
    is_request(REQ_FAILED, 2)?;
    let complete = btf.parameters(COMPLETE)?;
    // ctx, req, cqe; or ctx, req, user_data, res, cflags, and more.
    let complete_cqe = match complete.len() {
        4 => true,
        6.. => false,
        _ => return None,
    };
    // What the kernel object takes for granted.
    let is_connect = btf.offset("io_connect", "addr") == Some(8)
        && btf.offset("io_connect", "addr_len") == Some(16)
        && btf.offset("io_kiocb", "file") == Some(0);
    is_connect.then_some(RawIoUring {
        submit,
        complete_cqe,
    })
}

const MAGIC: u16 = 0xeb9f;
/// `struct btf_header`.
const HEADER_LENGTH: u32 = 24;
/// `struct btf_type`: name, info, size or type.
const TYPE_LENGTH: usize = 12;
/// `struct btf_member`: name, type, offset in bits.
const MEMBER_LENGTH: usize = 12;

/// `struct btf_param`: name, type.
const PARAMETER_LENGTH: usize = 8;

const KIND_INT: u32 = 1;
const KIND_PTR: u32 = 2;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_FWD: u32 = 7;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_ENUM64: u32 = 19;

/// How deep anonymous structures, and qualifiers, may be nested.
const DEPTH_MAX: u32 = 8;

/// The types of a kernel.
struct Btf<'a> {
    /// Names, each ended by a NUL.
    strings: &'a [u8],
    types: &'a [u8],
    /// Where each type begins, by its id.
    starts: Vec<usize>,
    /// Type id by name, of those that were asked for.
    ids: HashMap<&'a str, u32>,
    /// Ids of [`HOOKED`].
    functions: Vec<(&'static str, u32)>,
}

/// One type.
struct Type<'a> {
    kind: u32,
    with_bitfields: bool,
    /// Its size, or the type that it refers to.
    of: u32,
    /// What follows it: members, parameters.
    behind: &'a [u8],
}

impl<'a> Btf<'a> {
    /// `names` are of structures, unions, and typedefs.
    fn parse(bytes: &'a [u8], names: &[&'a str]) -> Result<Self> {
        ensure!(
            bytes.get(..2) == Some(MAGIC.to_ne_bytes().as_slice()),
            "no BTF of this machine's byte order"
        );
        let header = usize::try_from(word(bytes, 4)?)?;
        let section = |offset, length| -> Result<&'a [u8]> {
            let start = header + usize::try_from(word(bytes, offset)?)?;
            let length = usize::try_from(word(bytes, length)?)?;
            bytes.get(start..start + length).context("it is cut short")
        };
        let types = section(8, 12)?;
        let strings = section(16, 20)?;

        // Id 0 is void.
        let mut starts = vec![types.len()];
        let mut ids = HashMap::new();
        let mut functions = Vec::new();
        let mut at = 0;
        while at < types.len() {
            let id = u32::try_from(starts.len())?;
            starts.push(at);
            let name = word(types, at)?;
            let (kind, length) = extent(types, at)?;
            if matches!(kind, KIND_STRUCT | KIND_UNION | KIND_TYPEDEF)
                && let Some(wanted) = names.iter().find(|wanted| is(strings, name, wanted))
            {
                // Of two of one name, the first: a later one is a driver's own.
                ids.entry(*wanted).or_insert(id);
            }
            if kind == KIND_FUNC
                && let Some(function) = HOOKED.iter().find(|wanted| is(strings, name, wanted))
            {
                functions.push((*function, id));
            }
            at += length;
        }
        ensure!(at == types.len(), "it is cut short");
        Ok(Self {
            strings,
            types,
            starts,
            ids,
            functions,
        })
    }

    fn get(&self, id: u32) -> Option<Type<'a>> {
        let at = *self.starts.get(usize::try_from(id).ok()?)?;
        let (kind, length) = extent(self.types, at).ok()?;
        Some(Type {
            kind,
            with_bitfields: word(self.types, at + 4).ok()? >> 31 == 1,
            of: word(self.types, at + 8).ok()?,
            behind: self.types.get(at + TYPE_LENGTH..at + length)?,
        })
    }

    /// Whether there is a type of this name, which was asked for.
    fn has(&self, name: &str) -> bool {
        self.ids.contains_key(name)
    }

    /// Types of the parameters of a function, of which there is a typedef of a pointer to it.
    fn parameters(&self, typedef: &str) -> Option<Vec<u32>> {
        let pointer = self.get(*self.ids.get(typedef)?)?.of;
        let function = self.get(self.pointee(pointer)?)?;
        (function.kind == KIND_FUNC_PROTO).then(|| {
            let parameters = function.behind.as_chunks::<PARAMETER_LENGTH>().0;
            parameters
                .iter()
                .filter_map(|parameter| word(parameter, 4).ok())
                .collect()
        })
    }

    /// What a pointer points to, without qualifiers.
    fn pointee(&self, pointer: u32) -> Option<u32> {
        let pointer = self.get(pointer)?;
        if pointer.kind != KIND_PTR {
            return None;
        }
        let mut id = pointer.of;
        for _ in 0..DEPTH_MAX {
            match self.get(id) {
                Some(qualified) if matches!(qualified.kind, KIND_CONST | KIND_VOLATILE) => {
                    id = qualified.of;
                }
                _ => break,
            }
        }
        Some(id)
    }

    /// Offset of a field in bytes, also of one in an anonymous structure or union.
    fn offset(&self, structure: &str, field: &str) -> Option<u32> {
        self.find(*self.ids.get(structure)?, field, DEPTH_MAX)
    }

    fn find(&self, id: u32, field: &str, depth: u32) -> Option<u32> {
        let structure = self.get(id)?;
        if !matches!(structure.kind, KIND_STRUCT | KIND_UNION) {
            return None;
        }
        structure
            .behind
            .as_chunks::<MEMBER_LENGTH>()
            .0
            .iter()
            .find_map(|member| {
                let name = word(member, 0).ok()?;
                let kind = word(member, 4).ok()?;
                let bits = word(member, 8).ok()?;
                let bits = if structure.with_bitfields {
                    bits & 0x00ff_ffff
                } else {
                    bits
                };
                let offset = bits / 8;
                if is(self.strings, name, field) {
                    return bits.is_multiple_of(8).then_some(offset);
                }
                if name == 0 && depth > 0 {
                    return Some(offset + self.find(kind, field, depth - 1)?);
                }
                None
            })
    }
}

/// Kind of the type that begins here, and its length in bytes.
fn extent(types: &[u8], at: usize) -> Result<(u32, usize)> {
    let info = word(types, at + 4)?;
    let count = usize::try_from(info & 0xffff)?;
    let kind = info >> 24 & 0x1f;
    let behind = match kind {
        KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
        KIND_ARRAY => 12,
        KIND_STRUCT | KIND_UNION => count * MEMBER_LENGTH,
        KIND_ENUM | KIND_FUNC_PROTO => count * 8,
        KIND_DATASEC | KIND_ENUM64 => count * 12,
        KIND_PTR | 7..=12 | 16 | 18 => 0,
        unknown => bail!("kind {unknown} of a type is unknown"),
    };
    Ok((kind, TYPE_LENGTH + behind))
}

/// Whether the string at this offset is this one.
fn is(strings: &[u8], offset: u32, wanted: &str) -> bool {
    usize::try_from(offset)
        .ok()
        .and_then(|offset| strings.get(offset..))
        .and_then(|rest| rest.strip_prefix(wanted.as_bytes()))
        .is_some_and(|rest| rest.first() == Some(&0))
}

fn word(bytes: &[u8], offset: usize) -> Result<u32> {
    let word = bytes.get(offset..).and_then(<[u8]>::first_chunk);
    Ok(u32::from_ne_bytes(*word.context("it is cut short")?))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]
mod tests {
    use super::*;

    /// `struct outer { int a; struct { union { char b; int c; }; int d; }; }`, with `c` and `d` 4
    /// and 8 bytes in.
    fn sample() -> Vec<u8> {
        let strings = b"\0outer\0a\0b\0c\0d\0";
        let int = [0, KIND_INT << 24, 4, 32];
        let union = [0, KIND_UNION << 24 | 2, 4, 9, 1, 0, 11, 1, 0];
        let inner = [0, KIND_STRUCT << 24 | 2, 8, 0, 2, 0, 13, 1, 32];
        let outer = [1, KIND_STRUCT << 24 | 2, 12, 7, 1, 0, 0, 3, 32];
        let types: Vec<u32> = [&int[..], &union, &inner, &outer].concat();
        let length = u32::try_from(types.len() * 4).unwrap();
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        for number in [24, 0, length, length, u32::try_from(strings.len()).unwrap()] {
            bytes.extend(number.to_ne_bytes());
        }
        bytes.extend(types.iter().flat_map(|word| word.to_ne_bytes()));
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn fields_are_found_in_anonymous_members() {
        let bytes = sample();
        let btf = Btf::parse(&bytes, &["outer"]).unwrap();
        for (field, offset) in [
            ("a", Some(0)),
            ("b", Some(4)),
            ("c", Some(4)),
            ("d", Some(8)),
            ("e", None),
        ] {
            assert_eq!(btf.offset("outer", field), offset, "{field}");
        }
        assert_eq!(btf.offset("inner", "d"), None);
    }

    #[test]
    fn whatever_is_cut_short_is_an_error() {
        let bytes = sample();
        for length in 0..bytes.len() {
            assert!(
                Btf::parse(bytes.split_at(length).0, &["outer"]).is_err(),
                "{length}"
            );
        }
    }

    #[test]
    fn functions_keep_their_ids() {
        let [first, second, third] = HOOKED;
        let functions = Functions(vec![(third, 1000), (first, 1), (second, 2)]);
        let bytes = functions.to_bytes().unwrap();
        let btf = Btf::parse(&bytes, &[]).unwrap();
        assert_eq!(btf.functions, [(first, 1), (second, 2), (third, 1000)]);
        functions.to_btf().unwrap();
    }

    #[test]
    fn no_btf_is_named() {
        let error = layout_in(Path::new("/nonexistent")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent"), "{error}");
    }
}
