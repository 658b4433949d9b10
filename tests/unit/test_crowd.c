/* host/crowd.c: what /proc/loadavg says, and when it is a crowd. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "host/crowd.h"

#include <cmocka.h>

static void test_text(void **state)
{
    (void)state;
    assert_int_equal(crowd_runnable("0.00 0.01 0.05 7/106 19522\n"), 7);
    assert_int_equal(crowd_runnable("12.25 8.00 3.14 128/4711 1"), 128);
    assert_int_equal(crowd_runnable(""), 0);
    assert_int_equal(crowd_runnable("0.00 0.01 0.05"), 0);
    assert_int_equal(crowd_runnable("0.00 0.01 0.05 "), 0);
    assert_int_equal(crowd_runnable("0.00 0.01 0.05 many/106 1"), 0);
}

static bool look_at(struct crowd *crowd, unsigned runnable)
{
    char text[64];
    int size = snprintf(text, sizeof(text), "0.00 0.01 0.05 %u/900 19522\n", runnable);
    assert_int_equal(pwrite(crowd->loadavg, text, (size_t)size, 0), size);
    return crowd_look(crowd);
}

/* As many as there are processors besides the one that looks are no crowd; one look more or less changes nothing. */
static void test_looks(void **state)
{
    char path[] = "/tmp/crowd-XXXXXX";
    struct crowd crowd = {.loadavg = mkstemp(path), .cpus = 2};
    (void)state;
    assert_true(crowd.loadavg >= 0);
    for (int i = 0; i < 10; i++)
        assert_false(look_at(&crowd, 3));
    assert_false(look_at(&crowd, 4));
    assert_false(look_at(&crowd, 4));
    assert_true(look_at(&crowd, 4));
    for (int i = 0; i < 10; i++)
        assert_true(look_at(&crowd, 9));
    assert_true(look_at(&crowd, 3));
    assert_false(look_at(&crowd, 1));
    assert_false(look_at(&crowd, 1));
    close(crowd.loadavg);
    unlink(path);
}

/* Two others have both processors. */
static void test_full(void **state)
{
    char path[] = "/tmp/crowd-XXXXXX";
    struct crowd crowd = {.loadavg = mkstemp(path), .cpus = 2};
    (void)state;
    assert_true(crowd.loadavg >= 0);
    for (int i = 0; i < 10; i++) {
        look_at(&crowd, 2);
        assert_false(crowd_is_full(&crowd));
    }
    for (int i = 0; i < 10; i++) {
        assert_false(look_at(&crowd, 3));
        assert_true(crowd_is_full(&crowd) == (i >= 2));
    }
    look_at(&crowd, 1);
    assert_true(crowd_is_full(&crowd));
    look_at(&crowd, 0);
    assert_false(crowd_is_full(&crowd));
    close(crowd.loadavg);
    unlink(path);
}

static void test_absent(void **state)
{
    struct crowd crowd = {.loadavg = -1, .cpus = 1};
    (void)state;
    for (int i = 0; i < 10; i++)
        assert_false(crowd_look(&crowd));
    crowd_init(&crowd);
    assert_true(crowd.cpus >= 1);
    close(crowd.loadavg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_looks),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
