/*
 * Messages about pages that enclaves share (GET, BACK), from members of which some lie: the input is what happens, one
 * step after another (tests/unit/shared_world.c).
 *
 * fuzz-sources: tests/unit/shared_world.c tests/unit/one_task.c tests/unit/hosted_heap.c
 * fuzz-sources: tests/unit/hosted_libc.c kernel/remote/shared_home.c
 * fuzz-sources: kernel/remote/directory.c kernel/remote/page_use.c kernel/remote/turn.c
 * fuzz-sources: kernel/fs/page_map.c kernel/sched/timer.c
 * fuzz-flags: -DCOFRE_HOSTED -Wno-unused-parameter
 */
#include "tests/unit/shared_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    shared_world_run(data, size);
    return 0;
}
