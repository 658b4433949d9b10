/*
 * Leases and posts between the init enclave, a member that keeps to the rules and one that does not (the first byte is
 * even), or a member whose init enclave says anything (odd): the rest is what happens (tests/unit/lease_world.c).
 *
 * fuzz-sources: tests/unit/lease_world.c tests/unit/lease_kernel.c tests/unit/lease_files.c tests/unit/hosted_libc.c
 * fuzz-sources: tests/unit/hosted_heap.c kernel/remote/leases.c kernel/remote/leased.c
 * fuzz-sources: kernel/remote/assured.c kernel/remote/posts.c kernel/remote/posted.c kernel/remote/descriptors.c
 * fuzz-flags: -DCOFRE_HOSTED -Wno-unused-parameter -DLEASE_SIZE_MAX=40 -DLEASE_BYTES_MAX=100 -DLEASE_PIECE_MAX=16
 */
#include "tests/unit/lease_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && size < 4096)
        (data[0] & 1 ? lease_world_run_hostile : lease_world_run)(data + 1, size - 1);
    return 0;
}
