/* Vector registers, as far as the CPU has them, keep their contents across faults, system calls and other tasks. */
#include "show.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

static uint8_t in[32][64] __attribute__((aligned(64))), out[32][64] __attribute__((aligned(64)));
static const char constant[1 << 16] = {1};
static char zeroed[1 << 16];

/* Load registers, do something once, store them. EVERY(n) is an instruction for register n. */
/* clang-format off */
#define SIXTEEN(EVERY)                                                                                                 \
    EVERY(0) EVERY(1) EVERY(2) EVERY(3) EVERY(4) EVERY(5) EVERY(6) EVERY(7) EVERY(8) EVERY(9) EVERY(10) EVERY(11)      \
    EVERY(12) EVERY(13) EVERY(14) EVERY(15)
#define UPPER(EVERY)                                                                                                   \
    EVERY(16) EVERY(17) EVERY(18) EVERY(19) EVERY(20) EVERY(21) EVERY(22) EVERY(23) EVERY(24) EVERY(25) EVERY(26)      \
    EVERY(27) EVERY(28) EVERY(29) EVERY(30) EVERY(31)
/* clang-format on */
#define XMM_LOAD(n) "movdqu 64*" #n "(%0), %%xmm" #n "\n"
#define XMM_STORE(n) "movdqu %%xmm" #n ", 64*" #n "(%1)\n"
#define YMM_LOAD(n) "vmovdqu 64*" #n "(%0), %%ymm" #n "\n"
#define YMM_STORE(n) "vmovdqu %%ymm" #n ", 64*" #n "(%1)\n"
#define ZMM_LOAD(n) "vmovdqu64 64*" #n "(%0), %%zmm" #n "\n"
#define ZMM_STORE(n) "vmovdqu64 %%zmm" #n ", 64*" #n "(%1)\n"
#define AROUND(load, store, middle, argument)                                                                          \
    __asm__ volatile(load middle store : : "r"(in), "r"(out), "r"(argument) : "memory", "rax", "rcx", "r11", "cc")
#define K_LOAD "kmovw (%0), %%k1\nkmovw 64(%0), %%k2\nkmovw 128(%0), %%k7\n"
#define K_STORE                                                                                                        \
    "kmovw %%k1, %%eax\ncmpw (%0), %%ax\njne 7f\nkmovw %%k2, %%eax\ncmpw 64(%0), %%ax\njne 7f\n"                       \
    "kmovw %%k7, %%eax\ncmpw 128(%0), %%ax\nje 8f\n7: movb $0, (%1)\n8:\n"

static void report(const char *what, int width, int count)
{
    int lost = 0;
    for (int i = 0; i < count; i++)
        lost += memcmp(in[i], out[i], (size_t)width) != 0;
    printf("%s: %s\n", what, lost ? "lost" : "kept");
    if (lost)
        printf("  %d of %d registers of %d bytes\n", lost, count, width);
    memset(out, 0, sizeof out);
}

#define TRY(what, middle, argument)                                                                                    \
    do {                                                                                                               \
        if (__builtin_cpu_supports("avx512f")) {                                                                       \
            AROUND(SIXTEEN(ZMM_LOAD) UPPER(ZMM_LOAD) K_LOAD, SIXTEEN(ZMM_STORE) UPPER(ZMM_STORE) K_STORE, middle,      \
                   argument);                                                                                          \
            report(what, 64, 32);                                                                                      \
        } else if (__builtin_cpu_supports("avx2")) {                                                                   \
            AROUND(SIXTEEN(YMM_LOAD), SIXTEEN(YMM_STORE), middle, argument);                                           \
            report(what, 32, 16);                                                                                      \
        } else {                                                                                                       \
            AROUND(SIXTEEN(XMM_LOAD), SIXTEEN(XMM_STORE), middle, argument);                                           \
            report(what, 16, 16);                                                                                      \
        }                                                                                                              \
    } while (0)

/* With the upper halves of 0 to 15 clean, as libc leaves them: the kernel saves less around its cryptography. */
static void report_clean(const char *what, int width, int count)
{
    static const uint8_t zeros[64];
    int lost = 0;
    for (int i = 0; i < count; i++)
        lost += i < 16 ? memcmp(in[i], out[i], 16) != 0 || memcmp(out[i] + 16, zeros, (size_t)width - 16) != 0
                       : memcmp(in[i], out[i], (size_t)width) != 0;
    printf("%s, upper halves clean: %s\n", what, lost ? "lost" : "kept");
    memset(out, 0, sizeof out);
}

#define TRY_CLEAN(what, middle, argument)                                                                              \
    do {                                                                                                               \
        if (__builtin_cpu_supports("avx512f")) {                                                                       \
            AROUND("vzeroupper\n" SIXTEEN(XMM_LOAD) UPPER(ZMM_LOAD) K_LOAD,                                            \
                   SIXTEEN(ZMM_STORE) UPPER(ZMM_STORE) K_STORE, middle, argument);                                     \
            report_clean(what, 64, 32);                                                                                \
        } else if (__builtin_cpu_supports("avx2")) {                                                                   \
            AROUND("vzeroupper\n" SIXTEEN(XMM_LOAD), SIXTEEN(YMM_STORE), middle, argument);                            \
            report_clean(what, 32, 16);                                                                                \
        } else {                                                                                                       \
            AROUND(SIXTEEN(XMM_LOAD), SIXTEEN(XMM_STORE), middle, argument);                                           \
            report_clean(what, 16, 16);                                                                                \
        }                                                                                                              \
    } while (0)

#define GETRANDOM                                                                                                      \
    "push %%rdi\npush %%rsi\npush %%rdx\nmov %2, %%rdi\nmov $64, %%esi\nxor %%edx, %%edx\nmov $318, %%eax\nsyscall\n"  \
    "pop %%rdx\npop %%rsi\npop %%rdi\n"

/* pwrite(fd, in, 2048, 0) and fsync(fd), which a volume encrypts for. The argument points to fd. */
#define WRITE_AND_SYNC                                                                                                 \
    "push %%rdi\npush %%rsi\npush %%rdx\npush %%r10\npush %0\npush %2\npop %%rdi\npop %%rsi\nmov (%%rdi), %%edi\n"     \
    "mov $2048, %%edx\nxor %%r10d, %%r10d\nmov $18, %%eax\nsyscall\nmov $74, %%eax\nsyscall\n"                         \
    "pop %%r10\npop %%rdx\npop %%rsi\npop %%rdi\n"

static volatile int stop;
static void *spin(void *arg)
{
    while (!stop) { /* other contents in the same registers */
        memset(arg, 0xa5, 4096);
        sched_yield();
    }
    return NULL;
}

int main(void)
{
    for (int i = 0; i < 32; i++)
        for (int j = 0; j < 64; j++)
            in[i][j] = (uint8_t)(i * 67 + j * 3 + 1);
    char *fresh = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TRY("first touch of memory", "movb $1, 0x5000(%2)\n", fresh);
    TRY("first touch of a file", "movb 0x9000(%2), %%al\n", constant);
    TRY("first write to zeroed data", "movb $1, 0x9000(%2)\n", zeroed);
    TRY("random bytes", GETRANDOM, fresh);
    TRY_CLEAN("first touch of a file", "movb 0xc000(%2), %%al\n", constant);
    TRY_CLEAN("random bytes", GETRANDOM, fresh);
    TRY_CLEAN("a system call", "mov $39, %%eax\nsyscall\n", fresh);
    TRY("a system call", "mov $39, %%eax\nsyscall\n", fresh);
    TRY("one that no pattern matches", "mov $39, %%eax\njmp 1f\n1: syscall\njmp 2f\n2:\n", fresh);

    int fd = open("vector_state", O_RDWR | O_CREAT | O_TRUNC, 0600);
    TRY("a synced write", WRITE_AND_SYNC, &fd);
    TRY_CLEAN("a synced write", WRITE_AND_SYNC, &fd);

    static char other[4][4096];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, spin, other[i]);
    TRY("sched_yield among threads", "mov $24, %%eax\nsyscall\nmov $24, %%eax\nsyscall\n", fresh);
    struct timespec t = {0, 5000000};
    TRY("nanosleep among threads",
        "push %%rdi\npush %%rsi\nmov %2, %%rdi\nxor %%esi, %%esi\nmov $35, %%eax\nsyscall\n"
        "pop %%rsi\npop %%rdi\n",
        &t);
    TRY("computing among threads", "mov $200000000, %%rax\n3: dec %%rax\njnz 3b\n", fresh);
    stop = 1;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
