//! Filters on one event of a machine with two processes (see `fields::state_tests`).

use super::*;
use crate::fields::state_tests::at;
use scapkit_format::schema::id;
use scapkit_format::synth::Params;
use std::time::{Duration, Instant};

fn compiled(text: &str) -> Filter {
    Filter::compile(text).unwrap_or_else(|e| panic!("{}", e.shown(text)))
}

/// Whether the close of an fd matches: 0 and 3 are files, 4 a connection, 5 a directory, 9 unknown.
fn close(fd: i64, text: &str) -> bool {
    let mut filter = compiled(text);
    at(id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(fd), Some(fd), Some(0), |cx| filter.matches(cx))
}

fn all(fd: i64, wanted: bool, filters: &[&str]) {
    for text in filters {
        assert_eq!(close(fd, text), wanted, "{text}");
    }
}

#[test]
fn strings() {
    all(
        3,
        true,
        &[
            "fd.name=/etc/passwd",
            "fd.name == '/etc/passwd'",
            "fd.name != /etc/shadow",
            "fd.name contains passwd",
            "fd.name contains ''",
            "fd.name icontains PASSWD",
            "fd.name startswith /etc/",
            "fd.name endswith wd",
            "fd.name glob /e*wd",
            "fd.name iglob *PASS??",
            "fd.name regex '/etc/[a-z]+'",
            "fd.name in (/etc/shadow, /etc/passwd)",
            "fd.name in (a,b,c,d,e,f,g,h,/etc/passwd)",
            "fd.name pmatch (/usr, /etc)",
            "fd.name > -1 and fd.name < 1 and fd.name <= val(fd.name)",
            "fd.name contains anyof (x, wd)",
            "fd.name startswith oneof (/etc, /usr)",
            "fd.name startswith allof (/etc, /)",
            "fd.name != allof (a, b)",
            "fd.name != anyof (a, /etc/passwd)",
            "proc.name startswith \"cat\\x1b\"",
            "proc.exe exists and fd.l4proto = <NA>",
        ],
    );
    all(
        3,
        false,
        &[
            "fd.name = /etc/pass",
            "fd.name contains anyof (x, y)",
            "fd.name startswith oneof (/etc, /)",
            "fd.name == anyof ()",
            "fd.name == allof ()",
            "fd.name in ()",
            "fd.name regex 'passwd'",
            "fd.name != allof (a, /etc/passwd)",
            "fd.name pmatch (/etc/pass)",
        ],
    );
}

#[test]
fn numbers_and_truth() {
    all(
        3,
        true,
        &[
            "fd.num=3",
            "fd.num>2 and fd.num<4 and fd.num>=3 and fd.num<=3 and fd.num!=4",
            "fd.num in (1,2,3)",
            "user.loginuid = -1",
            "evt.rawres = 0",
            "evt.is_io = false",
            "evt.failed in (false)",
            "proc.fdusage > 7 and proc.fdusage < 9",
            "proc.fdusage = 8",
            "thread.ismain = true",
            "evt.around[1000] = 0",
            "evt.cpu < 65537",
            "len(fd.name) = 11",
            "len(fd.types) = 3",
        ],
    );
    all(3, false, &["fd.num = -3", "evt.around[2000000] = 1", "fd.num > 3", "evt.failed = true"]);
}

#[test]
fn what_is_missing() {
    // Nothing holds of it, and the opposite of nothing does.
    all(9, false, &["fd.cip = 1.2.3.4", "fd.cip != 1.2.3.4", "fd.type exists", "fd.filename != x", "fd.ip exists"]);
    all(9, true, &["not fd.filename = x", "not fd.type exists", "fd.num exists"]);
    all(3, true, &["fd.ip exists", "fd.port exists"]);
    all(3, false, &["fd.ip = 0.0.0.0", "fd.ip != 1.1.1.1", "fd.port != 1"]);
}

#[test]
fn either_end() {
    all(
        4,
        true,
        &[
            "fd.ip = 127.0.0.1",
            "fd.ip = 10.0.0.2",
            "fd.ip in (1.1.1.1, 10.0.0.2)",
            "fd.ip != 1.1.1.1",
            "fd.ip != ::1",
            "fd.port = 443 and fd.port = 45330 and fd.port != 80 and fd.port > 45000",
            "fd.port = https",
            "fd.net = 10.0.0.0/8 and fd.net != 192.168.0.0/16 and fd.net in (1.0.0.0/8, 127.0.0.0/8)",
            "fd.snet = 10.0.0.0/30 and fd.cnet = 127.0.0.1/32 and fd.snet != 127.0.0.0/8",
            "fd.net = 0.0.0.0/0",
            "fd.sip = 10.0.0.2 and fd.sport = 443",
        ],
    );
    all(
        4,
        false,
        &["fd.ip != 127.0.0.1", "fd.port != 443", "fd.net != 10.0.0.0/8", "fd.net = ::/0", "fd.cnet = 10.0.0.0/8"],
    );
}

#[test]
fn ancestors_and_lists() {
    all(
        3,
        true,
        &[
            "proc.aname = init",
            "proc.aname in (x, init)",
            "proc.aname != cat",
            "proc.aname[1] = init",
            "proc.apid = 1",
            "proc.acmdline contains splash",
            "proc.aexepath startswith /sbin",
            "proc.aname exists",
            "fd.types intersects (file, unix)",
            "fd.types in (file, ipv4, directory)",
            "toupper(fd.types) intersects (FILE)",
        ],
    );
    all(3, false, &["proc.aname startswith cat", "proc.apid = 42", "fd.types in (file)", "proc.aname[2] exists"]);
}

#[test]
fn events() {
    all(
        3,
        true,
        &[
            "evt.type=close",
            "evt.type in (open, close)",
            "evt.type != open",
            "not evt.type=open",
            "evt.type = oneof (close, open)",
            "evt.dir=<",
            "evt.dir != >",
            "evt.arg.fd = '<f>/etc/passwd'",
            "evt.rawarg.fd = 3",
            "evt.arg[0] = 0",
        ],
    );
    all(
        3,
        false,
        &["evt.type=open", "evt.type!=close", "evt.dir=>", "evt.type in (open, openat)", "evt.rawarg.name = x"],
    );
    let data = Params::new().i64(7).bytes(b"GET /\xff\0").i64(4).u32(7);
    let write = |text: &str| {
        let mut filter = compiled(text);
        at(id::SYSCALL_WRITE_X, &data, Some(4), Some(7), |cx| filter.matches(cx))
    };
    for (text, wanted) in [
        ("evt.buffer contains 'GET /'", true),
        ("evt.buffer startswith GET", true),
        ("evt.buffer bcontains ff00", true),
        ("evt.buffer bstartswith 474554", true),
        ("evt.buffer endswith GET", false),
        ("evt.arg.data = 'GET /..'", true),
        ("evt.rawarg.data contains GET", true),
        ("len(evt.buffer) = 7", true),
        ("evt.is_io_write = true and fd.sport = 443", true),
    ] {
        assert_eq!(write(text), wanted, "{text}");
    }
    let generic = Params::new().u16(0).u16(0);
    let unknown = |text: &str| {
        let mut filter = compiled(text);
        at(id::GENERIC_X, &generic, None, None, |cx| filter.matches(cx))
    };
    assert!(!unknown("evt.type=ptrace") && unknown("evt.type != close") && !unknown("evt.type = io_setup"));
}

#[test]
fn values_with_values() {
    all(
        3,
        true,
        &[
            "proc.pid = val(thread.tid)",
            "fd.name startswith val(fd.directory)",
            "proc.exe = val(proc.exe)",
            "tolower(proc.exe) = basename(proc.exepath)",
            "concat(fd.directory, \"/\", fd.filename) = val(fd.name)",
            "join(':', (proc.pid, fd.num)) = 42:3",
            "evt.is_io = val(evt.failed)",
            "fd.filename glob val(fd.filename)",
            "getopt((\"-n\", \"x\", \"y\"), \"n:\")[n] = x",
            "getopt((\"-ab\", \"-c\", \"v\"), \"abc:\") intersects (c, v)",
            "getopt((\"-z\"), \"a\") in (\"?\")",
            "b64(\"aGVsbG8\") = hello",
        ],
    );
    all(3, false, &["proc.pid = val(proc.ppid)", "b64(proc.name) exists", "getopt((\"-n\"), \"n:\")[x] exists"]);
}

#[test]
fn types_that_can_match() {
    let types = |text: &str| {
        let filter = compiled(text);
        let names = (0..TypeSet::CAPACITY).filter(|t| filter.types().contains(*t));
        names.filter_map(scapkit_format::schema::event_info).map(|e| e.name).collect::<std::collections::BTreeSet<_>>()
    };
    assert!(types("evt.type=close").contains("close") && !types("evt.type=close").contains("open"));
    assert!(!types("evt.type=close and evt.type=open").contains("open"));
    assert!(types("evt.type=close or evt.type=open").contains("open"));
    assert!(!types("not (evt.type=close or fd.name=x)").contains("close"));
    assert!(types("not (evt.type=close and fd.name=x)").contains("close"));
    assert!(compiled("fd.name=x").types().is_all());
    assert!(!types("evt.type != close").contains("close"));
    let enters = compiled("evt.dir=>");
    assert!(enters.types().contains(id::SYSCALL_CLOSE_E) && !enters.types().contains(id::SYSCALL_CLOSE_X));
}

#[test]
fn what_headers_tell() {
    let interest = |text: &str| compiled(text).interest();
    let all = crate::Interest::default();
    assert_eq!(interest("fd.name=x"), all);
    assert_eq!(interest("thread.tid=7 and fd.name=x"), all.clone().threads([7]));
    assert_eq!(interest("thread.tid in (7, 8)"), all.clone().threads([7, 8]));
    assert_eq!(interest("thread.tid=7 or fd.name=x"), all);
    assert_eq!(interest("not thread.tid=7"), all);
    assert_eq!(interest("thread.tid != 7"), all);
    assert_eq!(interest("evt.cpu=1 and evt.rawtime >= 5"), all.clone().processors([1]).between(5, u64::MAX));
    assert_eq!(interest("evt.cpu = oneof (1, 1)"), all);
    assert_ne!(interest("evt.type=open"), all);
}

#[test]
fn errors_say_where_and_what() {
    let mut text = String::new();
    for filter in [
        "",
        "proc.nmae = cat",
        "evt.type = opne",
        "evt.type in (open, opne)",
        "fd.num = x",
        "fd.num contains 3",
        "fd.ip = 1.2.3",
        "fd.net = 1.2.3.4",
        "fd.port = nosuchservice",
        "evt.is_io = yes",
        "evt.buffer bcontains xyz",
        "proc.name regex '(a'",
        "proc.name regex '\\\\d+'",
        "proc.name = 'cat",
        "proc.name = cat and",
        "proc.name = cat or (fd.num = 3",
        "proc.name is cat",
        "a_macro and evt.type=open",
        "proc.name =\n cat and\n  fd.nme = x",
        "evt.arg = 3",
        "evt.rawarg.tuple = 0",
        "toupper(evt.num) = 3",
        "toupper(proc.aname) = X",
        "fd.name = val(fd.ip)",
        "fd.name = val(evt.num)",
        "proc.name = \"\\q\"",
        "proc.name = \"a\\x00b\"",
        "evt.outputtime = x",
        "evt.around[1] > 3",
    ] {
        let error = Filter::compile(filter).unwrap_err();
        text.push_str(&error.shown(filter));
        text.push_str("\n\n");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn hostile_filters_are_refused_at_once() {
    let start = Instant::now();
    let depth = 10_000;
    let nested = format!("{}proc.name=a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Filter::compile(&nested).is_err());
    assert!(Filter::compile(&"not(".repeat(depth)).is_err());
    assert!(Filter::compile(&format!("{}fd.name{} = x", "b64(".repeat(depth), ")".repeat(depth))).is_err());
    assert!(compiled(&format!("{}proc.name=a", "not ".repeat(depth))).types().is_all());
    assert!(Filter::compile("proc.name regex '((((a{100}){100}){100}){100})'").is_err());
    assert!(Filter::compile(&format!("proc.name glob '{}'", "*a".repeat(100_000))).is_err());
    // A long one is no crime.
    let list: Vec<String> = (0..100_000).map(|n| format!("name{n}")).collect();
    assert!(list.join(",").len() > 800_000);
    let mut long = compiled(&format!("proc.name in ({}) or fd.num=3", list.join(",")));
    let mut terms = compiled(&vec!["fd.num=3"; 100_000].join(" and "));
    let (fd, res) = (Some(3), Some(0));
    assert!(at(id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(3), fd, res, |cx| long.matches(cx) && terms.matches(cx)));
    let text = "x".repeat(1 << 20);
    assert!(Filter::compile(&text).is_err() && Filter::compile(&format!("proc.name = '{text}")).is_err());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}
