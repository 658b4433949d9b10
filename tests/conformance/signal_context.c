/* The frame: registers, vector state, flags, alternate stacks; what a handler changes there takes effect. */
#include "show.h"
#include <immintrin.h>
#include <signal.h>
#include <stdint.h>
#include <ucontext.h>

static char altstack[65536] __attribute__((aligned(16)));

static int on_altstack(const void *p)
{
    return (const char *)p >= altstack && (const char *)p < altstack + sizeof altstack;
}

static void clobber(int signal, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    struct _fpstate *fp = (void *)uc->uc_mcontext.fpregs;
    int local;
    uint32_t magic1 = *(uint32_t *)((char *)fp + 464), extended = *(uint32_t *)((char *)fp + 468);
    uint32_t state = *(uint32_t *)((char *)fp + 480);
    printf("on altstack %d, frame aligned %d, fpstate aligned %d, flags %lx\n", on_altstack(&local),
           (uintptr_t)context % 16 == 0, (uintptr_t)fp % 64 == 0, uc->uc_flags);
    printf("magic %d sizes %d magic2 %d\n", magic1 == 0x46505853, extended == state + 4,
           *(uint32_t *)((char *)fp + state) == 0x46505845);
    printf("stack in context: %d\n", uc->uc_stack.ss_sp == altstack);
    printf("mxcsr %x cwd %x\n", fp->mxcsr, fp->cwd);
    printf("mxcsr now %x\n", _mm_getcsr());
    __asm__ volatile("pxor %%xmm0, %%xmm0; pcmpeqd %%xmm7, %%xmm7; pxor %%xmm15, %%xmm15" ::: "xmm0", "xmm7", "xmm15");
    /* change xmm1 and rbx of the interrupted program */
    ((uint32_t *)fp->_xmm)[4] = 0xabcd;
    uc->uc_mcontext.gregs[REG_RBX] = 99;
    sigaddset(&uc->uc_sigmask, SIGUSR2);
}

static void direction(int signal)
{
    unsigned long flags;
    __asm__ volatile("pushf; pop %0" : "=r"(flags));
    printf("flags in handler: DF %lu\n", flags >> 10 & 1);
}

int main(void)
{
    stack_t stack = {.ss_sp = altstack, .ss_size = sizeof altstack}, old;
    SHOW(sigaltstack(NULL, &old));
    printf("old flags %d\n", old.ss_flags);
    SHOW(sigaltstack(&stack, NULL));
    struct sigaction action = {.sa_sigaction = clobber, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);

    uint32_t xmm0[4] = {1, 2, 3, 4}, xmm1[4] = {5, 6, 7, 8}, out0[4], out1[4], out7[4];
    uint64_t rbx = 1, red_zone = 0x1122334455667788;
    long pid = getpid(), result;
    uint32_t csr = 0x1f80 | 0x6000; /* round to zero */
    _mm_setcsr(csr);
    __asm__ volatile(
        "movdqu %[x0], %%xmm0; movdqu %[x1], %%xmm1; movdqu %[x1], %%xmm7\n"
        "mov $1, %%rbx; mov %[red], %%r12; mov %%r12, -64(%%rsp)\n"
        "mov $62, %%eax; syscall\n"
        "cmp %%r12, -64(%%rsp); sete %%r13b; movzbl %%r13b, %%r13d\n"
        "movdqu %%xmm0, %[o0]; movdqu %%xmm1, %[o1]; movdqu %%xmm7, %[o7]; mov %%rbx, %[rbx]; mov %%r13, %[red]\n"
        : "=a"(result), [o0] "=m"(out0), [o1] "=m"(out1), [o7] "=m"(out7), [rbx] "=m"(rbx), [red] "+m"(red_zone)
        : "D"(pid), "S"((long)SIGUSR1), [x0] "m"(xmm0), [x1] "m"(xmm1)
        : "rcx", "r11", "rbx", "r12", "r13", "xmm0", "xmm1", "xmm7", "memory");
    printf("kill %ld, xmm0 %u %u, xmm1 %x %u, xmm7 %u, rbx %lu, red zone kept %lu\n", result, out0[0], out0[3], out1[0],
           out1[1], out7[2], rbx, red_zone);
    printf("mxcsr after %x\n", _mm_getcsr());
    _mm_setcsr(0x1f80);
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    printf("usr2 blocked by the frame: %d\n", sigismember(&mask, SIGUSR2));

    signal(SIGUSR1, direction);
    __asm__ volatile("std\n mov $62, %%eax; syscall; cld"
                     :
                     : "D"(pid), "S"((long)SIGUSR1)
                     : "rax", "rcx", "r11", "memory");

    stack.ss_size = 100;
    SHOW(sigaltstack(&stack, NULL));
    stack.ss_flags = 77;
    SHOW(sigaltstack(&stack, NULL));
    stack.ss_flags = SS_DISABLE;
    SHOW(sigaltstack(&stack, &old));
    printf("old %d %d\n", old.ss_sp == altstack, old.ss_flags);
    return 0;
}
