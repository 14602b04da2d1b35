/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Calls on processes, identities, memory, time and the rest. */
#pragma once
#include "calls_socket.h"

FIXED(kill, 129, 3, 49)
{
	RESULT();
	INT(0);
	put_u8(b, arg(c, 1));
}

FIXED(tkill, 131, 3, 49)
{
	RESULT();
	INT(0);
	put_u8(b, arg(c, 1));
}

FIXED(tgkill, 133, 4, 59)
{
	RESULT();
	INT(0);
	INT(1);
	put_u8(b, arg(c, 2));
}

FIXED(nanosleep, 135, 2, 46)
{
	RESULT();
	put_u64(b, user_time(c, 0));
}

FIXED(futex, 65, 4, 60)
{
	RESULT();
	U64(0);
	put_u16(b, futex_operation(arg(c, 1)));
	U64(2);
}

/* ---- limits ---- */

struct limits {
	s64 cur, max;
};

/* A struct rlimit of the process. */
INLINE struct limits user_limits(struct call *c, u64 address)
{
	struct limits l = {};
	if (c->compat) {
		u32 narrow[2] = {};
		if (!address || bpf_probe_read_user(narrow, sizeof(narrow), (void *)address))
			return l;
		/* No limit is all ones in both widths. */
		l.cur = narrow[0] == (u32)-1 ? -1 : (s64)narrow[0];
		l.max = narrow[1] == (u32)-1 ? -1 : (s64)narrow[1];
		return l;
	}
	if (!address || bpf_probe_read_user(&l, sizeof(l), (void *)address))
		l.cur = l.max = 0;
	return l;
}

/* prlimit64 has 64-bit limits for 32-bit processes too. */
INLINE struct limits wide_limits(u64 address)
{
	struct limits l = {};
	if (!address || bpf_probe_read_user(&l, sizeof(l), (void *)address))
		l.cur = l.max = 0;
	return l;
}

FIXED(getrlimit, 141, 4, 59)
{
	struct limits l = {-1, -1};
	if (c->ret == 0)
		l = user_limits(c, arg(c, 1));
	RESULT();
	put_u64(b, l.cur);
	put_u64(b, l.max);
	put_u8(b, resource_limit(arg(c, 0)));
}

FIXED(setrlimit, 143, 4, 59)
{
	struct limits l = user_limits(c, arg(c, 1));
	RESULT();
	put_u64(b, l.cur);
	put_u64(b, l.max);
	put_u8(b, resource_limit(arg(c, 0)));
}

FIXED(prlimit64, 145, 7, 89)
{
	struct limits new = wide_limits(arg(c, 2)), old = {-1, -1};
	if (c->ret == 0)
		old = wide_limits(arg(c, 3));
	RESULT();
	put_u64(b, new.cur);
	put_u64(b, new.max);
	put_u64(b, old.cur);
	put_u64(b, old.max);
	INT(0);
	put_u8(b, resource_limit(arg(c, 1)));
}

/* ---- memory ---- */

FIXED(brk, 159, 5, 64)
{
	RESULT();
	put_memory(b, current_task());
	U64(0);
}

FIXED(mmap, 161, 10, 106)
{
	RESULT();
	put_memory(b, current_task());
	U64(0);
	U64(1);
	put_u32(b, memory_protection(arg(c, 2)));
	put_u32(b, mmap_flags(arg(c, 3)));
	FD(4);
	U64(5);
}

FIXED(munmap, 165, 6, 74)
{
	RESULT();
	put_memory(b, current_task());
	U64(0);
	U64(1);
}

FIXED(mprotect, 329, 4, 62)
{
	RESULT();
	U64(0);
	U64(1);
	put_u32(b, memory_protection(arg(c, 2)));
}

#define RANGE(name, type)                                                                                              \
	FIXED(name, type, 3, 56)                                                                                       \
	{                                                                                                              \
		RESULT();                                                                                              \
		U64(0);                                                                                                \
		U64(1);                                                                                                \
	}

RANGE(mlock, 345)
RANGE(munlock, 347)

FIXED(mlock2, 371, 4, 62)
{
	RESULT();
	U64(0);
	U64(1);
	put_u32(b, arg(c, 2) & 1);
}

FIXED(mlockall, 349, 2, 42)
{
	RESULT();
	put_u32(b, arg(c, 0) & 7);
}

FIXED(munlockall, 351, 1, 36)
{
	RESULT();
}

/* ---- identities ---- */

#define SET_ID(name, type)                                                                                             \
	FIXED(name, type, 2, 42)                                                                                       \
	{                                                                                                              \
		RESULT();                                                                                              \
		U32(0);                                                                                                \
	}
#define SET_TWO_IDS(name, type)                                                                                        \
	FIXED(name, type, 3, 48)                                                                                       \
	{                                                                                                              \
		RESULT();                                                                                              \
		U32(0);                                                                                                \
		U32(1);                                                                                                \
	}
#define SET_THREE_IDS(name, type)                                                                                      \
	FIXED(name, type, 4, 54)                                                                                       \
	{                                                                                                              \
		RESULT();                                                                                              \
		U32(0);                                                                                                \
		U32(1);                                                                                                \
		U32(2);                                                                                                \
	}
#define GET_ID(name, type)                                                                                             \
	FIXED(name, type, 1, 32)                                                                                       \
	{                                                                                                              \
		put_u32(b, c->ret);                                                                                    \
	}
#define GET_THREE_IDS(name, type)                                                                                      \
	FIXED(name, type, 4, 54)                                                                                       \
	{                                                                                                              \
		RESULT();                                                                                              \
		put_u32(b, USER(u32, arg(c, 0)));                                                                      \
		put_u32(b, USER(u32, arg(c, 1)));                                                                      \
		put_u32(b, USER(u32, arg(c, 2)));                                                                      \
	}

SET_ID(setuid, 199)
SET_ID(setgid, 201)
SET_TWO_IDS(setreuid, 427)
SET_TWO_IDS(setregid, 429)
SET_THREE_IDS(setresuid, 193)
SET_THREE_IDS(setresgid, 195)
GET_ID(getuid, 203)
GET_ID(geteuid, 205)
GET_ID(getgid, 207)
GET_ID(getegid, 209)
GET_THREE_IDS(getresuid, 211)
GET_THREE_IDS(getresgid, 213)

FIXED(capset, 353, 4, 66)
{
	RESULT();
	put_capabilities(b, current_task());
}

FIXED(setsid, 275, 1, 36)
{
	RESULT();
}

FIXED(setpgid, 295, 3, 56)
{
	RESULT();
	INT(0);
	INT(1);
}

FIXED(setns, 241, 3, 52)
{
	RESULT();
	FD(0);
	put_u32(b, clone_flags(arg(c, 1)));
}

FIXED(unshare, 285, 2, 42)
{
	RESULT();
	put_u32(b, clone_flags(arg(c, 0)));
}

FIXED(seccomp, 299, 3, 56)
{
	RESULT();
	U64(0);
	put_u64(b, (u32)arg(c, 1));
}

FIXED(bpf, 369, 2, 42)
{
	RESULT();
	U32(0);
}

/* ---- semaphores ---- */

FIXED(semget, 263, 4, 54)
{
	RESULT();
	U32(0);
	U32(1);
	put_u32(b, semget_flags(arg(c, 2)));
}

FIXED(semctl, 253, 5, 58)
{
	RESULT();
	U32(0);
	U32(1);
	put_u16(b, semctl_command(arg(c, 2)));
	/* Only SETVAL passes a number; the others pass a pointer or nothing. */
	put_u32(b, (arg(c, 2) & 0xffff) == 16 ? arg(c, 3) : 0);
}

FIXED(semop, 251, 9, 72)
{
	struct {
		u16 num;
		s16 op, flags;
	} ops[2] = {};
	u64 address = arg(c, 1);
	u32 count = arg(c, 2);
	if (c->ret == 0 && address && count) {
		long failed = count == 1 ? bpf_probe_read_user(ops, sizeof(ops[0]), (void *)address)
					 : bpf_probe_read_user(ops, sizeof(ops), (void *)address);
		if (failed)
			__builtin_memset(ops, 0, sizeof(ops));
	}
	RESULT();
	put_u32(b, count);
	put_u16(b, ops[0].num);
	put_u16(b, ops[0].op);
	put_u16(b, semaphore_flags(ops[0].flags));
	put_u16(b, ops[1].num);
	put_u16(b, ops[1].op);
	put_u16(b, semaphore_flags(ops[1].flags));
	U32(0);
}

/* ---- calls whose parameters depend on what is asked ---- */

enum { DYN_NUMBER, DYN_STRING_OR_SIGNAL };

VARIABLE(ptrace, 169, 5)
{
	u16 request = ptrace_request(arg(c, 0));
	u64 from;
	RESULT();
	from = b->at;
	add_u8(b, DYN_NUMBER);
	add_u64(b, c->ret < 0 ? 0 : arg(c, 2));
	put_added(b, from);
	from = b->at;
	if (c->ret < 0) {
		add_u8(b, DYN_NUMBER);
		add_u64(b, 0);
	} else if (request >= 2 && request <= 4) {
		/* The peeks: what was read. */
		add_u8(b, DYN_NUMBER);
		add_u64(b, c->compat ? USER(u32, arg(c, 3)) : USER(u64, arg(c, 3)));
	} else if (request == 8 || request == 10 || request == 12 || request == 13) {
		/* Those that let it go on: with which signal. */
		add_u8(b, DYN_STRING_OR_SIGNAL);
		add_u8(b, arg(c, 3));
	} else {
		add_u8(b, DYN_NUMBER);
		add_u64(b, arg(c, 3));
	}
	put_added(b, from);
	put_u16(b, request);
	INT(1);
}

VARIABLE(prctl, 401, 4)
{
	u32 option = arg(c, 0);
	bool name = option == 15 || option == 16;
	RESULT();
	put_u32(b, option);
	put_user_string(b, name ? arg(c, 1) : 0, MAX_STRING);
	put_u64(b, name ? 0 : option == 37 ? (s64)USER(s32, arg(c, 1)) : arg(c, 1));
}

INLINE void put_key_argument(struct call *c, struct build *b, int n, bool used, bool text)
{
	u64 from = b->at;
	if (used && text) {
		add_u8(b, DYN_STRING_OR_SIGNAL);
		add_user_string(b, arg(c, n), MAX_STRING);
	} else {
		add_u8(b, DYN_NUMBER);
		add_u64(b, used ? arg(c, n) : 0);
	}
	put_added(b, from);
}

VARIABLE(keyctl, 453, 6)
{
	u32 op = arg(c, 0);
	/* Operations that use one, two, three and four arguments, a bit for each. */
	const u64 one = 1ULL << 1 | 1ULL << 3 | 1ULL << 7 | 1ULL << 14 | 1ULL << 16 | 1ULL << 21;
	const u64 two = 1ULL << 0 | 1ULL << 5 | 1ULL << 8 | 1ULL << 9 | 1ULL << 15 | 1ULL << 22 | 1ULL << 31;
	const u64 three = 1ULL << 2 | 1ULL << 4 | 1ULL << 6 | 1ULL << 11 | 1ULL << 13 | 1ULL << 17 | 1ULL << 24 |
			  1ULL << 29 | 1ULL << 32;
	const u64 four = 1ULL << 10 | 1ULL << 12 | 1ULL << 19 | 1ULL << 20 | 1ULL << 23 | 15ULL << 25 | 1ULL << 30;
	u64 bit = op < 64 ? 1ULL << op : 0;
	u32 used = bit & one ? 1 : bit & two ? 2 : bit & three ? 3 : bit & four ? 4 : 0;
	bool crypto = op >= 25 && op <= 28;
	RESULT();
	put_u32(b, op);
	put_key_argument(c, b, 1, used >= 1, op == 1);
	put_key_argument(c, b, 2, used >= 2, op == 29 || op == 10 || crypto);
	put_key_argument(c, b, 3, used >= 3, op == 29 || op == 10 || op == 24);
	put_key_argument(c, b, 4, used >= 4, false);
}

/* struct if_dqblk and if_dqinfo of the kernel's interface */
struct quota_block {
	u64 bhard, bsoft, curspace, ihard, isoft, curinodes, btime, itime;
	u32 valid;
};
struct quota_info {
	u64 bgrace, igrace;
	u32 flags, valid;
};

VARIABLE(quotactl, 191, 18)
{
	u32 cmd = arg(c, 0), op = cmd >> 8;
	struct quota_block q = {};
	struct quota_info info = {};
	u64 address = arg(c, 3);
	if (op == 0x800007 || op == 0x800008)
		if (!address || bpf_probe_read_user(&q, sizeof(q), (void *)address))
			q.valid = 0;
	if (op == 0x800005 || op == 0x800006)
		if (!address || bpf_probe_read_user(&info, sizeof(info), (void *)address))
			info.valid = 0;
	bool has_id = op == 0x800007 || op == 0x800008 || op == 0x5803 || op == 0x5804;
	bool on = op == 0x800002;
	RESULT();
	PATH(1);
	put_user_string(b, on ? address : 0, MAX_STRING);
	put_u64(b, q.valid & 1 ? q.bhard : 0);
	put_u64(b, q.valid & 1 ? q.bsoft : 0);
	put_u64(b, q.valid & 2 ? q.curspace : 0);
	put_u64(b, q.valid & 4 ? q.ihard : 0);
	put_u64(b, q.valid & 4 ? q.isoft : 0);
	put_u64(b, q.valid & 16 ? q.btime : 0);
	put_u64(b, q.valid & 32 ? q.itime : 0);
	put_u64(b, info.valid & 1 ? info.bgrace : 0);
	put_u64(b, info.valid & 2 ? info.igrace : 0);
	put_u8(b, info.valid & 4 ? info.flags : 0);
	put_u8(b, op == 0x800004 ? quota_format(USER(u32, address)) : 1);
	put_u16(b, quota_command(cmd));
	put_u8(b, (cmd & 0xff) == 0 ? 1 : (cmd & 0xff) == 1 ? 2 : 0);
	put_u32(b, has_id ? arg(c, 2) : 0);
	put_u8(b, on ? quota_format(arg(c, 2)) : 1);
}
