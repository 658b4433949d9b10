/*
 * Connections that the init enclave lends to members: the input chooses what its processes do, and what the members
 * say, who say anything (tests/unit/lender_world.h).
 *
 * fuzz-sources: tests/unit/no_agents.c tests/unit/net_world.c tests/unit/lender_world.c
 * fuzz-sources: tests/unit/hosted_heap.c kernel/remote/lender.c
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

#include "lender_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct lender_world_counts counts;
    fresh_kernel_begin();
    lender_world_counts = &counts;
    lender_world_run(data, size);
    fresh_kernel_end();
    return 0;
}
