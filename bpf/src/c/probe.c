/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The probe: tells of every system call that ends, and of processes, in the form in which a capture has it.
 *
 * sys_exit -> is it wanted? -> program of the call -> event -> ring of the processor
 */
#include "enter.h"

/* ---- system calls ---- */

FIXED(generic, 1, 2, 34)
{
	u64 nr = c->regs->orig_ax;
	if (c->compat)
		nr = c->scratch ? c->scratch->message : 0;
	put_u16(b, call_code[nr & (MAX_CALLS - 1)]);
	put_u16(b, nr);
}

/* The number, among this machine's own calls, of one made by a 32-bit process. Its arguments go to s->args. */
INLINE u32 translate(struct scratch *s, struct pt_regs *regs, u32 nr)
{
	u64 args[6] = {(u32)regs->bx, (u32)regs->cx, (u32)regs->dx, (u32)regs->si, (u32)regs->di, (u32)regs->bp};
	if (nr == IA32_SOCKETCALL) {
		/* Calls of sockets by their code; those that x86_64 does not have are left out. */
		const u16 socket_calls[21] = {NO_CALL, 41, 49, 42, 50, 43, 51, 52, 53, NO_CALL, NO_CALL, 44, 45, 48, 54,
					      55, 46, 47, 288, 299, 307};
		u32 code = args[0];
		u32 narrow[6] = {};
		/* Past the end of the arguments there may be nothing to read. */
		if (bpf_probe_read_user(narrow, sizeof(narrow), (void *)args[1]) &&
		    bpf_probe_read_user(narrow, 12, (void *)args[1]))
			bpf_probe_read_user(narrow, 8, (void *)args[1]);
#pragma unroll
		for (int i = 0; i < 6; i++)
			s->args[i] = narrow[i];
		u32 found = NO_CALL;
#pragma unroll
		for (int i = 1; i < 21; i++)
			if (code == i)
				found = socket_calls[i];
		if (code == 5)
			s->args[3] = 0;
		return found;
	}
#pragma unroll
	for (int i = 0; i < 6; i++)
		s->args[i] = args[i];
	/* A process that became a 32-bit program: it is one already, the number still is the 64-bit call's. */
	if (nr == CALL_EXECVE || nr == CALL_EXECVEAT) {
		s->args[0] = regs->di;
		s->args[1] = regs->si;
		s->args[2] = regs->dx;
		s->args[3] = regs->r10;
		s->args[4] = regs->r8;
		s->args[5] = regs->r9;
		return nr;
	}
	return nr < MAX_CALLS ? call_of_ia32[nr] : NO_CALL;
}

SEC("tp_btf/sys_exit")
int sys_exit(u64 *ctx)
{
	struct pt_regs *regs = (void *)ctx[0];
	u64 nr = (u32)regs->orig_ax;
	/* A call that was cancelled, or is being restarted. */
	if (nr == (u32)-1)
		return 0;
	struct caller caller = current_caller();
	if (unlikely(caller.compat)) {
		struct scratch *s = scratch_here();
		if (!s)
			return 0;
		nr = translate(s, regs, nr);
		/* For generic events, which tell the number. */
		s->message = nr;
	}
	if (nr >= MAX_CALLS || !wanted[nr])
		return 0;
	if (drop_failed && (s64)ctx[1] < 0)
		return 0;
	if (!is_process_recorded(caller.tgid))
		return 0;
	if (unlikely(nr == CALL_SENDMMSG || nr == CALL_RECVMMSG)) {
		struct scratch *s = scratch_here();
		if (s)
			s->message = 0;
	}
	bpf_tail_call(ctx, &calls, nr);
	return 0;
}

/* ---- processes ---- */

enum { PF_EXITING = 4, PF_KTHREAD = 0x200000 };

SEC("tp_btf/sched_process_exec")
int exec(u64 *ctx)
{
	struct task_struct *task = current_task();
	struct linux_binprm *bprm = (void *)ctx[2];
	if ((READ(task, flags) & PF_KTHREAD) || !is_recorded())
		return 0;
	struct scratch *s = scratch_here();
	if (!s)
		return 0;
	struct build build, *b = &build;
	start_event(b, s->event, 293, 31, 0, (u32)bpf_get_current_pid_tgid());
	put_u64(b, 0);
	put_command(b, task);
	put_thread(b, task);
	put_cgroups(b, s);
	put_environment(b, task);
	put_program(b, s, task);
	put_kernel_string(b, READ(bprm, filename), MAX_STRING);
	if (b->next != 31)
		wrong_layout();
	send(b, 293);
	return 0;
}

/* Attached only where a tree of processes is followed: its children belong to it. */
SEC("tp_btf/sched_process_fork")
int fork(u64 *ctx)
{
	struct task_struct *parent = (void *)ctx[0], *child = (void *)ctx[1];
	s32 from = READ(parent, tgid), to = READ(child, tgid);
	u8 yes = 1;
	if (from != to && bpf_map_lookup_elem(&tree, &from))
		bpf_map_update_elem(&tree, &to, &yes, 0);
	return 0;
}

/* A thread of the process that does not exit itself; 0 if there is none, -1 if they are too many to look through. */
APART int living_thread(u64 address)
{
	struct task_struct *task = (void *)address;
	struct signal_struct *signal = READ(task, signal);
	if (!signal)
		return 0;
	void *head = ADDRESS(signal, thread_head);
	struct list_head *entry = READ(signal, thread_head.next);
	for (int i = 0; i < 30; i++) {
		if (!entry || entry == head)
			return 0;
		struct task_struct *thread = (void *)entry - offset_in(struct task_struct, thread_node);
		if (!(READ(thread, flags) & PF_EXITING))
			return READ(thread, pid);
		entry = READ(entry, next);
	}
	return -1;
}

/* The thread that becomes the parent of the children of one that exits; 0 if it has none, -1 if it cannot be told. */
INLINE s64 new_parent(struct task_struct *task)
{
	void *children = ADDRESS(task, children);
	if (READ(task, children.next) == children)
		return 0;
	s32 sibling = living_thread((u64)task);
	if (sibling)
		return sibling;
	struct pid_namespace *ns = pid_namespace_of(task);
	if (!ns)
		return 0;
	struct task_struct *init = READ(ns, child_reaper);
	if (init == task)
		return 0;
	s32 init_pid = READ(init, pid);
	struct signal_struct *signal = READ(task, signal);
	if (!READ_BITS(signal, has_child_subreaper))
		return init_pid;
	u32 level = READ(ns, level);
	struct task_struct *above = task;
	for (int i = 0; i < 60; i++) {
		above = READ(above, real_parent);
		if (!above || above == init)
			return init_pid;
		struct pid_namespace *other = pid_namespace_of(above);
		if (!other || READ(other, level) != level)
			return init_pid;
		signal = READ(above, signal);
		if (READ_BITS(signal, is_child_subreaper)) {
			s32 thread = living_thread((u64)above);
			if (thread)
				return thread;
		}
	}
	return -1;
}

SEC("tp_btf/sched_process_exit")
int process_exit(u64 *ctx)
{
	struct task_struct *task = current_task();
	bool recorded = is_recorded();
	if (only_tree) {
		struct signal_struct *signal = READ(task, signal);
		s32 tgid = READ(task, tgid);
		if (READ(signal, live.counter) == 0)
			bpf_map_delete_elem(&tree, &tgid);
	}
	if (!recorded || (READ(task, flags) & PF_KTHREAD))
		return 0;
	enum { LEN = HEADER + 5 * 2 + 8 + 8 + 1 + 1 + 8 };
	s64 parent = new_parent(task);
	s32 code = READ(task, exit_code);
	u32 sig = code & 0x7f;
	u8 *event = reserve(LEN, 186);
	if (!event)
		return 0;
	struct build build, *b = &build;
	start_event(b, event, 186, 5, LEN, (u32)bpf_get_current_pid_tgid());
	put_u64(b, (s64)code);
	put_u64(b, (code >> 8) & 0xff);
	/* 0x7f means stopped, which no thread that exits is. */
	put_u8(b, sig != 0x7f ? sig : 0);
	put_u8(b, code & 0x80 ? 1 : 0);
	put_u64(b, parent);
	bpf_ringbuf_submit(event, RB_NO_WAKEUP);
	return 0;
}

/* ---- signals, the scheduler, memory ---- */

enum {
	SIGHUP = 1,
	SIGINT = 2,
	SIGQUIT = 3,
	SIGKILL = 9,
	SIGTERM = 15,
	SIGCHLD = 17,
	SIGTSTP = 20,
	SIGRTMIN = 32,
	SIGRTMAX = 65,
	/* Where siginfo has the sender, behind its three numbers. */
	SI_PID = 16,
};

SEC("tp_btf/signal_deliver")
int signal(u64 *ctx)
{
	u32 sig = ctx[0];
	struct kernel_siginfo *info = (void *)ctx[1];
	if (!is_recorded())
		return 0;
	s32 sender = 0, code = 0;
	if (info) {
		bpf_probe_read_kernel(&sender, sizeof(sender), (void *)info + SI_PID);
		code = READ(info, si_code);
	}
	bool sent = sig == SIGKILL || sig == SIGCHLD || (sig >= SIGRTMIN && sig <= SIGRTMAX) ||
		    (code <= 0 && (sig == SIGTERM || sig == SIGHUP || sig == SIGINT || sig == SIGTSTP || sig == SIGQUIT));
	enum { LEN = HEADER + 3 * 2 + 8 + 8 + 1 };
	u8 *event = reserve(LEN, 232);
	if (!event)
		return 0;
	struct build build, *b = &build;
	u32 tid = bpf_get_current_pid_tgid();
	start_event(b, event, 232, 3, LEN, tid);
	put_u64(b, sent ? (s64)sender : 0);
	put_u64(b, tid);
	put_u8(b, sig);
	bpf_ringbuf_submit(event, RB_NO_WAKEUP);
	return 0;
}

SEC("tp_btf/sched_switch")
int sched_switch(u64 *ctx)
{
	struct task_struct *previous = (void *)ctx[1], *next = (void *)ctx[2];
	if (!is_recorded())
		return 0;
	enum { LEN = HEADER + 6 * 2 + 3 * 8 + 3 * 4 };
	u8 *event = reserve(LEN, 152);
	if (!event)
		return 0;
	struct build build, *b = &build;
	start_event(b, event, 152, 6, LEN, (u32)bpf_get_current_pid_tgid());
	put_u64(b, READ(next, pid));
	put_faults(b, previous);
	put_memory(b, previous);
	bpf_ringbuf_submit(event, RB_NO_WAKEUP);
	return 0;
}

INLINE int page_fault(u64 *ctx)
{
	struct pt_regs *regs = (void *)ctx[1];
	if (!is_recorded())
		return 0;
	enum { LEN = HEADER + 3 * 2 + 8 + 8 + 4 };
	u8 *event = reserve(LEN, 290);
	if (!event)
		return 0;
	struct build build, *b = &build;
	start_event(b, event, 290, 3, LEN, (u32)bpf_get_current_pid_tgid());
	put_u64(b, ctx[0]);
	put_u64(b, regs->ip);
	put_u32(b, page_fault_flags(ctx[2]));
	bpf_ringbuf_submit(event, RB_NO_WAKEUP);
	return 0;
}

SEC("tp_btf/page_fault_user")
int page_fault_user(u64 *ctx)
{
	return page_fault(ctx);
}

SEC("tp_btf/page_fault_kernel")
int page_fault_kernel(u64 *ctx)
{
	return page_fault(ctx);
}

/* The kernel lends its helpers only to programs under a licence that it accepts. */
char probe_license[] SEC("license") = "Dual MIT/GPL";
