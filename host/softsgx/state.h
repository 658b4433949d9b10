/* Where softsgx keeps what stands for this machine: $XDG_STATE_HOME/cofre, /var/lib/cofre for root, or
 * ~/.local/state/cofre. */
#ifndef COFRE_HOST_SOFTSGX_STATE_H
#define COFRE_HOST_SOFTSGX_STATE_H

#include <stdbool.h>
#include <stddef.h>

/* The path of NAME in the state folder; the folder is made if it can be. False if there is no place for one. */
bool softsgx_state_path(const char *name, char *ret_path, size_t size);

#endif
