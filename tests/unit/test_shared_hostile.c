/* Pages that enclaves share, with members that lie about them: what is said and when it comes is random. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hostile.h"
#include "shared_world.h"

static void check(unsigned long seeds)
{
    const struct shared_world_counts *c = &shared_world_counts;
    print_message(
        "%lu messages, %lu reads, %lu writes, %lu by the home, %lu pages unasked, %lu liars killed, %lu changes\n",
        c->messages, c->reads, c->writes, c->home, c->unasked, c->killed, c->changes);
    assert_true(c->messages > seeds * 20 && c->reads > seeds * 10 && c->writes > seeds * 10 && c->home > seeds &&
                c->killed > seeds && c->unasked > seeds / 10 && c->changes > seeds / 10);
}

int main(int argc, char **argv)
{
    return hostile_main(argc, argv, &(struct hostile_test){1500, 3000, shared_world_run, check});
}
