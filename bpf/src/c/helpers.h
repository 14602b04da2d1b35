/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The few things of the BPF machine that the probe uses: integers, sections, helpers, maps, relocations. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;
typedef _Bool bool;

#define true 1
#define false 0
#define NULL ((void *)0)

#define SEC(name) __attribute__((section(name), used))
#define INLINE static __attribute__((always_inline)) inline
/* A function that the verifier checks once, by itself, whatever calls it. */
#define APART __attribute__((noinline))
#define unlikely(x) __builtin_expect(!!(x), 0)
#define likely(x) __builtin_expect(!!(x), 1)
/* Keeps the compiler from moving a bound that the verifier must see right before its use. */
#define opaque(x) asm volatile("" : "+r"(x))

/* Map definitions, as BTF describes them to the loader. */
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define __array(name, val) typeof(val) *name[]

enum {
	MAP_TYPE_HASH = 1,
	MAP_TYPE_ARRAY = 2,
	MAP_TYPE_PROG_ARRAY = 3,
	MAP_TYPE_ARRAY_OF_MAPS = 12,
	MAP_TYPE_RINGBUF = 27,
};

enum { RB_NO_WAKEUP = 1 };

/* Numbers of the kernel's helpers (include/uapi/linux/bpf.h); the enum is in the kernel's BTF too, so that a
 * program can ask whether the running kernel has one. */
enum bpf_func_id {
	BPF_FUNC_get_current_task_btf = 158,
};

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static u32 (*bpf_get_smp_processor_id)(void) = (void *)8;
static long (*bpf_tail_call)(void *ctx, void *map, u32 index) = (void *)12;
static u64 (*bpf_get_current_pid_tgid)(void) = (void *)14;
static void *(*bpf_get_current_task)(void) = (void *)35;
static u64 (*bpf_get_current_cgroup_id)(void) = (void *)80;
static long (*bpf_probe_read_user)(void *dst, u32 size, const void *src) = (void *)112;
static long (*bpf_probe_read_kernel)(void *dst, u32 size, const void *src) = (void *)113;
static long (*bpf_probe_read_user_str)(void *dst, u32 size, const void *src) = (void *)114;
static long (*bpf_probe_read_kernel_str)(void *dst, u32 size, const void *src) = (void *)115;
static u64 (*bpf_ktime_get_boot_ns)(void) = (void *)125;
static long (*bpf_ringbuf_output)(void *ring, void *data, u64 size, u64 flags) = (void *)130;
static void *(*bpf_ringbuf_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*bpf_ringbuf_submit)(void *data, u64 flags) = (void *)132;
static void (*bpf_ringbuf_discard)(void *data, u64 flags) = (void *)133;
static void *(*bpf_get_current_task_btf)(void) = (void *)158;

/* What a relocation asks about a field (clang's __builtin_preserve_field_info). */
enum { FIELD_OFFSET = 0, FIELD_SIZE = 1, FIELD_EXISTS = 2, FIELD_LSHIFT = 4, FIELD_RSHIFT = 5 };
/* And about a type or an enum value. */
enum { TYPE_EXISTS = 0, TYPE_SIZE = 1 };
enum { ENUM_EXISTS = 0, ENUM_VALUE = 1 };

#define field_exists(p, f) __builtin_preserve_field_info((p)->f, FIELD_EXISTS)
#define offset_in(type, f) __builtin_preserve_field_info(((type *)0)->f, FIELD_OFFSET)
#define type_exists(type) __builtin_preserve_type_info(*(typeof(type) *)0, TYPE_EXISTS)
#define kernel_size_of(type) __builtin_preserve_type_info(*(typeof(type) *)0, TYPE_SIZE)
#define enum_exists(type, value) __builtin_preserve_enum_value(*(typeof(enum type) *)value, ENUM_EXISTS)
#define enum_value(type, value) __builtin_preserve_enum_value(*(typeof(enum type) *)value, ENUM_VALUE)

/* A field of a kernel structure, by value; 0 where it cannot be read. */
#define READ(p, f)                                                                                                     \
	({                                                                                                             \
		__typeof_unqual__((p)->f) read_;                                                                                 \
		bpf_probe_read_kernel(&read_, sizeof(read_), __builtin_preserve_access_index(&(p)->f));                \
		read_;                                                                                                 \
	})
/* The address of a field of a kernel structure. */
#define ADDRESS(p, f) ((void *)__builtin_preserve_access_index(&(p)->f))
/* A bit field of a kernel structure. */
#define READ_BITS(p, f)                                                                                                \
	({                                                                                                             \
		u64 bits_ = 0;                                                                                         \
		bpf_probe_read_kernel(                                                                                 \
			&bits_, __builtin_preserve_field_info((p)->f, FIELD_SIZE),                                     \
			(void *)(p) + __builtin_preserve_field_info((p)->f, FIELD_OFFSET));                            \
		bits_ <<= __builtin_preserve_field_info((p)->f, FIELD_LSHIFT);                                         \
		bits_ >>= __builtin_preserve_field_info((p)->f, FIELD_RSHIFT);                                         \
		bits_;                                                                                                 \
	})
