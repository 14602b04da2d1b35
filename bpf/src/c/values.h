/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* From the kernel's numbers to those of the format, whose flags have values of their own (driver-events section 3). */
#pragma once
#include "helpers.h"

/* Result bit `to` when any bit of `from` is set. */
#define BIT(value, from, to) (((value) & (from)) ? (to) : 0)

INLINE u32 open_flags(u32 f)
{
	u32 access = f & 3;
	/* "Any bit" is meant: O_DIRECTORY alone is a bit of O_TMPFILE, O_DSYNC one of O_SYNC. */
	return (access == 1 ? 2 : access == 2 ? 3 : 1) | BIT(f, 0100, 4) | BIT(f, 020200000, 8192) |
	       BIT(f, 02000, 8) | BIT(f, 010000, 16) | BIT(f, 0200, 32) | BIT(f, 04000, 64) |
	       BIT(f, 04010000, 128) | BIT(f, 01000, 256) | BIT(f, 040000, 512) | BIT(f, 0200000, 1024) |
	       BIT(f, 0100000, 2048) | BIT(f, 02000000, 4096);
}

INLINE u32 open_mode(u32 flags, u32 mode)
{
	return flags & (0100 | 020200000) ? mode & 07777 : 0;
}

INLINE u32 resolve_flags(u64 f)
{
	return BIT(f, 1, 16) | BIT(f, 2, 4) | BIT(f, 4, 8) | BIT(f, 8, 1) | BIT(f, 16, 2) | BIT(f, 32, 32);
}

/* O_NONBLOCK and O_CLOEXEC of sockets, timers, event descriptors. */
INLINE u32 nonblock_cloexec(u32 f)
{
	return BIT(f, 04000, 64) | BIT(f, 02000000, 4096);
}

/* The same where a negative argument counts as none. */
INLINE u32 nonblock_cloexec_signed(s32 f)
{
	return f < 0 ? 0 : nonblock_cloexec(f);
}

INLINE u32 pipe2_flags(s32 f)
{
	return f < 0 ? 0 : nonblock_cloexec(f) | BIT(f, 040000, 512);
}

INLINE u32 clone_flags(u32 f)
{
	return BIT(f, 0x100, 32768) | BIT(f, 0x200, 2) | BIT(f, 0x400, 1) | BIT(f, 0x800, 2048) |
	       BIT(f, 0x2000, 1024) | BIT(f, 0x4000, 134217728) | BIT(f, 0x8000, 256) | BIT(f, 0x10000, 8192) |
	       BIT(f, 0x20000, 32) | BIT(f, 0x40000, 4096) | BIT(f, 0x80000, 33554432) | BIT(f, 0x100000, 512) |
	       BIT(f, 0x200000, 8388608) | BIT(f, 0x800000, 16384) | BIT(f, 0x1000000, 16777216) |
	       BIT(f, 0x2000000, 268435456) | BIT(f, 0x4000000, 128) | BIT(f, 0x8000000, 8) |
	       BIT(f, 0x10000000, 1048576) | BIT(f, 0x20000000, 64) | BIT(f, 0x40000000, 16) | BIT(f, 0x80000000, 4);
}
enum { CLONE_CHILD_IN_PIDNS = 536870912 };

INLINE u32 socket_family(u32 f)
{
	f &= 0xff;
	return f <= 26 || (f >= 29 && f <= 39) ? f : 0;
}

INLINE u32 memory_protection(u32 f)
{
	return (f & 15) | BIT(f, 0x1000000, 16) | BIT(f, 0x2000000, 32) | BIT(f, 0x10, 64);
}

INLINE u32 mmap_flags(u32 f)
{
	return (f & 3) | BIT(f, 0x10, 4) | BIT(f, 0x20, 8) | BIT(f, 0x40, 16) | BIT(f, 0x4000, 64) |
	       BIT(f, 0x8000, 128) | BIT(f, 0x10000, 256) | BIT(f, 0x100, 512) | BIT(f, 0x800, 1024) |
	       BIT(f, 0x1000, 2048) | BIT(f, 0x80, 4096) | BIT(f, 0x2000, 16384);
}

INLINE u8 fcntl_command(u32 c)
{
	switch (c) {
	case 0 ... 5:
		return c + 1;
	case 6: case 7: case 8:
		return c + 2;
	case 9: case 10:
		return c + 3;
	case 11:
		return 15;
	case 12 ... 14:
		return c + 5;
	case 15: case 16:
		return c + 6;
	case 36 ... 38:
		return c - 6;
	case 1024: case 1025:
		return c - 1001;
	case 1026:
		return 27;
	case 1029:
		return 25;
	case 1030:
		return 26;
	case 1031: case 1032:
		return c - 1003;
	default:
		return 0;
	}
}

INLINE u8 socket_level(u32 level)
{
	return level == 1 ? 1 : level == 6 ? 2 : 0;
}

INLINE u8 socket_option(u32 level, u32 option)
{
	if (level != 1)
		return 0;
	switch (option) {
	case 1 ... 50:
		return option;
	case 59:
		return 51;
	case 55:
		return 52;
	case 57:
		return 53;
	case 66:
		return 20;
	case 67:
		return 21;
	default:
		return 0;
	}
}

INLINE u16 poll_events(u32 f)
{
	return (f & 7) | BIT(f, 0x2000, 8) | BIT(f, 8, 16) | BIT(f, 0x10, 32) | BIT(f, 0x20, 64) | BIT(f, 0x40, 128) |
	       BIT(f, 0x80, 256) | BIT(f, 0x100, 512) | BIT(f, 0x200, 1024);
}

INLINE u16 futex_operation(u32 op)
{
	u32 base = op & 127;
	return (base <= 12 ? base : 0) | (op & (128 | 256));
}

INLINE u8 resource_limit(u32 r)
{
	return r <= 15 ? r : 255;
}

INLINE u8 shutdown_how(u32 how)
{
	return how <= 2 ? how : 255;
}

INLINE u8 seek_whence(u32 whence)
{
	return whence <= 2 ? whence : 0;
}

INLINE u16 semaphore_flags(u32 f)
{
	return BIT(f, 04000, 1) | BIT(f, 010000, 2);
}

INLINE u32 semget_flags(u32 f)
{
	return BIT(f, 01000, 8192) | BIT(f, 02000, 16384);
}

INLINE u16 semctl_command(u32 c)
{
	switch (c & 0xffff) {
	case 2:
		return 1;
	case 1:
		return 2;
	case 0:
		return 4;
	case 3:
		return 8;
	case 19:
		return 16;
	case 18:
		return 32;
	case 13:
		return 64;
	case 14:
		return 128;
	case 11:
		return 256;
	case 12:
		return 512;
	case 15:
		return 1024;
	case 17:
		return 2048;
	case 16:
		return 4096;
	default:
		return 0;
	}
}

INLINE u32 page_fault_flags(u32 error)
{
	return (error & 1 ? 1 : 2) | (error & 2 ? 4 : 8) | (error & 4 ? 16 : 32) | BIT(error, 8, 64) |
	       BIT(error, 16, 128);
}

INLINE u16 ptrace_request(u32 r)
{
	switch (r) {
	case 0 ... 9:
		return r + 1;
	case 16: case 17:
		return r - 5;
	case 24:
		return 13;
	case 0x4200 ... 0x420b:
		return r - 0x4200 + 14;
	/* Requests of x86. */
	case 12 ... 15:
		return r + 14;
	case 18: case 19:
		return r + 12;
	case 21:
		return 32;
	case 25: case 26:
		return r + 8;
	case 30 ... 33:
		return r + 5;
	default:
		return 0;
	}
}

INLINE u16 quota_command(u32 cmd)
{
	switch (cmd >> 8) {
	case 0x800001:
		return 128;
	case 0x800002:
		return 1;
	case 0x800003:
		return 2;
	case 0x800004:
		return 4;
	case 0x800005:
		return 8;
	case 0x800006:
		return 16;
	case 0x800007:
		return 32;
	case 0x800008:
		return 64;
	case 0x5801 ... 0x5807:
		return 256 << ((cmd >> 8) - 0x5801);
	default:
		return 0;
	}
}

INLINE u8 quota_format(u32 format)
{
	return format == 1 ? 2 : format == 2 ? 4 : format == 4 ? 8 : 1;
}

INLINE u32 mknod_mode(u32 mode)
{
	u32 kind = mode & 0170000;
	if (!kind)
		kind = 0100000;
	if (kind == 040000 || kind == 0120000)
		kind = 0;
	if (kind != 0140000 && kind != 0100000 && kind != 060000 && kind != 020000 && kind != 010000)
		kind = 0;
	return (mode & 07777) | kind;
}

INLINE u32 uring_setup_flags(u32 f)
{
	/* The kernel's bit 0 gives two results: IOPOLL and SQ_NEED_WAKEUP are both 1 there. */
	return BIT(f, 1, 1 | 4) | BIT(f, 2, 2) | BIT(f, 4, 8) | BIT(f, 8, 16) | BIT(f, 16, 32) | BIT(f, 32, 64) |
	       BIT(f, 64, 128);
}

INLINE u32 uring_features(u32 f)
{
	return f & (0xff | 0x200 | 0x400);
}

/* A device number of the kernel as user space encodes it. */
INLINE u32 user_device(u32 dev)
{
	u32 major = dev >> 20, minor = dev & 0xfffff;
	return (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
}

INLINE u64 known_capabilities(u64 set)
{
	return set & ((1ULL << 41) - 1);
}
