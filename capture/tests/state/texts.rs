//! Texts that the published cases do not have.

use scapkit_capture::state::cgroup::{absolute, expand, namespace_roots, parse as groups};
use scapkit_capture::state::exe::{File, layers, writable};
use scapkit_capture::state::fds::{Link, link};
use scapkit_capture::state::host::cpu_count;
use scapkit_capture::state::mounts::{Mounts, Overlay, device, unescape};
use scapkit_capture::state::parse;
use scapkit_capture::state::tables::{SocketInfo, inet_line, netlink_line, unix_line};
use scapkit_capture::state::users::{accounts, group_line, passwd_line};
use scapkit_format::lists::fds::FdType;

#[test]
fn numbers_do_not_overflow() {
    assert_eq!(parse::number(b"18446744073709551615 "), Some(u64::MAX));
    assert_eq!(parse::number(b"18446744073709551616"), None);
    assert_eq!(parse::number(b"-1"), None);
    assert_eq!(parse::signed(b"-1"), Some(-1));
    assert_eq!(parse::signed(b"9223372036854775808"), None);
}

#[test]
fn stat_that_is_cut_is_none() {
    let whole = b"2 (a b) S 0 0 0 -2147483648 -1 0 1 0 2 0 0 0 0 0 0 0 7 0 13 0 0\n";
    let s = parse::stat(whole).unwrap();
    assert_eq!((s.threads, s.tty, s.pfminor, s.pfmajor, s.start_ticks), (7, 0x8000_0000, 1, 2, 13));
    for end in 0..b"2 (a b) S 0 0 0 -2147483648 -1 0 1 0 2 0 0 0 0 0 0 0 7 0 ".len() {
        assert_eq!(parse::stat(&whole[..end]), None, "{end}");
    }
    assert_eq!(parse::stat(b")("), None);
}

#[test]
fn status_in_any_order() {
    let text = b"CapEff:\t0000000000000003\nGroups:\t4 24 65534 \nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nVmSwap:\t 9 kB\nTgid:\t7\nPid:\t8\n";
    let s = parse::status(text);
    assert_eq!((s.uid, s.fsuid, s.gid, s.fsgid, s.cap_effective, s.vmswap_kb), (2, 4, 6, 8, 3, 9));
    assert_eq!((s.tgid, s.tid, s.vpid, s.vtid, s.depth, s.groups), (7, 8, 7, 8, 0, &b"4 24 65534"[..]));
    let empty = parse::status(b"");
    assert_eq!((empty.tgid, empty.pgid, empty.vmsize_kb), (-1, -1, 0));
}

#[test]
fn limits_of_files() {
    let text = b"Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max cpu time              unlimited            unlimited            seconds   \n\
                 Max open files            1024                 524288               files     \n";
    assert_eq!(parse::fdlimit(text), 1024);
    assert_eq!(parse::fdlimit(b"Max open files            unlimited            unlimited            files\n"), -1);
    assert_eq!(parse::fdlimit(b""), -1);
}

#[test]
fn flags_of_several_bits() {
    // O_TMPFILE has O_DIRECTORY's bit, O_SYNC has O_DSYNC's.
    let flags = |f: i32| parse::open_flags(u64::try_from(f).unwrap());
    assert_eq!(flags(libc::O_DIRECTORY), 1 | 1 << 10);
    assert_eq!(flags(libc::O_TMPFILE | libc::O_RDWR), 3 | 1 << 10 | 1 << 13);
    assert_eq!(flags(libc::O_DSYNC), 1 | 1 << 4);
    assert_eq!(flags(libc::O_SYNC), 1 | 1 << 4 | 1 << 7);
    assert_eq!(flags(libc::O_PATH), 1);
}

#[test]
fn links_that_pretend() {
    assert_eq!(link(b"/pipe:[5]"), Link::Path);
    assert_eq!(link(b"pipe:[5]"), Link::Pipe(5));
    assert_eq!(link(b"socket:[5] (deleted)"), Link::Path);
    assert_eq!(link(b"anon_inode:[eventfd-7]"), Link::Anonymous(FdType::EVENT));
    assert_eq!(link(b"anon_inode:kvm-vm"), Link::Anonymous(FdType::UNSUPPORTED));
    assert_eq!(link(b"/memfd:"), Link::Memfd);
    assert_eq!(parse::memfd_name(b"/memfd:a (deleted) (deleted)"), b"a (deleted)");
}

#[test]
fn group_paths() {
    assert_eq!(absolute(b"/a/b", b"/"), b"/a/b");
    assert_eq!(absolute(b"/", b"/"), b"/");
    assert_eq!(absolute(b"", b"/x"), b"/x");
    assert_eq!(absolute(b"/a", b"/../../.."), b"/");
    assert_eq!(absolute(b"/a/b", b"/..x"), b"/a/b/..x");
    let roots = namespace_roots(b"3:cpu:/\n0::/child\n", b"3:cpu:/a/b\n0::/s/child\n7:pids:/x\n");
    assert_eq!(roots.len(), 2);
    assert_eq!((roots[&3].as_slice(), roots[&0].as_slice()), (&b"/a/b"[..], &b"/s"[..]));
}

#[test]
fn groups_that_cannot_be_read() {
    let mut asked = 0;
    let found = expand(b"/gone (deleted)", &mut |group| {
        asked += 1;
        (group == b"/").then(|| b"cpu memory".to_vec())
    });
    let path = b"/gone (deleted)".to_vec();
    assert_eq!(found, [(b"cpu".to_vec(), path.clone()), (b"memory".to_vec(), path)]);
    assert_eq!(asked, 2);
    assert!(expand(b"/a", &mut |_| None).is_empty());
    // A controller of a middle level, one of the root alone, and an end even when the root lies.
    let found = expand(b"/a/b", &mut |group| {
        Some(match group {
            b"/a/b" => b"io\n".to_vec(),
            b"/a" => b"io cpu\n".to_vec(),
            _ => b"io cpu pids misc\n".to_vec(),
        })
    });
    let names: Vec<(&[u8], &[u8])> = found.iter().map(|(c, p)| (c.as_slice(), p.as_slice())).collect();
    assert_eq!(names, [(&b"io"[..], &b"/a/b"[..]), (b"cpu", b"/a"), (b"pids", b"/"), (b"misc", b"/")]);
}

#[test]
fn a_list_of_groups_is_bounded() {
    let long = format!("2:cpu:/{}\n1:name=systemd:/x\n9:a,b:/{}\n0::/u\n", "p".repeat(4070), "q".repeat(9));
    let found = groups(long.as_bytes(), &mut |_| None, &|_, path| path.to_vec());
    assert!(found.list.len() <= 4096 && found.list.ends_with(b"\0"));
    assert_eq!((&*found.systemd, &*found.unified), (&b"/x"[..], &b"/u"[..]));
    assert!(found.list.starts_with(b"cpu=/ppp"));
}

#[test]
fn socket_lines_that_are_none() {
    assert!(inet_line(b"  sl  local_address rem_address   st tx_queue", false, 2).is_none());
    let gone = b"   1: 0100007F:A126 0100007F:01BB 06 00000000:00000000 00:00000000 00000000     0        0 0 3 0";
    assert!(inet_line(gone, false, 2).is_none());
    assert!(inet_line(b"0: 0100007F:1F90", true, 2).is_none());
    assert!(unix_line(b"Num       RefCount Protocol Flags    Type St Inode Path").is_none());
    assert!(
        netlink_line(b"sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode")
            .is_none()
    );
    let (_, socket) = unix_line(b"0: 00000002 00000000 00000000 0002 01 5 /a\xFF  b ").unwrap();
    assert_eq!(socket, SocketInfo::Unix { name: b"/a\xFF  b "[..].into(), peer: 0, listening: false });
}

#[test]
fn accounts_of_files() {
    let user = passwd_line(b"root:x:0:1:a,b:/root:/bin/sh:x").unwrap();
    assert_eq!((user.uid, user.gid, &*user.home, &*user.shell), (0, 1, &b"/root"[..], &b"/bin/sh:x"[..]));
    for bad in [
        &b"+::::::"[..],
        b"-u:x:1:1:::",
        b"u:x:1:1::",
        b"u:x::1:::",
        b"u:x:1a:1:::",
        b":x:1:1:::",
        b"u:x:4294967296:1:::",
    ] {
        assert_eq!(passwd_line(bad), None, "{}", bad.escape_ascii());
    }
    assert_eq!(group_line(b"g:x:4294967295").unwrap().gid, u32::MAX);
    assert_eq!(group_line(b"g:x"), None);
    assert_eq!(accounts(b"a:x:1:1:::\n\nbroken\n", b"").users.len(), 1);
}

#[test]
fn mounts_of_a_namespace() {
    let text = b"36 27 254:256 / / rw - ext4 /dev/vda rw\nbroken\n40 36 0:50 /sub /mnt\\040x ro shared:1 - overlay overlay ro,lowerdir=/l,upperdir=/up\\040per,workdir=/w\n";
    let mounts = Mounts::new(text);
    assert_eq!(mounts.get(36).unwrap().dev, device(254, 256));
    assert_eq!(device(254, 256), 254 << 8 | 1 << 20);
    let overlay = mounts.get(40).unwrap();
    assert!(overlay.read_only && !mounts.get(36).unwrap().read_only && mounts.get(1).is_none());
    let parts = overlay.overlay.as_ref().unwrap();
    assert_eq!((&*parts.root, &*parts.point, &*parts.upper), (&b"/sub"[..], &b"/mnt x"[..], &b"/up per"[..]));
    assert_eq!(unescape(b"a\\134\\040\\9\\"), b"a\\ \\9\\");
}

#[test]
fn who_can_write() {
    let status =
        |text: &str| format!("Tgid:\t1\nUid:\t9\t9\t9\t10\nGid:\t9\t9\t9\t20\nGroups:\t30 31\n{text}NSpid:\t1\n");
    let plain = status("CapEff:\t0000000000000000\n");
    let file = |mode, uid, gid| File { mode, uid, gid, frozen: false };
    let can = |file: File, text: &str, mapped| writable(&file, &parse::status(text.as_bytes()), || mapped);
    assert!(can(file(0o555, 10, 0), &plain, (false, false)), "the owner may change the mode");
    assert!(!can(File { frozen: true, ..file(0o777, 10, 0) }, &plain, (true, true)));
    assert!(can(file(0o575, 1, 20), &plain, (false, false)));
    assert!(can(file(0o575, 1, 31), &plain, (false, false)));
    assert!(!can(file(0o557, 1, 31), &plain, (false, false)), "a member of the group has the group's bits only");
    assert!(can(file(0o557, 1, 1), &plain, (false, false)));
    assert!(!can(file(0o755, 1, 1), &plain, (true, true)));
    let overrides = status("CapEff:\t0000000000000002\n");
    assert!(can(file(0o755, 1, 1), &overrides, (true, true)));
    assert!(!can(file(0o755, 1, 1), &overrides, (true, false)));
    let owner = status("CapEff:\t0000000000000008\n");
    assert!(can(file(0o755, 1, 1), &owner, (true, false)));
    assert!(!can(file(0o755, 1, 1), &owner, (false, true)));
}

#[test]
fn layers_that_cannot_be_told() {
    let overlay = |point: &str, upper: &str| Overlay { root: b"/".to_vec(), point: point.into(), upper: upper.into() };
    let host = std::path::Path::new("");
    assert_eq!(layers(&overlay("/", ""), b"/bin/x", host), (false, true));
    assert_eq!(layers(&overlay("/m", ""), b"/mx/x", host), (false, false));
    assert_eq!(layers(&overlay("/", "/not/there"), b"/bin/x", host), (false, false));
    assert_eq!(layers(&overlay("/", "relative"), b"/bin/x", host), (false, false));
    assert_eq!(layers(&overlay("/", "/"), b"/bin/x (deleted)", host), (false, false));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x"), "").unwrap();
    std::os::unix::fs::symlink("x", dir.path().join("link")).unwrap();
    let upper = dir.path().to_str().unwrap();
    assert_eq!(layers(&overlay("/m", upper), b"/m/x", host), (true, false));
    assert_eq!(layers(&overlay("/m", upper), b"/m/y", host), (false, true));
    assert_eq!(layers(&overlay("/m", upper), b"/m/link/../../etc/passwd", host), (false, false));
}

#[test]
fn processors() {
    assert_eq!((cpu_count(b"0-3,8\n"), cpu_count(b"0\n"), cpu_count(b""), cpu_count(b"3-1")), (5, 1, 0, 0));
}
