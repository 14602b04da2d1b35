//! What the snaplen changes: large buffers, and events that are too large.

use super::io::iov;
use super::netmsg::Msg;
use super::{Check, Ctx, EMPTY, close, id, pattern, sys};

pub fn rows(c: &mut Ctx) {
    let snap = c.snaplen;
    let data = pattern(200_000);
    let d = data.as_ptr() as i64;
    let path = c.path("wide");
    let fd = raw!(SYS_open, path.as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600);
    for size in [100, 4096, 40_000, snap, snap + 1, 65_535, 65_536, 65_537, 100_000, 131_072] {
        let r = call!(c, format!("write: {size} bytes"), SYS_write, fd, d, size);
        assert_eq!(r, size as i64);
        ev!(c, SYSCALL_WRITE_X, r, &data[..size.min(snap)], fd, size);
        let mut buf = vec![0_u8; size];
        let r = call!(c, format!("pread64: {size} bytes"), SYS_pread64, fd, buf.as_mut_ptr(), size, 0);
        assert_eq!(r, size as i64);
        ev!(c, SYSCALL_PREAD_X, r, &buf[..size.min(snap)], fd, size, 0);
        let two = [iov(d, size / 2), iov(d + size as i64 / 2, size - size / 2)];
        let r = call!(c, format!("pwritev: {size} bytes in two"), SYS_pwritev, fd, two.as_ptr(), 2, 0, 0);
        ev!(c, SYSCALL_PWRITEV_X, r, &data[..size.min(snap)], fd, size, 0);
        let into = [iov(buf.as_mut_ptr() as i64, 7), iov(buf.as_mut_ptr() as i64 + 7, size - 7)];
        let r = call!(c, format!("preadv: {size} bytes in two"), SYS_preadv, fd, into.as_ptr(), 2, 0, 0);
        assert_eq!(r, size as i64);
        ev!(c, SYSCALL_PREADV_X, r, size, &data[..size.min(snap)], fd, 0);
    }
    close(fd);
    control(c);
    image(c);
}

/// Ancillary data is kept whatever the snaplen is: 250 descriptors.
fn control(c: &mut Ctx) {
    let mut pair = [0_i32; 2];
    raw!(SYS_socketpair, 1, 1, 0, pair.as_mut_ptr());
    let [p, q] = pair.map(i64::from);
    let mut control =
        [(16 + 4 * 250_u64).to_le_bytes().as_slice(), &1_u32.to_le_bytes(), &1_u32.to_le_bytes()].concat();
    for _ in 0..250 {
        control.extend_from_slice(&(p as i32).to_le_bytes());
    }
    let byte = [7_u8];
    let one = [iov(byte.as_ptr() as i64, 1)];
    let m = Msg {
        iov: one.as_ptr() as i64,
        iov_len: 1,
        control: control.as_ptr() as i64,
        control_len: control.len() as u64,
        ..Msg::default()
    };
    let r = raw!(SYS_sendmsg, p, &raw const m, 0);
    assert_eq!(r, 1);
    let mut ancillary = vec![0_u8; 3000];
    let mut into = [0_u8];
    let one = [iov(into.as_mut_ptr() as i64, 1)];
    let mut m = Msg {
        iov: one.as_ptr() as i64,
        iov_len: 1,
        control: ancillary.as_mut_ptr() as i64,
        control_len: 3000,
        ..Msg::default()
    };
    let r = call!(c, "recvmsg: 250 descriptors", SYS_recvmsg, q, &raw mut m, 0);
    assert_eq!((r, m.control_len), (1, 1016));
    let tuple = super::net::unix_tuple("wide q", "wide p", b"");
    ev!(c, SOCKET_RECVMSG_X, r, 1, &[7_u8][..], tuple, &ancillary[..1016], q);
    for at in (16..1016).step_by(4) {
        close(i32::from_le_bytes(ancillary[at..at + 4].try_into().unwrap()).into());
    }
    close(p);
    close(q);
}

fn image(c: &mut Ctx) {
    let image = pattern(70_000);
    let snap = c.snaplen;
    for len in [60_000_usize, 65_536, 70_000] {
        let r = call!(c, format!("init_module: {len} bytes"), SYS_init_module, image.as_ptr(), len, 0);
        assert!(r < 0);
        ev!(c, SYSCALL_INIT_MODULE_X, r, &image[..len.min(snap)], len, EMPTY);
    }
}

/// The most data that is kept and 250 descriptors together are more than 64 KiB.
pub fn too_large(c: &mut Ctx) {
    let mut pair = [0_i32; 2];
    raw!(SYS_socketpair, 1, 2, 0, pair.as_mut_ptr());
    let [p, q] = pair.map(i64::from);
    let data = pattern(c.snaplen);
    let mut buf = vec![0_u8; c.snaplen];
    let mut control =
        [(16 + 4 * 250_u64).to_le_bytes().as_slice(), &1_u32.to_le_bytes(), &1_u32.to_le_bytes()].concat();
    control.extend((0..250).flat_map(|_| (p as i32).to_le_bytes()));
    let mut ancillary = vec![0_u8; 1016];
    for n in 0..3 {
        let one = [iov(data.as_ptr() as i64, data.len())];
        let m = Msg {
            iov: one.as_ptr() as i64,
            iov_len: 1,
            control: control.as_ptr() as i64,
            control_len: control.len() as u64,
            ..Msg::default()
        };
        assert_eq!(raw!(SYS_sendmsg, p, &raw const m, 0), data.len() as i64);
        let one = [iov(buf.as_mut_ptr() as i64, buf.len())];
        let mut m = Msg {
            iov: one.as_ptr() as i64,
            iov_len: 1,
            control: ancillary.as_mut_ptr() as i64,
            control_len: 1016,
            ..Msg::default()
        };
        // Nothing between the marks.
        let r = call!(c, format!("recvmsg: too large for an event, {n}"), SYS_recvmsg, q, &raw mut m, 0);
        assert_eq!((r, m.control_len), (data.len() as i64, 1016));
        for at in (16..1016).step_by(4) {
            close(i32::from_le_bytes(ancillary[at..at + 4].try_into().unwrap()).into());
        }
        let r = call!(c, "write: as large as an event may be", SYS_write, p, data.as_ptr(), data.len());
        assert_eq!(r, data.len() as i64);
        ev!(c, SYSCALL_WRITE_X, r, &data[..], p, data.len());
        raw!(SYS_read, q, buf.as_mut_ptr(), buf.len());
    }
    close(p);
    close(q);
}
