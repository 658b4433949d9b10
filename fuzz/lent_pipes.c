/*
 * A pipe that the init enclave lends to two members: the input chooses what its programs do, and what a member that
 * lies says to the init enclave and to the other one (tests/unit/lent_world.h).
 *
 * fuzz-sources: tests/unit/lent_world.c tests/unit/lent_writer.c tests/unit/lent_reader.c tests/unit/hosted_heap.c
 * fuzz-sources: kernel/remote/pipe_lender.c kernel/fs/pipe.c kernel/sched/wait.c
 * fuzz-flags: -DCOFRE_HOSTED -include fuzz/kernel_state.h -Itests/unit -w
 */
#include "fresh_kernel.h"

#include "lent_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct lent_world_counts counts;
    fresh_kernel_begin();
    lent_world_counts = &counts;
    lent_world_run(data, size);
    fresh_kernel_end();
    return 0;
}
