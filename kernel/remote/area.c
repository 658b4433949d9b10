/* The link area: where things are, and doorbells. */
#include "kernel/remote/area.h"

#include "abi/link.h"
#include "kernel/arch/hostcall.h"
#include "kernel/arch/untrusted.h"
#include "kernel/sched/time.h"

#define SOON_NS 4000
#define VAIN_MAX 4
#define TRY_EVERY 16

static struct {
    host_ptr base;
    struct link_area header;
    uint32_t self;
} area;

#define MEMBER_FIELD(number, field)                                                                                    \
    host_ptr_add(area.base, area.header.members_offset + (uint64_t)(number) * sizeof(struct member_shared) +           \
                                offsetof(struct member_shared, field))

/* count things of `size` bytes from offset on: inside the area, and aligned. */
static bool fits(uint64_t offset, uint64_t count, uint64_t size, uint64_t area_size)
{
    return offset % 64 == 0 && offset >= sizeof(struct link_area) && offset <= area_size &&
           count <= (area_size - offset) / size;
}

const char *link_area_init(host_ptr base, uint64_t size, uint32_t self)
{
    struct link_area h;
    if (base.addr % PAGE_SIZE || size < sizeof(h) || !untrusted_range_ok(base, size))
        return "the address of the link area";
    untrusted_copy_in(&h, base, sizeof(h));
    if (h.magic != LINK_MAGIC)
        return "what the link area is";
    if (h.ring_size < 0x20000 || h.ring_size > 1U << 30 || (h.ring_size & (h.ring_size - 1)))
        return "the size of a link's ring";
    if (self > h.member_max || h.member_max >= h.link_count)
        return "how many members and links there are";
    if (!fits(h.members_offset, h.member_max + 1ULL, sizeof(struct member_shared), size) ||
        !fits(h.links_offset, h.link_count, sizeof(struct link_shared), size) ||
        !fits(h.rings_offset, h.link_count, 2ULL * h.ring_size, size))
        return "where things are in the link area";
    area.base = base;
    area.header = h;
    area.self = self;
    return NULL;
}

bool link_area_present(void)
{
    return area.base.addr != 0;
}

uint32_t link_area_self(void)
{
    return area.self;
}

uint32_t link_area_member_max(void)
{
    return area.header.member_max;
}

uint32_t link_area_link_count(void)
{
    return area.header.link_count;
}

uint32_t link_area_ring_size(void)
{
    return area.header.ring_size;
}

host_ptr link_area_link(uint32_t number)
{
    return host_ptr_add(area.base, area.header.links_offset + (uint64_t)number * sizeof(struct link_shared));
}

host_ptr link_area_ring(uint32_t number, unsigned side)
{
    return host_ptr_add(area.base, area.header.rings_offset + (2ULL * number + side) * area.header.ring_size);
}

host_ptr link_area_frame(uint32_t frame)
{
    return host_ptr_add(area.base, area.header.rings_offset + (uint64_t)frame * PAGE_SIZE);
}

uint32_t link_area_member_state(uint32_t member)
{
    return untrusted_load32(MEMBER_FIELD(member, state));
}

bool host_crowded(void)
{
    return area.base.addr != 0 && untrusted_load32(MEMBER_FIELD(area.self, crowded)) != 0;
}

/*
 * A vCPU that sleeps: of the init enclave rather not the first, which pumps; else the first, which is then interrupted.
 * In a crowd rather the first, so that one thread answers and pumps. Of a member one that has run before: it need not
 * be started.
 */
static uint64_t whom_to_kick(uint32_t number)
{
    for (unsigned i = number == 0 && !host_crowded(); i < MEMBER_VCPU_MAX; i++) {
        if (untrusted_load32(MEMBER_FIELD(number, host_tid[i])) == 0)
            break;
        if (untrusted_load32(MEMBER_FIELD(number, parked[i])) != 0)
            return 1ULL << i;
    }
    return 1;
}

/* Not all that it has are asleep. */
static bool runs(uint32_t number)
{
    for (unsigned i = 0; i < MEMBER_VCPU_MAX && untrusted_load32(MEMBER_FIELD(number, host_tid[i])) != 0; i++)
        if (untrusted_load32(MEMBER_FIELD(number, parked[i])) == 0)
            return true;
    return false;
}

/*
 * The init enclave, while it runs, mostly looks within microseconds, when a task of it begins to wait: to interrupt it
 * would take it longer, and wake another vCPU. Where that was in vain it is tried more rarely.
 */
static bool looks_soon(uint32_t number)
{
    static unsigned vain, skipped;
    if (number != 0 || (vain >= VAIN_MAX && ++skipped % TRY_EVERY != 0) || !runs(number))
        return false;
    uint64_t end = time_monotonic_ns() + SOON_NS;
    do {
        if (untrusted_load32(MEMBER_FIELD(number, polling)) != 0 ||
            untrusted_load32(MEMBER_FIELD(number, attention)) == 0) {
            vain = 0;
            return true;
        }
        __builtin_ia32_pause();
    } while (time_monotonic_ns() < end);
    vain += vain < VAIN_MAX;
    return false;
}

/*
 * Rung already: whoever did that has kicked, or a vCPU polled then, and it will look again before it sleeps. The
 * exchange is a full barrier on both sides: ringer and poller cannot both miss what the other wrote.
 */
bool doorbell_ring(uint32_t number)
{
    if (untrusted_exchange32(MEMBER_FIELD(number, attention), 1) != 0 ||
        untrusted_load32(MEMBER_FIELD(number, polling)) != 0 || looks_soon(number))
        return true;
    hostcall_kick_member(number, whom_to_kick(number));
    return false;
}

bool doorbell_rung(void)
{
    return area.base.addr != 0 && untrusted_load32(MEMBER_FIELD(area.self, attention)) != 0;
}

bool doorbell_take(void)
{
    return doorbell_rung() && untrusted_exchange32(MEMBER_FIELD(area.self, attention), 0) != 0;
}

void doorbell_set_polling(bool polling)
{
    static unsigned pollers;
    unsigned before = polling ? pollers++ : --pollers;
    if (before == 0)
        untrusted_exchange32(MEMBER_FIELD(area.self, polling), polling);
}
