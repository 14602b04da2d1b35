//! Fields that come from the state, on a machine with two processes.

use crate::engine::{Bound, Engine};
use crate::{Context, Dialect, Format, TextOptions};
use scapkit_format::lists::fds::{Fd, FdInfo, FdType};
use scapkit_format::lists::threads::Thread;
use scapkit_format::lists::users::Account;
use scapkit_format::schema::id;
use scapkit_format::synth::{Params, Synth};
use scapkit_format::{Capture, Content, Item, Limits};

const TID: i64 = 42;

fn machine() -> Synth {
    let init = Thread {
        tid: 1,
        pid: 1,
        vtid: 1,
        vpid: 1,
        comm: b"init",
        exe: b"/sbin/init",
        exepath: b"/sbin/init",
        args: b"splash\0",
        cwd: b"/",
        fdlimit: 1024,
        ..Thread::default()
    };
    let cat = Thread {
        tid: TID,
        pid: TID,
        ptid: 1,
        sid: TID,
        pgid: TID,
        vpgid: 40,
        vtid: TID,
        vpid: TID,
        comm: b"cat\x1b[2J",
        exe: b"cat",
        exepath: b"/usr/bin/cat",
        args: b"-n\0a b\0",
        cwd: b"/home/eve",
        fdlimit: 50,
        uid: 1000,
        gid: 100,
        loginuid: u32::MAX,
        tty: 34_816,
        vmsize_kb: 2000,
        cgroups: b"cpu=/\0memory=/user\0",
        cap_permitted: 1 << 40 | 0x21,
        exe_writable: 1,
        ..Thread::default()
    };
    let file = |fd, name| Fd {
        fd,
        ino: 77,
        kind: FdType::FILE_V2,
        info: FdInfo::File { open_flags: 1, name, dev: Some(0xFE00) },
        extra: &[],
    };
    let socket = FdInfo::Ipv4 { sip: [127, 0, 0, 1], dip: [10, 0, 0, 2], sport: 45_330, dport: 443, l4: 2 };
    let directory = Fd { kind: FdType::DIRECTORY, info: FdInfo::Name(b"/srv/data"), ..file(5, b"") };
    let fds = [
        file(0, b"/dev/null"),
        file(3, b"/etc/passwd"),
        Fd { kind: FdType::IPV4_SOCK, info: socket, ..file(4, b"") },
        directory,
    ];
    let users = [
        Account::User { uid: 1000, gid: 100, name: b"eve", home: b"/home/eve", shell: b"/bin/sh", extra: &[] },
        Account::Group { kind: 1, gid: 100, name: b"users", extra: &[] },
    ];
    let mut s = Synth::new();
    s.section().machine("host", 2, 0).users(2, &users).threads(9, &[init, cat]).fds(2, TID, &fds);
    s
}

/// The line of one event of the thread; `fd` and `res` as the engine binds them.
fn line(event_type: u16, params: &Params, fd: Option<i64>, res: Option<i64>, format: &str) -> String {
    shown(event_type, params, fd, res, format).0
}

/// Line and JSON.
fn shown(event_type: u16, params: &Params, fd: Option<i64>, res: Option<i64>, format: &str) -> (String, String) {
    let format = Format::compile(format).unwrap();
    at(event_type, params, fd, res, |cx| {
        let (mut text, mut json) = (Vec::new(), Vec::new());
        assert!(format.line(cx, &mut text));
        format.json(cx, &mut json);
        (String::from_utf8(text).unwrap(), String::from_utf8(json).unwrap())
    })
}

/// What `ask` finds at one event of the thread; `fd` and `res` as the engine binds them.
pub(crate) fn at<T>(
    event_type: u16,
    params: &Params,
    fd: Option<i64>,
    res: Option<i64>,
    ask: impl FnOnce(&Context<'_>) -> T,
) -> T {
    let bytes = machine().event(1_000, TID, event_type, params).finish();
    let mut capture = Capture::from_bytes(bytes, "synthetic", Limits::default());
    let mut engine = Engine::default();
    let options = TextOptions::new(Dialect::Libs);
    while let Some(item) = capture.next().unwrap() {
        let Item::Block(_, content) = item else { panic!() };
        let Content::Event(event) = content else {
            engine.content(&content);
            continue;
        };
        engine.finish_lists();
        return ask(&Context {
            event,
            info: event.info().unwrap(),
            number: 1,
            engine: &engine,
            bound: Bound { tid: TID, thread: true, fd, res, ..Bound::default() },
            first_ts: 1_000,
            previous_ts: 1_000,
            enter_ts: None,
            options: &options,
        });
    }
    panic!("no event");
}

fn close(fd: i64, format: &str) -> String {
    line(id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(fd), Some(fd), Some(0), format)
}

#[test]
fn of_the_process() {
    for (format, wanted) in [
        ("%proc.name", "cat\\x1b[2J"),
        ("%proc.exe %proc.exepath", "cat /usr/bin/cat"),
        ("%proc.args|%proc.args[0]|%proc.args[1]|%proc.args[2]|", "-n a b|-n|a b||"),
        ("%proc.cmdline|%proc.exeline", "cat\\x1b[2J -n a b|cat -n a b"),
        ("%proc.cmdnargs %proc.cmdlenargs", "2 5"),
        ("%proc.pid %proc.vpid %proc.sid %proc.pgid %proc.vpgid", "42 42 42 42 40"),
        ("%thread.tid %thread.vtid %thread.ismain", "42 42 true"),
        ("%proc.is_sid_leader %proc.is_vpgid_leader %proc.is_pgid_leader", "true false true"),
        ("%proc.ppid %proc.pname %proc.pexe|%proc.pcmdline", "1 init /sbin/init|init splash"),
        ("%proc.aname|%proc.aname[0]|%proc.aname[1]|%proc.apid|%proc.apid[1]", "init|cat\\x1b[2J|init|42|1"),
        ("%proc.acmdline|%proc.aexe|%proc.aexepath|%proc.aargs", "init splash|/sbin/init|/sbin/init|splash"),
        ("*%proc.aname[2] %proc.pvpid %proc.ppid.ts %proc.loginshellid", "<NA> 1 0 <NA>"),
        ("%proc.sname|%proc.sid.exe|%proc.pgid.exepath|%proc.vpgid.name|", "cat\\x1b[2J|cat|/usr/bin/cat||"),
        ("*%proc.nthreads %proc.nchilds %proc.exe_ino %thread.vmsize %thread.vmsize.b", "1 0 <NA> 2000 2048000"),
        ("%thread.cap_permitted|%thread.cap_effective|", "CAP_CHOWN CAP_KILL CAP_CHECKPOINT_RESTORE||"),
        ("%proc.cwd", "/home/eve/"),
        ("%proc.tty %proc.vmsize %proc.is_exe_writable", "34816 2000 true"),
        ("%proc.fdopencount %proc.fdlimit %proc.fdusage", "4 50 8.0"),
        ("%proc.stdin.type %proc.stdin.name", "file /dev/null"),
        ("*%proc.stdout.name %proc.duration", "<NA> <NA>"),
        ("%thread.cgroups", "cpu=/ memory=/user"),
        ("%user.uid %user.name %user.loginuid %user.loginname", "1000 eve -1 <NA>"),
        ("%group.gid %group.name", "100 users"),
        ("%evt.hostname", "host"),
    ] {
        assert_eq!(close(3, format), wanted, "{format}");
    }
}

#[test]
fn of_the_fd() {
    const ALL: &str = "*%fd.num %fd.name %fd.type %fd.typechar %fd.directory %fd.filename %fd.l4proto %fd.sockfamily \
        %fd.cip %fd.cport %fd.sip %fd.sport %fd.dev %fd.dev.major %fd.dev.minor %fd.ino %evt.category";
    let na = "<NA> <NA> <NA> <NA>";
    assert_eq!(close(3, ALL), format!("3 /etc/passwd file f /etc passwd <NA> <NA> {na} FE00 254 0 77 file"));
    assert_eq!(
        close(4, ALL),
        "4 127.0.0.1:45330->10.0.0.2:443 ipv4 4 <NA> <NA> tcp ip 127.0.0.1 45330 10.0.0.2 443 0 0 0 77 net"
    );
    assert_eq!(close(5, ALL), format!("5 /srv/data directory d /srv/data <NA> <NA> <NA> {na} 0 0 0 77 file"));
    assert_eq!(close(9, ALL), format!("9  <NA> o / <NA> <NA> <NA> {na} <NA> <NA> <NA> <NA> unknown"));
    assert_eq!(close(4, "%evt.info"), "res=0 fd=4(<4t>127.0.0.1:45330->10.0.0.2:443)");
    assert_eq!(close(3, "%evt.arg.fd %fd.uid"), "<f>/etc/passwd 423");
    assert_eq!(close(3, "*%fd.types %fd.types[4] %fd.types[8]"), "(directory,file,ipv4) (ipv4) <NA>");
}

#[test]
fn as_json() {
    let params = Params::new().i64(0).i64(4);
    let format = "%fd.types %fd.sip %fd.sport %fd.dev %proc.name %proc.fdusage %proc.sid %evt.is_io %proc.stdout.name";
    insta::assert_snapshot!(shown(id::SYSCALL_CLOSE_X, &params, Some(4), Some(0), &format!("*{format}")).1, @r#"{"evt.is_io":false,"fd.dev":"0","fd.sip":"10.0.0.2","fd.sport":443,"fd.types":["directory","file","ipv4"],"proc.fdusage":8.0,"proc.name":"cat\u001b[2J","proc.sid":42,"proc.stdout.name":null}"#);
}

#[test]
fn failed_opens_have_names() {
    let openat = |dirfd: i64, name: &str| {
        let params = Params::new().i64(-2).i64(dirfd).str(name).u32(1).u32(0).u32(0).u64(0);
        line(
            id::SYSCALL_OPENAT_2_X,
            &params,
            Some(-1),
            Some(-2),
            "%fd.name|%fd.directory|%fd.nameraw|%evt.arg.name|%evt.res",
        )
    };
    assert_eq!(openat(-100, "x/y"), "/home/eve/x/y|/home/eve/x|x/y|/home/eve/x/y|ENOENT");
    assert_eq!(openat(5, "x"), "/srv/data/x|/srv/data|x|/srv/data/x|ENOENT");
    assert_eq!(openat(8, "x"), "<UNKNOWN>x|/|x|x|ENOENT");
    assert_eq!(openat(8, "/x"), "/x|/|/x|/x|ENOENT");
}

#[test]
fn threads_and_accounts_in_arguments() {
    let kill = Params::new().i64(0).i64(1).u8(9);
    assert_eq!(line(id::SYSCALL_KILL_X, &kill, None, Some(0), "%evt.info"), "res=0 pid=1(init) sig=9(SIGKILL)");
    let setuid = Params::new().i64(0).u32(1000);
    assert_eq!(line(id::SYSCALL_SETUID_X, &setuid, None, Some(0), "%evt.info"), "res=0 uid=1000(eve)");
}

#[test]
fn failed_calls_are_counted_by_what_they_are_about() {
    const ALL: &str = "*%evt.count.error %evt.count.error.file %evt.count.error.net %evt.count.error.memory \
        %evt.count.error.other";
    let failed = |event_type, fd| line(event_type, &Params::new().i64(-1), fd, Some(-1), ALL);
    assert_eq!(failed(id::SYSCALL_CLOSE_X, Some(3)), "1 1 <NA> <NA> <NA>");
    assert_eq!(failed(id::SYSCALL_CLOSE_X, Some(4)), "1 <NA> 1 <NA> <NA>");
    assert_eq!(failed(id::SYSCALL_MMAP_X, Some(3)), "1 1 <NA> 1 <NA>");
    assert_eq!(failed(id::SYSCALL_MMAP_X, Some(-1)), "1 <NA> <NA> 1 <NA>");
    assert_eq!(failed(id::SYSCALL_OPEN_X, Some(-1)), "1 1 <NA> <NA> <NA>");
    assert_eq!(failed(id::SYSCALL_CHDIR_X, None), "1 <NA> <NA> <NA> 1");
}

#[test]
fn paths_of_calls() {
    let rename = |res: i64| {
        let params = Params::new().i64(res).i64(5).str("a/../b").i64(8).str("c");
        let format = "*%fs.path.source|%fs.path.sourceraw|%fs.path.target|%evt.abspath.src|%evt.abspath.dst";
        line(id::SYSCALL_RENAMEAT2_X, &params.u32(0), None, Some(res), format)
    };
    assert_eq!(rename(0), "/srv/data/b|a/../b|<UNKNOWN>c|/srv/data/b|<UNKNOWN>/c");
    assert_eq!(rename(-2), "<NA>|<NA>|<NA>|/srv/data/b|<UNKNOWN>/c");
    let link = Params::new().i64(0).str("old").str("/new/./x");
    let format = "*%fs.path.source|%fs.path.target|%fs.path.targetraw|%fs.path.name";
    assert_eq!(line(id::SYSCALL_LINK_2_X, &link, None, Some(0), format), "/new/x|/home/eve/old|old|<NA>");
    let fields = "*%evt.type.is.link|%evt.type.is.2|%evt.count.procinfo|%evt.pluginname|%syslog.message";
    assert_eq!(line(id::SYSCALL_LINK_2_X, &link, None, Some(0), fields), "0|0|0|<NA>|<NA>");
}
