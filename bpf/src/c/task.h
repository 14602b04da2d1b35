/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What events say of a thread. */
#pragma once
#include "event.h"
#include "values.h"

INLINE struct task_struct *current_task(void)
{
	return bpf_get_current_task();
}

/* The number of a pid in the namespace that is `level` deep. */
INLINE s32 pid_number(struct pid *pid, u32 level)
{
	/* Deeper namespaces than the kernel allows would be garbage. */
	if (!pid || level > 32)
		return 0;
	s32 nr = 0;
	void *upid = ADDRESS(pid, numbers) + level * kernel_size_of(struct upid);
	bpf_probe_read_kernel(&nr, sizeof(nr), upid + offset_in(struct upid, nr));
	return nr;
}

/* A pid's number in its own, innermost, namespace. */
INLINE s32 own_number(struct pid *pid)
{
	return pid ? pid_number(pid, READ(pid, level)) : 0;
}

INLINE struct pid_namespace *pid_namespace_of(struct task_struct *task)
{
	struct pid *pid = READ(task, thread_pid);
	if (!pid)
		return NULL;
	u32 level = READ(pid, level);
	if (level > 32)
		return NULL;
	struct pid_namespace *ns = NULL;
	void *upid = ADDRESS(pid, numbers) + level * kernel_size_of(struct upid);
	bpf_probe_read_kernel(&ns, sizeof(ns), upid + offset_in(struct upid, ns));
	return ns;
}

INLINE s32 group_number(struct task_struct *task, enum pid_type type)
{
	struct signal_struct *signal = READ(task, signal);
	return pid_number(READ(signal, pids[type]), 0);
}

INLINE s32 own_group_number(struct task_struct *task, enum pid_type type)
{
	struct signal_struct *signal = READ(task, signal);
	return own_number(READ(signal, pids[type]));
}

INLINE s64 parent_pid(struct task_struct *task)
{
	struct task_struct *parent = READ(task, real_parent);
	return READ(parent, pid);
}

/* When the first process of the task's pid namespace started, ns of the monotonic clock. */
INLINE u64 namespace_start(struct task_struct *task)
{
	struct pid_namespace *ns = pid_namespace_of(task);
	if (!ns)
		return 0;
	struct task_struct *init = READ(ns, child_reaper);
	return init ? READ(init, start_time) : 0;
}

/* Whether the task's children live in a pid namespace that is not the first. */
INLINE bool children_in_namespace(struct task_struct *task)
{
	struct pid_namespace *ns = pid_namespace_of(task);
	struct nsproxy *proxy = READ(task, nsproxy);
	if (!ns || !proxy)
		return false;
	return READ(ns, level) != 0 || READ(proxy, pid_ns_for_children) != ns;
}

INLINE u32 kib(s64 pages)
{
	return pages > 0 ? pages << 2 : 0;
}

/* A counter of the kernel's memory statistics: 0 file, 1 anonymous, 2 swap, 3 shared. */
INLINE s64 memory_counter(struct mm_struct *mm, u32 which)
{
	if (field_exists(mm, rss_stat[0].count))
		switch (which) {
		case 0:
			return READ(mm, rss_stat[0].count);
		case 1:
			return READ(mm, rss_stat[1].count);
		case 2:
			return READ(mm, rss_stat[2].count);
		default:
			return READ(mm, rss_stat[3].count);
		}
	struct mm_struct___old *old = (void *)mm;
	s64 count = 0;
	bpf_probe_read_kernel(&count, sizeof(count), ADDRESS(old, rss_stat.count) + 8 * which);
	return count;
}

/* vm_size, vm_rss, vm_swap */
INLINE void put_memory(struct build *b, struct task_struct *task)
{
	struct mm_struct *mm = READ(task, mm);
	u32 size = 0, rss = 0, swap = 0;
	if (mm) {
		size = kib(READ(mm, total_vm));
		s64 pages = memory_counter(mm, 0) + memory_counter(mm, 1) + memory_counter(mm, 3);
		rss = kib(pages);
		swap = kib(memory_counter(mm, 2));
	}
	put_u32(b, size);
	put_u32(b, rss);
	put_u32(b, swap);
}

INLINE void put_faults(struct build *b, struct task_struct *task)
{
	put_u64(b, READ(task, maj_flt));
	put_u64(b, READ(task, min_flt));
}

INLINE s64 fd_limit(struct task_struct *task)
{
	struct signal_struct *signal = READ(task, signal);
	return READ(signal, rlim[7].rlim_cur);
}

INLINE void put_capabilities(struct build *b, struct task_struct *task)
{
	const struct cred *cred = READ(task, cred);
	u64 set = 0;
	/* Two words of 32 bits up to 6.2, one of 64 since: the same bytes on little-endian machines. */
	bpf_probe_read_kernel(&set, sizeof(set), ADDRESS(cred, cap_inheritable));
	put_u64(b, known_capabilities(set));
	bpf_probe_read_kernel(&set, sizeof(set), ADDRESS(cred, cap_permitted));
	put_u64(b, known_capabilities(set));
	bpf_probe_read_kernel(&set, sizeof(set), ADDRESS(cred, cap_effective));
	put_u64(b, known_capabilities(set));
}

INLINE u32 effective_user(struct task_struct *task)
{
	const struct cred *cred = READ(task, cred);
	return cred ? READ(cred, euid).val : (u32)-1;
}

INLINE u32 effective_group(struct task_struct *task)
{
	const struct cred *cred = READ(task, cred);
	return cred ? READ(cred, egid).val : (u32)-1;
}

INLINE u32 login_user(struct task_struct *task)
{
	if (field_exists(task, loginuid))
		return READ(task, loginuid).val;
	struct task_struct___audit *other = (void *)task;
	if (field_exists(other, audit)) {
		struct audit_task_info *audit = READ(other, audit);
		if (audit)
			return READ(audit, loginuid).val;
	}
	return -1;
}

INLINE u32 terminal(struct task_struct *task)
{
	struct signal_struct *signal = READ(task, signal);
	struct tty_struct *tty = READ(signal, tty);
	if (!tty)
		return 0;
	struct tty_driver *driver = READ(tty, driver);
	return user_device((READ(driver, major) << 20 | READ(driver, minor_start)) + READ(tty, index));
}

enum { CGROUP_DEPTH = 6 };

/* Appends `name=path` and its end for one controller. The path has the innermost CGROUP_DEPTH groups. */
APART int add_cgroup(u32 which)
{
	struct scratch *s = scratch_here();
	if (!s)
		return 0;
	u32 id;
	u64 name;
	/* The name, and the = after it, as the bytes of a number. */
	u32 name_len;
	switch (which) {
	case 0:
		if (!enum_exists(cgroup_subsys_id, cpuset_cgrp_id))
			return 0;
		id = enum_value(cgroup_subsys_id, cpuset_cgrp_id);
		name = 0x3d746573757063; /* cpuset= */
		name_len = 7;
		break;
	case 1:
		if (!enum_exists(cgroup_subsys_id, cpu_cgrp_id))
			return 0;
		id = enum_value(cgroup_subsys_id, cpu_cgrp_id);
		name = 0x3d757063; /* cpu= */
		name_len = 4;
		break;
	case 2:
		if (!enum_exists(cgroup_subsys_id, cpuacct_cgrp_id))
			return 0;
		id = enum_value(cgroup_subsys_id, cpuacct_cgrp_id);
		name = 0x3d74636361757063; /* cpuacct= */
		name_len = 8;
		break;
	case 3:
		if (!enum_exists(cgroup_subsys_id, io_cgrp_id))
			return 0;
		id = enum_value(cgroup_subsys_id, io_cgrp_id);
		name = 0x3d6f69; /* io= */
		name_len = 3;
		break;
	default:
		if (!enum_exists(cgroup_subsys_id, memory_cgrp_id))
			return 0;
		id = enum_value(cgroup_subsys_id, memory_cgrp_id);
		name = 0x3d79726f6d656d; /* memory= */
		name_len = 7;
		break;
	}
	struct task_struct *task = current_task();
	struct css_set *set = READ(task, cgroups);
	struct cgroup_subsys_state *css = NULL;
	if (!set || id >= 32)
		return 0;
	bpf_probe_read_kernel(&css, sizeof(css), ADDRESS(set, subsys) + id * sizeof(void *));
	if (!css)
		return 0;
	struct cgroup *group = READ(css, cgroup);
	struct kernfs_node *node = READ(group, kn);
	const char *names[CGROUP_DEPTH];
#pragma unroll
	for (int i = 0; i < CGROUP_DEPTH; i++) {
		names[i] = NULL;
		if (!node)
			continue;
		struct kernfs_node *parent;
		if (field_exists(node, __parent)) {
			parent = READ(node, __parent);
		} else {
			struct kernfs_node___old *old = (void *)node;
			parent = READ(old, parent);
		}
		/* The root of the hierarchy has no name. */
		if (parent)
			names[i] = READ(node, name);
		node = parent;
	}
	u64 at = s->at;
	*(u64 *)(s->event + (at & (MAX_EVENT - 1))) = name;
	at += name_len;
	bool any = false;
#pragma unroll
	for (int i = CGROUP_DEPTH - 1; i >= 0; i--) {
		if (!names[i])
			continue;
		u8 *to = s->event + (at & (MAX_EVENT - 1));
		*to = '/';
		long len = bpf_probe_read_kernel_str(to + 1, 256, names[i]);
		if (len > 0)
			at += len;
		any = true;
	}
	if (!any) {
		s->event[at & (MAX_EVENT - 1)] = '/';
		at++;
	}
	s->event[at & (MAX_EVENT - 1)] = 0;
	s->at = at + 1;
	return 0;
}

/* Functions that the verifier checks by themselves go on where the event ends. */
INLINE void hand_over(struct build *b, struct scratch *s)
{
	s->at = b->at;
}

INLINE void take_back(struct build *b, struct scratch *s)
{
	b->at = s->at;
}

INLINE void put_cgroups(struct build *b, struct scratch *s)
{
	u64 from = b->at;
	hand_over(b, s);
	add_cgroup(0);
	add_cgroup(1);
	add_cgroup(2);
	add_cgroup(3);
	add_cgroup(4);
	take_back(b, s);
	put_added(b, from);
}

/* exe and args of a program that runs: its own first string, and the others. */
INLINE void put_command(struct build *b, struct task_struct *task)
{
	struct mm_struct *mm = READ(task, mm);
	u64 start = 0, end = 0;
	if (mm) {
		start = READ(mm, arg_start);
		end = READ(mm, arg_end);
	}
	u64 from = b->at;
	u64 exe = add_user_string(b, start, MAX_STRING);
	put_added(b, from);
	u64 len = end > start + exe ? end - start - exe : 0;
	u64 limit = exe < MAX_STRING ? MAX_STRING - exe : 0;
	if (len > limit)
		len = limit;
	from = b->at;
	if (exe && add_user_bytes(b, start + exe, len)) {
		u64 last = (b->at - 1) & (MAX_EVENT - 1);
		b->event[last] = 0;
	}
	put_added(b, from);
}

INLINE void put_environment(struct build *b, struct task_struct *task)
{
	struct mm_struct *mm = READ(task, mm);
	u64 start = 0, end = 0;
	if (mm) {
		start = READ(mm, env_start);
		end = READ(mm, env_end);
	}
	u64 len = end > start ? end - start : 0;
	if (len > MAX_STRING)
		len = MAX_STRING;
	u64 from = b->at;
	if (add_user_bytes(b, start, len)) {
		u64 last = (b->at - 1) & (MAX_EVENT - 1);
		b->event[last] = 0;
	}
	put_added(b, from);
}

/* The parameters that clone and exec events share: tid to comm. The working directory is always left empty. */
INLINE void put_thread(struct build *b, struct task_struct *task)
{
	put_u64(b, READ(task, pid));
	put_u64(b, READ(task, tgid));
	put_u64(b, parent_pid(task));
	put_none(b);
	put_u64(b, fd_limit(task));
	put_faults(b, task);
	put_memory(b, task);
	put_kernel_string(b, ADDRESS(task, comm), 16);
}
