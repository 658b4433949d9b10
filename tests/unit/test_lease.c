/*
 * Leases and posts: what a member reads is what is there, its descriptors are what Linux's would be, its output is
 * whole and in order, whatever changes, and whatever another member says; and a member whose init enclave says
 * anything.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hostile.h"
#include "lease_world.h"

static void check(unsigned long seeds)
{
    const struct lease_world_counts *c = &lease_world_counts;
    print_message("%lu opened here, %lu there, %lu told, %lu ended by %lu changes, %lu more, %lu dropped, "
                  "%lu writes posted, %lu assured, %lu syncs, %lu killed\n",
                  c->opened_here, c->opened_there, c->told, c->breaks, c->changes, c->more, c->dropped, c->posted,
                  c->assured, c->syncs, c->killed);
    print_message("%lu accepted here, %lu there\n", c->accepted, c->asked);
    assert_true(c->accepted > seeds);
    assert_true(c->opened_here > seeds && c->opened_there > seeds && c->told > seeds / 2 && c->breaks > seeds / 2);
    assert_true(c->posted > seeds && c->killed > seeds / 10 && c->more > seeds && c->dropped > seeds &&
                c->assured > seeds && c->syncs > seeds / 10);
}

static void run(const uint8_t *bytes, size_t size)
{
    lease_world_run(bytes, size);
    lease_world_run_hostile(bytes, size);
}

int main(int argc, char **argv)
{
    lease_world_run_mixed();
    lease_world_run_listener();
    return hostile_main(argc, argv, &(struct hostile_test){.seeds = 3000, .size = 3000, .run = run, .check = check});
}
