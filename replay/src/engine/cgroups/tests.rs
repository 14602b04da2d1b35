use super::*;
use std::fmt::Write as _;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn of(path: &str) -> Option<(Layout, String)> {
    let list = format!("cpu={path}");
    container_of(list.as_bytes()).map(|(layout, id)| (layout, String::from_utf8(id.to_vec()).unwrap()))
}

#[test]
fn layouts() {
    for (path, layout, id) in [
        (format!("/docker/{ID}"), Layout::Docker, "0123456789ab"),
        (format!("/system.slice/docker-{ID}.scope"), Layout::Docker, "0123456789ab"),
        (format!("/machine.slice/libpod-{ID}.scope/container"), Layout::Podman, "0123456789ab"),
        (format!("/a.service/libpod-payload-{ID}"), Layout::Podman, "0123456789ab"),
        (format!("/kubepods.slice/x.slice/cri-containerd-{ID}.scope"), Layout::Cri, "0123456789ab"),
        (format!("/x.slice:cri-containerd:{ID}"), Layout::Cri, "0123456789ab"),
        ("/default/redis".into(), Layout::Containerd, "redis"),
        ("/my.name_space-1/thirteen-char".into(), Layout::Containerd, "thirteen-cha"),
        ("/lxc.payload.web/system.slice/cron.service".into(), Layout::Lxc, "web"),
        ("/machine.slice/machine-lxc\\x2d12\\x2dweb.scope".into(), Layout::LibvirtLxc, "12\\x2dweb"),
        ("/machine.slice/runc-bpm-web.worker.scope".into(), Layout::Bpm, "web.worker"),
    ] {
        assert_eq!(of(&path), Some((layout, id.to_owned())), "{path}");
    }
}

#[test]
fn the_machine_itself() {
    for path in [
        "",
        "/",
        "/init.scope",
        "/user.slice/user-1000.slice/session-2.scope",
        "/system.slice/docker.service",
        "/lxc.monitor.web",
        "/lxc/",
        "/bpm-a b",
    ] {
        assert_eq!(of(path), None, "{path}");
    }
    assert_eq!(container_of(b""), None);
    assert_eq!(container_of(b"cpu"), None);
    assert_eq!(of(&format!("/docker/{}", &ID[1..])).unwrap().0, Layout::Containerd, "63 digits");
    assert_eq!(of(&format!("/docker/{ID}0")), None, "65 digits");
    assert_eq!(of(&format!("/docker/{}g", &ID[1..])).unwrap().0, Layout::Docker, "a wrong digit late in the path");
}

#[test]
fn the_first_path_that_has_one() {
    let list = format!("cpuset=/\0cpu=/\0name=systemd=/docker/{ID}\0memory=/default/redis");
    assert_eq!(container_of(list.as_bytes()).unwrap().1, b"0123456789ab");
}

#[test]
fn hostile_paths_take_linear_time() {
    let start = std::time::Instant::now();
    for unit in ["/", "/a", "/lxc", "bpm-", ".scope", "-lxc\\x2", ":cri-containerd:", "/docker-"] {
        let path = unit.repeat(65_536 / unit.len());
        let _ = of(&path);
        let _ = container_of(format!("cpu={path}").repeat(3).as_bytes());
    }
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

/// The 80 paths of the reference, by what libs says of them. Where its column `want`, a rule for recorders,
/// has another id is on the list; replay follows libs.
#[test]
fn as_the_container_plugin() {
    let shared = std::env::var_os("SCAPKIT_SHARED").map_or_else(
        || std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        std::path::PathBuf::from,
    );
    let Ok(cases) = std::fs::read_to_string(shared.join("spec/os-state-cases.yaml")) else {
        let skipped = format_args!("SKIPPED: the cgroup cases are absent (set SCAPKIT_SHARED)\n");
        std::io::Write::write_fmt(&mut std::io::stderr(), skipped).unwrap();
        return;
    };
    let (mut seen, mut wrong, mut other) = (0, String::new(), 0);
    let mut path = String::new();
    let mut upstream = None;
    for line in cases.lines().take_while(|l| !l.starts_with("proc_cases")) {
        // One key a line, strings in double quotes.
        let string = |key: &str| -> Option<String> {
            let (_, rest) = line.split_once(key)?;
            serde_json::from_str(&rest[..=rest[1..].find('"')? + 1]).ok()
        };
        if let Some(p) = line.strip_prefix("    path: ") {
            path = serde_json::from_str(p).unwrap();
        } else if line.starts_with("    upstream: ") {
            upstream = string("id: ").map(|id| (string("matcher: ").unwrap(), id));
        } else if line.starts_with("    want: ") {
            seen += 1;
            other += u32::from(string(", id: ") != upstream.clone().map(|(_, id)| id));
            let found = of(&path).map(|(layout, id)| {
                let name = match layout {
                    Layout::LibvirtLxc => "libvirt-lxc".to_owned(),
                    other => format!("{other:?}").to_lowercase(),
                };
                (name, id)
            });
            if found != upstream {
                writeln!(wrong, "{path}: {found:?}, libs has {upstream:?}").unwrap();
            }
        }
    }
    assert_eq!(wrong, "");
    assert_eq!((seen, other), (80, 18));
}

#[test]
fn sandboxes_of_gvisor_have_an_entry_of_their_own() {
    let of = |list: &[u8]| container_of(list).map(|(layout, id)| (layout, String::from_utf8_lossy(id).into_owned()));
    let long = "0123456789abcdef".repeat(4);
    let found = |id: &str| Some((Layout::Gvisor, id.to_owned()));
    assert_eq!(of(format!("gvisor_container_id=/{long}\0").as_bytes()), found("0123456789ab"));
    assert_eq!(of(b"gvisor_container_id=/my-short-name\0"), found("my-short-name"));
    assert_eq!(of(format!("gvisor_container_id=/{}z\0", &long[1..]).as_bytes()), found(&format!("{}z", &long[1..])));
    assert_eq!(of(b"gvisor_container_id=/\0"), None);
}
