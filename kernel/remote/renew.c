/* Members that become nobody again (contract in renew.h). */
#include "kernel/remote/renew.h"

#include "kernel/arch/hostcall.h"
#include "kernel/boot/stats.h"
#include "kernel/lib/string.h"
#include "kernel/mm/expected.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/mm.h"
#include "kernel/process/signal.h"
#include "kernel/process/table.h"
#include "kernel/remote/client.h"
#include "kernel/remote/descriptors.h"
#include "kernel/remote/leased.h"
#include "kernel/remote/local_epoll.h"
#include "kernel/remote/member.h"
#include "kernel/remote/posted.h"
#include "kernel/remote/process_message.h"
#include "kernel/remote/sealed_member.h"
#include "kernel/remote/shared_member.h"
#include "kernel/remote/waiting.h"
#include "kernel/sched/task.h"

#define LIVES_MAX 64
#define HEAP_MAX (32UL << 20) /* bytes of the kernel's heap: more than a member has without a reason */

static unsigned lives;

/* May the enclave have another life, as far as it knows itself? */
static bool can_renew(void)
{
    return ++lives < LIVES_MAX && process_count() == 0 && task_count() == 0 && process_first()->refcount == 1 &&
           kmalloc_bytes_used() <= HEAP_MAX;
}

static bool is_wanted(void)
{
    struct message m = {.type = MESSAGE_RENEW};
    struct record *record;
    if (client_request(&m, sizeof(m), &record) < 0)
        return false;
    const struct number_message *answer = (const struct number_message *)record->data;
    bool wanted = record->size >= sizeof(*answer) && answer->number > 0;
    kfree(record);
    return wanted;
}

static void forget_process(void)
{
    struct process *process = process_first();
    local_epoll_reset();
    signal_flush(process, &process->pending, ~0ULL);
    process_release(process);
    leased_reset();
    posted_reset();
    waiting_reset();
    sealed_reset();
    shared_member_reset();
    descriptors_reset();
    mm_renew();
    membarrier_reset();
    mempolicy_reset();
    expected_forget();
    memset(process, 0, sizeof(*process));
}

void member_renew(void)
{
    struct message hello = {.type = MESSAGE_HELLO};
    if (!can_renew() || !is_wanted())
        hostcall_exit(0);
    forget_process();
    stats_publish();
    if (client_send(&hello, sizeof(hello)) < 0)
        member_end("the init enclave is not there");
}
