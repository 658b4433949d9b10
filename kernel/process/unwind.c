/* Running the program of an unwind table, and one step up the stack (contract in unwind.h). */
#include "kernel/process/unwind_internal.h"

#define STATES_MAX 8 /* remembered */
#define NO_REGISTER 255

enum rule_kind {
    RULE_SAME = 0,
    RULE_UNDEFINED,
    RULE_OFFSET,
    RULE_VALUE_OFFSET,
    RULE_REGISTER,
    RULE_EXPRESSION,
    RULE_VALUE_EXPRESSION
};

struct rule {
    uint8_t kind;
    uint64_t value; /* offset, register, or where the expression is */
};

struct state {
    struct rule rules[UNWIND_REGISTERS];
    unsigned cfa_register; /* NO_REGISTER: an expression */
    uint64_t cfa_value;    /* offset, or where the expression is */
};

struct machine {
    const struct unwind_table *table;
    struct state state, initial, remembered[STATES_MAX];
    unsigned remembered_count;
    uint64_t location;
};

static void set_rule(struct unwind_cursor *c, struct machine *m, uint64_t number, enum rule_kind kind, uint64_t value)
{
    if (number < UNWIND_REGISTERS)
        m->state.rules[number] = (struct rule){(uint8_t)kind, value};
    else if (number > 127)
        c->bad = true;
}

static void set_cfa(struct unwind_cursor *c, struct machine *m, uint64_t number, uint64_t value)
{
    if (number >= UNWIND_REGISTERS)
        c->bad = true;
    m->state.cfa_register = (unsigned)number;
    m->state.cfa_value = value;
}

static uint64_t skip_block(struct unwind_cursor *c)
{
    uint64_t at = c->addr, size = unwind_uleb(c);
    if (size > c->end - c->addr)
        c->bad = true;
    else
        c->addr += size;
    return at;
}

static void restore(struct machine *m, uint64_t number)
{
    if (number < UNWIND_REGISTERS)
        m->state.rules[number] = m->initial.rules[number];
}

static void remember(struct unwind_cursor *c, struct machine *m, bool back)
{
    if (!back && m->remembered_count < STATES_MAX)
        m->remembered[m->remembered_count++] = m->state;
    else if (back && m->remembered_count > 0)
        m->state = m->remembered[--m->remembered_count];
    else
        c->bad = true;
}

/* Instructions whose opcode is in the low six bits. */
static void extended(struct unwind_cursor *c, struct machine *m, uint8_t op)
{
    int64_t scale = m->table->data_align;
    uint64_t number;
    switch (op) {
    case 0x00: /* nop */
        break;
    case 0x01: /* set_loc */
        c->bad = true;
        break;
    case 0x02: /* advance_loc1, 2, 4 */
        m->location += unwind_get8(c) * m->table->code_align;
        break;
    case 0x03:
        m->location += unwind_get16(c) * m->table->code_align;
        break;
    case 0x04:
        m->location += unwind_get32(c) * m->table->code_align;
        break;
    case 0x05: /* offset_extended */
        number = unwind_uleb(c);
        set_rule(c, m, number, RULE_OFFSET, unwind_uleb(c) * (uint64_t)scale);
        break;
    case 0x06: /* restore_extended */
        restore(m, unwind_uleb(c));
        break;
    case 0x07: /* undefined */
        set_rule(c, m, unwind_uleb(c), RULE_UNDEFINED, 0);
        break;
    case 0x08: /* same_value */
        set_rule(c, m, unwind_uleb(c), RULE_SAME, 0);
        break;
    case 0x09: /* register */
        number = unwind_uleb(c);
        set_rule(c, m, number, RULE_REGISTER, unwind_uleb(c));
        break;
    case 0x0a: /* remember_state, restore_state */
    case 0x0b:
        remember(c, m, op == 0x0b);
        break;
    case 0x0c: /* def_cfa */
        number = unwind_uleb(c);
        set_cfa(c, m, number, unwind_uleb(c));
        break;
    case 0x0d: /* def_cfa_register */
        set_cfa(c, m, unwind_uleb(c), m->state.cfa_value);
        break;
    case 0x0e: /* def_cfa_offset */
        set_cfa(c, m, m->state.cfa_register, unwind_uleb(c));
        break;
    case 0x0f: /* def_cfa_expression */
        m->state.cfa_register = NO_REGISTER;
        m->state.cfa_value = skip_block(c);
        break;
    case 0x10: /* expression */
        number = unwind_uleb(c);
        set_rule(c, m, number, RULE_EXPRESSION, skip_block(c));
        break;
    case 0x11: /* offset_extended_sf */
        number = unwind_uleb(c);
        set_rule(c, m, number, RULE_OFFSET, (uint64_t)unwind_sleb(c) * (uint64_t)scale);
        break;
    case 0x12: /* def_cfa_sf */
        number = unwind_uleb(c);
        set_cfa(c, m, number, (uint64_t)unwind_sleb(c) * (uint64_t)scale);
        break;
    case 0x13: /* def_cfa_offset_sf */
        set_cfa(c, m, m->state.cfa_register, (uint64_t)unwind_sleb(c) * (uint64_t)scale);
        break;
    case 0x14: /* val_offset */
        number = unwind_uleb(c);
        set_rule(c, m, number, RULE_VALUE_OFFSET, unwind_uleb(c) * (uint64_t)scale);
        break;
    case 0x16: /* val_expression */
        number = unwind_uleb(c);
        set_rule(c, m, number, RULE_VALUE_EXPRESSION, skip_block(c));
        break;
    case 0x2e: /* GNU_args_size */
        unwind_uleb(c);
        break;
    default:
        c->bad = true;
    }
}

/* Runs [addr, end) up to where the code is at pc. */
static bool run(const struct unwind_space *space, struct machine *m, uint64_t addr, uint64_t end, uint64_t pc)
{
    struct unwind_cursor c = {.space = space, .addr = addr, .end = end};
    unsigned steps = 0;
    while (!c.bad && c.addr < c.end && m->location <= pc) {
        if (++steps > UNWIND_STEPS_MAX)
            return false;
        uint8_t op = unwind_get8(&c), low = op & 0x3f;
        if (op >> 6 == 1)
            m->location += low * m->table->code_align;
        else if (op >> 6 == 2)
            set_rule(&c, m, low, RULE_OFFSET, unwind_uleb(&c) * (uint64_t)m->table->data_align);
        else if (op >> 6 == 3)
            restore(m, low);
        else
            extended(&c, m, low);
    }
    return !c.bad;
}

static bool apply(const struct unwind_space *space, const struct unwind *u, const struct rule *rule, uint64_t cfa,
                  unsigned n, uint64_t *ret_value)
{
    bool bad = false;
    uint64_t addr;
    switch (rule->kind) {
    case RULE_SAME:
        *ret_value = unwind_register(u, n, &bad);
        return !bad;
    case RULE_OFFSET:
        return unwind_load(space, cfa + rule->value, ret_value);
    case RULE_VALUE_OFFSET:
        *ret_value = cfa + rule->value;
        return true;
    case RULE_REGISTER:
        *ret_value = unwind_register(u, rule->value, &bad);
        return !bad;
    case RULE_EXPRESSION:
        return unwind_evaluate(space, u, rule->value, &cfa, &addr) && unwind_load(space, addr, ret_value);
    case RULE_VALUE_EXPRESSION:
        return unwind_evaluate(space, u, rule->value, &cfa, ret_value);
    default:
        return false;
    }
}

static bool step_by_table(const struct unwind_space *space, struct unwind *u, const struct unwind_table *table)
{
    struct machine m = {.table = table, .state.cfa_register = NO_REGISTER};
    struct unwind next = {.after_call = !table->signal_frame};
    bool bad = false;
    uint64_t cfa, pc = unwind_pc(u);
    m.location = table->start;
    if (!run(space, &m, table->initial, table->initial_end, UINT64_MAX))
        return false;
    m.initial = m.state;
    m.location = table->start;
    if (!run(space, &m, table->program, table->program_end, pc))
        return false;
    if (m.state.cfa_register != NO_REGISTER)
        cfa = unwind_register(u, m.state.cfa_register, &bad) + m.state.cfa_value;
    else
        bad = m.state.cfa_value == 0 || !unwind_evaluate(space, u, m.state.cfa_value, NULL, &cfa);
    if (bad)
        return false;
    for (unsigned n = 0; n < UNWIND_REGISTERS; n++) {
        if (n == UNWIND_RSP && m.state.rules[n].kind == RULE_SAME) {
            next.registers[n] = cfa;
            next.known |= 1U << n;
        } else if (apply(space, u, &m.state.rules[n], cfa, n, &next.registers[n])) {
            next.known |= 1U << n;
        }
    }
    if (m.state.rules[UNWIND_RIP].kind == RULE_SAME)
        return false; /* a thread's first function */
    *u = next;
    return (next.known & 1U << UNWIND_RIP) && next.registers[UNWIND_RIP] != 0;
}

/* Code without a table (made at run time): the chain of frame pointers, if that is what RBP holds. */
static bool step_by_frame_pointer(const struct unwind_space *space, struct unwind *u)
{
    uint64_t rbp = u->registers[UNWIND_RBP], rsp = u->registers[UNWIND_RSP], saved, rip;
    if (!(u->known & 1U << UNWIND_RBP) || rbp < rsp || (rbp & 7) != 0 || !unwind_load(space, rbp, &saved) ||
        !unwind_load(space, rbp + 8, &rip) || rip == 0)
        return false;
    *u = (struct unwind){.known = 1U << UNWIND_RBP | 1U << UNWIND_RSP | 1U << UNWIND_RIP, .after_call = true};
    u->registers[UNWIND_RBP] = saved;
    u->registers[UNWIND_RSP] = rbp + 16;
    u->registers[UNWIND_RIP] = rip;
    return true;
}

bool unwind_step(const struct unwind_space *space, struct unwind *unwind)
{
    struct unwind_table table;
    uint64_t rsp = unwind->registers[UNWIND_RSP];
    bool moved = unwind_find_table(space, unwind_pc(unwind), &table) ? step_by_table(space, unwind, &table)
                                                                     : step_by_frame_pointer(space, unwind);
    /* A stack goes up; from a signal's own stack to another it may go anywhere. */
    return moved && (unwind->registers[UNWIND_RSP] > rsp || !unwind->after_call);
}
