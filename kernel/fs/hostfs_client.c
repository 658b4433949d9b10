/* Slots, requests and file numbers of the host's folders (contract in hostfs_client.h). */
#include "kernel/fs/hostfs_client.h"

#include <linux/errno.h>

#include "kernel/arch/hostcall.h"
#include "kernel/arch/untrusted.h"
#include "kernel/boot/boot.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sched/lock.h"
#include "kernel/sched/output.h"
#include "kernel/sched/run_queue.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"

#define SPIN_NS 20000U
#define NESTED_RESERVE 4
#define AHEAD_RESERVE 12 /* reading ahead leaves that many */

enum slot_state { SLOT_FREE, SLOT_HELD, SLOT_BUSY, SLOT_ANSWERED, SLOT_ABANDONED };

struct slot {
    enum slot_state state;
    struct task *waiter;
    uint32_t result_node; /* HOSTFS_NO_NODE, or what dies with an abandoned request */
    uint64_t data_max;    /* what the answer may bring */
};

static struct {
    host_ptr base;
    bool spin;
    unsigned folder_count;
    struct boot_folder folders[HOSTFS_FOLDERS];
    struct slot slots[HOSTFS_SLOTS];
    unsigned free_count;
    uint32_t busy; /* bit mask of slots the host has */
    unsigned sleeper_count;
    struct wait_queue free_wait;
    bool (*reclaim)(void);
    /* node numbers: a stack of free ones; forgotten ones come back once the host has seen that */
    uint32_t *free_nodes;
    uint32_t free_node_count, node_next;
    uint32_t *forgotten; /* copy of the queue, HOSTFS_FORGETS entries */
    uint32_t forget_head, forget_tail;
} host;

#define SHARED(field) host_ptr_add(host.base, offsetof(struct hostfs_shared, field))

static host_ptr slot_ptr(unsigned slot)
{
    return host_ptr_add(host.base, HOSTFS_SLOTS_OFFSET + slot * sizeof(struct hostfs_slot));
}

host_ptr hostfs_slot_data(unsigned slot)
{
    return host_ptr_add(host.base, HOSTFS_DATA_OFFSET + (uint64_t)slot * HOSTFS_DATA_SIZE);
}

bool hostfs_client_init(const struct boot_blob *blob)
{
    if (blob->size == 0)
        return false;
    host.base = (host_ptr){blob->addr};
    if (blob->size != HOSTFS_AREA_SIZE || blob->addr % PAGE_SIZE || !untrusted_range_ok(host.base, blob->size))
        host_lied("folders: place");
    if (untrusted_load64(host.base) != HOSTFS_MAGIC)
        host_lied("folders: header");
    host.folder_count = untrusted_load32(SHARED(folder_count));
    host.spin = untrusted_load32(SHARED(spin)) != 0;
    if (host.folder_count > HOSTFS_FOLDERS)
        host_lied("folders: count");
    untrusted_copy_in(host.folders, SHARED(folders), sizeof(host.folders));
    for (unsigned i = 0; i < HOSTFS_FOLDERS; i++)
        host.folders[i].path[sizeof(host.folders[i].path) - 1] = 0;
    host.free_nodes = kmalloc(HOSTFS_NODES * sizeof(uint32_t));
    host.forgotten = kmalloc(HOSTFS_FORGETS * sizeof(uint32_t));
    if (!host.free_nodes || !host.forgotten)
        panic("no memory for the host's folders");
    host.node_next = HOSTFS_FOLDERS;
    host.free_count = HOSTFS_SLOTS;
    wait_queue_init(&host.free_wait);
    return true;
}

unsigned hostfs_folder_count(void)
{
    return host.folder_count;
}

const struct boot_folder *hostfs_folder(unsigned number)
{
    return &host.folders[number];
}

void hostfs_set_reclaim(bool (*reclaim)(void))
{
    host.reclaim = reclaim;
}

/* ---- node numbers ---- */

static void nodes_collect(void)
{
    uint32_t tail = untrusted_load32(SHARED(forget_tail));
    if (tail - host.forget_tail > host.forget_head - host.forget_tail)
        host_lied("folders: forget queue");
    for (; host.forget_tail != tail; host.forget_tail++) {
        uint32_t entry = host.forgotten[host.forget_tail % HOSTFS_FORGETS];
        if (!(entry & HOSTFS_RELEASE))
            host.free_nodes[host.free_node_count++] = entry;
    }
}

int hostfs_node_alloc(uint32_t *ret_node)
{
    if (host.free_node_count == 0)
        nodes_collect();
    if (host.free_node_count > 0)
        *ret_node = host.free_nodes[--host.free_node_count];
    else if (host.node_next < HOSTFS_NODES)
        *ret_node = host.node_next++;
    else
        return -ENFILE;
    return 0;
}

static void forget(uint32_t entry)
{
    host.forgotten[host.forget_head % HOSTFS_FORGETS] = entry;
    untrusted_store32(host_ptr_add(SHARED(forgets), (uint64_t)(host.forget_head % HOSTFS_FORGETS) * sizeof(uint32_t)),
                      entry);
    untrusted_store32(SHARED(forget_head), ++host.forget_head);
}

void hostfs_node_free(uint32_t node)
{
    if (host.forget_head - host.forget_tail >= HOSTFS_FORGETS - 1)
        nodes_collect();
    /* There are twice as many entries as nodes, and releases leave room: see below. */
    ASSERT(host.forget_head - host.forget_tail < HOSTFS_FORGETS);
    forget(node);
}

void hostfs_node_release(uint32_t node)
{
    if (host.forget_head - host.forget_tail >= HOSTFS_FORGETS - HOSTFS_NODES)
        nodes_collect();
    if (host.forget_head - host.forget_tail < HOSTFS_FORGETS - HOSTFS_NODES)
        forget(node | HOSTFS_RELEASE); /* else it stays open until it is forgotten */
}

/* ---- slots ---- */

static int slot_find(unsigned reserve)
{
    for (unsigned i = 0; host.free_count > reserve && i < HOSTFS_SLOTS; i++) {
        if (host.slots[i].state != SLOT_FREE)
            continue;
        host.slots[i] = (struct slot){.state = SLOT_HELD, .result_node = HOSTFS_NO_NODE};
        host.free_count--;
        return (int)i;
    }
    return -1;
}

static int slot_find_or_reclaim(unsigned reserve)
{
    int slot = slot_find(reserve);
    while (slot < 0 && host.reclaim && host.reclaim())
        slot = slot_find(reserve);
    return slot;
}

int hostfs_slot_get(bool nested, unsigned *ret_slot)
{
    struct wait_entry entry;
    int slot, error = output_settle();
    if (error < 0)
        return error;
    wait_entry_init(&entry, NULL);
    wait_queue_add(&host.free_wait, &entry);
    for (;;) {
        task_prepare_sleep_killable();
        slot = slot_find_or_reclaim(nested ? 0 : NESTED_RESERVE);
        if (slot >= 0 || error)
            break;
        error = task_sleep(NO_DEADLINE);
    }
    task_cancel_sleep();
    wait_queue_remove(&entry);
    if (slot < 0)
        return -EINTR;
    *ret_slot = (unsigned)slot;
    return 0;
}

bool hostfs_slot_try(unsigned *ret_slot)
{
    int slot = slot_find(AHEAD_RESERVE);
    *ret_slot = (unsigned)slot;
    return slot >= 0;
}

void hostfs_slot_put(unsigned slot)
{
    host.slots[slot].state = SLOT_FREE;
    host.free_count++;
    wake_up_all(&host.free_wait, 0);
}

void hostfs_slot_abandon(unsigned slot)
{
    if (host.slots[slot].state == SLOT_BUSY)
        host.slots[slot].state = SLOT_ABANDONED;
    else
        hostfs_slot_put(slot);
}

static uint64_t answer_max(const struct hostfs_request *request)
{
    switch (request->op) {
    case HOSTFS_READ:
    case HOSTFS_WRITE:
        return request->size;
    case HOSTFS_READDIR:
        return HOSTFS_DATA_SIZE;
    case HOSTFS_READLINK:
        return 4095;
    case HOSTFS_GETXATTR:
    case HOSTFS_LISTXATTR:
        return 65536;
    case HOSTFS_SEEK:
        return INT64_MAX;
    default:
        return 0;
    }
}

void hostfs_submit(unsigned slot, const struct hostfs_request *request)
{
    struct slot *s = &host.slots[slot];
    s->state = SLOT_BUSY;
    s->result_node = request->result_node;
    s->data_max = answer_max(request);
    untrusted_copy_out(slot_ptr(slot), request, sizeof(*request));
    host.busy |= 1U << slot;
    untrusted_or32(SHARED(submitted), 1U << slot);
    if (untrusted_load32(SHARED(sleeping)))
        hostcall_kick(0); /* nobody: the host looks at what was submitted */
}

static void answered(unsigned slot)
{
    struct slot *s = &host.slots[slot];
    if (s->state == SLOT_ABANDONED) {
        if (s->result_node != HOSTFS_NO_NODE)
            hostfs_node_free(s->result_node);
        hostfs_slot_put(slot);
        return;
    }
    s->state = SLOT_ANSWERED;
    if (s->waiter)
        task_wake(s->waiter);
}

void hostfs_poll(void)
{
    if (!host.busy || !(uint32_t)untrusted_peek64(SHARED(completed)))
        return;
    uint32_t bits = untrusted_exchange32(SHARED(completed), 0);
    if (bits & ~host.busy)
        host_lied("folders: an answer to no request");
    host.busy &= ~bits;
    for (; bits; bits &= bits - 1)
        answered((unsigned)__builtin_ctz(bits));
}

bool hostfs_answered(unsigned slot)
{
    hostfs_poll();
    return host.slots[slot].state == SLOT_ANSWERED;
}

/* The answer is near: wait for it without leaving, but let other vCPUs have the kernel. */
static void spin(unsigned slot)
{
    if (!host.spin || run_queue.count > 0 || untrusted_load32(SHARED(sleeping)))
        return;
    uint64_t until = time_monotonic_ns() + SPIN_NS;
    while (!hostfs_answered(slot) && run_queue.count == 0 && time_monotonic_ns() < until) {
        kernel_unlock();
        for (unsigned i = 0; i < 30 && !((uint32_t)untrusted_peek64(SHARED(completed)) & 1U << slot); i++)
            __builtin_ia32_pause();
        kernel_lock();
    }
}

static int sleep_for(unsigned slot)
{
    struct slot *s = &host.slots[slot];
    int error = 0;
    s->waiter = task_current();
    if (host.sleeper_count++ == 0)
        untrusted_store32(SHARED(kernel_waits), 1);
    for (;;) {
        task_prepare_sleep_killable();
        if (hostfs_answered(slot) || error)
            break;
        error = task_sleep(NO_DEADLINE);
    }
    task_cancel_sleep();
    if (--host.sleeper_count == 0)
        untrusted_store32(SHARED(kernel_waits), 0);
    s->waiter = NULL;
    return s->state == SLOT_ANSWERED ? 0 : error;
}

int64_t hostfs_wait(unsigned slot, struct hostfs_reply *ret_reply)
{
    struct slot *s = &host.slots[slot];
    if (!hostfs_answered(slot))
        spin(slot);
    if (!hostfs_answered(slot) && sleep_for(slot) < 0) {
        s->state = SLOT_ABANDONED;
        return -EINTR;
    }
    untrusted_copy_in(ret_reply, host_ptr_add(slot_ptr(slot), offsetof(struct hostfs_slot, reply)), sizeof(*ret_reply));
    s->state = SLOT_HELD;
    int64_t result = ret_reply->result;
    if (result < -4095 || (result > 0 && (uint64_t)result > s->data_max))
        host_lied("folders: the result of a request");
    /* EINTR is ours to give, and so is what Linux keeps for itself. */
    return result == -EINTR || result < -EHWPOISON ? -EIO : result;
}

int64_t hostfs_call(struct hostfs_request *request, const char *name, const char *second,
                    struct hostfs_reply *ret_reply, unsigned *ret_slot)
{
    unsigned slot;
    int error = hostfs_slot_get(false, &slot);
    if (error < 0) {
        if (request->result_node != HOSTFS_NO_NODE)
            hostfs_node_free(request->result_node);
        return error;
    }
    host_ptr data = hostfs_slot_data(slot);
    if (name) {
        request->name_size = (uint32_t)strlen(name);
        untrusted_copy_out(data, name, request->name_size);
    }
    if (second) {
        request->second_size = (uint32_t)strlen(second);
        untrusted_copy_out(host_ptr_add(data, request->name_size), second, request->second_size);
    }
    hostfs_submit(slot, request);
    int64_t result = hostfs_wait(slot, ret_reply);
    if (result == -EINTR)
        return -EINTR; /* slot and result_node are taken care of */
    if (result < 0 && request->result_node != HOSTFS_NO_NODE)
        hostfs_node_free(request->result_node);
    if (result >= 0 && ret_slot)
        *ret_slot = slot;
    else
        hostfs_slot_put(slot);
    return result;
}
