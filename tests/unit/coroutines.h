/* Tasks for hosted tests that must run the same way each time: one runs until it gives way. */
#ifndef COFRE_TESTS_COROUTINES_H
#define COFRE_TESTS_COROUTINES_H

#include <stddef.h>

struct coroutine;

struct coroutine *coroutine_new(void (*fn)(void *arg), void *arg);
/* From the program's own stack: run it until it calls coroutine_leave(). */
void coroutine_enter(struct coroutine *coroutine);
/* From within: back to whoever entered. */
void coroutine_leave(void);
/* One that has left for good. */
void coroutine_free(struct coroutine *coroutine);

#endif
