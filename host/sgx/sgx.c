/* Common to both implementations: opening, thread blocks, the vCPU loop, ticks, statistics. */
#include "host/sgx/sgx.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/hostcall.h"
#include "host/sgx/thread.h"

#define THREAD_MAX 128

_Thread_local struct sgx_thread *sgx_current;
uint64_t sgx_blocks_base, sgx_blocks_size;
static pthread_mutex_t blocks_lock = PTHREAD_MUTEX_INITIALIZER;

static const struct sgx_ops *choose(enum sgx_kind kind)
{
    const char *wish = getenv("COFRE_SGX");
    if (kind == SGX_AUTO && wish)
        kind = strcmp(wish, "device") == 0 ? SGX_DEVICE : strcmp(wish, "soft") == 0 ? SGX_SOFTWARE : SGX_AUTO;
    if (kind == SGX_AUTO)
        kind = sgx_device_present() ? SGX_DEVICE : SGX_SOFTWARE;
    return kind == SGX_DEVICE ? &sgx_device_ops : &sgx_softsgx_ops;
}

int sgx_open(enum sgx_kind kind, struct sgx_enclave **ret_enclave)
{
    return choose(kind)->open(ret_enclave);
}

bool sgx_can_inherit(enum sgx_kind kind)
{
    return choose(kind)->inherit != NULL;
}

int sgx_inherit(struct sgx_enclave *enclave)
{
    return enclave->ops->inherit ? enclave->ops->inherit(enclave) : -ENOTSUP;
}

void sgx_close(struct sgx_enclave *enclave)
{
    if (enclave)
        enclave->ops->close(enclave);
}

const struct sgx_ops *sgx_ops(struct sgx_enclave *enclave)
{
    return enclave->ops;
}

bool sgx_is_simulation(struct sgx_enclave *enclave)
{
    return enclave->ops->simulation;
}

void sgx_simulation_notice(void)
{
    static const char text[] = "cofre: SGX is simulated here: this protects nothing\n";
    static bool said;
    if (!said && write(STDERR_FILENO, text, sizeof(text) - 1) > 0)
        said = true;
}

bool sgx_has_edmm(struct sgx_enclave *enclave)
{
    return enclave->ops->has_edmm(enclave);
}

bool sgx_keeps_xcr0(struct sgx_enclave *enclave)
{
    return enclave->ops->keeps_xcr0 && enclave->ops->keeps_xcr0(enclave);
}

int sgx_reserve(struct sgx_enclave *enclave, uint64_t base, uint64_t size)
{
    return enclave->ops->reserve(enclave, base, size);
}

int sgx_ioctl(struct sgx_enclave *enclave, unsigned long request, void *arg)
{
    return enclave->ops->ioctl(enclave, request, arg);
}

uint32_t sgx_init_error(struct sgx_enclave *enclave)
{
    return enclave->ops->init_error ? enclave->ops->init_error(enclave) : 0;
}

int sgx_map(struct sgx_enclave *enclave, uint64_t addr, uint64_t size, int prot)
{
    return enclave->ops->map(enclave, addr, size, prot);
}

int sgx_protect(struct sgx_enclave *enclave, uint64_t addr, uint64_t size, int prot)
{
    return enclave->ops->protect(enclave, addr, size, prot);
}

int sgx_signal(struct sgx_enclave *enclave, int signum, void (*handler)(int, siginfo_t *, void *), int flags)
{
    return enclave->ops->signal(signum, handler, flags);
}

/* One region for all blocks, aligned to a block. */
static int blocks_init(void)
{
    if (sgx_blocks_size)
        return 0;
    size_t size = (size_t)THREAD_MAX * SGX_THREAD_SIZE;
    char *p =
        mmap(NULL, size + SGX_THREAD_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return -errno;
    sgx_blocks_base = ((uint64_t)p + SGX_THREAD_SIZE - 1) & ~(uint64_t)(SGX_THREAD_SIZE - 1);
    sgx_blocks_size = size;
    return 0;
}

int sgx_thread_block_new(struct sgx_thread **ret_thread)
{
    pthread_mutex_lock(&blocks_lock);
    int r = blocks_init();
    struct sgx_thread *thread = NULL;
    for (uint64_t i = 0; r == 0 && i < THREAD_MAX && !thread; i++) {
        struct sgx_thread *t = (struct sgx_thread *)(sgx_blocks_base + i * SGX_THREAD_SIZE);
        if (!t->used)
            thread = t;
    }
    if (thread) {
        memset(thread, 0, sizeof(*thread));
        thread->used = true;
    }
    pthread_mutex_unlock(&blocks_lock);
    if (!thread)
        return r ? r : -EAGAIN;
    stack_t old,
        stack = {.ss_sp = (char *)thread + SGX_THREAD_ALT_STACK, .ss_size = SGX_THREAD_SIZE - SGX_THREAD_ALT_STACK};
    if (sigaltstack(&stack, &old)) {
        thread->used = false;
        return -errno;
    }
    thread->old_stack.sp = old.ss_sp;
    thread->old_stack.flags = old.ss_flags;
    thread->old_stack.size = old.ss_size;
    *ret_thread = thread;
    return 0;
}

void sgx_thread_block_free(struct sgx_thread *thread)
{
    stack_t old = {
        .ss_sp = thread->old_stack.sp, .ss_flags = thread->old_stack.flags, .ss_size = thread->old_stack.size};
    sigaltstack(&old, NULL);
    pthread_mutex_lock(&blocks_lock);
    thread->used = false;
    pthread_mutex_unlock(&blocks_lock);
}

/* The user handler of the enter function: keeps what the enclave left in its registers. */
static int keep_registers(long rdi, long rsi, long rdx, long rsp, long r8, long r9, struct sgx_enclave_run *run)
{
    struct sgx_thread *thread = (struct sgx_thread *)run->user_data;
    thread->exit_rdi = (uint64_t)rdi;
    thread->exit_rsi = (uint64_t)rsi;
    return 0;
}

int sgx_thread_init(struct sgx_enclave *enclave, uint64_t tcs, struct sgx_thread **ret_thread)
{
    struct sgx_thread *thread;
    int r = sgx_thread_block_new(&thread);
    if (r)
        return r;
    thread->enclave = enclave;
    thread->tcs_va = tcs;
    thread->tid = (int)syscall(SYS_gettid);
    thread->run.tcs = tcs;
    thread->run.user_handler = (uint64_t)keep_registers;
    thread->run.user_data = (uint64_t)thread;
    r = enclave->ops->thread_init(thread);
    if (r) {
        sgx_thread_block_free(thread);
        return r;
    }
    sgx_current = thread;
    *ret_thread = thread;
    return 0;
}

void sgx_thread_exit(struct sgx_thread *thread)
{
    sgx_current = NULL;
    thread->enclave->ops->thread_exit(thread);
    sgx_thread_block_free(thread);
}

/* An EENTER that finds no SSA frame left follows a fault at CSSA = 1: that one is the cause. */
static void keep_fault(struct sgx_thread *thread)
{
    const struct sgx_enclave_run *run = &thread->run;
    if (run->function == SGX_ENCLU_EENTER && thread->fault.function)
        return;
    thread->fault =
        (struct sgx_fault){run->function, run->exception_vector, run->exception_error_code, run->exception_addr};
}

int sgx_vcpu_run(struct sgx_thread *thread, uint64_t boot_params, sgx_exit_handler_t on_exit, void *context)
{
    const struct sgx_ops *ops = thread->enclave->ops;
    uint32_t function = SGX_ENCLU_EENTER;
    uint64_t rdi = ENTER_BOOT;
    for (;;) {
        int r = sgx_enter_saved(rdi, boot_params, 0, function, 0, 0, &thread->run, ops->enter);
        if (r < 0)
            return r;
        if (ops->charge)
            ops->charge(thread);
        function = SGX_ENCLU_EENTER;
        if (thread->run.function != SGX_ENCLU_EEXIT) {
            keep_fault(thread);
            if (thread->run.function != SGX_ENCLU_ERESUME || thread->depth)
                return -EFAULT;
            thread->depth = 1;
            rdi = ENTER_EXCEPTION;
        } else if (thread->exit_rdi == EXIT_RESUME) {
            thread->depth = 0;
            function = SGX_ENCLU_ERESUME;
        } else {
            if (on_exit(context, thread->exit_rdi, thread->exit_rsi) == SGX_VCPU_STOP)
                return 0;
            rdi = ENTER_RETURN;
        }
    }
}

void sgx_thread_fault(struct sgx_thread *thread, struct sgx_fault *ret_fault)
{
    *ret_fault = thread->fault;
}

void sgx_tick(struct sgx_thread *thread)
{
    syscall(SYS_tgkill, getpid(), thread->tid, SGX_TICK_SIGNAL);
}

void sgx_thread_count(const struct sgx_thread *thread, struct sgx_counts *counts)
{
    counts->eenter += thread->eenter;
    counts->eexit += thread->eexit;
    counts->eresume += thread->eresume;
    counts->aex += thread->aex;
    counts->ticks += thread->ticks;
    for (int i = 0; i < 32; i++)
        counts->aex_by_vector[i] += thread->aex_by_vector[i];
}
