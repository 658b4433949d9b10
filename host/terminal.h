/* The host's terminal under `run -t`: raw while the container runs, put back at any end. */
#ifndef COFRE_HOST_TERMINAL_H
#define COFRE_HOST_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

/* Put the terminal on `fd` in raw mode, remembering how it was. False if it is none. */
bool terminal_raw(int fd);
/* Put it back as it was. Safe in signal handlers, any number of times, also when never made raw. */
void terminal_restore(void);
/* rows << 16 | columns of the terminal on any of the standard descriptors; 24 x 80 if there is none. */
uint32_t terminal_size(void);

#endif
