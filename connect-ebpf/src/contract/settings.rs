//! Settings: what the agent fixes before it loads the kernel object.
//!
//! They live in the object's read-only data, which is frozen before the verifier runs: a branch
//! that a setting rules out is removed, and costs nothing.

/// Name of the global in the kernel object.
pub const SETTINGS_GLOBAL: &str = "SETTINGS";

/// Name of the array map whose one element is the switch that all hooks look at: not 0 from after the last
/// hook is attached until before the first is detached.
pub const SWITCH_MAP: &str = "SWITCH";
/// In [`SWITCH_MAP`]: all hooks are attached.
pub const SWITCH_ON: u32 = 1;
/// In [`SWITCH_MAP`]: they are, and 32-bit calls are seen as the host's system calls, not as the kernel's functions.
pub const SWITCH_ON_COMPAT: u32 = 2;

/// Name of the hash map of threads that have connected, each with its current call.
pub const INFLIGHT_MAP: &str = "INFLIGHT";
/// Name of the hash map of calls that a signal suspends.
pub const SUSPENDED_MAP: &str = "SUSPENDED";
/// Name of the hash map of the tasks that [`Settings::lineage`] lets through.
pub const LINEAGE_MAP: &str = "LINEAGE";

/// Default size of the ring buffer, in bytes: 29,000 records.
pub const RING_BYTES: u32 = 8 << 20;
/// Default capacity of [`INFLIGHT_MAP`], in threads.
pub const INFLIGHT_ENTRIES: u32 = 32_768;

/// Capacity of [`SUSPENDED_MAP`], in calls, where [`INFLIGHT_MAP`] has room for so many threads: of many threads,
/// few are interrupted while they connect.
#[must_use]
pub const fn suspended_entries(threads: u32) -> u32 {
    const ENOUGH: u32 = 1024;
    match threads {
        0..=ENOUGH => threads,
        _ if threads / 4 < ENOUGH => ENOUGH,
        _ => threads / 4,
    }
}

/// Capacity of [`LINEAGE_MAP`] where it is used, in tasks.
pub const LINEAGE_ENTRIES: u32 = 65_536;

/// Name of the hash map of io_uring's connects under way, by the address of the kernel's request.
pub const REQUESTS_MAP: &str = "REQUESTS";
/// Capacity of [`REQUESTS_MAP`] and of [`REQUESTS_BY_SOCKET_MAP`], in requests.
pub const REQUESTS_ENTRIES: u32 = 8192;
/// Name of the hash map from a socket, by the address of its `struct sock`, to the request that
/// connects it.
pub const REQUESTS_BY_SOCKET_MAP: &str = "REQUESTS_BY_SOCKET";

/// [`Settings::pid`], [`Settings::uid`] and [`Settings::family`] that let everything through.
pub const ANY: u32 = u32::MAX;

/// Filters, switches and offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// Report only this process (tgid, initial pid namespace), or [`ANY`].
    pub pid: u32,
    /// Report only this real user id, or [`ANY`].
    pub uid: u32,
    /// Report only addresses of this family, or [`ANY`].
    pub family: u32,
    /// Not 0: report only calls that returned an error other than EINPROGRESS.
    pub failed: u32,
    /// Not 0: report only tasks in [`LINEAGE_MAP`], and let it grow with every fork.
    pub lineage: u32,
    /// Whether and how the registers that a task saved are found, `REGISTERS_*`: so that the arguments of a
    /// call whose entry was not seen can still be read when it returns.
    pub task_registers: u32,
    /// The agent is woken whenever this many bytes, a power of two, have been written into the
    /// ring buffer since the last time; below that, its own timer finds the records.
    pub wakeup_bytes: u32,
    /// Offset of `child_pid` in tracepoint `sched:sched_process_fork`; differs between kernels.
    pub fork_child_pid: u32,
    /// Not 0: the hooks on signals are attached, so a call that one interrupts is followed to its
    /// end; otherwise it ends with `ERESTARTSYS`.
    pub interruptions: u32,
    /// Offset of `sa_handler` in tracepoint `signal:signal_deliver`, where it is plain.
    pub deliver_sa_handler: u32,
    /// Offset of `sa_flags` in tracepoint `signal:signal_deliver`, where it is plain.
    pub deliver_sa_flags: u32,
    /// Whether and how attempts are followed to their end: `OUTCOMES_*`.
    pub outcomes: u32,
    /// Not 0: look at the socket behind the descriptor of every call.
    pub sockets: u32,
    /// Not 0: errors that come back to connected datagram sockets are reported.
    pub associations: u32,
    /// Bits of `thread_info.flags` that interrupt a system call, and have it restarted.
    pub interrupting_flags: u32,
    /// Not 0: a call that leaves its attempt unsettled is not reported, as its outcome will be.
    pub settled_only: u32,
    /// Which hooks report native calls: `NATIVE_*`.
    pub native: u32,
    /// Not 0: the kernel may preempt programs, and then does not run them for whoever comes next on the
    /// same CPU.
    pub skipped: u32,
    /// Not 0: 32-bit calls may be seen as the host's system calls; [`SWITCH_ON_COMPAT`] says whether they are.
    pub compat: u32,
    /// Not 0: connects by io_uring are observed.
    pub io_uring: u32,
    /// Not 0: raw tracepoint `io_uring_complete` has a pointer to the completion, not its parts.
    pub io_uring_complete_cqe: u32,
    /// For plain tracepoints.
    pub io_uring_layout: IoUringLayout,
    /// Where the kernel's structures have their fields; 0 where that is not known.
    pub offsets: Offsets,
}

/// [`Settings::task_registers`]: not at all.
pub const REGISTERS_OFF: u32 = 0;
/// [`Settings::task_registers`]: by `bpf_task_pt_regs` (kernel 5.15).
pub const REGISTERS_BY_HELPER: u32 = 1;
/// [`Settings::task_registers`]: at the end of the task's stack, where [`Offsets::task_stack`] begins it.
pub const REGISTERS_BY_STACK: u32 = 2;

/// [`Settings::native`]: only the tracepoints of the system call.
pub const NATIVE_BY_TRACEPOINT: u32 = 0;
/// [`Settings::native`]: only the hooks on the kernel's functions.
pub const NATIVE_BY_FUNCTION: u32 = 1;
/// [`Settings::native`]: both, where the kernel lets us.
pub const NATIVE_BY_BOTH: u32 = 2;

/// [`Settings::outcomes`]: attempts are not followed.
pub const OUTCOMES_OFF: u32 = 0;
/// [`Settings::outcomes`]: by what the tracepoint shows, without errno.
pub const OUTCOMES_WITHOUT_ERRNO: u32 = 1;
/// [`Settings::outcomes`]: by the socket itself, with errno.
pub const OUTCOMES_WITH_ERRNO: u32 = 2;

/// Where the tracepoints of io_uring have what is needed, as tracefs says: offsets in the contexts of the
/// plain ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct IoUringLayout {
    /// `req` of `io_uring_submit_sqe`.
    pub submit_req: u32,
    /// `opcode` of `io_uring_submit_sqe`.
    pub submit_opcode: u32,
    /// `user_data` of `io_uring_submit_sqe`.
    pub submit_user_data: u32,
    /// `req` of `io_uring_complete`; 0 where there is none (before 5.18), and requests are
    /// told apart by `user_data`.
    pub complete_req: u32,
    /// `user_data` of `io_uring_complete`.
    pub complete_user_data: u32,
    /// `res` of `io_uring_complete`.
    pub complete_res: u32,
    /// `fd` of `io_uring_file_get`; 0 where it is not attached.
    pub file_get_fd: u32,
    /// `opcode` of `io_uring_req_failed`; 0 where it is not attached.
    pub failed_opcode: u32,
    /// `user_data` of `io_uring_req_failed`.
    pub failed_user_data: u32,
    /// `addr` of `io_uring_req_failed`.
    pub failed_addr: u32,
    /// `off` of `io_uring_req_failed`, which is `addr2`.
    pub failed_off: u32,
}

impl IoUringLayout {
    /// Nothing is known.
    pub const NONE: Self = Self {
        submit_req: 0,
        submit_opcode: 0,
        submit_user_data: 0,
        complete_req: 0,
        complete_user_data: 0,
        complete_res: 0,
        file_get_fd: 0,
        failed_opcode: 0,
        failed_user_data: 0,
        failed_addr: 0,
        failed_off: 0,
    };
}

/// Offsets in bytes, from the running kernel's BTF.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Offsets {
    /// `task_struct.files`
    pub task_files: u32,
    /// `files_struct.fdt`
    pub files_fdt: u32,
    /// `file.private_data`
    pub file_private_data: u32,
    /// From a `struct socket` to the number of its inode: `socket_alloc.vfs_inode.i_ino`.
    pub socket_inode_ino: u32,
    /// `sock.__sk_common.skc_v6_daddr`, before `skc_v6_rcv_saddr`; 0 where the kernel has no IPv6.
    pub sock_v6_daddr: u32,
    /// `sock.sk_protocol`
    pub sock_protocol: u32,
    /// `sock.sk_err`
    pub sock_err: u32,
    /// `sock.sk_err_soft`
    pub sock_err_soft: u32,
    /// `sock.sk_tsflags`
    pub sock_tsflags: u32,
    /// `sock.sk_zckey`
    pub sock_zckey: u32,
    /// `sock.sk_socket`
    pub sock_socket: u32,
    /// `sock.sk_error_queue`
    pub sock_error_queue: u32,
    /// From a `struct sk_buff` in that queue to its error: `sk_buff.cb` and `sock_exterr_skb.ee`; 0 where that is not
    /// known.
    pub sk_buff_error: u32,
    /// `inet_sock.inet_sport`
    pub inet_sport: u32,
    /// `task_struct.stack`
    pub task_stack: u32,
    /// `task_struct.flags`
    pub task_flags: u32,
    /// `task_struct.group_leader`
    pub task_group_leader: u32,
    /// `task_struct.comm`
    pub task_comm: u32,
    /// `task_struct.pid`
    pub task_pid: u32,
    /// `task_struct.tgid`
    pub task_tgid: u32,
    /// `thread_info.status`, which a task begins with
    pub thread_info_status: u32,
    /// `k_sigaction.sa.sa_handler`
    pub sigaction_handler: u32,
    /// `k_sigaction.sa.sa_flags`
    pub sigaction_flags: u32,
    /// `io_kiocb.opcode`
    pub io_kiocb_opcode: u32,
    /// `io_kiocb.flags`
    pub io_kiocb_flags: u32,
    /// `io_kiocb.cqe.fd`; 0 where the kernel keeps no descriptor (before 5.19)
    pub io_kiocb_fd: u32,
}

impl Offsets {
    /// Nothing is known.
    pub const NONE: Self = Self {
        task_files: 0,
        files_fdt: 0,
        file_private_data: 0,
        socket_inode_ino: 0,
        sock_v6_daddr: 0,
        sock_protocol: 0,
        sock_err: 0,
        sock_err_soft: 0,
        sock_tsflags: 0,
        sock_zckey: 0,
        sock_socket: 0,
        sock_error_queue: 0,
        sk_buff_error: 0,
        inet_sport: 0,
        task_stack: 0,
        task_flags: 0,
        task_group_leader: 0,
        task_comm: 0,
        task_pid: 0,
        task_tgid: 0,
        thread_info_status: 0,
        sigaction_handler: 0,
        sigaction_flags: 0,
        io_kiocb_opcode: 0,
        io_kiocb_flags: 0,
        io_kiocb_fd: 0,
    };
}

impl Settings {
    /// Everything is reported; no kernel feature is taken for granted.
    pub const DEFAULT: Self = Self {
        pid: ANY,
        uid: ANY,
        family: ANY,
        failed: 0,
        lineage: 0,
        task_registers: REGISTERS_OFF,
        wakeup_bytes: RING_BYTES / 8,
        fork_child_pid: 0,
        interruptions: 0,
        deliver_sa_handler: 0,
        deliver_sa_flags: 0,
        outcomes: OUTCOMES_OFF,
        sockets: 0,
        associations: 0,
        interrupting_flags: 0,
        settled_only: 0,
        native: NATIVE_BY_TRACEPOINT,
        skipped: 0,
        compat: 0,
        io_uring: 0,
        io_uring_complete_cqe: 0,
        io_uring_layout: IoUringLayout::NONE,
        offsets: Offsets::NONE,
    };
}

const _: () =
    assert!(size_of::<Settings>() == 84 + size_of::<IoUringLayout>() + size_of::<Offsets>());

#[cfg(feature = "user")]
#[expect(
    unsafe_code,
    reason = "aya takes a global's bytes only from a Pod type"
)]
// SAFETY: Settings is repr(C), holds only u32 and so has no padding.
unsafe impl aya::Pod for Settings {}
