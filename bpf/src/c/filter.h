/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Which threads are recorded. What is not asked for costs nothing: the settings are constants to the verifier. */
#pragma once
#include "process.h"

INLINE bool is_excluded(s32 tgid)
{
#pragma unroll
	for (int i = 0; i < MAX_EXCLUDED; i++)
		if (excluded[i] && excluded[i] == tgid)
			return true;
	return false;
}

INLINE bool has_wanted_name(struct task_struct *task)
{
	u64 comm[2];
	bpf_probe_read_kernel(comm, sizeof(comm), ADDRESS(task, comm));
#pragma unroll
	for (int i = 0; i < MAX_COMMS; i++)
		if (i < comm_count && comms[i][0] == comm[0] && comms[i][1] == comm[1])
			return true;
	return false;
}

INLINE void count_suppressed(void)
{
	struct counts *counts = counts_here();
	if (counts)
		counts->suppressed++;
}

/* Whether events of the current thread, of process `tgid`, are wanted. */
INLINE bool is_process_recorded(s32 tgid)
{
	if (is_excluded(tgid))
		return false;
	if (only_tree && !bpf_map_lookup_elem(&tree, &tgid)) {
		count_suppressed();
		return false;
	}
	if (only_groups) {
		u64 id = bpf_get_current_cgroup_id();
		if (!bpf_map_lookup_elem(&groups, &id)) {
			count_suppressed();
			return false;
		}
	}
	if (comm_count && !has_wanted_name(current_task())) {
		count_suppressed();
		return false;
	}
	return true;
}

INLINE bool is_recorded(void)
{
	return is_process_recorded(bpf_get_current_pid_tgid() >> 32);
}
