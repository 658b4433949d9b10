/*
 * A member whose init enclave says anything: adoptions, streams, signals, answers. Nothing is believed that the rest of
 * the kernel relies on, and nothing is left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hostile.h"
#include "member_world.h"

static void check(unsigned long seeds)
{
    const struct member_world_counts *c = &member_world_counts;
    print_message("%lu adopted, %lu started, %lu ended, %lu signals, %lu files, %lu programs, %lu renewed\n",
                  c->adopted, c->started, c->ended, c->signals, c->files, c->execs, c->renewed);
    assert_true(c->started > seeds / 100 && c->ended > seeds / 100 && c->signals > seeds / 300 &&
                c->files > seeds / 300);
    assert_true(c->execs > seeds / 300 && c->renewed > seeds / 300);
}

int main(int argc, char **argv)
{
    return hostile_main(argc, argv, &(struct hostile_test){30000, 1000, member_world_run, check});
}
