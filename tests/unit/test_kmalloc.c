/* kernel/mm/kmalloc.c and heap.c: contents survive, memory comes back, misuse is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/heap.h"
#include "kernel/mm/kmalloc.h"

#define HEAP_SIZE (64UL << 20)
#define SLOTS 2000

void kmalloc_init_at(uint64_t base, uint64_t heap_size);
void machine_map_memory(uint64_t start, uint64_t end);

static uint8_t *committed; /* by page of the heap */
static uint64_t heap_base;
static jmp_buf death;
static bool may_die;

/* Not kernel memory before this; never twice. */
void heap_commit(uint64_t addr, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t page = (addr - heap_base) / PAGE_SIZE + i;

        assert_true(page < HEAP_SIZE / PAGE_SIZE);
        assert_int_equal(committed[page], 0);
        committed[page] = 1;
    }
    memset((void *)addr, 0, count * PAGE_SIZE);
}

void heap_commit_init(bool edmm)
{
}

void panic_at(const char *file, int line, const char *format, ...)
{
    if (may_die)
        longjmp(death, 1);
    fprintf(stderr, "%s:%d: %s\n", file, line, format);
    abort();
}

static bool dies(void (*fn)(void *), void *arg)
{
    bool died = setjmp(death) != 0;

    if (!died) {
        may_die = true;
        fn(arg);
    }
    may_die = false;
    return died;
}

static struct {
    uint8_t *p;
    size_t size;
    uint8_t fill;
} slots[SLOTS];

static void check_slot(size_t i)
{
    for (size_t n = 0; n < slots[i].size; n += 97)
        assert_int_equal(slots[i].p[n], slots[i].fill);
    if (slots[i].size)
        assert_int_equal(slots[i].p[slots[i].size - 1], slots[i].fill);
}

static size_t pick_size(void)
{
    switch (rand() % 10) {
    case 0:
        return (size_t)rand() % 100000;
    case 1:
        return (size_t)rand() % 10000;
    case 2:
        return PAGE_SIZE;
    default:
        return (size_t)rand() % 600;
    }
}

static void test_random(void **state)
{
    uint64_t before = heap_pages_used();

    srand(7);
    for (unsigned n = 0; n < 200000; n++) {
        size_t i = (size_t)rand() % SLOTS;

        if (slots[i].p && rand() % 4 == 0) {
            size_t size = pick_size();

            slots[i].p = krealloc(slots[i].p, size);
            assert_non_null(slots[i].p);
            slots[i].size = MIN(size, slots[i].size);
            check_slot(i);
        } else if (slots[i].p) {
            check_slot(i);
            kfree(slots[i].p);
            slots[i].p = NULL;
        } else {
            slots[i].size = pick_size();
            slots[i].p = kmalloc(slots[i].size);
            assert_non_null(slots[i].p);
            assert_int_equal((uint64_t)slots[i].p % (slots[i].size >= PAGE_SIZE ? PAGE_SIZE : 16), 0);
            slots[i].fill = (uint8_t)rand();
            memset(slots[i].p, slots[i].fill, slots[i].size);
        }
    }
    for (size_t i = 0; i < SLOTS; i++)
        kfree(slots[i].p);
    /* Each size class may keep one empty slab. */
    assert_true(heap_pages_used() - before < 150);
}

static void test_pages(void **state)
{
    uint64_t before = heap_pages_used();
    void *big = page_alloc_many(3000), *pages[64];

    assert_non_null(big);
    for (size_t i = 0; i < ARRAY_COUNT(pages); i++)
        pages[i] = page_alloc_many(i + 1);
    for (size_t i = 0; i < ARRAY_COUNT(pages); i += 2)
        page_free_many(pages[i], i + 1);
    page_free_many(big, 3000);
    for (size_t i = 1; i < ARRAY_COUNT(pages); i += 2)
        page_free_many(pages[i], i + 1);
    assert_true(heap_pages_used() - before < 64); /* descriptors of what the heap grew by */
    assert_null(page_alloc_many(HEAP_SIZE / PAGE_SIZE + 1));
    /* It came together again. */
    big = page_alloc_many(8 * 1024);
    assert_non_null(big);
    page_free_many(big, 8 * 1024);
}

static void test_exhaustion(void **state)
{
    void *head = NULL, **p;
    size_t count = 0;

    while ((p = kmalloc(100000))) {
        *p = head;
        head = p;
        count++;
    }
    assert_true(count > 400);
    while (head) {
        p = head;
        head = *p;
        kfree(p);
    }
    p = kmalloc(100000);
    assert_non_null(p);
    kfree(p);
}

static void free_it(void *p)
{
    kfree(p);
}

static void alloc_48(void *arg)
{
    (void)!kmalloc(48);
}

static void test_misuse(void **state)
{
    char *p = kmalloc(48), *page = page_alloc();
    static char not_heap[16];

    assert_true(dies(free_it, p + 8));
    assert_true(dies(free_it, not_heap));
    assert_true(dies(free_it, page + 16));
    page_free(page);
    kfree(p);
    assert_true(dies(free_it, p));
    /* Write after free. */
    memset(p, 0x11, 48);
    assert_true(dies(alloc_48, NULL));
}

static int set_up(void **state)
{
    heap_base = 0x4000000;
    machine_map_memory(heap_base, heap_base + HEAP_SIZE);
    committed = calloc(1, HEAP_SIZE / PAGE_SIZE);
    kmalloc_init_at(heap_base, HEAP_SIZE);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random), cmocka_unit_test(test_pages), cmocka_unit_test(test_exhaustion),
        cmocka_unit_test(test_misuse), /* last: it leaves a broken slab */
    };

    return cmocka_run_group_tests_name("kmalloc", tests, set_up, NULL);
}
