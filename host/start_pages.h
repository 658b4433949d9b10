/*
 * What programs touched when they were started before (abi/start.h): lists in files, in $XDG_CACHE_HOME/cofre/start,
 * ~/.cache/cofre/start, or /var/cache/cofre/start for root. There is one for each image and command, and one for each
 * image and program, which is the command's first word. It changes how long a start takes and nothing else, so whatever
 * is wrong with it is passed over in silence.
 */
#ifndef COFRE_HOST_START_PAGES_H
#define COFRE_HOST_START_PAGES_H

#include "abi/start.h"
#include "host/artifacts.h"

/* The area for this start, filled with what is known; NULL: it will be one without. As an engine's entrypoint it is. */
struct start_area *start_pages_open(const struct artifacts *artifacts, const struct run_options *options);
/* At the end, once: what was touched besides is known from now on. */
void start_pages_save(struct start_area *area);

/* In order, each once, as far as they fit: those of `to` (count of them), and then `from`. How many there are then. */
size_t start_pages_merge(uint64_t to[START_PLACES_MAX], size_t count, const uint64_t *from, size_t from_count);

#endif
