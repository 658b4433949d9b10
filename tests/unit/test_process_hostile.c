/*
 * Hostile members: for each seed, what several members say, and what the host does to the link area, is random. A
 * process that nobody may harm goes on, and at the end nothing is left.
 *   test-process_hostile [SEED [COUNT]]
 */
#include <sanitizer/common_interface_defs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "members_world.h"

#define STEPS 6000

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

static void fill(uint8_t *bytes, size_t size, uint64_t seed)
{
    uint64_t state = seed * 0x9e3779b97f4a7c15ULL + 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        bytes[i] = (uint8_t)(state >> 56);
    }
}

static void test_hostile_members(void **state)
{
    static uint8_t bytes[STEPS];
    for (unsigned long seed = first_seed; seed < first_seed + seeds; seed++) {
        current_seed = seed;
        fill(bytes, sizeof(bytes), seed);
        members_world_run(bytes, seed % 5 == 0 ? sizeof(bytes) : sizeof(bytes) / 10);
    }
    const struct members_world_counts *c = &members_world_counts;
    print_message("%lu messages, %lu processes, %lu waited for, %lu streams cut, %lu refusals\n", c->messages,
                  c->adopted, c->reaped, c->cut, c->refused);
    /* All of it happened. */
    assert_true(c->messages > seeds * 20 && c->adopted > seeds && c->reaped > seeds && c->cut > 0 && c->refused > 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hostile_members)};
    __sanitizer_set_death_callback(say_seed);
    if (argc > 1)
        first_seed = strtoul(argv[1], NULL, 0);
    if (argc > 2)
        seeds = strtoul(argv[2], NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
