/*
 * What the init enclave tells a member, and answers it: adoptions with their streams, signals, programs, files. The
 * input is all of it, one after the other (tests/unit/member_world.c).
 *
 * fuzz-sources: tests/unit/member_world.c tests/unit/hosted_libc.c kernel/remote/adopt.c kernel/remote/check.c
 * fuzz-sources: kernel/remote/exec_client.c kernel/remote/member.c kernel/remote/remote_file.c
 * fuzz-sources: kernel/remote/pending_member.c kernel/remote/show_member.c kernel/mm/expected.c
 * fuzz-sources: kernel/mm/touched.c kernel/process/exec_args.c tests/unit/no_loans.c
 * fuzz-flags: -DCOFRE_HOSTED -Wno-unused-parameter
 */
#include "tests/unit/member_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    member_world_run(data, size);
    return 0;
}
