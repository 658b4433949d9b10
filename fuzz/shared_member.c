/*
 * Messages about pages that enclaves share (GRANT, TAKE), from an init enclave that says anything, to a member whose
 * program uses them: the input is what happens (tests/unit/shared_member_world.c).
 *
 * fuzz-sources: tests/unit/shared_member_world.c tests/unit/one_task.c tests/unit/mm_machine.c tests/unit/mm_memory.c
 * fuzz-sources: kernel/remote/shared_member.c kernel/sched/wait.c kernel/mm/brk.c kernel/mm/commit.c kernel/mm/fault.c
 * fuzz-sources: kernel/mm/image.c kernel/mm/madvise.c kernel/mm/map.c kernel/mm/mremap.c kernel/mm/page_state.c
 * fuzz-sources: kernel/mm/shared.c kernel/mm/vma.c kernel/mm/debugger.c kernel/mm/expected.c kernel/mm/touched.c
 * fuzz-flags: -DCOFRE_HOSTED -Wno-unused-parameter
 */
#include "tests/unit/shared_member_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    shared_member_world_run(data, size);
    return 0;
}
