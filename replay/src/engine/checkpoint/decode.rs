//! What the engine knew, read. Nothing in it is trusted; see the module above.

use super::super::container_json::{self, Container};
use super::super::containers::Containers;
use super::super::family::{FamilyWork, RING, RecentExits};
use super::super::fd::FdKind;
use super::super::lists::{Listed as InLists, kind_of};
use super::super::pool::Pool;
use super::super::table::{Enter, FD_COST, FdTable, Group as ThreadGroup, NONE, Slot, THREAD_COST, Table};
use super::super::users::{self, Group, Interfaces, Listed, MAX_INTERFACES, User, Users};
use super::super::{Engine, Fd, Socket, Thread, bind};
use super::CheckpointError;
use super::code::In;
use scapkit_format::MachineInfo;
use scapkit_format::lists::fds::FdType;
use scapkit_format::lists::interfaces::Address;
use std::collections::BTreeMap;
use std::sync::Arc;
use zerocopy::FromBytes;

type Result<T> = std::result::Result<T, CheckpointError>;

fn invalid<T>(what: &'static str) -> Result<T> {
    Err(CheckpointError::Invalid(what))
}

fn take(pool: &mut Pool, bytes: usize) -> Result<()> {
    if pool.take(bytes) { Ok(()) } else { Err(CheckpointError::Memory) }
}

pub(crate) fn option<'a, T>(input: &mut In<'a>, read: impl FnOnce(&mut In<'a>) -> Result<T>) -> Result<Option<T>> {
    if input.bool()? { read(input).map(Some) } else { Ok(None) }
}

fn pair(input: &mut In<'_>) -> Result<(i64, i64)> {
    Ok((input.i64()?, input.i64()?))
}

impl Engine {
    /// An engine of the same limits that knows what was written.
    pub(crate) fn decode(&self, input: &mut In<'_>) -> Result<Engine> {
        let events = input.u64()?;
        let initial_state = option(input, In::u64)?;
        let lists_open = input.bool()?;
        let dying = option(input, In::i64)?;
        let closing = option(input, pair)?;
        let undated_exit = option(input, pair)?;
        let machine = option(input, |input| {
            let bytes = input.array::<{ size_of::<MachineInfo>() }>()?;
            MachineInfo::read_from_bytes(&bytes).map_err(|_| CheckpointError::Invalid("machine"))
        })?;
        let interfaces = interfaces(input)?;
        let recent_exits = exits(input)?;
        let listed = listed(input)?;
        let mut switches = BTreeMap::new();
        for _ in 0..input.usize()? {
            switches.insert(input.u16()?, input.u64()?);
        }
        let family_work = FamilyWork { done: input.u64()?, refused: input.u64()? };
        let mut table = table(input, Table::new(&self.limits))?;
        let users = read_users(input, &mut table.pool)?;
        let containers = read_containers(input, &mut table.pool)?;
        table.pool.refused = input.u64()?;
        for _ in 0..input.usize()? {
            let text = input.text(&mut table.pool)?;
            if !table.pool.remember(text) {
                return invalid("recent string");
            }
        }
        Ok(Engine {
            plans: bind::plans(),
            limits: self.limits,
            table,
            users,
            containers,
            interfaces,
            machine,
            events,
            initial_state,
            lists_open,
            listed,
            dying,
            closing,
            undated_exit,
            recent_exits,
            switches,
            family_work,
            scratch: Vec::new(),
            scratch2: Vec::new(),
        })
    }
}

fn interfaces(input: &mut In<'_>) -> Result<Interfaces> {
    let count = input.usize()?;
    if count > MAX_INTERFACES {
        return Err(CheckpointError::Memory);
    }
    let mut listed = Vec::new();
    for _ in 0..count {
        let address = match input.byte()? {
            4 => Address::V4 { address: input.array()?, netmask: input.array()?, broadcast: input.array()? },
            6 => Address::V6 { address: input.array()?, netmask: input.array()?, broadcast: input.array()? },
            _ => return invalid("interface"),
        };
        let linkspeed = option(input, In::u64)?;
        let name = input.slice()?;
        listed.push(Listed { address, linkspeed, name: users::cut(name).into() });
    }
    Ok(Interfaces::of(listed))
}

fn exits(input: &mut In<'_>) -> Result<RecentExits> {
    let count = input.usize()?;
    if count > RING {
        return invalid("number of exits");
    }
    let (mut exits, mut ts) = (RecentExits::default(), 0u64);
    for _ in 0..count {
        let key = input.u64()?;
        ts = ts.wrapping_add(input.i64()?.cast_unsigned());
        exits.push_key(key, ts);
    }
    Ok(exits)
}

fn listed(input: &mut In<'_>) -> Result<InLists> {
    let mut listed = InLists::default();
    let count = input.usize()?;
    if count > InLists::MAX {
        return invalid("number of threads listed");
    }
    for _ in 0..count {
        listed.tids.push(input.i64()?);
    }
    for _ in 0..input.usize()? {
        listed.ports.insert(input.u16()?);
    }
    Ok(listed)
}

fn table(input: &mut In<'_>, mut table: Table) -> Result<Table> {
    table.threads_refused = input.u64()?;
    table.fds_refused = input.u64()?;
    table.next_seq = input.i64()?;
    // Far more than a replay can reach, and far from where counting ends.
    if !(1..=1 << 56).contains(&table.next_seq) {
        return invalid("place in a group");
    }
    let (groups, mut last) = (input.usize()?, None);
    // Each has a thread.
    if groups > table.max_threads {
        return Err(CheckpointError::Memory);
    }
    for _ in 0..groups {
        let pid = input.key(last)?;
        last = Some(pid);
        let group = ThreadGroup { alive: input.u32()?, reaper: input.bool()?, members: BTreeMap::new() };
        table.groups.insert(pid, group);
    }
    let (threads, mut last) = (input.usize()?, None);
    if threads > table.max_threads || u32::try_from(threads).is_err() {
        return Err(CheckpointError::Memory);
    }
    for slot in (0u32..).take(threads) {
        take(&mut table.pool, THREAD_COST)?;
        let tid = input.key(last)?;
        last = Some(tid);
        let entry = read_slot(input, tid, &mut table)?;
        table.slots.push(Some(Box::new(entry)));
        table.index.insert(tid, slot);
    }
    // How many of them live is the engine's word: events can say that a new thread is dead.
    if table.groups.values().any(|group| group.members.is_empty()) {
        return invalid("group of threads");
    }
    for parent in (0u32..).take(threads) {
        read_children(input, parent, &mut table)?;
    }
    Ok(table)
}

fn read_slot(input: &mut In<'_>, tid: i64, table: &mut Table) -> Result<Slot> {
    let thread = read_thread(input, tid, &mut table.pool)?;
    let of = option(input, pair)?;
    if let Some((pid, seq)) = of {
        let Some(group) = table.groups.get_mut(&pid) else {
            return invalid("group of a thread");
        };
        let counted = (1..table.next_seq.unsigned_abs()).contains(&seq.unsigned_abs());
        if !counted || group.members.insert(seq, tid).is_some() {
            return invalid("place in a group");
        }
    }
    let (group, seq) = of.unwrap_or((0, 0));
    Ok(Slot {
        thread,
        seq,
        group,
        grouped: of.is_some(),
        parent: NONE,
        child: NONE,
        next: NONE,
        prev: NONE,
        children: 0,
        last_fd: input.i64()?,
        last_enter: input.u16()?,
        reaper: input.i64()?,
        enter: option(input, |input| {
            let (event_type, lens, data) = (input.u16()?, input.slice()?, input.slice()?);
            take(&mut table.pool, lens.len().saturating_add(data.len()))?;
            Ok(Box::new(Enter { event_type, lens: lens.to_vec(), data: data.to_vec() }))
        })?,
        fds: input.table(|input| read_fds(input, &mut table.pool, table.max_fds))?,
    })
}

fn read_thread(input: &mut In<'_>, tid: i64, pool: &mut Pool) -> Result<Thread> {
    // Fields are read in the order in which they are written.
    Ok(Thread {
        tid,
        pid: input.i64()?,
        ptid: input.i64()?,
        sid: input.i64()?,
        vpgid: input.i64()?,
        pgid: input.i64()?,
        vtid: input.i64()?,
        vpid: input.i64()?,
        fdlimit: input.i64()?,
        comm: input.text(pool)?,
        exe: input.text(pool)?,
        exepath: input.text(pool)?,
        args: input.text(pool)?,
        env: input.text(pool)?,
        cgroups: input.text(pool)?,
        container_id: input.text(pool)?,
        root: input.text(pool)?,
        cwd: input.text(pool)?,
        flags: input.u32()?,
        tty: input.u32()?,
        vmsize_kb: input.u32()?,
        vmrss_kb: input.u32()?,
        vmswap_kb: input.u32()?,
        uid: input.id32()?,
        gid: input.id32()?,
        loginuid: input.id32()?,
        pfmajor: input.u64()?,
        pfminor: input.u64()?,
        cap_inheritable: input.u64()?,
        cap_permitted: input.u64()?,
        cap_effective: input.u64()?,
        exe_ino: input.u64()?,
        exe_ino_ctime: input.u64()?,
        exe_ino_mtime: input.u64()?,
        ctime_to_clone_ns: input.u64()?,
        pidns_to_ctime_ns: input.u64()?,
        pidns_init_start_ts: input.u64()?,
        clone_ts: input.u64()?,
        lastexec_ts: input.u64()?,
        exec_ns: input.u64()?,
        cpu_user: input.u64()?,
        cpu_system: input.u64()?,
        exe_writable: input.bool()?,
        exe_upper_layer: input.bool()?,
        exe_lower_layer: input.bool()?,
        exe_from_memfd: input.bool()?,
    })
}

/// Hangs the children of a thread under it. A thread has one parent at most, so lists cannot loop;
/// families can, as those of false lists.
fn read_children(input: &mut In<'_>, parent: u32, table: &mut Table) -> Result<()> {
    let count = input.usize()?;
    let mut before = NONE;
    for n in 0..count {
        let child = input.u32()?;
        match table.get_mut(child) {
            Some(c) if child != parent && c.parent == NONE => (c.parent, c.prev) = (parent, before),
            _ => return invalid("child"),
        }
        if let Some(b) = table.get_mut(before) {
            b.next = child;
        }
        if let Some(p) = table.get_mut(parent) {
            p.children = p.children.saturating_add(1);
            if n == 0 {
                p.child = child;
            }
        }
        before = child;
    }
    Ok(())
}

fn read_fds(input: &mut In<'_>, pool: &mut Pool, max: usize) -> Result<FdTable> {
    let (count, mut last) = (input.usize()?, None);
    if count > max {
        return Err(CheckpointError::Memory);
    }
    let mut fds = FdTable::new();
    for _ in 0..count {
        take(pool, FD_COST)?;
        let number = input.key(last)?;
        last = Some(number);
        fds.insert(number, read_fd(input, pool)?);
    }
    Ok(fds)
}

fn read_fd(input: &mut In<'_>, pool: &mut Pool) -> Result<Fd> {
    let kind = match input.byte()? {
        0 => FdKind::Unknown,
        n => kind_of(FdType(n)).ok_or(CheckpointError::Invalid("kind of an fd"))?,
    };
    Ok(Fd {
        kind,
        name: input.text(pool)?,
        name_raw: input.text(pool)?,
        open_flags: input.u32()?,
        dev: input.u32()?,
        ino: input.u64()?,
        flags: input.u16()?,
        pid: input.i64()?,
        socket: match input.byte()? {
            0 => Socket::None,
            1 => {
                let (sip, dip) = (input.array()?, input.array()?);
                Socket::Ipv4 { sip, dip, sport: input.u16()?, dport: input.u16()?, l4: input.byte()? }
            }
            2 => {
                let (sip, dip) = (input.array()?, input.array()?);
                Socket::Ipv6 { sip, dip, sport: input.u16()?, dport: input.u16()?, l4: input.byte()? }
            }
            3 => Socket::Ipv4Server { ip: input.array()?, port: input.u16()?, l4: input.byte()? },
            4 => Socket::Ipv6Server { ip: input.array()?, port: input.u16()?, l4: input.byte()? },
            5 => Socket::Unix { source: input.u64()?, destination: input.u64()? },
            _ => return invalid("socket"),
        },
    })
}

fn read_users(input: &mut In<'_>, pool: &mut Pool) -> Result<Users> {
    let mut users = Users::default();
    for _ in 0..input.usize()? {
        take(pool, users::COST)?;
        let key = (input.text(pool)?, input.u32()?);
        let user = User {
            uid: input.u32()?,
            gid: input.u32()?,
            name: input.text(pool)?,
            home: input.text(pool)?,
            shell: input.text(pool)?,
            listed: input.bool()?,
        };
        if users.people.insert(key, user).is_some() {
            return invalid("user");
        }
    }
    for _ in 0..input.usize()? {
        take(pool, users::COST)?;
        let key = (input.text(pool)?, input.u32()?);
        let group = Group { gid: input.u32()?, name: input.text(pool)?, listed: input.bool()? };
        if users.groups.insert(key, group).is_some() {
            return invalid("group");
        }
    }
    Ok(users)
}

fn read_containers(input: &mut In<'_>, pool: &mut Pool) -> Result<Containers> {
    let mut containers = Containers { unreadable: input.u64()?, ..Containers::default() };
    containers.resolved = (input.text(pool)?, input.text(pool)?);
    for _ in 0..input.usize()? {
        let container = Arc::new(read_container(input)?);
        take(pool, container.cost())?;
        if containers.by_id.insert(container.id.as_bytes().into(), container).is_some() {
            return invalid("container");
        }
    }
    containers.told = option(input, read_container)?.map(|told| match containers.by_id.get(told.id.as_bytes()) {
        Some(known) if **known == told => known.clone(),
        _ => Arc::new(told),
    });
    Ok(containers)
}

fn read_container(input: &mut In<'_>) -> Result<Container> {
    let json = input.slice()?;
    if !json.is_empty() {
        // A text that ends early is not one that was kept.
        let container = container_json::parse(json).filter(|c| c.json.len() == json.len());
        return container.ok_or(CheckpointError::Invalid("container"));
    }
    let id = std::str::from_utf8(input.slice()?).map_err(|_| CheckpointError::Invalid("container"))?;
    if id.is_empty() {
        return invalid("container");
    }
    Ok(Container { id: id.to_owned(), kind: option(input, In::u16)?, ..Container::default() })
}
