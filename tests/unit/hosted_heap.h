/* The kernel's heap and pages made of the C library's: they are counted, and can fail. */
#ifndef COFRE_TESTS_HOSTED_HEAP_H
#define COFRE_TESTS_HOSTED_HEAP_H

#include <stdbool.h>
#include <stdint.h>

/* The n-th kernel allocation from now on fails, once (1 = the next); 0 = none. */
void hosted_fail_alloc(unsigned long n);
bool hosted_alloc_failed(void);        /* since hosted_fail_alloc */
long hosted_alloc_live(void);          /* allocations not freed yet */
extern uint64_t hosted_room_for_files; /* what kmalloc_room_for_files() says */

#endif
