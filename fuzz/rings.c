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
#include "fresh_kernel.h"

#include "net_hostile.h"
#include "net_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fresh_kernel_begin();
    input = data;
    left = size;
    world_init();
    if (!setjmp(world.lie)) {
        world.lie_armed = true;
        hostile_init(choose);
        for (int i = 0; i < 2000 && left > 0; i++)
            hostile_step(200);
    }
    fresh_kernel_end();
    return 0;
}
