/* Host calls: the table that answers each of abi/hostcall.h. */
#include "host/clock.h"
#include "host/error.h"
#include "host/hostfs/hostfs.h"
#include "host/key_line.h"
#include "host/members.h"
#include "host/pump/pump.h"
#include "host/quote/service.h"
#include "host/runtime.h"
#include "host/terminal.h"
#include "host/volumes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define YIELD_NS 20000

typedef int64_t (*hostcall_fn)(struct vcpu *vcpu, const uint64_t args[6]);

static int64_t call_park(struct vcpu *vcpu, const uint64_t args[6])
{
    struct runtime *runtime = vcpu->runtime;
    struct pump *pump = (args[1] & PARK_PUMP) && vcpu->index == 0 ? runtime_pump(runtime) : NULL;

    hostfs_ring();
    if (!pump && args[0] == 0) {
        clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = YIELD_NS}, NULL);
        return 0;
    }
    stats_keep(runtime);
    vcpu->idle_count += args[0] != 0;
    __atomic_store_n(&vcpu->shared->parked, 1, __ATOMIC_RELAXED);
    atomic_store(vcpu->parked, pump && runtime->member != 0 ? PARKED_PUMP : PARKED);
    if (pump)
        pump_park(pump, args[0], vcpu->kicked);
    else
        vcpu_park(vcpu, args[0]);
    atomic_store(vcpu->parked, 0);
    __atomic_store_n(&vcpu->shared->parked, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&vcpu->shared->kick, 0, __ATOMIC_RELAXED);
    atomic_store(vcpu->kicked, 0);
    vcpu->kick_retries = 0;
    if (atomic_load(&runtime->ticker_asleep))
        ticker_wake(runtime);
    return 0;
}

static int64_t call_kick(struct vcpu *vcpu, const uint64_t args[6])
{
    struct runtime *runtime = vcpu->runtime;

    hostfs_ring();
    if (args[2] == 1 && args[1] != runtime->member) {
        member_kick(runtime, args[1], args[0]);
        return 0;
    }
    for (unsigned i = 0; i < runtime->vcpu_count; i++)
        if ((args[0] >> i & 1) && i != vcpu->index)
            vcpu_kick(runtime, i);
    return 0;
}

/* It is there to end a wait, no more. */
static void on_pump_wake(int signum, siginfo_t *info, void *context)
{
}

static int64_t own_pump_start(struct runtime *runtime)
{
    char *error = NULL;
    int ret = sgx_signal(runtime->enclave, PUMP_WAKE_SIGNAL, on_pump_wake, 0);

    if (ret == 0)
        ret = pump_start(runtime->own_pump, &error);
    free(error);
    return ret;
}

static int64_t member_socket(struct vcpu *vcpu, struct hostcall_socket *op)
{
    struct runtime *runtime = vcpu->runtime;
    uint32_t nr = op->op;
    int64_t ret = 0;

    if (!pump_is_started(runtime->own_pump)) {
        if (nr != SOCKET_SHARE)
            return nr == SOCKET_GIVE && op->channel == GIVE_ALL ? 0 : -EBADF;
        ret = own_pump_start(runtime);
    }
    if (ret == 0)
        ret = pump_socket(runtime->own_pump, op);
    if (ret == 0 && nr == SOCKET_GIVE)
        member_kick(runtime, 0, 1); /* to pump it */
    return ret;
}

static int64_t call_socket(struct vcpu *vcpu, const uint64_t args[6])
{
    if (vcpu->runtime->member != 0)
        return member_socket(vcpu, (struct hostcall_socket *)vcpu->shared->data);
    return pump_socket(vcpu->runtime->pump, (struct hostcall_socket *)vcpu->shared->data);
}

static int64_t modify_types(struct runtime *runtime, uint64_t addr, uint64_t size, uint64_t type)
{
    struct sgx_enclave_modify_types arg = {.offset = addr, .length = size, .page_type = type};
    int ret = 0;

    while (arg.length > 0) {
        arg.count = 0;
        ret = sgx_ioctl(runtime->enclave, SGX_IOC_ENCLAVE_MODIFY_TYPES, &arg);
        if (ret != 0 && ret != -EINTR && ret != -EAGAIN)
            return ret < 0 ? ret : -EIO;
        arg.offset += arg.count;
        arg.length -= arg.count;
    }
    return 0;
}

static int64_t restrict_permissions(struct runtime *runtime, uint64_t addr, uint64_t size, uint64_t permissions)
{
    struct sgx_enclave_restrict_permissions arg = {.offset = addr, .length = size, .permissions = permissions};
    int ret = 0;

    while (arg.length > 0) {
        arg.count = 0;
        ret = sgx_ioctl(runtime->enclave, SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, &arg);
        if (ret != 0 && ret != -EINTR && ret != -EAGAIN)
            return ret < 0 ? ret : -EIO;
        arg.offset += arg.count;
        arg.length -= arg.count;
    }
    return 0;
}

static int64_t remove_pages(struct runtime *runtime, uint64_t addr, uint64_t size)
{
    struct sgx_enclave_remove_pages arg = {.offset = addr, .length = size};
    int ret = 0;

    while (arg.length > 0) {
        arg.count = 0;
        ret = sgx_ioctl(runtime->enclave, SGX_IOC_ENCLAVE_REMOVE_PAGES, &arg);
        if (ret != 0 && ret != -EINTR && ret != -EAGAIN)
            return ret < 0 ? ret : -EIO;
        arg.offset += arg.count;
        arg.length -= arg.count;
    }
    return 0;
}

static int64_t call_edmm(struct vcpu *vcpu, const uint64_t args[6])
{
    struct runtime *runtime = vcpu->runtime;
    uint64_t addr = args[1], size = args[2];

    if (addr % PAGE_SIZE || size % PAGE_SIZE || addr + size < addr)
        return -EINVAL;
    atomic_fetch_add(&runtime->edmm_ioctls, 1);
    switch (args[0]) {
    case EDMM_RESTRICT:
        return restrict_permissions(runtime, addr, size, args[3]);
    case EDMM_TRIM:
        return modify_types(runtime, addr, size, 4 /* PT_TRIM */);
    case EDMM_REMOVE:
        return remove_pages(runtime, addr, size);
    case EDMM_PROTECT:
        return sgx_protect(runtime->enclave, addr, size,
                           (args[3] & EDMM_R ? PROT_READ : 0) | (args[3] & EDMM_W ? PROT_WRITE : 0) |
                               (args[3] & EDMM_X ? PROT_EXEC : 0));
    case EDMM_POPULATE:
        return 0; /* the fault that EACCEPT takes does it */
    default:
        return -ENOSYS;
    }
}

static int64_t call_clock(struct vcpu *vcpu, const uint64_t args[6])
{
    clock_read((struct hostcall_clock *)vcpu->shared->data);
    return 0;
}

static int64_t call_console(struct vcpu *vcpu, const uint64_t args[6])
{
    return args[0] == CONSOLE_GET_WINSIZE ? terminal_size() : -ENOSYS;
}

/* Lines for the host's stderr; a raw terminal needs its carriage returns. */
static int64_t call_log(struct vcpu *vcpu, const uint64_t args[6])
{
    char text[2 * HOSTCALL_DATA_SIZE];
    size_t size = args[0] < HOSTCALL_DATA_SIZE ? args[0] : HOSTCALL_DATA_SIZE, used = 0;

    for (size_t i = 0; i < size; i++) {
        char c = (char)vcpu->shared->data[i];

        if (c == '\n' && vcpu->runtime->options.tty)
            text[used++] = '\r';
        text[used++] = c;
    }
    return write(STDERR_FILENO, text, used) < 0 ? -errno : 0;
}

static int64_t call_spawn(struct vcpu *vcpu, const uint64_t args[6])
{
    return members_spawn(vcpu->runtime, args[0], args[1]);
}

static int64_t call_quote(struct vcpu *vcpu, const uint64_t args[6])
{
    return quote_service_call(args[0], args[1], vcpu->shared->data);
}

static int64_t call_volume(struct vcpu *vcpu, const uint64_t args[6])
{
    return volumes_call(vcpu->runtime, args);
}

static int64_t call_key(struct vcpu *vcpu, const uint64_t args[6])
{
    return key_line_call(args, vcpu->shared->data);
}

static int64_t call_exit(struct vcpu *vcpu, const uint64_t args[6])
{
    runtime_end(vcpu, (int)(args[0] < 512 ? args[0] : EXIT_RUNTIME_FAILED));
}

static const hostcall_fn hostcall_table[HOSTCALL_COUNT] = {
    [HOSTCALL_PARK] = call_park,   [HOSTCALL_KICK] = call_kick,   [HOSTCALL_SOCKET] = call_socket,
    [HOSTCALL_EDMM] = call_edmm,   [HOSTCALL_CLOCK] = call_clock, [HOSTCALL_CONSOLE] = call_console,
    [HOSTCALL_LOG] = call_log,     [HOSTCALL_EXIT] = call_exit,   [HOSTCALL_TRACE] = call_log,
    [HOSTCALL_SPAWN] = call_spawn, [HOSTCALL_QUOTE] = call_quote, [HOSTCALL_VOLUME] = call_volume,
    [HOSTCALL_KEY] = call_key,
};

enum sgx_vcpu_action hostcall_dispatch(void *context, uint64_t reason, uint64_t rsi)
{
    struct vcpu *vcpu = context;
    struct vcpu_shared *shared = vcpu->shared;
    uint64_t nr;

    atomic_store_explicit(&vcpu->in_host, true, memory_order_relaxed);
    if (reason == EXIT_DEAD)
        runtime_end(vcpu, EXIT_RUNTIME_FAILED);
    if (reason != EXIT_HOSTCALL) {
        complain("vCPU %u left the enclave for an unknown reason %lu", vcpu->index, (unsigned long)reason);
        runtime_end(vcpu, EXIT_RUNTIME_FAILED);
    }
    nr = __atomic_load_n(&shared->nr, __ATOMIC_RELAXED);
    if (nr < HOSTCALL_COUNT) {
        vcpu->hostcalls[nr]++;
        shared->result = hostcall_table[nr](vcpu, shared->args);
    } else {
        shared->result = -ENOSYS;
    }
    runtime_end_check(vcpu);
    return SGX_VCPU_RETURN;
}
