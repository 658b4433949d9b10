/* A pipe that is lent to two members and called back, with all of them honest, or one that says anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/mman.h>

#include "hostile.h"
#include "lent_world.h"

static void check(unsigned long seeds)
{
    const struct lent_world_counts *c = lent_world_counts;
    print_message(
        "%lu loans, %lu messages to members, %lu bytes there, %lu while lent, %lu sleeps, %lu members killed, "
        "%lu lost, %lu gave up, %lu pipes broken\n",
        c->loans, c->recalls, c->bytes_there, c->bytes, c->slept, c->killed, c->lost, c->ended, c->broken);
    assert_true(c->loans > seeds && c->bytes > 10000 * seeds && c->killed > seeds / 10 && c->ended > 0);
}

int main(int argc, char **argv)
{
    /* Seeds are run in children. */
    lent_world_counts =
        mmap(NULL, sizeof(*lent_world_counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(lent_world_counts != MAP_FAILED);
    return hostile_main(argc, argv, &(struct hostile_test){300, 1500, lent_world_run, check, true});
}
