/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Calls on descriptors: I/O, and those that make, copy and watch descriptors. */
#pragma once
#include "calls_path.h"

/* Reads and writes are most of what a machine does. Data up to SMALL bytes goes straight to the ring. */
enum { SMALL = 80 };

/* The event of a read or write without its position: res, data, fd, size. */
INLINE int small_io(struct call *c, u16 type, u64 data, u64 n)
{
	/* With no data the record is shorter, so that reads at the end of a file cost little. */
	u64 len = HEADER + 4 * 2 + 8 + 8 + 4;
	u8 *event = n ? reserve(HEADER + 4 * 2 + 8 + SMALL + 8 + 4, type) : reserve(HEADER + 4 * 2 + 8 + 8 + 4, type);
	if (!event)
		return 0;
	struct build b;
	start_event(&b, event, type, 4, len, c->tid);
	put_u64(&b, c->ret);
	u8 *to = event + HEADER + 4 * 2 + 8;
	if (!n) {
		put_none(&b);
		put_u64(&b, int_arg(c, 0));
		put_u32(&b, arg(c, 2));
		bpf_ringbuf_submit(event, RB_NO_WAKEUP);
		return 0;
	}
	opaque(n);
	if (n > SMALL || bpf_probe_read_user(to, n, (void *)data))
		n = 0;
	*(u16 *)(event + HEADER + 2) = n;
	*(u16 *)(event + HEADER + 4) = 8;
	*(u16 *)(event + HEADER + 6) = 4;
	to += n;
	*(u64 *)to = int_arg(c, 0);
	*(u32 *)(to + 8) = arg(c, 2);
	((struct header *)event)->len = len + n;
	bpf_ringbuf_submit(event, RB_NO_WAKEUP);
	return 0;
}

/* The programs of read and write. `asked`: how much data there is, by what was asked for and what came of it. */
#define PLAIN_IO(name, type, asked)                                                                                    \
	SEC("tp_btf/sys_exit")                                                                                         \
	int name##_##type(u64 *ctx)                                                                                    \
	{                                                                                                              \
		struct call call, *c = &call;                                                                          \
		begin_call(c, ctx);                                                                                    \
		u64 n = asked, data = arg(c, 1), limit = snaplen(type);                                                \
		if (n > limit)                                                                                         \
			n = limit;                                                                                     \
		if (!data)                                                                                             \
			n = 0;                                                                                         \
		if (likely(n <= SMALL))                                                                                \
			return small_io(c, type, data, n);                                                             \
		struct scratch *s = scratch_here();                                                                    \
		if (!s)                                                                                                \
			return 0;                                                                                      \
		struct build build, *b = &build;                                                                       \
		start_event(b, s->event, type, 4, 0, c->tid);                                                          \
		RESULT();                                                                                              \
		put_user_bytes(b, data, n);                                                                            \
		FD(0);                                                                                                 \
		U32(2);                                                                                                \
		send(b, type);                                                                                         \
		return 0;                                                                                              \
	}

PLAIN_IO(read, 7, c->ret > 0 ? c->ret : 0)
PLAIN_IO(write, 9, c->ret > 0 ? c->ret : arg(c, 2))

/* The offset of pread and pwrite: 32-bit processes pass it in two halves. */
INLINE u64 position(struct call *c)
{
	return c->compat ? (u32)arg(c, 3) | arg(c, 4) << 32 : arg(c, 3);
}

VARIABLE(pread64, 113, 5)
{
	RESULT();
	put_read_data(b, 113, arg(c, 1), c->ret);
	FD(0);
	U32(2);
	put_u64(b, position(c));
}

VARIABLE(pwrite64, 115, 5)
{
	RESULT();
	put_written_data(b, 115, arg(c, 1), arg(c, 2), c->ret);
	FD(0);
	U32(2);
	put_u64(b, position(c));
}

VARIABLE(readv, 117, 4)
{
	u32 count = c->ret > 0 ? read_vector(s, arg(c, 1), arg(c, 2), c->compat) : 0;
	RESULT();
	put_u32(b, c->ret > 0 ? c->ret : 0);
	put_read_vector(b, s, 117, count, c->ret);
	FD(0);
}

VARIABLE(preadv, 121, 5)
{
	u32 count = c->ret > 0 ? read_vector(s, arg(c, 1), arg(c, 2), c->compat) : 0;
	RESULT();
	put_u32(b, c->ret > 0 ? c->ret : 0);
	put_read_vector(b, s, 121, count, c->ret);
	FD(0);
	put_u64(b, position(c));
}

VARIABLE(writev, 119, 4)
{
	u32 count = read_vector(s, arg(c, 1), arg(c, 2), c->compat);
	RESULT();
	put_written_vector(b, s, 119, count, c->ret);
	FD(0);
	put_u32(b, vector_size(s, count));
}

VARIABLE(pwritev, 123, 5)
{
	u32 count = read_vector(s, arg(c, 1), arg(c, 2), c->compat);
	RESULT();
	put_written_vector(b, s, 123, count, c->ret);
	FD(0);
	put_u32(b, vector_size(s, count));
	put_u64(b, position(c));
}

VARIABLE(process_vm_readv, 421, 3)
{
	u32 count = c->ret > 0 ? read_vector(s, arg(c, 1), arg(c, 2), c->compat) : 0;
	RESULT();
	INT(0);
	put_read_vector(b, s, 421, count, c->ret);
}

VARIABLE(process_vm_writev, 423, 3)
{
	u32 count = c->ret > 0 ? read_vector(s, arg(c, 1), arg(c, 2), c->compat) : 0;
	RESULT();
	INT(0);
	put_read_vector(b, s, 423, count, c->ret);
}

/* Calls of a result and one descriptor. */
#define ONE_FD(name, type)                                                                                             \
	FIXED(name, type, 2, 46)                                                                                       \
	{                                                                                                              \
		RESULT();                                                                                              \
		FD(0);                                                                                                 \
	}

ONE_FD(close, 5)
ONE_FD(fstat, 71)
ONE_FD(fchdir, 97)
ONE_FD(getdents, 237)
ONE_FD(getdents64, 239)

INLINE s64 user_fd(struct call *c, int n, int index)
{
	s32 fd = -1;
	u64 address = arg(c, n);
	if (!address || bpf_probe_read_user(&fd, sizeof(fd), (void *)(address + 4 * index)))
		return -1;
	return fd;
}

FIXED(pipe, 61, 4, 66)
{
	s64 first = user_fd(c, 0, 0);
	RESULT();
	put_u64(b, first);
	put_u64(b, user_fd(c, 0, 1));
	put_u64(b, c->ret == 0 ? inode_number(first) : 0);
}

FIXED(pipe2, 393, 5, 72)
{
	s64 first = user_fd(c, 0, 0);
	RESULT();
	put_u64(b, first);
	put_u64(b, user_fd(c, 0, 1));
	put_u64(b, c->ret == 0 ? inode_number(first) : 0);
	put_u32(b, pipe2_flags(arg(c, 1)));
}

FIXED(eventfd, 63, 3, 52)
{
	RESULT();
	U64(0);
	put_u32(b, 0);
}

FIXED(eventfd2, 397, 3, 50)
{
	RESULT();
	put_u16(b, nonblock_cloexec_signed(arg(c, 1)));
	put_u64(b, (u32)arg(c, 0));
}

FIXED(signalfd, 127, 4, 55)
{
	RESULT();
	FD(0);
	put_u32(b, 0);
	put_u8(b, 0);
}

FIXED(signalfd4, 399, 4, 56)
{
	RESULT();
	put_u16(b, nonblock_cloexec_signed(arg(c, 3)));
	FD(0);
	put_u32(b, 0);
}

FIXED(timerfd_create, 137, 3, 42)
{
	RESULT();
	put_u8(b, arg(c, 0));
	put_u8(b, nonblock_cloexec_signed(arg(c, 1)));
}

FIXED(inotify_init, 139, 2, 39)
{
	RESULT();
	put_u8(b, 0);
}

FIXED(inotify_init1, 395, 2, 40)
{
	RESULT();
	put_u16(b, nonblock_cloexec_signed(arg(c, 0)));
}

FIXED(epoll_create, 375, 2, 42)
{
	RESULT();
	U32(0);
}

FIXED(epoll_create1, 377, 2, 42)
{
	RESULT();
	put_u32(b, BIT(arg(c, 0), 02000000, 1));
}

FIXED(epoll_wait, 79, 2, 46)
{
	RESULT();
	INT(2);
}

VARIABLE(poll, 81, 3)
{
	RESULT();
	put_polled(b, s, arg(c, 0), (u32)arg(c, 1));
	/* Unsigned, so that "for ever" reads 4294967295, as readers know it. */
	put_u64(b, (u32)arg(c, 2));
}

/* A struct timespec of the process, ns; 0 if it cannot be read. */
INLINE u64 user_time(struct call *c, int n)
{
	u64 address = arg(c, n);
	if (c->compat) {
		s32 time[2] = {};
		if (address && bpf_probe_read_user(time, sizeof(time), (void *)address))
			return 0;
		return time[0] * 1000000000LL + time[1];
	}
	s64 time[2] = {};
	if (address && bpf_probe_read_user(time, sizeof(time), (void *)address))
		return 0;
	return time[0] * 1000000000LL + time[1];
}

VARIABLE(ppoll, 255, 4)
{
	RESULT();
	put_polled(b, s, arg(c, 0), (u32)arg(c, 1));
	put_u64(b, user_time(c, 2));
	put_u32(b, USER(u32, arg(c, 3)));
}

FIXED(select, 83, 1, 36)
{
	RESULT();
}

FIXED(lseek, 87, 4, 59)
{
	RESULT();
	FD(0);
	U64(1);
	put_u8(b, seek_whence(arg(c, 2)));
}

FIXED(fcntl, 151, 4, 59)
{
	RESULT();
	FD(0);
	put_u8(b, fcntl_command(arg(c, 1)));
	U64(2);
}

FIXED(ioctl, 171, 4, 66)
{
	RESULT();
	FD(0);
	U64(1);
	U64(2);
}

FIXED(splice, 167, 5, 72)
{
	RESULT();
	FD(0);
	FD(2);
	U64(4);
	put_u32(b, arg(c, 5) & 15);
}

FIXED(sendfile, 189, 5, 76)
{
	RESULT();
	put_u64(b, USER(u64, arg(c, 2)));
	FD(0);
	FD(1);
	U64(3);
}

FIXED(copy_file_range, 333, 6, 86)
{
	RESULT();
	FD(2);
	U64(3);
	FD(0);
	U64(1);
	U64(4);
}

FIXED(flock, 243, 3, 52)
{
	RESULT();
	FD(0);
	put_u32(b, arg(c, 1) & 15);
}

FIXED(fchmod, 317, 3, 52)
{
	RESULT();
	FD(0);
	put_u32(b, arg(c, 1) & 07777);
}

FIXED(fchown, 383, 4, 58)
{
	RESULT();
	FD(0);
	U32(1);
	U32(2);
}

/* The copy's number is 32 bits wide in the kernel. */
#define RESULT_INT() put_u64(b, (s64)(s32)c->ret)

FIXED(dup, 367, 2, 46)
{
	RESULT_INT();
	FD(0);
}

FIXED(dup2, 363, 3, 56)
{
	RESULT_INT();
	FD(0);
	FD(1);
}

FIXED(dup3, 365, 4, 62)
{
	RESULT_INT();
	FD(0);
	FD(1);
	put_u32(b, BIT(arg(c, 2), 02000000, 4096));
}

FIXED(close_range, 451, 4, 54)
{
	RESULT();
	U32(0);
	U32(1);
	put_u32(b, arg(c, 2) & 6);
}

FIXED(userfaultfd, 321, 2, 42)
{
	RESULT();
	U32(0);
}

FIXED(pidfd_getfd, 407, 4, 62)
{
	RESULT();
	FD(0);
	FD(1);
	U32(2);
}

FIXED(pidfd_open, 409, 3, 52)
{
	RESULT();
	INT(0);
	put_u32(b, BIT(arg(c, 1), 04000, 1));
}

/* ---- io_uring ---- */

FIXED(io_uring_setup, 339, 8, 78)
{
	/* struct io_uring_params up to features */
	struct {
		u32 sq_entries, cq_entries, flags, sq_thread_cpu, sq_thread_idle, features;
	} p = {};
	u64 address = arg(c, 1);
	if (address && bpf_probe_read_user(&p, sizeof(p), (void *)address))
		__builtin_memset(&p, 0, sizeof(p));
	RESULT();
	U32(0);
	put_u32(b, p.sq_entries);
	put_u32(b, p.cq_entries);
	put_u32(b, uring_setup_flags(p.flags));
	put_u32(b, p.sq_thread_cpu);
	put_u32(b, p.sq_thread_idle);
	put_u32(b, uring_features(p.features));
}

FIXED(io_uring_enter, 341, 6, 70)
{
	RESULT();
	FD(0);
	U32(1);
	U32(2);
	put_u32(b, arg(c, 3) & 15);
	U32(4);
}

FIXED(io_uring_register, 343, 5, 66)
{
	RESULT();
	FD(0);
	put_u16(b, arg(c, 1));
	U64(2);
	U32(3);
}
