/* The kernel side of abi/hostcall.h. Answers are copied in once and checked against the header's table. */
#include "kernel/arch/hostcall.h"

#include "abi/key_release.h"
#include "abi/volume.h"
#include "kernel/arch/untrusted.h"
#include "kernel/arch/vcpu.h"
#include "kernel/boot/stats.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/sched/lock.h"
#include "kernel/sched/task.h"

#define SHARED(member) host_ptr_add(vcpu->shared, offsetof(struct vcpu_shared, member))
#define MAX_ERRNO 4095

/* Vector registers hold the application's data (or keys): saved and reset around every exit. */
static int64_t hostcall(enum hostcall nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
    struct vcpu *vcpu = vcpu_self();
    void *vector = vcpu->current ? vcpu->current->vector_state : NULL;
    uint64_t request[5] = {nr, a0, a1, a2, a3};

    vcpu->hostcalls[nr]++;
    if (vector && !vcpu->vector_depth)
        vector_state_save(vector);
    untrusted_copy_out(vcpu->shared, request, sizeof(request));
    vector_state_reset();
    hostcall_exit_enter();
    if (vector && !vcpu->vector_depth)
        vector_state_load(vector);
    return (int64_t)untrusted_load64(SHARED(result));
}

void hostcall_park(uint64_t deadline_ns, bool pump)
{
    kernel_unlock();
    hostcall(HOSTCALL_PARK, deadline_ns, pump ? PARK_PUMP : 0, 0, 0);
    kernel_lock();
}

void hostcall_yield(void)
{
    hostcall(HOSTCALL_PARK, 0, 0, 0, 0);
}

void hostcall_pump(void)
{
    hostcall(HOSTCALL_PARK, 0, PARK_PUMP, 0, 0);
}

void hostcall_wait_boot(void)
{
    hostcall(HOSTCALL_PARK, PARK_FOREVER, 0, 0, 0);
}

void hostcall_kick(uint64_t vcpu_mask)
{
    hostcall(HOSTCALL_KICK, vcpu_mask, 0, 0, 0);
}

void hostcall_kick_member(unsigned member, uint64_t vcpu_mask)
{
    hostcall(HOSTCALL_KICK, vcpu_mask, member, 1, 0);
}

int hostcall_spawn(enum spawn_op op, unsigned member)
{
    int64_t result = hostcall(HOSTCALL_SPAWN, op, member, 0, 0);
    if (result > 0 || result < -MAX_ERRNO)
        host_lied("the result of starting a process");
    return (int)result;
}

int hostcall_socket(struct hostcall_socket *op)
{
    struct vcpu *vcpu = vcpu_self();
    struct hostcall_socket answer;
    untrusted_copy_out(SHARED(data), op, sizeof(*op));
    int64_t result = hostcall(HOSTCALL_SOCKET, 0, 0, 0, 0);
    if (result > INT32_MAX || result < -MAX_ERRNO)
        host_lied("the result of a socket operation");
    untrusted_copy_in(&answer, SHARED(data), sizeof(answer));
    if (answer.addr_size > sizeof(answer.addr) || answer.optlen > sizeof(answer.optval))
        host_lied("the size of a socket address or option");
    if (answer.op != op->op || answer.channel != op->channel)
        host_lied("which socket operation this was");
    *op = answer;
    return (int)result;
}

int hostcall_edmm(enum edmm_op op, uint64_t addr, uint64_t size, uint64_t arg)
{
    int64_t result = hostcall(HOSTCALL_EDMM, op, addr, size, arg);
    if (result > 0 || result < -MAX_ERRNO)
        host_lied("the result of a memory operation");
    return (int)result;
}

void hostcall_clock(struct hostcall_clock *ret_clock)
{
    struct vcpu *vcpu = vcpu_self();
    hostcall(HOSTCALL_CLOCK, 0, 0, 0, 0);
    untrusted_copy_in(ret_clock, SHARED(data), sizeof(*ret_clock));
}

int64_t hostcall_console(enum console_op op, uint64_t arg)
{
    return hostcall(HOSTCALL_CONSOLE, op, arg, 0, 0);
}

static void send_text(enum hostcall nr, const char *text, size_t size)
{
    struct vcpu *vcpu = vcpu_self();
    while (size) {
        size_t n = MIN(size, (size_t)HOSTCALL_DATA_SIZE);
        untrusted_copy_out(SHARED(data), text, n);
        hostcall(nr, n, 0, 0, 0);
        text += n;
        size -= n;
    }
}

void hostcall_log(const char *text, size_t size)
{
    send_text(HOSTCALL_LOG, text, size);
}

void hostcall_trace(const char *text, size_t size)
{
    send_text(HOSTCALL_TRACE, text, size);
}

int hostcall_quote_begin(enum quote_op op, const void *report, size_t size)
{
    struct vcpu *vcpu = vcpu_self();
    untrusted_copy_out(SHARED(data), report, size);
    int64_t result = hostcall(HOSTCALL_QUOTE, op, 0, 0, 0);
    if (result > 0 || result < -MAX_ERRNO)
        host_lied("that a quote was begun");
    return (int)result;
}

int hostcall_quote_read(uint64_t offset, void *data, size_t max)
{
    struct vcpu *vcpu = vcpu_self();
    int64_t result = hostcall(HOSTCALL_QUOTE, QUOTE_READ, offset, 0, 0);
    if (result > QUOTE_SIZE_MAX || result < -MAX_ERRNO)
        host_lied("the size of a quote");
    if (result > (int64_t)offset) {
        size_t size = MIN((size_t)result - offset, max);
        untrusted_copy_in(data, SHARED(data), MIN(size, (size_t)HOSTCALL_DATA_SIZE));
    }
    return (int)result;
}

int hostcall_volume(uint64_t op, uint64_t file, uint64_t block, uint64_t count)
{
    bool later = op & VOLUME_OP_LATER;
    if (!later)
        kernel_unlock();
    int64_t result = hostcall(HOSTCALL_VOLUME, op, file, block, count);
    if (!later)
        kernel_lock();
    if (result > 0 || result < -MAX_ERRNO)
        host_lied("the result of a volume's operation");
    return (int)result;
}

static int key_call(enum key_op op, uint64_t offset, uint64_t size, int64_t most)
{
    int64_t result = hostcall(HOSTCALL_KEY, op, offset, size, 0);
    if (result > most || result < -MAX_ERRNO)
        host_lied("the size of a key server's answer");
    return (int)result;
}

int hostcall_key_put(uint64_t offset, const void *data, size_t size)
{
    struct vcpu *vcpu = vcpu_self();
    ASSERT(size <= HOSTCALL_DATA_SIZE);
    untrusted_copy_out(SHARED(data), data, size);
    return key_call(KEY_PUT, offset, size, 0);
}

int hostcall_key_send(size_t size, bool fresh)
{
    return key_call(KEY_SEND, size, fresh, 0);
}

int hostcall_key_read(void *data, size_t max)
{
    struct vcpu *vcpu = vcpu_self();
    int size = key_call(KEY_READ, 0, 0, KEY_ANSWER_MAX);
    if (size > 0)
        untrusted_copy_in(data, SHARED(data), MIN((size_t)size, max));
    return size;
}

noreturn_fn void hostcall_exit(int status)
{
    stats_publish();
    hostcall(HOSTCALL_EXIT, (uint64_t)status, 0, 0, 0);
    vcpu_die();
}
