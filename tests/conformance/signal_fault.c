/* Faults become the right signals with the right siginfo and context, and handlers can repair and go on. */
#include "show.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <ucontext.h>

static sigjmp_buf back;
static char *area;

static void report(int signal, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    greg_t *g = uc->uc_mcontext.gregs;
    printf("signal %d code %d trapno %lld err %lld", signal, info->si_code, g[REG_TRAPNO],
           g[REG_ERR] & ~1LL /* present or not: when pages are brought in is the kernel's business */);
    if (signal == SIGSEGV || signal == SIGBUS) {
        uintptr_t at = (uintptr_t)info->si_addr, base = (uintptr_t)area;
        if (at >= base && at < base + 65536)
            printf(" area+%lu cr2 %d", (unsigned long)(at - base), (uintptr_t)g[REG_CR2] == at);
        else
            printf(" addr %#lx", (unsigned long)at);
    } else {
        printf(" at rip %d", (uintptr_t)info->si_addr == (uintptr_t)g[REG_RIP]);
    }
    printf("\n");
    fflush(stdout);
    siglongjmp(back, 1);
}

static void repair(int signal, siginfo_t *info, void *context)
{
    printf("repair %lu\n", (unsigned long)((char *)info->si_addr - area));
    mprotect((void *)((uintptr_t)info->si_addr & ~4095UL), 4096, PROT_READ | PROT_WRITE);
}

static void skip(int signal, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    uc->uc_mcontext.gregs[REG_RIP] += 2; /* ud2 */
    uc->uc_mcontext.gregs[REG_RAX] = 0x1234;
}

static void install(void (*fn)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = fn, .sa_flags = SA_SIGINFO | flags};
    int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    for (int i = 0; i < 5; i++)
        sigaction(signals[i], &action, NULL);
}

#define TRY(what)                                                                                                      \
    do {                                                                                                               \
        printf("%s: ", #what);                                                                                         \
        fflush(stdout);                                                                                                \
        if (!sigsetjmp(back, 1)) {                                                                                     \
            what;                                                                                                      \
            printf("no fault\n");                                                                                      \
        }                                                                                                              \
    } while (0)

int main(void)
{
    area = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(area + 4096, 4096, PROT_READ);
    mprotect(area + 8192, 4096, PROT_NONE);
    munmap(area + 12288, 4096);
    area[0] = area[16384] = 1;
    install(report, 0);
    TRY(area[4096] = 1);
    TRY(area[8192] = 1);
    TRY(printf("%d", area[8193]));
    TRY(area[12288 + 77] = 1);
    TRY(((void (*)(void))(area + 12288))());
    TRY(*(volatile int *)0 = 1);
    TRY((void)*(volatile int *)8);
    TRY((void)*(volatile int *)0x8000000000000000UL);
    TRY(__builtin_trap());
    TRY(__asm__ volatile("int3"));
    TRY(__asm__ volatile("xor %%ecx, %%ecx; mov $1, %%eax; cltd; idiv %%ecx" ::: "eax", "ecx", "edx"));
    TRY(__asm__ volatile("hlt"));
    TRY(__asm__ volatile("cli"));

    char name[] = "/tmp/faultXXXXXX";
    int fd = mkstemp(name);
    unlink(name);
    if (ftruncate(fd, 100) == 0) {
        char *file = mmap(area + 20480, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
        if (file != MAP_FAILED) {
            file[99] = 1;
            TRY(file[5000] = 1);
        }
    }

    install(repair, 0);
    mprotect(area, 4096, PROT_NONE);
    area[10] = 5;
    area[11] = 6;
    printf("repaired: %d %d\n", area[10], area[11]);

    install(skip, 0);
    long rax = 0;
    __asm__ volatile("ud2" : "=a"(rax));
    printf("skipped: %lx\n", rax);

    /* A fault while its signal is blocked, or without a handler, ends even PID 1. */
    fflush(stdout);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGSEGV);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    install(report, 0);
    *(volatile int *)0 = 1;
    printf("not reached\n");
    return 0;
}
