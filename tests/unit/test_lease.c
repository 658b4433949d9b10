/*
 * Leases and posts: what a member reads is what is there, its descriptors are what Linux's would be, its output is
 * whole and in order, whatever changes, and whatever another member says; and a member whose init enclave says
 * anything. test-lease [SEED [COUNT]]
 */
#include <sanitizer/common_interface_defs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lease_world.h"

static unsigned long first_seed = 1, seeds = 5000, current_seed;

static void say_seed(void)
{
    fprintf(stderr, "\nseed %lu\n", current_seed);
}

/* An abort() is reported as the sanitizer's own findings are. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "handle_abort=1";
}

static void run_seeds(void (*fn)(const uint8_t *data, size_t size))
{
    static uint8_t bytes[3000];
    for (unsigned long seed = first_seed; seed < first_seed + seeds; seed++) {
        uint64_t random = seed * 0x9e3779b97f4a7c15ULL + 1;
        current_seed = seed;
        for (size_t i = 0; i < sizeof(bytes); i++) {
            random = random * 6364136223846793005ULL + 1442695040888963407ULL;
            bytes[i] = (uint8_t)(random >> 56);
        }
        fn(bytes, sizeof(bytes));
    }
}

static void test_leases(void **state)
{
    const struct lease_world_counts *c = &lease_world_counts;
    run_seeds(lease_world_run);
    print_message("%lu opened here, %lu there, %lu told, %lu ended by %lu changes, %lu writes posted, %lu killed\n",
                  c->opened_here, c->opened_there, c->told, c->breaks, c->changes, c->posted, c->killed);
    /* All of it happened. */
    assert_true(c->opened_here > seeds && c->opened_there > seeds && c->told > seeds / 2 && c->breaks > seeds / 2);
    assert_true(c->posted > seeds && c->killed > seeds / 10);
}

static void test_hostile_init(void **state)
{
    run_seeds(lease_world_run_hostile);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_leases), cmocka_unit_test(test_hostile_init)};
    __sanitizer_set_death_callback(say_seed);
    if (argc > 1)
        first_seed = strtoul(argv[1], NULL, 0);
    if (argc > 2)
        seeds = strtoul(argv[2], NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
