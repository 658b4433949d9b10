/* The cost model: what hardware would take, spent by waiting. Cycles of the TSC. */
#include <stdlib.h>
#include <string.h>

#include "host/softsgx/softsgx.h"

/* Published measurements of Ice Lake and later: an exit and entry 8,000 to 12,000 cycles. */
static const struct softsgx_cost hardware = {
    .on = true, .transition = 5000, .aex = 5000, .eaccept = 4000, .eaug = 15000, .page = 8000};

void softsgx_cost_parse(const char *text)
{
    static const struct {
        const char *name;
        size_t offset;
    } fields[] = {
        {"transition=", offsetof(struct softsgx_cost, transition)},
        {"aex=", offsetof(struct softsgx_cost, aex)},
        {"eaccept=", offsetof(struct softsgx_cost, eaccept)},
        {"eaug=", offsetof(struct softsgx_cost, eaug)},
        {"page=", offsetof(struct softsgx_cost, page)},
    };
    bool aex = false, eaug = false;
    softsgx.cost = (struct softsgx_cost){0};
    for (; text && *text; text = strchr(text, ',') ? strchr(text, ',') + 1 : NULL) {
        if (strncmp(text, "hw", 2) == 0) {
            softsgx.cost = hardware;
            aex = eaug = true;
        }
        for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
            size_t length = strlen(fields[i].name);
            if (strncmp(text, fields[i].name, length) != 0)
                continue;
            uint64_t cycles = strtoull(text + length, NULL, 0);
            memcpy((char *)&softsgx.cost + fields[i].offset, &cycles, sizeof(cycles));
            softsgx.cost.on = true;
            aex |= fields[i].offset == offsetof(struct softsgx_cost, aex);
            eaug |= fields[i].offset == offsetof(struct softsgx_cost, eaug);
        }
    }
    /* Not said: an AEX is a transition like any other; EAUG takes an AEX and an ERESUME at least. */
    if (!aex)
        softsgx.cost.aex = softsgx.cost.transition;
    if (!eaug)
        softsgx.cost.eaug = 2 * softsgx.cost.transition;
}

static uint64_t tsc(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return low | (uint64_t)high << 32;
}

void softsgx_cost_spin(uint64_t cycles)
{
    uint64_t start = tsc();
    while (tsc() - start < cycles)
        __asm__ volatile("pause");
}
