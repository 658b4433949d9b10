/* For tests of kernel/remote where nothing is lent. */
#include "kernel/net/net.h"
#include "kernel/remote/borrower.h"
#include "kernel/remote/lender.h"
#include "kernel/remote/local.h"
#include "kernel/remote/local_epoll.h"

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

void net_flush(void)
{
}
