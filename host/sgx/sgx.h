/*
 * The seam between the loader and SGX: the Linux SGX interface and nothing else. Two implementations: the device
 * (host/sgx/device.c: /dev/sgx_enclave and the vDSO) and the software enclave (host/softsgx). What is above the seam
 * does not know which one it has.
 *
 * All functions return 0 (or a pointer) on success and a negative errno otherwise, unless said.
 *
 * Order of use, in one process:
 *   sgx_open -> sgx_reserve -> sgx_ioctl(SGX_IOC_ENCLAVE_CREATE) -> ADD_PAGES... -> INIT -> sgx_map each run of pages
 *   (and, with EDMM, whatever may be added later) -> on each vCPU thread: sgx_thread_init, sgx_vcpu_run,
 * sgx_thread_exit.
 */
#ifndef COFRE_HOST_SGX_SGX_H
#define COFRE_HOST_SGX_SGX_H

#include <asm/sgx.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SGX_ENCLU_EENTER 2
#define SGX_ENCLU_ERESUME 3
#define SGX_ENCLU_EEXIT 4

/* The signal that interrupts a vCPU thread. Its default action is to be ignored. Host code must not use it otherwise.
 */
#define SGX_TICK_SIGNAL SIGURG

enum sgx_kind {
    SGX_AUTO, /* the device if there is one, else softsgx; COFRE_SGX=device|soft in the environment decides */
    SGX_DEVICE,
    SGX_SOFTWARE,
};

struct sgx_enclave; /* one open enclave */
struct sgx_thread;  /* one registered host thread and its TCS */

struct sgx_ops {
    const char *name;
    bool simulation;
    bool (*has_edmm)(struct sgx_enclave *enclave);
    bool (*keeps_xcr0)(struct sgx_enclave *enclave); /* may be NULL: no */
    int (*open)(struct sgx_enclave **ret_enclave);
    int (*inherit)(struct sgx_enclave *enclave); /* NULL: enclaves do not survive fork */
    void (*close)(struct sgx_enclave *enclave);
    int (*reserve)(struct sgx_enclave *enclave, uint64_t base, uint64_t size);
    int (*ioctl)(struct sgx_enclave *enclave, unsigned long request, void *arg);
    uint32_t (*init_error)(struct sgx_enclave *enclave); /* may be NULL */
    int (*map)(struct sgx_enclave *enclave, uint64_t addr, uint64_t size, int prot);
    int (*protect)(struct sgx_enclave *enclave, uint64_t addr, uint64_t size, int prot);
    int (*thread_init)(struct sgx_thread *thread);
    void (*thread_exit)(struct sgx_thread *thread);
    int (*signal)(int signum, void (*handler)(int, siginfo_t *, void *), int flags);
    void (*charge)(struct sgx_thread *thread); /* after each exit; softsgx's cost model. May be NULL */
    vdso_sgx_enter_enclave_t enter;            /* exactly the vDSO's contract (see asm/sgx.h) */
};

/* Opens the device or makes a software enclave. */
int sgx_open(enum sgx_kind kind, struct sgx_enclave **ret_enclave);
/*
 * Whether a child made by fork has, of an enclave that was built and never entered, a copy of its own: as if it had
 * built the same one. The child says so by sgx_inherit(), before it uses it. A device has no such thing.
 */
bool sgx_can_inherit(enum sgx_kind kind);
int sgx_inherit(struct sgx_enclave *enclave);
void sgx_close(struct sgx_enclave *enclave);
const struct sgx_ops *sgx_ops(struct sgx_enclave *enclave);
/* True for softsgx. The host then prints sgx_simulation_notice() once. */
bool sgx_is_simulation(struct sgx_enclave *enclave);
/* True if the enclave sees the machine's own CPUID and XCR0, and exits keep all of that state (softsgx, on some CPUs).
 */
bool sgx_keeps_xcr0(struct sgx_enclave *enclave);
/* One line on stderr: this is a simulation and protects nothing. At most once per process. */
void sgx_simulation_notice(void);
/* True if pages can be added, restricted and removed after INIT (SGX2). */
bool sgx_has_edmm(struct sgx_enclave *enclave);

/*
 * Reserves the address range [base, base + size) (size a power of two, base aligned to it) without access. With base 0
 * the first 64 KiB stay unmapped. -EEXIST when something is mapped there already.
 */
int sgx_reserve(struct sgx_enclave *enclave, uint64_t base, uint64_t size);
/* SGX_IOC_ENCLAVE_*: requests, arguments and errors are Linux's (Documentation/arch/x86/sgx.rst). */
int sgx_ioctl(struct sgx_enclave *enclave, unsigned long request, void *arg);
/* After INIT answered -EPERM: the SGX error code of EINIT where it is known (softsgx), else 0. */
uint32_t sgx_init_error(struct sgx_enclave *enclave);
/* Page-table permissions of enclave pages: mmap(MAP_SHARED | MAP_FIXED) of the enclave file, and mprotect. */
int sgx_map(struct sgx_enclave *enclave, uint64_t addr, uint64_t size, int prot);
int sgx_protect(struct sgx_enclave *enclave, uint64_t addr, uint64_t size, int prot);

/*
 * Registers the calling host thread for entering through the TCS at address tcs: alternate signal stack and, with
 * softsgx, Syscall User Dispatch and CPUID faulting (neither survives clone or fork: register again in the child).
 * Signals SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP, SIGSYS and SGX_TICK_SIGNAL must not be blocked.
 */
int sgx_thread_init(struct sgx_enclave *enclave, uint64_t tcs, struct sgx_thread **ret_thread);
void sgx_thread_exit(struct sgx_thread *thread);

/*
 * What to do after an exit of the enclave.
 * reason is RDI at EEXIT (abi/hostcall.h enum exit_reason); EXIT_RESUME never gets here, the loop does it.
 * Return SGX_VCPU_RETURN to enter again with RDI = ENTER_RETURN, or SGX_VCPU_STOP to leave sgx_vcpu_run.
 */
enum sgx_vcpu_action { SGX_VCPU_STOP = 0, SGX_VCPU_RETURN = 1 };
typedef enum sgx_vcpu_action (*sgx_exit_handler_t)(void *context, uint64_t reason, uint64_t rsi);

/*
 * Runs a vCPU until the exit handler says stop: EENTER with RDI = ENTER_BOOT and RSI = boot_params; exceptions become
 * EENTER with ENTER_EXCEPTION at CSSA = 1; EXIT_RESUME becomes ERESUME. (All EENTERs and ERESUMEs of a thread happen at
 * one stack depth, as URSP and URBP demand: that is why the loop is here.)
 * Returns 0 after a stop; -EFAULT when the enclave faulted where nobody can handle it (double fault: details through
 * sgx_thread_fault); other negative errno from the enter function.
 */
int sgx_vcpu_run(struct sgx_thread *thread, uint64_t boot_params, sgx_exit_handler_t on_exit, void *context);

struct sgx_fault {
    uint32_t function; /* ENCLU leaf it is charged to */
    uint16_t vector, error_code;
    uint64_t addr;
};
void sgx_thread_fault(struct sgx_thread *thread, struct sgx_fault *ret_fault);

/*
 * Interrupts a vCPU thread (preemption tick or kick). Any thread or signal handler may call it.
 * If the thread is in the enclave at CSSA = 0, it leaves by an asynchronous exit and enters again with
 * RDI = ENTER_TICK at CSSA = 1. If it runs the exception entry (CSSA = 1) or host code, the tick is remembered as
 * pending and delivered at the next moment where it can be (softsgx), or lost (device): tickers are periodic.
 * A blocking system call of the host code is interrupted (EINTR) in any case.
 */
void sgx_tick(struct sgx_thread *thread);

/*
 * Host signal handlers. In a software enclave FS and GS may be the enclave's when a signal arrives, so every handler of
 * the process MUST be installed with this, never with sigaction. The handler runs with the host's FS and GS, on the
 * alternate stack of vCPU threads; the enclave has been left (the context's RIP is then the AEP). flags: SA_RESTART or
 * 0. handler may be SIG_DFL or SIG_IGN. Not for SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP, SIGSYS, SGX_TICK_SIGNAL.
 */
int sgx_signal(struct sgx_enclave *enclave, int signum, void (*handler)(int, siginfo_t *, void *), int flags);

struct sgx_counts {
    uint64_t eenter, eexit, eresume, aex, ticks;
    uint64_t aex_by_vector[32];
};

/* Adds this thread's counts to *counts. Any thread. */
void sgx_thread_count(const struct sgx_thread *thread, struct sgx_counts *counts);

#endif
