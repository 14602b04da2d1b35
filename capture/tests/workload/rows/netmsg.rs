//! Messages: sendto, recvfrom, sendmsg, recvmsg and the calls for several at once.

use super::io::iov;
use super::net::{own, port, tuple, un, unix_alone, unix_tuple, v4, v6};
use super::{BAD_FD, Check, Ctx, EBADF, EFAULT, EMPTY, Scratch, close, id, pattern, raw_dir, sys};
use std::net::Ipv6Addr;

pub fn rows(c: &mut Ctx) {
    udp(c);
    udp6(c);
    connected(c);
    failures(c);
    unix(c);
    several(c);
}

/// A `msghdr` (56 bytes, and the `msg_len` of a `mmsghdr` after it).
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Msg {
    pub name: i64,
    pub name_len: u64,
    pub iov: i64,
    pub iov_len: u64,
    pub control: i64,
    pub control_len: u64,
    pub flags: u64,
    pub len: u64,
}

fn msg(name: i64, name_len: u64, iov: &[[i64; 2]]) -> Msg {
    Msg { name, name_len, iov: iov.as_ptr() as i64, iov_len: iov.len() as u64, ..Msg::default() }
}

/// A datagram socket on the loopback, with its address.
fn bound(c: &Ctx) -> (i64, Vec<u8>) {
    let _ = c;
    let s = raw!(SYS_socket, 2, 2, 0);
    let (user, _) = v4([127, 0, 0, 1], 0);
    assert_eq!(raw!(SYS_bind, s, user.as_ptr(), 16), 0);
    (s, own(s, false))
}

fn udp(c: &mut Ctx) {
    let snap = c.snaplen;
    let (s, to) = bound(c);
    let (user, _) = v4([127, 0, 0, 1], port(&to));
    let data = pattern(1000);
    let a = raw!(SYS_socket, 2, 2, 0);
    let r =
        call!(c, "sendto: UDP, a socket that was not bound", SYS_sendto, a, data.as_ptr(), 1000, 0, user.as_ptr(), 16);
    assert_eq!(r, 1000);
    let from = v4([0, 0, 0, 0], port(&own(a, false))).1;
    ev!(c, SOCKET_SENDTO_X, r, &data[..snap], a, 1000, tuple(&from, &to));
    let seen_from = v4([127, 0, 0, 1], port(&from)).1;

    let mut buf = vec![0_u8; 2000];
    let b = buf.as_mut_ptr();
    let mut peer = [0_u8; 128];
    let mut len = 128_u32;
    let r =
        call!(c, "recvfrom: UDP, the sender's address", SYS_recvfrom, s, b, 1500, 0, peer.as_mut_ptr(), &raw mut len);
    assert_eq!(r, 1000);
    ev!(c, SOCKET_RECVFROM_X, r, &data[..snap], tuple(&seen_from, &to), s, 1500);
    raw!(SYS_sendto, a, data.as_ptr(), 30, 0, user.as_ptr(), 16);
    let r = call!(c, "recvfrom: UDP, no address asked for", SYS_recvfrom, s, b, 100, 0, 0, 0);
    assert_eq!(r, 30);
    ev!(c, SOCKET_RECVFROM_X, r, &data[..30], tuple(&v4([0; 4], 0).1, &to), s, 100);
    // A datagram of nothing.
    let r = call!(c, "sendto: UDP, nothing", SYS_sendto, a, 0, 0, 0, user.as_ptr(), 16);
    assert_eq!(r, 0);
    ev!(c, SOCKET_SENDTO_X, 0, EMPTY, a, 0, tuple(&from, &to));
    let r = call!(c, "recvfrom: UDP, nothing into NULL", SYS_recvfrom, s, 0, 0, 0, 0, 0);
    assert_eq!(r, 0);
    ev!(c, SOCKET_RECVFROM_X, 0, EMPTY, tuple(&v4([0; 4], 0).1, &to), s, 0);
    // The buffer is smaller than the datagram, and its real length is asked for.
    raw!(SYS_sendto, a, data.as_ptr(), 90, 0, user.as_ptr(), 16);
    let r = call!(c, "recvfrom: MSG_TRUNC and MSG_PEEK", SYS_recvfrom, s, b, 40, 0x22, 0, 0);
    assert_eq!(r, 90);
    buf[..].copy_from_slice(&[&data[..40], &[0; 1960][..]].concat());
    c.forget(); // ret is more than was written: what lies behind is the buffer's earlier content
    raw!(SYS_recvfrom, s, b, 400, 0, 0, 0);

    let parts = [iov(data.as_ptr() as i64, 15), iov(data.as_ptr() as i64 + 100, 500)];
    let joined = [&data[..15], &data[100..600]].concat();
    let m = msg(user.as_ptr() as i64, 16, &parts);
    let r = call!(c, "sendmsg: UDP", SYS_sendmsg, a, &raw const m, 0);
    assert_eq!(r, 515);
    ev!(c, SOCKET_SENDMSG_X, r, &joined[..snap], a, 515, tuple(&from, &to));
    let into = [iov(b as i64, 10), iov(b as i64 + 10, 900)];
    peer = [0; 128];
    let mut m = msg(peer.as_mut_ptr() as i64, 128, &into);
    let r = call!(c, "recvmsg: UDP", SYS_recvmsg, s, &raw mut m, 0);
    assert_eq!(r, 515);
    ev!(c, SOCKET_RECVMSG_X, r, 515, &joined[..snap], tuple(&seen_from, &to), EMPTY, s);
    raw!(SYS_sendto, a, data.as_ptr(), 20, 0, user.as_ptr(), 16);
    let mut m = msg(0, 0, &into);
    let r = call!(c, "recvmsg: UDP, no address asked for", SYS_recvmsg, s, &raw mut m, 0);
    assert_eq!(r, 20);
    ev!(c, SOCKET_RECVMSG_X, r, 20, &data[..20], tuple(&v4([0; 4], 0).1, &to), EMPTY, s);
    close(a);
    close(s);
}

fn udp6(c: &mut Ctx) {
    let s = raw!(SYS_socket, 10, 2, 0);
    let (user, _) = v6(Ipv6Addr::LOCALHOST, 0);
    if s < 0 || raw!(SYS_bind, s, user.as_ptr(), 28) != 0 {
        c.skip("no IPv6 here (UDP)");
        return;
    }
    let to = own(s, false);
    let (user, _) = v6(Ipv6Addr::LOCALHOST, port(&to));
    let a = raw!(SYS_socket, 10, 2, 0);
    let data = pattern(9);
    let r = call!(c, "sendto: UDP v6", SYS_sendto, a, data.as_ptr(), 9, 0, user.as_ptr(), 28);
    assert_eq!(r, 9);
    let from = v6(Ipv6Addr::UNSPECIFIED, port(&own(a, false))).1;
    ev!(c, SOCKET_SENDTO_X, r, &data[..], a, 9, tuple(&from, &to));
    let mut buf = [0_u8; 20];
    let mut peer = [0_u8; 28];
    let mut len = 28_u32;
    let r = call!(c, "recvfrom: UDP v6", SYS_recvfrom, s, buf.as_mut_ptr(), 20, 0, peer.as_mut_ptr(), &raw mut len);
    assert_eq!(r, 9);
    let from = v6(Ipv6Addr::LOCALHOST, port(&from)).1;
    ev!(c, SOCKET_RECVFROM_X, r, &data[..], tuple(&from, &to), s, 20);
    close(a);
    close(s);
}

/// Connected sockets: the kernel knows both ends, and the user's address does not matter.
fn connected(c: &mut Ctx) {
    let (s, to) = bound(c);
    let (user, to_p) = v4([127, 0, 0, 1], port(&to));
    let a = raw!(SYS_socket, 2, 2, 0);
    let r = call!(c, "connect: UDP", SYS_connect, a, user.as_ptr(), 16);
    assert_eq!(r, 0);
    let from = own(a, false);
    ev!(c, SOCKET_CONNECT_E, a, &to_p[..]);
    ev!(c, SOCKET_CONNECT_X, 0, tuple(&from, &to), a, &to_p[..]);
    let data = pattern(44);
    let r = call!(c, "sendto: connected", SYS_sendto, a, data.as_ptr(), 44, 0, 0, 0);
    assert_eq!(r, 44);
    ev!(c, SOCKET_SENDTO_X, r, &data[..], a, 44, tuple(&from, &to));
    let r = call!(c, "write: to a socket", SYS_write, a, data.as_ptr(), 44);
    ev!(c, SYSCALL_WRITE_X, r, &data[..], a, 44);
    let mut buf = [0_u8; 64];
    let (user, _) = v4([127, 0, 0, 1], port(&from));
    raw!(SYS_connect, s, user.as_ptr(), 16);
    let r = call!(c, "recvfrom: connected", SYS_recvfrom, s, buf.as_mut_ptr(), 64, 0, 0, 0);
    assert_eq!(r, 44);
    ev!(c, SOCKET_RECVFROM_X, r, &data[..], tuple(&from, &to), s, 64);
    let r = call!(c, "read: from a socket", SYS_read, s, buf.as_mut_ptr(), 64);
    assert_eq!(r, 44);
    ev!(c, SYSCALL_READ_X, r, &data[..], s, 64);
    close(a);
    close(s);
}

fn failures(c: &mut Ctx) {
    let hole = Scratch::new();
    let snap = c.snaplen;
    let data = pattern(200);
    let d = data.as_ptr() as i64;
    let file = raw_dir(c);
    let (user, _) = v4([127, 0, 0, 1], 9);
    let r = call!(c, "sendto: not a socket, data all the same", SYS_sendto, file, d, 200, 0, user.as_ptr(), 16);
    assert_eq!(r, -88);
    ev!(c, SOCKET_SENDTO_X, r, &data[..snap.min(200)], file, 200, EMPTY);
    let r = call!(c, "sendto: unreadable", SYS_sendto, -1, hole.hole(), 5, 0, 0, 0);
    assert_eq!(r, EBADF);
    ev!(c, SOCKET_SENDTO_X, r, EMPTY, -1, 5, EMPTY);
    let mut buf = [0_u8; 20];
    let r = call!(c, "recvfrom: fails", SYS_recvfrom, BAD_FD, buf.as_mut_ptr(), 20, 0, 0, 0);
    ev!(c, SOCKET_RECVFROM_X, r, EMPTY, EMPTY, BAD_FD, 20);

    let parts = [iov(d, 100), iov(d, 100)];
    let joined = [&data[..100], &data[..100]].concat();
    let m = msg(0, 0, &parts);
    let r = call!(c, "sendmsg: EBADF, data all the same", SYS_sendmsg, -1, &raw const m, 0);
    assert_eq!(r, EBADF);
    ev!(c, SOCKET_SENDMSG_X, r, &joined[..snap.min(200)], -1, 200, EMPTY);
    for p in [0, hole.hole()] {
        let r = call!(c, "sendmsg: no header", SYS_sendmsg, BAD_FD, p, 0);
        ev!(c, SOCKET_SENDMSG_X, r, EMPTY, BAD_FD, EMPTY, EMPTY);
    }
    let s = raw!(SYS_socket, 2, 2, 0);
    let m = Msg { iov: hole.hole(), iov_len: 3, ..Msg::default() };
    let r = call!(c, "sendmsg: no vector", SYS_sendmsg, s, &raw const m, 0);
    assert_eq!(r, EFAULT);
    ev!(c, SOCKET_SENDMSG_X, r, EMPTY, s, 0, EMPTY);
    let mut m = msg(0, 0, &parts);
    for p in [0, (&raw mut m) as i64] {
        let r = call!(c, "recvmsg: fails", SYS_recvmsg, BAD_FD, p, 0);
        ev!(c, SOCKET_RECVMSG_X, r, 0, EMPTY, EMPTY, EMPTY, BAD_FD);
    }
    let mut mm = [m, m];
    let r = call!(c, "sendmmsg: fails", SYS_sendmmsg, -1, mm.as_mut_ptr(), 2, 0);
    ev!(c, SOCKET_SENDMMSG_X, r, -1, 0, EMPTY, EMPTY);
    let r = call!(c, "recvmmsg: fails", SYS_recvmmsg, BAD_FD, mm.as_mut_ptr(), 2, 0, 0);
    ev!(c, SOCKET_RECVMMSG_X, r, BAD_FD, 0, EMPTY, EMPTY, EMPTY);
    let r = call!(c, "sendmmsg: none", SYS_sendmmsg, s, mm.as_mut_ptr(), 0, 0);
    assert_eq!(r, 0);
    ev!(c, SOCKET_SENDMMSG_X, 0, s, 0, EMPTY, EMPTY);
    close(s);
    close(file);
}

/// Datagrams with a name, a pair without one, and descriptors that are passed.
fn unix(c: &mut Ctx) {
    let path = c.path("datagrams");
    let (user, _) = un(path.as_bytes_with_nul());
    let s = raw!(SYS_socket, 1, 2, 0);
    assert_eq!(raw!(SYS_bind, s, user.as_ptr(), user.len()), 0);
    let a = raw!(SYS_socket, 1, 2, 0);
    let data = pattern(33);
    let d = data.as_ptr() as i64;
    let r = call!(c, "sendto: unix, no peer: the user's path", SYS_sendto, a, d, 33, 0, user.as_ptr(), user.len());
    assert_eq!(r, 33);
    ev!(c, SOCKET_SENDTO_X, r, &data[..], a, 33, unix_alone(None, Some("datagram a"), path.as_bytes()));
    let mut buf = [0_u8; 64];
    let b = buf.as_mut_ptr() as i64;
    let r = call!(c, "recvfrom: unix", SYS_recvfrom, s, b, 64, 0, 0, 0);
    assert_eq!(r, 33);
    ev!(c, SOCKET_RECVFROM_X, r, &data[..], unix_alone(Some("datagram s"), None, path.as_bytes()), s, 64);
    close(a);
    close(s);

    let mut pair = [0_i32; 2];
    raw!(SYS_socketpair, 1, 1, 0, pair.as_mut_ptr());
    let [p, q] = pair.map(i64::from);
    let parts = [iov(d, 33)];
    let pass = raw_dir(c);
    // cmsghdr: length 24 (16 and two descriptors), SOL_SOCKET, SCM_RIGHTS
    let control = [
        24_u64.to_le_bytes().as_slice(),
        &1_u32.to_le_bytes(),
        &1_u32.to_le_bytes(),
        &(pass as i32).to_le_bytes(),
        &0_i32.to_le_bytes(),
    ]
    .concat();
    let m = Msg { control: control.as_ptr() as i64, control_len: 24, ..msg(0, 0, &parts) };
    let r = call!(c, "sendmsg: descriptors", SYS_sendmsg, p, &raw const m, 0);
    assert_eq!(r, 33);
    ev!(c, SOCKET_SENDMSG_X, r, &data[..], p, 33, unix_tuple("message q", "message p", b""));
    let mut ancillary = vec![0_u8; 200];
    let into = [iov(b, 64)];
    let mut m = Msg { control: ancillary.as_mut_ptr() as i64, control_len: 200, ..msg(0, 0, &into) };
    let r = call!(c, "recvmsg: descriptors", SYS_recvmsg, q, &raw mut m, 0);
    assert_eq!((r, m.control_len), (33, 24));
    let fds: Vec<i64> =
        [16, 20].map(|at| i64::from(i32::from_le_bytes(ancillary[at..at + 4].try_into().unwrap()))).to_vec();
    assert!(fds.iter().all(|fd| *fd > 0), "{fds:?}");
    ev!(c, SOCKET_RECVMSG_X, r, 33, &data[..], unix_tuple("message q", "message p", b""), &ancillary[..24], q);
    for fd in fds {
        close(fd);
    }
    raw!(SYS_write, p, d, 5);
    let mut m = Msg { control: ancillary.as_mut_ptr() as i64, control_len: 200, ..msg(0, 0, &into) };
    let r = call!(c, "recvmsg: no descriptors", SYS_recvmsg, q, &raw mut m, 0);
    assert_eq!((r, m.control_len), (5, 0));
    ev!(c, SOCKET_RECVMSG_X, r, 5, &data[..5], unix_tuple("message q", "message p", b""), EMPTY, q);
    raw!(SYS_close, p);
    let mut m = msg(0, 0, &into);
    let r = call!(c, "recvmsg: the end", SYS_recvmsg, q, &raw mut m, 0);
    assert_eq!(r, 0);
    c.forget(); // whether the closed peer is still referred to is the kernel's affair
    close(q);
    close(pass);
}

/// One event for each message.
fn several(c: &mut Ctx) {
    let snap = c.snaplen;
    let (s, to) = bound(c);
    let (user, _) = v4([127, 0, 0, 1], port(&to));
    let a = raw!(SYS_socket, 2, 2, 0);
    let data = pattern(4000);
    let d = data.as_ptr() as i64;
    // The first send binds the socket, so that the sender's port is the same in all.
    raw!(SYS_sendto, a, d, 0, 0, user.as_ptr(), 16);
    raw!(SYS_recvfrom, s, 0, 0, 0, 0, 0);
    let from = v4([0; 4], port(&own(a, false))).1;
    let seen_from = v4([127, 0, 0, 1], port(&from)).1;
    // 32 messages: as many as are given each its own event.
    for count in [1, 2, 17, 32] {
        let lens: Vec<usize> = (0..count).map(|i| i * 11 % 300).collect();
        let iovs: Vec<[i64; 2]> = lens.iter().enumerate().map(|(i, len)| iov(d + i as i64, *len)).collect();
        let mut out: Vec<Msg> = iovs.iter().map(|v| msg(user.as_ptr() as i64, 16, std::slice::from_ref(v))).collect();
        let r = call!(c, format!("sendmmsg: {count}"), SYS_sendmmsg, a, out.as_mut_ptr(), count, 0);
        assert_eq!(r, count as i64);
        for (i, len) in lens.iter().enumerate() {
            ev!(c, SOCKET_SENDMMSG_X, *len, a, *len, &data[i..i + snap.min(*len)], tuple(&from, &to));
        }
        let mut bufs = vec![[0_u8; 300]; count];
        let iovs: Vec<[i64; 2]> = bufs.iter_mut().map(|b| iov(b.as_mut_ptr() as i64, 300)).collect();
        let mut names = vec![[0_u8; 16]; count];
        let mut into: Vec<Msg> =
            iovs.iter().zip(&mut names).map(|(v, n)| msg(n.as_mut_ptr() as i64, 16, std::slice::from_ref(v))).collect();
        let r = call!(c, format!("recvmmsg: {count}"), SYS_recvmmsg, s, into.as_mut_ptr(), count, 0x40, 0);
        assert_eq!(r, count as i64);
        for (i, len) in lens.iter().enumerate() {
            ev!(c, SOCKET_RECVMMSG_X, *len, s, *len, &data[i..i + snap.min(*len)], tuple(&seen_from, &to), EMPTY);
        }
    }
    close(a);
    close(s);
    let mut pair = [0_i32; 2];
    raw!(SYS_socketpair, 1, 2, 0, pair.as_mut_ptr());
    let [p, q] = pair.map(i64::from);
    let parts = [iov(d, 12)];
    let control = [
        20_u64.to_le_bytes().as_slice(),
        &1_u32.to_le_bytes(),
        &1_u32.to_le_bytes(),
        &(p as i32).to_le_bytes(),
        &[0; 4],
    ]
    .concat();
    let mut mm = [Msg { control: control.as_ptr() as i64, control_len: 24, ..msg(0, 0, &parts) }];
    let r = call!(c, "sendmmsg: a descriptor", SYS_sendmmsg, p, mm.as_mut_ptr(), 1, 0);
    assert_eq!(r, 1);
    ev!(c, SOCKET_SENDMMSG_X, 12, p, 12, &data[..12], unix_tuple("several q", "several p", b""));
    let mut buf = [0_u8; 12];
    let mut ancillary = [0_u8; 64];
    let parts = [iov(buf.as_mut_ptr() as i64, 12)];
    let mut mm = [Msg { control: ancillary.as_mut_ptr() as i64, control_len: 64, ..msg(0, 0, &parts) }];
    let r = call!(c, "recvmmsg: a descriptor", SYS_recvmmsg, q, mm.as_mut_ptr(), 1, 0x40, 0);
    assert_eq!(r, 1);
    let n = mm[0].control_len as usize;
    assert!(n >= 20);
    ev!(c, SOCKET_RECVMMSG_X, 12, q, 12, &data[..12], unix_tuple("several q", "several p", b""), &ancillary[..n]);
    close(p);
    close(q);
}
