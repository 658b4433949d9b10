/* For tests of kernel/remote where nothing is lent, leased or posted. */
#include "kernel/fs/file.h"
#include "kernel/net/net.h"
#include "kernel/remote/assured.h"
#include "kernel/remote/borrower.h"
#include "kernel/remote/descriptors.h"
#include "kernel/remote/leased.h"
#include "kernel/remote/leases.h"
#include "kernel/remote/lender.h"
#include "kernel/remote/local.h"
#include "kernel/remote/local_epoll.h"
#include "kernel/remote/pipe_ends.h"
#include "kernel/remote/pipe_lender.h"
#include "kernel/remote/posted.h"
#include "kernel/remote/posts.h"
#include "kernel/remote/waiting.h"

void lender_init(void)
{
}

void lender_offer(struct remote_member *member, struct process *process, uint64_t nr, uint64_t arg0, int64_t result)
{
}

void lender_member_lost(struct remote_member *member)
{
}

void lender_process_ended(const struct process *process)
{
}

bool lender_poll(void)
{
    return true;
}

void borrower_init(void)
{
}

void local_epoll_end(void)
{
}

bool local_call(uint64_t nr, struct trap_frame *frame, const uint64_t args[6], int64_t *ret_result)
{
    return false;
}

bool local_is(uint64_t nr, const uint64_t args[6])
{
    return false;
}

void net_flush(void)
{
}

void net_pump_end(void)
{
}

void leases_init(void)
{
}

uint64_t leases_changes(void)
{
    return 0;
}

void leases_offer(struct remote_member *member, struct process *process, const struct call_head *head, int64_t result,
                  uint64_t changes)
{
}

void leases_settle(const struct process *process)
{
}

void leases_member_lost(const struct remote_member *member)
{
}

void leased_init(void)
{
}

bool leased_call(uint64_t nr, struct trap_frame *frame, const uint64_t args[6], int64_t *ret_result)
{
    return false;
}

void leased_after(uint64_t nr)
{
}

uint64_t leased_ask(void)
{
    return 0;
}

void leased_settle(void)
{
}

struct file *leased_at(uint64_t fd)
{
    return NULL;
}

void leased_end(void)
{
}

enum descriptor_use descriptors_use(uint64_t nr, const uint64_t args[6])
{
    return DESCRIPTORS_IGNORED;
}

void descriptors_begin(enum descriptor_use use)
{
}

void descriptors_end(enum descriptor_use use, const uint64_t args[6], int64_t result)
{
}

void descriptors_free_from(unsigned fd)
{
}

bool fd_table_shared(const struct fd_table *table)
{
    return true;
}

unsigned fd_table_end(struct fd_table *table)
{
    return 0;
}

void posts_init(void)
{
}

void posts_offer(struct remote_member *member, const struct process *process, const struct call_head *head,
                 int64_t result)
{
}

void posts_member_lost(const struct remote_member *member)
{
}

void posted_init(void)
{
}

bool posted_write(const uint64_t args[6], int64_t *ret_result)
{
    return false;
}

bool posted_pending(void)
{
    return false;
}

void borrower_tell_dirty(void)
{
}

bool assured_call(uint64_t nr, const uint64_t args[6], int64_t *ret_result)
{
    return false;
}

bool assured_accept(uint64_t nr, const uint64_t args[6], int64_t *ret_result)
{
    return false;
}

void assured_tell(void)
{
}

bool assured_ask(uint64_t nr, const uint64_t args[6])
{
    return false;
}

void assured_closed(int fd)
{
}

void assured_forget(void)
{
}

uint64_t leased_era(void)
{
    return 1;
}

void posted_closed(int fd)
{
}

void posted_forget(void)
{
}

bool posted_ask(void)
{
    return false;
}

void posted_flush(void)
{
}

void pipe_lender_init(void)
{
}

bool pipe_lender_offer(struct remote_member *member, struct process *process, uint64_t nr, uint64_t fd, int64_t result)
{
    return false;
}

bool pipe_lender_crossed(const struct remote_member *member, const struct process *process, uint64_t nr, uint64_t fd)
{
    return false;
}

void pipe_lender_member_lost(struct remote_member *member)
{
}

void pipe_ends_init(void)
{
}

bool pipe_ends_call(uint64_t nr, uint64_t args[6], int64_t *ret_result)
{
    *ret_result = 0;
    return false;
}

void pipe_ends_exited(const struct process *process)
{
}

void pipe_ends_drain(void)
{
}

uint64_t posted_told(void)
{
    return 0;
}

void posted_heard(uint64_t told)
{
}

bool waiting_call(uint64_t nr, const uint64_t args[6], int64_t *ret_result)
{
    return false;
}

void waiting_answered(void)
{
}

void waiting_closed(int fd)
{
}

void waiting_forget(void)
{
}
