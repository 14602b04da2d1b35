//! Fake engines with recorded answers.

use super::fake::{answer, id_in, serve};
use super::replayed::{known_of, lines};
use scapkit_capture::containers::{ContainerId, Counters, Options, Worker};
use std::collections::BTreeMap;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

const FIELDS: &str = "%container.id %container.name %container.image %container.type";

fn worker(root: &Path) -> Worker {
    Worker::start(Options { host_root: root.into(), ..Options::default() }).unwrap()
}

/// The recorded answer about a container, by target, and its id.
fn answers(container: &str) -> (String, BTreeMap<String, Vec<u8>>) {
    let about = answer(container);
    let id = id_in(&about);
    (id.clone(), BTreeMap::from([(format!("/containers/{id}/json"), about)]))
}

/// Adds the recorded answer about an image; gives its id.
fn add_image(answers: &mut BTreeMap<String, Vec<u8>>, image: &str) -> String {
    let about = answer(image);
    let id = std::str::from_utf8(&about).unwrap().split_once("sha256:").unwrap().1[..64].to_owned();
    answers.insert(format!("/images/sha256:{id}/json"), about);
    id
}

#[test]
fn docker() {
    let dir = tempfile::tempdir().unwrap();
    let (id, mut answers) = answers("docker-container.http");
    let image_id = add_image(&mut answers, "docker-image.http");
    let asked = serve(dir.path(), "run/docker.sock", answers, answer("docker-none.http"));
    let cgroups = format!("cpu=/docker/{id}");
    let (wanted, known) = known_of(&mut worker(dir.path()), &cgroups);
    let short = &id[..12];
    assert_eq!(known.len(), 2);
    assert_eq!(known[0].json, format!(r#"{{"container":{{"full_id":"{id}","id":"{short}","type":0}}}}"#));
    assert_eq!((&*wanted.id, &*known[1].id), (short, short));
    assert_eq!(
        lines(FIELDS, &cgroups, &known),
        [format!("{short}   docker"), format!("{short} web registry.example/team/box:1.0 docker")]
    );
    let more = "%container.full_id %container.image.id %container.image.repository %container.image.tag \
        %container.privileged %container.label.role %container.mount.dest[0] %container.mount.mode[0] %container.host_network";
    assert_eq!(
        lines(more, &cgroups, &known)[1],
        format!("{id} {image_id} registry.example/team/box 1.0 false test /data ro true")
    );
    let told: serde_json::Value = serde_json::from_str(&known[1].json).unwrap();
    let told = &told["container"];
    assert_eq!(
        (&told["User"], &told["memory_limit"], &told["swap_limit"]),
        (&"1000".into(), &(64 << 20).into(), &(128 << 20).into())
    );
    assert_eq!(
        (&told["cpu_shares"], &told["cpuset_cpu_count"], &told["created_time"]),
        (&512.into(), &2.into(), &1_795_541_875.into())
    );
    assert!(!known[1].json.contains("SECRET") && !known[1].json.contains("xxxxx"), "{}", known[1].json);
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn podman() {
    let dir = tempfile::tempdir().unwrap();
    let (id, mut answers) = answers("podman-container.http");
    add_image(&mut answers, "podman-image.http");
    let rootfs = answer("podman-rootfs.http");
    let bare = id_in(&rootfs);
    answers.insert(format!("/containers/{bare}/json"), rootfs);
    let asked = serve(dir.path(), "run/podman/podman.sock", answers, answer("podman-none.http"));
    let mut worker = worker(dir.path());

    let cgroups = format!("cpu=/libpod_parent/libpod-{id}\0pids=/");
    let (_, known) = known_of(&mut worker, &cgroups);
    let format = format!("{FIELDS} %container.image.digest %container.host_network");
    assert_eq!(
        lines(&format, &cgroups, &known)[1],
        format!(
            "{} web registry.example/team/box:1.0 podman \
             sha256:38db9726115eee773c1a293b806e8e59b1205fd4c61fb4484c0406ed4fa58072 true",
            &id[..12]
        )
    );
    assert!(!known[1].json.contains("SECRET") && !known[1].json.contains("xxxxx"), "{}", known[1].json);

    // Without an image, none is asked for.
    let before = asked.lock().unwrap().len();
    let cgroups = format!("cpu=/machine.slice/libpod-{bare}.scope/container");
    let (_, known) = known_of(&mut worker, &cgroups);
    assert_eq!(lines("%container.name %container.type %container.privileged", &cgroups, &known)[1], "bare podman true");
    assert_eq!(asked.lock().unwrap().len(), before + 1);
    assert_eq!(worker.counters(), Counters { asked: 2, told: 2, ..Counters::default() });
}

/// The engine that the path names does not know it, the other does.
#[test]
fn the_other_engine() {
    let dir = tempfile::tempdir().unwrap();
    let (id, podman) = answers("podman-container.http");
    let asked = serve(dir.path(), "run/docker.sock", BTreeMap::new(), answer("docker-none.http"));
    serve(dir.path(), "run/podman/podman.sock", podman, answer("podman-none.http"));
    let cgroups = format!("cpu=/some/parent/{id}");
    let (_, known) = known_of(&mut worker(dir.path()), &cgroups);
    assert_eq!(lines("%container.type %container.name", &cgroups, &known), ["docker ", "podman web"]);
    assert_eq!(*asked.lock().unwrap(), [format!("/containers/{id}/json")]);
}

/// Sockets of users are asked only about what runs in their own sessions.
#[test]
fn a_users_engine() {
    let dir = tempfile::tempdir().unwrap();
    let (id, podman) = answers("podman-container.http");
    let asked = serve(dir.path(), "run/user/1000/podman/podman.sock", podman, answer("podman-none.http"));
    let of = |uid| format!("cpu=/user.slice/user-{uid}.slice/user@{uid}.service/user.slice/libpod-{id}.scope");
    let other = [format!("cpu=/libpod_parent/libpod-{id}"), of(1001)];
    for cgroups in other {
        let (_, known) = known_of(&mut worker(dir.path()), &cgroups);
        assert_eq!(known.len(), 1);
    }
    assert_eq!(asked.lock().unwrap().len(), 0);
    let (_, known) = known_of(&mut worker(dir.path()), &of(1000));
    assert_eq!(lines("%container.name", &of(1000), &known)[1], "web");
}

#[test]
fn unknown_failed_and_switched_off() {
    let dir = tempfile::tempdir().unwrap();
    let asked = serve(dir.path(), "run/docker.sock", BTreeMap::new(), answer("docker-none.http"));
    let docker = format!("cpu=/docker/{}", "ab".repeat(32));
    let mut w = worker(dir.path());
    assert_eq!(known_of(&mut w, &docker).1.len(), 1);
    assert_eq!(w.counters(), Counters { asked: 1, unknown: 1, ..Counters::default() });
    assert_eq!(asked.lock().unwrap().len(), 5, "asked again for a while");

    let empty = tempfile::tempdir().unwrap();
    let mut w = worker(empty.path());
    assert_eq!(known_of(&mut w, &docker).1.len(), 1);
    assert_eq!(w.counters(), Counters { asked: 1, failed: 1, ..Counters::default() });

    let off = Options { engines: false, host_root: dir.path().into(), ..Options::default() };
    let mut w = Worker::start(off).unwrap();
    assert_eq!(known_of(&mut w, &docker).1.len(), 1);
    assert_eq!(w.counters(), Counters::default());
    assert_eq!(asked.lock().unwrap().len(), 5);
}

#[test]
fn those_without_an_engine() {
    let dir = tempfile::tempdir().unwrap();
    let mut worker = worker(dir.path());
    for (path, line) in [
        ("/lxc.payload.web/init.scope", "web web lxc"),
        ("/lxc/web", "web web lxc"),
        ("/machine/web.libvirt-lxc", "web.libvirt- web libvirt-lxc"),
        ("/bpm-web.worker", "web.worker web.worker bpm"),
        // Replay shows no name for its number.
        ("/machine.slice/systemd-nspawn@a\\x2db.service/payload", "systemd-nspa a-b "),
    ] {
        let cgroups = format!("cpu={path}");
        let Some(known) = worker.want(&ContainerId::of_cgroups(cgroups.as_bytes()).unwrap()) else {
            assert_eq!(path, "/lxc/web", "of the same id as one before");
            continue;
        };
        assert_eq!(lines("%container.id %container.name %container.type", &cgroups, &[known]), [line], "{path}");
    }
    assert_eq!(worker.counters(), Counters::default());
}

#[test]
fn removed_ones() {
    let dir = tempfile::tempdir().unwrap();
    let mut worker = worker(dir.path());
    let wanted = ContainerId::of_cgroups(b"cpu=/lxc/web").unwrap();
    assert_eq!(worker.removed("web"), None);
    let there = worker.want(&wanted).unwrap();
    assert_eq!(worker.want(&wanted), None);
    let gone = worker.removed("web").unwrap();
    assert!(!gone.exists);
    assert_eq!(lines("%container.name", "cpu=/lxc/web", &[there, gone]), ["web", ""]);
    assert!(worker.want(&wanted).is_some());
}

/// An engine that takes connections and says nothing: nobody but the worker's thread waits, and that no longer than a
/// second for each.
#[test]
fn an_engine_that_hangs() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("run")).unwrap();
    let _listener = UnixListener::bind(dir.path().join("run/docker.sock")).unwrap();
    let mut worker = worker(dir.path());
    let begun = Instant::now();
    for n in 0..3000 {
        let cgroups = format!("cpu=/docker/{n:064x}");
        // Ids whose short forms differ.
        let cgroups = cgroups.replace(&format!("{n:064x}"), &format!("{n:012x}{n:052x}"));
        assert!(worker.want(&ContainerId::of_cgroups(cgroups.as_bytes()).unwrap()).is_some());
    }
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    let counters = worker.counters();
    assert!((1024..=1026).contains(&counters.asked), "{counters:?}");
    assert_eq!(counters.asked + counters.refused, 3000);
    let begun = Instant::now();
    while worker.counters().failed == 0 {
        assert!(begun.elapsed() < Duration::from_secs(3));
        std::thread::sleep(Duration::from_millis(5));
    }
    let begun = Instant::now();
    drop(worker);
    assert!(begun.elapsed() < Duration::from_millis(500), "nobody waits for the thread");
}

/// A user's engine that hangs is left alone for a while.
#[test]
fn a_users_engine_that_hangs() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("run/user/1000/podman")).unwrap();
    let _listener = UnixListener::bind(dir.path().join("run/user/1000/podman/podman.sock")).unwrap();
    let (id, podman) = answers("podman-container.http");
    serve(dir.path(), "run/podman/podman.sock", podman, answer("podman-none.http"));
    let mut worker = worker(dir.path());
    let begun = Instant::now();
    for n in 0..8 {
        let id = format!("{n:012x}{n:052x}");
        let path = format!("cpu=/user.slice/user-1000.slice/user@1000.service/libpod-{id}.scope");
        assert!(worker.want(&ContainerId::of_cgroups(path.as_bytes()).unwrap()).is_some());
    }
    let (_, known) = known_of(&mut worker, &format!("cpu=/libpod_parent/libpod-{id}"));
    assert!(known.len() == 2 && known[1].json.contains("\"web\""), "{known:?}");
    assert!((1000..4000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
}
