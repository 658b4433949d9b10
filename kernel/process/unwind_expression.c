/* DWARF expressions in unwind tables (DWARF 4, 2.5; contract in unwind_internal.h). */
#include "kernel/process/unwind_internal.h"

#define STACK_MAX 16

bool unwind_load(const struct unwind_space *space, uint64_t addr, uint64_t *ret_value)
{
    return addr + 8 > addr && space->read(space->context, addr, ret_value, 8);
}

struct stack {
    uint64_t words[STACK_MAX];
    unsigned count;
    bool bad;
};

static void push(struct stack *s, uint64_t word)
{
    if (s->count < STACK_MAX)
        s->words[s->count++] = word;
    else
        s->bad = true;
}

static uint64_t pop(struct stack *s)
{
    if (s->count > 0)
        return s->words[--s->count];
    s->bad = true;
    return 0;
}

static void binary(struct stack *s, uint8_t op)
{
    uint64_t b = pop(s), a = pop(s);
    switch (op) {
    case 0x1a:
        push(s, a & b);
        break;
    case 0x1c:
        push(s, a - b);
        break;
    case 0x21:
        push(s, a | b);
        break;
    case 0x22:
        push(s, a + b);
        break;
    case 0x24:
        push(s, b < 64 ? a << b : 0);
        break;
    case 0x25:
        push(s, b < 64 ? a >> b : 0);
        break;
    case 0x2a:
        push(s, (int64_t)a >= (int64_t)b);
        break;
    case 0x2b:
        push(s, (int64_t)a > (int64_t)b);
        break;
    case 0x2c:
        push(s, (int64_t)a <= (int64_t)b);
        break;
    case 0x2d:
        push(s, (int64_t)a < (int64_t)b);
        break;
    default:
        s->bad = true;
    }
}

static void constant(struct unwind_cursor *c, struct stack *s, uint8_t op)
{
    switch (op) {
    case 0x08:
        push(s, unwind_get8(c));
        break;
    case 0x09:
        push(s, (uint64_t)(int64_t)(int8_t)unwind_get8(c));
        break;
    case 0x0a:
        push(s, unwind_get16(c));
        break;
    case 0x0b:
        push(s, (uint64_t)(int64_t)(int16_t)unwind_get16(c));
        break;
    case 0x0c:
        push(s, unwind_get32(c));
        break;
    case 0x0d:
        push(s, (uint64_t)(int64_t)(int32_t)unwind_get32(c));
        break;
    case 0x10:
        push(s, unwind_uleb(c));
        break;
    default:
        push(s, (uint64_t)unwind_sleb(c));
    }
}

uint64_t unwind_register(const struct unwind *u, uint64_t number, bool *bad)
{
    if (number < UNWIND_REGISTERS && (u->known & 1U << number))
        return u->registers[number];
    *bad = true;
    return 0;
}

static void deref(struct unwind_cursor *c, struct stack *s)
{
    uint64_t addr = pop(s);
    struct unwind_cursor at = {.space = c->space, .addr = addr, .end = addr + 8 < addr ? addr : addr + 8};
    push(s, unwind_get64(&at));
    if (at.bad)
        s->bad = true;
}

/* The operators that tables of compilers and C libraries use. */
bool unwind_evaluate(const struct unwind_space *space, const struct unwind *u, uint64_t at, const uint64_t *start,
                     uint64_t *ret_value)
{
    struct unwind_cursor c = {.space = space, .addr = at, .end = at + 10 < at ? at : at + 10};
    struct stack s = {0};
    uint64_t size = unwind_uleb(&c);
    c.end = size < 1024 ? c.addr + size : c.addr;
    if (start)
        push(&s, *start);
    while (!c.bad && !s.bad && c.addr < c.end) {
        uint8_t op = unwind_get8(&c);
        if (op >= 0x30 && op <= 0x4f)
            push(&s, op - 0x30U);
        else if (op >= 0x70 && op <= 0x8f)
            push(&s, unwind_register(u, op - 0x70U, &s.bad) + (uint64_t)unwind_sleb(&c));
        else if (op >= 0x08 && op <= 0x11 && op != 0x0e && op != 0x0f)
            constant(&c, &s, op);
        else if (op == 0x06)
            deref(&c, &s);
        else if (op == 0x12)
            push(&s, s.count > 0 ? s.words[s.count - 1] : 0);
        else if (op == 0x23)
            push(&s, pop(&s) + unwind_uleb(&c));
        else
            binary(&s, op);
    }
    *ret_value = pop(&s);
    return !c.bad && !s.bad;
}
