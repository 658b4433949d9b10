/* Inside of the unwinder: reading tables, finding them, expressions. Everybody else uses kernel/process/unwind.h. */
#ifndef COFRE_KERNEL_PROCESS_UNWIND_INTERNAL_H
#define COFRE_KERNEL_PROCESS_UNWIND_INTERNAL_H

#include "kernel/process/unwind.h"

#define UNWIND_STEPS_MAX 4096 /* of one table's program */

/* Reads that fail make all later ones give 0; `bad` says so. */
struct unwind_cursor {
    const struct unwind_space *space;
    uint64_t addr, end;
    bool bad;
};

uint8_t unwind_get8(struct unwind_cursor *c);
uint16_t unwind_get16(struct unwind_cursor *c);
uint32_t unwind_get32(struct unwind_cursor *c);
uint64_t unwind_get64(struct unwind_cursor *c);
uint64_t unwind_uleb(struct unwind_cursor *c);
int64_t unwind_sleb(struct unwind_cursor *c);
/* DW_EH_PE_*: absolute, or relative to the pointer's own place. */
uint64_t unwind_get_pointer(struct unwind_cursor *c, uint8_t encoding);

/* What the tables say of one function: a frame description entry and its common information entry. */
struct unwind_table {
    uint64_t start, size; /* the code it describes */
    uint64_t code_align;
    int64_t data_align;
    unsigned return_register;
    bool signal_frame;
    uint64_t initial, initial_end, program, program_end; /* instructions */
};

/* The description of the function at pc; false if there is none. */
bool unwind_find_table(const struct unwind_space *space, uint64_t pc, struct unwind_table *ret_table);

bool unwind_load(const struct unwind_space *space, uint64_t addr, uint64_t *ret_value);
uint64_t unwind_register(const struct unwind *u, uint64_t number, bool *bad);
/* The expression whose size is at `at`, with *start (unless NULL) on the stack. */
bool unwind_evaluate(const struct unwind_space *space, const struct unwind *u, uint64_t at, const uint64_t *start,
                     uint64_t *ret_value);

#endif
