use super::*;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

/// A program that is a line of `sh`, in place of runsc.
fn program(script: &str) -> (TempDir, Runsc) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runsc");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
    (folder, Runsc { program: path, root: Some("/no/root".into()), timeout: Duration::from_secs(20) })
}

/// As the test's own threads may hold a new program open for writing for a moment, it is tried again.
fn tried<T>(run: impl Fn() -> Result<T>) -> Result<T> {
    for _ in 0..100 {
        match run() {
            Err(Error::System { source, .. }) if source.kind() == io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
    run()
}

#[test]
fn lists_of_containers() {
    let (_folder, runsc) = program(r#"[ "$*" = "--root /no/root list --format json" ] && echo null"#);
    assert_eq!(tried(|| runsc.list()).unwrap(), []);
    let (_folder, runsc) =
        program(r#"echo '[{"id":"b","pid":7,"status":"running","new":[1]},{"id":"a","status":"stopped"}]'"#);
    let found = tried(|| runsc.list()).unwrap();
    assert_eq!(
        found.iter().map(|c| (c.id.as_str(), c.pid, c.status.as_str())).collect::<Vec<_>>(),
        [("a", 0, "stopped"), ("b", 7, "running")]
    );
    let (_folder, runsc) = program("echo hello");
    let e = tried(|| runsc.list()).unwrap_err().to_string();
    assert!(e.contains("list --format json: its answer cannot be read: "), "{e}");
}

#[test]
fn sessions_and_sinks() {
    let one = "SESSIONS (1)\n\"Default\"\n\tSink: \"remote\", dropped: 4294967295\n";
    let sink = SessionSink { name: "remote".into(), dropped: 4_294_967_295 };
    assert_eq!(sessions(one).unwrap(), [Session { name: "Default".into(), sinks: vec![sink] }]);
    assert_eq!(sessions("SESSIONS (0)\n").unwrap(), []);
    for (wrong, why) in [
        ("", "wanted SESSIONS (N), found \"\""),
        ("SESSIONS (2)\n\"Default\"\n", "wanted 2 sessions, found 1"),
        ("SESSIONS (1)\n\"Default\"\n\tSink: \"remote\", dropped: x\n", "wanted a number of messages, found \"x\""),
    ] {
        assert_eq!(sessions(wrong).unwrap_err(), why);
    }
    let (_folder, runsc) =
        program("echo 'loading sandbox: ID {\"p\" \"c\"} doesn'\"'\"'t belong to a sandbox' >&2; exit 128");
    assert_eq!(tried(|| runsc.sessions("c")).unwrap(), None);
    assert_eq!(tried(|| runsc.create("c", &json!({}), false)).unwrap(), Done::NotASandbox);
    assert_eq!(tried(|| runsc.delete("c")).unwrap(), Done::NotASandbox);
}

/// More than a pipe holds, on both outputs at once.
#[test]
fn large_outputs_do_not_block() {
    let (_folder, runsc) = program("head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero");
    assert_eq!(tried(|| runsc.procfs("x")).unwrap().len(), 3_000_000);
    let (_folder, runsc) = program("head -c 80000000 /dev/zero");
    let e = tried(|| runsc.procfs("x")).unwrap_err().to_string();
    assert!(e.ends_with("trace procfs x: it prints more than 67108864 bytes"), "{e}");
}

#[test]
fn failures_say_what_failed_and_why() {
    let (_folder, runsc) = program("echo 'loading sandbox: file does not exist' >&2; exit 128");
    let e = tried(|| runsc.procfs("web")).unwrap_err().to_string();
    assert!(
        e.ends_with("runsc --root /no/root trace procfs web: exit status: 128: loading sandbox: file does not exist"),
        "{e}"
    );
    let (_folder, runsc) = program("exit 3");
    assert!(tried(|| runsc.procfs("web")).unwrap_err().to_string().ends_with("exit status: 3: it did not say why"));
    // Of a long story the end is told.
    let (_folder, runsc) = program("head -c 9000000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 1");
    let e = tried(|| runsc.procfs("web")).unwrap_err().to_string();
    assert!(e.len() < 3000 && e.ends_with("xxend"), "{} bytes", e.len());
    let runsc = Runsc { program: "/no/such/runsc".into(), ..Runsc::default() };
    let e = runsc.metadata().unwrap_err().to_string();
    assert_eq!(e, "/no/such/runsc trace metadata: No such file or directory (os error 2)");
    for id in ["", "-x", "a\0b"] {
        assert!(runsc.procfs(id).unwrap_err().to_string().ends_with("is no id of a container"));
    }
}

#[test]
fn what_does_not_end_is_ended() {
    let began = Instant::now();
    // One that says nothing, one that closed its outputs.
    for script in ["exec sleep 60", "exec sleep 60 >&- 2>&-"] {
        let (_folder, mut runsc) = program(script);
        runsc.timeout = Duration::from_millis(300);
        let e = tried(|| runsc.procfs("x")).unwrap_err().to_string();
        assert!(e.ends_with("trace procfs x: no answer in 300ms"), "{e}");
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[test]
fn configurations_are_read_by_nobody_else_and_go_away() {
    // --root DIR trace create --force --config FILE ID
    let (_folder, runsc) =
        program(r#"[ "$5" = --force ] && [ "$8" = web ] && stat -c %a "$7" >&2 && cat "$7" >&2; exit 9"#);
    let e = tried(|| runsc.create("web", &json!({"name": "Default"}), true)).unwrap_err().to_string();
    assert!(e.ends_with("exit status: 9: 600; {\"name\":\"Default\"}"), "{e}");
    let path = e.split(' ').find(|word| word.contains("scapkit-session-")).unwrap();
    assert!(!Path::new(path).exists(), "{path}");
    let folder = tempfile::tempdir().unwrap();
    let first = Config::write_in(folder.path(), &json!({"name": "Default"})).unwrap();
    let second = Config::write_in(folder.path(), &json!({})).unwrap();
    assert_ne!(first.0, second.0);
    assert_eq!(std::fs::metadata(&first.0).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(&first.0).unwrap(), r#"{"name":"Default"}"#);
    drop((first, second));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn sessions_that_are_there_or_not() {
    let (_folder, runsc) =
        program(r#"echo 'creating session: creating trace session: session "Default" already exists' >&2; exit 128"#);
    assert_eq!(tried(|| runsc.create("web", &json!({}), false)).unwrap(), Done::Nothing);
    let (_folder, runsc) =
        program(r#"echo 'deleting session: deleting trace session: session "Default" not found' >&2; exit 128"#);
    assert_eq!(tried(|| runsc.delete("web")).unwrap(), Done::Nothing);
    let (_folder, runsc) = program("echo 'loading sandbox: file not found' >&2; exit 128");
    assert!(tried(|| runsc.delete("web")).is_err());
}
