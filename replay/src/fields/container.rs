//! `container.*` and `k8s.*`: the container of the event's thread, or the one that the event tells of
//! (field reference section 8).

use super::{Arg, Field, Kind, Takes, Traits, Value, field};
use crate::Context;
use crate::engine::{Container, Labels, Mount};
use crate::text::Sink;

pub(super) const FIELDS: &[Field] = &[
    field("container.id", Kind::Text, |cx, _, _| match cx.container() {
        Some(c) => Some(Value::Text(c.id.as_bytes())),
        None => cx.thread().map(|t| Value::Text(&t.container_id)),
    }),
    text("container.full_id", |cx, _, _| string(cx, |c| &c.full_id)),
    text("container.name", |cx, _, _| string(cx, |c| &c.name)),
    text("container.image", |cx, _, _| string(cx, |c| &c.image)),
    text("container.image.id", |cx, _, _| string(cx, |c| &c.image_id)),
    text("container.image.repository", |cx, _, _| string(cx, |c| &c.image_repository)),
    text("container.image.tag", |cx, _, _| string(cx, |c| &c.image_tag)),
    text("container.image.digest", |cx, _, _| string(cx, |c| &c.image_digest)),
    text("container.type", |cx, _, _| string(cx, |c| c.type_name())),
    text("container.ip", |cx, _, _| string(cx, |c| &c.ip)),
    text("container.cni.json", |cx, _, _| string(cx, |c| &c.cni_json)),
    flag("container.privileged", |cx, _, _| is(cx, |c| c.privileged)),
    flag("container.host_pid", |cx, _, _| is(cx, |c| c.host_pid)),
    flag("container.host_network", |cx, _, _| is(cx, |c| c.host_network)),
    flag("container.host_ipc", |cx, _, _| is(cx, |c| c.host_ipc)),
    text("container.mounts", |cx, _, sink| {
        for (at, mount) in cx.container()?.mounts.iter().enumerate() {
            if at > 0 {
                sink.plain(",");
            }
            whole(mount, sink);
        }
        Some(Value::Written)
    }),
    text("container.mount", |cx, arg, sink| {
        whole(mount(cx, arg, |m| &m.source)?, sink);
        Some(Value::Written)
    })
    .takes(Takes::IndexOrKey),
    text("container.mount.source", |cx, arg, _| {
        Some(Value::Text(mount(cx, arg, |m| &m.destination)?.source.as_bytes()))
    })
    .takes(Takes::IndexOrKey),
    text("container.mount.dest", |cx, arg, _| Some(Value::Text(mount(cx, arg, |m| &m.source)?.destination.as_bytes())))
        .takes(Takes::IndexOrKey),
    text("container.mount.mode", |cx, arg, _| Some(Value::Text(mount(cx, arg, |m| &m.source)?.mode.as_bytes())))
        .takes(Takes::IndexOrKey),
    text("container.mount.rdwr", |cx, arg, _| Some(Value::Text(writable(mount(cx, arg, |m| &m.source)?).as_bytes())))
        .takes(Takes::IndexOrKey),
    text("container.mount.propagation", |cx, arg, _| {
        Some(Value::Text(mount(cx, arg, |m| &m.source)?.propagation.as_bytes()))
    })
    .takes(Takes::IndexOrKey),
    text("container.label", |cx, arg, _| label(&cx.container()?.labels, key(arg)?)).takes(Takes::Key),
    text("container.labels", |cx, _, sink| {
        labels(&cx.container()?.labels, sink);
        Some(Value::Written)
    }),
    field("container.start_ts", Kind::AbsTime, |cx, _, _| started(cx).map(Value::Unsigned)),
    field("container.duration", Kind::RelTime, |cx, _, _| {
        started(cx).map(|start| Value::Unsigned(cx.event.ts.wrapping_sub(start)))
    }),
    text("k8s.pod.name", |cx, _, _| label(&cx.container()?.labels, "io.kubernetes.pod.name")),
    text("k8s.ns.name", |cx, _, _| label(&cx.container()?.labels, "io.kubernetes.pod.namespace")),
    text("k8s.pod.id", |cx, _, _| label(&cx.container()?.labels, "io.kubernetes.pod.uid")),
    text("k8s.pod.uid", |cx, _, _| label(&cx.container()?.labels, "io.kubernetes.pod.uid")),
    text("k8s.pod.sandbox_id", |cx, _, _| Some(Value::Text(short(&cx.container()?.pod_sandbox_id)))),
    text("k8s.pod.full_sandbox_id", |cx, _, _| string(cx, |c| &c.pod_sandbox_id)),
    text("k8s.pod.label", |cx, arg, _| {
        let (own, name) = (cx.container()?, key(arg)?);
        let sandbox = sandbox(cx, own).and_then(|s| label(&s.pod_sandbox_labels, name));
        sandbox.or_else(|| label(&own.pod_sandbox_labels, name))
    })
    .takes(Takes::Key),
    text("k8s.pod.labels", |cx, _, sink| {
        let own = cx.container()?;
        labels(&sandbox(cx, own).unwrap_or(own).pod_sandbox_labels, sink);
        Some(Value::Written)
    }),
    text("k8s.pod.ip", |cx, _, _| Some(Value::Text(network(cx)?.ip.as_bytes()))),
    text("k8s.pod.cni.json", |cx, _, _| Some(Value::Text(network(cx)?.cni_json.as_bytes()))),
    // Without values in today's libs. Rules name them still.
    gone("container.healthcheck", Kind::Text),
    gone("container.liveness_probe", Kind::Text),
    gone("container.readiness_probe", Kind::Text),
    gone("proc.is_container_healthcheck", Kind::Bool),
    gone("proc.is_container_liveness_probe", Kind::Bool),
    gone("proc.is_container_readiness_probe", Kind::Bool),
    gone("k8s.rc.name", Kind::Text),
    gone("k8s.rc.id", Kind::Text),
    gone("k8s.rc.label", Kind::Text).takes(Takes::Key),
    gone("k8s.rc.labels", Kind::Text),
    gone("k8s.svc.name", Kind::Text),
    gone("k8s.svc.id", Kind::Text),
    gone("k8s.svc.label", Kind::Text).takes(Takes::Key),
    gone("k8s.svc.labels", Kind::Text),
    gone("k8s.ns.id", Kind::Text),
    gone("k8s.ns.label", Kind::Text).takes(Takes::Key),
    gone("k8s.ns.labels", Kind::Text),
    gone("k8s.rs.name", Kind::Text),
    gone("k8s.rs.id", Kind::Text),
    gone("k8s.rs.label", Kind::Text).takes(Takes::Key),
    gone("k8s.rs.labels", Kind::Text),
    gone("k8s.deployment.name", Kind::Text),
    gone("k8s.deployment.id", Kind::Text),
    gone("k8s.deployment.label", Kind::Text).takes(Takes::Key),
    gone("k8s.deployment.labels", Kind::Text),
];

/// Most characters of an id that threads have.
const SHORT: usize = 12;

const fn text(name: &'static str, get: super::Get) -> Field {
    field(name, Kind::Text, get)
}

const fn flag(name: &'static str, get: super::Get) -> Field {
    field(name, Kind::Bool, get)
}

const fn gone(name: &'static str, kind: Kind) -> Field {
    field(name, kind, |_, _, _| None).traits(Traits::DEPRECATED)
}

fn string<'v>(cx: &Context<'v>, get: fn(&'v Container) -> &'v str) -> Option<Value<'v>> {
    cx.container().map(|c| Value::Text(get(c).as_bytes()))
}

fn is<'v>(cx: &Context<'v>, get: fn(&Container) -> bool) -> Option<Value<'v>> {
    cx.container().map(|c| Value::Bool(get(c)))
}

fn key(arg: &Arg) -> Option<&str> {
    match arg {
        Arg::Key(key) => Some(key),
        _ => None,
    }
}

fn short(id: &str) -> &[u8] {
    id.as_bytes().get(..SHORT).unwrap_or(id.as_bytes())
}

/// When the thread's pid namespace began. An event that tells of a container is of no thread.
fn started(cx: &Context<'_>) -> Option<u64> {
    if cx.tells_of_container() {
        return None;
    }
    cx.thread().map(|t| t.pidns_init_start_ts).filter(|ts| *ts != 0)
}

/// The pod's own container, for one that does not know its network.
fn sandbox<'v>(cx: &Context<'v>, own: &Container) -> Option<&'v Container> {
    if own.cni_json.is_empty() { cx.engine.container(short(&own.pod_sandbox_id)) } else { None }
}

/// Where addresses are known: in the container itself or in that of its pod.
fn network<'v>(cx: &Context<'v>) -> Option<&'v Container> {
    let own = cx.container()?;
    if own.cni_json.is_empty() { sandbox(cx, own) } else { Some(own) }
}

fn label<'v>(labels: &'v Labels, name: &str) -> Option<Value<'v>> {
    labels.get(name).map(|value| Value::Text(value.as_bytes()))
}

/// Appends all labels but those of Kubernetes itself.
fn labels(labels: &Labels, sink: &mut Sink<'_>) {
    let start = sink.out.len();
    for (name, value) in labels.iter() {
        if name.starts_with("annotation.") || name.starts_with("io.kubernetes.") {
            continue;
        }
        if sink.out.len() > start {
            sink.plain(", ");
        }
        sink.plain(name);
        if !value.is_empty() {
            sink.plain(":");
            sink.plain(value);
        }
    }
}

fn writable(mount: &Mount) -> &'static str {
    if mount.writable { "true" } else { "false" }
}

fn whole(m: &Mount, sink: &mut Sink<'_>) {
    for (at, part) in [&*m.source, &m.destination, &m.mode, writable(m), &m.propagation].iter().enumerate() {
        if at > 0 {
            sink.plain(":");
        }
        sink.plain(part);
    }
}

/// The mount of that number, or the first whose directory fits the pattern.
fn mount<'v>(cx: &Context<'v>, arg: &Arg, directory: fn(&Mount) -> &str) -> Option<&'v Mount> {
    let mounts = &cx.container()?.mounts;
    match arg {
        Arg::Index(n) => mounts.get(*n),
        Arg::Key(pattern) => mounts.iter().find(|m| fits(directory(m), pattern)),
        Arg::None | Arg::Name(_) | Arg::Types(..) => None,
    }
}

/// Whether a path is as a pattern with `*` (anything, slashes too), `?` and `\`.
fn fits(path: &str, pattern: &str) -> bool {
    let (mut path, mut pattern) = (path.as_bytes(), pattern.as_bytes());
    // Where the last `*` stands, and what of the path was left there.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        let next = match (pattern.split_first(), path.split_first()) {
            (Some((b'*', after)), _) => {
                star = Some((after, path));
                Some((after, path))
            }
            (Some((b'?', after)), Some((_, rest))) => Some((after, rest)),
            (Some((b'\\', after)), Some((c, rest))) if !after.is_empty() => {
                after.split_first().filter(|(wanted, _)| *wanted == c).map(|(_, after)| (after, rest))
            }
            (Some((wanted, after)), Some((c, rest))) if wanted == c => Some((after, rest)),
            (None, None) => return true,
            _ => None,
        };
        (pattern, path) = match (next, star) {
            (Some(next), _) => next,
            (None, Some((after, at))) => match at.split_first() {
                Some((_, rest)) => {
                    star = Some((after, rest));
                    (after, rest)
                }
                None => return false,
            },
            (None, None) => return false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn patterns() {
        for (path, pattern, wanted) in [
            ("/usr/local", "/usr/local", true),
            ("/usr/local", "/usr", false),
            ("/usr/local/x", "/usr/*", true),
            ("/usr/local/x", "*x", true),
            ("/usr/local/x", "*local", false),
            ("/a", "/?", true),
            ("/", "/?", false),
            ("/*", "/\\*", true),
            ("/a", "/\\*", false),
            ("", "*", true),
            ("", "", true),
            ("aXbXc", "a*X*c", true),
        ] {
            assert_eq!(fits(path, pattern), wanted, "{path} {pattern}");
        }
        assert!(!fits(&"a".repeat(10_000), &"*a".repeat(1_000).replace("*a", "*aa*b")));
    }
}
