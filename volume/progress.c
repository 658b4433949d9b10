/* Progress of the commands that take long: a line on a terminal, unless --quiet. */
#include <unistd.h>

#include "image/progress.h"
#include "volume/tool.h"

static struct progress line;
static uint64_t shown;

void tool_progress_begin(const struct tool_options *options, const char *step, uint64_t total)
{
    progress_init(&line, !options->quiet && isatty(STDERR_FILENO), NULL);
    progress_step(&line, step, total);
    shown = 0;
}

void tool_progress(void *arg, uint64_t done, uint64_t total)
{
    (void)arg;
    line.total = total * VOLUME_BLOCK_SIZE;
    if (done > shown)
        progress_add(&line, (done - shown) * VOLUME_BLOCK_SIZE);
    shown = done;
}

void tool_progress_end(void)
{
    progress_end(&line);
}
