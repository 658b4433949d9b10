/*
 * The line between a volume and its counter elsewhere (VOLUME_ANCHOR_EXCHANGE in abi/volume.h): host/line.h with a
 * thread of its own.
 */
#ifndef COFRE_HOST_ANCHOR_LINE_H
#define COFRE_HOST_ANCHOR_LINE_H

#include "abi/volume.h"

struct anchor_line;

/*
 * A line to address ("1.2.3.4:PORT" or "[::1]:PORT") with a thread of its own; NULL: it is none, or there is no memory.
 * An exchange may take timeout_ms. The messages are in shared, which stays; `answered` is called by the thread after
 * each exchange. Both live until the process ends. `volume` is for messages.
 */
struct anchor_line *anchor_line_start(const char *volume, const char *address, unsigned timeout_ms,
                                      struct volume_shared *shared, void (*answered)(void *arg), void *arg);
/* Begin an exchange of size bytes; flags: enum volume_anchor_flags. One at a time. 0 or -EINVAL. Any thread. */
int anchor_line_exchange(struct anchor_line *line, uint64_t size, uint64_t flags);

#endif
