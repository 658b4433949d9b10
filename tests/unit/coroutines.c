/* Coroutines by swapcontext (contract in coroutines.h), told to AddressSanitizer. Stacks are kept for the next. */
#include "coroutines.h"

#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <stdlib.h>
#include <ucontext.h>

#define STACK_SIZE 0x40000UL

struct coroutine {
    ucontext_t context;
    void (*fn)(void *arg);
    void *arg;
    struct coroutine *next; /* in the pool */
    char stack[STACK_SIZE] __attribute__((aligned(16)));
};

static ucontext_t outside;
static const void *outside_stack;
static size_t outside_size;
static struct coroutine *inside, *pool;

static void start(void)
{
    __sanitizer_finish_switch_fiber(NULL, &outside_stack, &outside_size);
    inside->fn(inside->arg);
    coroutine_leave();
    abort();
}

struct coroutine *coroutine_new(void (*fn)(void *arg), void *arg)
{
    struct coroutine *c = pool ? pool : malloc(sizeof(*c));
    if (!c)
        abort();
    if (c == pool)
        pool = c->next;
    __asan_unpoison_memory_region(c->stack, STACK_SIZE);
    c->fn = fn;
    c->arg = arg;
    getcontext(&c->context);
    c->context.uc_stack.ss_sp = c->stack;
    c->context.uc_stack.ss_size = STACK_SIZE;
    c->context.uc_link = NULL;
    makecontext(&c->context, start, 0);
    return c;
}

void coroutine_enter(struct coroutine *c)
{
    void *fake;
    inside = c;
    __sanitizer_start_switch_fiber(&fake, c->stack, STACK_SIZE);
    swapcontext(&outside, &c->context);
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
}

void coroutine_leave(void)
{
    void *fake;
    struct coroutine *c = inside;
    __sanitizer_start_switch_fiber(&fake, outside_stack, outside_size);
    swapcontext(&c->context, &outside);
    __sanitizer_finish_switch_fiber(fake, &outside_stack, &outside_size);
}

void coroutine_free(struct coroutine *c)
{
    c->next = pool;
    pool = c;
}
