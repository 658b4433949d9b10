/*
 * Hostile members: what several members say, and what the host does to the link area, is random. A process that nobody
 * may harm goes on, and at the end nothing is left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hostile.h"
#include "members_world.h"

/* One in five is long. */
static void run(const uint8_t *bytes, size_t size)
{
    members_world_run(bytes, bytes[0] % 5 == 0 ? size : size / 10);
}

static void check(unsigned long seeds)
{
    const struct members_world_counts *c = &members_world_counts;
    print_message("%lu messages, %lu processes, %lu waited for, %lu streams cut, %lu refusals, %lu renewals\n",
                  c->messages, c->adopted, c->reaped, c->cut, c->refused, c->renewed);
    assert_true(c->messages > seeds * 20 && c->adopted > seeds && c->reaped > seeds && c->cut > 0 && c->refused > 0 &&
                c->renewed > 0);
}

int main(int argc, char **argv)
{
    return hostile_main(argc, argv, &(struct hostile_test){1500, 6000, run, check});
}
