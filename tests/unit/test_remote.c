/* Delegated system calls: what reaches the implementation on the init side, and what comes back to the caller. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <asm/errno.h>
#include <asm/unistd_64.h>
#include <stdio.h>
#include <string.h>

#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/mm/uio.h"
#include "kernel/remote/agent.h"
#include "kernel/remote/client.h"
#include "kernel/remote/frames.h"
#include "kernel/remote/mixed.h"
#include "kernel/remote/server.h"
#include "kernel/sched/wait.h"
#include "remote_world.h"

#define MIB 0x100000UL

/* What the init side's "file" has been written, and may be read. */
static uint8_t sink[2 * MIB];
static size_t sink_size, source_left;
static unsigned calls, largest;

static int setup(void **unused)
{
    world_begin();
    world_connect();
    sink_size = 0;
    source_left = sizeof(sink);
    calls = largest = 0;
    agent_fetch_count = 0;
    return 0;
}

static int teardown(void **unused)
{
    hosted_fail_alloc(0);
    world_end();
    return 0;
}

static int64_t syscall6(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    struct trap_frame frame = {.rdi = a, .rsi = b, .rdx = c, .r10 = d, .r8 = e, .r9 = f, .orig_rax = (int64_t)nr};
    return remote_syscall(&frame);
}
#define SYSCALL3(name, a, b, c) syscall6(__NR_##name, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), 0, 0, 0)
#define SYSCALL4(name, a, b, c, d)                                                                                     \
    syscall6(__NR_##name, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), 0, 0)

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 13 + (i >> 12));
}

static uint8_t *user(size_t offset)
{
    return world_user + offset;
}

static void fill_user(size_t offset, size_t size)
{
    for (size_t i = 0; i < size; i++)
        world_user[offset + i] = pattern(i);
}

static void expect_pattern(const uint8_t *p, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (p[i] != pattern(i))
            fail_msg("byte %zu of %zu is %02x", i, size, p[i]);
}

/* ---- implementations ---- */

static int64_t write_iter(struct iov_iter *it)
{
    size_t wanted = it->count, n = copy_from_iter(it, sink + sink_size, sizeof(sink) - sink_size);
    calls++;
    sink_size += n;
    largest = n > largest ? (unsigned)n : largest;
    return n > 0 || wanted == 0 ? (int64_t)n : -EFAULT;
}

static int64_t read_iter(struct iov_iter *it)
{
    size_t size = it->count < source_left ? it->count : source_left, n = copy_to_iter(it, sink + sink_size, size);
    calls++;
    sink_size += n;
    source_left -= n;
    return n > 0 || size == 0 ? (int64_t)n : -EFAULT;
}

static int64_t fake_write(struct trap_frame *f)
{
    struct iov_iter it;
    iov_iter_user(&it, f->rsi, f->rdx);
    return write_iter(&it);
}

static int64_t fake_read(struct trap_frame *f)
{
    struct iov_iter it;
    iov_iter_user(&it, f->rsi, f->rdx);
    return read_iter(&it);
}

static int64_t vector(struct trap_frame *f, int64_t (*fn)(struct iov_iter *it))
{
    struct io_segment fast[8], *segments;
    struct iov_iter it;
    int r = iov_import(f->rsi, f->rdx, fast, &segments);
    if (r < 0)
        return r;
    iov_iter_segments(&it, segments, f->rdx);
    int64_t result = fn(&it);
    iov_release(fast, segments);
    return result;
}

static int64_t fake_writev(struct trap_frame *f)
{
    return vector(f, write_iter);
}

static int64_t fake_readv(struct trap_frame *f)
{
    return vector(f, read_iter);
}

/* Through a ring, as sockets do. */
static int64_t fake_sendto(struct trap_frame *f)
{
    struct iov_iter it;
    iov_iter_user(&it, f->rsi, f->rdx);
    sink_size = copy_untrusted_from_iter(&it, (host_ptr){(uint64_t)sink}, f->rdx);
    return (int64_t)sink_size;
}

static int64_t fake_recvfrom(struct trap_frame *f)
{
    struct iov_iter it;
    uint32_t size;
    iov_iter_user(&it, f->rsi, f->rdx);
    size_t n = copy_untrusted_to_iter(&it, (host_ptr){(uint64_t)sink}, f->rdx);
    if (f->r8 &&
        (get_user32(&size, f->r9) < 0 || size < 4 || copy_to_user(f->r8, "addr", 4) < 0 || put_user32(f->r9, 4) < 0))
        return -EFAULT;
    return (int64_t)n;
}

static char path[4096];

static int64_t fake_openat(struct trap_frame *f)
{
    ssize_t n = strncpy_from_user(path, f->rsi, sizeof(path));
    return n;
}

/* Reads and writes what no table announces: close(fd) with an address. */
static int64_t fake_close(struct trap_frame *f)
{
    static uint8_t bytes[70000];
    size_t size = f->rsi, n = copy_from_user_partial(bytes, f->rdi, size);
    if (n < size)
        return -EFAULT;
    for (size_t i = 0; i < size; i++)
        bytes[i] ^= 0xff;
    if (copy_to_user(f->rdi, bytes, size) < 0)
        return -EFAULT;
    memset(bytes, 0, sizeof(bytes));
    if (copy_from_user(bytes, f->rdi, size) < 0) /* what it has just written */
        return -EFAULT;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != (uint8_t)~pattern(i))
            return -EIO;
    return (int64_t)size;
}

static int64_t fake_dup(struct trap_frame *f)
{
    return copy_to_user(f->rdi, "written", 7);
}

static struct wait_queue queue = {.entries = TAILQ_HEAD_INITIALIZER(queue.entries)};
static bool ready;

static int64_t fake_pause_read(struct trap_frame *f)
{
    int r = wait_event(&queue, ready);
    if (r < 0)
        return r;
    return copy_to_user(f->rsi, "ready", 5) < 0 ? -EFAULT : 5;
}

/* ---- tests ---- */

static void test_write_and_read(void **unused)
{
    world_syscalls[__NR_write] = fake_write;
    world_syscalls[__NR_read] = fake_read;
    fill_user(100, 5000);
    assert_int_equal(SYSCALL3(write, 1, user(100), 5000), 5000);
    expect_pattern(sink, 5000);
    assert_int_equal(SYSCALL3(write, 1, user(0), 0), 0);
    sink_size = 0;
    memset(user(0), 0, 10000);
    assert_int_equal(SYSCALL3(read, 1, user(33), 5000), 5000);
    expect_pattern(user(33), 5000);
    assert_int_equal(user(33)[5000], 0);
    assert_int_equal(agent_fetch_count, 0);
}

static void test_long_writes_are_whole_up_to_256_kib(void **unused)
{
    world_syscalls[__NR_write] = fake_write;
    fill_user(8, MIB);
    assert_int_equal(SYSCALL3(write, 1, user(8), CALL_DATA_MAX), CALL_DATA_MAX);
    assert_int_equal(calls, 1);
    sink_size = calls = 0;
    assert_int_equal(SYSCALL3(write, 1, user(8), MIB), MIB);
    assert_int_equal(calls, 4);
    assert_int_equal(sink_size, MIB);
    expect_pattern(sink, MIB);
    assert_int_equal(agent_fetch_count, 0);
}

static void test_long_reads_go_on_only_in_plain_files(void **unused)
{
    world_syscalls[__NR_read] = fake_read;
    for (size_t i = 0; i < MIB; i++)
        sink[i] = pattern(i);
    assert_int_equal(SYSCALL3(read, 1, user(1), MIB), MIB);
    expect_pattern(user(1), MIB);
    sink_size = calls = 0;
    world_file_mode = WORLD_FIFO;
    assert_int_equal(SYSCALL3(read, 1, user(1), MIB), CALL_DATA_MAX);
    assert_int_equal(calls, 1);
    world_file_mode = WORLD_REGULAR;
    sink_size = 0;
    source_left = CALL_DATA_MAX + 10;
    assert_int_equal(SYSCALL3(read, 1, user(1), MIB), CALL_DATA_MAX + 10);
}

static void test_faults_are_where_the_memory_ends(void **unused)
{
    world_syscalls[__NR_write] = fake_write;
    world_syscalls[__NR_read] = fake_read;
    world_page(3, WORLD_PAGE_NONE);
    world_page(6, WORLD_PAGE_READ);
    fill_user(2 * PAGE_SIZE, PAGE_SIZE);
    assert_int_equal(SYSCALL3(write, 1, user(2 * PAGE_SIZE), 3 * PAGE_SIZE), PAGE_SIZE);
    expect_pattern(sink, PAGE_SIZE);
    assert_int_equal(SYSCALL3(write, 1, user(3 * PAGE_SIZE), 10), -EFAULT);
    assert_int_equal(SYSCALL3(write, 1, 0, 10), -EFAULT);
    sink_size = 0;
    source_left = sizeof(sink);
    memset(user(5 * PAGE_SIZE), 0, 2 * PAGE_SIZE);
    assert_int_equal(SYSCALL3(read, 1, user(5 * PAGE_SIZE), 2 * PAGE_SIZE), PAGE_SIZE);
    assert_int_equal(sink_size, PAGE_SIZE); /* nothing was taken from the file that did not reach the caller */
    assert_int_equal(user(6 * PAGE_SIZE)[0], 0);
    assert_int_equal(SYSCALL3(read, 1, user(6 * PAGE_SIZE), 10), -EFAULT);
    assert_int_equal(sink_size, PAGE_SIZE);
}

static void test_vectors(void **unused)
{
    struct io_segment *iov = (struct io_segment *)user(300 * PAGE_SIZE);
    world_syscalls[__NR_writev] = fake_writev;
    world_syscalls[__NR_readv] = fake_readv;
    fill_user(0, 300000);
    for (size_t i = 0; i < 1000; i++)
        iov[i] = (struct io_segment){(uint64_t)user(i * 300), 300};
    assert_int_equal(SYSCALL3(writev, 1, iov, 1000), 300000);
    expect_pattern(sink, 300000);
    assert_int_equal(calls, 2);
    sink_size = calls = 0;
    memset(user(0), 0, 300000);
    assert_int_equal(SYSCALL3(readv, 1, iov, 1000), 300000);
    expect_pattern(user(0), 300000);
    world_page(300, WORLD_PAGE_NONE);
    assert_int_equal(SYSCALL3(writev, 1, iov, 3), -EFAULT);
    assert_int_equal(SYSCALL3(writev, 1, iov, 5000), -EINVAL);
}

static void test_rings(void **unused)
{
    world_syscalls[__NR_sendto] = fake_sendto;
    world_syscalls[__NR_recvfrom] = fake_recvfrom;
    fill_user(16, 200000);
    assert_int_equal(SYSCALL4(sendto, 1, user(16), 200000, 0), 200000);
    expect_pattern(sink, 200000);
    memset(user(0), 0, 300000);
    uint32_t *size = (uint32_t *)user(400000);
    *size = 16;
    assert_int_equal(syscall6(__NR_recvfrom, 1, (uint64_t)user(7), 200000, 0, (uint64_t)user(400004), (uint64_t)size),
                     200000);
    expect_pattern(user(7), 200000);
    assert_int_equal(*size, 4);
    assert_memory_equal(user(400004), "addr", 4);
    /* more than one call may bring: the call sees the rest of the buffer as not there, and goes on unless it is a
     * message */
    assert_int_equal(SYSCALL4(sendto, 1, user(16), MIB, 1 /* MSG_OOB */), CALL_DATA_MAX);
    sink_size = 0;
    assert_int_equal(SYSCALL4(sendto, 1, user(16), MIB, 0), MIB);
    assert_int_equal(agent_fetch_count, 0);
}

static void test_strings(void **unused)
{
    world_syscalls[__NR_openat] = fake_openat;
    uint8_t *end = user(10 * PAGE_SIZE);
    world_page(10, WORLD_PAGE_NONE);
    memcpy(end - 4, "abc", 4);
    assert_int_equal(SYSCALL3(openat, -100, end - 4, 0), 3);
    assert_string_equal(path, "abc");
    memset(end - 5000, 'x', 4999);
    end[-1] = 0;
    assert_int_equal(SYSCALL3(openat, -100, end - 4096, 0), 4095);
    assert_int_equal(SYSCALL3(openat, -100, end - 4097, 0), -ENAMETOOLONG);
    assert_int_equal(agent_fetch_count, 0);
    end[-1] = 'x';
    assert_int_equal(SYSCALL3(openat, -100, end - 10, 0), -EFAULT);
    assert_int_equal(SYSCALL3(openat, -100, 0, 0), -EFAULT);
}

static void test_memory_that_nobody_announced(void **unused)
{
    world_syscalls[__NR_close] = fake_close;
    for (size_t size = 1; size <= 70000; size = size * 5 + 3) {
        fill_user(77, size);
        assert_int_equal(SYSCALL3(close, user(77), size, 0), size);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(user(77)[i], (uint8_t)~pattern(i));
    }
    assert_true(agent_fetch_count > 0);
    world_page(5, WORLD_PAGE_NONE);
    assert_int_equal(SYSCALL3(close, user(5 * PAGE_SIZE - 10), 20, 0), -EFAULT);
    fill_user(4 * PAGE_SIZE, 100);
    world_page(4, WORLD_PAGE_READ); /* found out when the reply comes */
    world_syscalls[__NR_dup] = fake_dup;
    assert_int_equal(SYSCALL3(dup, user(4 * PAGE_SIZE), 0, 0), -EFAULT);
    expect_pattern(user(4 * PAGE_SIZE), 100);
}

static void test_refused_calls(void **unused)
{
    uint64_t args[6] = {0};
    assert_int_equal(remote_call(__NR_munmap, args), -ENOSYS);
    assert_int_equal(remote_call(__NR_execve, args), -ENOSYS);
    assert_int_equal(remote_call(100000, args), -ENOSYS);
}

/* ---- signals ---- */

static int64_t blocked_result;
static bool blocked_done;

static void blocked_read(void *arg)
{
    blocked_result = SYSCALL3(read, 0, user(0), 100);
    blocked_done = true;
}

static void wait_until(const bool *condition)
{
    for (unsigned i = 0; i < 5000 && !__atomic_load_n(condition, __ATOMIC_SEQ_CST); i++)
        world_sleep_ms(1);
    assert_true(*condition);
}

static void test_signal_interrupts(void **unused)
{
    world_syscalls[__NR_read] = fake_pause_read;
    ready = blocked_done = false;
    struct task *task = world_task(8, blocked_read, NULL);
    world_sleep_ms(20);
    assert_false(blocked_done);
    world_signal(task, true);
    wait_until(&blocked_done);
    assert_int_equal(blocked_result, -ERESTARTSYS);
    world_join(task);
    /* a signal that was there before the call, and one that comes when it is over */
    ready = blocked_done = false;
    task = world_task(9, blocked_read, NULL);
    world_signal(task, true);
    wait_until(&blocked_done);
    assert_int_equal(blocked_result, -ERESTARTSYS);
    world_join(task);
    ready = true;
    blocked_done = false;
    task = world_task(9, blocked_read, NULL);
    world_signal(task, true);
    wait_until(&blocked_done);
    assert_int_equal(blocked_result, 5);
    world_join(task);
}

static void test_sleeping_calls_do_not_hold_up_others(void **unused)
{
    world_syscalls[__NR_read] = fake_pause_read;
    world_syscalls[__NR_write] = fake_write;
    struct task *tasks[20];
    ready = blocked_done = false;
    for (int i = 0; i < 20; i++)
        tasks[i] = world_task(20 + i, blocked_read, NULL);
    world_sleep_ms(20);
    assert_int_equal(SYSCALL3(write, 1, user(1000), 10), 10);
    ready = true;
    wake_up_all(&queue, 0);
    for (int i = 0; i < 20; i++)
        world_join(tasks[i]);
    assert_int_equal(blocked_result, 5);
    assert_memory_equal(user(0), "ready", 5);
}

static void many_calls(void *arg)
{
    size_t at = *(size_t *)arg;
    for (size_t i = 0; i < 200; i++) {
        size_t size = 1 + (i * 37 + at) % 9000;
        fill_user(at, size);
        if (SYSCALL3(close, user(at), size, 0) != (int64_t)size)
            fail_msg("call %zu", i);
    }
}

static void test_many_threads(void **unused)
{
    static size_t at[8];
    struct task *tasks[8];
    world_syscalls[__NR_close] = fake_close;
    for (size_t i = 0; i < 8; i++) {
        at[i] = i * 10000;
        tasks[i] = world_task(30 + (int)i, many_calls, &at[i]);
    }
    for (size_t i = 0; i < 8; i++)
        world_join(tasks[i]);
}

/* ---- losses ---- */

static void test_out_of_memory(void **unused)
{
    unsigned errors = 0;
    world_syscalls[__NR_write] = fake_write;
    world_syscalls[__NR_read] = fake_read;
    fill_user(0, 100000);
    for (unsigned long n = 1; n < 40; n++) {
        sink_size = 0;
        source_left = sizeof(sink);
        hosted_fail_alloc(n);
        int64_t w = SYSCALL3(write, 1, user(0), 100000);
        assert_true(w == 100000 || w == -ENOMEM);
        if (w > 0)
            expect_pattern(sink, 100000);
        sink_size = 0;
        int64_t r = SYSCALL3(read, 1, user(200000), 100000);
        assert_true(r == 100000 || r == -ENOMEM);
        errors += w < 0 || r < 0;
        hosted_fail_alloc(0);
    }
    assert_true(errors > 2);
}

static void test_member_that_ends(void **unused)
{
    world_syscalls[__NR_read] = fake_pause_read;
    struct task *tasks[5];
    struct remote_member *member = remote_member_find(WORLD_MEMBER);
    ready = blocked_done = false;
    for (int i = 0; i < 5; i++)
        tasks[i] = world_task(20 + i, blocked_read, NULL);
    world_sleep_ms(20);
    assert_true(remote_member_proved(member));
    remote_member_end(member);
    world_sleep_ms(20);
    assert_true(TAILQ_EMPTY(&queue.entries)); /* no agent sleeps there any more */
    /* the member would be gone: let its threads go too */
    for (int i = 0; i < 5; i++)
        world_abandon(tasks[i]);
}

/* ---- sealed pages ---- */

/* A pipe of whole pages: what comes sealed stays so. */
static struct sealed_page held[64];
static size_t held_count, taken_most;

static int64_t pipe_write(struct trap_frame *f)
{
    struct iov_iter it;
    iov_iter_user(&it, f->rsi, f->rdx);
    size_t before = held_count;
    while (held_count - before < taken_most && iov_iter_take_sealed(&it, &held[held_count]))
        held_count++;
    size_t pages = (held_count - before) * PAGE_SIZE;
    int64_t rest = it.count > 0 && taken_most == SIZE_MAX ? write_iter(&it) : 0;
    return rest < 0 && pages == 0 ? rest : MAX(rest, 0) + (int64_t)pages;
}

static int64_t pipe_read(struct trap_frame *f)
{
    struct iov_iter it;
    size_t done = 0;
    iov_iter_user(&it, f->rsi, f->rdx);
    while (done < held_count && iov_iter_give_sealed(&it, &held[done]))
        done++;
    for (size_t i = done; i < held_count; i++)
        frame_drop(held[i].frame);
    held_count = 0;
    return (int64_t)(done * PAGE_SIZE);
}

static void pipe_begin(void)
{
    world_syscalls[__NR_write] = pipe_write;
    world_syscalls[__NR_read] = pipe_read;
    world_file_mode = WORLD_FIFO;
    held_count = 0;
    taken_most = SIZE_MAX;
    fill_user(0, MIB);
}

/* Frames come with the first write that has some pages. */
static void get_frames(int fd)
{
    world_syscalls[__NR_write] = fake_write;
    assert_int_equal(SYSCALL3(write, fd, user(0), 0x20000), 0x20000);
    world_syscalls[__NR_write] = pipe_write;
    sink_size = 0;
}

static bool in_frames(const uint8_t *bytes, size_t size)
{
    return memmem(world_ring(4, 0), 8UL * WORLD_RING, bytes, size) != NULL;
}

static void test_pages_stay_sealed(void **unused)
{
    pipe_begin();
    get_frames(9);
    for (unsigned round = 0; round < 50; round++) {
        /* 17 pages that begin anywhere, and a part of one */
        assert_int_equal(SYSCALL3(write, 9, user(round * 100), 17 * PAGE_SIZE + 5), 17 * PAGE_SIZE + 5);
        assert_int_equal(held_count, 17);
        assert_int_equal(sink_size, 5);
        assert_memory_equal(sink, user(round * 100 + 17 * PAGE_SIZE), 5);
        assert_false(in_frames(user(round * 100), 64));
        memset(user(MIB), 0, 18 * PAGE_SIZE);
        assert_int_equal(SYSCALL3(read, 3, user(MIB + round), 17 * PAGE_SIZE), 17 * PAGE_SIZE);
        assert_memory_equal(user(MIB + round), user(round * 100), 17 * PAGE_SIZE);
        assert_int_equal(*user(MIB + round + 17 * PAGE_SIZE), 0);
        sink_size = 0;
    }
    assert_true(frames_used() <= 2 * FRAMES_MEMBER_MAX);
}

/* Long ones, whose rest goes ahead of the call. */
static void test_sealed_pages_and_others(void **unused)
{
    pipe_begin();
    get_frames(9);
    assert_int_equal(SYSCALL3(write, 9, user(8), 0x40000), 0x40000);
    assert_int_equal(held_count, FRAMES_MEMBER_MAX);
    assert_int_equal(sink_size, 0x40000 - FRAMES_MEMBER_MAX * PAGE_SIZE);
    assert_memory_equal(sink, user(8 + FRAMES_MEMBER_MAX * PAGE_SIZE), sink_size);
    assert_int_equal(SYSCALL3(read, 3, user(MIB), FRAMES_MEMBER_MAX * PAGE_SIZE), FRAMES_MEMBER_MAX * PAGE_SIZE);
    assert_memory_equal(user(MIB), user(8), FRAMES_MEMBER_MAX * PAGE_SIZE);
}

/* Who copies what comes sealed, since it is no pipe, or takes a part, has the same bytes, and no frame is lost. */
static void test_sealed_pages_are_bytes_as_well(void **unused)
{
    pipe_begin();
    for (unsigned i = 0; i < 20; i++) {
        get_frames(9);
        world_syscalls[__NR_write] = fake_write;
        assert_int_equal(SYSCALL3(write, 9, user(i), 20 * PAGE_SIZE + 1), 20 * PAGE_SIZE + 1);
        assert_memory_equal(sink, user(i), 20 * PAGE_SIZE + 1);
        world_syscalls[__NR_write] = pipe_write;
        get_frames(9);
        taken_most = i;
        assert_int_equal(SYSCALL3(write, 9, user(0), 0x20000), (i < 32 ? i : 32) * PAGE_SIZE);
        assert_int_equal(SYSCALL3(read, 3, user(MIB), 0x20000), (i < 32 ? i : 32) * PAGE_SIZE);
        assert_memory_equal(user(MIB), user(0), i * PAGE_SIZE);
        taken_most = SIZE_MAX;
    }
    assert_true(frames_used() <= 2 * FRAMES_MEMBER_MAX);
}

/* To where it cannot be written, or not as a whole: not given, or EFAULT, as with bytes. */
static void test_sealed_pages_and_faults(void **unused)
{
    pipe_begin();
    get_frames(9);
    assert_int_equal(SYSCALL3(write, 9, user(0), 4 * PAGE_SIZE), 4 * PAGE_SIZE);
    world_page(258, WORLD_PAGE_READ);
    assert_int_equal(SYSCALL3(read, 3, user(256 * PAGE_SIZE), 4 * PAGE_SIZE), 2 * PAGE_SIZE);
    assert_memory_equal(user(256 * PAGE_SIZE), user(0), 2 * PAGE_SIZE);
    get_frames(9);
    world_page(2, WORLD_PAGE_NONE);
    assert_int_equal(SYSCALL3(write, 9, user(0), 4 * PAGE_SIZE), 2 * PAGE_SIZE);
    assert_int_equal(held_count, 2);
    assert_int_equal(SYSCALL3(read, 3, user(MIB), 2 * PAGE_SIZE), 2 * PAGE_SIZE);
    assert_true(frames_used() <= 2 * FRAMES_MEMBER_MAX);
}

/* Nor when memory runs short anywhere. */
static void test_sealed_pages_without_memory(void **unused)
{
    pipe_begin();
    for (unsigned n = 1; n < 40; n++) {
        hosted_fail_alloc(0);
        get_frames(9);
        hosted_fail_alloc(n);
        int64_t r = SYSCALL3(write, 9, user(0), 16 * PAGE_SIZE);
        hosted_fail_alloc(0);
        if (r < 0) {
            assert_int_equal(r, -ENOMEM);
            assert_int_equal(held_count, 0);
            sink_size = 0;
            continue;
        }
        hosted_fail_alloc(n);
        size_t count = held_count;
        int64_t got = SYSCALL3(read, 3, user(MIB), 16 * PAGE_SIZE);
        hosted_fail_alloc(0);
        if (got > 0)
            assert_memory_equal(user(MIB), user(0), (size_t)got);
        else
            assert_true(got == -ENOMEM || count == 0);
        for (size_t i = 0; i < held_count; i++)
            frame_drop(held[i].frame);
        held_count = sink_size = 0;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_write_and_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_writes_are_whole_up_to_256_kib, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_reads_go_on_only_in_plain_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_faults_are_where_the_memory_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_vectors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_strings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_that_nobody_announced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_calls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signal_interrupts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sleeping_calls_do_not_hold_up_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pages_stay_sealed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sealed_pages_and_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sealed_pages_are_bytes_as_well, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sealed_pages_and_faults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sealed_pages_without_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_member_that_ends, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
