use super::*;

fn wanted() -> ContainerId {
    let full_id = "0123456789abcdef".repeat(4);
    ContainerId { runtime: Runtime::Docker, id: full_id[..12].into(), full_id, owner: None }
}

fn record_of(container: &Value, options: &Options) -> Map<String, Value> {
    let mut container = container.clone();
    container["Id"] = json!(wanted().full_id);
    record(&wanted(), Runtime::Docker, &container, &Value::Null, None, options).unwrap()
}

/// In the form of the API's documentation: what the recorded answers do not have.
#[test]
fn ports_addresses_and_limits() {
    let container = json!({
        "Name": "/k8s_POD_web", "Created": "2024-02-29T12:00:00.5+02:00",
        "Config": {"Env": ["SECRET=1", 7], "Labels": {"a": "x".repeat(100), "b": "x".repeat(101), "c": 7}},
        "HostConfig": {"PidMode": "host", "IpcMode": "host", "Privileged": true, "NanoCpus": 1_500_000_000u64,
            "CpusetCpus": "0-3,7", "NetworkMode": "container:abc"},
        "NetworkSettings": {
            "Networks": {"empty": {"IPAddress": ""}, "net": {"IPAddress": "172.17.0.2"}},
            "Ports": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
                "53/udp": [{"HostIp": "0.0.0.0", "HostPort": "53"}], "81/tcp": null, "82/tcp": [{"HostPort": "99999"}],
                "83/tcp": [{"HostIp": "", "HostPort": "83"}]}},
    });
    let r = record_of(&container, &Options::default());
    assert_eq!(r["created_time"], 1_709_200_800);
    assert_eq!(r["ip"], "172.17.0.2");
    let ports = json!([{"HostIp": 0x7F00_0001u32, "HostPort": 8080, "ContainerPort": 80},
        {"HostIp": 0, "HostPort": 83, "ContainerPort": 83}]);
    assert_eq!(r["port_mappings"], ports);
    assert_eq!(r["labels"].as_object().unwrap().keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!((&r["cpu_quota"], &r["cpu_shares"], &r["cpuset_cpu_count"]), (&json!(150_000), &json!(1024), &json!(5)));
    assert_eq!([&r["host_pid"], &r["host_ipc"], &r["privileged"], &r["is_pod_sandbox"]], [&json!(true); 4]);
    assert_eq!(r["host_network"], false);
    assert_eq!(network_of(&container), Some("abc"));
    assert!(!r.contains_key("env"));
    let with = record_of(&container, &Options { environment: true, ..Options::default() });
    assert_eq!(with["env"], json!(["SECRET=1"]));
}

#[test]
fn names_of_images() {
    let known = json!({
        "RepoTags": ["example.org:5000/team/box:1.0", "example.org:5000/team/box:latest"],
        "RepoDigests": ["other@sha256:aa", "example.org:5000/team/box@sha256:bb"],
    });
    for (name, repository, tag, digest) in [
        ("example.org:5000/team/box", "example.org:5000/team/box", "latest", "sha256:bb"),
        ("example.org:5000/team/box:2", "example.org:5000/team/box", "2", "sha256:bb"),
        ("example.org:5000/team/box@sha256:cc", "example.org:5000/team/box", "", "sha256:cc"),
        ("sha256:0123", "example.org:5000/team/box", "1.0", "sha256:bb"),
        ("0123456789ab", "example.org:5000/team/box", "1.0", "sha256:bb"),
        ("busybox", "busybox", "", ""),
        ("", "", "", ""),
    ] {
        let want = Image { repository: repository.into(), tag: tag.into(), digest: digest.into() };
        assert_eq!(Image::of(name, &known), want, "{name}");
    }
    let only = Image::of("busybox:1", &json!({"RepoDigests": ["other@sha256:aa"]}));
    assert_eq!((&*only.tag, &*only.digest), ("1", "sha256:aa"));
    assert_eq!(Image::of("sha256:0123", &Value::Null), Image::default());
}

#[test]
fn answers_of_other_types() {
    for junk in [json!(null), json!(7), json!("x"), json!([1]), json!({"x": 1})] {
        let mut container = json!({"Id": wanted().full_id});
        for key in ["Name", "Created", "Image", "Config", "HostConfig", "NetworkSettings", "Mounts"] {
            container[key] = junk.clone();
        }
        let _ = record(&wanted(), Runtime::Docker, &container, &junk, None, &Options::default()).unwrap();
        for (outer, inner) in
            [("NetworkSettings", "Ports"), ("NetworkSettings", "Networks"), ("Config", "Labels"), ("Config", "Env")]
        {
            container[outer] = json!({ inner: junk.clone() });
        }
        let _ = record_of(&container, &Options { environment: true, ..Options::default() });
        assert_eq!(record(&wanted(), Runtime::Docker, &junk, &junk, None, &Options::default()), None);
    }
    let other = json!({"Id": "f".repeat(64)});
    assert_eq!(record(&wanted(), Runtime::Docker, &other, &Value::Null, None, &Options::default()), None);
    assert_eq!(processors("3-1,x,-,0-4294967295,5"), 1);
}
