/* Which descriptor comes next, as a member knows it (kernel/remote/descriptors.c), against a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <asm/unistd_64.h>
#include <linux/errno.h>

#include "kernel/lib/string.h"
#include "kernel/remote/descriptors.h"

#define TABLE 2048

static bool table[TABLE]; /* the init enclave's */
static const uint64_t none[6];

static int lowest(void)
{
    int fd = 0;
    while (table[fd])
        fd++;
    return fd;
}

static unsigned end(void)
{
    unsigned fd = TABLE;
    while (fd > 0 && !table[fd - 1])
        fd--;
    return fd;
}

static void open_there(bool tells)
{
    descriptors_begin(DESCRIPTORS_ADDED);
    int fd = lowest();
    table[fd] = true;
    if (tells)
        descriptors_free_from(end());
    descriptors_end(DESCRIPTORS_ADDED, none, fd);
}

/* False: what comes next is not known. */
static bool open_here(void)
{
    int fd;
    if (!descriptors_next(&fd))
        return false;
    assert_int_equal(fd, lowest());
    table[fd] = true;
    descriptors_opened(fd);
    return true;
}

static void close_there(int fd)
{
    const uint64_t args[6] = {(uint64_t)fd};
    bool was = table[fd];
    descriptors_begin(DESCRIPTORS_CLOSED);
    table[fd] = false;
    descriptors_end(DESCRIPTORS_CLOSED, args, was ? 0 : -EBADF);
}

static void close_here(int fd)
{
    assert_true(table[fd]);
    table[fd] = false;
    descriptors_closed(fd);
}

static int begin(void **state)
{
    memset(table, 0, sizeof(table));
    memset(table, true, 3);
    descriptors_reset();
    return 0;
}

static void is_told_of_the_end(void **state)
{
    assert_false(open_here());
    open_there(false);
    assert_false(open_here());
    open_there(true);
    for (int i = 0; i < 1500; i++)
        assert_true(open_here());
}

/* What was between is known, too. */
static void goes_on_after_what_is_used(void **state)
{
    table[7] = table[9] = true;
    open_there(true); /* 3 */
    assert_false(open_here());
    for (int fd = 4; fd < 7; fd++)
        open_there(true);
    assert_false(open_here()); /* 8? */
    open_there(true);
    assert_false(open_here()); /* 9? */
    open_there(true);          /* it was 10: 9 is used */
    assert_true(open_here());
    close_here(5);
    assert_true(open_here());
    assert_true(open_here());
    close_there(9);
    assert_true(open_here());
    assert_true(open_here());
}

static void forgets(void **state)
{
    int fd;
    open_there(true);
    assert_true(open_here());
    descriptors_begin(DESCRIPTORS_CHANGED);
    assert_false(descriptors_next(&fd));
    table[20] = true;
    descriptors_end(DESCRIPTORS_CHANGED, none, 20);
    assert_false(open_here());
    open_there(true);
    assert_false(open_here());
    /* a close that fails says that somebody else has closed it */
    close_there(20);
    open_there(true);
    assert_true(open_here());
    close_there(30);
    assert_false(open_here());
    /* nor is an open known to have done nothing if its answer could not be taken */
    open_there(true);
    assert_true(open_here());
    descriptors_begin(DESCRIPTORS_ADDED);
    table[lowest()] = true;
    descriptors_end(DESCRIPTORS_ADDED, none, -EFAULT);
    assert_false(open_here());
    open_there(true);
    descriptors_begin(DESCRIPTORS_ADDED);
    descriptors_end(DESCRIPTORS_ADDED, none, -ENOENT);
    assert_true(open_here());
}

/* Of calls at once, the answer to one says nothing of what the other does. */
static void believes_nothing_of_two_at_once(void **state)
{
    descriptors_begin(DESCRIPTORS_ADDED);
    descriptors_free_from(10);
    descriptors_begin(DESCRIPTORS_ADDED);
    descriptors_free_from(4);
    descriptors_end(DESCRIPTORS_ADDED, none, 3);
    descriptors_free_from(4);
    descriptors_end(DESCRIPTORS_ADDED, none, 4);
    table[3] = table[4] = true;
    assert_false(open_here());
    /* one closed here meanwhile */
    open_there(true);
    descriptors_begin(DESCRIPTORS_ADDED);
    table[6] = true;
    descriptors_free_from(7);
    close_here(3);
    descriptors_end(DESCRIPTORS_ADDED, none, 6);
    assert_false(open_here());
    /* a word that comes without a call is none */
    descriptors_free_from(8);
    open_there(false);
    assert_false(open_here());
}

static uint32_t random_next(void)
{
    static uint32_t x = 2463534242U;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return x;
}

static void is_right_or_does_not_know(void **state)
{
    int known = 0;
    for (int i = 0; i < 200000; i++) {
        uint32_t r = random_next();
        int fd = (int)(r >> 8) % (i % 20000 < 10000 ? 40 : TABLE - 100);
        if (end() > TABLE - 50)
            begin(NULL);
        switch (r % 16) {
        case 0:
            descriptors_begin(DESCRIPTORS_CHANGED);
            table[fd] = !table[fd];
            descriptors_end(DESCRIPTORS_CHANGED, none, 0);
            break;
        case 1:
        case 2:
            close_there(fd);
            break;
        case 3:
        case 4:
        case 5:
            if (table[fd])
                close_here(fd);
            break;
        case 6:
        case 7:
        case 8:
            open_there(r & 0x10);
            break;
        default:
            known += open_here();
        }
    }
    assert_true(known > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(is_told_of_the_end, begin),
        cmocka_unit_test_setup(goes_on_after_what_is_used, begin),
        cmocka_unit_test_setup(forgets, begin),
        cmocka_unit_test_setup(believes_nothing_of_two_at_once, begin),
        cmocka_unit_test_setup(is_right_or_does_not_know, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
