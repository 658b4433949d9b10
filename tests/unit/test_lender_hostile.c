/* The init enclave lends connections to members that say anything of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/mman.h>

#include "hostile.h"
#include "lender_world.h"

static void check(unsigned long seeds)
{
    const struct lender_world_counts *c = lender_world_counts;
    print_message("%lu loans, %lu given back, %lu recalls, %lu news, %lu watches fired, %lu members killed, %lu lost, "
                  "%lu containers ended\n",
                  c->loans, c->returned, c->recalls, c->news, c->fired, c->killed, c->lost, c->lied);
    print_message("%lu connections began with members, %lu came back, %lu could not be\n", c->begun, c->begun_returned,
                  c->wrong);
    assert_true(c->begun > seeds && c->begun_returned > seeds / 4 && c->wrong > seeds);
    assert_true(c->loans > seeds && c->returned > seeds / 2 && c->recalls > seeds && c->killed > seeds);
}

int main(int argc, char **argv)
{
    /* Seeds are run in children. */
    lender_world_counts =
        mmap(NULL, sizeof(*lender_world_counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(lender_world_counts != MAP_FAILED);
    return hostile_main(argc, argv, &(struct hostile_test){300, 6000, lender_world_run, check, true});
}
