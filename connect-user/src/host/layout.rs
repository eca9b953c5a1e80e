//! Where the running kernel's structures have their fields, as `/sys/kernel/btf/vmlinux` says.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, anyhow, ensure};
use connect_ebpf::settings::Offsets;

use super::btf::{Types, of_functions};

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
    pub functions: FunctionIds,
}

/// Functions of the kernel, by name, with the id of their type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionIds(Vec<(&'static str, u32)>);

impl FunctionIds {
    /// What aya needs to hook into them.
    ///
    /// # Errors
    ///
    /// aya does not understand it, which is a bug.
    pub fn to_btf(&self) -> Result<aya::Btf> {
        aya::Btf::parse(&of_functions(&self.0)?, aya::Endianness::default())
            .map_err(|error| anyhow!(error).context("the functions' BTF is not understood"))
    }
}

/// The raw tracepoints of io_uring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawIoUring {
    /// Whether the one at a submission is `io_uring_submit_req`, as from kernel 6.4 on; before, it is
    /// `io_uring_submit_sqe`.
    pub submit_req: bool,
    /// Whether the one at a completion has a pointer to it, and not its parts.
    pub complete_cqe: bool,
}

impl Layout {
    /// Reads what the running kernel says, also of these functions.
    ///
    /// # Errors
    ///
    /// The kernel has no BTF, or a structure is not as expected: which one.
    pub fn read(functions: &[&'static str]) -> Result<Self> {
        read_in(Path::new(VMLINUX), functions)
    }
}

fn read_in(path: &Path, functions: &[&'static str]) -> Result<Layout> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let types = Types::parse(
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
            "sk_buff",
            "sock_exterr_skb",
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
        functions,
    )
    .with_context(|| format!("{} is not understood", path.display()))?;
    Ok(Layout {
        offsets: offsets(&types)?,
        io_uring: io_uring(&types),
        functions: FunctionIds(types.functions().to_vec()),
    })
}

fn offsets(types: &Types<'_>) -> Result<Offsets> {
    let at = |structure, field| {
        types
            .offset(structure, field)
            .with_context(|| format!("the kernel's struct {structure} has no field {field}"))
    };
    // What connect-ebpf/src/fact/socket.rs copies as a whole.
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
        ("sock_common", "skc_state", 18),
        ("inet_sock", "sk", 0),
        // And what connect-ebpf/src/fact/task.rs takes a task to begin with.
        ("task_struct", "thread_info", 0),
    ] {
        let found = at(structure, field)?;
        ensure!(
            found == expected,
            "the kernel's struct {structure} has {field} at {found}, not {expected}"
        );
    }
    // Absent from a kernel without IPv6.
    let sock_v6_daddr = types.offset("sock_common", "skc_v6_daddr").unwrap_or(0);
    if sock_v6_daddr != 0 {
        let found = at("sock_common", "skc_v6_rcv_saddr")?;
        ensure!(
            found == sock_v6_daddr + 16,
            "the kernel's struct sock_common has its IPv6 addresses apart"
        );
    }
    // Absent where there is no io_uring, or not yet.
    let io = |structure, field| types.offset(structure, field).unwrap_or(0);
    let io_kiocb_fd = match (
        types.offset("io_kiocb", "cqe"),
        types.offset("io_cqe", "fd"),
    ) {
        (Some(cqe), Some(fd)) => cqe + fd,
        _ => 0,
    };
    let sk_buff_error = match (
        types.offset("sk_buff", "cb"),
        types.offset("sock_exterr_skb", "ee"),
    ) {
        (Some(cb), Some(ee)) => cb + ee,
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
        sock_err_soft: at("sock", "sk_err_soft")?,
        sock_tsflags: at("sock", "sk_tsflags")?,
        sock_zckey: at("sock", "sk_zckey")?,
        sock_socket: at("sock", "sk_socket")?,
        sock_error_queue: at("sock", "sk_error_queue")?,
        sk_buff_error,
        inet_sport: at("inet_sock", "inet_sport")?,
        task_stack: at("task_struct", "stack")?,
        task_flags: at("task_struct", "flags")?,
        task_group_leader: at("task_struct", "group_leader")?,
        task_comm: at("task_struct", "comm")?,
        task_pid: at("task_struct", "pid")?,
        task_tgid: at("task_struct", "tgid")?,
        // On x86-64 only, if the kernel runs 32-bit programs.
        thread_info_status: types.offset("thread_info", "status").unwrap_or(0),
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

fn io_uring(types: &Types<'_>) -> Option<RawIoUring> {
    let is_request = |function, number| {
        let parameter = *types.parameters(function)?.get(number)?;
        (types.pointee(parameter)? == types.id("io_kiocb")?).then_some(())
    };
    let submit_req = types.id(SUBMIT_REQ).is_some();
    is_request(if submit_req { SUBMIT_REQ } else { SUBMIT_SQE }, 1)?;
    is_request(REQ_FAILED, 2)?;
    let complete = types.parameters(COMPLETE)?;
    // ctx, req, cqe; or ctx, req, user_data, res, cflags, and more.
    let complete_cqe = match complete.len() {
        4 => true,
        6.. => false,
        _ => return None,
    };
    // What the kernel object takes for granted.
    let is_connect = types.offset("io_connect", "addr") == Some(8)
        && types.offset("io_connect", "addr_len") == Some(16)
        && types.offset("io_kiocb", "file") == Some(0);
    is_connect.then_some(RawIoUring {
        submit_req,
        complete_cqe,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]
mod tests {
    use super::*;

    #[test]
    fn aya_understands_the_functions() {
        let functions = FunctionIds(vec![("third", 1000), ("first", 1)]);
        functions.to_btf().unwrap();
    }

    #[test]
    fn no_btf_is_named() {
        let error = read_in(Path::new("/nonexistent"), &[]).unwrap_err();
        assert!(error.to_string().contains("/nonexistent"), "{error}");
    }
}
