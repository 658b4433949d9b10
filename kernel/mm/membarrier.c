/*
 * membarrier: every thread of the process that runs on another vCPU goes through the kernel once. Taking the kernel
 * lock is the barrier; the kick only makes it soon. Whether it happened is read from the enclave's own counters.
 */
#include <asm-generic/errno.h>
#include <linux/membarrier.h>

#include "kernel/arch/hostcall.h"
#include "kernel/arch/vcpu.h"
#include "kernel/mm/mm.h"
#include "kernel/sched/lock.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/syscall.h"

#define COMMANDS                                                                                                       \
    (MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED | MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED |              \
     MEMBARRIER_CMD_PRIVATE_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED |                                    \
     MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE)

#define SPINS_BEFORE_KICK 20000

static unsigned registered; /* commands that were registered for */

void membarrier_reset(void)
{
    registered = 0;
}

static void barrier_on(struct vcpu *vcpu)
{
    uint64_t before = vcpu->user_returns;

    while (sched_may_run_user(vcpu) && vcpu->user_returns == before) {
        vcpu->current->work_pending = true;
        hostcall_kick(1ULL << vcpu->index);
        kernel_unlock();
        for (unsigned i = 0; i < SPINS_BEFORE_KICK && vcpu->user_returns == before; i++)
            __builtin_ia32_pause();
        kernel_lock();
    }
}

/* May let other vCPUs into the kernel. */
static void barrier_everywhere(void)
{
    unsigned self = vcpu_index();

    for (unsigned i = 0; i < vcpu_count(); i++)
        if (i != self)
            barrier_on(vcpu_at(i));
}

SYSCALL_DEFINE3(membarrier, int, command, unsigned, flags, int, cpu)
{
    if (flags)
        return -EINVAL;
    switch (command) {
    case MEMBARRIER_CMD_QUERY:
        return COMMANDS;
    case MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE:
        registered |= (unsigned)command;
        return 0;
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED:
        if (!(registered & MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED))
            return -EPERM;
        break;
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE: /* the way into the kernel and back serialises */
        if (!(registered & MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE))
            return -EPERM;
        break;
    case MEMBARRIER_CMD_GLOBAL:
    case MEMBARRIER_CMD_GLOBAL_EXPEDITED:
        break;
    default:
        return -EINVAL;
    }
    barrier_everywhere();
    return 0;
}
