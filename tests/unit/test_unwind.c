/*
 * The unwinder and the finder of names, on this very program: the way up from a deep call, and from a signal's handler
 * through the C library's trampoline, must be what backtrace(3) says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/process/symbol.h"
#include "kernel/process/unwind.h"

#define DEPTH 64

static bool space_read(void *context, uint64_t addr, void *buf, size_t size)
{
    if (addr < PAGE_SIZE)
        return false;
    memcpy(buf, (const void *)(uintptr_t)addr, size);
    return true;
}

struct search {
    uint64_t pc, header;
};

static int look(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct search *s = arg;
    uint64_t header = 0;
    bool in = false;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_LOAD && s->pc - info->dlpi_addr >= p->p_vaddr &&
            s->pc - info->dlpi_addr - p->p_vaddr < p->p_memsz)
            in = true;
        if (p->p_type == PT_GNU_EH_FRAME)
            header = info->dlpi_addr + p->p_vaddr;
    }
    if (in)
        s->header = header;
    return in;
}

static bool space_find(void *context, uint64_t pc, uint64_t *ret_eh_frame_hdr)
{
    struct search s = {.pc = pc};
    dl_iterate_phdr(look, &s);
    *ret_eh_frame_hdr = s.header;
    return s.header != 0;
}

static const struct unwind_space space = {.read = space_read, .find = space_find};

/* Where the caller of this macro is. RAX and the like are not kept by anybody. */
#define HERE(u)                                                                                                        \
    do {                                                                                                               \
        memset(&(u), 0, sizeof(u));                                                                                    \
        __asm__ volatile("lea 0(%%rip), %%rax\n mov %%rax, 128(%0)\n mov %%rsp, 56(%0)\n mov %%rbp, 48(%0)\n"          \
                         "mov %%rbx, 24(%0)\n mov %%r12, 96(%0)\n mov %%r13, 104(%0)\n mov %%r14, 112(%0)\n"           \
                         "mov %%r15, 120(%0)\n"                                                                        \
                         :                                                                                             \
                         : "r"((u).registers)                                                                          \
                         : "rax", "memory");                                                                           \
        (u).known = 1U << UNWIND_RIP | 1U << UNWIND_RSP | 1U << UNWIND_RBP | 1U << 3 | 0xfU << 12;                     \
    } while (0)

__attribute__((noinline)) static void compare(struct unwind *u)
{
    void *expected[DEPTH];
    int count = backtrace(expected, DEPTH), same = 0, i = 0;
    while (i < count && expected[i] != __builtin_return_address(0))
        i++; /* in here, and in what a sanitizer puts between */
    while (++i < count) {
        if (!unwind_step(&space, u))
            fail_msg("the way up ends after %d", same);
        assert_int_equal(u->registers[UNWIND_RIP], (uintptr_t)expected[i]);
        same++;
    }
    assert_true(same > 3);
    for (int more = 0; unwind_step(&space, u); more++)
        assert_true(more < 3); /* backtrace() may leave _start out */
}

__attribute__((noinline)) static int deep(int n)
{
    if (n == 0) {
        struct unwind u;
        HERE(u);
        compare(&u);
        return 1;
    }
    volatile char room[64 * 7];
    room[n] = 1;
    return deep(n - 1) + room[n];
}

static int by_qsort(const void *a, const void *b)
{
    static bool done;
    if (!done)
        deep(5);
    done = true;
    return *(const int *)a - *(const int *)b;
}

static void from_a_deep_call(void **unused)
{
    int numbers[] = {3, 1, 2};
    qsort(numbers, 3, sizeof *numbers, by_qsort);
    assert_int_equal(deep(9), 10);
}

static volatile bool handled;

static void handler(int number)
{
    struct unwind u;
    HERE(u);
    compare(&u);
    handled = true;
}

static void from_a_signal(void **unused)
{
    char *stack = malloc(1 << 20);
    assert_non_null(stack);
    for (int alternate = 0; alternate < 2; alternate++) {
        stack_t s = {.ss_sp = stack, .ss_size = 1 << 20};
        struct sigaction action = {.sa_handler = handler, .sa_flags = alternate ? SA_ONSTACK : 0};
        sigaltstack(&s, NULL);
        sigaction(SIGUSR1, &action, NULL);
        handled = false;
        raise(SIGUSR1);
        assert_true(handled);
    }
    stack_t off = {.ss_flags = SS_DISABLE};
    sigaltstack(&off, NULL);
    free(stack);
}

static void nothing_there(void **unused)
{
    struct unwind u = {.registers[UNWIND_RIP] = 16, .known = (1U << UNWIND_REGISTERS) - 1};
    assert_false(unwind_step(&space, &u));
}

/* ---- names ---- */

static ssize_t read_file(void *context, void *buf, size_t size, file_off_t pos)
{
    return pread(*(int *)context, buf, size, pos);
}

static int name_of(const char *path, uint64_t vaddr, char *ret_name, size_t size, uint64_t *ret_offset)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct elf_reader reader = {.read = read_file, .context = &fd};
    assert_true(fd >= 0);
    int r = symbol_find(&reader, vaddr, ret_name, size, ret_offset);
    close(fd);
    return r;
}

static void names(void **unused)
{
    Dl_info info;
    char name[64];
    uint64_t offset;
    assert_true(dladdr((void *)(uintptr_t)deep, &info) != 0);
    assert_int_equal(
        name_of("/proc/self/exe", (uintptr_t)deep - (uintptr_t)info.dli_fbase + 5, name, sizeof name, &offset), 0);
    assert_string_equal(name, "deep");
    assert_int_equal(offset, 5);
    void *function = dlsym(RTLD_DEFAULT, "getppid");
    assert_true(function && dladdr(function, &info) != 0);
    assert_int_equal(name_of(info.dli_fname, (uintptr_t)function - (uintptr_t)info.dli_fbase, name, 4, &offset), 0);
    assert_string_equal(name, "get");
    assert_int_equal(offset, 0);
    assert_int_equal(name_of("/proc/self/exe", 3, name, sizeof name, &offset), -ENOENT);
    assert_int_equal(name_of("/etc/passwd", 3, name, sizeof name, &offset), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_a_deep_call),
        cmocka_unit_test(from_a_signal),
        cmocka_unit_test(nothing_there),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
