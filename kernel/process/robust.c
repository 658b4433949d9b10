/* Robust lists: what an ending thread held is marked FUTEX_OWNER_DIED. The list is user memory and may be anything. */
#include <linux/futex.h>

#include "kernel/mm/uaccess.h"
#include "kernel/process/futex.h"
#include "kernel/sched/task.h"

static int robust_death(struct task *task, uaddr_t addr, bool pi, bool pending)
{
    uint32_t value, found;
    if (addr % sizeof value)
        return -1;
    if (get_user32(&value, addr) < 0)
        return -1;
    /* A PI futex that enclaves share is not handed over, but freed and waited for like any other. */
    pi = pi && !futex_key_of(addr, false).file;
    for (;;) {
        /* Died between unlock and its wake-up, or was woken and did not get to take it: nobody else will wake the
         * waiters. */
        if (pending && !pi && (value & FUTEX_TID_MASK) == 0) {
            futex_wake_address(addr, 1);
            return 0;
        }
        if ((value & FUTEX_TID_MASK) != (uint32_t)task->tid)
            return 0;
        uint32_t new = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
        /* A PI futex with waiters keeps its owner until futex_exit_pi() hands it over. */
        if (pi && (value & FUTEX_WAITERS))
            return 0;
        if (cmpxchg_user32(addr, value, new, &found) < 0)
            return -1;
        if (found == value)
            break;
        value = found;
    }
    if (!pi && (value & FUTEX_WAITERS))
        futex_wake_address(addr, 1);
    return 0;
}

/* A list pointer's lowest bit says that the lock is a PI one. */
static int entry_read(uaddr_t at, uaddr_t *ret_entry, bool *ret_pi)
{
    uint64_t value;
    if (get_user64(&value, at) < 0)
        return -1;
    *ret_entry = value & ~1ULL;
    *ret_pi = value & 1;
    return 0;
}

void futex_exit_robust(struct task *task)
{
    uaddr_t head = task->robust_list, entry, next, pending;
    uint64_t offset;
    bool pi, next_pi, pending_pi;
    task->robust_list = 0;
    if (!head || entry_read(head + offsetof(struct robust_list_head, list), &entry, &pi) < 0 ||
        get_user64(&offset, head + offsetof(struct robust_list_head, futex_offset)) < 0 ||
        entry_read(head + offsetof(struct robust_list_head, list_op_pending), &pending, &pending_pi) < 0)
        return;
    for (unsigned limit = ROBUST_LIST_LIMIT; entry != head && limit > 0; limit--) {
        /* Read the link first: the lock may be freed as soon as its waiter runs. */
        int r = entry_read(entry, &next, &next_pi);
        if (entry != pending && robust_death(task, entry + offset, pi, false) < 0)
            return;
        if (r < 0)
            return;
        entry = next;
        pi = next_pi;
    }
    if (pending)
        robust_death(task, pending + offset, pending_pi, true);
}
