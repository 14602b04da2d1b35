//! Semaphores and keys.

use super::net::dynamic;
use super::{Check, Ctx, Scratch, id, sys, text};

pub fn rows(c: &mut Ctx) {
    semaphores(c);
    keys(c);
}

/// A `sembuf`.
fn op(num: u16, op: i16, flags: u16) -> [u8; 6] {
    let [a, b] = num.to_le_bytes();
    let [d, e] = op.to_le_bytes();
    let [f, g] = flags.to_le_bytes();
    [a, b, d, e, f, g]
}

fn semaphores(c: &mut Ctx) {
    let id = call!(c, "semget", SYS_semget, 0, 3, 0o1600 | 0o2000);
    assert!(id >= 0, "{id}");
    ev!(c, SYSCALL_SEMGET_X, id, 0, 3, 8192 | 16384);
    let r = call!(c, "semget: fails", SYS_semget, 0x8765_4321_u32, -1, 0o777);
    ev!(c, SYSCALL_SEMGET_X, r, 0x8765_4321_u32, -1, 0);
    let r = call!(c, "semctl: SETVAL", SYS_semctl, id, 1, 16, 9);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_SEMCTL_X, 0, id, 1, 4096, 9);
    let r = call!(c, "semctl: GETVAL", SYS_semctl, id, 1, 12, 77);
    assert_eq!(r, 9);
    ev!(c, SYSCALL_SEMCTL_X, 9, id, 1, 512, 0);
    let two = [op(1, -4, 0o4000), op(2, 5, 0x1000 | 0o4000), op(0, 1, 0)].concat();
    let p = two.as_ptr();
    let r = call!(c, "semop: two", SYS_semop, id, p, 2);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_SEMOP_X, 0, 2, 1, -4, 1, 2, 5, 3, id);
    let r = call!(c, "semop: one", SYS_semop, id, p, 1);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_SEMOP_X, 0, 1, 1, -4, 1, 0, 0, 0, id);
    let r = call!(c, "semop: three", SYS_semop, id, two[6..].as_ptr(), 2);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_SEMOP_X, 0, 2, 2, 5, 3, 0, 1, 0, id);
    for (pointer, count) in [(0, 2), (p as i64, 100_000), (p as i64, 0)] {
        let r = call!(c, "semop: fails", SYS_semop, id, pointer, count);
        assert!(r < 0);
        ev!(c, SYSCALL_SEMOP_X, r, count, 0, 0, 0, 0, 0, 0, id);
    }
    let r = call!(c, "semop: EINVAL", SYS_semop, -1, p, 2);
    ev!(c, SYSCALL_SEMOP_X, r, 2, 0, 0, 0, 0, 0, 0, -1);
    let r = call!(c, "semctl: IPC_RMID", SYS_semctl, id, 0, 0, 0);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_SEMCTL_X, 0, id, 0, 4, 0);
    let r = call!(c, "semctl: fails, SETVAL", SYS_semctl, id, -2, 16, -3);
    ev!(c, SYSCALL_SEMCTL_X, r, id, -2, 4096, -3);
}

fn number(n: i64) -> Check {
    dynamic(0, &n.to_le_bytes()).into()
}

fn string(s: &[u8]) -> Check {
    dynamic(1, &[s, &[0]].concat()).into()
}

fn keys(c: &mut Ctx) {
    let ring = -3; // KEY_SPEC_SESSION_KEYRING
    let (kind, name) = (text("user"), text("scapkit workload"));
    let key = raw!(SYS_add_key, kind.as_ptr(), name.as_ptr(), b"x".as_ptr(), 1, -2);
    if key < 0 {
        c.skip("no keys here: keyctl only fails");
    }
    let r = call!(c, "keyctl: GET_KEYRING_ID", SYS_keyctl, 0, ring, 1, 55, 66);
    ev!(c, SYSCALL_KEYCTL_X, r, 0, number(-3), number(1), number(0), number(0));
    let mut buf = [0_u8; 200];
    let b = buf.as_mut_ptr() as i64;
    let r = call!(c, "keyctl: DESCRIBE", SYS_keyctl, 6, key, b, 200, 66);
    ev!(c, SYSCALL_KEYCTL_X, r, 6, number(key), number(b), number(200), number(0));
    let r = call!(c, "keyctl: SEARCH", SYS_keyctl, 10, -2, kind.as_ptr(), name.as_ptr(), 0);
    ev!(c, SYSCALL_KEYCTL_X, r, 10, number(-2), string(b"user"), string(b"scapkit workload"), number(0));
    let hole = Scratch::new();
    let h = hole.hole();
    let r = call!(c, "keyctl: SEARCH, no strings", SYS_keyctl, 10, i64::MIN, 0, h, -1);
    ev!(c, SYSCALL_KEYCTL_X, r, 10, number(i64::MIN), vec![1], vec![1], number(-1));
    let r = call!(c, "keyctl: JOIN_SESSION_KEYRING, unreadable", SYS_keyctl, 1, h, 2, 3, 4);
    ev!(c, SYSCALL_KEYCTL_X, r, 1, vec![1], number(0), number(0), number(0));
    c.in_child(|c| {
        let name = text("a session \u{e9}");
        let r = call!(c, "keyctl: JOIN_SESSION_KEYRING", SYS_keyctl, 1, name.as_ptr(), 2, 3, 4);
        ev!(c, SYSCALL_KEYCTL_X, r, 1, string("a session \u{e9}".as_bytes()), number(0), number(0), number(0));
        0
    });
    let s = text("str");
    let p = s.as_ptr() as i64;
    // How many arguments each operation has, and which of them are strings. There is no key of that number.
    let none: &[usize] = &[];
    let nobody = 0x7FFF_FFF0_i64;
    let operations: [(i64, usize, &[usize]); 30] = [
        (2, 3, none),
        (3, 1, none),
        (4, 3, none),
        (5, 2, none),
        (7, 1, none),
        (8, 2, none),
        (9, 2, none),
        (11, 3, none),
        (12, 4, none),
        (13, 3, none),
        (14, 1, none),
        (15, 2, none),
        (16, 1, none),
        (17, 3, none),
        (18, 0, none),
        (19, 4, none),
        (20, 4, none),
        (21, 1, none),
        (22, 2, none),
        (23, 4, none),
        (24, 3, &[3]),
        (25, 4, &[2]),
        (26, 4, &[2]),
        (27, 4, &[2]),
        (28, 4, &[2]),
        (29, 3, &[2, 3]),
        (30, 4, none),
        (31, 2, none),
        (32, 3, none),
        (99, 0, none),
    ];
    for (operation, count, strings) in operations {
        if matches!(operation, 14 | 18 | 31) {
            continue; // these have an effect, or succeed, whatever they are given
        }
        let args = [nobody, p, p, 0x1_0000_0003];
        let args: Vec<i64> = (1..=4)
            .map(|i| {
                if i == 1 {
                    nobody
                } else if strings.contains(&i) {
                    p
                } else {
                    args[i - 1]
                }
            })
            .collect();
        let r =
            c.call(&format!("keyctl {operation}"), libc::SYS_keyctl, &[operation, args[0], args[1], args[2], args[3]]);
        let mut params: Vec<Check> = vec![r.into(), operation.into()];
        for i in 1..=4 {
            params.push(if strings.contains(&i) {
                string(b"str")
            } else if i <= count {
                number(args[i - 1])
            } else {
                number(0)
            });
        }
        c.event(id::SYSCALL_KEYCTL_X, params);
    }
    if key >= 0 {
        raw!(SYS_keyctl, 9, key, -2);
    }
}
