//! The machine: its boot time, processors, memory, name, and addresses (os-state section 3).

use super::netlink::{attributes, dump, route, word};
use super::{file, parse};
use rustix::time::{ClockId, clock_gettime};
use scapkit_format::MachineInfo;
use scapkit_format::lists::interfaces::Address;
use std::collections::HashMap;
use std::path::Path;

/// A clock in ns.
fn now(clock: ClockId) -> u64 {
    let t = clock_gettime(clock);
    let seconds = u64::try_from(t.tv_sec).unwrap_or(0).saturating_mul(1_000_000_000);
    seconds.saturating_add(u64::try_from(t.tv_nsec).unwrap_or(0))
}

/// Time since boot, ns: what the clock of events is built from.
pub fn since_boot() -> u64 {
    now(ClockId::Boottime)
}

/// Time of boot, ns since the epoch: the difference of the two clocks as the closest of a few readings have it.
pub fn boot_offset() -> u64 {
    let sample = |_| {
        let before = since_boot();
        let real = now(ClockId::Realtime);
        let spread = since_boot().saturating_sub(before);
        (spread, real.saturating_sub(before.saturating_add(spread / 2)))
    };
    (0..16).map(sample).min().map_or(0, |(_, offset)| offset)
}

/// Clock ticks of a second in `/proc`, as the kernel tells every program at its start. 100 where it cannot be read.
pub fn ticks_per_second() -> u64 {
    const AT_CLKTCK: u64 = 17;
    let text = std::fs::read("/proc/self/auxv").unwrap_or_default();
    let number = |bytes: &[u8]| bytes.first_chunk().map(|b| usize::from_ne_bytes(*b) as u64);
    let size = size_of::<usize>();
    let entry = text.chunks_exact(size.saturating_mul(2)).find(|pair| number(pair) == Some(AT_CLKTCK));
    entry.and_then(|pair| number(pair.get(size..)?)).filter(|ticks| *ticks != 0).unwrap_or(100)
}

/// Machine information; `boot` is written into it. What cannot be read is 0.
pub fn machine(proc: &Path, boot: u64) -> MachineInfo {
    let mut hostname = [0; 128];
    let name = std::env::var_os("SCAP_HOSTNAME").map(std::os::unix::ffi::OsStringExt::into_vec);
    let name = name.unwrap_or_else(|| std::fs::read("/proc/sys/kernel/hostname").unwrap_or_default());
    for (to, from) in hostname.iter_mut().take(127).zip(name.trim_ascii_end()) {
        *to = *from;
    }
    let online = std::fs::read("/sys/devices/system/cpu/online").unwrap_or_default();
    let cpus = Some(cpu_count(&online)).filter(|n| *n != 0);
    let cpus = cpus.or_else(|| std::thread::available_parallelism().ok().and_then(|n| u32::try_from(n.get()).ok()));
    let memory = std::fs::read("/proc/meminfo").unwrap_or_default();
    let total = parse::lines(&memory).find_map(|l| l.strip_prefix(b"MemTotal:"));
    let memory = total.and_then(|l| parse::number(l.trim_ascii())).unwrap_or(0).saturating_mul(1024);
    let max_pid = std::fs::read(proc.join("sys/kernel/pid_max")).ok().and_then(|t| parse::number(&t)).unwrap_or(0);
    MachineInfo {
        num_cpus: cpus.unwrap_or(0).into(),
        memory_size_bytes: memory.into(),
        max_pid: max_pid.into(),
        hostname,
        boot_ts_epoch: boot.into(),
        flags: 0.into(),
        reserved3: 0.into(),
        reserved4: 0.into(),
    }
}

/// The processors in a list like `0-3,8`.
pub fn cpu_count(list: &[u8]) -> u32 {
    let range = |part: &[u8]| {
        let mut ends = part.trim_ascii().splitn(2, |b| *b == b'-').map(parse::number);
        let first = ends.next()??;
        let last = ends.next().flatten().unwrap_or(first);
        u32::try_from(last.checked_sub(first)?.checked_add(1)?).ok()
    };
    list.split(|b| *b == b',').filter_map(range).fold(0, u32::saturating_add)
}

/// An address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// Name, with a label where an IPv4 address has one.
    pub name: Box<[u8]>,
    /// Address, netmask, broadcast address.
    pub address: Address,
}

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const IFLA_IFNAME: u16 = 3;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_BROADCAST: u16 = 4;

/// The addresses of our network namespace, IPv4 ones first.
pub fn interfaces(notes: &mut Vec<String>) -> Vec<InterfaceAddress> {
    let (mut names, mut found) = (HashMap::new(), Vec::new());
    let asked = (|| {
        // struct ifinfomsg and struct ifaddrmsg of any family; one socket for each, as a dump must be over
        // before the next may begin.
        dump(&route()?, RTM_GETLINK, &[0; 16], |kind, body| {
            let name = attributes(body, 16).find(|(a, _)| *a == IFLA_IFNAME);
            if let (RTM_NEWLINK, Some(index), Some((_, name))) = (kind, word(body, 4), name) {
                names.insert(index, Box::from(without_nul(name)));
            }
        })?;
        dump(&route()?, RTM_GETADDR, &[0; 8], |kind, body| {
            if kind == RTM_NEWADDR {
                found.extend(address_message(body, &names));
            }
        })
    })();
    if let Err(e) = asked {
        notes.push(format!("interfaces: {e}"));
    }
    found.sort_by_key(|i: &InterfaceAddress| matches!(i.address, Address::V6 { .. }));
    found
}

fn without_nul(text: &[u8]) -> &[u8] {
    text.strip_suffix(&[0]).unwrap_or(text)
}

/// Parses `struct ifaddrmsg`.
fn address_message(body: &[u8], names: &HashMap<u32, Box<[u8]>>) -> Option<InterfaceAddress> {
    let (family, prefix) = (i32::from(*body.first()?), *body.get(1)?);
    let attribute = |kind| attributes(body, 8).find(|(k, _)| *k == kind).map(|(_, value)| value);
    // On a link to one peer the address is the peer's and our own is the local one. As getifaddrs has it, what is
    // not our own stands where a broadcast address would.
    let own = attribute(IFA_LOCAL).or_else(|| attribute(IFA_ADDRESS))?;
    let other = attribute(IFA_BROADCAST).or_else(|| attribute(IFA_LOCAL).and(attribute(IFA_ADDRESS))).unwrap_or(&[]);
    let address = if family == libc::AF_INET {
        let address = *own.first_chunk()?;
        Address::V4 { address, netmask: netmask(prefix), broadcast: other.first_chunk().copied().unwrap_or_default() }
    } else if family == libc::AF_INET6 {
        let address = *own.first_chunk()?;
        Address::V6 { address, netmask: netmask(prefix), broadcast: other.first_chunk().copied().unwrap_or_default() }
    } else {
        return None;
    };
    let label = attribute(IFA_LABEL).map(without_nul).map(Box::from);
    let name = label.or_else(|| names.get(&word(body, 4)?).cloned())?;
    Some(InterfaceAddress { name, address })
}

/// The mask of that many bits.
fn netmask<const N: usize>(prefix: u8) -> [u8; N] {
    let mut mask = [0; N];
    for (byte, before) in mask.iter_mut().zip((0u32..).step_by(8)) {
        *byte = !0xffu8.checked_shr(u32::from(prefix).saturating_sub(before)).unwrap_or(0);
    }
    mask
}

/// Whether two paths lead to the same namespace.
pub fn same_namespace(one: &Path, other: &Path) -> bool {
    matches!((std::fs::read_link(one), std::fs::read_link(other)), (Ok(a), Ok(b)) if a == b)
}

/// Boot time of `/proc/stat`, for a check against [`boot_offset`]; ns since the epoch.
pub fn btime(proc: &Path) -> Option<u64> {
    let mut text = Vec::new();
    file::open(rustix::fs::CWD, proc.join("stat")).and_then(|fd| file::read_all(fd, 16 << 20, &mut text)).ok()?;
    parse::btime(&text)
}
