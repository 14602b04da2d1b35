//! Users and groups, versions 1 and 2 (scap-format section 2.5).

use super::{Entries, put_declared, put_string};
use crate::cursor::Cursor;
use crate::{DamageKind, Limits, Result};

/// A user or a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Account<'a> {
    User {
        uid: u32,
        gid: u32,
        name: &'a [u8],
        home: &'a [u8],
        shell: &'a [u8],
        extra: &'a [u8],
    },
    /// `kind` is 1; other values but 0 mean the same.
    Group {
        kind: u8,
        gid: u32,
        name: &'a [u8],
        extra: &'a [u8],
    },
}

impl<'a> Account<'a> {
    fn parse(c: &mut Cursor<'a>) -> Option<Self> {
        Some(match c.u8()? {
            0 => Account::User {
                uid: c.u32()?,
                gid: c.u32()?,
                name: c.string()?,
                home: c.string()?,
                shell: c.string()?,
                extra: &[],
            },
            kind => Account::Group { kind, gid: c.u32()?, name: c.string()?, extra: &[] },
        })
    }

    /// Appends the entry as a list of `version` stores it.
    ///
    /// # Errors
    /// [`crate::Error::TooLarge`] when a string is longer than 65,535 bytes.
    pub fn encode(&self, version: u8, out: &mut Vec<u8>) -> Result<()> {
        let fill = |out: &mut Vec<u8>| {
            let extra = match self {
                Account::User { uid, gid, name, home, shell, extra } => {
                    out.push(0);
                    out.extend_from_slice(&uid.to_le_bytes());
                    out.extend_from_slice(&gid.to_le_bytes());
                    put_string(out, "user name", name)?;
                    put_string(out, "home directory", home)?;
                    put_string(out, "shell", shell)?;
                    extra
                }
                Account::Group { kind, gid, name, extra } => {
                    out.push(*kind);
                    out.extend_from_slice(&gid.to_le_bytes());
                    put_string(out, "group name", name)?;
                    extra
                }
            };
            if version >= 2 {
                out.extend_from_slice(extra);
            }
            Ok(())
        };
        if version < 2 { fill(out) } else { put_declared(out, true, fill) }
    }
}

/// The users and groups of a user list block.
#[derive(Debug, Clone)]
pub struct Users<'a> {
    entries: Entries<'a>,
    version: u8,
}

impl<'a> Users<'a> {
    /// The list in `body` (padding included), laid out as `version` says.
    pub fn new(body: &'a [u8], version: u8, limits: &Limits) -> Self {
        Users { entries: Entries::new("user list", body, limits), version }
    }

    /// Layout version, 1 or 2.
    pub fn version(&self) -> u8 {
        self.version
    }

    fn entry(&mut self) -> Result<Account<'a>, DamageKind> {
        let mut c = if self.version >= 2 { self.entries.declared(true)? } else { self.entries.body };
        let Some(mut account) = Account::parse(&mut c) else {
            return Err(self.entries.bad("size", 7, c.remaining() as u64));
        };
        if self.version >= 2 {
            let (Account::User { extra, .. } | Account::Group { extra, .. }) = &mut account;
            *extra = c.rest();
        } else {
            self.entries.body = c;
        }
        Ok(account)
    }
}

impl<'a> Iterator for Users<'a> {
    type Item = Result<Account<'a>, DamageKind>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entries.more()?.and_then(|()| self.entry());
        self.entries.entry = self.entries.entry.saturating_add(1);
        Some(entry)
    }
}
