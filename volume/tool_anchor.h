/* A volume's counter elsewhere, as a tool reaches it: directly, by the options --anchor and what goes with it. */
#ifndef COFRE_VOLUME_TOOL_ANCHOR_H
#define COFRE_VOLUME_TOOL_ANCHOR_H

#include "volume/tool.h"

struct tool_anchor;

/* 0, or an exit code after a message. Connects when it is first asked. */
int tool_anchor_open(const struct tool_options *options, struct tool_anchor **ret_anchor);
/* For struct volume_options; as long as it is open. */
const struct volume_anchor *tool_anchor_volume_anchor(const struct tool_anchor *anchor);
void tool_anchor_close(struct tool_anchor *anchor);

#endif
