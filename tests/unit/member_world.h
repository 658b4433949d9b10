/*
 * A member's kernel when the init enclave says anything: messages, answers and streams are bytes of the input. The code
 * that takes them is the real one (kernel/remote/member.c, adopt.c, exec_client.c, remote_file.c, stream-fed); memory,
 * exec and the process table only look at what they are given, as far as the real ones would.
 */
#ifndef COFRE_TESTS_MEMBER_WORLD_H
#define COFRE_TESTS_MEMBER_WORLD_H

#include <stddef.h>
#include <stdint.h>

struct member_world_counts {
    unsigned long adopted, started, ended, signals, files, execs, renewed;
};
extern struct member_world_counts member_world_counts;

/* Aborts if something is believed that must not be, or memory is left. */
void member_world_run(const uint8_t *data, size_t size);

#endif
