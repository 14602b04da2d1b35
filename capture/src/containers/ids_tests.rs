use super::*;
use std::fmt::Write as _;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn of(path: &str) -> Option<ContainerId> {
    ContainerId::of_cgroups(format!("cpu={path}").as_bytes())
}

#[test]
fn runtimes() {
    for (path, runtime, id, full_id) in [
        (format!("/docker/{ID}"), Runtime::Docker, &ID[..12], ID),
        (format!("/system.slice/docker-{ID}.scope/child"), Runtime::Docker, &ID[..12], ID),
        (format!("/machine.slice/libpod-{ID}.scope/container"), Runtime::Podman, &ID[..12], ID),
        (format!("/kubepods.slice/x.slice/cri-containerd-{ID}.scope"), Runtime::Containerd, &ID[..12], ID),
        (format!("/x.slice:cri-containerd:{ID}"), Runtime::Containerd, &ID[..12], ID),
        (format!("/system.slice/nerdctl-{ID}.scope"), Runtime::Containerd, &ID[..12], ID),
        (format!("/kubepods/burstable/podx/crio-{ID}"), Runtime::CriO, &ID[..12], ID),
        (format!("/kubepods/burstable/podx/{ID}"), Runtime::Cri, &ID[..12], ID),
        ("/default/a_longer_name".into(), Runtime::Containerd, "a_longer_nam", "a_longer_name"),
        ("/lxc/web".into(), Runtime::Lxc, "web", "web"),
        ("/lxc.payload.web/init.scope".into(), Runtime::Lxc, "web", "web"),
        ("/machine/web.libvirt-lxc".into(), Runtime::LibvirtLxc, "web.libvirt-", "web"),
        ("/bpm-web.worker".into(), Runtime::Bpm, "web.worker", "web.worker"),
        ("/machine.slice/machine-deb\\x2d12.scope/payload/init.scope".into(), Runtime::Nspawn, "deb-12", "deb-12"),
        ("/machine.slice/systemd-nspawn@deb.service/payload".into(), Runtime::Nspawn, "systemd-nspa", "deb"),
    ] {
        let (id, full_id) = (id.to_owned(), full_id.to_owned());
        assert_eq!(of(&path), Some(ContainerId { runtime, id, full_id, owner: None }), "{path}");
    }
}

#[test]
fn the_machine_itself() {
    for path in [
        "",
        "/",
        "/system.slice/docker.service/supervisor",
        "/docker/buildkit/r3h5c1u9ybq4xk2m7o0pdl8a6",
        "/kubepods/burstable/pod63b3ebfc-2890-11e9-8154-16bf8ef8d9dc",
        "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope",
        "/machine.slice/machine-a\\xzz.scope",
        "/machine.slice/machine-a\\x\u{e9}.scope",
        "/machine.slice/machine-.scope",
    ] {
        assert_eq!(of(path), None, "{path}");
    }
    assert_eq!(ContainerId::of_cgroups(b"cpu=/docker/\xff/x"), None);
    assert_eq!(ContainerId::of_cgroups(b"\0=\0cpu"), None);
}

#[test]
fn the_first_path_that_has_one() {
    let list =
        format!("cpuset=/\0cpu=/\0name=systemd=/user.slice/user-1000.slice/user@1000.service/libpod-{ID}.scope\0");
    let found = ContainerId::of_cgroups(list.as_bytes()).unwrap();
    assert_eq!((found.runtime, found.owner, &*found.full_id), (Runtime::Podman, Some(1000), ID));
}

/// The 80 paths of the reference. The short id is that of its column `upstream`, which replay has. Where its column
/// `want` knows better is on the lists below.
#[test]
fn as_the_reference() {
    let shared = std::env::var_os("SCAPKIT_SHARED").map_or_else(
        || std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        std::path::PathBuf::from,
    );
    let Ok(cases) = std::fs::read_to_string(shared.join("spec/os-state-cases.yaml")) else {
        let skipped = format_args!("SKIPPED: the cgroup cases are absent (set SCAPKIT_SHARED)\n");
        std::io::Write::write_fmt(&mut std::io::stderr(), skipped).unwrap();
        return;
    };
    let (mut seen, mut wrong) = (0, String::new());
    // By what replay cannot tell, or tells otherwise.
    let (mut unseen, mut other_full_id, mut other_runtime, mut extra) = (vec![], vec![], vec![], vec![]);
    let (mut name, mut path, mut upstream) = (String::new(), String::new(), None);
    for line in cases.lines().take_while(|l| !l.starts_with("proc_cases")) {
        // One key a line, strings in double quotes.
        let string = |key: &str| -> Option<String> {
            let (_, rest) = line.split_once(key)?;
            serde_json::from_str(&rest[..=rest[1..].find('"')? + 1]).ok()
        };
        if let Some(n) = line.strip_prefix("  - name: ") {
            name = serde_json::from_str(n).unwrap();
        } else if let Some(p) = line.strip_prefix("    path: ") {
            path = serde_json::from_str(p).unwrap();
        } else if line.starts_with("    upstream: ") {
            upstream = string("id: ");
        } else if line.starts_with("    want: ") {
            seen += 1;
            let want = string("full_id: ").map(|id| (string("runtime: ").unwrap(), id));
            let Some(found) = of(&path) else {
                if want.is_some() {
                    unseen.push(name.clone());
                }
                continue;
            };
            if upstream.as_ref().is_some_and(|id| *id != found.id) {
                writeln!(wrong, "{path}: {found:?}, libs has {upstream:?}").unwrap();
            }
            let Some((runtime, full_id)) = want else {
                extra.push(name.clone());
                continue;
            };
            if full_id != found.full_id {
                other_full_id.push(name.clone());
            }
            let ours = match found.runtime {
                Runtime::LibvirtLxc => "libvirt-lxc".to_owned(),
                Runtime::CriO => "cri-o".to_owned(),
                other => format!("{other:?}").to_lowercase(),
            };
            if runtime.trim_end_matches('?') != ours {
                other_runtime.push(format!("{name}: {ours}, not {runtime}"));
            }
        }
    }
    assert_eq!(wrong, "");
    assert_eq!(seen, 80);
    // Containers with systemd or child groups inside, which replay takes for the machine; a group being removed.
    let replay_sees_none = [
        "docker, systemd inside, private cgroupns",
        "docker cgroupfs, systemd inside",
        "docker cgroupfs, child group",
        "kind node daemon",
        "podman systemd container, init.scope",
        "dying group",
    ];
    assert_eq!(unseen, replay_sees_none);
    assert_eq!((other_full_id, other_runtime, extra), <(Vec<String>, Vec<String>, Vec<String>)>::default());
}
