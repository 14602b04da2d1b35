//! Lists of every version: what is read without damage encodes to the bytes it was read from.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scapkit_format::{Block, BlockClass, BlockType, Content, DamageKind, Limits, encode};

/// The typed entries encoded anew; damage where one is broken.
fn reencode(content: &Content<'_>) -> Result<Option<Vec<u8>>, DamageKind> {
    let mut out = Vec::new();
    match content {
        Content::Threads(l) => {
            for t in l.clone() {
                t?.encode(l.version(), &mut out).expect("fits");
            }
        }
        Content::Fds(l) => {
            out.extend_from_slice(&l.tid.to_le_bytes());
            for fd in l.clone() {
                fd?.encode(l.version(), &mut out).expect("fits");
            }
        }
        Content::Interfaces(l) => {
            for i in l.clone() {
                i?.encode(l.version(), &mut out).expect("fits");
            }
        }
        Content::Users(l) => {
            for a in l.clone() {
                a?.encode(l.version(), &mut out).expect("fits");
            }
        }
        _ => return Ok(None),
    }
    Ok(Some(out))
}

fn check(block: &Block<'_>, limits: &Limits) {
    let content = Content::of(block, limits);
    let damage = content.list_damage();
    match reencode(&content) {
        Ok(Some(again)) => {
            assert!(damage.is_none());
            // What follows the last entry is padding: fewer than four bytes.
            let body = block.body();
            assert!(body.starts_with(&again) && body.len() - again.len() < 4, "{:?}", block.block_type);
        }
        Ok(None) => {}
        Err(kind) => {
            assert_eq!(damage, Some(kind));
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let limits = Limits { max_list_entries: 4096, ..Limits::default() };
    check(&Block::new(data, 0, 0), &limits);
    let body = data.get(8..data.len().saturating_sub(4)).unwrap_or_default();
    let own = Block::new(data, 0, 0).block_type.class();
    for block_type in BlockType::ALL {
        let class = block_type.class();
        // Of process lists only the versions near the one at hand, to stay fast.
        let near = match (own, class) {
            (BlockClass::Threads { version: a }, BlockClass::Threads { version: b }) => a.abs_diff(b) <= 1 || b == 9,
            _ => std::mem::discriminant(&own) == std::mem::discriminant(&class),
        };
        if near && class != own {
            let mut block = Vec::new();
            if encode::block(&mut block, *block_type, body).is_ok() {
                check(&Block::new(&block, 0, 0), &limits);
            }
        }
    }
});
