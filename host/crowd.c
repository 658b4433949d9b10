/* How many threads want to run (contract in crowd.h). */
#include "host/crowd.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void crowd_init(struct crowd *crowd)
{
    cpu_set_t set;

    *crowd = (struct crowd){.loadavg = open("/proc/loadavg", O_RDONLY | O_CLOEXEC), .cpus = 1};
    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        crowd->cpus = (unsigned)CPU_COUNT(&set);
}

/* 0.00 0.01 0.05 RUNNABLE/ALL LAST */
unsigned crowd_runnable(const char *text)
{
    for (unsigned spaces = 0; spaces < 3; spaces++) {
        text = strchr(text, ' ');
        if (!text)
            return 0;
        text++;
    }
    return (unsigned)strtoul(text, NULL, 10);
}

static void vote(unsigned *votes, bool yes)
{
    if (yes)
        *votes += *votes < CROWD_LOOKS;
    else
        *votes -= *votes > 0;
}

bool crowd_look(struct crowd *crowd)
{
    char text[64];
    unsigned others;
    ssize_t size = pread(crowd->loadavg, text, sizeof(text) - 1, 0);

    text[size > 0 ? size : 0] = 0;
    others = crowd_runnable(text);
    others -= others > 0; /* this thread is one of them */
    vote(&crowd->looks, others > crowd->cpus);
    vote(&crowd->full, others >= crowd->cpus);
    return crowd->looks > CROWD_LOOKS / 2;
}

bool crowd_is_full(const struct crowd *crowd)
{
    return crowd->full > CROWD_LOOKS / 2;
}
