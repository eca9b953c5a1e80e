//! A policy that refuses connect(2), and hooks that do nothing, for the tests: apart from the agent, so that nothing of it is
//! ever in what is shipped.

/// The kernel object, for `aya::Ebpf::load`. Its programs are for `cgroup/connect4`: `deny`
/// refuses with `EPERM`, `address_in_use` with `EADDRINUSE`; and for the tracepoints of connect(2),
/// `empty_enter` and `empty_exit`, which do nothing.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/policy-ebpf"));
