/*
 * Folders of the host against a host that lies: seeded runs (COFRE_HOSTILE_SEED, COFRE_HOSTILE_RUNS) under sanitizers,
 * each in a process of its own, since a lie may end the container and the kernel's state cannot be made new.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostfs_hostile.h"
#include "input.h"

#define RUN_STEPS 400
#define LIED 3

static uint64_t state;

static uint32_t choose(uint32_t limit)
{
    return random_choose(&state, limit);
}

static void on_lie(const char *what)
{
    if (getenv("COFRE_HOSTILE_SEED"))
        fprintf(stderr, "the host lied about %s\n", what);
    _exit(LIED);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

static int run(uint64_t seed)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        state = seed;
        hostile_init(choose, on_lie);
        for (int i = 0; i < RUN_STEPS; i++)
            hostile_step((uint32_t)(seed % 4) * 20);
        _exit(0);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && (WEXITSTATUS(status) != LIED || seed % 4 == 0)))
        fail_msg("run with COFRE_HOSTILE_SEED=%llu COFRE_HOSTILE_RUNS=1 ended with status %#x",
                 (unsigned long long)seed, status);
    return WEXITSTATUS(status) == LIED;
}

static void survives_lies(void **unused)
{
    uint64_t seed = setting("COFRE_HOSTILE_SEED", 1), runs = setting("COFRE_HOSTILE_RUNS", 400), lied = 0;
    for (uint64_t i = 0; i < runs; i++)
        lied += (uint64_t)run(seed + i);
    print_message("%llu of %llu runs ended with a lie named\n", (unsigned long long)lied, (unsigned long long)runs);
    assert_true(runs < 100 || (lied > runs / 20 && lied < runs));
}

static void honest_files_are_right(void **unused)
{
    hostile_init(choose, on_lie);
    assert_int_equal(hostile_honest_check(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(survives_lies), cmocka_unit_test(honest_files_are_right)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
