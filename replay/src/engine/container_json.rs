//! What container events say (os-state 6.5): JSON from strangers.
//!
//! Only what fields show is kept. A value of a type that was not expected reads as absent, where
//! upstream loses the whole event.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Longest text that is read. Real ones have a few KiB.
const MAX_JSON: usize = 16 << 20;
/// Most mounts that are kept, and most labels.
const MAX_ITEMS: usize = 4096;

/// What is known of a container. Strings are empty where nothing is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, clippy::struct_excessive_bools)] // the events' own names
pub struct Container {
    /// As threads have it: usually the first 12 characters.
    pub id: String,
    pub full_id: String,
    /// Number of its runtime, see [`Container::type_name`]; `None` when not told.
    pub kind: Option<u16>,
    pub name: String,
    pub image: String,
    pub image_id: String,
    pub image_repository: String,
    pub image_tag: String,
    pub image_digest: String,
    /// Who its processes are, as the runtime was told: a name or a number.
    pub user: String,
    pub ip: String,
    pub cni_json: String,
    pub privileged: bool,
    pub host_pid: bool,
    pub host_network: bool,
    pub host_ipc: bool,
    pub mounts: Vec<Mount>,
    /// Sorted by name.
    pub labels: Labels,
    /// In full.
    pub pod_sandbox_id: String,
    /// Sorted by name.
    pub pod_sandbox_labels: Labels,
    /// The event's own text; empty for a container that no event told of.
    pub json: Box<[u8]>,
}

/// A directory of the machine inside a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Mount {
    pub source: String,
    pub destination: String,
    pub mode: String,
    pub writable: bool,
    pub propagation: String,
}

/// Names and values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(Vec<(String, String)>);

impl Labels {
    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(n, _)| n.as_str().cmp(name)).ok()?;
        self.0.get(at).map(|(_, value)| value.as_str())
    }

    /// All of them, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Numbers of the runtimes that have a name.
pub(super) const LXC: u16 = 1;
pub(super) const LIBVIRT_LXC: u16 = 2;
pub(super) const BPM: u16 = 9;
const HOST: u16 = 0xFFFE;
/// Names by number; those without show nothing.
const TYPES: [&str; 12] =
    ["docker", "lxc", "libvirt-lxc", "mesos", "rkt", "", "cri", "containerd", "cri-o", "bpm", "", "podman"];

impl Container {
    /// What stands for threads of no container.
    pub(super) fn host() -> Container {
        let host = || "host".to_owned();
        Container { id: host(), full_id: host(), name: host(), kind: Some(HOST), ..Container::default() }
    }

    /// Name of its runtime; empty when it is unknown.
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            Some(HOST) => "host",
            Some(n) => TYPES.get(usize::from(n)).copied().unwrap_or_default(),
            None => "",
        }
    }

    /// Rough bytes of memory that it takes.
    pub(super) fn cost(&self) -> usize {
        let labels = |l: &Labels| {
            let one = |(n, v): &(String, String)| n.capacity().saturating_add(v.capacity()).saturating_add(48);
            l.0.iter().map(one).fold(0usize, usize::saturating_add)
        };
        let strings = [
            &self.id,
            &self.full_id,
            &self.name,
            &self.image,
            &self.image_id,
            &self.image_repository,
            &self.image_tag,
            &self.image_digest,
            &self.user,
            &self.ip,
            &self.cni_json,
            &self.pod_sandbox_id,
        ];
        let mounts = self.mounts.iter().flat_map(|m| [&m.source, &m.destination, &m.mode, &m.propagation]);
        let text = strings.into_iter().chain(mounts).fold(0usize, |sum, s| sum.saturating_add(s.capacity()));
        size_of::<Container>()
            .saturating_add(128)
            .saturating_add(text)
            .saturating_add(self.mounts.len().saturating_mul(size_of::<Mount>()))
            .saturating_add(labels(&self.labels))
            .saturating_add(labels(&self.pod_sandbox_labels))
            .saturating_add(self.json.len())
    }
}

/// Reads an event's text, up to its NUL: an object around the container's, or (old events) the
/// container's own. `None` when it is no JSON, is too long or names no container.
pub(super) fn parse(text: &[u8]) -> Option<Container> {
    let text = text.split(|b| *b == 0).next().unwrap_or_default();
    if text.len() > MAX_JSON {
        return None;
    }
    let Outer(mut container) = serde_json::from_slice(text).ok()?;
    if container.id.is_empty() {
        return None;
    }
    container.json = text.into();
    Some(container)
}

/// The whole text.
struct Outer(Container);
/// The value of the key `container`; `None` when it is no object.
struct Inner(Option<Container>);
/// The value of another key.
enum Scalar {
    Other,
    Bool(bool),
    Number(u64),
    Text(String),
}
struct Mounts(Vec<Mount>);

impl Scalar {
    fn text(self) -> String {
        match self {
            Scalar::Text(text) => text,
            _ => String::new(),
        }
    }

    fn is_true(&self) -> bool {
        matches!(self, Scalar::Bool(true))
    }
}

/// Reads an object's entries into a container; `wrapped` is where the object around one goes.
fn entries<'de, A: MapAccess<'de>>(mut map: A, mut wrapped: Option<&mut Inner>) -> Result<Container, A::Error> {
    let mut c = Container::default();
    while let Some(key) = map.next_key::<String>()? {
        let text = match &*key {
            "id" => &mut c.id,
            "full_id" => &mut c.full_id,
            "name" => &mut c.name,
            "image" => &mut c.image,
            "imageid" => &mut c.image_id,
            "imagerepo" => &mut c.image_repository,
            "imagetag" => &mut c.image_tag,
            "imagedigest" => &mut c.image_digest,
            "User" => &mut c.user,
            "ip" => &mut c.ip,
            "cni_json" => &mut c.cni_json,
            "pod_sandbox_id" => &mut c.pod_sandbox_id,
            other => {
                match other {
                    "privileged" => c.privileged = map.next_value::<Scalar>()?.is_true(),
                    "host_pid" => c.host_pid = map.next_value::<Scalar>()?.is_true(),
                    "host_network" => c.host_network = map.next_value::<Scalar>()?.is_true(),
                    "host_ipc" => c.host_ipc = map.next_value::<Scalar>()?.is_true(),
                    "Mounts" => c.mounts = map.next_value::<Mounts>()?.0,
                    "labels" => c.labels = map.next_value()?,
                    "pod_sandbox_labels" => c.pod_sandbox_labels = map.next_value()?,
                    "type" => {
                        c.kind = match map.next_value()? {
                            Scalar::Number(n) => u16::try_from(n).ok(),
                            _ => None,
                        }
                    }
                    "container" => match &mut wrapped {
                        Some(inner) => **inner = map.next_value()?,
                        None => drop(map.next_value::<IgnoredAny>()?),
                    },
                    _ => drop(map.next_value::<IgnoredAny>()?),
                }
                continue;
            }
        };
        *text = map.next_value::<Scalar>()?.text();
    }
    Ok(c)
}

fn skip_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

fn skip_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Visits values of which only some types are of use; `$none` is what all others give.
macro_rules! visitor {
    ($name:ident, $value:ty, $none:expr, { $($method:item)* }, $($other:ident),*) => {
        struct $name;

        impl<'de> Visitor<'de> for $name {
            type Value = $value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON")
            }

            $($method)*
            $(visitor!(@$other $none);)*
        }

        impl<'de> Deserialize<'de> for $value {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any($name)
            }
        }
    };
    (@bool $none:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($none)
        }
    };
    (@u64 $none:expr) => {
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($none)
        }
    };
    (@i64 $none:expr) => {
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($none)
        }
    };
    (@f64 $none:expr) => {
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($none)
        }
    };
    (@str $none:expr) => {
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($none)
        }
    };
    (@unit $none:expr) => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($none)
        }
    };
    (@seq $none:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
            skip_seq(seq)?;
            Ok($none)
        }
    };
    (@map $none:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            skip_map(map)?;
            Ok($none)
        }
    };
}

visitor!(
    OuterVisitor,
    Outer,
    Outer(Container::default()),
    {
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Outer, A::Error> {
            let mut inner = Inner(None);
            let flat = entries(map, Some(&mut inner))?;
            Ok(Outer(inner.0.unwrap_or(flat)))
        }
    },
    bool,
    u64,
    i64,
    f64,
    str,
    unit,
    seq
);

visitor!(
    InnerVisitor,
    Inner,
    Inner(None),
    {
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Inner, A::Error> {
            Ok(Inner(Some(entries(map, None)?)))
        }
    },
    bool,
    u64,
    i64,
    f64,
    str,
    unit,
    seq
);

visitor!(
    ScalarVisitor,
    Scalar,
    Scalar::Other,
    {
        fn visit_bool<E>(self, b: bool) -> Result<Scalar, E> {
            Ok(Scalar::Bool(b))
        }

        fn visit_u64<E>(self, n: u64) -> Result<Scalar, E> {
            Ok(Scalar::Number(n))
        }

        fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
            Ok(Scalar::Text(text.to_owned()))
        }

        fn visit_string<E>(self, text: String) -> Result<Scalar, E> {
            Ok(Scalar::Text(text))
        }
    },
    i64,
    f64,
    unit,
    seq,
    map
);

visitor!(
    LabelsVisitor,
    Labels,
    Labels::default(),
    {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
            let mut labels = Vec::new();
            while let Some(name) = map.next_key::<String>()? {
                match map.next_value()? {
                    Scalar::Text(value) if labels.len() < MAX_ITEMS => labels.push((name, value)),
                    _ => {}
                }
            }
            // The last of several of the same name counts: it is the first after turning the list round.
            labels.reverse();
            labels.sort_by(|(a, _), (b, _)| a.cmp(b));
            labels.dedup_by(|later, first| later.0 == first.0);
            Ok(Labels(labels))
        }
    },
    bool,
    u64,
    i64,
    f64,
    str,
    unit,
    seq
);

visitor!(
    MountsVisitor,
    Mounts,
    Mounts(Vec::new()),
    {
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Mounts, A::Error> {
            let mut mounts = Vec::new();
            while mounts.len() < MAX_ITEMS {
                match seq.next_element::<Mount>()? {
                    Some(mount) => mounts.push(mount),
                    None => return Ok(Mounts(mounts)),
                }
            }
            skip_seq(seq)?;
            Ok(Mounts(mounts))
        }
    },
    bool,
    u64,
    i64,
    f64,
    str,
    unit,
    map
);

visitor!(
    MountVisitor,
    Mount,
    Mount::default(),
    {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Mount, A::Error> {
            let mut mount = Mount::default();
            while let Some(key) = map.next_key::<String>()? {
                let value: Scalar = map.next_value()?;
                match &*key {
                    "Source" => mount.source = value.text(),
                    "Destination" => mount.destination = value.text(),
                    "Mode" => mount.mode = value.text(),
                    "RW" => mount.writable = value.is_true(),
                    "Propagation" => mount.propagation = value.text(),
                    _ => {}
                }
            }
            Ok(mount)
        }
    },
    bool,
    u64,
    i64,
    f64,
    str,
    unit,
    seq
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_events_say() {
        let c = parse(
            br#"{"container":{"id":"abc","type":7,"full_id":"abcdef","name":"web","image":"nginx:1","imagerepo":"nginx",
            "imagetag":"1","privileged":true,"host_pid":0,"labels":{"b":"2","a":"1","n":3,"b":"4"},"pod_sandbox_labels":null,
            "Mounts":[{"Source":"/a","Destination":"/b","RW":true},7,{}],"env":[{}],"User":"www","ip":"10.0.0.2"}}"#,
        )
        .unwrap();
        assert_eq!(
            (&*c.id, &*c.name, c.type_name(), c.privileged, c.host_pid),
            ("abc", "web", "containerd", true, false)
        );
        assert_eq!(c.labels.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "4")]);
        assert_eq!(c.mounts.len(), 3);
        assert_eq!((&*c.mounts[0].source, c.mounts[0].writable), ("/a", true));
        assert_eq!(c.labels.get("b"), Some("4"));
        assert_eq!(c.labels.get("c"), None);
        assert_eq!(parse(b"{\"id\":\"abc\",\"type\":5}\0junk").unwrap().type_name(), "");
        assert_eq!(parse(br#"{"id":"x","container":{"id":"y"},"name":"z"}"#).unwrap().id, "y");
        assert_eq!(parse(br#"{"id":"x","container":null}"#).unwrap().id, "x");
        assert_eq!(parse(br#"{"container":{"id":"y","container":{"id":"z"}}}"#).unwrap().id, "y");
    }

    #[test]
    fn what_is_no_container() {
        for text in [
            &b""[..],
            b"\0",
            b"{",
            b"[]",
            b"7",
            b"null",
            b"{\"id\":\"\xff\"}",
            b"{}",
            br#"{"id":7}"#,
            b"{\"id\":\"x\"} x",
        ] {
            assert_eq!(parse(text), None, "{}", String::from_utf8_lossy(text));
        }
        let deep = format!("{}{}", "{\"container\":".repeat(100_000), "}".repeat(100_000));
        assert_eq!(parse(deep.as_bytes()), None);
        let deep = format!("{{\"id\":\"x\",\"Mounts\":{}{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        let _ = parse(deep.as_bytes());
        assert_eq!(parse(format!("{{\"id\":\"{}\"}}", "x".repeat(MAX_JSON)).as_bytes()), None);
    }

    proptest::proptest! {
        /// Junk made of the pieces of real ones.
        #[test]
        fn any_text(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..40), junk: Vec<u8>) {
            let _ = parse(pieces.concat().as_bytes());
            let _ = parse(&junk);
            let value = format!("{{\"container\":{{\"id\":\"x\",\"{}\":{}}}}}", pieces.first().unwrap_or(&""), pieces.concat());
            let _ = parse(value.as_bytes());
        }
    }

    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"id\"",
        "\"container\"",
        "\"labels\"",
        "Mounts",
        "\"x\"",
        "1",
        "-1",
        "1e999",
        "null",
        "true",
        "\"\\ud800\"",
        "{\"id\":\"x\"}",
        "[{\"Source\":1}]",
        "\0",
    ];
}
