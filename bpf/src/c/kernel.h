/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Kernel types, only the members that the probe reads. The loader relocates every access to where the running
 * kernel has the member (CO-RE), so order and size here mean nothing. A suffix after three underscores names the
 * same kernel type as other versions have it. */
#pragma once
#include "helpers.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct pt_regs {
	unsigned long r10, r9, r8, bp, bx, cx, dx, si, di, ax, orig_ax, ip;
};

struct thread_info {
	u32 status;
};

struct list_head {
	struct list_head *next, *prev;
};

struct qstr {
	const unsigned char *name;
};

struct super_block {
	u32 s_dev;
	unsigned long s_flags;
	unsigned long s_magic;
};

typedef struct {
	u32 val;
} kuid_t;
typedef struct {
	u32 val;
} kgid_t;

struct timespec64 {
	s64 tv_sec;
	long tv_nsec;
};

struct inode {
	u16 i_mode;
	kuid_t i_uid;
	kgid_t i_gid;
	u32 i_flags;
	struct super_block *i_sb;
	unsigned long i_ino;
	/* 6.11 and later */
	s64 i_mtime_sec, i_ctime_sec;
	u32 i_mtime_nsec, i_ctime_nsec;
};

/* 6.6 and 6.7 to 6.10 */
struct inode___hidden {
	struct timespec64 __i_ctime, __i_mtime;
};
/* up to 6.5 */
struct inode___old {
	struct timespec64 i_ctime, i_mtime;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	u32 f_mode;
	struct path f_path;
	struct inode *f_inode;
	void *private_data;
};

struct fdtable {
	u32 max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct percpu_counter {
	s64 count;
};

struct mm_struct {
	unsigned long total_vm, arg_start, arg_end, env_start, env_end;
	struct percpu_counter rss_stat[4];
	struct file *exe_file;
};

/* up to 6.1 */
struct mm_rss_stat {
	s64 count[4];
};
struct mm_struct___old {
	struct mm_rss_stat rss_stat;
};

struct pid_namespace;

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	u32 level;
	struct upid numbers[1];
};

struct ns_common {
	u32 inum;
};

struct task_struct;

struct pid_namespace {
	struct task_struct *child_reaper;
	u32 level;
};

struct nsproxy {
	struct pid_namespace *pid_ns_for_children;
};

struct uid_gid_extent {
	u32 first, lower_first, count;
};

struct uid_gid_map {
	u32 nr_extents;
	struct uid_gid_extent extent[5];
};

struct user_namespace {
	struct uid_gid_map uid_map, gid_map;
};

struct group_info {
	int ngroups;
	kgid_t gid[1];
};

struct cap_set {
	u64 val;
};

struct cred {
	kuid_t euid, fsuid;
	kgid_t egid, fsgid;
	struct cap_set cap_inheritable, cap_permitted, cap_effective;
	struct user_namespace *user_ns;
	struct group_info *group_info;
};

struct rlimit {
	unsigned long rlim_cur, rlim_max;
};

struct tty_driver {
	int major, minor_start;
};

struct tty_struct {
	struct tty_driver *driver;
	int index;
};

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
	struct list_head thread_head;
	u32 is_child_subreaper : 1;
	u32 has_child_subreaper : 1;
	struct pid *pids[4];
	struct tty_struct *tty;
	struct rlimit rlim[16];
};

enum pid_type { TYPE_PID, TYPE_TGID, TYPE_PGID, TYPE_SID };

struct kernfs_node {
	struct kernfs_node *__parent;
	const char *name;
};
/* up to 6.14 */
struct kernfs_node___old {
	struct kernfs_node *parent;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

struct css_set {
	struct cgroup_subsys_state *subsys[16];
};

enum cgroup_subsys_id { cpuset_cgrp_id, cpu_cgrp_id, cpuacct_cgrp_id, io_cgrp_id, memory_cgrp_id };

struct task_struct {
	struct thread_info thread_info;
	u32 flags;
	struct mm_struct *mm;
	int exit_code;
	int pid, tgid;
	struct task_struct *real_parent;
	struct list_head children;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct list_head thread_node;
	u64 start_time;
	unsigned long min_flt, maj_flt;
	const struct cred *cred;
	char comm[16];
	struct files_struct *files;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	kuid_t loginuid;
	struct css_set *cgroups;
};

struct audit_task_info {
	kuid_t loginuid;
};
/* ChromiumOS */
struct task_struct___audit {
	struct audit_task_info *audit;
};

struct in6_addr {
	u32 words[4];
};

struct sock_common {
	u32 skc_daddr, skc_rcv_saddr;
	u16 skc_dport, skc_num;
	u16 skc_family;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
};

struct sock {
	struct sock_common __sk_common;
	u32 sk_ack_backlog, sk_max_ack_backlog;
};

struct ipv6_pinfo {
	struct in6_addr saddr;
};

struct inet_sock {
	struct sock sk;
	struct ipv6_pinfo *pinet6;
	u32 inet_saddr;
	u16 inet_sport;
};

struct sockaddr_un {
	char sun_path[108];
};

struct unix_address {
	int len;
	struct sockaddr_un name[1];
};

struct unix_sock {
	struct sock sk;
	struct unix_address *addr;
	struct sock *peer;
};

struct socket {
	struct sock *sk;
};

struct linux_binprm {
	const char *filename;
};

/* The kernel's copy of siginfo: members at the ABI's places, which do not move. */
struct kernel_siginfo {
	int si_signo, si_errno, si_code;
};

/* Presence only: whether the running kernel describes the call's structure. */
struct io_uring_params;

#pragma clang attribute pop
