/*
 * Further processes of a container (abi/link.h): each is a host process with an enclave of its own.
 *
 * A zygote is forked from the runtime while that has one thread and no enclave; it forks members when asked to and sees
 * them end. Zygote and members die with the runtime (PR_SET_PDEATHSIG).
 */
#ifndef COFRE_HOST_MEMBERS_H
#define COFRE_HOST_MEMBERS_H

#include "abi/boot.h"
#include "abi/link.h"
#include "abi/stats.h"

#include <stdbool.h>

struct runtime;

/*
 * Makes the link area and the zygote; runtime->members is set. Before there are threads. In a member this function
 * does not return: member_main() runs there.
 */
int members_new(struct runtime *runtime, char **ret_error);
/* The host process of member `number`: builds an enclave and runs it. In host/main.c. */
_Noreturn void member_main(struct runtime *runtime, uint32_t number);

/* Has the zygote ended, and with it all members? Nobody would ever say so for them. Init only, unless it is ending. */
bool members_lost(const struct runtime *runtime);
/* The container has ended: all members are killed; returns when neither they nor the zygote are left. Init only. */
void members_end(const struct runtime *runtime);

/* What others see of this process: its row of the link area. */
struct member_shared *member_self(const struct runtime *runtime);
struct boot_blob members_area(const struct runtime *runtime);

/* Host call SPAWN. 0 or negative errno. Any vCPU thread of the init process. */
int64_t members_spawn(struct runtime *runtime, uint64_t op, uint64_t member);
/* Host call KICK of another process: wakes the vCPUs of the mask, or interrupts them. */
void member_kick(struct runtime *runtime, uint64_t member, uint64_t vcpu_mask);
/* vCPU i of this process has been at work for a while: its thread may run on any CPU again. */
void members_settle(const struct runtime *runtime, unsigned i);

/*
 * Where this process counts: zeros when it starts, and in memory of all processes, so that what a member counted is
 * there when the member is not. Only what is touched takes memory.
 */
struct run_stats *members_stats(const struct runtime *runtime);
/* Adds what all members have counted, those that ended or were killed too. Init only. */
void members_stats_add(struct runtime *runtime, struct run_stats *stats);

#endif
