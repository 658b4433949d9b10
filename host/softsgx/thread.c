/* Registration of vCPU threads, and the signal handlers of the process. */
#include <asm/prctl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/softsgx/softsgx.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
#define SA_RESTORER_FLAG 0x04000000UL

/* libc would put in its own restorer, and our entry must be the only way in and out. */
struct kernel_sigaction {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static int install(int signum, void (*handler)(int, siginfo_t *, void *), unsigned long flags)
{
    struct kernel_sigaction action = {.handler = handler, .flags = flags, .restorer = softsgx_sig_restore};
    return syscall(SYS_rt_sigaction, signum, &action, NULL, sizeof(action.mask)) ? -errno : 0;
}

#define ENTRY_FLAGS (SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTORER_FLAG)

void softsgx_default_action(int signum)
{
    install(signum, (void *)SIG_DFL, SA_RESTORER_FLAG);
}

int softsgx_signal_install(int signum, void (*handler)(int, siginfo_t *, void *), int flags)
{
    if (signum < 1 || signum > 64)
        return -EINVAL;
    if ((void *)handler == (void *)SIG_DFL || (void *)handler == (void *)SIG_IGN)
        return install(signum, handler, SA_RESTORER_FLAG);
    softsgx_handlers[signum] = handler;
    return install(signum, softsgx_sig_entry, ENTRY_FLAGS | (unsigned long)(flags & SA_RESTART));
}

void softsgx_signals_init(void)
{
    static const int mine[] = {SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP, SIGSYS, SGX_TICK_SIGNAL};
    for (size_t i = 0; i < sizeof(mine) / sizeof(mine[0]); i++)
        install(mine[i], softsgx_sig_entry, ENTRY_FLAGS);
}

void softsgx_die(const char *why)
{
    static const char prefix[] = "softsgx: ";
    ssize_t n = write(2, prefix, sizeof(prefix) - 1);
    n = write(2, why, strlen(why));
    n = write(2, "\n", 1);
    (void)n;
    softsgx_default_action(SIGABRT);
    abort();
}

/* Raw system calls of the enclave become #UD: everything above ELRANGE is allowed, and host code lies there. */
static int dispatch_arm(void)
{
    uint64_t end = softsgx.elrange_end, length = 0 - end - 1; /* a range that ends at 2^64 exactly is refused */
    return prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, end, length, 0) ? -errno : 0;
}

int softsgx_thread_init(struct sgx_thread *thread)
{
    static _Atomic bool once;
    if (!softsgx.initialized)
        return -EINVAL;
    if (!once)
        softsgx_signals_init();
    once = true;
    __asm__ volatile("rdfsbase %0" : "=r"(thread->host_fs));
    __asm__ volatile("rdgsbase %0" : "=r"(thread->host_gs));
    thread->bound_va = 0;
    int r = dispatch_arm();
    if (r)
        return r;
    if (softsgx.cpuid_faulting)
        syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
    return 0;
}

void softsgx_thread_exit(struct sgx_thread *thread)
{
    prctl(PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0);
    if (softsgx.cpuid_faulting)
        syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
    thread->bound_va = 0;
}

/* Called from the enter function at the first use of a TCS by a thread. Non-zero: #GP on the leaf. */
int softsgx_bind(uint64_t tcs_va)
{
    struct sgx_thread *thread = sgx_current;
    struct softsgx_tcs *tcs = softsgx.initialized ? softsgx_tcs_at(tcs_va) : NULL;
    if (!tcs)
        return -EINVAL;
    uint32_t e = atomic_load(softsgx_epcm(tcs_va));
    if ((e & (EPCM_VALID | EPCM_TYPE_MASK | EPCM_STATE)) != (EPCM_VALID | EPCM_TYPE(PT_TCS)))
        return -EINVAL;
    thread->tcs = tcs;
    thread->bound_va = tcs_va;
    return 0;
}
