/*
 * Rings, queues and records of the arena: the input chooses what the program in the container does and what the host
 * writes, true or not (tests/unit/net_hostile.h). The kernel goes on or says what the host lied about.
 *
 * fuzz-sources: tests/unit/no_agents.c tests/unit/net_world.c tests/unit/net_hostile.c
 * fuzz-sources: kernel/net/channel.c kernel/net/inet.c kernel/net/inet_host.c kernel/net/inet_option.c
 * fuzz-sources: kernel/net/interface.c kernel/net/message.c kernel/net/net.c kernel/net/netlink.c
 * fuzz-sources: kernel/net/packet.c kernel/net/scm.c kernel/net/socket.c kernel/net/sockopt.c
 * fuzz-sources: kernel/net/tcp.c kernel/net/tcp_io.c kernel/net/udp.c kernel/net/unix.c
 * fuzz-sources: kernel/net/unix_gc.c kernel/net/unix_io.c kernel/fs/epoll.c kernel/fs/poll.c
 * fuzz-sources: kernel/mm/uio.c kernel/sched/wait.c kernel/arch/untrusted.c
 * fuzz-flags: -DCOFRE_HOSTED -include fuzz/kernel_state.h -Itests/unit -w
 */
#pragma clang section bss = "" data = ""

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hosted_libc.h"
#include "net_hostile.h"
#include "net_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

extern uint8_t __start_kernel_bss[], __stop_kernel_bss[], __start_kernel_data[], __stop_kernel_data[];

/* The kernel's memory: forgotten as a whole after each run. */
struct block {
    struct block *next;
    uint64_t pad;
};
static struct block *blocks;
static void *pages[8];
static size_t page_count;

void *hosted_malloc(size_t size)
{
    struct block *b = malloc(sizeof(*b) + size);
    if (!b)
        abort();
    b->next = blocks;
    blocks = b;
    return b + 1;
}

void hosted_free(void *p)
{
    struct block **at = &blocks;
    while (p && *at && (void *)(*at + 1) != p)
        at = &(*at)->next;
    if (p && *at) {
        struct block *b = *at;
        *at = b->next;
        free(b);
    }
}

void *hosted_page_alloc(size_t size)
{
    return pages[page_count++] = aligned_alloc(4096, size);
}

void hosted_abort(const char *message)
{
    fprintf(stderr, "%s\n", message);
    abort();
}

static const uint8_t *input;
static size_t left;

/* Past its end the input is all zeros, which chooses honest things. */
static uint32_t choose(uint32_t limit)
{
    uint32_t value = 0;
    for (uint32_t span = limit - 1; span > 0; span >>= 8) {
        value = value << 8 | (left ? *input : 0);
        if (left) {
            input++;
            left--;
        }
    }
    return value % limit;
}

/* Over the sanitizer's red zones between variables, too. */
__attribute__((no_sanitize("address"))) static void copy_all(void *dst, const void *src, size_t size)
{
    __asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(size) : : "memory");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t *fresh, *zeros;
    size_t bss = (size_t)(__stop_kernel_bss - __start_kernel_bss);
    size_t initialised = (size_t)(__stop_kernel_data - __start_kernel_data);
    if (!fresh) {
        fresh = malloc(initialised);
        zeros = calloc(1, bss);
        copy_all(fresh, __start_kernel_data, initialised);
    }
    copy_all(__start_kernel_bss, zeros, bss);
    copy_all(__start_kernel_data, fresh, initialised);
    input = data;
    left = size;
    world_init();
    if (!setjmp(world.lie)) {
        world.lie_armed = true;
        hostile_init(choose);
        for (int i = 0; i < 2000 && left > 0; i++)
            hostile_step(200);
    }
    while (blocks) {
        struct block *b = blocks;
        blocks = b->next;
        free(b);
    }
    while (page_count > 0)
        free(pages[--page_count]);
    return 0;
}
