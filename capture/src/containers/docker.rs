//! What Docker's API says of a container, and what Podman's says in the same form, as containers' JSON
//! (os-state 6.5 and 6.6).

use super::ids::Runtime;
use super::{ContainerId, Options};
use serde_json::{Map, Value, json};
use std::net::Ipv4Addr;

/// Most mounts, labels, ports and environment entries of one record.
const MAX_ITEMS: usize = 1024;

/// The text at a place in an answer: `HostConfig.PidMode`. Empty where there is none.
fn text<'a>(answer: &'a Value, place: &str) -> &'a str {
    at(answer, place).as_str().unwrap_or_default()
}

fn at<'a>(answer: &'a Value, place: &str) -> &'a Value {
    place.split('.').fold(answer, |value, key| &value[key])
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], |l| l)
}

/// The container whose network this one has: its address is asked for there.
pub(super) fn network_of(container: &Value) -> Option<&str> {
    text(container, "HostConfig.NetworkMode").strip_prefix("container:").filter(|id| !id.is_empty())
}

/// Its IPv4 address; empty if it has none of its own. Newer engines give it by network only.
pub(super) fn address(container: &Value) -> &str {
    let own = text(container, "NetworkSettings.IPAddress");
    if !own.is_empty() {
        return own;
    }
    let networks = at(container, "NetworkSettings.Networks").as_object();
    networks.into_iter().flat_map(Map::values).map(|n| text(n, "IPAddress")).find(|ip| !ip.is_empty()).unwrap_or("")
}

/// What `GET /images/{}/json` is to be asked for.
pub(super) fn image_of(container: &Value) -> Option<&str> {
    // Podman says `sha256:` of containers without an image.
    Some(text(container, "Image")).filter(|image| !image.is_empty() && *image != "sha256:")
}

/// What is known of a container by the answers about it and its image. `ip`: of the container whose network it has.
/// `None` when the answer is about another one.
pub(super) fn record(
    wanted: &ContainerId,
    runtime: Runtime,
    container: &Value,
    image: &Value,
    ip: Option<&str>,
    options: &Options,
) -> Option<Map<String, Value>> {
    let full_id = text(container, "Id");
    if !full_id.starts_with(&*wanted.full_id) {
        return None;
    }
    let name = text(container, "Name").trim_start_matches('/');
    let host = |place| text(container, place) == "host";
    let number = |place: &str, absent: i64| {
        Some(at(container, place).as_i64().unwrap_or(absent)).filter(|n| *n != 0).unwrap_or(absent)
    };
    let pulled = Image::of(text(container, "Config.Image"), image);
    let value = json!({
        "type": runtime as u16,
        "id": wanted.id,
        "full_id": full_id,
        "name": name,
        "image": text(container, "Config.Image"),
        "imageid": image_of(container).and_then(|id| id.strip_prefix("sha256:")).unwrap_or_default(),
        "imagerepo": pulled.repository,
        "imagetag": pulled.tag,
        "imagedigest": pulled.digest,
        "User": text(container, "Config.User"),
        "created_time": text(container, "Created").parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second),
        "privileged": at(container, "HostConfig.Privileged").as_bool().unwrap_or(false),
        "host_pid": host("HostConfig.PidMode"),
        "host_network": host("HostConfig.NetworkMode"),
        "host_ipc": host("HostConfig.IpcMode"),
        "ip": ip.unwrap_or_else(|| address(container)),
        "port_mappings": ports(at(container, "NetworkSettings.Ports")),
        "Mounts": mounts(&container["Mounts"]),
        "labels": labels(at(container, "Config.Labels"), options.label_max_len),
        "is_pod_sandbox": name.contains("k8s_POD"),
        "memory_limit": number("HostConfig.Memory", 0),
        "swap_limit": number("HostConfig.MemorySwap", 0),
        "cpu_shares": number("HostConfig.CpuShares", 1024),
        "cpu_quota": number("HostConfig.CpuQuota", number("HostConfig.NanoCpus", 0) / 10_000),
        "cpu_period": number("HostConfig.CpuPeriod", 100_000),
        "cpuset_cpu_count": processors(text(container, "HostConfig.CpusetCpus")),
    });
    let Value::Object(mut record) = value else { return None };
    if options.environment {
        let env: Vec<_> = list(at(container, "Config.Env")).iter().filter(|e| e.is_string()).take(MAX_ITEMS).collect();
        record.insert("env".into(), json!(env));
    }
    Some(record)
}

/// The parts of an image's name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Image {
    repository: String,
    tag: String,
    digest: String,
}

impl Image {
    /// By what the container was created from, and what is known of the image.
    fn of(created_from: &str, image: &Value) -> Image {
        let texts = |key: &str| list(&image[key]).iter().filter_map(Value::as_str).collect::<Vec<_>>();
        let (tags, digests) = (texts("RepoTags"), texts("RepoDigests"));
        // Created from an id: the image's first name is as good as any.
        let is_id = |name: &str| name.len() >= 12 && name.bytes().all(|b| b.is_ascii_hexdigit());
        let by_id = created_from.starts_with("sha256:") || is_id(created_from);
        let name = if by_id { tags.first().copied().unwrap_or_default() } else { created_from };
        let (name, digest) = name.split_once('@').unwrap_or((name, ""));
        let (repository, tag) = split_tag(name);
        if repository.is_empty() {
            return Image::default();
        }
        let latest = || tags.iter().find(|t| split_tag(t).1 == "latest" && split_tag(t).0.ends_with(repository));
        let of_repository = || tags.iter().find(|t| t.contains(repository));
        let known = || latest().or_else(of_repository).map(|t| split_tag(t).1).unwrap_or_default();
        let only = || digests.first().filter(|_| digests.len() == 1);
        let pulled = digests.iter().find(|d| d.contains(repository)).or_else(only);
        let pulled = pulled.and_then(|d| d.split_once('@')).map(|(_, digest)| digest);
        Image {
            repository: repository.to_owned(),
            // Without a tag but with a digest it is that image, whatever it is called.
            tag: if tag.is_empty() && digest.is_empty() { known() } else { tag }.to_owned(),
            digest: if digest.is_empty() { pulled.unwrap_or_default() } else { digest }.to_owned(),
        }
    }
}

/// The tag is after the last colon, unless that is a port: then a slash follows.
fn split_tag(name: &str) -> (&str, &str) {
    name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).unwrap_or((name, ""))
}

/// TCP over IPv4 only, as upstream has them.
fn ports(ports: &Value) -> Vec<Value> {
    let mut out = Vec::new();
    for (inside, bindings) in ports.as_object().into_iter().flatten() {
        let Some(port) = inside.strip_suffix("/tcp").and_then(|p| p.parse::<u16>().ok()) else { continue };
        for binding in list(bindings) {
            let ip = text(binding, "HostIp");
            // Podman leaves the address out where it is any.
            let ip = if ip.is_empty() { Ok(Ipv4Addr::UNSPECIFIED) } else { ip.parse() };
            if let (Ok(ip), Ok(outside)) = (ip, text(binding, "HostPort").parse::<u16>())
                && out.len() < MAX_ITEMS
            {
                out.push(json!({"HostIp": u32::from(ip), "HostPort": outside, "ContainerPort": port}));
            }
        }
    }
    out
}

fn mounts(mounts: &Value) -> Vec<Value> {
    let one = |m: &Value| {
        json!({
            "Source": text(m, "Source"),
            "Destination": text(m, "Destination"),
            "Mode": text(m, "Mode"),
            "RW": m["RW"].as_bool().unwrap_or(false),
            "Propagation": text(m, "Propagation"),
        })
    };
    list(mounts).iter().filter(|m| m.is_object()).take(MAX_ITEMS).map(one).collect()
}

/// Values of more bytes than `max` are left out with their name.
fn labels(labels: &Value, max: usize) -> Map<String, Value> {
    let fits = |value: &Value| value.as_str().is_some_and(|v| v.len() <= max);
    let fitting = labels.as_object().into_iter().flatten().filter(|(_, value)| fits(value));
    fitting.take(MAX_ITEMS).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// How many processors `0-3,7` are.
fn processors(set: &str) -> u32 {
    let number = |n: &str| n.trim().parse::<u32>().ok();
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        number(last)?.checked_sub(number(first)?)?.checked_add(1)
    };
    set.split(',').filter_map(count).fold(0, u32::saturating_add)
}

#[cfg(test)]
#[path = "docker_tests.rs"]
mod tests;
