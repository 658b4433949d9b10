/* Hostile worlds, seed by seed (contract in hostile.h). */
#include "hostile.h"

#include <sanitizer/common_interface_defs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const struct hostile_test *test;
static unsigned long first_seed = 1, seeds, current_seed;

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

static void fill(uint8_t *bytes, uint64_t seed)
{
    uint64_t state = seed * 0x9e3779b97f4a7c15ULL + 1;
    for (size_t i = 0; i < test->size; i++) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        bytes[i] = (uint8_t)(state >> 56);
    }
}

static void run_in_child(const uint8_t *bytes)
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        test->run(bytes, test->size);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("status %x, seed %lu", (unsigned)status, current_seed);
}

static void test_seeds(void **unused)
{
    uint8_t *bytes = malloc(test->size);
    assert_non_null(bytes);
    for (current_seed = first_seed; current_seed < first_seed + seeds; current_seed++) {
        fill(bytes, current_seed);
        if (test->forks)
            run_in_child(bytes);
        else
            test->run(bytes, test->size);
    }
    free(bytes);
    test->check(seeds);
}

int hostile_main(int argc, char **argv, const struct hostile_test *t)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_seeds)};
    __sanitizer_set_death_callback(say_seed);
    test = t;
    seeds = t->seeds;
    if (argc > 1)
        first_seed = strtoul(argv[1], NULL, 0);
    if (argc > 2)
        seeds = strtoul(argv[2], NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
