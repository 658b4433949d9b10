/* vCPU threads: entering the enclave, kicks, and parking without the pump. */
#include "host/error.h"
#include "host/members.h"
#include "host/pump/pump.h"
#include "host/runtime.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void report_fault(struct sgx_thread *thread, unsigned index)
{
    struct sgx_fault fault;

    sgx_thread_fault(thread, &fault);
    complain("vCPU %u failed: exception %u (error code %#x) at %#lx that the enclave could not handle", index,
             fault.vector, fault.error_code, (unsigned long)fault.addr);
}

static void *vcpu_main(void *arg)
{
    struct vcpu *vcpu = arg;
    struct runtime *runtime = vcpu->runtime;
    struct sgx_thread *thread;
    char *error = NULL;
    int ret;

    atomic_store(&vcpu->in_host, true);
    ret = sgx_thread_init(runtime->enclave, VCPU_BASE + vcpu->index * VCPU_STRIDE + VCPU_TCS, &thread);
    if (ret < 0)
        die("starting vCPU %u failed: %s", vcpu->index, strerror(-ret));
    atomic_store(&vcpu->sgx, thread);
    __atomic_store_n(&member_self(runtime)->host_tid[vcpu->index], (uint32_t)gettid(), __ATOMIC_RELEASE);
    if (vcpu->index == 0 && runtime->member == 0 && pump_start(runtime->pump, &error) < 0)
        die("starting the pump failed: %s", error);
    if (vcpu->index == 0 && (ret = runtime_end_init(vcpu)) < 0)
        die("installing a signal handler failed: %s", strerror(-ret));
    runtime_end_check(vcpu);
    if (vcpu->index == 0)
        __atomic_store_n(&member_self(runtime)->state, MEMBER_RUNNING, __ATOMIC_RELEASE);
    ret = sgx_vcpu_run(thread, (uint64_t)(uintptr_t)runtime->boot, hostcall_dispatch, vcpu);
    if (ret == -EFAULT)
        report_fault(thread, vcpu->index);
    else if (ret < 0)
        complain("entering the enclave failed: %s", strerror(-ret));
    runtime_end(vcpu, EXIT_RUNTIME_FAILED);
}

static int start_thread(struct vcpu *vcpu)
{
    if (atomic_exchange(&vcpu->started, true))
        return 0;
    return pthread_create(&vcpu->thread, NULL, vcpu_main, vcpu);
}

static void prepare(struct runtime *runtime)
{
    for (unsigned i = 0; i < runtime->vcpu_count; i++) { /* all, before one can be told to kick another */
        struct vcpu *vcpu = &runtime->vcpus[i];

        vcpu->runtime = runtime;
        vcpu->index = i;
        vcpu->shared = &runtime->shared[i];
        vcpu->kicked = (atomic_uint *)&member_self(runtime)->kicked[i];
        vcpu->parked = (atomic_uint *)&member_self(runtime)->parked[i];
    }
}

int vcpus_start(struct runtime *runtime, char **ret_error)
{
    prepare(runtime);
    for (unsigned i = 0; i < runtime->vcpu_count; i++) {
        int ret = start_thread(&runtime->vcpus[i]);

        if (ret != 0)
            return fail(ret_error, ret, "starting vCPU %u failed: %s", i, strerror(ret));
    }
    return 0;
}

void vcpus_prepare(struct runtime *runtime)
{
    prepare(runtime);
    for (unsigned i = 1; i < runtime->vcpu_count; i++)
        atomic_store(runtime->vcpus[i].parked, 1);
}

_Noreturn void vcpus_run(struct runtime *runtime)
{
    struct vcpu *first = &runtime->vcpus[0];

    first->thread = pthread_self();
    atomic_store(&first->started, true);
    vcpu_main(first);
    abort(); /* the way out is runtime_end() */
}

struct pump *runtime_pump(const struct runtime *runtime)
{
    if (runtime->member == 0)
        return runtime->pump;
    return pump_is_started(runtime->own_pump) ? runtime->own_pump : NULL;
}

void vcpu_kick(struct runtime *runtime, unsigned i)
{
    struct vcpu *vcpu = &runtime->vcpus[i];
    struct sgx_thread *thread;

    if (i >= runtime->vcpu_count)
        return;
    __atomic_store_n(&vcpu->shared->kick, 1, __ATOMIC_RELAXED);
    if (!atomic_load(&vcpu->started)) {
        int ret;

        atomic_store(vcpu->kicked, 1);
        ret = start_thread(vcpu);
        if (ret != 0)
            die("starting vCPU %u failed: %s", i, strerror(ret));
        return;
    }
    if (atomic_exchange(vcpu->kicked, 1) && atomic_load(vcpu->parked))
        return; /* it is on its way out already */
    if (atomic_load(vcpu->parked)) {
        if (i == 0 && runtime_pump(runtime))
            pump_wake(runtime_pump(runtime));
        if (i != 0 || runtime->member != 0)
            syscall(SYS_futex, vcpu->kicked, FUTEX_WAKE, 1, NULL, NULL, 0);
        return;
    }
    thread = atomic_load(&vcpu->sgx);
    if (thread) {
        vcpu->kick_retries = 3;
        sgx_tick(thread);
    }
}

void vcpu_park(struct vcpu *vcpu, uint64_t deadline_ns)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000ULL),
                             .tv_nsec = (long)(deadline_ns % 1000000000ULL)};

    while (!atomic_load(vcpu->kicked)) {
        long ret = syscall(SYS_futex, vcpu->kicked, FUTEX_WAIT_BITSET, 0, deadline_ns == PARK_FOREVER ? NULL : &until,
                           NULL, FUTEX_BITSET_MATCH_ANY);

        if (ret < 0 && errno == ETIMEDOUT)
            break;
    }
}
