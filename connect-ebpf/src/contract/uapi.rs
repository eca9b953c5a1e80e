//! Numbers of Linux's own interface to programs, as far as both sides need them.

/// Address families (`include/linux/socket.h`).
pub mod family {
    /// No address: dissolves an association.
    pub const AF_UNSPEC: u16 = 0;
    /// Unix domain sockets.
    pub const AF_UNIX: u16 = 1;
    /// IPv4.
    pub const AF_INET: u16 = 2;
    /// IPv6.
    pub const AF_INET6: u16 = 10;
    /// Netlink.
    pub const AF_NETLINK: u16 = 16;
    /// Packets of a network interface.
    pub const AF_PACKET: u16 = 17;
    /// Controller Area Network.
    pub const AF_CAN: u16 = 29;
    /// TIPC.
    pub const AF_TIPC: u16 = 30;
    /// Bluetooth.
    pub const AF_BLUETOOTH: u16 = 31;
    /// The kernel's cryptography.
    pub const AF_ALG: u16 = 38;
    /// Virtual machines and their host.
    pub const AF_VSOCK: u16 = 40;
    /// Qualcomm's IPC router.
    pub const AF_QIPCRTR: u16 = 42;
    /// SMC.
    pub const AF_SMC: u16 = 43;
    /// `AF_XDP`.
    pub const AF_XDP: u16 = 44;
}

/// Error numbers (`include/uapi/asm-generic/errno.h`, `include/linux/errno.h`).
pub mod errno {
    /// A signal interrupted the call.
    pub const EINTR: u32 = 4;
    /// An address in memory that is none.
    pub const EFAULT: u32 = 14;
    /// An argument that makes no sense.
    pub const EINVAL: u32 = 22;
    /// No such system call.
    pub const ENOSYS: u32 = 38;
    /// A datagram is larger than the way to its destination takes.
    pub const EMSGSIZE: u32 = 90;
    /// The socket is connected already.
    pub const EISCONN: u32 = 106;
    /// An earlier attempt of the socket goes on.
    pub const EALREADY: u32 = 114;
    /// The attempt goes on after the call: neither success nor failure.
    pub const EINPROGRESS: u32 = 115;
    /// A request of io_uring was cancelled; its socket goes on.
    pub const ECANCELED: u32 = 125;
    /// The first of the kernel's own, which no application sees: restarted, unless a handler without
    /// `SA_RESTART` runs.
    pub const ERESTARTSYS: u32 = 512;
    /// The kernel's own: restarted always.
    pub const ERESTARTNOINTR: u32 = 513;
    /// The kernel's own: restarted, unless a handler runs.
    pub const ERESTARTNOHAND: u32 = 514;
    /// The kernel's own: restarted by `restart_syscall(2)`, unless a handler runs.
    pub const ERESTART_RESTARTBLOCK: u32 = 516;
}
