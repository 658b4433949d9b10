/*
 * A virtual CPU: a host thread, a TCS and a block of pages (abi/layout.h). GS base points to struct vcpu, which is the
 * page after the TCS, whatever runs. Fields other vCPUs touch need the kernel lock; the rest belong to this vCPU.
 */
#ifndef COFRE_KERNEL_ARCH_VCPU_H
#define COFRE_KERNEL_ARCH_VCPU_H

#include "abi/hostcall.h"
#include "abi/stats.h"
#include "kernel/arch/trap.h"
#include "kernel/lib/types.h"

struct task;

/* What the enter function's caller wants back at EEXIT (SDM and the vDSO's convention). */
struct host_context {
    uint64_t rcx; /* the address after EENTER: where EEXIT goes */
    uint64_t rsp, rbp, r12, r13, r14, r15;
};

struct vcpu {
    /* fixed offsets: kernel/arch/offsets.h */
    struct vcpu *self;
    void (*syscall_entry)(void);
    struct task *current;
    uint64_t kernel_stack; /* top of the current task's kernel stack */
    uint64_t user_rsp;     /* scratch of the system call entry */
    uint64_t canary;       /* GCC's stack protector: %gs:40 */
    uint64_t user_rip;     /* scratch of the way out */
    uint64_t booted;
    uint64_t hostcall_rsp; /* kernel stack during a host call, else 0 */
    uint64_t hostcall_fs;
    struct host_context host, host_exception;

    unsigned index;
    host_ptr shared; /* this vCPU's struct vcpu_shared */
    struct task *idle;
    struct task *dead; /* ended on this vCPU, to be freed once off its stack */
    bool panicking;
    bool need_resched;
    uint32_t tick_wanted;           /* what vcpu_shared.tick_wanted holds */
    volatile bool tick;             /* a tick or kick came since the scheduler last looked */
    bool parked;                    /* in PARK, or about to be */
    bool kicked;                    /* since it parked */
    uint64_t parked_until_ns;       /* deadline given to PARK */
    volatile uint64_t user_returns; /* times the kernel lock was held and given up on the way to user code */
    uint64_t vector_depth;          /* inside kernel_vector_begin(), */
    bool vector_light;              /* which saved the lower halves only, */
    bool vector_wide;               /* as kernel_vector_begin_wide() */
    bool vector_high;               /* and saved opmasks and registers 16 to 31 */

    /* statistics */
    uint64_t *syscalls, *syscalls_slow, *syscalls_enosys; /* STATS_SYSCALL_MAX each */
    uint64_t hostcalls[16];
    uint64_t page_faults, cpuid_emulated, rdtsc_emulated, preemptions, context_switches;
};
_Static_assert(sizeof(struct vcpu) <= PAGE_SIZE, "one page");

static inline struct vcpu *vcpu_self(void)
{
    struct vcpu *vcpu;
    __asm__ volatile("mov %%gs:0, %0" : "=r"(vcpu));
    return vcpu;
}

static inline struct vcpu *vcpu_at(unsigned index)
{
    return (struct vcpu *)(VCPU_BASE + index * VCPU_STRIDE + VCPU_GS);
}

static inline uint64_t vcpu_block(const struct vcpu *vcpu)
{
    return (uint64_t)vcpu - VCPU_GS;
}

/* RDRAND, RDSEED; false if the CPU had none just now. */
static inline bool cpu_rdrand(uint64_t *ret)
{
    bool ok;
    __asm__ volatile("rdrand %0; setc %1" : "=r"(*ret), "=qm"(ok) : : "cc");
    return ok;
}

/* Leaves with EXIT_DEAD: the container is over. */
noreturn_fn void vcpu_die(void);
noreturn_fn void exception_die(void); /* the same, at CSSA = 1 */

/* First C function on each vCPU (idle stack); boot parameters' address as the host gave it. */
noreturn_fn void vcpu_main(uint64_t boot_params_addr);

/* Assembly, kernel/arch/entry.S. */
void enclave_entry(void);
void syscall_entry(void);
void trap_entry(void);
void nested_trap_entry(void);
void user_return(void);
void user_return_end(void);
void task_entry(void);
void hostcall_exit_enter(void);
/* Saves callee-saved registers and RSP to *save_rsp, continues at next_rsp. */
void context_switch(uint64_t *save_rsp, uint64_t next_rsp);

/* kernel/arch/trap.c, called by the above. */
void syscall_handle(struct trap_frame *frame);
void trap_handle(struct trap_frame *frame);
void task_first_run(struct trap_frame *frame);
void user_return_work(struct trap_frame *frame);
void nested_trap_handle(struct trap_frame *frame);
/* kernel/arch/exception.c, on the exception stack at CSSA = 1. */
void exception_handle(void);

#endif
