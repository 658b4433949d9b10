/* For tests of kernel code that reads and writes application memory where nobody acts for another enclave. */
#include "hosted_libc.h"
#include "kernel/remote/agent.h"

size_t agent_copy_in(void *dst, uaddr_t src, size_t size)
{
    hosted_abort("there are no agents");
    return 0;
}

size_t agent_out_room(uaddr_t dst, size_t size, void **ret_room)
{
    hosted_abort("there are no agents");
    return 0;
}

size_t agent_in_place(uaddr_t src, size_t size, const void **ret_data)
{
    hosted_abort("there are no agents");
    return 0;
}

bool agent_take_sealed(uaddr_t src, struct sealed_page *ret_page)
{
    hosted_abort("there are no agents");
    return false;
}

bool agent_give_sealed(uaddr_t dst, const struct sealed_page *page)
{
    hosted_abort("there are no agents");
    return false;
}
