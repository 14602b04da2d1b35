/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What the probe shares with the recorder, and its own memory. */
#pragma once
#include "helpers.h"

enum {
	MAX_CALLS = 512,
	MAX_TYPES = 512,
	MAX_COMMS = 16,
	MAX_EXCLUDED = 4,
	/* An event may not be larger. */
	MAX_EVENT = 65536,
	/* Longest string of a parameter, with its end. */
	MAX_STRING = 4096,
};

/* Settings. The recorder writes them before the programs are loaded; the verifier then knows them, and what a
 * setting switches off costs nothing. */
/* Calls wanted, by their number on this machine. */
const volatile u8 wanted[MAX_CALLS] = {};
/* ppm_sc codes by number, for generic events. */
const volatile u16 call_code[MAX_CALLS] = {};
/* The x86_64 number of an ia32 call; 0xffff where there is none. */
const volatile u16 call_of_ia32[MAX_CALLS] = {};
/* Bytes of I/O data kept, by event type. */
const volatile u16 snaplens[MAX_TYPES] = {};
/* What turns the kernel's boot clock into ns since the epoch. */
const volatile u64 clock_offset = 0;
/* Calls that fail are not wanted. */
const volatile bool drop_failed = false;
/* Processes that are never recorded: the recorder itself. 0: none. */
const volatile s32 excluded[MAX_EXCLUDED] = {};
/* Only the processes in `tree` are recorded. */
const volatile bool only_tree = false;
/* Only threads of these names are recorded, if there are any. */
const volatile u32 comm_count = 0;
const volatile u64 comms[MAX_COMMS][2] = {};
/* Only the control groups in `groups` are recorded. */
const volatile bool only_groups = false;

/* Processes recorded, and their descendants: added when they start, removed when they end. */
struct {
	__uint(type, MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, 1); /* no preallocation */
	__type(key, s32);
	__type(value, u8);
} tree SEC(".maps");

/* Ids of the control groups recorded. */
struct {
	__uint(type, MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u64);
	__type(value, u8);
} groups SEC(".maps");

/* One ring per processor. The recorder makes them, of the size it wants; this one is only their type. */
struct ring {
	__uint(type, MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
};
struct {
	__uint(type, MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
	__array(values, struct ring);
} rings SEC(".maps");

/* Where an event of variable length is put together, and what is read on the way. One per processor: programs do
 * not preempt each other here, and those that may interrupt one do not use it. */
struct scratch {
	/* The event: 64 KiB, and as much again for what is written when it has become too long. */
	u8 event[2 * MAX_EVENT];
	/* A path being built, backwards from its end; and room for the longest name. */
	u8 path[2 * MAX_STRING];
	/* A vector of buffers, of file descriptors or of pointers, as read from the process. */
	u64 vector[64];
	/* A socket address. */
	u8 address[128];
	/* Arguments of a call that are not in the registers where the calls of this machine have them. */
	u64 args[6];
	/* Length of the event so far, while functions of their own add to it. */
	volatile u64 at;
	/* How much more a loop may append. In memory, since the verifier would follow each value it may have in a
	 * register. */
	volatile u64 left;
	/* Where the path being built begins. */
	volatile u32 start;
	/* Next message of a call that passes several. */
	u32 message;
};
struct {
	__uint(type, MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* Classes of lost events, as upstream counts them. */
enum drop {
	DROP_OTHER_EVENT,
	DROP_CLONE_FORK,
	DROP_EXECVE,
	DROP_CONNECT_ENTER,
	DROP_CONNECT,
	DROP_OPEN_ENTER,
	DROP_OPEN,
	DROP_DIR_FILE,
	DROP_OTHER_INTEREST,
	DROP_CLOSE,
	DROP_PROC_EXIT,
	DROP_CLASSES,
};

struct counts {
	/* The ring was full. */
	u64 full[DROP_CLASSES];
	/* The event was larger than MAX_EVENT. */
	u64 large;
	/* The processor has no ring yet. */
	u64 no_ring;
	/* Held back by a filter of threads, names or groups. */
	u64 suppressed;
};
struct {
	__uint(type, MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct counts);
} counts SEC(".maps");

/* Programs by the number of the call they handle. */
struct {
	__uint(type, MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, MAX_CALLS);
	__type(key, u32);
	__type(value, u32);
} calls SEC(".maps");

INLINE struct scratch *scratch_here(void)
{
	u32 cpu = bpf_get_smp_processor_id();
	return bpf_map_lookup_elem(&scratches, &cpu);
}

INLINE struct counts *counts_here(void)
{
	u32 cpu = bpf_get_smp_processor_id();
	return bpf_map_lookup_elem(&counts, &cpu);
}
