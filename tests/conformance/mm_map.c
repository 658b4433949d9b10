/* mmap, munmap, mprotect: placement, contents, errors, and the faults that follow. */
#include "show.h"

#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>

#define P 4096UL

static sigjmp_buf jump;
static int fault_signal, fault_code;
static uintptr_t fault_addr;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    fault_signal = signal;
    fault_code = info->si_code;
    fault_addr = (uintptr_t)info->si_addr;
    siglongjmp(jump, 1);
}

/* "ok", or the signal with its code and whether the address is right. */
static const char *touch(volatile char *p, int write)
{
    static char text[64];

    if (sigsetjmp(jump, 1) == 0) {
        if (write)
            *p = 1;
        else
            (void)*p;
        return "ok";
    }
    snprintf(text, sizeof text, "%s code %d address %s", fault_signal == SIGSEGV ? "SEGV" : "BUS", fault_code,
             fault_addr == (uintptr_t)p ? "right" : "wrong");
    return text;
}

static int all_zero(const char *p, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (p[i])
            return 0;
    return 1;
}

static void anonymous(void)
{
    char *p = mmap(NULL, 64 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    printf("anonymous aligned %d zero %d\n", ((uintptr_t)p & (P - 1)) == 0, all_zero(p, 64 * P));
    memset(p, 0x5a, 64 * P);
    SHOW(munmap(p + 8 * P, 4 * P));
    printf("hole: %s\n", touch(p + 8 * P, 0));
    printf("below: %s above: %s\n", touch(p + 7 * P, 1), touch(p + 12 * P, 1));
    printf("same place: %d\n",
           mmap(p + 8 * P, 4 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + 8 * P);
    printf("fresh zero %d neighbours kept %d\n", all_zero(p + 8 * P, 4 * P), p[8 * P - 1] == 0x5a && p[12 * P] != 0);
    SHOW(munmap(p, 64 * P));
    printf("gone: %s\n", touch(p, 0));
    SHOW(munmap(p, 64 * P));
}

static void protections(void)
{
    char *p = mmap(NULL, 16 * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    printf("none: %s\n", touch(p, 0));
    SHOW(mprotect(p + 4 * P, 4 * P, PROT_READ | PROT_WRITE));
    printf("rw: %s, before: %s, after: %s\n", touch(p + 4 * P, 1), touch(p + 3 * P, 1), "");
    printf("after: %s\n", touch(p + 8 * P, 1));
    p[5 * P] = 42;
    SHOW(mprotect(p + 5 * P, P, PROT_READ));
    printf("read-only: %s %d, write: ", touch(p + 5 * P, 0), p[5 * P]);
    printf("%s\n", touch(p + 5 * P, 1));
    SHOW(mprotect(p + 5 * P, P, PROT_NONE));
    printf("none again: %s\n", touch(p + 5 * P, 0));
    SHOW(mprotect(p + 5 * P, P, PROT_READ | PROT_WRITE));
    printf("contents kept: %d\n", p[5 * P]);
    SHOW(mprotect(p + 1, P, PROT_READ));
    SHOW(mprotect(p, 0, PROT_READ));
    SHOW(mprotect(p, P, 0x10000));
    SHOW(munmap(p + 8 * P, P));
    SHOW(mprotect(p, 16 * P, PROT_READ));
    printf("before the hole: %s\n", touch(p, 0));
    printf("after the hole: %s\n", touch(p + 9 * P, 0));
    munmap(p, 16 * P);
}

static void code(void)
{
    static const unsigned char mov_ret[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov $42, %eax; ret */
    unsigned char *p = mmap(NULL, 4 * P, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    memcpy(p, mov_ret, sizeof mov_ret);
    printf("rwx runs: %d\n", ((int (*)(void))p)());
    p[1] = 43;
    SHOW(mprotect(p, 4 * P, PROT_READ | PROT_EXEC));
    printf("rx runs: %d, write: %s\n", ((int (*)(void))p)(), touch((char *)p, 1));
    SHOW(mprotect(p, 4 * P, PROT_READ));
    if (sigsetjmp(jump, 1) == 0)
        printf("data runs: %d\n", ((int (*)(void))p)());
    else
        printf("data does not run: signal %d code %d\n", fault_signal, fault_code);
    munmap(p, 4 * P);
}

static void placement(void)
{
    char *p = mmap(NULL, 8 * P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *q;

    q = mmap(p, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("a taken hint is not used: %d\n", q != p && q != MAP_FAILED);
    munmap(q, P);
    munmap(p + 4 * P, P);
    q = mmap(p + 4 * P, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("a free hint is used: %d\n", q == p + 4 * P);
    SHOW(mmap(p, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED ? errno : 0);
    q = mmap(NULL, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    printf("32 bit: %d\n", (uintptr_t)q < 1UL << 31);
    SHOW(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    SHOW(mmap(NULL, P, PROT_READ, MAP_ANONYMOUS, -1, 0));
    SHOW(mmap(NULL, P, PROT_READ, MAP_PRIVATE, -1, 0));
    SHOW(mmap(NULL, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 1));
    SHOW(mmap(p + 1, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    SHOW(mmap(NULL, -P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    SHOW(munmap(p + 1, P));
    SHOW(munmap(p, 0));
    munmap(p, 8 * P);
}

static void reservations(void)
{
    char *p = mmap(NULL, 16UL << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    printf("16 GiB reserved: %d\n", p != MAP_FAILED);
    SHOW(munmap(p, 16UL << 30));
    p = mmap(NULL, 8 * P, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    printf("shared anonymous zero %d\n", all_zero(p, 8 * P));
    p[0] = 7;
    printf("%d\n", p[0]);
    munmap(p, 8 * P);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};

    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    anonymous();
    protections();
    code();
    placement();
    reservations();
    return 0;
}
