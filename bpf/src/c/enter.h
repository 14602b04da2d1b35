/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The calls whose path or address is read at their beginning too, so that it can be compared with what another
 * thread may have put there meanwhile (driver-events section 1.9). Hooked where only these calls pass: at the entry
 * of the function, or, where the kernel cannot, at the call's own tracepoint. */
#pragma once
#include "filter.h"

/* Where a hook finds the arguments. */
struct entry {
	u64 args[4];
};

INLINE bool entry_begins(struct build *b, struct scratch **s, u16 type, u32 nparams)
{
	if (!is_recorded())
		return false;
	*s = scratch_here();
	if (!*s)
		return false;
	start_event(b, (*s)->event, type, nparams, 0, (u32)bpf_get_current_pid_tgid());
	return true;
}

INLINE void enter_open(struct entry *e)
{
	struct build b;
	struct scratch *s;
	if (!entry_begins(&b, &s, 2, 3))
		return;
	put_user_string(&b, e->args[0], MAX_STRING);
	put_u32(&b, open_flags(e->args[1]));
	put_u32(&b, open_mode(e->args[1], e->args[2]));
	send(&b, 2);
}

INLINE void enter_creat(struct entry *e)
{
	struct build b;
	struct scratch *s;
	if (!entry_begins(&b, &s, 58, 2))
		return;
	put_user_string(&b, e->args[0], MAX_STRING);
	put_u32(&b, open_mode(0100, e->args[1]));
	send(&b, 58);
}

INLINE void enter_openat(struct entry *e)
{
	struct build b;
	struct scratch *s;
	if (!entry_begins(&b, &s, 306, 4))
		return;
	put_u64(&b, (s64)(s32)e->args[0]);
	put_user_string(&b, e->args[1], MAX_STRING);
	put_u32(&b, open_flags(e->args[2]));
	put_u32(&b, open_mode(e->args[2], e->args[3]));
	send(&b, 306);
}

INLINE void enter_openat2(struct entry *e)
{
	struct build b;
	struct scratch *s;
	if (!entry_begins(&b, &s, 326, 5))
		return;
	struct open_how_args how = open_how(e->args[2]);
	put_u64(&b, (s64)(s32)e->args[0]);
	put_user_string(&b, e->args[1], MAX_STRING);
	put_u32(&b, open_flags(how.flags));
	put_u32(&b, open_mode(how.flags, how.mode));
	put_u32(&b, resolve_flags(how.resolve));
	send(&b, 326);
}

INLINE void enter_connect(struct entry *e)
{
	struct build b;
	struct scratch *s;
	if (!entry_begins(&b, &s, 22, 2))
		return;
	put_u64(&b, (s64)(s32)e->args[0]);
	put_address(&b, s, e->args[1], e->args[2]);
	send(&b, 22);
}

/* The record of a call's tracepoint. */
struct tracepoint {
	u64 common;
	u64 nr;
	u64 args[6];
};

/* Four programs for each call: entry of the 64-bit and the 32-bit function, which the kernel may have under either
 * of two names, and the tracepoint. */
#define ENTRY(call)                                                                                                    \
	SEC("fentry/__x64_sys_" #call)                                                                                 \
	int call##_entry(u64 *ctx)                                                                                     \
	{                                                                                                              \
		struct pt_regs *regs = (void *)ctx[0];                                                                 \
		struct entry e = {{regs->di, regs->si, regs->dx, regs->r10}};                                          \
		enter_##call(&e);                                                                                      \
		return 0;                                                                                              \
	}                                                                                                              \
	SEC("fentry/__ia32_compat_sys_" #call)                                                                         \
	int call##_entry32(u64 *ctx)                                                                                   \
	{                                                                                                              \
		struct pt_regs *regs = (void *)ctx[0];                                                                 \
		struct entry e = {{(u32)regs->bx, (u32)regs->cx, (u32)regs->dx, (u32)regs->si}};                       \
		enter_##call(&e);                                                                                      \
		return 0;                                                                                              \
	}                                                                                                              \
	SEC("tracepoint/syscalls/sys_enter_" #call)                                                                    \
	int call##_tracepoint(struct tracepoint *ctx)                                                                  \
	{                                                                                                              \
		struct entry e = {{ctx->args[0], ctx->args[1], ctx->args[2], ctx->args[3]}};                           \
		enter_##call(&e);                                                                                      \
		return 0;                                                                                              \
	}

ENTRY(open)
ENTRY(creat)
ENTRY(openat)
ENTRY(openat2)
ENTRY(connect)
