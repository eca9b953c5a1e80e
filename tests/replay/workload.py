"""Makes the connects that recorder.rs records, and prints a line for each: file, tab, title.

Needs no network: a connect of a UDP socket sends nothing, and hands any address to the kernel, of
whatever family.
"""

import ctypes
import mmap
import os
import signal
import socket
import struct
import tempfile

libc = ctypes.CDLL(None, use_errno=True)
CONNECT = {"x86_64": 42, "aarch64": 203}[os.uname().machine]

def connect(file, title, end, address, length=None):
    """One call on a socket or a descriptor, with exactly these bytes."""
    print(file, title, sep="\t", flush=True)
    fd = end if isinstance(end, int) else end.fileno()
    libc.connect(fd, address, len(address) if length is None else length)


def udp():
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def unix(kind=socket.SOCK_STREAM):
    return socket.socket(socket.AF_UNIX, kind)


def name_thread(name):
    PR_SET_NAME = 15
    libc.prctl(PR_SET_NAME, name, 0, 0, 0)


def sockaddr(family, *fields):
    return struct.pack("=H", family) + b"".join(fields)


def inet(ip, port):
    return sockaddr(socket.AF_INET, struct.pack(">H", port), socket.inet_aton(ip), bytes(8))


def inet6(ip, port, scope=0, flow=0):
    return sockaddr(
        socket.AF_INET6,
        struct.pack(">HI", port, flow),
        socket.inet_pton(socket.AF_INET6, ip),
        struct.pack("=I", scope),
    )


def un(path):
    return sockaddr(socket.AF_UNIX, path)


def families():
    file = "families"
    connect(file, "AF_UNSPEC dissolves an association", udp(), sockaddr(0, bytes(14)))

    listener = unix()
    listener.bind("listening.sock")
    listener.listen()
    connect(file, "AF_UNIX pathname", unix(), un(b"listening.sock\0"))
    connect(file, "AF_UNIX pathname that does not exist", unix(), un(b"/run/no/such.sock\0"))
    connect(file, "AF_UNIX pathname of 108 bytes, no NUL", unix(), un(b"/" + b"x" * 107))
    abstract = unix()
    abstract.bind(b"\0replay-listener")
    abstract.listen()
    connect(file, "AF_UNIX abstract", unix(), un(b"\0replay-listener"))
    connect(file, "AF_UNIX abstract, all 108 bytes, as most C programs pass it", unix(), un(b"\0replay".ljust(108, b"\0")))
    connect(file, "AF_UNIX unnamed", unix(), un(b""))

    connect(file, "AF_INET, UDP", udp(), inet("127.0.0.1", 53))
    connect(file, "AF_INET, TCP, nobody listens", socket.socket(), inet("127.0.0.1", 1))
    connect(file, "AF_INET, the longest", udp(), inet("255.255.255.255", 65535))
    connect(file, "AF_INET6", socket.socket(socket.AF_INET6), inet6("::1", 1))
    six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    connect(file, "AF_INET6 with a scope", six, inet6("fe80::1", 53, scope=1))
    connect(file, "AF_INET6, mapped", six, inet6("::ffff:127.0.0.1", 53))
    connect(file, "AF_INET6 without room for a scope", six, inet6("::1", 53)[:24])
    connect(file, "AF_INET6, the longest", six, inet6("2001:db8:1111:2222:3333:4444:5555:6666", 65535, scope=4294967295))

    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    connect(file, "AF_NETLINK to the kernel", netlink, sockaddr(16, struct.pack("=HII", 0, 0, 0)))
    connect(file, "AF_NETLINK to a group", netlink, sockaddr(16, struct.pack("=HII", 0, 42, 0x80000001)))

    def refused(title, family, *fields):
        """No socket of that family is needed to pass such an address."""
        connect(file, title, udp(), sockaddr(family, *fields))

    refused("AF_VSOCK", 40, struct.pack("=HIII", 0, 1024, 2, 0))
    refused("AF_VSOCK to any", 40, struct.pack("=HIII", 0, 0xFFFFFFFF, 0xFFFFFFFF, 0))
    mac = bytes.fromhex("aabbccddeeff")
    refused("AF_PACKET", 17, struct.pack(">H", 0x0800), struct.pack("=iHBB", 2, 1, 0, 6), mac, bytes(2))
    bdaddr = bytes.fromhex("1371da7d1a00")
    refused("AF_BLUETOOTH, HCI", 31, struct.pack("=HH", 0, 1))
    refused("AF_BLUETOOTH, SCO", 31, bdaddr)
    refused("AF_BLUETOOTH, RFCOMM", 31, bdaddr, bytes([22, 0]))
    refused("AF_BLUETOOTH, L2CAP", 31, struct.pack("<H", 25), bdaddr, struct.pack("<HH", 64, 0))
    refused("AF_ALG", 38, b"hash".ljust(14, b"\0"), bytes(8), b"sha256".ljust(64, b"\0"))
    refused("AF_CAN", 29, struct.pack("=HiII", 0, 5, 0x123, 0x80000321))
    refused("AF_CAN without ids", 29, struct.pack("=Hi", 0, 5))
    refused("AF_XDP", 44, struct.pack("=HIII", 4, 2, 7, 0))
    refused("AF_TIPC service range", 30, struct.pack("=BbIII", 1, 2, 18888, 1, 9))
    refused("AF_TIPC service", 30, struct.pack("=BbIII", 2, 2, 18888, 17, 0))
    refused("AF_TIPC socket", 30, struct.pack("=BbIII", 3, 3, 42, 7, 0))
    refused("AF_QIPCRTR", 42, struct.pack("=HII", 0, 1, 4097))

    refused("a family without a decoder", 15, bytes.fromhex("0102030405060708090a0b0c0d0e"))
    refused("a family without a name", 300, bytes(14))
    refused("the largest family", 65535)
    refused("too short for its family", 2, struct.pack(">H", 80), bytes([127, 0]))
    connect(file, "half a family", udp(), b"\x02")
    connect(file, "an address of no bytes", udp(), b"")
    connect(file, "an address of 128 bytes", udp(), bytes(range(3, 131)).replace(b"\x03\x04", b"\x03\x00"))


def results():
    file = "results"
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    to_listener = inet(*listener.getsockname())
    connected = socket.socket()
    connect(file, "success", connected, to_listener)
    connect(file, "EISCONN", connected, to_listener)
    connect(file, "ECONNREFUSED", socket.socket(), inet("127.0.0.1", 1))
    connect(file, "EBADF", -1, to_listener)
    connect(file, "EBADF, a large descriptor", 2147483647, to_listener)
    connect(file, "ENOTSOCK", os.open("/dev/null", os.O_RDONLY), to_listener)
    connect(file, "EFAULT", socket.socket(), ctypes.c_void_p(8), 16)
    stream = unix()
    stream.bind("stream.sock")
    stream.listen()
    connect(file, "EPROTOTYPE", unix(socket.SOCK_DGRAM), un(b"stream.sock\0"))
    connect(file, "EACCES: broadcast", udp(), inet("255.255.255.255", 9))
    connect(file, "addrlen -1", udp(), to_listener, -1)
    connect(file, "addrlen 129", udp(), bytes(129))
    connect(file, "addrlen 2147483647", udp(), to_listener, 2147483647)

    # The queue of the listener is full now: nobody answers any more.
    waiting = socket.socket()
    waiting.setblocking(False)
    connect(file, "EINPROGRESS", waiting, to_listener)
    connect(file, "EALREADY", waiting, to_listener)
    interrupted("EINTR: a handler ran", to_listener, restart=False)
    interrupted("restarted after a handler, then killed", to_listener, restart=True)
    interrupted("killed: the call never returned", to_listener)

    # A page that nothing has touched: the kernel object cannot read it before the kernel does.
    with open("address", "wb") as cold:
        cold.write(to_listener.ljust(mmap.PAGESIZE, b"\0"))
    with open("address", "r+b") as cold:
        pages = mmap.mmap(cold.fileno(), mmap.PAGESIZE, flags=mmap.MAP_PRIVATE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
        connect(file, "read at exit", udp(), ctypes.c_void_p(start), 16)

    seccomp_returns(1000)
    connect(file, "an errno without a name, entry not seen: seccomp denies", udp(), to_listener)


def interrupted(title, address, restart=None):
    """A call in a child that a signal interrupts: SIGUSR1 if its handler may `restart`, SIGKILL."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGUSR1, lambda *_: None)
        signal.siginterrupt(signal.SIGUSR1, restart is False)
        connect("results", title, socket.socket(), address)
        os._exit(0)
    in_connect(child)
    if restart is not None:
        os.kill(child, signal.SIGUSR1)
    if restart:
        # The handler has run when the signal is pending no more.
        while status(child, "SigPnd") or status(child, "ShdPnd"):
            os.sched_yield()
        in_connect(child)
    if restart is not False:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def in_connect(child):
    """Waits until the child sleeps in connect(2)."""
    while open(f"/proc/{child}/syscall").read().split()[0] != str(CONNECT):
        os.sched_yield()


def status(child, mask):
    lines = dict(line.split(":\t", 1) for line in open(f"/proc/{child}/status") if ":\t" in line)
    return int(lines[mask], 16)


def hostile():
    file = "hostile"
    to = inet("127.0.0.1", 9)
    for title, name in [
        ("a newline", b"two\nlines"),
        ("colour", b"\x1b[31mred\x1b[0m"),
        ("sets the title", b"\x1b]0;title\x07"),
        ("quotes and a backslash", b"\"quote\" 'n' \\"),
        ("invalid UTF-8", b"not\xff\xfeutf8"),
        ("right-to-left override", "ab\u202edc".encode()),
        ("wide characters", "\u6f22\u5b57\u6f22\u5b57\u6f22".encode()),
        ("wide and of four bytes", b"cut\xf0\x9f\xa6\x80\xf0\x9f\xa6\x80\xf0\x9f\xa6\x80"),
        ("tab and delete", b"tab\tand\x7fdel"),
        ("a forged pid", b"a/1234 ok"),
        ("none", b""),
    ]:
        name_thread(name)
        connect(file, f"comm: {title}", udp(), to)
    name_thread(b"hostile")
    line = b"12:00:00 init/1           unix       3 ok                870ns /run/forged"
    for title, path in [
        ("a newline and a forged row", b"/tmp/x\n" + line),
        ("a carriage return and a forged row", b"/tmp/x\r" + line),
        ("a forged row where a terminal of 80 columns wraps", b"/tmp/x".ljust(21) + line),
        ("clears the screen, sets the title", b"/tmp/\x1b[2J\x1b[H\x1b]0;owned\x07"),
        ("C1 controls", b"/tmp/\xc2\x9b31m and \x9b31m"),
        ("forged JSON", b"/tmp/\"quoted\",\"event\":\"lost\""),
        ("for a shell", b"/tmp/'single' `back` $(dollar)"),
        ("backslashes", b"/tmp/back\\slash \\x41 \\\\"),
        ("invalid UTF-8", b"/tmp/\xff\xfe\xc0\xaf\xed\xa0\x80"),
        ("bidirectional controls", "/tmp/\u202egnp.exe\u202c \u2066x\u2069".encode()),
        ("hidden and separating", "/tmp/zero\u200bwidth\ufeff\u00a0\u2028\u2029".encode()),
        ("printable, but not ASCII", "/tmp/gr\u00fc\u00dfe \u65e5\u672c \U0001f980 e\u0301".encode()),
        ("looks abstract", b"@not-abstract"),
        ("looks unnamed", b"(unnamed)"),
        ("looks like none", b"-"),
        ("a space", b" "),
        ("abstract with NULs and controls", b"\0a\0b\0\n\x1b[31m"),
        ("abstract and empty", b"\0"),
        ("every control character", bytes(range(1, 33))),
    ]:
        connect(file, f"path: {title}", unix(), un(path))
    kind, name = b"ha\nsh\x1b[0m".ljust(14, b"\0"), b"sha\xff\\256".ljust(64, b"\xff")
    connect(file, "AF_ALG: both texts", udp(), sockaddr(38, kind, bytes(8), name))


def seccomp_returns(errno):
    """From now on, in this thread, connect(2) returns this errno without being run."""
    LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
    RET_ERRNO, RET_ALLOW = 0x00050000, 0x7FFF0000
    PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2
    steps = [(LOAD, 0, 0, 0), (JUMP_EQUAL, 0, 1, CONNECT), (RETURN, 0, 0, RET_ERRNO | errno), (RETURN, 0, 0, RET_ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = struct.pack("@HP", len(steps), ctypes.addressof(code))
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(PR_SET_SECCOMP, FILTER, program, 0, 0) == 0


with tempfile.TemporaryDirectory() as scratch:
    # So that the paths of the sockets are relative, and the same in every recording.
    os.chdir(scratch)
    for part in [families, hostile, results]:
        name_thread(b"app")
        part()
