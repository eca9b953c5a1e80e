//! Where the path of a unix socket leads.

use super::entry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "ENOENT",
        meaning: "the path of the unix socket does not exist",
        hint: "no such path: server not started, or another mount or directory",
        situations: &[(
            "unix",
            "The socket file, a directory on the way to it, or the target of a symbolic link is \
             missing.",
        )],
        causes: &[
            "The server has not been started, or removed its socket when it stopped.",
            "Client and server disagree on the path, for example /tmp or /var/run against /run.",
            "The client sees another file system: a container, a chroot, or a service with \
             PrivateTmp=.",
            "The path is relative, and the client runs in another directory.",
        ],
        look_at: &[
            ("namei -l PATH", "the first part that is missing"),
            ("ss -lx", "which unix sockets listen"),
            (
                "ls -l /proc/PID/root/PATH",
                "the path as process PID sees it",
            ),
            ("readlink /proc/PID/cwd", "where a relative path starts"),
        ],
    },
    Entry {
        name: "ENOTDIR",
        meaning: "a part of the unix path is no directory",
        hint: "a part of the path is a file, not a directory: namei -l PATH",
        situations: &[(
            "unix",
            "Something on the way to the socket file exists, but is no directory.",
        )],
        causes: &[
            "A wrong setting, such as the path of a file where its directory is wanted.",
            "A file stands where a mount or a runtime directory should be.",
        ],
        look_at: &[("namei -l PATH", "the part that is no directory (d)")],
    },
    Entry {
        name: "ELOOP",
        meaning: "too many symbolic links in the unix path",
        hint: "symbolic links in the path go in circles: namei -l PATH",
        situations: &[
            (
                "unix",
                "More than 40 symbolic links on the way to the socket file, or one on a mount with \
                 nosymfollow.",
            ),
            (
                "Bluetooth",
                "Too many attempts at pairing: the device refuses more.",
            ),
        ],
        causes: &["Symbolic links that point at each other."],
        look_at: &[
            ("namei -l PATH", "where the links lead"),
            ("findmnt -T PATH", "the mount and its options"),
        ],
    },
    Entry {
        name: "ENAMETOOLONG",
        meaning: "a name in the unix path is too long",
        hint: "a symbolic link in the path leads to a name over 255 bytes",
        situations: &[(
            "unix",
            "A part of the path is longer than the file system takes, mostly 255 bytes. The \
             address itself holds only 108 bytes (more is EINVAL), so a symbolic link brought the \
             long name in.",
        )],
        causes: &[
            "A symbolic link with a broken target.",
            "A file system that takes shorter names only.",
        ],
        look_at: &[("namei -l PATH", "where the links lead")],
    },
    Entry {
        name: "EPROTOTYPE",
        meaning: "the unix socket there is of another type",
        hint: "stream against datagram: the server's socket has another type",
        situations: &[(
            "unix",
            "Both ends must be SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET alike. An abstract name \
             of another type is ECONNREFUSED instead.",
        )],
        causes: &[
            "The path belongs to another service than the client thinks. /dev/log, for example, \
             takes datagrams.",
            "Client and server are set to different types.",
        ],
        look_at: &[("ss -xap | grep PATH", "the type: u_str, u_dgr or u_seq")],
    },
    Entry {
        name: "EROFS",
        meaning: "the unix path is a plain file, on a read-only disk",
        hint: "the path is no socket, on a read-only file system: ls -l PATH",
        situations: &[(
            "unix",
            "connect needs write permission, and the path is a file or directory on a read-only \
             file system. A real socket file there is no problem.",
        )],
        causes: &["The path is wrong: it names something that is no socket."],
        look_at: &[
            ("ls -l PATH", "the first letter of a socket is s"),
            ("findmnt -T PATH", "the mount and its options"),
        ],
    },
    Entry {
        name: "EIO",
        meaning: "an input/output error on the way to the peer",
        hint: "a disk or a device failed: journalctl -k",
        situations: &[
            (
                "unix",
                "The file system could not be read on the way to the socket file.",
            ),
            ("Bluetooth", "The adapter reports a hardware failure."),
        ],
        causes: &["A failing disk, network file system or adapter."],
        look_at: &[("journalctl -k -e", "what the kernel says of the device")],
    },
    Entry {
        name: "ESTALE",
        meaning: "the unix path is on a stale network file system",
        hint: "stale file handle (NFS): mount it anew",
        situations: &[(
            "unix",
            "A directory on the way to the socket file is gone on the file server.",
        )],
        causes: &["The export was moved or made anew while mounted here."],
        look_at: &[
            ("findmnt -T PATH", "the mount"),
            ("journalctl -k -e", "what the NFS client says"),
        ],
    },
];
