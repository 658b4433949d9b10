/* An anchor in memory, as a coordinator would keep it. */
#ifndef COFRE_TESTS_VOLUME_MEMORY_COUNTER_H
#define COFRE_TESTS_VOLUME_MEMORY_COUNTER_H

#include "kernel/volume/volume.h"

struct counter {
    uint64_t value;
    bool down;               /* nothing arrives: -EIO */
    bool lose_answer;        /* it is raised, and nobody hears of it: -EIO */
    bool raises_only;        /* as MarbleRun's: what is expected does not count */
    unsigned repeat_at;      /* this request, from 1 on, is made twice: its first answer got lost; 0: none is */
    unsigned raises;         /* that changed it */
    void (*hook)(void *arg); /* before a request is served */
    void *hook_arg;
};

struct volume_anchor counter_anchor(struct counter *counter);
uint64_t memory_counter_raise(struct counter *counter, uint64_t expected, uint64_t value); /* what it was before */

#endif
