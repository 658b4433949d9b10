/* System call sites (not yet rewritten: every call takes the slow path, which is right). */
#include "kernel/arch/rewrite.h"

void rewrite_text(uaddr_t start, size_t size)
{
    (void)start;
    (void)size;
}

void rewrite_forget(uaddr_t start, size_t size)
{
    (void)start;
    (void)size;
}

uaddr_t rewrite_stub_site(uaddr_t rip)
{
    (void)rip;
    return 0;
}
