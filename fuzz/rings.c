/*
 * Rings, queues and records of the arena: the input chooses what the program in the container does and what the host
 * writes, true or not (tests/unit/net_hostile.h). The kernel goes on or says what the host lied about.
 *
 * fuzz-sources: tests/unit/no_agents.c tests/unit/net_world.c tests/unit/hosted_heap.c tests/unit/net_hostile.c
 * fuzz-sources: kernel/net/channel.c kernel/net/inet.c kernel/net/inet_host.c kernel/net/inet_option.c
 * fuzz-sources: kernel/net/interface.c kernel/net/ip_control.c kernel/net/loan.c kernel/net/message.c
 * fuzz-sources: kernel/net/net.c kernel/net/netlink.c
 * fuzz-sources: kernel/net/packet.c kernel/net/scm.c kernel/net/socket.c kernel/net/sockopt.c
 * fuzz-sources: kernel/net/tcp.c kernel/net/tcp_io.c kernel/net/tcp_urgent.c kernel/net/udp.c kernel/net/unix.c
 * fuzz-sources: kernel/net/unix_gc.c kernel/net/unix_io.c kernel/fs/epoll.c kernel/fs/poll.c
 * fuzz-sources: kernel/sched/timer.c
 * fuzz-sources: kernel/mm/uio.c kernel/sched/wait.c kernel/arch/untrusted.c
 * fuzz-flags: -DCOFRE_HOSTED -include fuzz/kernel_state.h -Itests/unit -w
 */
#include "fresh_kernel.h"

#include "input.h"
#include "net_hostile.h"
#include "net_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct input in;

static uint32_t choose(uint32_t limit)
{
    return input_choose(&in, limit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fresh_kernel_begin();
    in = (struct input){data, size};
    world_init();
    if (!setjmp(world.lie)) {
        world.lie_armed = true;
        hostile_init(choose);
        for (int i = 0; i < 2000 && in.left > 0; i++)
            hostile_step(200);
    }
    fresh_kernel_end();
    return 0;
}
