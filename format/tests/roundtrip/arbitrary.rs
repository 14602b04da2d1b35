//! Captures of any versions with any contents. The structure is a list of parts, so that a failing
//! case shrinks to few of them; the contents of a part follow from its number.

use proptest::prelude::*;
use scapkit_format::EventHead;
use scapkit_format::lists::fds::{Fd, FdInfo, FdType};
use scapkit_format::lists::interfaces::{Address, Interface};
use scapkit_format::lists::threads::{Tail, Thread};
use scapkit_format::lists::users::Account;
use scapkit_format::schema::{self, id};
use scapkit_format::synth::{Params, Synth};

/// A block in the making.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    kind: u8,
    seed: u64,
}

impl Arbitrary for Part {
    type Parameters = ();
    type Strategy = BoxedStrategy<Part>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        (0u8..20, any::<u64>()).prop_map(|(kind, seed)| Part { kind, seed }).boxed()
    }
}

/// Parts with all lists of a section before its events.
pub fn parts(max: usize) -> impl Strategy<Value = Vec<Part>> {
    prop::collection::vec(any::<Part>(), 1..max).prop_map(|mut parts| {
        parts.retain(|p| p.kind != 0);
        parts.sort_by_key(|p| p.kind);
        parts
    })
}

/// What a reader must find.
#[derive(Debug)]
pub enum Wanted {
    Section,
    Machine,
    /// A list with this many entries.
    List(usize),
    Event(EventHead, Vec<Vec<u8>>),
}

/// Numbers that follow from a seed.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// One of the extremes, or anything.
    fn word(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => self.below(300),
            _ => self.next(),
        }
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        let fill = self.next();
        (0..len).map(|i| if fill % 3 == 0 { b'a' } else { (self.next() >> 7) as u8 ^ i as u8 }).collect()
    }

    fn text(&mut self) -> Vec<u8> {
        let len = match self.below(20) {
            0 => 65_535,
            1 => 5_000,
            2..6 => 0,
            _ => self.below(40),
        };
        self.bytes(len)
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.bytes(N as u64).try_into().unwrap()
    }
}

/// A section header and the parts after it.
pub fn build(parts: &[Part]) -> (Vec<u8>, Vec<Wanted>) {
    let mut s = Synth::new();
    s.section();
    let mut wanted = vec![Wanted::Section];
    for part in parts {
        let mut n = Numbers(part.seed);
        wanted.push(match part.kind {
            0 => {
                let (minor, options) = (n.below(3) as u16, n.below(3) * 4);
                s.section_of(0x1A2B_3C4D, 1, minor, &vec![0; options as usize]);
                Wanted::Section
            }
            1 => {
                s.machine("host", n.word() as u32, n.word());
                Wanted::Machine
            }
            2 | 3 => threads(&mut s, &mut n),
            4 => fds(&mut s, &mut n),
            5 => interfaces(&mut s, &mut n),
            6 => users(&mut s, &mut n),
            7..10 => event_v1(&mut s, &mut n),
            _ => event(&mut s, &mut n),
        });
    }
    (s.finish(), wanted)
}

/// Sizes that the part after `root` can have.
const TAILS: [Tail; 15] = [
    Tail::Old(0),
    Tail::Old(4),
    Tail::Old(5),
    Tail::Old(13),
    Tail::Old(21),
    Tail::Old(29),
    Tail::New(33),
    Tail::New(41),
    Tail::New(42),
    Tail::New(50),
    Tail::New(58),
    Tail::New(66),
    Tail::New(67),
    Tail::New(68),
    Tail::New(76),
];

fn threads(s: &mut Synth, n: &mut Numbers) -> Wanted {
    let (version, entries) = (1 + n.below(9) as u8, n.below(4));
    let strings: Vec<[Vec<u8>; 8]> = (0..entries).map(|_| std::array::from_fn(|_| n.text())).collect();
    let extra = n.bytes(9);
    let list: Vec<Thread<'_>> = strings
        .iter()
        .map(|[comm, exe, exepath, args, cwd, env, cgroups, root]| {
            let tail = TAILS[n.below(15) as usize];
            Thread {
                tid: n.word() as i64,
                pid: n.word() as i64,
                ptid: n.word() as i64,
                sid: n.word() as i64,
                vpgid: n.word() as i64,
                comm,
                exe,
                exepath,
                args,
                cwd,
                fdlimit: n.word() as i64,
                flags: n.word() as u32,
                uid: n.word() as u32,
                gid: n.word() as u32,
                vmsize_kb: n.word() as u32,
                vmrss_kb: n.word() as u32,
                vmswap_kb: n.word() as u32,
                pfmajor: n.word(),
                pfminor: n.word(),
                env,
                vtid: n.word() as i64,
                vpid: n.word() as i64,
                cgroups,
                root,
                pidns_init_start_ts: n.word(),
                tty: n.word() as u32,
                loginuid: n.word() as u32,
                exe_writable: n.word() as u8,
                cap_inheritable: n.word(),
                cap_permitted: n.word(),
                cap_effective: n.word(),
                exe_upper_layer: n.word() as u8,
                exe_ino: n.word(),
                exe_ino_ctime: n.word(),
                exe_ino_mtime: n.word(),
                exe_from_memfd: n.word() as u8,
                exe_lower_layer: n.word() as u8,
                pgid: n.word() as i64,
                tail,
                extra: if tail == Tail::NEW { &extra[..n.below(10) as usize] } else { &[] },
            }
        })
        .collect();
    s.threads(version, &list);
    Wanted::List(list.len())
}

fn fds(s: &mut Synth, n: &mut Numbers) -> Wanted {
    let (version, entries) = (1 + n.below(2) as u8, n.below(6));
    let strings: Vec<Vec<u8>> = (0..entries).map(|_| n.text()).collect();
    let extra = n.bytes(5);
    let list: Vec<Fd<'_>> = strings
        .iter()
        .map(|name| {
            // Types beyond the known ones only where they can be stepped over.
            let kind = FdType(n.below(if version == 1 { 22 } else { 40 }) as u8);
            let (mut port, l4) = (n.word() as u16, n.below(6) as u8);
            port ^= 1;
            let info = match kind.0 {
                3 => FdInfo::Ipv4 { sip: n.array(), dip: n.array(), sport: port, dport: n.word() as u16, l4 },
                4 => FdInfo::Ipv6 { sip: n.array(), dip: n.array(), sport: port, dport: n.word() as u16, l4 },
                5 => FdInfo::Ipv4Server { ip: n.array(), port, l4 },
                6 => FdInfo::Ipv6Server { ip: n.array(), port, l4 },
                8 => FdInfo::Unix { source: n.word(), destination: n.word(), name },
                16 => {
                    let dev = (version == 2).then(|| n.word() as u32);
                    FdInfo::File { open_flags: n.word() as u32, name, dev }
                }
                1..=21 => FdInfo::Name(name),
                _ => FdInfo::None,
            };
            let extra = if version == 2 { &extra[..n.below(6) as usize] } else { &[] };
            Fd { fd: n.word() as i64, ino: n.word(), kind, info, extra }
        })
        .collect();
    s.fds(version, n.word() as i64, &list);
    Wanted::List(list.len())
}

fn interfaces(s: &mut Synth, n: &mut Numbers) -> Wanted {
    let (version, entries) = (1 + n.below(2) as u8, n.below(5));
    let strings: Vec<Vec<u8>> = (0..entries).map(|_| n.text()).collect();
    let extra = n.bytes(5);
    let list: Vec<Interface<'_>> = strings
        .iter()
        .map(|name| Interface {
            address: if n.below(2) == 0 {
                Address::V4 { address: n.array(), netmask: n.array(), broadcast: n.array() }
            } else {
                Address::V6 { address: n.array(), netmask: n.array(), broadcast: n.array() }
            },
            linkspeed: (n.below(2) == 0).then(|| n.word()),
            name,
            extra: if version == 2 { &extra[..n.below(6) as usize] } else { &[] },
        })
        .collect();
    s.interfaces(version, &list);
    Wanted::List(list.len())
}

fn users(s: &mut Synth, n: &mut Numbers) -> Wanted {
    let (version, entries) = (1 + n.below(2) as u8, n.below(5));
    let strings: Vec<[Vec<u8>; 3]> = (0..entries).map(|_| std::array::from_fn(|_| n.text())).collect();
    let extra = n.bytes(5);
    let list: Vec<Account<'_>> = strings
        .iter()
        .map(|[name, home, shell]| {
            let (uid, gid) = (n.word() as u32, n.word() as u32);
            let extra = if version == 2 { &extra[..n.below(6) as usize] } else { &[] };
            match n.below(3) as u8 {
                0 => Account::User { uid, gid, name, home, shell, extra },
                kind => Account::Group { kind, gid, name, extra },
            }
        })
        .collect();
    s.users(version, &list);
    Wanted::List(list.len())
}

fn head(n: &mut Numbers, event_type: u16, flagged: bool) -> EventHead {
    // Bit 2 is for memory only.
    let flags = if flagged { n.word() as u32 & !4 } else { 0 };
    EventHead { ts: n.word(), tid: n.word() as i64, cpu: n.word() as u16, event_type, flags }
}

/// Of the types that there are, seldom of a newer one, with any number of parameters of any size.
fn event(s: &mut Synth, n: &mut Numbers) -> Wanted {
    let event_type = match n.below(12) {
        0 => [id::PLUGINEVENT_E, id::CONTAINER_JSON_2_E, id::ASYNCEVENT_E][n.below(3) as usize],
        1 => n.below(65_536) as u16,
        _ => n.below(454) as u16,
    };
    let info = schema::event_info(event_type);
    let large = info.is_some_and(|i| i.flags.is_large());
    let count = if n.below(3) == 0 { n.below(33) } else { info.map_or(0, |i| i.params.len() as u64) };
    let mut left: u64 = if large { 300_000 } else { 60_000 };
    let params: Vec<Vec<u8>> = (0..count)
        .map(|_| {
            let len = match n.below(12) {
                0 => n.below(left + 1),
                1..4 => 0,
                4..8 => 8,
                _ => n.below(100),
            };
            left -= len.min(left);
            n.bytes(len)
        })
        .collect();
    let flagged = n.below(4) == 0;
    let head = head(n, event_type, flagged);
    s.event_of(head, &params.iter().fold(Params::new(), |all, p| all.bytes(p)));
    Wanted::Event(head, params)
}

/// Without a parameter count: as many as the table has, so that the count can be told.
fn event_v1(s: &mut Synth, n: &mut Numbers) -> Wanted {
    let event_type = n.below(454) as u16;
    // Old writers stored a length that is 3 too large for these.
    let event_type = if matches!(event_type, id::NOTIFICATION_E | id::INFRASTRUCTURE_EVENT_E) { 5 } else { event_type };
    let count = schema::event_info(event_type).map_or(0, |i| i.params.len());
    let params: Vec<Vec<u8>> = (0..count)
        .map(|_| {
            let len = n.below(60);
            n.bytes(len)
        })
        .collect();
    let flagged = n.below(4) == 0;
    let head = head(n, event_type, flagged);
    s.event_v1(head, flagged, &params.iter().fold(Params::new(), |all, p| all.bytes(p)));
    Wanted::Event(head, params)
}
