/* The end of the process: on vCPU 0's thread, whoever asked for it. */
#include "host/error.h"
#include "host/members.h"
#include "host/pump/pump.h"
#include "host/quote/service.h"
#include "host/registry.h"
#include "host/runtime.h"
#include "host/start_pages.h"
#include "host/terminal.h"

#include <signal.h>
#include <unistd.h>

/* Interrupts vCPU 0 for good. The tick would not do: it comes back through the enclave. */
#define END_SIGNAL SIGRTMAX

static struct vcpu *pump_vcpu;

static _Noreturn void finish(struct vcpu *vcpu)
{
    struct runtime *runtime = vcpu->runtime;
    int status = atomic_load(&runtime->ending) - 1;
    char *error = NULL;

    atomic_store(&vcpu->in_host, true);
    if (runtime->member == 0) {
        pump_drain(runtime->pump);
        members_end(runtime);
        terminal_restore();
        registry_leave();
        start_pages_save(runtime->start);
    }
    stats_finish(runtime);
    if (runtime->options.quote_path && status == 0 && quote_service_save(runtime->options.quote_path, &error) < 0)
        die("%s", error);
    _exit(status >= 256 ? 128 + (status - 256) : status);
}

/* In host code it may hold the pump's lock: then runtime_end_check() finishes when that is done. */
static void on_end_signal(int signum, siginfo_t *info, void *context)
{
    if (!atomic_load(&pump_vcpu->in_host))
        finish(pump_vcpu);
}

int runtime_end_init(struct vcpu *vcpu)
{
    pump_vcpu = vcpu;
    return sgx_signal(vcpu->runtime->enclave, END_SIGNAL, on_end_signal, 0);
}

void runtime_end_check(struct vcpu *vcpu)
{
    atomic_store(&vcpu->in_host, false);
    if (__builtin_expect(atomic_load(&vcpu->runtime->ending), 0)) {
        if (vcpu->index == 0)
            finish(vcpu);
        for (;;)
            pause();
    }
}

static void end_first(struct runtime *runtime)
{
    struct vcpu *first = &runtime->vcpus[0];

    atomic_store(first->kicked, 1);
    if (runtime_pump(runtime))
        pump_wake(runtime_pump(runtime));
    pthread_kill(first->thread, END_SIGNAL);
}

void runtime_end_outside(struct runtime *runtime, int status)
{
    int running = 0;

    if (atomic_compare_exchange_strong(&runtime->ending, &running, status + 1))
        end_first(runtime);
}

void runtime_end(struct vcpu *vcpu, int status)
{
    struct runtime *runtime = vcpu->runtime;
    struct vcpu *first = &runtime->vcpus[0];
    int running = 0;

    if (atomic_compare_exchange_strong(&runtime->ending, &running, status + 1) && vcpu != first)
        end_first(runtime);
    if (vcpu == first)
        finish(vcpu);
    for (;;)
        pause();
}
