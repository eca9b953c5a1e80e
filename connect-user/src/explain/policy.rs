//! Who said no: permissions, security modules, filters.

use super::entry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "EACCES",
        meaning: "permission denied: by file mode, policy or route",
        hint: "unix: no write permission on the path; else a policy: namei -l PATH",
        situations: &[
            (
                "unix",
                "No write permission on the socket file, or no search permission (x) on a \
                 directory of its path.",
            ),
            (
                "any",
                "A security module denied it: SELinux, AppArmor, Smack, or Landlock for TCP ports.",
            ),
            (
                "IPv4, IPv6",
                "The route or routing rule is of type prohibit.",
            ),
            (
                "IPv6",
                "ICMPv6 administratively prohibited, or its like, came back from a firewall. \
                 (IPv4 says EHOSTUNREACH then.)",
            ),
            (
                "UDP, raw",
                "A broadcast address on a socket without SO_BROADCAST.",
            ),
            ("Bluetooth", "Pairing failed or is not allowed."),
        ],
        causes: &[
            "The user is not in the group that may use the socket, such as docker.",
            "A directory above the socket is private (mode 0700); or fs.protected_symlinks stops a \
             symbolic link in /tmp.",
            "A policy of SELinux or AppArmor for this service.",
            "IPv6: a firewall on the way rejects.",
            "An application that sends broadcasts forgot the option.",
        ],
        look_at: &[
            (
                "namei -l PATH",
                "owner and mode of each part of the path; the socket needs w, directories x",
            ),
            ("getfacl PATH; id USER", "what the modes do not tell"),
            (
                "ausearch -m AVC -ts recent; journalctl -k -g apparmor",
                "what a security module denied",
            ),
            (
                "ip route get ADDR",
                "fails with the same error if the route is prohibit",
            ),
        ],
    },
    Entry {
        name: "EPERM",
        meaning: "not permitted: a policy, sandbox or BPF program said no",
        hint: "a policy said no: bpftool cgroup tree, seccomp, sandbox",
        situations: &[
            (
                "any",
                "A BPF program of the process's cgroup denied the connect (EPERM unless it chose \
                 another errno), or a seccomp filter or BPF security module did.",
            ),
            (
                "unix",
                "Datagram: the server's socket is itself connected, to another peer. Abstract \
                 name: a Landlock sandbox keeps it out of reach.",
            ),
            (
                "netlink",
                "To a process or group, without the capability that this protocol wants.",
            ),
            (
                "TCP, UDP",
                "Not from firewall rules, whatever the man page says: a dropped SYN ends as \
                 ETIMEDOUT, a rejected one as ECONNREFUSED or EHOSTUNREACH; UDP sends nothing yet.",
            ),
        ],
        causes: &[
            "Network policy by cgroup BPF, as some Kubernetes networks do it.",
            "The seccomp profile of a container, or SystemCallFilter= of a service.",
            "unix datagram: client and server share a path that is meant for two parties only.",
            "The application has sandboxed itself.",
        ],
        look_at: &[
            (
                "bpftool cgroup tree",
                "programs of type cgroup_inet4_connect and alike",
            ),
            (
                "grep -E 'Seccomp|CapEff' /proc/PID/status",
                "whether a filter is in force; which capabilities there are",
            ),
            (
                "systemctl show UNIT -p SystemCallFilter",
                "what the service may call",
            ),
            ("ss -xp", "unix sockets and their peers"),
        ],
    },
    Entry {
        name: "EADDRINUSE",
        meaning: "the local address is in use",
        hint: "rare from connect: a BPF program chose it; bind() gives it otherwise",
        situations: &[
            (
                "any",
                "Linux has no built-in way to it from connect for TCP, UDP and unix sockets: TCP \
                 calls a clash EADDRNOTAVAIL, UDP calls it EAGAIN. A BPF program or a seccomp \
                 filter can return it.",
            ),
            ("AX.25", "There is a connection to that peer already."),
        ],
        causes: &[
            "The message comes from bind() or listen() and not from connect.",
            "A policy engine chose this errno.",
        ],
        look_at: &[
            (
                "strace -f -e trace=bind,listen,connect -p PID",
                "which call it was",
            ),
            ("bpftool cgroup tree", "BPF programs on connect"),
        ],
    },
    Entry {
        name: "ENOSYS",
        meaning: "the system call is not there, or a filter hides it",
        hint: "a seccomp filter hides connect from this process",
        situations: &[
            (
                "any",
                "A seccomp filter answers so; or the kernel, or what stands in for it, was built \
                 without networking.",
            ),
            (
                "Bluetooth",
                "The adapter gave a status that Linux has no errno for.",
            ),
        ],
        causes: &["A sandbox or container profile without network calls."],
        look_at: &[(
            "grep Seccomp /proc/PID/status",
            "2 means a filter is in force",
        )],
    },
    Entry {
        name: "EKEYREJECTED",
        meaning: "no TCP-AO key matches that peer, or too many do",
        hint: "TCP-AO or MD5 keys of the socket do not fit this peer",
        situations: &[(
            "TCP",
            "The socket has TCP-AO keys and none is for that address, or it has both a TCP-AO and \
             an MD5 key for it (since Linux 6.7).",
        )],
        causes: &["A wrong key setting of a routing daemon: BGP sessions use these."],
        look_at: &[(
            "the daemon's settings for that neighbour",
            "address, prefix and interface of its keys",
        )],
    },
];
