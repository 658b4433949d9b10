/*
 * Pages that enclaves share, with members that lie about them: for each seed, what is said and when it comes is random.
 *   test-shared_hostile [SEED [COUNT]]
 */
#include <sanitizer/common_interface_defs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shared_world.h"

static unsigned long first_seed = 1, seeds = 1500, current_seed;

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

static void test_liars(void **state)
{
    static uint8_t bytes[3000];
    for (unsigned long seed = first_seed; seed < first_seed + seeds; seed++) {
        uint64_t random = seed * 0x9e3779b97f4a7c15ULL + 1;
        current_seed = seed;
        for (size_t i = 0; i < sizeof(bytes); i++) {
            random = random * 6364136223846793005ULL + 1442695040888963407ULL;
            bytes[i] = (uint8_t)(random >> 56);
        }
        shared_world_run(bytes, sizeof(bytes));
    }
    const struct shared_world_counts *c = &shared_world_counts;
    print_message("%lu messages, %lu reads, %lu writes, %lu by the home, %lu pages unasked, %lu liars killed\n",
                  c->messages, c->reads, c->writes, c->home, c->unasked, c->killed);
    /* All of it happened. */
    assert_true(c->messages > seeds * 20 && c->reads > seeds * 10 && c->writes > seeds * 10 && c->home > seeds &&
                c->killed > seeds && c->unasked > seeds / 10);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_liars)};
    __sanitizer_set_death_callback(say_seed);
    if (argc > 1)
        first_seed = strtoul(argv[1], NULL, 0);
    if (argc > 2)
        seeds = strtoul(argv[2], NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
