/*
 * The network against a host that lies: a million seeded steps (COFRE_HOSTILE_STEPS, COFRE_HOSTILE_SEED) under
 * sanitizers. A lie may end the container (host_lied); then a new one begins, in a new process, since the kernel's
 * state cannot be made new. Anything else than a lie told or a run's length reached is a failure, with the seed to
 * replay.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "input.h"
#include "net_hostile.h"
#include "net_world.h"

#define RUN_STEPS 3000

struct tally {
    uint64_t steps, lies;
};

static uint64_t state;

static uint32_t choose(uint32_t limit)
{
    return random_choose(&state, limit);
}

static int run(uint64_t seed, struct tally *tally)
{
    state = seed;
    world_init();
    if (setjmp(world.lie)) { /* the container has ended */
        tally->lies++;
        if (getenv("COFRE_HOSTILE_SEED"))
            fprintf(stderr, "seed %llu: %s\n", (unsigned long long)seed, world.lie_text);
        return 0;
    }
    world.lie_armed = true;
    hostile_init(choose);
    uint32_t rate = (uint32_t)(seed % 5) * 4; /* every fifth run has an honest host */
    for (int i = 0; i < RUN_STEPS; i++) {
        hostile_step(rate);
        tally->steps++;
    }
    return 0;
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

static void survives_lies(void **unused)
{
    uint64_t wanted = setting("COFRE_HOSTILE_STEPS", 1000000), seed = setting("COFRE_HOSTILE_SEED", 1);
    struct tally *tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(tally != MAP_FAILED);
    uint64_t runs = 0;
    for (; tally->steps < wanted; seed++, runs++) {
        fflush(stdout);
        uint64_t lies = tally->lies;
        pid_t child = fork();
        if (child == 0)
            _exit(run(seed, tally));
        int status = 0;
        waitpid(child, &status, 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("status %x; replay with COFRE_HOSTILE_SEED=%llu", (unsigned)status, (unsigned long long)seed);
        if (seed % 5 == 0 && tally->lies != lies)
            fail_msg("an honest host was called a liar; replay with COFRE_HOSTILE_SEED=%llu", (unsigned long long)seed);
    }
    print_message("%llu steps in %llu runs, %llu ended by a lie\n", (unsigned long long)tally->steps,
                  (unsigned long long)runs, (unsigned long long)tally->lies);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(survives_lies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
