/*
 * A member's side of pages that enclaves share (kernel/remote/shared_member.c, kernel/mm/shared.c, on the machine of
 * mm_machine.h) when the init enclave says anything: pages nobody asked for, the wrong ones, twice, takes of what is
 * not there, answers of any size. What comes, and what the program does meanwhile, are bytes of the input.
 *
 * Held against it: the program reads what came and what it wrote since, and writes only while it may; what goes back is
 * just that, of that page; and nothing stays.
 */
#ifndef COFRE_TESTS_SHARED_MEMBER_WORLD_H
#define COFRE_TESTS_SHARED_MEMBER_WORLD_H

#include <stddef.h>
#include <stdint.h>

struct shared_member_world_counts {
    unsigned long grants, takes, backs, contents, touched, refused, ended;
};
extern struct shared_member_world_counts shared_member_world_counts;

/* Aborts if one of these does not hold. */
void shared_member_world_run(const uint8_t *data, size_t size);

#endif
