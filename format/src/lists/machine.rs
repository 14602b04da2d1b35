//! Machine information (scap-format section 2.1).

use crate::raw::MachineInfo;
use crate::{BlockType, DamageKind};
use zerocopy::{FromBytes, IntoBytes};

/// The machine information of a block's body. The format says exactly 180 bytes; bytes after them
/// are ignored, as the trailer was already found right.
///
/// # Errors
/// [`DamageKind::List`] when the body is shorter.
pub fn parse(body: &[u8]) -> Result<&MachineInfo, DamageKind> {
    MachineInfo::ref_from_prefix(body).map(|(m, _)| m).map_err(|_| DamageKind::List {
        list: "machine information",
        what: "size",
        entry: 0,
        wanted: 180,
        found: body.len() as u64,
    })
}

impl MachineInfo {
    /// The host name without its padding.
    pub fn host(&self) -> &[u8] {
        self.hostname.split(|b| *b == 0).next().unwrap_or_default()
    }

    /// Appends the whole block.
    pub fn encode(&self, out: &mut Vec<u8>) {
        // 180 bytes always fit.
        let _ = crate::encode::block(out, BlockType::MI, self.as_bytes());
    }
}
