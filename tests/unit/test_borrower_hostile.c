/* A member that borrows connections, with an init enclave or a host that says anything, or with honest ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/mman.h>

#include "borrower_world.h"
#include "hostile.h"

static void check(unsigned long seeds)
{
    const struct borrower_world_counts *c = borrower_world_counts;
    print_message(
        "%lu loans, %lu refused, %lu returned, %lu recalls, %lu of them in use, %lu news, %lu reads, %lu writes, "
        "%lu watched, %lu fired, %lu closed, %lu ended, %lu lies seen\n",
        c->loans, c->refused, c->returned, c->recalls, c->in_use, c->news, c->read, c->written, c->watched, c->fired,
        c->closed, c->ended, c->lied);
    print_message("%lu listening sockets, %lu accepted, %lu told, %lu given, %lu closed untold, %lu dropped\n",
                  c->shared, c->accepted, c->begun, c->given, c->closed_untold, c->dropped);
    assert_true(c->loans > seeds * 10 && c->returned > seeds * 10 && c->in_use > seeds / 20 && c->news > seeds * 8 &&
                c->read > seeds * 6 && c->written > seeds * 7 && c->watched > seeds / 3 && c->fired > seeds);
    assert_true(c->refused > seeds && c->closed > seeds / 20 && c->ended > seeds / 20 && c->lied > seeds / 10);
    assert_true(c->shared > seeds && c->accepted > seeds * 2 && c->begun > seeds * 2 && c->given > seeds * 2 &&
                c->closed_untold > seeds / 10 && c->dropped > seeds / 10);
}

int main(int argc, char **argv)
{
    /* Seeds are run in children. */
    borrower_world_counts =
        mmap(NULL, sizeof(*borrower_world_counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(borrower_world_counts != MAP_FAILED);
    return hostile_main(argc, argv, &(struct hostile_test){600, 16000, borrower_world_run, check, true});
}
