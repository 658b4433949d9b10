/* Reading .eh_frame and .eh_frame_hdr: which table describes a function (contract in unwind_internal.h). */
#include "kernel/lib/string.h"
#include "kernel/process/unwind_internal.h"

static void get(struct unwind_cursor *c, void *buf, size_t size)
{
    if (c->bad || c->addr > c->end || size > c->end - c->addr ||
        !c->space->read(c->space->context, c->addr, buf, size)) {
        c->bad = true;
        memset(buf, 0, size);
        return;
    }
    c->addr += size;
}

uint8_t unwind_get8(struct unwind_cursor *c)
{
    uint8_t v;
    get(c, &v, sizeof v);
    return v;
}

uint16_t unwind_get16(struct unwind_cursor *c)
{
    uint16_t v;
    get(c, &v, sizeof v);
    return v;
}

uint32_t unwind_get32(struct unwind_cursor *c)
{
    uint32_t v;
    get(c, &v, sizeof v);
    return v;
}

uint64_t unwind_get64(struct unwind_cursor *c)
{
    uint64_t v;
    get(c, &v, sizeof v);
    return v;
}

static uint64_t get_leb(struct unwind_cursor *c, bool is_signed)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = unwind_get8(c);
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte & 0x80)
            continue;
        if (is_signed && (byte & 0x40) && shift + 7 < 64)
            v |= ~0ULL << (shift + 7);
        return v;
    }
    c->bad = true;
    return 0;
}

uint64_t unwind_uleb(struct unwind_cursor *c)
{
    return get_leb(c, false);
}

int64_t unwind_sleb(struct unwind_cursor *c)
{
    return (int64_t)get_leb(c, true);
}

/* DW_EH_PE_*: absolute or relative to the pointer's own place; others are not met in programs of x86-64. */
uint64_t unwind_get_pointer(struct unwind_cursor *c, uint8_t encoding)
{
    uint64_t from = (encoding & 0x70) == 0x10 ? c->addr : 0, v;
    if ((encoding & 0x70) != 0 && (encoding & 0x70) != 0x10)
        c->bad = true;
    switch (encoding & 0x0f) {
    case 0x00: /* absptr */
    case 0x04: /* udata8 */
    case 0x0c: /* sdata8 */
        v = unwind_get64(c);
        break;
    case 0x02:
        v = unwind_get16(c);
        break;
    case 0x03:
        v = unwind_get32(c);
        break;
    case 0x0a:
        v = (uint64_t)(int64_t)(int16_t)unwind_get16(c);
        break;
    case 0x0b:
        v = (uint64_t)(int64_t)(int32_t)unwind_get32(c);
        break;
    default:
        c->bad = true;
        return 0;
    }
    return from + v;
}

/* A record's length field: [c->addr, c->end) becomes what it holds. */
static void enter_record(struct unwind_cursor *c)
{
    uint64_t size = unwind_get32(c);
    if (size == 0 || size >= 0xfffffff0)
        c->bad = true;
    c->end = c->addr + size;
}

static uint8_t parse_cie(const struct unwind_cursor *from, uint64_t addr, struct unwind_table *t, bool *ret_augmented,
                         bool *ret_bad)
{
    struct unwind_cursor c = {.space = from->space, .addr = addr, .end = addr + 4};
    uint8_t encoding = 0;
    char augmentation[8];
    enter_record(&c);
    uint32_t id = unwind_get32(&c);
    uint8_t version = unwind_get8(&c);
    size_t n = 0;
    while (n < sizeof augmentation - 1 && (augmentation[n] = (char)unwind_get8(&c)) != 0)
        n++;
    augmentation[n] = 0;
    t->code_align = unwind_uleb(&c);
    t->data_align = unwind_sleb(&c);
    t->return_register = version == 1 ? unwind_get8(&c) : (unsigned)unwind_uleb(&c);
    *ret_augmented = augmentation[0] == 'z';
    uint64_t augmentation_size = *ret_augmented ? unwind_uleb(&c) : 0, instructions = c.addr + augmentation_size;
    for (n = *ret_augmented ? 1 : 0; augmentation[n]; n++) {
        if (augmentation[n] == 'R')
            encoding = unwind_get8(&c);
        else if (augmentation[n] == 'L')
            unwind_get8(&c);
        else if (augmentation[n] == 'P')
            unwind_get_pointer(&c, unwind_get8(&c) & 0x7f);
        else if (augmentation[n] == 'S')
            t->signal_frame = true;
        else
            c.bad = true;
    }
    t->initial = instructions;
    t->initial_end = c.end;
    *ret_bad =
        c.bad || id != 0 || (version != 1 && version != 3) || t->return_register != UNWIND_RIP || instructions > c.end;
    return encoding;
}

static bool parse_fde(const struct unwind_space *space, uint64_t addr, struct unwind_table *t)
{
    struct unwind_cursor c = {.space = space, .addr = addr, .end = addr + 4};
    bool augmented, bad;
    enter_record(&c);
    uint64_t id_at = c.addr;
    uint32_t id = unwind_get32(&c);
    if (c.bad || id == 0)
        return false;
    uint8_t encoding = parse_cie(&c, id_at - id, t, &augmented, &bad);
    if (bad)
        return false;
    t->start = unwind_get_pointer(&c, encoding);
    t->size = unwind_get_pointer(&c, encoding & 0x0f);
    if (augmented) {
        uint64_t skip = unwind_uleb(&c);
        if (skip > c.end - c.addr)
            return false;
        c.addr += skip;
    }
    t->program = c.addr;
    t->program_end = c.end;
    return !c.bad;
}

/* The sorted table that follows .eh_frame_hdr: pairs of 4 bytes relative to the header. */
bool unwind_find_table(const struct unwind_space *space, uint64_t pc, struct unwind_table *ret_table)
{
    uint64_t header;
    if (!space->find(space->context, pc, &header))
        return false;
    struct unwind_cursor c = {.space = space, .addr = header, .end = header + 64};
    uint8_t version = unwind_get8(&c), frame_encoding = unwind_get8(&c), count_encoding = unwind_get8(&c),
            table_encoding = unwind_get8(&c);
    unwind_get_pointer(&c, frame_encoding);
    uint64_t low = 0, high = unwind_get_pointer(&c, count_encoding), table = c.addr;
    if (c.bad || version != 1 || table_encoding != 0x3b || high == 0 || high > UINT32_MAX)
        return false;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        struct unwind_cursor entry = {.space = space, .addr = table + 8 * middle, .end = table + 8 * middle + 8};
        uint64_t start = header + (uint64_t)(int64_t)(int32_t)unwind_get32(&entry);
        if (entry.bad)
            return false;
        if (start <= pc)
            low = middle;
        else
            high = middle;
    }
    struct unwind_cursor entry = {.space = space, .addr = table + 8 * low + 4, .end = table + 8 * low + 8};
    uint64_t fde = header + (uint64_t)(int64_t)(int32_t)unwind_get32(&entry);
    memset(ret_table, 0, sizeof *ret_table);
    return !entry.bad && parse_fde(space, fde, ret_table) && pc >= ret_table->start &&
           pc - ret_table->start < ret_table->size;
}
