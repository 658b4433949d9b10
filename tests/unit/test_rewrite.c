/*
 * Call-site rewriting. Small functions are rewritten and run: their stubs jump through %gs to an entry that makes the
 * real system call, as the kernel's would. Real programs are rewritten window by window, and every changed byte must be
 * part of a site.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <asm/prctl.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/arch/offsets.h"
#include "kernel/arch/rewrite.h"
#include "kernel/arch/stubs.h"
#include "kernel/arch/trap.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/mm.h"

#define AREA_SIZE 0x10000UL
#define WINDOW 0x10000UL

/* What %gs points to: the entry's address where struct vcpu has it, then scratch and a counter of calls. */
static struct {
    uint64_t self;
    void (*entry)(void);
    uint64_t scratch, calls;
} gs;

static uint8_t *code;  /* a page of text */
static uint8_t *areas; /* stub areas are handed out from here */
static size_t areas_used, areas_max = 64;

void fake_entry(void);
__asm__(".text\n"
        "fake_entry:\n"
        "mov %rcx, %gs:16\n"
        "syscall\n"
        "mov %gs:24, %rcx\n"
        "lea 1(%rcx), %rcx\n" /* flags stay */
        "mov %rcx, %gs:24\n"
        "mov %gs:16, %rcx\n"
        "jmp *%rcx\n");

void *kzalloc(size_t size)
{
    return calloc(1, size);
}

void kfree(void *p)
{
    free(p);
}

bool mm_range_ok(uaddr_t addr, size_t size)
{
    return addr + size >= addr;
}

uaddr_t mm_stub_area(uaddr_t near, size_t *ret_size)
{
    (void)near;
    if (areas_used == areas_max)
        return 0;
    *ret_size = AREA_SIZE;
    return (uaddr_t)areas + areas_used++ * AREA_SIZE;
}

static int setup(void **state)
{
    (void)state;
    uint8_t *p = mmap(NULL, 65 * AREA_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return -1;
    code = p;
    areas = p + AREA_SIZE;
    gs.entry = fake_entry;
    return (int)syscall(SYS_arch_prctl, ARCH_SET_GS, &gs);
}

static int forget_all(void **state)
{
    (void)state;
    rewrite_forget(0, UINT64_MAX);
    areas_used = 0;
    areas_max = 64;
    return 0;
}

/* Text with a few bytes before the site, so that it does not touch the window's start. */
static int64_t run(const void *bytes, size_t size, int64_t (**ret_fn)(void))
{
    memset(code, 0x90, 4096);
    memcpy(code + 64, bytes, size);
    rewrite_text((uaddr_t)code, 4096);
    int64_t (*fn)(void) = (int64_t(*)(void))(uintptr_t)(code + 64);
    uint64_t before = gs.calls;
    if (ret_fn)
        *ret_fn = fn;
    int64_t result = fn();
    assert_int_equal(gs.calls, before + 1);
    return result;
}

#define RUN(...)                                                                                                       \
    ({                                                                                                                 \
        static const uint8_t bytes_[] = {__VA_ARGS__};                                                                 \
        run(bytes_, sizeof(bytes_), NULL);                                                                             \
    })
#define GETPPID SYS_getppid, 0, 0, 0

static void patterns_still_call(void **state)
{
    (void)state;
    pid_t parent = getppid();
    /* mov $n,%eax; syscall; ret */
    assert_int_equal(RUN(0xb8, GETPPID, 0x0f, 0x05, 0xc3), parent);
    assert_int_equal(code[64], 0xe9);
    assert_int_equal(code[69], 0x0f);
    /* mov $n,%rax; syscall; ret */
    assert_int_equal(RUN(0x48, 0xc7, 0xc0, GETPPID, 0x0f, 0x05, 0xc3), parent);
    assert_int_equal(code[64], 0xe9);
    /* mov %rdi,... ; a store to the stack, then the syscall: mov $n,%al; mov %r11,8(%rsp); syscall, in a frame */
    assert_int_equal(RUN(0x48, 0x83, 0xec, 0x18, 0x31, 0xc0, 0xb0, SYS_getppid, 0x4c, 0x89, 0x5c, 0x24, 0x08, 0x0f,
                         0x05, 0x48, 0x83, 0xc4, 0x18, 0xc3),
                     parent);
    assert_int_equal(code[64 + 8], 0xe9);
}

static void arguments_are_loaded(void **state)
{
    (void)state;
    /* write(-1, &r8[0x100], 0) with the result of lea in %rsi kept: mov %rsi,%rax at the end shows it */
    uint64_t base = (uint64_t)code;
    uint8_t text[] = {0x48, 0xbb,    0,    0,    0,    0,    0,    0,    0, 0, /* movabs $base,%rbx (saved in %r8) */
                      0xb8, GETPPID,                                           /* mov $110,%eax */
                      0x48, 0x8d,    0xb3, 0x00, 0x01, 0x00, 0x00,             /* lea 0x100(%rbx),%rsi */
                      0x0f, 0x05,    0x48, 0x89, 0xf0, 0x4c, 0x89, 0xc3, /* syscall; mov %rsi,%rax; mov %r8,%rbx */
                      0xc3};
    uint8_t with_save[sizeof(text) + 3] = {0x49, 0x89, 0xd8}; /* mov %rbx,%r8 */
    memcpy(text + 2, &base, 8);
    memcpy(with_save + 3, text, sizeof(text));
    assert_int_equal(run(with_save, sizeof(with_save), NULL), base + 0x100);
    assert_int_equal(code[64 + 13], 0xe9);
    /* lea 0x40(%rip),%r9; syscall; mov %r9,%rax */
    assert_int_equal(RUN(0xb8, GETPPID, 0x4c, 0x8d, 0x0d, 0x40, 0, 0, 0, 0x0f, 0x05, 0x4c, 0x89, 0xc8, 0xc3),
                     (uint64_t)code + 64 + 12 + 0x40);
    assert_int_equal(code[64], 0xe9);
}

static void instructions_between_are_moved(void **state)
{
    (void)state;
    pid_t parent = getppid();
    /* mov $n,%eax; lea 8(%rbx),%rsi; xor %edi,%edi; syscall; ret */
    assert_int_equal(RUN(0xb8, GETPPID, 0x48, 0x8d, 0x73, 0x08, 0x31, 0xff, 0x0f, 0x05, 0xc3), parent);
    assert_int_equal(code[64], 0xe9);
    assert_int_equal(code[69], 0x48);
    /* lea here(%rip),%rdi; the same address from the stub: arch_prctl(ARCH_GET_GS, here) writes there */
    uint64_t found = 0;
    assert_int_equal(RUN(0xbe, 0x80, 0, 0, 0, 0xbf, 0x04, 0x10, 0, 0, 0xb8, 0x9e, 0, 0, 0, 0x48, 0x8d, 0x35, 3, 0, 0, 0,
                         0x0f, 0x05, 0xc3, 1, 2, 3, 4, 5, 6, 7, 8),
                     0);
    memcpy(&found, code + 64 + 25, 8);
    assert_int_equal(found, (uint64_t)&gs);
    struct trap_frame frame = {.rip = 0};
    int32_t distance;
    memcpy(&distance, code + 64 + 11, 4);
    frame.rip = (uint64_t)code + 64 + 15 + (uint64_t)(int64_t)distance + 5;
    rewrite_leave_stub(&frame);
    assert_int_equal(frame.rip, (uint64_t)code + 64 + 15); /* the lea is still there */
}

static void compares_see_the_result(void **state)
{
    (void)state;
    /* xor %eax,%eax; mov $110,%al; syscall; cmp $-4096,%rax; sbb %rax,%rax; ret: all ones if rax is below -4096 */
    assert_int_equal(
        RUN(0x31, 0xc0, 0xb0, SYS_getppid, 0x0f, 0x05, 0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff, 0x48, 0x19, 0xc0, 0xc3), -1);
    assert_int_equal(code[68], 0xe9);
    /* the same with an unknown call: -ENOSYS is not below */
    assert_int_equal(
        RUN(0x31, 0xc0, 0x48, 0xff, 0xc8, 0x0f, 0x05, 0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff, 0x48, 0x19, 0xc0, 0xc3), 0);
    /* cmp $-4096,%eax */
    assert_int_equal(
        RUN(0x31, 0xc0, 0xb0, SYS_getppid, 0x0f, 0x05, 0x3d, 0x00, 0xf0, 0xff, 0xff, 0x48, 0x19, 0xc0, 0xc3), -1);
    /* cmp $-11,%rax; sete %al; movzx %al,%eax */
    assert_int_equal(RUN(0x31, 0xc0, 0xb0, SYS_getppid, 0x0f, 0x05, 0x48, 0x83, 0xf8, 0xf5, 0x0f, 0x94, 0xc0, 0x0f,
                         0xb6, 0xc0, 0xc3),
                     0);
}

static void expect_left_alone(const uint8_t *bytes, size_t size, size_t at)
{
    uint64_t before, after, left;
    memset(code, 0x90, 4096);
    memcpy(code + at, bytes, size);
    rewrite_counts(&before, &left);
    rewrite_text((uaddr_t)code, 4096);
    rewrite_counts(&after, &left);
    assert_int_equal(after, before);
    assert_memory_equal(code + at, bytes, size);
}
#define LEFT_ALONE(at, ...)                                                                                            \
    do {                                                                                                               \
        static const uint8_t bytes_[] = {__VA_ARGS__};                                                                 \
        expect_left_alone(bytes_, sizeof(bytes_), at);                                                                 \
    } while (0)

static void what_is_no_site_is_left_alone(void **state)
{
    (void)state;
    LEFT_ALONE(64, 0x0f, 0x05, 0xc3);                                           /* nothing known around it */
    LEFT_ALONE(64, 0xb8, 0x00, 0x02, 0x00, 0x00, 0x0f, 0x05);                   /* number 512 */
    LEFT_ALONE(64, 0x49, 0xb8, 1, 0, 0, 0, 0x0f, 0x05);                         /* REX: mov to %r8 */
    LEFT_ALONE(64, 0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05);                  /* rt_sigreturn */
    LEFT_ALONE(64, 0x48, 0x8d, 0xb6, 0, 1, 0, 0, 0x0f, 0x05);                   /* lea changes its own base */
    LEFT_ALONE(64, 0x48, 0x8d, 0x83, 0, 1, 0, 0, 0x0f, 0x05);                   /* lea to %rax */
    LEFT_ALONE(64, 0x48, 0x8d, 0xb4, 0x24, 1, 0, 0, 0x0f, 0x05);                /* lea with an index byte */
    LEFT_ALONE(0, 0xb8, GETPPID, 0x0f, 0x05);                                   /* is there a REX before? */
    LEFT_ALONE(4096 - 7, 0x0f, 0x05, 0x48, 0x3d, 0x00, 0xf0, 0xff);             /* cut off */
    LEFT_ALONE(64, 0x75, 0x02, 0x0f, 0x05, 0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff); /* jne to the cmp */
    LEFT_ALONE(64, 0x0f, 0x05, 0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff, 0xeb, 0xf8); /* jmp back to it */
    LEFT_ALONE(64, 0x0f, 0x05, 0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff, 0xe9, 0xf5, 255, 255, 255);
}

static void without_room_sites_stay(void **state)
{
    (void)state;
    areas_max = 0;
    LEFT_ALONE(64, 0xb8, GETPPID, 0x0f, 0x05, 0xc3);
}

static uaddr_t stub_of(const uint8_t *site)
{
    int32_t distance;
    memcpy(&distance, site + 1, 4);
    return (uaddr_t)site + 5 + (uaddr_t)(int64_t)distance;
}

static void signal_frames_show_no_stub(void **state)
{
    (void)state;
    RUN(0xb8, GETPPID, 0x0f, 0x05, 0xc3);
    uaddr_t stub = stub_of(code + 64);
    for (unsigned i = 0; i < 20; i++) { /* the mov, not run or run: then the site's own syscall does the rest */
        struct trap_frame frame = {.rip = stub + i};
        assert_int_equal(rewrite_stub_site(frame.rip), (uaddr_t)code + 64);
        rewrite_leave_stub(&frame);
        assert_int_equal(frame.rip, (uaddr_t)code + 64 + (i < 5 ? 0 : 5));
    }
    assert_int_equal(rewrite_stub_site((uaddr_t)code + 64), 0);

    RUN(0x31, 0xc0, 0xb0, SYS_getppid, 0x0f, 0x05, 0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff, 0x48, 0x19, 0xc0, 0xc3);
    stub = stub_of(code + 68);
    struct trap_frame frame = {.rip = stub + 7, .rflags = 0x246};
    rewrite_leave_stub(&frame);
    assert_int_equal(frame.rip, (uaddr_t)code + 68);
    /* where the kernel returns to: the twin syscall lies before it, the compare after */
    uaddr_t back = stub + 17;
    assert_memory_equal((void *)(back - 2), "\x0f\x05", 2);
    for (int64_t rax = -4100; rax < -4090; rax++) {
        struct trap_frame f = {.rip = back, .rax = (uint64_t)rax, .rflags = 0x10202};
        rewrite_leave_stub(&f);
        assert_int_equal(f.rip, (uaddr_t)code + 68 + 8);
        assert_int_equal(f.rflags & 1, (uint64_t)rax < (uint64_t)-4096); /* CF */
        assert_int_equal(f.rflags >> 6 & 1, rax == -4096);               /* ZF */
        assert_int_equal(f.rflags & 0x10200, 0x10200);
    }
    frame = (struct trap_frame){.rip = back + 6, .rflags = 0x246};
    rewrite_leave_stub(&frame);
    assert_int_equal(frame.rip, (uaddr_t)code + 68 + 8);
    assert_int_equal(frame.rflags, 0x246);
}

static void forgotten_stubs_are_used_again(void **state)
{
    (void)state;
    uaddr_t text = (uaddr_t)areas + (64UL << 20); /* nothing there, but near */
    for (int round = 0; round < 3; round++) {
        for (unsigned i = 0; i < AREA_SIZE / STUB_SIZE; i += 64) {
            for (unsigned k = 0; k < 64; k++)
                memcpy(code + 1024 + k * 8, "\x90\xb8\x01\0\0\0\x0f\x05", 8);
            rewrite_text_copy(text + i * 4096UL, code, 4096);
        }
        assert_int_equal(areas_used, 1);
        rewrite_forget(text, 4096UL * AREA_SIZE / STUB_SIZE);
    }
}

static uaddr_t gone_until;

static bool is_gone(uaddr_t site)
{
    return site < gone_until;
}

/* The stubs of sites that are gone make room, the others stay. */
static void stubs_of_absent_text_are_forgotten(void **state)
{
    (void)state;
    uaddr_t text = (uaddr_t)areas + (64UL << 20);
    const unsigned per_area = AREA_SIZE / STUB_SIZE;
    for (int round = 0; round < 3; round++) {
        for (unsigned i = round ? per_area / 2 : 0; i < per_area; i += 64) {
            for (unsigned k = 0; k < 64; k++)
                memcpy(code + 1024 + k * 8, "\x90\xb8\x01\0\0\0\x0f\x05", 8);
            rewrite_text_copy(text + (i - (round ? per_area / 2 : 0)) * 4096UL, code, 4096);
        }
        assert_int_equal(areas_used, 1);
        gone_until = text + per_area / 2 * 4096UL;
        rewrite_forget_if(is_gone);
    }
    gone_until = UINT64_MAX;
    rewrite_forget_if(is_gone);
}

/* Two pages of text at once, a site across their boundary: neither is of use without the other. */
static void sites_across_pages_are_known(void **state)
{
    static uint8_t two[2 * 4096];
    uaddr_t text = (uaddr_t)areas + (32UL << 20);
    (void)state;
    memset(two, 0x90, sizeof(two));
    memcpy(two + 100, "\x90\xb8\x01\0\0\0\x0f\x05", 8);
    memcpy(two + 4096 - 4, "\x90\xb8\x01\0\0\0\x0f\x05", 8);
    memcpy(two + 8192 - 8, "\x90\xb8\x01\0\0\0\x0f\x05", 8);
    rewrite_text_copy(text, two, sizeof(two));
    assert_int_equal(two[4096 - 3], 0xe9);
    assert_true(rewrite_straddles(text + 4096));
    assert_false(rewrite_straddles(text));
    assert_false(rewrite_straddles(text + 8192));
}

struct program {
    const char *path;
    unsigned sites_min;
};

/* Every difference must be a jump to a stub, or breakpoints after one, where a pattern was. */
static void check_window(const uint8_t *old, const uint8_t *new, size_t size, uaddr_t start)
{
    for (size_t i = 0; i < size; i++) {
        struct stub_place place;
        int32_t distance;
        if (old[i] == new[i])
            continue;
        assert_int_equal(new[i], 0xe9);
        memcpy(&distance, new + i + 1, 4);
        assert_true(stub_find(start + i + 5 + (uaddr_t)(int64_t)distance, &place));
        assert_int_equal(place.site, start + i);
        assert_in_range(place.site_size, 5, 8);
        bool near = false;
        for (size_t k = 0; k <= STUB_BEFORE_MAX; k++)
            near |= memcmp(old + i + k, "\x0f\x05", 2) == 0;
        assert_true(near);
        for (size_t k = 5; k < place.site_size; k++)
            assert_int_equal(new[i + k], 0xcc);
        i += place.site_size - 1;
    }
}

static void real_programs(void **state)
{
    static const struct program programs[] = {
        {"/lib/x86_64-linux-gnu/libc.so.6", 500},
        {"/lib64/ld-linux-x86-64.so.2", 20},
        {"/usr/bin/busybox", 100},
        {"/usr/bin/redis-server", 0},
        {"/lib/ld-musl-x86_64.so.1", 100},
    };
    (void)state;
    for (size_t p = 0; p < sizeof(programs) / sizeof(programs[0]); p++) {
        struct stat st;
        int fd = open(programs[p].path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
            continue;
        size_t size = (size_t)st.st_size & ~(WINDOW - 1);
        uint8_t *old = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        uint8_t *new = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
        uint64_t before, after, left_before, left;
        rewrite_counts(&before, &left_before);
        for (size_t at = 0; at < size; at += WINDOW) {
            rewrite_text_copy((uaddr_t)areas + at, new + at, WINDOW);
            check_window(old + at, new + at, WINDOW, (uaddr_t)areas + at);
        }
        rewrite_counts(&after, &left);
        print_message("%s: %lu sites rewritten, %lu left\n", programs[p].path, after - before, left - left_before);
        assert_true(after - before >= programs[p].sites_min);
        rewrite_forget((uaddr_t)areas, size);
        munmap(old, size);
        munmap(new, size);
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(patterns_still_call, forget_all),
        cmocka_unit_test_teardown(arguments_are_loaded, forget_all),
        cmocka_unit_test_teardown(instructions_between_are_moved, forget_all),
        cmocka_unit_test_teardown(compares_see_the_result, forget_all),
        cmocka_unit_test_teardown(what_is_no_site_is_left_alone, forget_all),
        cmocka_unit_test_teardown(without_room_sites_stay, forget_all),
        cmocka_unit_test_teardown(signal_frames_show_no_stub, forget_all),
        cmocka_unit_test_teardown(forgotten_stubs_are_used_again, forget_all),
        cmocka_unit_test_teardown(stubs_of_absent_text_are_forgotten, forget_all),
        cmocka_unit_test_teardown(sites_across_pages_are_known, forget_all),
        cmocka_unit_test_teardown(real_programs, forget_all),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
