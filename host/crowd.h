/* Do more threads want to run on this machine than it has processors? */
#ifndef COFRE_HOST_CROWD_H
#define COFRE_HOST_CROWD_H

#include <stdbool.h>
#include <stddef.h>

struct crowd {
    int loadavg;    /* descriptor of /proc/loadavg, or -1 */
    unsigned cpus;  /* that the process may use */
    unsigned looks; /* how many of the last ones found a crowd, from 0 to CROWD_LOOKS */
    unsigned full;  /* the same of those that found all processors in use */
};
#define CROWD_LOOKS 4

void crowd_init(struct crowd *crowd);
/* One more look, 2 us: true if most of the last ones found more. False where /proc does not say. */
bool crowd_look(struct crowd *crowd);
/* Did most of the last looks find no processor that others left free? */
bool crowd_is_full(const struct crowd *crowd);
/* Threads that are running or want to, as `text` of /proc/loadavg says (proc(5)); 0 if it does not. */
unsigned crowd_runnable(const char *text);

#endif
