/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Calls that take paths. Parameters as driver-events section 2.3 has them. */
#pragma once
#include "call.h"

/* The user string in argument n. */
#define PATH(n) put_user_string(b, arg(c, n), MAX_STRING)
#define RESULT() put_u64(b, c->ret)
#define FD(n) put_u64(b, int_arg(c, n))
#define INT(n) put_u64(b, int_arg(c, n))
#define U32(n) put_u32(b, arg(c, n))
#define U64(n) put_u64(b, arg(c, n))

VARIABLE(open, 3, 6)
{
	struct opened o = opened_file(c->ret);
	u32 flags = arg(c, 1);
	RESULT();
	PATH(0);
	put_u32(b, opened_flags(flags, &o));
	put_u32(b, open_mode(flags, arg(c, 2)));
	put_u32(b, o.dev);
	put_u64(b, o.ino);
}

VARIABLE(creat, 59, 6)
{
	struct opened o = opened_file(c->ret);
	RESULT();
	PATH(0);
	put_u32(b, open_mode(0100, arg(c, 1)));
	put_u32(b, o.dev);
	put_u64(b, o.ino);
	put_u16(b, o.layer);
}

VARIABLE(openat, 307, 7)
{
	struct opened o = opened_file(c->ret);
	u32 flags = arg(c, 2);
	RESULT();
	FD(0);
	PATH(1);
	put_u32(b, opened_flags(flags, &o));
	put_u32(b, open_mode(flags, arg(c, 3)));
	put_u32(b, o.dev);
	put_u64(b, o.ino);
}

struct open_how_args {
	u64 flags, mode, resolve;
};

INLINE struct open_how_args open_how(u64 address)
{
	struct open_how_args how = {};
	if (address && bpf_probe_read_user(&how, sizeof(how), (void *)address))
		how.flags = how.mode = how.resolve = 0;
	return how;
}

VARIABLE(openat2, 327, 8)
{
	struct opened o = opened_file(c->ret);
	struct open_how_args how = open_how(arg(c, 2));
	RESULT();
	FD(0);
	PATH(1);
	put_u32(b, opened_flags(how.flags, &o));
	put_u32(b, open_mode(how.flags, how.mode));
	put_u32(b, resolve_flags(how.resolve));
	put_u32(b, o.dev);
	put_u64(b, o.ino);
}

VARIABLE(open_by_handle_at, 337, 6)
{
	struct opened o = opened_file(c->ret);
	RESULT();
	FD(0);
	put_u32(b, opened_flags(arg(c, 2), &o));
	put_path(b, s, c->ret >= 0 ? file_of(c->ret) : NULL);
	put_u32(b, o.dev);
	put_u64(b, o.ino);
}

/* Calls of a result and one path. */
#define ONE_PATH(name, type)                                                                                           \
	VARIABLE(name, type, 2)                                                                                        \
	{                                                                                                              \
		RESULT();                                                                                              \
		PATH(0);                                                                                               \
	}

ONE_PATH(stat, 67)
ONE_PATH(lstat, 69)
ONE_PATH(chdir, 95)
ONE_PATH(chroot, 267)
ONE_PATH(rmdir, 279)
ONE_PATH(unlink, 301)
/* The call with one argument, where there is one. */
ONE_PATH(umount, 387)

VARIABLE(getcwd, 93, 2)
{
	RESULT();
	put_user_string(b, c->ret >= 0 ? arg(c, 0) : 0, MAX_STRING);
}

VARIABLE(rename, 175, 3)
{
	RESULT();
	PATH(0);
	PATH(1);
}

VARIABLE(renameat, 177, 5)
{
	RESULT();
	FD(0);
	PATH(1);
	FD(2);
	PATH(3);
}

VARIABLE(renameat2, 319, 6)
{
	RESULT();
	FD(0);
	PATH(1);
	FD(2);
	PATH(3);
	U32(4);
}

VARIABLE(symlink, 179, 3)
{
	RESULT();
	PATH(0);
	PATH(1);
}

VARIABLE(symlinkat, 181, 4)
{
	RESULT();
	PATH(0);
	FD(1);
	PATH(2);
}

VARIABLE(link, 309, 3)
{
	RESULT();
	PATH(0);
	PATH(1);
}

VARIABLE(linkat, 311, 6)
{
	RESULT();
	FD(0);
	PATH(1);
	FD(2);
	PATH(3);
	put_u32(b, arg(c, 4) & (0x400 | 0x1000));
}

VARIABLE(access, 265, 3)
{
	RESULT();
	PATH(0);
	put_u32(b, arg(c, 1) & 7);
}

VARIABLE(mkdir, 277, 3)
{
	RESULT();
	PATH(0);
	U32(1);
}

VARIABLE(mkdirat, 305, 4)
{
	RESULT();
	FD(0);
	PATH(1);
	U32(2);
}

VARIABLE(unlinkat, 303, 4)
{
	RESULT();
	FD(0);
	PATH(1);
	put_u32(b, arg(c, 2) & 0x200);
}

VARIABLE(chmod, 315, 3)
{
	RESULT();
	PATH(0);
	put_u32(b, arg(c, 1) & 07777);
}

VARIABLE(fchmodat, 313, 4)
{
	RESULT();
	FD(0);
	PATH(1);
	put_u32(b, arg(c, 2) & 07777);
}

#define CHOWN(name, type)                                                                                              \
	VARIABLE(name, type, 4)                                                                                        \
	{                                                                                                              \
		RESULT();                                                                                              \
		PATH(0);                                                                                               \
		U32(1);                                                                                                \
		U32(2);                                                                                                \
	}

CHOWN(chown, 379)
CHOWN(lchown, 381)

VARIABLE(fchownat, 385, 6)
{
	RESULT();
	FD(0);
	PATH(1);
	U32(2);
	U32(3);
	put_u32(b, arg(c, 4) & (0x400 | 0x1000));
}

VARIABLE(mknod, 415, 4)
{
	RESULT();
	PATH(0);
	put_u32(b, mknod_mode(arg(c, 1)));
	put_u32(b, user_device(arg(c, 2)));
}

VARIABLE(mknodat, 417, 5)
{
	RESULT();
	FD(0);
	PATH(1);
	put_u32(b, mknod_mode(arg(c, 2)));
	put_u32(b, user_device(arg(c, 3)));
}

VARIABLE(newfstatat, 419, 4)
{
	RESULT();
	FD(0);
	PATH(1);
	put_u32(b, arg(c, 3) & (0x100 | 0x800 | 0x1000));
}

VARIABLE(mount, 257, 5)
{
	u32 flags = arg(c, 3);
	RESULT();
	PATH(0);
	PATH(1);
	PATH(2);
	/* The magic number that old programs put in the upper half says nothing. */
	put_u32(b, (flags & 0xffff0000) == 0xC0ED0000 ? flags & 0xffff : flags);
}

VARIABLE(umount2, 391, 3)
{
	RESULT();
	PATH(0);
	put_u32(b, arg(c, 1) & 15);
}

VARIABLE(memfd_create, 405, 3)
{
	RESULT();
	PATH(0);
	put_u32(b, arg(c, 1) & 7);
}

VARIABLE(init_module, 411, 4)
{
	u64 len = arg(c, 1), limit = snaplen(411);
	RESULT();
	put_user_bytes(b, arg(c, 0), len < limit ? len : limit);
	U64(1);
	PATH(2);
}

VARIABLE(finit_module, 413, 4)
{
	RESULT();
	FD(0);
	PATH(1);
	put_u32(b, arg(c, 2) & 7);
}

VARIABLE(delete_module, 425, 3)
{
	u32 flags = arg(c, 1);
	RESULT();
	PATH(0);
	put_u32(b, BIT(flags, 04000, 2) | BIT(flags, 01000, 1));
}

VARIABLE(fsconfig, 373, 7)
{
	u32 cmd = arg(c, 1);
	bool text = cmd == 1 || cmd == 3 || cmd == 4;
	RESULT();
	FD(0);
	put_u32(b, cmd);
	PATH(2);
	put_user_bytes(b, c->ret >= 0 && cmd == 2 ? arg(c, 3) : 0, (u16)arg(c, 4));
	put_user_string(b, c->ret >= 0 && text ? arg(c, 3) : 0, MAX_STRING);
	put_u32(b, arg(c, 4));
}
