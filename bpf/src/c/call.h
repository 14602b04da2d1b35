/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* From the end of a system call to the program that describes it. */
#pragma once
#include "socket.h"

enum {
	TS_COMPAT = 2,
	IA32_SOCKETCALL = 102,
	NO_CALL = 0xffff,
	CALL_EXECVE = 59,
	CALL_EXECVEAT = 322,
};

/* A system call that ended. */
struct call {
	struct pt_regs *regs;
	/* What it returned: a value or -errno. */
	s64 ret;
	u32 tid;
	/* The call of a 32-bit process: arguments are in `scratch->args`. */
	bool compat;
	struct scratch *scratch;
};

/* Thread, process and interface of the current call. One helper call gives all three where the kernel has it. */
struct caller {
	u32 tid;
	s32 tgid;
	bool compat;
};

INLINE struct caller current_caller(void)
{
	struct caller caller = {};
	if (enum_exists(bpf_func_id, BPF_FUNC_get_current_task_btf)) {
		struct task_struct *task = bpf_get_current_task_btf();
		caller.tid = task->pid;
		caller.tgid = task->tgid;
		caller.compat = field_exists(task, thread_info.status) && (task->thread_info.status & TS_COMPAT);
	} else {
		struct task_struct *task = bpf_get_current_task();
		u64 pid_tgid = bpf_get_current_pid_tgid();
		caller.tid = pid_tgid;
		caller.tgid = pid_tgid >> 32;
		caller.compat = field_exists(task, thread_info.status) && (READ(task, thread_info.status) & TS_COMPAT);
	}
	return caller;
}

INLINE void begin_call(struct call *c, u64 *ctx)
{
	struct caller caller = current_caller();
	c->regs = (void *)ctx[0];
	c->ret = ctx[1];
	c->tid = caller.tid;
	c->compat = unlikely(caller.compat);
	c->scratch = NULL;
	if (c->compat)
		c->scratch = scratch_here();
}

/* An argument, counted from 0. */
INLINE u64 arg(struct call *c, int n)
{
	if (unlikely(c->compat)) {
		u64 value;
		if (!c->scratch)
			return 0;
		/* Spelled out, so that the compiler does not make one load of this and those below: the verifier wants
		 * to know which memory a load is from. */
		asm volatile("%0 = *(u64 *)(%1 + 0)" : "=r"(value) : "r"(&c->scratch->args[n]));
		return value;
	}
	switch (n) {
	case 0:
		return c->regs->di;
	case 1:
		return c->regs->si;
	case 2:
		return c->regs->dx;
	case 3:
		return c->regs->r10;
	case 4:
		return c->regs->r8;
	default:
		return c->regs->r9;
	}
}

/* An argument that is a number of 32 bits with a sign: a descriptor, a process. */
INLINE s64 int_arg(struct call *c, int n)
{
	return (s64)(s32)arg(c, n);
}

/* A program for the end of a call whose event has a fixed size. */
#define FIXED(name, type, nparams, len)                                                                                \
	INLINE void fill_##type(struct call *c, struct build *b);                                                      \
	SEC("tp_btf/sys_exit")                                                                                         \
	int name##_##type(u64 *ctx)                                                                                    \
	{                                                                                                              \
		struct call c;                                                                                         \
		struct build b;                                                                                        \
		begin_call(&c, ctx);                                                                                   \
		u8 *event = reserve(len, type);                                                                        \
		if (!event)                                                                                            \
			return 0;                                                                                      \
		start_event(&b, event, type, nparams, len, c.tid);                                             \
		fill_##type(&c, &b);                                                                                   \
		if (b.next != nparams || b.at != len)                                                                  \
			wrong_layout();                                                                                \
		bpf_ringbuf_submit(event, RB_NO_WAKEUP);                                                               \
		return 0;                                                                                              \
	}                                                                                                              \
	INLINE void fill_##type(struct call *c, struct build *b)

/* A program for the end of a call whose event has strings or data. */
#define VARIABLE(name, type, nparams)                                                                                  \
	INLINE void fill_##type(struct call *c, struct build *b, struct scratch *s);                                   \
	SEC("tp_btf/sys_exit")                                                                                         \
	int name##_##type(u64 *ctx)                                                                                    \
	{                                                                                                              \
		struct call c;                                                                                         \
		struct build b;                                                                                        \
		begin_call(&c, ctx);                                                                                   \
		struct scratch *s = scratch_here();                                                                    \
		if (!s)                                                                                                \
			return 0;                                                                                      \
		start_event(&b, s->event, type, nparams, 0, c.tid);                                            \
		fill_##type(&c, &b, s);                                                                                \
		if (b.next != nparams)                                                                                 \
			wrong_layout();                                                                                \
		send(&b, type);                                                                                        \
		return 0;                                                                                              \
	}                                                                                                              \
	INLINE void fill_##type(struct call *c, struct build *b, struct scratch *s)
