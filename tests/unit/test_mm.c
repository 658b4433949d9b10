/*
 * kernel/mm/ over a simulated enclave: a long random series of mmap, munmap, mprotect, mremap, madvise and touches is
 * compared with a simple model of what Linux would do, page by page.
 *   test-mm edmm|sgx1 [SEED]
 */
#include <linux/errno.h>
#include <linux/mman.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/syscalls/syscall.h"
#include "mm_machine.h"

#define ARENA 0x4000000UL
#define PAGES 256
#define STEPS 20000
#define LIMIT (160UL << 20)

SYSCALL_PROLOGUE_(mremap)
SYSCALL_PROLOGUE_(madvise)
SYSCALL_PROLOGUE_(brk)

static bool edmm = true;

/* The model: what a page is to the application. */
static struct {
    bool mapped;
    int prot;
    uint8_t value; /* of its first byte */
} model[PAGES];

static uaddr_t page_at(unsigned i)
{
    return ARENA + i * PAGE_SIZE;
}

static void check_page(unsigned i)
{
    uint8_t value = 0;
    int signal = machine_touch(page_at(i), false, &value);

    if (!model[i].mapped || model[i].prot == PROT_NONE) {
        assert_int_equal(signal, TOUCH_SEGV);
    } else {
        assert_int_equal(signal, 0);
        assert_int_equal(value, model[i].value);
    }
    /* Never more rights than asked for. */
    if (!model[i].mapped)
        assert_int_equal(machine_rights(page_at(i)), 0);
    else if (!(model[i].prot & PROT_WRITE))
        assert_int_equal(machine_rights(page_at(i)) & PAGE_W, 0);
}

static int pick_prot(void)
{
    static const int prots[] = {PROT_NONE,
                                PROT_READ,
                                PROT_READ | PROT_WRITE,
                                PROT_READ | PROT_WRITE,
                                PROT_READ | PROT_WRITE | PROT_EXEC,
                                PROT_READ | PROT_EXEC};

    return prots[machine_pick(6)];
}

static void step_map(unsigned first, unsigned count)
{
    int prot = pick_prot(), flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | (machine_pick(8) ? 0 : MAP_POPULATE);

    assert_int_equal(mm_map(page_at(first), count * PAGE_SIZE, prot, flags, NULL, 0), page_at(first));
    for (unsigned i = first; i < first + count; i++) {
        model[i].mapped = true;
        model[i].prot = prot;
        model[i].value = 0;
    }
}

static void step_unmap(unsigned first, unsigned count)
{
    assert_int_equal(mm_unmap(page_at(first), count * PAGE_SIZE), 0);
    for (unsigned i = first; i < first + count; i++)
        model[i].mapped = false;
}

static void step_protect(unsigned first, unsigned count)
{
    int prot = pick_prot(), expected = 0;

    for (unsigned i = first; i < first + count && expected == 0; i++) {
        if (model[i].mapped)
            model[i].prot = prot;
        else
            expected = -ENOMEM;
    }
    assert_int_equal(mm_protect(page_at(first), count * PAGE_SIZE, prot), expected);
}

static void step_write(unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        uint8_t value = (uint8_t)(machine_pick(255) + 1);
        bool may = model[i].mapped && (model[i].prot & PROT_WRITE);

        assert_int_equal(machine_touch(page_at(i), true, &value), may ? 0 : TOUCH_SEGV);
        if (may)
            model[i].value = value;
    }
}

static int64_t call(syscall_fn fn, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
    struct trap_frame frame = {.rdi = a, .rsi = b, .rdx = c, .r10 = d, .r8 = e};

    return fn(&frame);
}

static void step_discard(unsigned first, unsigned count)
{
    int64_t expected = 0;

    for (unsigned i = first; i < first + count; i++) {
        if (model[i].mapped)
            model[i].value = 0;
        else
            expected = -ENOMEM;
    }
    assert_int_equal(call(sys_madvise, page_at(first), count * PAGE_SIZE, MADV_DONTNEED, 0, 0), expected);
}

/* Move a range over another; only where it is one mapping. */
static void step_move(unsigned first, unsigned count)
{
    unsigned to = machine_pick(PAGES - count + 1);

    if (to < first + count && first < to + count)
        return;
    for (unsigned i = first; i < first + count; i++)
        if (!model[i].mapped || model[i].prot != model[first].prot)
            return;
    /* Alike neighbours may still be separate VMAs (an old name, say): Linux refuses those, and so may we. */
    if (call(sys_mremap, page_at(first), count * PAGE_SIZE, count * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
             page_at(to)) != (int64_t)page_at(to))
        fail_msg("mremap");
    for (unsigned i = 0; i < count; i++) {
        model[to + i] = model[first + i];
        model[first + i].mapped = false;
    }
}

static void test_random(void **state)
{
    static void (*const steps[])(unsigned, unsigned) = {step_map,   step_map,     step_unmap,  step_protect,
                                                        step_write, step_write,   step_write,  step_discard,
                                                        step_move,  step_protect, step_discard};

    for (unsigned n = 0; n < STEPS; n++) {
        unsigned first = machine_pick(PAGES), count = 1 + machine_pick(machine_pick(4) ? 8 : 100);

        count = MIN(count, PAGES - first);
        steps[machine_pick(ARRAY_COUNT(steps))](first, count);
        for (unsigned i = 0; i < 4; i++)
            check_page(machine_pick(PAGES));
        if (n % 500 == 0)
            for (unsigned i = 0; i < PAGES; i++)
                check_page(i);
    }
    assert_int_equal(mm_unmap(ARENA, PAGES * PAGE_SIZE), 0);
    assert_int_equal(mm_self()->committed_pages, 0);
    assert_int_equal(mm_self()->vma_count, 0);
}

static void test_place(void **state)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    int64_t a = mm_map(0, 10 * PAGE_SIZE, PROT_READ, flags, NULL, 0), b, c;

    b = mm_map(0, 5 * PAGE_SIZE, PROT_READ, flags, NULL, 0);
    assert_int_equal(b, a - 5 * (int64_t)PAGE_SIZE);
    assert_int_equal(mm_self()->vma_count, 1); /* they are alike */
    assert_int_equal(mm_unmap((uaddr_t)a + 2 * PAGE_SIZE, 4 * PAGE_SIZE), 0);
    assert_int_equal(mm_self()->vma_count, 2);
    c = mm_map(0, 4 * PAGE_SIZE, PROT_READ, flags, NULL, 0);
    assert_int_equal(c, a + 2 * (int64_t)PAGE_SIZE);
    assert_int_equal(mm_self()->vma_count, 1);
    c = mm_map(0x12340000, PAGE_SIZE, PROT_READ, flags, NULL, 0);
    assert_true(c > 0 && c < (int64_t)MACHINE_SIZE);
    assert_int_equal(mm_unmap((uaddr_t)c, PAGE_SIZE), 0);
    assert_int_equal(mm_unmap((uaddr_t)b, 15 * PAGE_SIZE), 0);
    assert_int_equal(mm_self()->vma_count, 0);
    assert_int_equal(mm_map(0, MACHINE_SIZE, PROT_READ, flags, NULL, 0), -ENOMEM);
    assert_int_equal(mm_map(KERNEL_BASE, PAGE_SIZE, PROT_READ, flags | MAP_FIXED, NULL, 0), -ENOMEM);
    assert_int_equal(mm_map(0x1000, PAGE_SIZE, PROT_READ, flags | MAP_FIXED, NULL, 0), -EPERM);
}

static void test_break(void **state)
{
    uint8_t value = 9;

    mm_set_brk(0x2000000 + 5);
    assert_int_equal(call(sys_brk, 0, 0, 0, 0, 0), 0x2001000);
    assert_int_equal(call(sys_brk, 0x2001000 + 100, 0, 0, 0, 0), 0x2001000 + 100);
    assert_int_equal(machine_touch(0x2001000, true, &value), 0);
    assert_int_equal(machine_touch(0x2002000, true, &value), TOUCH_SEGV);
    assert_int_equal(call(sys_brk, 0x2010000, 0, 0, 0, 0), 0x2010000);
    assert_int_equal(mm_self()->vma_count, 1);
    assert_int_equal(call(sys_brk, 0x2001000, 0, 0, 0, 0), 0x2001000);
    assert_int_equal(mm_self()->vma_count, 0);
    assert_int_equal(mm_self()->committed_pages, 0);
}

static void test_limit(void **state)
{
    uint64_t size = LIMIT + (1 << 20), done = 0;
    int64_t p = mm_map(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, NULL, 0);
    uint8_t value = 1;
    int signal = 0;

    if (!edmm) {
        assert_int_equal(p, -ENOMEM);
        return;
    }
    assert_true(p > 0);
    for (; done < size && signal == 0; done += PAGE_SIZE)
        signal = machine_touch((uaddr_t)p + done, true, &value);
    assert_int_equal(signal, TOUCH_KILL);
    assert_int_equal(mm_self()->committed_pages, LIMIT / PAGE_SIZE);
    assert_int_equal(mm_unmap((uaddr_t)p, size), 0);
    assert_int_equal(mm_self()->committed_pages, 0);
}

/* ---- a host that says it did and did not ---- */

static void map_touch_protect(void)
{
    int64_t p = mm_map(0, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0);
    uint8_t value = 1;

    machine_touch((uaddr_t)p, true, &value);
    mm_protect((uaddr_t)p, 4 * PAGE_SIZE, PROT_READ);
}

static void map_touch_unmap(void)
{
    /* Read-only pages are given back at once. */
    int64_t p = mm_map(0, 4 * PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0);
    uint8_t value;

    machine_touch((uaddr_t)p, false, &value);
    mm_unmap((uaddr_t)p, 4 * PAGE_SIZE);
}

static void test_lies(void **state)
{
    if (!edmm)
        return;
    machine_lie = 0; /* EDMM_RESTRICT */
    assert_true(machine_dies(map_touch_protect));
    machine_lie = 1; /* EDMM_TRIM */
    assert_true(machine_dies(map_touch_unmap));
    machine_lie = -1;
}

/* ---- pages kept for later ---- */

static size_t idle_count(void)
{
    size_t count = 0;

    for (uaddr_t page = USER_BASE; page < MACHINE_SIZE; page += PAGE_SIZE)
        count += (page_state(page) & PAGE_IDLE) != 0;
    return count;
}

static void map_and_unmap(size_t size)
{
    int64_t p = mm_map(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0);
    uint8_t value;

    assert_true(p > 0);
    for (size_t done = 0; done < size; done += PAGE_SIZE) {
        value = 0x5a;
        assert_int_equal(machine_touch((uaddr_t)p + done, false, &value), 0);
        assert_int_equal(value, 0);
        value = 0x77;
        assert_int_equal(machine_touch((uaddr_t)p + done, true, &value), 0);
    }
    assert_int_equal(mm_unmap((uaddr_t)p, size), 0);
}

/* A large release is kept for a second, then all but 16 MiB goes back; what comes again is zero. */
static void test_idle(void **state)
{
    const size_t size = LIMIT / 8;

    if (!edmm)
        return;
    machine_pass_time(10000000000ULL);
    map_and_unmap(size);
    assert_int_equal(idle_count(), size / PAGE_SIZE);
    machine_pass_time(900000000);
    map_and_unmap(size);
    machine_pass_time(900000000);
    assert_true(idle_count() >= size / PAGE_SIZE);
    machine_pass_time(1000000000);
    assert_int_equal(idle_count(), 4096);
    map_and_unmap(size);
    /* More than may be kept goes at once. */
    map_and_unmap(LIMIT / 4);
    assert_true(idle_count() <= LIMIT / PAGE_SIZE / 8);
}

/* ---- pages on the shelf ---- */

#define SHELF 0x2000000UL /* where nothing is mapped */

static void put_on_shelf(size_t count)
{
    static uint8_t old[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

    memset(old, 0x5a, sizeof(old));
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pages_commit_copy(SHELF + i * PAGE_SIZE, 1, old, PAGE_R | PAGE_W), 0);
    pages_shelve(SHELF, SHELF + count * PAGE_SIZE);
    assert_int_equal(pages_count_committed(SHELF, SHELF + count * PAGE_SIZE), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(machine_rights(SHELF + i * PAGE_SIZE), 0);
}

/* Returns how many exits it took. */
static unsigned long get_from_shelf(unsigned rights)
{
    static uint8_t new[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
    unsigned long before = machine_hostcalls;

    memset(new, 0x77, sizeof(new));
    assert_int_equal(pages_commit_copy(SHELF, 1, new, rights), 0);
    assert_int_equal(machine_rights(SHELF), rights);
    assert_memory_equal((const void *)SHELF, new, PAGE_SIZE);
    return machine_hostcalls - before;
}

static void test_shelf(void **state)
{
    static const uint8_t zeroes[PAGE_SIZE];
    unsigned long before;

    if (!edmm)
        return;
    put_on_shelf(1);
    assert_int_equal(get_from_shelf(PAGE_R | PAGE_W), 0);
    before = machine_hostcalls;
    pages_shelve(SHELF, SHELF + PAGE_SIZE);
    assert_int_equal(machine_hostcalls - before, 1);
    assert_int_equal(get_from_shelf(PAGE_R), 1);
    pages_shelve(SHELF, SHELF + PAGE_SIZE);
    /* Others look: it must not be seen before it is whole, and so goes first. */
    machine_alone = false;
    assert_int_equal(get_from_shelf(PAGE_R | PAGE_W), 2);
    machine_alone = true;
    /* Other memory in its place is zero. */
    pages_shelve(SHELF, SHELF + PAGE_SIZE);
    assert_int_equal(pages_commit(SHELF, 1), 0);
    assert_memory_equal((const void *)SHELF, zeroes, PAGE_SIZE);
    pages_decommit(SHELF, SHELF + PAGE_SIZE);
}

static void test_full_shelf(void **state)
{
    if (!edmm)
        return;
    put_on_shelf(4096);
    put_on_shelf(4096);
    for (uaddr_t page = SHELF + 4096 * PAGE_SIZE; page < SHELF + 4100 * PAGE_SIZE; page += PAGE_SIZE) {
        assert_int_equal(pages_commit(page, 1), 0);
        pages_shelve(page, page + PAGE_SIZE);
        assert_int_equal(page_state(page), 0);
    }
}

static void shelve_one(void)
{
    assert_int_equal(pages_commit(SHELF + 5000 * PAGE_SIZE, 1), 0);
    pages_shelve(SHELF + 5000 * PAGE_SIZE, SHELF + 5001 * PAGE_SIZE);
}

static void test_shelf_lies(void **state)
{
    if (!edmm)
        return;
    machine_pass_time(10000000000ULL);
    assert_int_equal(get_from_shelf(PAGE_R), 1); /* leaves room */
    machine_lie = 0;                             /* EDMM_RESTRICT */
    assert_true(machine_dies(shelve_one));
    machine_lie = -1;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_place),      cmocka_unit_test(test_break), cmocka_unit_test(test_random),
        cmocka_unit_test(test_limit),      cmocka_unit_test(test_idle),  cmocka_unit_test(test_shelf),
        cmocka_unit_test(test_full_shelf), cmocka_unit_test(test_lies),  cmocka_unit_test(test_shelf_lies),
    };

    edmm = argc < 2 || argv[1][0] == 'e';
    if (argc > 2)
        sscanf(argv[2], "%u", &machine_seed);
    machine_init(edmm, LIMIT);
    return cmocka_run_group_tests_name(edmm ? "mm edmm" : "mm sgx1", tests, NULL, NULL);
}
