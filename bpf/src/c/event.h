/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Building events: header, lengths, parameters, exactly as a capture has them.
 *
 * Events whose parameters all have a fixed width are written where they will be read: space is reserved in the ring,
 * filled and submitted. Others are put together in the processor's scratch memory and copied. */
#pragma once
#include "maps.h"
#include "kernel.h"

struct header {
	u64 ts;
	u64 tid;
	u32 len;
	u16 type;
	u32 nparams;
} __attribute__((packed));

enum { HEADER = 26 };
_Static_assert(sizeof(struct header) == HEADER, "the header has no padding");

/* An event being built. */
struct build {
	/* First byte of the event. */
	u8 *event;
	/* Where the next parameter goes. */
	u64 at;
	/* Which parameter that is. */
	u32 next;
};

/* Never linked: a call to it that is left means that a program does not write what its event needs. */
extern void wrong_layout(void) __attribute__((error("parameters do not match the event's table")));

INLINE u8 *here(struct build *b)
{
	u64 at = b->at & (MAX_EVENT - 1);
	return b->event + at;
}

/* Says how long the next parameter is, and goes past it. */
INLINE void grown(struct build *b, u64 len)
{
	*(u16 *)(b->event + HEADER + 2 * b->next) = len;
	b->next++;
	b->at += len;
}

INLINE void put_none(struct build *b)
{
	grown(b, 0);
}

INLINE void put_u8(struct build *b, u64 value)
{
	*(u8 *)here(b) = value;
	grown(b, 1);
}

INLINE void put_u16(struct build *b, u64 value)
{
	*(u16 *)here(b) = value;
	grown(b, 2);
}

INLINE void put_u32(struct build *b, u64 value)
{
	*(u32 *)here(b) = value;
	grown(b, 4);
}

INLINE void put_u64(struct build *b, u64 value)
{
	*(u64 *)here(b) = value;
	grown(b, 8);
}

/* Appends to the parameter being written, whose length the caller says at its end. */
INLINE void add_u8(struct build *b, u64 value)
{
	*(u8 *)here(b) = value;
	b->at += 1;
}

INLINE void add_u16(struct build *b, u64 value)
{
	*(u16 *)here(b) = value;
	b->at += 2;
}

INLINE void add_u32(struct build *b, u64 value)
{
	*(u32 *)here(b) = value;
	b->at += 4;
}

INLINE void add_u64(struct build *b, u64 value)
{
	*(u64 *)here(b) = value;
	b->at += 8;
}

/* Says that what was added since `from` is the next parameter. */
INLINE void put_added(struct build *b, u64 from)
{
	*(u16 *)(b->event + HEADER + 2 * b->next) = b->at - from;
	b->next++;
}

INLINE void start_event(struct build *b, u8 *event, u16 type, u32 nparams, u32 len, u64 tid)
{
	struct header *header = (void *)event;
	header->ts = clock_offset + bpf_ktime_get_boot_ns();
	header->tid = tid;
	header->len = len;
	header->type = type;
	header->nparams = nparams;
	b->event = event;
	b->at = HEADER + 2 * nparams;
	b->next = 0;
}

INLINE enum drop drop_class(u16 type)
{
	switch (type) {
	case 223: case 225: case 227: case 335:
		return DROP_CLONE_FORK;
	case 293: case 331:
		return DROP_EXECVE;
	case 22:
		return DROP_CONNECT_ENTER;
	case 23:
		return DROP_CONNECT;
	case 2: case 58: case 306: case 326:
		return DROP_OPEN_ENTER;
	case 3: case 59: case 307: case 327: case 337:
		return DROP_OPEN;
	case 257: case 277: case 279: case 175: case 177: case 179: case 181: case 301: case 303: case 305: case 309:
	case 311: case 313: case 315: case 317: case 319: case 379: case 381: case 383: case 385: case 387: case 391:
		return DROP_DIR_FILE;
	case 169: case 193: case 195: case 241: case 275: case 285: case 295: case 299: case 353: case 369: case 453:
		return DROP_OTHER_INTEREST;
	case 5:
		return DROP_CLOSE;
	case 186:
		return DROP_PROC_EXIT;
	default:
		return DROP_OTHER_EVENT;
	}
}

INLINE void *ring_here(void)
{
	u32 cpu = bpf_get_smp_processor_id();
	void *ring = bpf_map_lookup_elem(&rings, &cpu);
	if (unlikely(!ring)) {
		struct counts *counts = counts_here();
		if (counts)
			counts->no_ring++;
	}
	return ring;
}

INLINE void count_full(u16 type)
{
	struct counts *counts = counts_here();
	if (counts)
		counts->full[drop_class(type)]++;
}

/* Space in the ring for an event of a size that is known when it is compiled. */
INLINE u8 *reserve(u64 len, u16 type)
{
	void *ring = ring_here();
	if (unlikely(!ring))
		return NULL;
	u8 *event = bpf_ringbuf_reserve(ring, len, 0);
	if (unlikely(!event))
		count_full(type);
	return event;
}

/* Sends the event that was put together in scratch memory. */
INLINE void send(struct build *b, u16 type)
{
	u64 len = b->at;
	if (unlikely(len > MAX_EVENT)) {
		struct counts *counts = counts_here();
		if (counts)
			counts->large++;
		return;
	}
	((struct header *)b->event)->len = len;
	void *ring = ring_here();
	if (unlikely(!ring))
		return;
	opaque(len);
	if (len > MAX_EVENT)
		return;
	if (unlikely(bpf_ringbuf_output(ring, b->event, len, RB_NO_WAKEUP)))
		count_full(type);
}

/* ---- data of the process ---- */

/* Appends a string of the process, with its end, `limit` bytes at most; nothing if it cannot be read. */
INLINE u64 add_user_string(struct build *b, u64 address, u32 limit)
{
	long len = address ? bpf_probe_read_user_str(here(b), limit, (void *)address) : 0;
	if (len < 0)
		len = 0;
	b->at += len;
	return len;
}

INLINE void put_user_string(struct build *b, u64 address, u32 limit)
{
	u64 from = b->at;
	add_user_string(b, address, limit);
	put_added(b, from);
}

INLINE void put_kernel_string(struct build *b, const void *address, u32 limit)
{
	long len = address ? bpf_probe_read_kernel_str(here(b), limit, address) : 0;
	if (len < 0)
		len = 0;
	grown(b, len);
}

/* Appends bytes of the process: all of them or none. */
INLINE u64 add_user_bytes(struct build *b, u64 address, u64 len)
{
	if (len > MAX_EVENT - 1)
		len = MAX_EVENT - 1;
	if (!address || !len)
		return 0;
	u8 *to = here(b);
	opaque(len);
	if (len > MAX_EVENT - 1)
		return 0;
	if (bpf_probe_read_user(to, len, (void *)address))
		return 0;
	b->at += len;
	return len;
}

INLINE void put_user_bytes(struct build *b, u64 address, u64 len)
{
	u64 from = b->at;
	add_user_bytes(b, address, len);
	put_added(b, from);
}

/* A number of the process; 0 if it cannot be read. */
#define USER(type, address)                                                                                            \
	({                                                                                                             \
		type user_ = 0;                                                                                        \
		if (address)                                                                                           \
			bpf_probe_read_user(&user_, sizeof(user_), (void *)(address));                                 \
		user_;                                                                                                 \
	})
