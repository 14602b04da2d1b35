//! What is recorded of a container: JSON, and the event around it (os-state 6.5).

use super::ids::{ContainerId, Runtime};
use scapkit_format::schema::id::ASYNCEVENT_E;
use serde_json::{Map, Value, json};

/// Longest text of a record. Engines' own have a few KiB.
const MAX_TEXT: usize = 256 << 10;

/// Something to record of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its short id.
    pub id: String,
    /// Whether it is there; else it was removed.
    pub exists: bool,
    /// `{"container":{...}}`. Another one of the same id replaces all that was said before.
    pub json: String,
}

impl Known {
    /// What the path alone tells. Containers without an engine that could be asked are named by their id.
    pub(super) fn bare(of: &ContainerId, exists: bool) -> Known {
        let mut record = json!({"type": of.runtime as u16, "id": of.id, "full_id": of.full_id});
        if of.is_engineless() {
            record["name"] = json!(of.full_id);
        }
        if of.runtime == Runtime::Nspawn {
            record["labels"] = json!({"runtime": "systemd-nspawn"});
        }
        Known { id: of.id.clone(), exists, json: json!({ "container": record }).to_string() }
    }

    /// What an engine told; without the parts that can be large if it is too much. `None` if it still is.
    pub(super) fn told(id: &str, mut record: Map<String, Value>) -> Option<Known> {
        let known = |record: &Map<String, Value>| {
            let json = json!({ "container": record }).to_string();
            (json.len() <= MAX_TEXT).then(|| Known { id: id.to_owned(), exists: true, json })
        };
        known(&record).or_else(|| {
            for key in ["labels", "Mounts", "env", "port_mappings"] {
                record.remove(key);
            }
            known(&record)
        })
    }

    /// The event that records it, an ASYNCEVENT of no plugin and no thread, in V2 form as a
    /// [`Source`](crate::Source) gives them: `ts` in ns since the epoch.
    pub fn event(&self, ts: u64) -> Vec<u8> {
        let name: &[u8] = if self.exists { b"container\0" } else { b"container_removed\0" };
        let mut text = self.json.clone().into_bytes();
        text.push(0);
        let params: [&[u8]; 3] = [&0u32.to_le_bytes(), name, &text];
        // Texts are at most `MAX_TEXT` long, so that no length is cut here.
        #[allow(clippy::cast_possible_truncation)]
        let lengths = params.map(|p| p.len() as u32);
        let head = 26 + 4 * 3;
        let mut event = Vec::new();
        event.extend_from_slice(&ts.to_le_bytes());
        event.extend_from_slice(&(-1i64).to_le_bytes());
        event.extend_from_slice(&(head + lengths.iter().sum::<u32>()).to_le_bytes());
        event.extend_from_slice(&ASYNCEVENT_E.to_le_bytes());
        event.extend_from_slice(&3u32.to_le_bytes());
        for length in lengths {
            event.extend_from_slice(&length.to_le_bytes());
        }
        for param in params {
            event.extend_from_slice(param);
        }
        event
    }
}
