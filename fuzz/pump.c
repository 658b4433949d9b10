/*
 * The pump against a hostile kernel: whatever the enclave writes into the arena and asks for, the host's memory stays
 * whole. (Sockets are bound to loopback only, and nothing is connected.)
 *
 * fuzz-sources: host/pump/channel.c host/pump/console.c host/pump/datagram.c host/pump/epoll.c host/pump/handover.c
 * fuzz-sources: host/pump/listener.c host/pump/numbers.c host/pump/pump.c host/pump/socket.c host/pump/spin.c
 * fuzz-sources: host/pump/uring.c host/error.c host/terminal.c
 */
#include "host/pump/pump.h"
#include "abi/ring.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define CHANNELS 64
#define RING 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *at, *end;
};

static uint32_t take(struct input *in, size_t bytes)
{
    uint32_t value = 0;

    for (size_t i = 0; i < bytes && in->at < in->end; i++)
        value = value << 8 | *in->at++;
    return value;
}

static void poke(uint8_t *arena, struct input *in)
{
    struct arena_header *h = (struct arena_header *)arena;
    uint8_t *channels = arena + h->channels_offset;
    uint32_t value = take(in, 4);

    memcpy(channels + take(in, 2) % (CHANNELS * sizeof(struct channel) / 4) * 4, &value, sizeof(value));
}

static void push_dirty(uint8_t *arena, struct input *in)
{
    struct arena_header *h = (struct arena_header *)arena;
    struct arena_queue *dirty = (struct arena_queue *)(arena + h->dirty_offset);
    uint32_t how = take(in, 1);

    dirty->entries[dirty->head % CHANNELS] = how & 0x80 ? take(in, 4) : how % CHANNELS;
    dirty->head += how == 0xff ? take(in, 4) : 1;
}

static void socket_op(struct pump *pump, struct input *in)
{
    static struct hostcall_socket op;
    struct sockaddr_in loopback = {.sin_family = AF_INET};

    memset(&op, 0, sizeof(op));
    op.op = take(in, 1) % (SOCKET_READY + 1);
    op.channel = take(in, 1) % (CHANNELS + 4);
    op.family = take(in, 1) & 1 ? AF_INET : AF_INET6;
    op.type = take(in, 1) % 4;
    op.value = (int32_t)take(in, 2);
    op.level = (int32_t)take(in, 1);
    op.name = (int32_t)take(in, 1);
    op.addr_size = take(in, 1);
    op.optlen = take(in, 2);
    loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memcpy(op.addr, &loopback, sizeof(loopback));
    if (op.op != SOCKET_CONNECT)
        pump_socket(pump, &op);
}

static void scribble(uint8_t *arena, struct input *in)
{
    struct arena_header *h = (struct arena_header *)arena;
    uint8_t *ring = arena + h->rings_offset + (uint64_t)(take(in, 1) % (2 * CHANNELS)) * RING;

    for (uint32_t at = take(in, 2) % RING, n = take(in, 1) % 64; n > 0 && at < RING; n--)
        ring[at++] = (uint8_t)take(in, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pump_config config = {.channel_count = CHANNELS, .ring_size = RING, .no_console = true, .cpu_count = 1};
    struct input in = {data, data + size};
    atomic_uint kicked = 0;
    struct pump *pump;
    char *error = NULL;
    uint8_t *arena;

    setenv("COFRE_PUMP", take(&in, 1) & 1 ? "uring" : "epoll", 1);
    if (pump_new(&config, &pump, &error) < 0)
        abort();
    if (pump_start(pump, &error) == 0) {
        arena = (uint8_t *)(uintptr_t)pump_arena(pump).addr;
        while (in.at < in.end) {
            switch (take(&in, 1) % 8) {
            case 0:
                poke(arena, &in);
                break;
            case 1:
            case 2:
                push_dirty(arena, &in);
                break;
            case 3:
                scribble(arena, &in);
                break;
            case 4:
                pump_park(pump, 0, &kicked);
                break;
            default:
                socket_op(pump, &in);
            }
        }
        pump_park(pump, 0, &kicked);
    }
    pump_free(pump);
    free(error);
    return 0;
}
