//! Raw system calls: the event of a call's number, and its parameters from six registers.
//!
//! A raw message has a number, six arguments and a result, and nothing of the memory that arguments point to. What
//! registers hold is made into parameters as drivers do (driver-events section 2.3, in [`rows`]). What drivers read
//! elsewhere is empty: paths, addresses, data and structures in the process's memory, although some of them, such as
//! the descriptors of `pipe` or the flags of `openat2` and `clone3`, look like arguments; and what only the kernel
//! knows, such as the inode of an opened file, or the ids of a clone's child. A pointer that is NULL says what drivers
//! say of it. Of failed calls, what drivers give in place of a result is known too.
//!
//! [`points`] says which calls have a message of their own, which tells more.

mod points;
mod rows;

use super::params::Params;
pub use points::{arch_of, schematized};
use rows::Source;
use scapkit_format::schema::{self, NativeSyscall, id};

/// The processor of a sandbox, which decides the numbers of system calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Arch {
    /// Of Intel and AMD, 64 bits.
    #[default]
    X86_64,
    /// Of Arm, 64 bits.
    Aarch64,
}

impl Arch {
    /// The call of that number.
    pub fn native(self, number: u64) -> Option<&'static NativeSyscall> {
        let number = u16::try_from(number).ok()?;
        match self {
            Arch::X86_64 => schema::native_x86_64(number),
            Arch::Aarch64 => schema::native_aarch64(number),
        }
    }
}

/// A call that has ended.
struct Call<'a> {
    arch: Arch,
    args: &'a [u64; 6],
    /// What it returned, or the negative error.
    res: i64,
}

impl Call<'_> {
    fn arg(&self, n: usize) -> u64 {
        self.args.get(n).copied().unwrap_or_default()
    }

    /// The low half of an argument.
    fn low(&self, n: usize) -> u32 {
        low(self.arg(n))
    }

    /// An argument that is a number of 32 bits with a sign: a descriptor, a process.
    fn int(&self, n: usize) -> i64 {
        self.low(n).cast_signed().into()
    }

    /// Whether an argument that is a pointer points nowhere.
    fn null(&self, n: usize) -> bool {
        self.arg(n) == 0
    }

    fn failed(&self) -> bool {
        self.res < 0
    }
}

fn low(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).unwrap_or_default()
}

/// Fills `params`, which are cleared first, with those of the exit event of call `number`, and gives the event's type.
/// `res` is what the call returned, or the negative error.
///
/// A call without an event of its own gives a generic one, also when the table does not know its number. `None` when
/// the number is none that an event can hold.
pub fn call(arch: Arch, number: u64, args: &[u64; 6], res: i64, params: &mut Params) -> Option<u16> {
    params.clear();
    let native = arch.native(number);
    let own = native.and_then(|n| Some((schema::event_info(n.exit)?, rows::of(n.exit)?)));
    if let Some((info, row)) = own {
        let call = Call { arch, args, res };
        for (source, param) in row.iter().zip(info.params) {
            source.put(&call, param.kind.fixed_size(), params);
        }
        return Some(info.id);
    }
    let number = u16::try_from(number).ok()?;
    params.u16(native.map_or(0, |n| n.code)).u16(number);
    Some(id::GENERIC_X)
}

impl Source {
    /// Adds the parameter of a call. `width`: bytes of a number; `None` for what has no fixed size, where only
    /// [`Source::Other`] gives something.
    fn put(&self, call: &Call, width: Option<usize>, params: &mut Params) {
        let value = match *self {
            Source::Other(put) => {
                put(call, params);
                return;
            }
            Source::Empty => None,
            Source::Res => Some(call.res),
            Source::ResInt => Some(low(call.res.cast_unsigned()).cast_signed().into()),
            Source::Passed => Some(call.res.max(0)),
            Source::Arg(n) => Some(call.arg(n).cast_signed()),
            Source::Int(n) => Some(call.int(n)),
            Source::Low(n) => Some(call.low(n).into()),
            Source::Is(value) => Some(value),
            Source::At(n, null) => call.null(n).then_some(null),
            Source::Failed(value) => call.failed().then_some(value),
            Source::Flags8(map, n) => Some(map(call.low(n)).into()),
            Source::Flags16(map, n) => Some(map(call.low(n)).into()),
            Source::Flags32(map, n) => Some(map(call.low(n)).into()),
            Source::FlagsOf(map, n) => Some(map(call.arch, call.low(n)).into()),
            Source::Number(of) => of(call),
        };
        let bytes = value.unwrap_or_default().to_le_bytes();
        let kept = width.filter(|_| value.is_some()).and_then(|width| bytes.get(..width));
        params.bytes(kept.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests;
