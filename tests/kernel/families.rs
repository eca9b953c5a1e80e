//! Addresses of every other family, decoded whatever the call comes to.

use anyhow::Result;
use libc::{EAFNOSUPPORT, EBADF};
use serde_json::json;

use crate::support::{
    attempt::Attempt,
    case::Case,
    sockaddr::Sockaddr,
    stage::Stage,
    syscall::{socket, tcp, udp},
};

pub(crate) const CASES: &[Case] = &[
    Case::exact("families_are_decoded_whatever_the_call_comes_to", decoded).brief(),
    Case::exact("families_without_a_decoder_are_shown_raw", raw),
];

fn notation(family: i32, name: &str, rest: &[&[u8]], text: &str) -> Sockaddr {
    let shown = json!({"address.family": name, "network.peer.address": text});
    Sockaddr::new(family, &rest.concat(), shown)
}

fn vsock(cid: u32, port: u32) -> Sockaddr {
    let rest = [
        &[0; 2][..],
        &port.to_ne_bytes(),
        &cid.to_ne_bytes(),
        &[0; 4],
    ];
    let shown = json!({
        "address.family": "AF_VSOCK",
        "network.peer.address": cid.to_string(),
        "network.peer.port": port,
    });
    Sockaddr::new(libc::AF_VSOCK, &rest.concat(), shown)
}

const fn u16(value: u16) -> [u8; 2] {
    value.to_ne_bytes()
}

const fn u32(value: u32) -> [u8; 4] {
    value.to_ne_bytes()
}

/// One address, or more, of each family that has a decoder and no file of its own here.
fn addresses() -> Vec<Sockaddr> {
    let device = [0x06, 0x05, 0x04, 0x03, 0x02, 0x01];
    let mut algorithm = b"skcipher".to_vec();
    algorithm.resize(14 + 8, 0);
    algorithm.extend(b"cbc(aes)");
    algorithm.resize(14 + 8 + 64, 0);
    vec![
        vsock(2, 1024),
        vsock(u32::MAX, u32::MAX),
        notation(
            libc::AF_PACKET,
            "AF_PACKET",
            &[
                &0x0800_u16.to_be_bytes(),
                &u32(1),
                &[0; 3],
                &[6],
                &device,
                &[0; 2],
            ],
            "protocol=0x0800,ifindex=1,address=06:05:04:03:02:01",
        ),
        notation(
            libc::AF_BLUETOOTH,
            "AF_BLUETOOTH",
            &[&u16(0), &u16(3)],
            "hci=0,channel=3",
        ),
        notation(
            libc::AF_BLUETOOTH,
            "AF_BLUETOOTH",
            &[&device],
            "01:02:03:04:05:06",
        ),
        notation(
            libc::AF_BLUETOOTH,
            "AF_BLUETOOTH",
            &[&device, &[7, 0]],
            "01:02:03:04:05:06,channel=7",
        ),
        notation(
            libc::AF_BLUETOOTH,
            "AF_BLUETOOTH",
            &[
                &0x1001_u16.to_le_bytes(),
                &device,
                &4_u16.to_le_bytes(),
                &[0; 2],
            ],
            "01:02:03:04:05:06,psm=4097,cid=4",
        ),
        notation(libc::AF_ALG, "AF_ALG", &[&algorithm], "skcipher:cbc(aes)"),
        notation(
            libc::AF_CAN,
            "AF_CAN",
            &[&[0; 2], &u32(5), &u32(0x123), &u32(0x8000_0456)],
            "ifindex=5,rx_id=0x123,tx_id=0x80000456",
        ),
        notation(
            libc::AF_XDP,
            "AF_XDP",
            &[&u16(4), &u32(2), &u32(1), &u32(9)],
            "ifindex=2,queue=1,flags=0x4",
        ),
        notation(
            libc::AF_TIPC,
            "AF_TIPC",
            &[&[2, 2], &u32(1000), &u32(7), &u32(0)],
            "service=1000:7,scope=2",
        ),
        notation(
            libc::AF_TIPC,
            "AF_TIPC",
            &[&[3, 3], &u32(11), &u32(22), &u32(0)],
            "socket=22:11,scope=3",
        ),
        notation(
            42,
            "AF_QIPCRTR",
            &[&[0; 2], &u32(3), &u32(4)],
            "node=3,port=4",
        ),
    ]
}

fn decoded(stage: &Stage) -> Result<()> {
    let (stream, datagram) = (tcp()?, udp()?);
    for address in addresses() {
        stage.connect(&Attempt::new(&stream, &address))?;
        stage.expect_of(EBADF, &Attempt::new(&-1, &address))?;
        if address.len() >= 16 {
            stage.expect(EAFNOSUPPORT, &stream, &address)?;
            stage.expect(EAFNOSUPPORT, &datagram, &address)?;
        }
        // On a socket of its own family, where this kernel has it and lets us.
        let family = i32::from(u16::from_ne_bytes([address.bytes[0], address.bytes[1]]));
        for kind in [
            libc::SOCK_STREAM,
            libc::SOCK_DGRAM,
            libc::SOCK_RAW,
            libc::SOCK_SEQPACKET,
        ] {
            let non_blocking = kind | libc::SOCK_NONBLOCK;
            if let Ok(socket) = socket(family, non_blocking, 0) {
                stage.connect(&Attempt::new(&socket, &address))?;
            }
        }
    }
    Ok(())
}

fn raw(stage: &Stage) -> Result<()> {
    let stream = tcp()?;
    for (family, name) in [
        (libc::AF_AX25, "AF_AX25"),
        (libc::AF_KEY, "AF_KEY"),
        (libc::AF_RDS, "AF_RDS"),
        (libc::AF_IB, "AF_IB"),
        (43, "AF_SMC"),
        (45, "AF_MCTP"),
        (46, "46"),
        (300, "300"),
        (65535, "65535"),
    ] {
        let family = <u16 as TryFrom<i32>>::try_from(family)?.to_ne_bytes();
        let bytes = [
            &family[..],
            &[0, 1, 0xff, b'\n', b'A', 0x80, 0, 0, 9, 9, 9, 9, 9, 9],
        ]
        .concat();
        stage.expect(EAFNOSUPPORT, &stream, &Sockaddr::raw(&bytes, Some(name)))?;
        stage.connect(&Attempt::new(&-1, &Sockaddr::raw(&family, Some(name))))?;
    }
    // Too few bytes for their family.
    for (bytes, name) in addresses()
        .iter()
        .map(|address| (&address.bytes[..5], &address.shown["address.family"]))
    {
        let address = Sockaddr::raw(bytes, name.as_str());
        stage.connect(&Attempt::new(&stream, &address))?;
    }
    Ok(())
}
