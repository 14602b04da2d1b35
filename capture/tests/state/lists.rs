//! A whole scan as blocks: right in their bytes, and read back as they were.

use super::helper::{role, snapshot};
use scapkit_capture::state::{ScanOptions, Snapshot, SocketInfo, scan};
use scapkit_format::lists::fds::FdType;
use scapkit_format::schema::id;
use scapkit_format::{BlockType, Capture, EventHead, Item, Limits, encode, verify};
use scapkit_replay::Engine;
use scapkit_replay::engine::{EngineLimits, FdKind, Socket};

fn capture(snapshot: &Snapshot) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode::section_header(&mut bytes);
    snapshot.lists(&mut bytes).unwrap();
    // A capture has an event.
    let head = EventHead { ts: snapshot.to, tid: 1, event_type: id::SYSCALL_CLOSE_X, ..EventHead::default() };
    encode::event(&mut bytes, head, &[&(-9i64).to_le_bytes(), &(-1i64).to_le_bytes()]).unwrap();
    bytes
}

fn open(bytes: &[u8]) -> Capture {
    Capture::from_bytes(bytes.to_vec(), "snapshot", Limits::default())
}

fn loaded(bytes: &[u8]) -> (Engine, Vec<BlockType>) {
    let mut engine = Engine::new(&EngineLimits::default());
    let (mut capture, mut blocks) = (open(bytes), Vec::new());
    while let Some(item) = capture.next().unwrap() {
        if let Item::Block(block, content) = item {
            blocks.push(block.block_type);
            engine.content(&content);
        }
    }
    engine.finish_lists();
    (engine, blocks)
}

fn same(snapshot: &Snapshot, engine: &Engine) {
    let mut threads = 0;
    for p in &snapshot.processes {
        for t in &p.threads {
            threads += 1;
            let e = engine.thread(t.tid).unwrap_or_else(|| panic!("thread {}", t.tid));
            assert_eq!((e.pid, e.ptid, e.sid, e.pgid, e.vpgid), (p.tgid, t.ptid, t.sid, t.pgid, t.vpgid));
            assert_eq!((e.vtid, e.vpid, e.uid, e.gid, e.tty), (t.vtid, t.vpid, t.uid, t.gid, t.tty));
            assert_eq!((&*e.comm, &*e.exe, &*e.root), (&*t.comm, p.exe(), p.root()));
            assert_eq!(&*e.args, p.args().strip_suffix(&[0]).unwrap_or_default());
            assert_eq!(&*e.exepath, p.exepath().strip_suffix(b" (deleted)").unwrap_or(p.exepath()));
            assert_eq!((e.fdlimit, e.loginuid), (p.fdlimit, p.loginuid));
            assert_eq!((e.vmsize_kb, e.vmrss_kb, e.vmswap_kb), (t.vmsize_kb, t.vmrss_kb, t.vmswap_kb));
            assert_eq!((e.pfmajor, e.pfminor), (t.pfmajor, t.pfminor));
            let caps = (t.cap_inheritable, t.cap_permitted, t.cap_effective);
            assert_eq!((e.cap_inheritable, e.cap_permitted, e.cap_effective), caps);
            let x = p.exe_file;
            assert_eq!(
                (e.exe_writable, e.exe_upper_layer, e.exe_lower_layer),
                (x.writable, x.upper_layer, x.lower_layer)
            );
            assert_eq!(
                (e.exe_ino, e.exe_ino_ctime, e.exe_ino_mtime, e.exe_from_memfd),
                (x.ino, x.ctime, x.mtime, x.from_memfd)
            );
            assert_eq!(e.pidns_init_start_ts, p.pidns_init_start_ts);
            assert_eq!(e.flags & 0x2001, t.flags);
            if t.tid == p.tgid {
                assert_eq!(&*e.env, p.env().strip_suffix(&[0]).unwrap_or_default());
                let cwd = e.cwd.strip_suffix(b"/").unwrap_or(&e.cwd);
                assert_eq!(cwd, p.cwd().strip_suffix(b"/").unwrap_or(p.cwd()));
            }
        }
        assert_eq!(engine.own_fd_count(p.tgid), p.fds.len());
        for fd in &p.fds {
            let e = engine.fd(p.tgid, fd.fd.into()).unwrap_or_else(|| panic!("fd {} of {}", fd.fd, p.tgid));
            assert_eq!((e.ino, e.dev), (fd.ino, fd.dev));
            match &fd.socket {
                None => assert_eq!(&*e.name, p.fd_name(fd)),
                Some(SocketInfo::Unix { name, peer, .. }) => {
                    assert_eq!(&*e.name, &**name);
                    assert_eq!(e.socket, Socket::Unix { source: fd.ino, destination: *peer });
                }
                Some(SocketInfo::Netlink { .. }) => assert_eq!(e.kind, FdKind::Netlink),
                Some(SocketInfo::V4 { .. } | SocketInfo::V6 { .. }) => assert!(e.socket.l4() != 0),
            }
            let flags =
                if fd.kind == FdType::FILE_V2 { scapkit_capture::state::parse::open_flags(fd.flags) } else { 0 };
            assert_eq!(e.open_flags, flags);
        }
    }
    assert_eq!(engine.threads().count(), threads);
    assert_eq!(engine.interfaces().len(), snapshot.interfaces.len());
    assert!(engine.user_name(0).is_some() && engine.group_name(0).is_some());
    assert_eq!(engine.machine().unwrap().boot_ts_epoch.get(), snapshot.machine.boot_ts_epoch.get());
}

#[test]
fn the_whole_system() {
    let (_threads, _) = role("threads", |_| {});
    let snapshot = scan(&ScanOptions::default()).unwrap();
    assert!(snapshot.processes.len() > 2);
    let bytes = capture(&snapshot);
    let verified = verify::verify(&mut open(&bytes), |_| ()).unwrap();
    assert_eq!(verified.damage_count, 0, "{:?}", verified.damages);
    let (engine, blocks) = loaded(&bytes);
    same(&snapshot, &engine);
    let fd_lists = blocks.iter().filter(|b| **b == BlockType::FDL_V2).count();
    assert_eq!(fd_lists, snapshot.processes.len());
    let mut kinds = blocks;
    kinds.dedup();
    let order = [
        BlockType::SHB,
        BlockType::MI,
        BlockType::IL_V2,
        BlockType::UL_V2,
        BlockType::PL_V9,
        BlockType::FDL_V2,
        BlockType::EV_V2,
    ];
    assert_eq!(kinds, order);
}

/// Once more with what the format can hardly say: long names, and lists over one block.
#[test]
fn extremes() {
    let mut s = snapshot(&[std::process::id()]);
    let one = s.processes.remove(0);
    for n in 0..3000 {
        let mut p = one.clone();
        p.tgid = 100_000 + n;
        p.threads.truncate(1);
        p.threads[0].tid = p.tgid;
        p.threads[0].comm = vec![b'c'; 3000].into();
        s.processes.push(p);
    }
    s.accounts.users[0].home = vec![b'h'; 5000].into();
    s.interfaces.clear();
    let bytes = capture(&s);
    assert_eq!(verify::verify(&mut open(&bytes), |_| ()).unwrap().damage_count, 0);
    let (engine, blocks) = loaded(&bytes);
    assert!(!blocks.contains(&BlockType::IL_V2));
    assert_eq!(engine.threads().count(), 3000);
    assert_eq!(engine.thread(100_007).unwrap().comm.len(), 1024);
    assert_eq!(engine.user(s.accounts.users[0].uid).unwrap().home.len(), 255);
}
