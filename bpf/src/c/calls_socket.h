/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Calls on sockets. */
#pragma once
#include "calls_fd.h"

enum { EINPROGRESS = 115 };

FIXED(socket, 19, 5, 60)
{
	RESULT();
	put_u32(b, socket_family(arg(c, 0)));
	U32(1);
	U32(2);
	put_u32(b, nonblock_cloexec(arg(c, 1)));
}

VARIABLE(bind, 21, 3)
{
	RESULT();
	put_address(b, s, arg(c, 1), arg(c, 2));
	FD(0);
}

VARIABLE(connect, 23, 4)
{
	bool connected = c->ret == 0 || c->ret == -EINPROGRESS;
	RESULT();
	put_tuple(b, connected ? socket_of(int_arg(c, 0)) : NULL, OUT, arg(c, 1));
	FD(0);
	put_address(b, s, arg(c, 1), arg(c, 2));
}

FIXED(listen, 25, 3, 52)
{
	RESULT();
	FD(0);
	U32(1);
}

VARIABLE(sendto, 31, 5)
{
	RESULT();
	put_written_data(b, 31, arg(c, 1), arg(c, 2), c->ret);
	FD(0);
	U32(2);
	put_tuple(b, c->ret >= 0 ? socket_of(int_arg(c, 0)) : NULL, OUT, arg(c, 4));
}

VARIABLE(recvfrom, 35, 5)
{
	RESULT();
	put_read_data(b, 35, arg(c, 1), c->ret);
	put_tuple(b, c->ret >= 0 ? socket_of(int_arg(c, 0)) : NULL, IN, arg(c, 4));
	FD(0);
	U32(2);
}

FIXED(shutdown, 37, 3, 49)
{
	RESULT();
	FD(0);
	put_u8(b, shutdown_how(arg(c, 1)));
}

/* These two have no parameters. */
FIXED(getsockname, 39, 0, 26)
{
}

FIXED(getpeername, 41, 0, 26)
{
}

FIXED(socketpair, 43, 8, 94)
{
	s64 first = -1, second = -1;
	u64 source = 0, peer = 0;
	if (c->ret == 0) {
		first = user_fd(c, 3, 0);
		second = user_fd(c, 3, 1);
		struct sock *sk = socket_of(first);
		source = (u64)sk;
		if (sk && READ(sk, __sk_common.skc_family) == FAMILY_UNIX)
			peer = (u64)READ((struct unix_sock *)sk, peer);
	}
	RESULT();
	put_u64(b, first);
	put_u64(b, second);
	put_u64(b, source);
	put_u64(b, peer);
	put_u32(b, socket_family(arg(c, 0)));
	U32(1);
	U32(2);
}

VARIABLE(setsockopt, 45, 6)
{
	u32 level = arg(c, 1), option = arg(c, 2);
	RESULT();
	FD(0);
	put_u8(b, socket_level(level));
	put_u8(b, socket_option(level, option));
	put_option(b, level, option, arg(c, 3), arg(c, 4));
	U32(4);
}

VARIABLE(getsockopt, 47, 6)
{
	u32 level = arg(c, 1), option = arg(c, 2), len = USER(u32, arg(c, 4));
	RESULT();
	FD(0);
	put_u8(b, socket_level(level));
	put_u8(b, socket_option(level, option));
	put_option(b, level, option, arg(c, 3), len);
	put_u32(b, len);
}

VARIABLE(accept, 247, 5)
{
	RESULT();
	put_tuple(b, c->ret >= 0 ? socket_of(c->ret) : NULL, IN, 0);
	put_queue(b, c->ret >= 0 ? socket_of(int_arg(c, 0)) : NULL);
}

VARIABLE(accept4, 389, 6)
{
	RESULT();
	put_tuple(b, c->ret >= 0 ? socket_of(c->ret) : NULL, IN, 0);
	put_queue(b, c->ret >= 0 ? socket_of(int_arg(c, 0)) : NULL);
	put_u32(b, nonblock_cloexec(arg(c, 3)));
}

VARIABLE(sendmsg, 49, 5)
{
	struct message m = {};
	bool readable = read_message(&m, arg(c, 1), c->compat);
	u32 count = readable ? read_vector(s, m.vector, m.count, c->compat) : 0;
	RESULT();
	put_written_vector(b, s, 49, count, c->ret);
	FD(0);
	if (readable)
		put_u32(b, vector_size(s, count));
	else
		put_none(b);
	put_tuple(b, readable && c->ret >= 0 ? socket_of(int_arg(c, 0)) : NULL, OUT, m.name);
}

VARIABLE(recvmsg, 53, 6)
{
	struct message m = {};
	bool readable = c->ret >= 0 && read_message(&m, arg(c, 1), c->compat);
	u32 count = readable ? read_vector(s, m.vector, m.count, c->compat) : 0;
	RESULT();
	put_u32(b, c->ret >= 0 ? c->ret : 0);
	put_read_vector(b, s, 53, count, c->ret);
	put_tuple(b, readable ? socket_of(int_arg(c, 0)) : NULL, IN, m.name);
	if (readable)
		put_control(b, &m);
	else
		put_none(b);
	FD(0);
}

/* Calls that pass several messages give an event for each. A program handles one and calls itself for the next, as
 * often as the kernel allows. */
enum { MAX_MESSAGES = 32, CALL_SENDMMSG = 307, CALL_RECVMMSG = 299 };

/* struct mmsghdr: the message and how much of it passed. */
INLINE u64 nth_message(struct call *c, u32 n, u32 *passed)
{
	u64 size = c->compat ? 32 : 64;
	u64 address = arg(c, 1) + n * size;
	*passed = USER(u32, address + size - (c->compat ? 4 : 8));
	return address;
}

/* `fill` writes what follows the fd: of message `m`, of which `passed` bytes passed; `count` of its buffers are in
 * s->vector. Without messages its `blanks` last parameters are empty. */
#define MESSAGES(name, type, nparams, nr, blanks)                                                                      \
	INLINE void fill_##type(struct call *c, struct build *b, struct scratch *s, struct message *m, u32 passed,     \
				u32 count);                                                                            \
	SEC("tp_btf/sys_exit")                                                                                         \
	int name##_##type(u64 *ctx)                                                                                    \
	{                                                                                                              \
		struct call call, *c = &call;                                                                          \
		begin_call(c, ctx);                                                                                    \
		struct scratch *s = scratch_here();                                                                    \
		if (!s)                                                                                                \
			return 0;                                                                                      \
		struct build build, *b = &build;                                                                       \
		start_event(b, s->event, type, nparams, 0, c->tid);                                                    \
		if (c->ret <= 0) {                                                                                     \
			RESULT();                                                                                      \
			FD(0);                                                                                         \
			put_u32(b, 0);                                                                                 \
			for (int i = 0; i < blanks; i++)                                                               \
				put_none(b);                                                                           \
			send(b, type);                                                                                 \
			return 0;                                                                                      \
		}                                                                                                      \
		u32 n = s->message, passed;                                                                            \
		struct message m = {};                                                                                 \
		bool readable = read_message(&m, nth_message(c, n, &passed), c->compat);                               \
		u32 count = readable ? read_vector(s, m.vector, m.count, c->compat) : 0;                               \
		put_u64(b, passed);                                                                                    \
		FD(0);                                                                                                 \
		fill_##type(c, b, s, &m, passed, count);                                                               \
		if (b->next != nparams)                                                                                \
			wrong_layout();                                                                                \
		send(b, type);                                                                                         \
		s->message = n + 1;                                                                                    \
		if (n + 1 < c->ret && n + 1 < MAX_MESSAGES)                                                            \
			bpf_tail_call(ctx, &calls, nr);                                                                \
		return 0;                                                                                              \
	}                                                                                                              \
	INLINE void fill_##type(struct call *c, struct build *b, struct scratch *s, struct message *m, u32 passed,     \
				u32 count)

MESSAGES(sendmmsg, 51, 5, CALL_SENDMMSG, 2)
{
	put_u32(b, vector_size(s, count));
	put_written_vector(b, s, 51, count, passed);
	put_tuple(b, socket_of(int_arg(c, 0)), OUT, m->name);
}

MESSAGES(recvmmsg, 55, 6, CALL_RECVMMSG, 3)
{
	put_u32(b, passed);
	put_read_vector(b, s, 55, count, passed);
	put_tuple(b, socket_of(int_arg(c, 0)), IN, m->name);
	put_control(b, m);
}
