use super::*;

/// Fields of 2026.
const NEW: &str = "time|thread_id|task_start_time|group_id|thread_group_start_time|container_id|credentials|cwd|\
    process_name|parent_thread_group_id|is_exec_session";

/// What a runsc with these schematized calls says, and raw points up to 441. Names may have optional fields: `close:fd_path`.
fn text(others: &[&str], calls: &[&str]) -> String {
    let mut lines = Vec::new();
    let mut add = |name: &str, optional: &str| {
        lines.push(format!("Name: {name}, optional fields: [{optional}], context fields: [{NEW}]\n"));
    };
    for name in others {
        let (name, optional) = name.split_once(':').unwrap_or((name, ""));
        add(name, optional);
    }
    for call in calls {
        let (name, optional) = call.split_once(':').unwrap_or((call, ""));
        for side in ["enter", "exit"] {
            add(&format!("syscall/{name}/{side}"), optional);
        }
    }
    for n in 0..442 {
        for side in ["enter", "exit"] {
            add(&format!("syscall/sysno/{n}/{side}"), "");
        }
    }
    format!("POINTS ({})\n{}\nSINKS (2)\nName: null\nName: remote\n", lines.len(), lines.concat())
}

const OTHERS: &[&str] = &[
    "container/start:env",
    "sentry/clone",
    "sentry/execve:binary_info|fd_info|pipe_proc_info",
    "sentry/exit_notify_parent",
    "sentry/mmap",
    "sentry/task_exit",
];
const COMMON: &[&str] = &[
    "accept4:fd_path",
    "chdir",
    "clone",
    "close:fd_path",
    "execve:envv",
    "execveat:fd_path|envv",
    "listen:fd_path",
    "mmap:fd_path",
    "openat:fd_path",
    "ptrace",
    "read:fd_path",
    "setuid",
    "walk",
];

fn new(legacy: &[&str]) -> Metadata {
    Metadata::parse(&text(OTHERS, &[COMMON, legacy].concat())).unwrap()
}

fn x86_64() -> Metadata {
    new(&["creat:fd_path", "fork", "open", "vfork"])
}

fn find<'a>(points: &'a [Point], name: &str) -> Option<&'a Point> {
    points.iter().find(|p| p.name == name)
}

#[test]
fn metadata_that_is_wrong_is_refused() {
    for (text, why) in [
        ("", "it has no list of points"),
        ("POINTS (x)\n", "line 1: wanted POINTS (N), found \"POINTS (x)\""),
        ("POINTS (99999999)\n", "line 1: wanted POINTS (N), found \"POINTS (99999999)\""),
        ("POINTS (1)\n", "wanted 1 points, found 0"),
        ("POINTS (1)\nName: a, context fields: []\n", "line 2: wanted a point, found \"Name: a, context fields: []\""),
        (
            "POINTS (1)\nName: a, optional fields: [], context fields: []\nSINKS (1)\nName: null\n",
            "wanted a sink remote, found [\"null\"]: it cannot send messages to a monitor",
        ),
    ] {
        assert_eq!(Metadata::parse(text).unwrap_err(), why);
    }
    let whole = text(OTHERS, COMMON);
    let cut = whole.split_at(whole.len() / 2).0;
    assert!(Metadata::parse(cut).is_err());
}

#[test]
fn the_processor_shows() {
    assert_eq!(x86_64().arch(), Arch::X86_64);
    assert_eq!(new(&[]).arch(), Arch::Aarch64);
}

#[test]
fn numbers_of_calls() {
    let of = |name| (number(Arch::X86_64, name), number(Arch::Aarch64, name));
    assert_eq!(of("execve"), (Some(59), Some(221)));
    assert_eq!(of("execveat"), (Some(322), Some(281)));
    assert_eq!(of("clone"), (Some(56), Some(220)));
    assert_eq!(of("fork"), (Some(57), None));
    assert_eq!(of("vfork"), (Some(58), None));
    assert_eq!(of("clone3"), (Some(435), Some(435)));
    assert_eq!(of("openat"), (Some(257), Some(56)));
    assert_eq!(of("umount2"), (Some(166), Some(39)));
    // Every name of the lists is a call of one processor at least.
    for name in [PLAIN, CLONES, EXECS, SET_IDS, RAW, RAW_SET_IDS, MINIMAL].concat() {
        assert_ne!(of(name), (None, None), "{name}");
    }
}

/// The promise of the default, for what is known and for calls of the future (`walk` is one that no table has a
/// number for).
#[test]
fn nothing_hides_a_call_from_the_default() {
    for (metadata, arch) in [(x86_64(), Arch::X86_64), (new(&[]), Arch::Aarch64)] {
        let points = points(&metadata, PointSet::default(), arch);
        let told = warnings(&points, arch);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("paths and arguments on 2 points (syscall/walk/enter, syscall/walk/exit): "));
        // Fields that a workload chooses are on the exits of clones and execs only.
        let with_text: Vec<&str> = points
            .iter()
            .filter(|p| p.context.iter().chain(&p.optional).any(|f| !f.starts_with("binary") && is_text(f)))
            .map(|p| p.name.as_str())
            .collect();
        let mut wanted = vec!["container/start", "syscall/clone/exit", "syscall/execve/exit", "syscall/execveat/exit"];
        if arch == Arch::X86_64 {
            wanted.extend(["syscall/fork/exit", "syscall/vfork/exit"]);
        }
        assert_eq!(with_text, wanted);
        // And raw points have none at all.
        assert!(points.iter().filter(|p| matches!(about(&p.name), About::Raw(_))).all(|p| texts(p).is_empty()));
    }
}

fn is_text(field: &str) -> bool {
    ![BASE, STARTS, CREDENTIALS].concat().contains(&field)
}

#[test]
fn the_default_has_numbers_everywhere_and_twins() {
    let points = points(&x86_64(), PointSet::Recommended, Arch::X86_64);
    for point in &points {
        for field in BASE {
            assert!(point.context.iter().any(|f| f == field), "{} without {field}", point.name);
        }
        assert!(!point.optional.iter().any(|f| f == "fd_path"), "{}", point.name);
    }
    for n in [59, 322, 56, 57, 58, 2, 257, 85, 80, 435, 82, 87, 165, 272, 308, 62] {
        let sides = ["enter", "exit"].map(|side| find(&points, &format!("syscall/sysno/{n}/{side}")).unwrap());
        assert_eq!(sides[0].context, sides[1].context, "{n}");
    }
    // What has messages of its own without texts needs no twin, and what is only noise none.
    for n in [0, 3, 9, 50, 101, 202, 228] {
        assert_eq!(find(&points, &format!("syscall/sysno/{n}/exit")), None, "{n}");
    }
    assert_eq!(find(&points, "syscall/execve/exit").unwrap().optional, ["envv"]);
    assert_eq!(find(&points, "syscall/execve/enter").unwrap().optional, [""; 0]);
    assert_eq!(find(&points, "sentry/execve").unwrap().optional, ["binary_info"]);
    assert_eq!(find(&points, "container/start").unwrap().optional, ["env"]);
    for name in ["syscall/setuid/exit", "syscall/sysno/113/exit", "syscall/sysno/113/enter"] {
        assert!(find(&points, name).unwrap().context.contains(&"credentials".into()), "{name}");
    }
}

/// Each way of taking a twin away is seen.
#[test]
fn without_a_twin_there_is_a_warning() {
    let whole = points(&x86_64(), PointSet::Recommended, Arch::X86_64);
    let told = |points: &[Point]| warnings(points, Arch::X86_64).join("\n");
    let chdir: Vec<Point> = whole.iter().filter(|p| p.name != "syscall/sysno/80/exit").cloned().collect();
    assert!(told(&chdir).contains("paths and arguments on 4 points (syscall/chdir/enter, syscall/chdir/exit, "));
    let fork: Vec<Point> = whole.iter().filter(|p| p.name != "syscall/sysno/57/enter").cloned().collect();
    assert!(told(&fork).contains("cwd on 1 points (syscall/fork/exit): "), "{}", told(&fork));
    assert!(told(&fork).contains("process_name on 1 points (syscall/fork/exit): "));
    // A twin with a text is none.
    let mut execve = whole.clone();
    let twin = execve.iter_mut().find(|p| p.name == "syscall/sysno/59/exit").unwrap();
    twin.context.push("cwd".into());
    let told = told(&execve);
    assert!(told.contains("cwd on 2 points (syscall/execve/exit, syscall/sysno/59/exit): "), "{told}");
    assert!(told.contains("envv on 1 points (syscall/execve/exit): "), "{told}");
    assert!(told.contains("(sentry/execve, "), "{told}");
}

#[test]
fn minimal_has_no_texts_but_those_of_the_calls() {
    let points = points(&x86_64(), PointSet::Minimal, Arch::X86_64);
    let names: Vec<&str> = points.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "container/start",
            "sentry/clone",
            "sentry/execve",
            "sentry/exit_notify_parent",
            "sentry/task_exit",
            "syscall/accept4/exit",
            "syscall/chdir/exit",
            "syscall/clone/exit",
            "syscall/creat/exit",
            "syscall/execve/exit",
            "syscall/execveat/exit",
            "syscall/fork/exit",
            "syscall/listen/exit",
            "syscall/open/exit",
            "syscall/openat/exit",
            "syscall/ptrace/exit",
            "syscall/setuid/exit",
            "syscall/vfork/exit",
        ]
    );
    assert!(points.iter().all(|p| p.context.iter().all(|f| !is_text(f))));
    assert!(points.iter().flat_map(|p| &p.optional).all(|f| f == "binary_info"));
    let told = warnings(&points, Arch::X86_64);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("paths and arguments on 7 points (sentry/execve, syscall/chdir/exit, "), "{told:?}");
}

#[test]
fn all_is_all_and_warns_of_all() {
    let metadata = x86_64();
    let points = points(&metadata, PointSet::All, Arch::X86_64);
    assert_eq!(points, metadata.points);
    let told = warnings(&points, Arch::X86_64);
    let about: Vec<&str> = told.iter().map(|w| w.split(" on ").next().unwrap()).collect();
    assert_eq!(about, ["cwd", "envv", "fd_info", "fd_path", "paths and arguments", "pipe_proc_info", "process_name"]);
    let of_all = format!("cwd on {} points (sentry/clone, ", metadata.points.len() - 1);
    assert!(told[0].starts_with(&of_all), "{}", told[0]);
}

#[test]
fn the_order_of_what_is_offered_does_not_matter() {
    let whole = text(OTHERS, &[COMMON, &["open"][..]].concat());
    let (head, rest) = whole.split_once('\n').unwrap();
    let (list, sinks) = rest.split_once("\n\n").unwrap();
    let turned: Vec<&str> = list.lines().rev().collect();
    let turned = format!("{head}\n{}\n\n{sinks}", turned.join("\n"));
    assert_eq!(Metadata::parse(&turned).unwrap(), Metadata::parse(&whole).unwrap());
}

#[test]
fn a_session_as_gvisor_reads_it() {
    let point = Point { name: "sentry/clone".into(), optional: vec![], context: vec!["time".into()] };
    let sink = Sink { socket: "/run/x.sock".into(), backoff: Duration::from_nanos(1500), ..Sink::default() };
    let session = session(&[point], &sink).unwrap();
    let wanted = json!({
        "name": "Default", "ignore_missing": true,
        "points": [{"name": "sentry/clone", "optional_fields": [], "context_fields": ["time"]}],
        "sinks": [{"name": "remote", "ignore_setup_error": true, "config": {
            "endpoint": "/run/x.sock", "retries": 3, "backoff": "1500ns", "backoff_max": "10000us",
        }}],
    });
    assert_eq!(session, wanted);
    assert_eq!(pod_init(&session), json!({"trace_session": wanted}));
}

#[test]
fn sessions_that_gvisor_could_not_have() {
    let with = |socket: &str| session(&[], &Sink { socket: socket.into(), ..Sink::default() }).map(|_| ());
    let why = |socket: &str| with(socket).unwrap_err().to_string();
    assert!(why("x.sock").contains("wanted an absolute path"));
    assert_eq!(with(&format!("/{}", "x".repeat(106))).unwrap(), ());
    assert!(why(&format!("/{}", "x".repeat(107))).ends_with("wanted at most 107 bytes, found 108"));
    let strange: std::ffi::OsString = std::os::unix::ffi::OsStringExt::from_vec(b"/\xff".to_vec());
    let strange = Sink { socket: strange.into(), ..Sink::default() };
    assert!(session(&[], &strange).unwrap_err().to_string().contains("not UTF-8"));
    let slow = Sink { backoff: Duration::from_secs(1), ..Sink::default() };
    let why = session(&[], &slow).unwrap_err().to_string();
    assert_eq!(why, "the first pause (1000000us) is longer than the longest (10000us)");
}
