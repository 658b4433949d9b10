/*
 * A member whose init enclave says anything about pages that enclaves share: for each seed it is random.
 *   test-shared_member_hostile [SEED [COUNT]]
 */
#include <sanitizer/common_interface_defs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shared_member_world.h"

static unsigned long first_seed = 1, seeds = 3000, current_seed;

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

static void test_hostile_init(void **state)
{
    static uint8_t bytes[1000];
    for (unsigned long seed = first_seed; seed < first_seed + seeds; seed++) {
        uint64_t random = seed * 0x9e3779b97f4a7c15ULL + 1;
        current_seed = seed;
        for (size_t i = 0; i < sizeof(bytes); i++) {
            random = random * 6364136223846793005ULL + 1442695040888963407ULL;
            bytes[i] = (uint8_t)(random >> 56);
        }
        shared_member_world_run(bytes, sizeof(bytes));
    }
    const struct shared_member_world_counts *c = &shared_member_world_counts;
    print_message("%lu grants, %lu refused, %lu takes, %lu given back, %lu with contents, %lu touches, %lu ended\n",
                  c->grants, c->refused, c->takes, c->backs, c->contents, c->touched, c->ended);
    /* All of it happened. */
    assert_true(c->grants > seeds * 10 && c->takes > seeds * 10 && c->contents > seeds && c->touched > seeds &&
                c->refused > seeds && c->ended > seeds / 10);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hostile_init)};
    __sanitizer_set_death_callback(say_seed);
    if (argc > 1)
        first_seed = strtoul(argv[1], NULL, 0);
    if (argc > 2)
        seeds = strtoul(argv[2], NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
