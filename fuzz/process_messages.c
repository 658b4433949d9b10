/*
 * Messages about processes, from members to the init enclave, and what the host does meanwhile: the input is what
 * happens, one step after another (tests/unit/members_world.c). The process table, agents, streams and the pool of
 * enclaves are the kernel's own.
 *
 * fuzz-sources: tests/unit/members_world.c tests/unit/members_kernel.c tests/unit/coroutines.c tests/unit/hosted_libc.c
 * fuzz-sources: tests/unit/hosted_heap.c tests/unit/sum_cipher.c tests/unit/no_timers.c
 * fuzz-sources: kernel/process/child.c kernel/process/end.c kernel/process/ids.c kernel/process/inspect.c
 * fuzz-sources: kernel/process/kill.c kernel/process/limits.c kernel/process/process.c kernel/process/siginfo.c
 * fuzz-sources: kernel/process/signal.c kernel/process/table.c kernel/process/wait_child.c kernel/process/exec_args.c
 * fuzz-sources: kernel/fs/tty_session.c kernel/sched/wait.c kernel/sched/output.c kernel/arch/untrusted.c
 * fuzz-sources: kernel/remote/agent_memory.c kernel/remote/area.c kernel/remote/calls.c kernel/remote/check.c
 * fuzz-sources: kernel/remote/exec_link.c kernel/remote/handle.c kernel/remote/link.c kernel/remote/process_link.c
 * fuzz-sources: kernel/remote/server.c kernel/remote/spawn.c kernel/remote/stream.c kernel/remote/work.c
 * fuzz-sources: kernel/remote/pending.c kernel/remote/show.c kernel/remote/programs.c kernel/mm/touched.c
 * fuzz-sources: kernel/remote/frames.c kernel/remote/sealed.c tests/unit/no_loans.c
 * fuzz-flags: -DCOFRE_HOSTED -Wno-unused-parameter
 */
#include "tests/unit/members_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    members_world_run(data, size);
    return 0;
}
