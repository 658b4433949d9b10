/* A member whose init enclave says anything about pages that enclaves share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hostile.h"
#include "shared_member_world.h"

static void check(unsigned long seeds)
{
    const struct shared_member_world_counts *c = &shared_member_world_counts;
    print_message("%lu grants, %lu refused, %lu takes, %lu given back, %lu with contents, %lu touches, %lu ended\n",
                  c->grants, c->refused, c->takes, c->backs, c->contents, c->touched, c->ended);
    assert_true(c->grants > seeds * 10 && c->takes > seeds * 10 && c->contents > seeds && c->touched > seeds &&
                c->refused > seeds && c->ended > seeds / 10);
}

int main(int argc, char **argv)
{
    return hostile_main(argc, argv, &(struct hostile_test){3000, 1000, shared_member_world_run, check});
}
