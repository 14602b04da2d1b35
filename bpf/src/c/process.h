/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* How processes begin, become another program, and end (driver-events section 2.5). */
#pragma once
#include "calls_process.h"

/* ---- clone, clone3, fork, vfork: at the end of the call, in the caller and in the child ---- */

INLINE void put_clone(struct call *c, struct build *b, struct scratch *s, u32 flags)
{
	struct task_struct *task = current_task();
	RESULT();
	if (c->ret >= 0) {
		put_command(b, task);
	} else {
		put_none(b);
		put_none(b);
	}
	put_thread(b, task);
	put_cgroups(b, s);
	put_u32(b, clone_flags(flags) | (children_in_namespace(task) ? CLONE_CHILD_IN_PIDNS : 0));
	put_u32(b, effective_user(task));
	put_u32(b, effective_group(task));
	put_u64(b, own_number(READ(task, thread_pid)));
	put_u64(b, own_group_number(task, TYPE_TGID));
	/* Told of the child only. */
	put_u64(b, c->ret == 0 ? namespace_start(task) : 0);
}

VARIABLE(clone, 223, 21)
{
	put_clone(c, b, s, arg(c, 0));
}

VARIABLE(fork, 225, 21)
{
	put_clone(c, b, s, 0);
}

VARIABLE(vfork, 227, 21)
{
	put_clone(c, b, s, 0);
}

VARIABLE(clone3, 335, 21)
{
	/* The first member of struct clone_args. */
	put_clone(c, b, s, USER(u64, arg(c, 0)));
}

/* ---- execve, execveat ---- */

enum { MAX_ARGUMENTS = 16 };

/* Appends the strings that an array of pointers points to, from number `first`, until `limit` bytes. */
APART int add_strings(u64 array, u32 first, u32 limit, u32 compat)
{
	struct scratch *s = scratch_here();
	if (!s || !array)
		return 0;
	s->left = limit;
	for (u32 i = 0; i < MAX_ARGUMENTS; i++) {
		if (i < first)
			continue;
		u64 address = 0, room = s->left;
		long failed = compat ? bpf_probe_read_user(&address, 4, (void *)(array + 4 * i))
				     : bpf_probe_read_user(&address, 8, (void *)(array + 8 * i));
		if (failed || !address)
			break;
		opaque(room);
		if (!room || room > MAX_STRING)
			break;
		u64 at = s->at;
		long n = bpf_probe_read_user_str(s->event + (at & (MAX_EVENT - 1)), room, (void *)address);
		if (n > 0) {
			s->at = at + n;
			s->left -= n;
		}
	}
	return 0;
}

/* exe and args of a call that failed, from what it was given. */
INLINE void put_arguments(struct call *c, struct build *b, struct scratch *s, u64 array)
{
	u64 from = b->at, exe = 0;
	if (array) {
		u64 first = c->compat ? USER(u32, array) : USER(u64, array);
		exe = add_user_string(b, first, MAX_STRING);
	} else {
		add_u8(b, 0);
	}
	put_added(b, from);
	from = b->at;
	if (exe && exe < MAX_STRING) {
		hand_over(b, s);
		add_strings(array, 1, MAX_STRING - exe, c->compat);
		take_back(b, s);
	}
	put_added(b, from);
}

/* From tty on, the same for calls that failed and those that did not. */
INLINE void put_program(struct build *b, struct scratch *s, struct task_struct *task)
{
	struct mm_struct *mm = READ(task, mm);
	struct file *file = mm ? READ(mm, exe_file) : NULL;
	struct inode *inode = file ? READ(file, f_inode) : NULL;
	put_u32(b, terminal(task));
	put_u64(b, own_group_number(task, TYPE_PGID));
	put_u32(b, login_user(task));
	put_u32(b, executable_flags(task, file));
	put_capabilities(b, task);
	put_u64(b, inode ? READ(inode, i_ino) : 0);
	put_u64(b, inode ? change_time(inode) : 0);
	put_u64(b, inode ? modify_time(inode) : 0);
	put_u32(b, effective_user(task));
	put_path(b, s, file);
	put_u64(b, group_number(task, TYPE_PGID));
	put_u32(b, effective_group(task));
}

INLINE void put_failed_exec(struct call *c, struct build *b, struct scratch *s, int argv)
{
	struct task_struct *task = current_task();
	RESULT();
	put_arguments(c, b, s, arg(c, argv));
	put_thread(b, task);
	put_cgroups(b, s);
	u64 from = b->at;
	hand_over(b, s);
	add_strings(arg(c, argv + 1), 0, MAX_STRING, c->compat);
	take_back(b, s);
	put_added(b, from);
	put_program(b, s, task);
}

/* Calls that succeed are told of by the scheduler's tracepoint, which has the kernel's copies. `argv`: which argument
 * that is; `filename`: whether the event has the path of the first. */
#define FAILED_EXEC(name, type, nparams, argv, filename)                                                               \
	SEC("tp_btf/sys_exit")                                                                                         \
	int name##_##type(u64 *ctx)                                                                                    \
	{                                                                                                              \
		struct call call, *c = &call;                                                                          \
		struct build build, *b = &build;                                                                       \
		begin_call(c, ctx);                                                                                    \
		struct scratch *s = scratch_here();                                                                    \
		if (!s || c->ret == 0)                                                                                 \
			return 0;                                                                                      \
		start_event(b, s->event, type, nparams, 0, c->tid);                                                    \
		put_failed_exec(c, b, s, argv);                                                                        \
		if (filename)                                                                                          \
			PATH(0);                                                                                       \
		if (b->next != nparams)                                                                                \
			wrong_layout();                                                                                \
		send(b, type);                                                                                         \
		return 0;                                                                                              \
	}

FAILED_EXEC(execve, 293, 31, 1, true)
FAILED_EXEC(execveat, 331, 30, 2, false)
