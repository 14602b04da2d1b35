/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What events say of sockets, and of the data that passes through descriptors. */
#pragma once
#include "file.h"

enum {
	FAMILY_UNIX = 1,
	FAMILY_INET = 2,
	FAMILY_INET6 = 10,
	/* Longest path of a unix socket, with its end. */
	UNIX_PATH = 109,
	/* Buffers of a vector that are looked at. */
	MAX_BUFFERS = 32,
	MAX_POLLED = 16,
};

INLINE u16 swap16(u16 v)
{
	return __builtin_bswap16(v);
}

INLINE struct sock *socket_of(s64 fd)
{
	struct file *file = file_of(fd);
	if (!file)
		return NULL;
	struct inode *inode = READ(file, f_inode);
	if ((READ(inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	struct socket *socket = READ(file, private_data);
	return socket ? READ(socket, sk) : NULL;
}

/* A socket address that the process passed, in the form of the format. */
INLINE void put_address(struct build *b, struct scratch *s, u64 address, u64 len)
{
	u64 from = b->at;
	len &= 0xffff;
	if (len > sizeof(s->address))
		len = sizeof(s->address);
	if (address && len >= 2) {
		opaque(len);
		if (len <= sizeof(s->address) && !bpf_probe_read_user(s->address, len, (void *)address)) {
			u16 family = *(u16 *)s->address;
			if (family == FAMILY_INET && len >= 8) {
				add_u8(b, FAMILY_INET);
				add_u32(b, *(u32 *)(s->address + 4));
				add_u16(b, swap16(*(u16 *)(s->address + 2)));
			} else if (family == FAMILY_INET6 && len >= 24) {
				add_u8(b, FAMILY_INET6);
				u8 *to = here(b);
				__builtin_memcpy(to, s->address + 8, 16);
				b->at += 16;
				add_u16(b, swap16(*(u16 *)(s->address + 2)));
			} else if (family == FAMILY_UNIX && len >= 3) {
				/* Abstract names begin with a NUL, which is left out. */
				u32 skip = s->address[2] ? 2 : 3;
				add_u8(b, FAMILY_UNIX);
				/* One more than what there is, for the end that it may lack. */
				u64 limit = len - skip + 1;
				if (limit > UNIX_PATH)
					limit = UNIX_PATH;
				u8 *to = here(b);
				opaque(limit);
				if (limit > UNIX_PATH)
					limit = UNIX_PATH;
				long n = bpf_probe_read_kernel_str(to, limit, s->address + skip);
				if (n > 0)
					b->at += n;
			}
		}
	}
	put_added(b, from);
}

/* Appends the name that a unix socket is bound to; its end alone if there is none. */
INLINE void add_unix_name(struct build *b, struct unix_sock *unix_sock)
{
	struct unix_address *address = unix_sock ? READ(unix_sock, addr) : NULL;
	long n = 0;
	if (address) {
		u8 *name = ADDRESS(address, name);
		u64 len = READ(address, len);
		u8 first = 0;
		bpf_probe_read_kernel(&first, 1, name + 2);
		u32 skip = first ? 2 : 3;
		if (len > skip) {
			/* Abstract names have no end of their own. */
			u64 limit = len - skip + 1;
			if (limit > UNIX_PATH)
				limit = UNIX_PATH;
			u8 *to = here(b);
			opaque(limit);
			if (limit > UNIX_PATH)
				limit = UNIX_PATH;
			n = bpf_probe_read_kernel_str(to, limit, name + skip);
		}
	}
	if (n > 0)
		b->at += n;
	else
		add_u8(b, 0);
}

enum direction { IN, OUT };

/* The two ends of a socket: source and destination as the data goes. `user`: address that the call was given, for
 * sockets that have no peer of their own; 0 if none. */
INLINE void put_tuple(struct build *b, struct sock *sk, enum direction direction, u64 user)
{
	u64 from = b->at;
	if (!sk) {
		put_none(b);
		return;
	}
	u16 family = READ(sk, __sk_common.skc_family);
	struct inet_sock *inet = (void *)sk;
	if (family == FAMILY_INET) {
		u32 local = READ(inet, inet_saddr), remote = READ(sk, __sk_common.skc_daddr);
		u16 local_port = swap16(READ(inet, inet_sport));
		u16 remote_port = swap16(READ(sk, __sk_common.skc_dport));
		if (!remote_port && user) {
			struct {
				u16 family, port;
				u32 address;
				u64 zero;
			} given = {};
			bpf_probe_read_user(&given, sizeof(given), (void *)user);
			remote = given.address;
			remote_port = swap16(given.port);
		}
		add_u8(b, FAMILY_INET);
		add_u32(b, direction == OUT ? local : remote);
		add_u16(b, direction == OUT ? local_port : remote_port);
		add_u32(b, direction == OUT ? remote : local);
		add_u16(b, direction == OUT ? remote_port : local_port);
	} else if (family == FAMILY_INET6) {
		struct ipv6_pinfo *info = READ(inet, pinet6);
		struct in6_addr local = READ(info, saddr), remote = READ(sk, __sk_common.skc_v6_daddr);
		u16 local_port = swap16(READ(inet, inet_sport));
		u16 remote_port = swap16(READ(sk, __sk_common.skc_dport));
		if (!remote_port && user) {
			struct {
				u16 family, port;
				u32 flow;
				struct {
					u32 words[4];
				} address;
				u32 scope;
			} given = {};
			bpf_probe_read_user(&given, 28, (void *)user);
			__builtin_memcpy(&remote, &given.address, 16);
			remote_port = swap16(given.port);
		}
		add_u8(b, FAMILY_INET6);
		__builtin_memcpy(here(b), direction == OUT ? &local : &remote, 16);
		b->at += 16;
		add_u16(b, direction == OUT ? local_port : remote_port);
		__builtin_memcpy(here(b), direction == OUT ? &remote : &local, 16);
		b->at += 16;
		add_u16(b, direction == OUT ? remote_port : local_port);
	} else if (family == FAMILY_UNIX) {
		/* The end that the data goes to comes first, unlike above: readers rely on it. */
		struct unix_sock *own = (void *)sk, *peer = (void *)READ(own, peer);
		add_u8(b, FAMILY_UNIX);
		add_u64(b, direction == OUT ? (u64)peer : (u64)own);
		add_u64(b, direction == OUT ? (u64)own : (u64)peer);
		if (direction == OUT && !peer && user) {
			u8 first = 0;
			bpf_probe_read_user(&first, 1, (void *)(user + 2));
			u64 added = add_user_string(b, user + (first ? 2 : 3), UNIX_PATH);
			if (!added)
				add_u8(b, 0);
		} else {
			add_unix_name(b, direction == OUT ? peer : own);
		}
	}
	put_added(b, from);
}

/* queuepct, queuelen, queuemax of a listening socket */
INLINE void put_queue(struct build *b, struct sock *sk)
{
	u32 len = 0, max = 0;
	if (sk) {
		len = READ(sk, sk_ack_backlog);
		max = READ(sk, sk_max_ack_backlog);
	}
	put_u8(b, len && max ? (u64)len * 100 / max : 0);
	put_u32(b, len);
	put_u32(b, max);
}

/* ---- I/O data ---- */

INLINE u64 snaplen(u16 type)
{
	return snaplens[type & (MAX_TYPES - 1)];
}

/* Data that a call read. */
INLINE void put_read_data(struct build *b, u16 type, u64 address, s64 ret)
{
	u64 n = snaplen(type);
	if (ret <= 0)
		n = 0;
	else if (n > ret)
		n = ret;
	put_user_bytes(b, address, n);
}

/* Data that a call wrote, or was to write. */
INLINE void put_written_data(struct build *b, u16 type, u64 address, u64 len, s64 ret)
{
	u64 n = snaplen(type), want = ret > 0 ? ret : len;
	put_user_bytes(b, address, n < want ? n : want);
}

/* Reads a vector of buffers; says how many of its entries are there. Entries of 32-bit processes are widened. */
INLINE u32 read_vector(struct scratch *s, u64 address, u64 count, bool compat)
{
	if (count > MAX_BUFFERS)
		count = MAX_BUFFERS;
	if (!address || !count)
		return 0;
	u64 size = compat ? count * 8 : count * 16;
	opaque(size);
	if (size > sizeof(s->vector))
		return 0;
	if (bpf_probe_read_user(s->vector, size, (void *)address))
		return 0;
	if (compat) {
		u32 *narrow = (u32 *)s->vector;
		/* From the end, since both forms stand in the same place. */
		for (int i = MAX_BUFFERS - 1; i >= 0; i--) {
			u64 base = narrow[2 * i], len = narrow[2 * i + 1];
			s->vector[2 * i] = base;
			s->vector[2 * i + 1] = len;
		}
	}
	return count;
}

INLINE u32 vector_size(struct scratch *s, u32 count)
{
	u64 sum = 0;
#pragma unroll
	for (int i = 0; i < MAX_BUFFERS; i++)
		if (i < count)
			sum += s->vector[2 * i + 1];
	return sum;
}

/* Appends the data of the buffers of s->vector, `limit` bytes at most. */
APART int add_vector(u32 count, u32 limit)
{
	struct scratch *s = scratch_here();
	if (!s)
		return 0;
	s->left = limit;
	for (int i = 0; i < MAX_BUFFERS; i++) {
		u64 left = s->left;
		if (i >= count || !left)
			break;
		u64 base = s->vector[2 * i], n = s->vector[2 * i + 1];
		if (!n)
			continue;
		if (n > left)
			n = left;
		opaque(n);
		if (n > MAX_EVENT - 1)
			break;
		u64 at = s->at;
		if (bpf_probe_read_user(s->event + (at & (MAX_EVENT - 1)), n, (void *)base))
			break;
		s->at = at + n;
		s->left = left - n;
	}
	return 0;
}

INLINE void put_vector(struct build *b, struct scratch *s, u32 count, u64 limit)
{
	u64 from = b->at;
	if (count && limit) {
		hand_over(b, s);
		add_vector(count, limit);
		take_back(b, s);
	}
	put_added(b, from);
}

INLINE void put_read_vector(struct build *b, struct scratch *s, u16 type, u32 count, s64 ret)
{
	u64 limit = snaplen(type);
	if (ret <= 0)
		limit = 0;
	else if (limit > ret)
		limit = ret;
	put_vector(b, s, count, limit);
}

INLINE void put_written_vector(struct build *b, struct scratch *s, u16 type, u32 count, s64 ret)
{
	u64 limit = snaplen(type);
	if (ret > 0 && limit > ret)
		limit = ret;
	put_vector(b, s, count, limit);
}

/* struct msghdr of a process, 64-bit or 32-bit. */
struct message {
	u64 name, vector, count, control, control_len;
};

/* The same members in words of either width: name, its length, vector, count, control, its length, flags. */
#define READ_MESSAGE(m, word, address)                                                                                 \
	({                                                                                                             \
		word raw_[7];                                                                                          \
		bool read_ = (address) && !bpf_probe_read_user(raw_, sizeof(raw_), (void *)(address));                 \
		if (read_)                                                                                             \
			*(m) = (struct message){raw_[0], raw_[2], raw_[3], raw_[4], raw_[5]};                          \
		read_;                                                                                                 \
	})

INLINE bool read_message(struct message *m, u64 address, bool compat)
{
	return compat ? READ_MESSAGE(m, u32, address) : READ_MESSAGE(m, u64, address);
}

INLINE void put_control(struct build *b, struct message *m)
{
	u64 len = m->control && m->control_len <= 65535 ? m->control_len : 0;
	put_user_bytes(b, m->control, len);
}

INLINE void put_polled(struct build *b, struct scratch *s, u64 address, u64 count)
{
	u64 from = b->at;
	u32 n = count > MAX_POLLED ? MAX_POLLED : count;
	u64 size = n * 8;
	opaque(size);
	if (!address || size > MAX_POLLED * 8 || bpf_probe_read_user(s->vector, size, (void *)address))
		n = 0;
	add_u16(b, n);
#pragma unroll
	for (int i = 0; i < MAX_POLLED; i++) {
		if (i >= n)
			continue;
		u64 polled = s->vector[i];
		add_u64(b, (s64)(s32)polled);
		add_u16(b, poll_events(polled >> 48));
	}
	put_added(b, from);
}

enum { SOCKOPT_RAW, SOCKOPT_ERROR, SOCKOPT_U32, SOCKOPT_U64, SOCKOPT_TIME };

/* The value of a socket option, by what kind of value the option has. */
INLINE void put_option(struct build *b, u32 level, u32 option, u64 address, u64 len)
{
	u64 from = b->at;
	/* Options of SOL_SOCKET that are a number of 32 bits: bit per option, 0 to 63. */
	const u64 numbers = 1ULL << 1 | 1ULL << 2 | 1ULL << 3 | 1ULL << 5 | 1ULL << 6 | 1ULL << 7 | 1ULL << 8 |
			    1ULL << 32 | 1ULL << 33 | 1ULL << 9 | 1ULL << 10 | 1ULL << 11 | 1ULL << 12 | 1ULL << 14 |
			    1ULL << 15 | 1ULL << 16 | 1ULL << 18 | 1ULL << 19 | 1ULL << 22 | 1ULL << 23 | 1ULL << 24 |
			    1ULL << 25 | 1ULL << 27 | 1ULL << 29 | 1ULL << 30 | 1ULL << 31 | 1ULL << 34 | 1ULL << 35 |
			    0x3ffULL << 36 | 1ULL << 46 | 1ULL << 47 | 1ULL << 48 | 1ULL << 49;
	if (level == 1 && option == 4) {
		add_u8(b, SOCKOPT_ERROR);
		add_u64(b, -(s64)USER(s32, address));
	} else if (level == 1 && (option == 20 || option == 21 || option == 66 || option == 67)) {
		struct {
			s64 sec, usec;
		} time = {};
		if (address && bpf_probe_read_user(&time, sizeof(time), (void *)address))
			time.sec = time.usec = 0;
		add_u8(b, SOCKOPT_TIME);
		add_u64(b, time.sec * 1000000000 + time.usec * 1000);
	} else if (level == 1 && option == 57) {
		add_u8(b, SOCKOPT_U64);
		add_u64(b, USER(u64, address));
	} else if (level == 1 && option < 64 && (numbers >> option & 1)) {
		add_u8(b, SOCKOPT_U32);
		add_u32(b, USER(u32, address));
	} else {
		add_u8(b, SOCKOPT_RAW);
		add_user_bytes(b, address, len & 0xffff);
	}
	put_added(b, from);
}
