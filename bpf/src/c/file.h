/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What events say of files. */
#pragma once
#include "task.h"

enum {
	S_IFMT = 0170000,
	S_IFSOCK = 0140000,
	S_IFLNK = 0120000,
	S_IFREG = 0100000,
	S_IFDIR = 040000,
	OVERLAY_MAGIC = 0x794c7630,
	FMODE_CREATED = 0x100000,
	LAYER_NONE = 0,
	LAYER_UPPER = 1,
	LAYER_LOWER = 2,
};

INLINE struct file *file_of(s64 fd)
{
	struct task_struct *task = current_task();
	struct files_struct *files = READ(task, files);
	if (!files)
		return NULL;
	struct fdtable *table = READ(files, fdt);
	if (!table || fd < 0 || fd >= READ(table, max_fds))
		return NULL;
	struct file *file = NULL;
	bpf_probe_read_kernel(&file, sizeof(file), READ(table, fd) + fd);
	return file;
}

/* On which side of an overlay an inode is. */
INLINE u32 overlay_layer(struct inode *inode)
{
	struct super_block *sb = READ(inode, i_sb);
	if (READ(sb, s_magic) != OVERLAY_MAGIC)
		return LAYER_NONE;
	/* overlayfs's own inode is not in the kernel's type information where it is a module: the upper dentry
	 * stands right behind the inode that it has inside. */
	struct dentry *upper = NULL;
	bpf_probe_read_kernel(&upper, sizeof(upper), (void *)inode + kernel_size_of(struct inode));
	if (!upper)
		return LAYER_LOWER;
	struct inode *real = READ(upper, d_inode);
	return real && READ(real, i_ino) ? LAYER_UPPER : LAYER_LOWER;
}

/* What an open event says of the file it opened. */
struct opened {
	u32 dev;
	u64 ino;
	u32 layer;
	bool created;
};

INLINE struct opened opened_file(s64 fd)
{
	struct opened o = {};
	struct file *file = fd >= 0 ? file_of(fd) : NULL;
	if (!file)
		return o;
	struct inode *inode = READ(file, f_inode);
	struct super_block *sb = READ(inode, i_sb);
	o.dev = user_device(READ(sb, s_dev));
	o.ino = READ(inode, i_ino);
	o.layer = overlay_layer(inode);
	o.created = READ(file, f_mode) & FMODE_CREATED;
	return o;
}

INLINE u32 opened_flags(u32 flags, struct opened *o)
{
	return open_flags(flags) | (o->created ? 16384 : 0) | (o->layer == LAYER_UPPER ? 32768 : 0) |
	       (o->layer == LAYER_LOWER ? 65536 : 0);
}

INLINE u64 inode_number(s64 fd)
{
	struct file *file = file_of(fd);
	struct inode *inode = file ? READ(file, f_inode) : NULL;
	return inode ? READ(inode, i_ino) : 0;
}

enum { PATH_STEPS = 96 };

/* Appends the path of a file, rebuilt from its names and mounts up to the root of the mount tree. */
APART int add_path(u64 address)
{
	struct scratch *s = scratch_here();
	struct file *file = (void *)address;
	if (!s || !file)
		return 0;
	struct vfsmount *vfsmount = READ(file, f_path.mnt);
	struct dentry *dentry = READ(file, f_path.dentry);
	struct mount *mount = (void *)vfsmount - offset_in(struct mount, mnt);
	struct dentry *first = dentry;
	/* Written backwards from the middle of s->path; the other half takes what one name has too much. */
	s->start = MAX_STRING - 1;
	s->path[MAX_STRING - 1] = 0;
	for (int i = 0; i < PATH_STEPS; i++) {
		struct dentry *parent = READ(dentry, d_parent);
		struct dentry *root = READ(mount, mnt.mnt_root);
		if (dentry == root) {
			struct mount *above = READ(mount, mnt_parent);
			if (above == mount)
				break;
			dentry = READ(mount, mnt_mountpoint);
			mount = above;
			continue;
		}
		if (dentry == parent)
			break;
		/* Its length is not known before it is read: to the second half, then in its place. */
		long len = bpf_probe_read_kernel_str(s->path + MAX_STRING, 256, READ(dentry, d_name.name));
		if (len <= 1)
			break;
		u64 count = len - 1;
		u32 start = s->start;
		if (count > 255 || start < count + 1)
			break;
		start -= count + 1;
		s->start = start;
		u32 to = start & (MAX_STRING - 1);
		s->path[to] = '/';
		opaque(count);
		if (count > 255)
			break;
		bpf_probe_read_kernel(s->path + to + 1, count, s->path + MAX_STRING);
		dentry = parent;
	}
	u64 at = s->at;
	u8 *to = s->event + (at & (MAX_EVENT - 1));
	long len;
	u32 start = s->start;
	if (start == MAX_STRING - 1)
		/* A root: of memory files, whose name is what there is; or of the tree, whose name is /. */
		len = bpf_probe_read_kernel_str(to, MAX_STRING, READ(first, d_name.name));
	else
		len = bpf_probe_read_kernel_str(to, MAX_STRING, s->path + (start & (MAX_STRING - 1)));
	if (len > 0)
		s->at = at + len;
	return 0;
}

INLINE void put_path(struct build *b, struct scratch *s, struct file *file)
{
	u64 from = b->at;
	if (file) {
		hand_over(b, s);
		add_path((u64)file);
		take_back(b, s);
	}
	put_added(b, from);
}

/* Memory files are their own root, with a name that says so. */
INLINE bool is_memory_file(struct file *file)
{
	struct dentry *dentry = READ(file, f_path.dentry);
	if (READ(dentry, d_parent) != dentry)
		return false;
	u64 name = 0;
	const unsigned char *text = READ(dentry, d_name.name);
	bpf_probe_read_kernel(&name, 6, text);
	return name == 0x3a64666d656dULL; /* memfd: */
}

INLINE bool is_mapped(struct uid_gid_map *map, u32 id)
{
	u32 extents = READ(map, nr_extents);
	bool mapped = false;
#pragma unroll
	for (int i = 0; i < 5; i++) {
		struct uid_gid_extent extent = READ(map, extent[i]);
		if (i < extents && id >= extent.lower_first && id - extent.lower_first < extent.count)
			mapped = true;
	}
	return mapped;
}

INLINE bool in_group(const struct cred *cred, u32 gid)
{
	if (READ(cred, fsgid).val == gid)
		return true;
	struct group_info *info = READ(cred, group_info);
	if (!info)
		return false;
	/* Groups are sorted. */
	u32 low = 0, high = READ(info, ngroups);
	for (int i = 0; i < 16; i++) {
		if (low >= high)
			break;
		u32 middle = (low + high) / 2;
		u32 found = 0;
		bpf_probe_read_kernel(&found, sizeof(found), ADDRESS(info, gid) + middle * sizeof(found));
		if (found == gid)
			return true;
		if (found < gid)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

enum {
	SB_RDONLY = 1,
	S_IMMUTABLE = 8,
	CAP_DAC_OVERRIDE = 1,
	CAP_FOWNER = 3,
};

/* Whether the task may write to the file that it runs. */
APART int may_write(u64 task_address, u64 inode_address)
{
	struct task_struct *task = (void *)task_address;
	struct inode *inode = (void *)inode_address;
	struct super_block *sb = READ(inode, i_sb);
	u32 mode = READ(inode, i_mode), kind = mode & S_IFMT;
	if ((READ(sb, s_flags) & SB_RDONLY) && (kind == S_IFREG || kind == S_IFDIR || kind == S_IFLNK))
		return 0;
	if (READ(inode, i_flags) & S_IMMUTABLE)
		return 0;
	u32 uid = READ(inode, i_uid).val, gid = READ(inode, i_gid).val;
	if (uid == (u32)-1 || gid == (u32)-1)
		return 0;
	const struct cred *cred = READ(task, cred);
	if (READ(cred, fsuid).val == uid)
		return 1;
	if (mode & (in_group(cred, gid) ? 0020 : 0002))
		return 1;
	struct user_namespace *ns = READ(cred, user_ns);
	bool user_mapped = is_mapped(ADDRESS(ns, uid_map), uid);
	u64 caps = 0;
	bpf_probe_read_kernel(&caps, sizeof(caps), ADDRESS(cred, cap_effective));
	if ((caps & (1 << CAP_DAC_OVERRIDE)) && user_mapped && is_mapped(ADDRESS(ns, gid_map), gid))
		return 1;
	return (caps & (1 << CAP_FOWNER)) && user_mapped;
}

INLINE u64 nanoseconds(s64 sec, u32 nsec)
{
	return sec < 0 ? 0 : sec * 1000000000ULL + nsec;
}

INLINE u64 change_time(struct inode *inode)
{
	struct inode___hidden *hidden = (void *)inode;
	struct inode___old *old = (void *)inode;
	/* From 6.13 on the highest bit of the nanoseconds says whether the time was looked at. */
	if (field_exists(inode, i_ctime_sec))
		return nanoseconds(READ(inode, i_ctime_sec), READ(inode, i_ctime_nsec) & 0x7fffffff);
	if (field_exists(hidden, __i_ctime))
		return nanoseconds(READ(hidden, __i_ctime.tv_sec), READ(hidden, __i_ctime.tv_nsec));
	return nanoseconds(READ(old, i_ctime.tv_sec), READ(old, i_ctime.tv_nsec));
}

INLINE u64 modify_time(struct inode *inode)
{
	struct inode___hidden *hidden = (void *)inode;
	struct inode___old *old = (void *)inode;
	if (field_exists(inode, i_mtime_sec))
		return nanoseconds(READ(inode, i_mtime_sec), READ(inode, i_mtime_nsec));
	if (field_exists(hidden, __i_mtime))
		return nanoseconds(READ(hidden, __i_mtime.tv_sec), READ(hidden, __i_mtime.tv_nsec));
	return nanoseconds(READ(old, i_mtime.tv_sec), READ(old, i_mtime.tv_nsec));
}

INLINE u32 executable_flags(struct task_struct *task, struct file *file)
{
	if (!file)
		return 0;
	struct inode *inode = READ(file, f_inode);
	u32 layer = overlay_layer(inode);
	return (may_write((u64)task, (u64)inode) ? 1 : 0) | (layer == LAYER_UPPER ? 2 : 0) |
	       (is_memory_file(file) ? 4 : 0) | (layer == LAYER_LOWER ? 8 : 0);
}
