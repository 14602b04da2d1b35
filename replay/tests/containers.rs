//! Containers through the whole way: from cgroups and events to text and JSON.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod world;

use scapkit_format::lists::threads::Thread;
use scapkit_format::lists::users::Account;
use scapkit_format::schema::id;
use scapkit_format::synth::{Params, Synth};
use scapkit_format::{Capture, Limits};
use scapkit_replay::engine::EngineLimits;
use scapkit_replay::{Dialect, Format, Played, Replay, ReplayOptions, TextOptions, View, Visibility};
use world::init;

const WEB: &str = "aaaaaaaaaaaa4fb18c145069289094b17f17e0cfa938f78012d4960bc797305f";
const SANDBOX: &str = "bbbbbbbbbbbb4fb18c145069289094b17f17e0cfa938f78012d4960bc797305f";

const RECORD: &str = r#"{"container":{"id":"aaaaaaaaaaaa","full_id":"aaaaaaaaaaaa4fb18c145069289094b17f17e0cfa938f78012d4960bc797305f",
 "type":7,"name":"web","image":"docker.io/library/nginx:1.27","imageid":"beef","imagerepo":"docker.io/library/nginx",
 "imagetag":"1.27","imagedigest":"sha256:00","User":"www","ip":"10.1.2.3","cni_json":"","privileged":true,
 "host_pid":true,"Mounts":[{"Source":"/var/data","Destination":"/data","Mode":"rw","RW":true,"Propagation":"rprivate"},
 {"Source":"/etc/ssl","Destination":"/ssl","Mode":"","RW":false,"Propagation":""}],
 "labels":{"app":"web\u001b[2J","io.kubernetes.pod.name":"web-0","io.kubernetes.pod.namespace":"shop",
 "io.kubernetes.pod.uid":"63b3ebfc-2890","annotation.x":"y","empty":""},
 "pod_sandbox_id":"bbbbbbbbbbbb4fb18c145069289094b17f17e0cfa938f78012d4960bc797305f","pod_sandbox_labels":null}}"#;
const POD: &str = r#"{"container":{"id":"bbbbbbbbbbbb","type":7,"ip":"10.9.9.9","cni_json":"{\"if\":1}",
 "is_pod_sandbox":true,"pod_sandbox_labels":{"tier":"front","app.kubernetes.io/name":"shop"}}}"#;

fn inside(tid: i64, cgroups: &'static [u8]) -> Thread<'static> {
    Thread {
        tid,
        pid: tid,
        ptid: 1,
        vtid: 5,
        vpid: 5,
        comm: b"nginx",
        uid: 33,
        gid: 33,
        pidns_init_start_ts: 400,
        cgroups,
        ..init()
    }
}

/// A machine with one process of its own, one in a container, and one in a container that nobody
/// tells of.
fn machine() -> Synth {
    let users = [
        Account::User { uid: 33, gid: 33, name: b"www-data", home: b"/", shell: b"/bin/sh", extra: &[] },
        Account::Group { kind: 1, gid: 33, name: b"www-group", extra: &[] },
    ];
    let web = format!("cpuset=/\0cpu=/kubepods.slice/x.slice/cri-containerd-{WEB}.scope\0").leak().as_bytes();
    let guess = b"cpu=/user.slice1/e2d765eb0dbf0e06f7e2cd7a5beaef16\0";
    let mut s = Synth::new();
    s.section().machine("host", 2, 0).users(2, &users);
    s.threads(9, &[init(), inside(50, web), inside(60, guess), inside(70, b"cpu=/lxc.payload.box\0")]);
    s
}

fn container(s: &mut Synth, name: &str, json: &str) {
    s.event(1_000, -1, id::ASYNCEVENT_E, &Params::new().u32(0).str(name).str(json));
}

fn close(s: &mut Synth, tid: i64) {
    s.event(1_000, tid, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(9));
}

fn play(s: &Synth, view: View, format: &str) -> (Vec<String>, Vec<String>, Replay) {
    let capture = Capture::from_bytes(s.finish(), "synthetic", Limits::default());
    let mut replay = Replay::new(capture, ReplayOptions { view, ..ReplayOptions::default() });
    let format = Format::compile(format).unwrap();
    let options = TextOptions::new(Dialect::Libs);
    let (mut lines, mut objects) = (Vec::new(), Vec::new());
    while let Some(played) = replay.next().unwrap() {
        if let Played::Event(step) = played
            && step.visibility != Visibility::Hidden
        {
            let (mut line, mut object) = (Vec::new(), Vec::new());
            let cx = step.context(step.event.ts, &options);
            assert!(format.line(&cx, &mut line));
            format.json(&cx, &mut object);
            lines.push(String::from_utf8(line).unwrap());
            objects.push(String::from_utf8(object).unwrap());
        }
    }
    (lines, objects, replay)
}

/// The lines of `format`.
fn lines(s: &Synth, format: &str) -> Vec<String> {
    play(s, View::Current, format).0
}

#[test]
fn fields_of_threads() {
    let mut s = machine();
    container(&mut s, "container", RECORD);
    container(&mut s, "container", POD);
    for tid in [1, 50, 60, 70, 99] {
        close(&mut s, tid);
    }
    for (format, wanted) in [
        ("*%container.id", ["host", "aaaaaaaaaaaa", "e2d765eb0dbf", "box", "host"]),
        ("*%container.name", ["host", "web", "<NA>", "", "host"]),
        ("*%container.full_id", ["host", WEB, "<NA>", "", "host"]),
        ("*%container.type", ["host", "containerd", "<NA>", "lxc", "host"]),
        ("*%container.image", ["", "docker.io/library/nginx:1.27", "<NA>", "", ""]),
        (
            "*%container.image.repository:%container.image.tag",
            [":", "docker.io/library/nginx:1.27", "<NA>:<NA>", ":", ":"],
        ),
        ("*%container.image.id", ["", "beef", "<NA>", "", ""]),
        ("*%container.image.digest", ["", "sha256:00", "<NA>", "", ""]),
        ("*%container.privileged", ["false", "true", "<NA>", "false", "false"]),
        (
            "*%container.host_pid %container.host_network %container.host_ipc",
            ["false false false", "true false false", "<NA> <NA> <NA>", "false false false", "false false false"],
        ),
        ("*%container.ip", ["", "10.1.2.3", "<NA>", "", ""]),
        ("*%container.mounts", ["", "/var/data:/data:rw:true:rprivate,/etc/ssl:/ssl::false:", "<NA>", "", ""]),
        ("*%container.mount[0]", ["<NA>", "/var/data:/data:rw:true:rprivate", "<NA>", "<NA>", "<NA>"]),
        ("*%container.mount[/etc/*]", ["<NA>", "/etc/ssl:/ssl::false:", "<NA>", "<NA>", "<NA>"]),
        ("*%container.mount[2]", ["<NA>", "<NA>", "<NA>", "<NA>", "<NA>"]),
        ("*%container.mount.source[/data]", ["<NA>", "/var/data", "<NA>", "<NA>", "<NA>"]),
        ("*%container.mount.source[/var/data]", ["<NA>", "<NA>", "<NA>", "<NA>", "<NA>"]),
        (
            "*%container.mount.dest[/var/*] %container.mount.rdwr[1] %container.mount.mode[0] %container.mount.propagation[0]",
            [
                "<NA> <NA> <NA> <NA>",
                "/data false rw rprivate",
                "<NA> <NA> <NA> <NA>",
                "<NA> <NA> <NA> <NA>",
                "<NA> <NA> <NA> <NA>",
            ],
        ),
        ("*%container.label.app", ["<NA>", "web\\x1b[2J", "<NA>", "<NA>", "<NA>"]),
        ("*%container.label[io.kubernetes.pod.name]", ["<NA>", "web-0", "<NA>", "<NA>", "<NA>"]),
        ("*%container.labels", ["", "app:web\\x1b[2J, empty", "<NA>", "", ""]),
        (
            "*%k8s.pod.name %k8s.ns.name %k8s.pod.uid %k8s.pod.id",
            [
                "<NA> <NA> <NA> <NA>",
                "web-0 shop 63b3ebfc-2890 63b3ebfc-2890",
                "<NA> <NA> <NA> <NA>",
                "<NA> <NA> <NA> <NA>",
                "<NA> <NA> <NA> <NA>",
            ],
        ),
        ("*%k8s.pod.sandbox_id", ["", "bbbbbbbbbbbb", "<NA>", "", ""]),
        ("*%k8s.pod.full_sandbox_id", ["", SANDBOX, "<NA>", "", ""]),
        ("*%k8s.pod.ip|%k8s.pod.cni.json", ["|", "10.9.9.9|{\"if\":1}", "<NA>|<NA>", "|", "|"]),
        ("*%k8s.pod.labels", ["", "app.kubernetes.io/name:shop, tier:front", "<NA>", "", ""]),
        ("*%k8s.pod.label.app.kubernetes.io/name", ["<NA>", "shop", "<NA>", "<NA>", "<NA>"]),
        ("*%k8s.pod.label[tier]", ["<NA>", "front", "<NA>", "<NA>", "<NA>"]),
        ("*%container.start_ts %container.duration", ["<NA> <NA>", "400 600", "400 600", "400 600", "<NA> <NA>"]),
        (
            "*%k8s.rc.label.x %k8s.svc.name %container.healthcheck %proc.is_container_liveness_probe",
            ["<NA> <NA> <NA> <NA>"; 5],
        ),
        // 33 is www-data on the machine; what it is inside nobody said. Nobody said either that e2d765eb0dbf is a container.
        ("*%user.name %group.name", ["root root", "<NA> <NA>", "www-data www-group", "<NA> <NA>", "<NA> <NA>"]),
    ] {
        assert_eq!(lines(&s, format), wanted, "{format}");
    }
    let (_, objects, _) = play(
        &s,
        View::Current,
        "*%container.id %container.privileged %container.label.app %k8s.pod.label[tier] %container.duration %container.mount[/*]",
    );
    insta::assert_snapshot!(objects[1], @r#"{"container.duration":600,"container.id":"aaaaaaaaaaaa","container.label.app":"web\u001b[2J","container.mount[/*]":"/var/data:/data:rw:true:rprivate","container.privileged":true,"k8s.pod.label[tier]":"front"}"#);
    insta::assert_snapshot!(objects[2], @r#"{"container.duration":600,"container.id":"e2d765eb0dbf","container.label.app":null,"container.mount[/*]":null,"container.privileged":null,"k8s.pod.label[tier]":null}"#);
}

#[test]
fn users_and_groups_of_a_container() {
    let mut s = machine();
    container(&mut s, "container", RECORD);
    let user = |inside: &str| Params::new().u32(33).u32(33).str("inner").str("/").str("/bin/sh").str(inside);
    s.event(1_000, -1, id::USER_ADDED_E, &user("aaaaaaaaaaaa"));
    s.event(1_000, -1, id::GROUP_ADDED_E, &Params::new().u32(33).str("inner-group").str("e2d765eb0dbf"));
    let setuid = Params::new().i64(0).u32(33);
    for tid in [50, 60, 1] {
        s.event(1_000, tid, id::SYSCALL_SETUID_X, &setuid);
    }
    let found = lines(&s, "*%user.name %group.name %evt.arg.uid");
    // A group tells that e2d765eb0dbf is a container, so its users are not those of the machine.
    assert_eq!(found, ["inner <NA> inner", "<NA> inner-group <NA>", "www-data root www-data"]);
    // Number 0 needs no telling.
    let mut s = machine();
    container(&mut s, "container", RECORD);
    s.event(1_000, 50, id::SYSCALL_SETUID_X, &Params::new().i64(0).u32(0));
    assert_eq!(lines(&s, "*%user.name"), ["root"]);
}

#[test]
fn the_list_counts_more_than_the_initial_state() {
    let user = |uid: u32, name: &str| Params::new().u32(uid).u32(uid).str(name).str("/").str("/bin/sh").str("");
    let add = |s: &mut Synth| {
        container(s, "container", RECORD);
        s.event(1_000, -1, id::USER_ADDED_E, &user(33, "other"));
        s.event(1_000, -1, id::USER_ADDED_E, &user(34, "new"));
        s.event(1_000, -1, id::GROUP_DELETED_E, &Params::new().u32(33).str("").str(""));
    };
    let mut s = machine();
    add(&mut s);
    s.event(1_000, 60, id::SYSCALL_SETUID_X, &Params::new().i64(0).u32(34));
    assert_eq!(lines(&s, "*%user.name %group.name"), ["new www-group"]);
    let mut s = machine();
    add(&mut s);
    close(&mut s, 60);
    // Later events are news.
    add(&mut s);
    close(&mut s, 60);
    assert_eq!(lines(&s, "*%user.name %group.name")[0], "www-data www-group");
    assert_eq!(lines(&s, "*%user.name %group.name").last().unwrap(), "other <NA>");
    // Each section has its own.
    let mut two = machine();
    close(&mut two, 1);
    two.raw(&s.finish());
    assert_eq!(lines(&two, "*%user.name %group.name")[1], "www-data www-group");
}

#[test]
fn events_that_tell_of_containers() {
    let mut s = machine();
    close(&mut s, 1);
    container(&mut s, "container", RECORD);
    close(&mut s, 50);
    container(&mut s, "container_removed", r#"{"container":{"id":"aaaaaaaaaaaa","name":"gone"}}"#);
    close(&mut s, 50);
    container(&mut s, "other", "{}");
    // Events of libs before 2025: an object without another around it, in three ages.
    s.event(1_000, 50, id::CONTAINER_JSON_2_E, &Params::new().str(r#"{"container":{"id":"j2","name":"two"}}"#));
    s.event(1_000, 50, id::CONTAINER_JSON_E, &Params::new().str(r#"{"container":{"id":"j1","name":"one"}}"#));
    s.event(1_000, 50, id::CONTAINER_E, &Params::new().str("aaaaaaaaaaaa").u32(0).str("old").str("img"));
    close(&mut s, 50);
    let (found, _, replay) = play(&s, View::Current, "*%container.id %container.name %user.name %container.start_ts");
    assert_eq!(
        found,
        [
            "host host root <NA>",
            "aaaaaaaaaaaa web www <NA>",
            "aaaaaaaaaaaa web <NA> 400",
            "aaaaaaaaaaaa gone <NA> <NA>",
            "aaaaaaaaaaaa <NA> www-data 400",
            "<NA> <NA> <NA> <NA>",
            "j2 two www-data <NA>",
            "j1 one www-data <NA>",
            "aaaaaaaaaaaa old <NA> <NA>",
            "aaaaaaaaaaaa old <NA> 400",
        ]
    );
    let known: Vec<&str> = replay.engine().containers().map(|c| &*c.id).collect();
    assert_eq!(known, ["aaaaaaaaaaaa", "box", "j1", "j2"]);
    assert_eq!(replay.engine().container(b"aaaaaaaaaaaa").unwrap().type_name(), "docker");
    assert_eq!(replay.engine().counters().containers_unreadable, 0);
    assert_eq!(play(&s, View::Recorded, "*%container.name").0[6..], ["two", "one", "old", "old"]);
}

#[test]
fn who_is_where() {
    let mut s = machine();
    let clone = |res: i64, tid: i64, ptid: i64, cgroups: &[u8]| {
        let p = Params::new().i64(res).str("exe").bytes(b"").i64(tid).i64(tid).i64(ptid).str("").i64(9).u64(0).u64(0);
        let p = p.u32(0).u32(0).u32(0).str("child").bytes(cgroups).u32(0).u32(0).u32(0).i64(tid).i64(tid).u64(0);
        (tid, id::SYSCALL_CLONE_20_X, p)
    };
    let list = format!("cpu=/docker/{SANDBOX}\0");
    for (tid, event_type, params) in [
        clone(0, 80, 50, b""),
        clone(0, 81, 50, b"cpu=/\0"),
        clone(0, 82, 1, list.as_bytes()),
        clone(0, 83, 1, b"no list\0"),
        clone(0, 84, 1, b"cpu=/lxc.payload.late\0"),
    ] {
        s.event(1_000, tid, event_type, &params);
    }
    // An exec moves a thread; one without cgroups leaves it.
    for (tid, cgroups) in [(83, list.as_bytes()), (82, b""), (50, b"cpu=/system.slice/x.service\0")] {
        let p = Params::new().i64(0).str("exe").bytes(b"").i64(tid).i64(tid).i64(1).str("").i64(9).u64(0).u64(0);
        s.event(1_000, tid, id::SYSCALL_EXECVE_19_X, &p.u32(0).u32(0).u32(0).str("new").bytes(cgroups).bytes(b""));
    }
    let wanted = ["aaaaaaaaaaaa", "host", "bbbbbbbbbbbb", "host", "late", "bbbbbbbbbbbb", "bbbbbbbbbbbb", "host"];
    assert_eq!(lines(&s, "*%container.id"), wanted);
    assert_eq!(lines(&s, "*%container.type")[4], "lxc");
}

#[test]
fn text_that_is_no_json() {
    let mut s = machine();
    close(&mut s, 1);
    for junk in ["", "{", "[]", "7", "{\"container\":{}}", "{\"container\":{\"id\":[]}}", "\u{1}"] {
        container(&mut s, "container", junk);
        container(&mut s, "container_removed", junk);
    }
    s.event(1_000, 1, id::ASYNCEVENT_E, &Params::new().u32(0).str("container"));
    s.event(1_000, 1, id::ASYNCEVENT_E, &Params::new().u32(0).str("container").bytes(b"{\"id\":\"\xff\"}"));
    s.event(1_000, 1, id::CONTAINER_JSON_2_E, &Params::new().empty());
    close(&mut s, 50);
    let (found, _, replay) = play(&s, View::Current, "*%container.id %container.name");
    assert_eq!(found.len(), 19);
    assert_eq!(found[17..], ["host host", "aaaaaaaaaaaa <NA>"]);
    assert_eq!(replay.engine().counters().containers_unreadable, 17);
}

#[test]
fn large_events() {
    let mut s = machine();
    close(&mut s, 1);
    let image = "x".repeat(3 << 20);
    container(&mut s, "container", &format!(r#"{{"container":{{"id":"aaaaaaaaaaaa","image":"{image}"}}}}"#));
    close(&mut s, 50);
    let (found, _, replay) = play(&s, View::Current, "*%container.image");
    assert_eq!(found[2].len(), image.len());
    assert!(replay.engine().counters().state_bytes > 6 << 20);
    // What cannot be kept is still shown at its own event.
    let capture = Capture::from_bytes(s.finish(), "synthetic", Limits::default());
    let limits = EngineLimits { max_state_bytes: 1 << 20, ..EngineLimits::default() };
    let mut replay = Replay::new(capture, ReplayOptions { limits, ..ReplayOptions::default() });
    while let Some(played) = replay.next().unwrap() {
        if let Played::Event(step) = played
            && step.event.event_type == id::ASYNCEVENT_E
        {
            assert_eq!(step.engine.told_container().unwrap().image, image);
        }
    }
    assert!(replay.engine().container(b"aaaaaaaaaaaa").is_none());
    assert!(replay.engine().counters().memory_refused > 0);
}

#[test]
fn many_containers() {
    let mut s = machine();
    for n in 0..50_000 {
        container(&mut s, "container", &format!(r#"{{"container":{{"id":"{n:012}","labels":{{"n":"{n}"}}}}}}"#));
    }
    let capture = Capture::from_bytes(s.finish(), "synthetic", Limits::default());
    let limits = EngineLimits { max_state_bytes: 8 << 20, ..EngineLimits::default() };
    let mut replay = Replay::new(capture, ReplayOptions { limits, ..ReplayOptions::default() });
    while replay.next().unwrap().is_some() {}
    let kept = replay.engine().containers().count();
    assert!((1_000..20_000).contains(&kept), "{kept}");
    assert!(replay.engine().counters().state_bytes <= 8 << 20);
    // The budget comes back.
    let mut s = machine();
    for n in 0..200_000 {
        let json = format!(r#"{{"container":{{"id":"{:012}"}}}}"#, n % 7);
        container(&mut s, if n % 3 == 0 { "container_removed" } else { "container" }, &json);
    }
    for n in 0..7 {
        container(&mut s, "container_removed", &format!(r#"{{"container":{{"id":"{n:012}"}}}}"#));
    }
    let before = play(&machine(), View::Current, "%evt.num").2.engine().counters().state_bytes;
    let after = play(&s, View::Current, "%evt.num").2.engine().counters();
    assert_eq!((after.state_bytes, after.memory_refused), (before, 0));
}
