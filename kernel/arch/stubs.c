/*
 * Stub areas and the code in them:
 *
 *   before the call:  <displaced instruction>        after it:  lea back(%rip), %rcx
 *                     lea site_end(%rip), %rcx                   jmp *%gs:VCPU_SYSCALL_ENTRY
 *                     jmp *%gs:VCPU_SYSCALL_ENTRY                syscall          (for restarts only)
 *                                                          back: <displaced compare>
 *                                                                jmp site_end
 *
 * %rcx is dead after a real syscall, so the stub may use it.
 */
#include "kernel/arch/stubs.h"

#include <linux/errno.h>

#include "kernel/arch/offsets.h"
#include "kernel/lib/stream.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/mm.h"

#define AREAS_MAX 256
#define SLOTS_MAX 0x10000
#define STRADDLED_MAX 64
#define REACH ((1L << 31) - 0x20000)
#define LEA_SIZE 7
#define JMP_GS_SIZE 8

struct slot {
    uaddr_t site; /* 0 = free */
    uint8_t site_size, before_size, after_size;
    bool syscall_kept;
};

struct area {
    uaddr_t base;
    size_t slot_count, used, next_free; /* no slot below next_free is free */
    struct slot *slots;
};

static struct area areas[AREAS_MAX];
static size_t area_count;

/* Boundaries between pages that sites lie across: few. Once noted they stay; there may be more than have room. */
static uaddr_t straddled[STRADDLED_MAX];
static size_t straddled_count;

static bool in_reach(const struct area *area, uaddr_t site)
{
    int64_t distance = (int64_t)(area->base - site);
    return distance < REACH && distance > -REACH;
}

static struct area *area_new(uaddr_t near)
{
    size_t size;
    if (area_count == AREAS_MAX)
        return NULL;
    uaddr_t base = mm_stub_area(near, &size);
    if (!base)
        return NULL;
    struct area *area = &areas[area_count];
    *area = (struct area){.base = base, .slot_count = size / STUB_SIZE};
    area->slots = kzalloc(area->slot_count * sizeof(*area->slots));
    if (!area->slots)
        return NULL;
    memset((void *)base, 0xcc, size);
    area_count++;
    return in_reach(area, near) ? area : NULL;
}

static struct area *area_with_room(uaddr_t site)
{
    for (size_t i = 0; i < area_count; i++)
        if (areas[i].used < areas[i].slot_count && in_reach(&areas[i], site))
            return &areas[i];
    return area_new(site);
}

static uint8_t *put(uint8_t *p, const void *bytes, size_t size)
{
    memcpy(p, bytes, size);
    return p + size;
}

static uint8_t *put_relative(uint8_t *p, uaddr_t end, uaddr_t target)
{
    int32_t distance = (int32_t)(target - end);
    return put(p, &distance, sizeof(distance));
}

static void stub_write(uaddr_t stub, const struct stub_request *r)
{
    static const uint8_t lea_rcx[] = {0x48, 0x8d, 0x0d};
    static const uint8_t jmp_gs[JMP_GS_SIZE] = {0x65, 0xff, 0x24, 0x25, VCPU_SYSCALL_ENTRY, 0, 0, 0};
    static const uint8_t syscall[] = {0x0f, 0x05};
    uint8_t code[STUB_SIZE], *p = code;
    uaddr_t back = stub + LEA_SIZE + JMP_GS_SIZE + sizeof(syscall);

    memset(code, 0xcc, sizeof(code));
    p = put(p, r->before, r->before_size);
    if (r->relative) { /* the same target from another place */
        int32_t distance;
        memcpy(&distance, code + r->relative, sizeof(distance));
        distance -= (int32_t)(stub - r->site);
        memcpy(code + r->relative, &distance, sizeof(distance));
    }
    p = put(p, lea_rcx, sizeof(lea_rcx));
    p = put_relative(p, stub + r->before_size + LEA_SIZE, r->after_size ? back : r->return_addr);
    p = put(p, jmp_gs, sizeof(jmp_gs));
    if (r->after_size) {
        p = put(p, syscall, sizeof(syscall));
        p = put(p, r->after, r->after_size);
        *p++ = 0xe9;
        put_relative(p, back + r->after_size + 5, r->return_addr);
    }
    memcpy((void *)stub, code, sizeof(code));
}

/* A moved displacement must still reach its target. */
static bool relative_in_reach(const struct stub_request *r, uaddr_t stub)
{
    int32_t distance;
    if (!r->relative)
        return true;
    memcpy(&distance, r->before + r->relative, sizeof(distance));
    int64_t moved = distance - (int64_t)(stub - r->site);
    return moved == (int32_t)moved;
}

static void note_straddling(const struct slot *slot)
{
    uaddr_t boundary = ALIGN_DOWN(slot->site + slot->site_size - 1, PAGE_SIZE);
    if (boundary <= slot->site || stubs_straddle(boundary))
        return;
    if (straddled_count < STRADDLED_MAX)
        straddled[straddled_count] = boundary;
    straddled_count++;
}

bool stubs_straddle(uaddr_t boundary)
{
    for (size_t i = 0; i < MIN(straddled_count, (size_t)STRADDLED_MAX); i++)
        if (straddled[i] == boundary)
            return true;
    return straddled_count > STRADDLED_MAX;
}

uaddr_t stub_new(const struct stub_request *r)
{
    struct area *area = area_with_room(r->site);
    if (!area || !relative_in_reach(r, area->base) || !relative_in_reach(r, area->base + area->slot_count * STUB_SIZE))
        return 0;
    size_t i = area->next_free;
    while (area->slots[i].site)
        i++;
    area->slots[i] =
        (struct slot){r->site, (uint8_t)r->site_size, (uint8_t)r->before_size, (uint8_t)r->after_size, r->syscall_kept};
    area->next_free = i + 1;
    area->used++;
    note_straddling(&area->slots[i]);
    uaddr_t stub = area->base + i * STUB_SIZE;
    stub_write(stub, r);
    return stub;
}

bool stub_find(uaddr_t addr, struct stub_place *ret_place)
{
    for (size_t i = 0; i < area_count; i++) {
        const struct area *area = &areas[i];
        if (addr < area->base || addr >= area->base + area->slot_count * STUB_SIZE)
            continue;
        size_t offset = (addr - area->base) % STUB_SIZE, back = LEA_SIZE + JMP_GS_SIZE + 2;
        const struct slot *slot = &area->slots[(addr - area->base) / STUB_SIZE];
        if (!slot->site)
            return false;
        *ret_place = (struct stub_place){.site = slot->site, .site_size = slot->site_size, .resume = slot->site};
        /* what stands between the replaced mov and the kept syscall is still there */
        if (slot->syscall_kept && offset >= slot->site_size)
            ret_place->resume += MIN(offset, slot->before_size);
        if (slot->after_size && offset >= back) {
            ret_place->progress = offset == back ? STUB_AFTER_CALL : STUB_DONE;
            memcpy(ret_place->after, (const uint8_t *)(addr - offset + back), slot->after_size);
        }
        return true;
    }
    return false;
}

static void slot_free(struct area *area, size_t i)
{
    area->slots[i] = (struct slot){0};
    area->used--;
    area->next_free = MIN(area->next_free, i);
}

void stubs_forget(uaddr_t start, size_t size)
{
    for (size_t i = 0; i < area_count; i++) {
        struct area *area = &areas[i];
        if (area->base >= start && area->base - start < size) {
            kfree(area->slots);
            *area = areas[--area_count];
            i--;
            continue;
        }
        for (size_t s = 0; s < area->slot_count && area->used; s++) {
            const struct slot *slot = &area->slots[s];
            if (slot->site && slot->site >= start && slot->site - start < size)
                slot_free(area, s);
        }
    }
}

void stubs_forget_if(bool (*gone)(uaddr_t site))
{
    for (size_t i = 0; i < area_count; i++)
        for (size_t s = 0; s < areas[i].slot_count && areas[i].used; s++)
            if (areas[i].slots[s].site && gone(areas[i].slots[s].site))
                slot_free(&areas[i], s);
}

/* ---- images ---- */

struct saved_area {
    uint64_t base, slot_count;
};

static int area_save(struct stream *stream, const struct area *area)
{
    /* Slots may be filled while this sleeps, so the reader counts them. */
    const struct saved_area saved = {.base = area->base, .slot_count = area->slot_count};
    int r = stream_write(stream, &saved, sizeof(saved));
    return r < 0 ? r : stream_write(stream, area->slots, area->slot_count * sizeof(*area->slots));
}

int stubs_save(struct stream *stream, bool any)
{
    uint64_t count = any ? area_count : 0;
    int r = stream_write(stream, &count, sizeof(count));
    for (uint64_t i = 0; i < count && r == 0; i++)
        r = area_save(stream, &areas[i]);
    return r;
}

static bool slot_ok(const struct slot *slot)
{
    return *(const uint8_t *)&slot->syscall_kept <= 1 && slot->before_size <= STUB_BEFORE_MAX &&
           slot->after_size <= sizeof(((struct stub_place *)0)->after) &&
           (!slot->site || mm_range_ok(slot->site, slot->site_size));
}

/* Counts what is used, too, and notes what straddles. */
static bool slots_ok(struct area *area)
{
    area->used = 0;
    area->next_free = area->slot_count;
    for (size_t i = area->slot_count; i-- > 0;) {
        if (!slot_ok(&area->slots[i]))
            return false;
        if (!area->slots[i].site) {
            area->next_free = i;
            continue;
        }
        area->used++;
        note_straddling(&area->slots[i]);
    }
    return true;
}

static int area_load(struct stream *stream)
{
    struct saved_area saved;
    int r = stream_read(stream, &saved, sizeof(saved));
    if (r < 0)
        return r;
    if (area_count == AREAS_MAX || saved.slot_count == 0 || saved.slot_count > SLOTS_MAX || saved.base % STUB_SIZE ||
        !mm_range_ok(saved.base, saved.slot_count * STUB_SIZE))
        return -EPROTO;
    struct area *area = &areas[area_count];
    *area = (struct area){.base = saved.base, .slot_count = saved.slot_count};
    area->slots = kzalloc(area->slot_count * sizeof(*area->slots));
    if (!area->slots)
        return -ENOMEM;
    area_count++;
    r = stream_read(stream, area->slots, area->slot_count * sizeof(*area->slots));
    return r == 0 && !slots_ok(area) ? -EPROTO : r;
}

int stubs_load(struct stream *stream)
{
    uint64_t count;
    int r = stream_read(stream, &count, sizeof(count));
    if (r == 0 && count > AREAS_MAX)
        r = -EPROTO;
    for (uint64_t i = 0; r == 0 && i < count; i++)
        r = area_load(stream);
    return r;
}
