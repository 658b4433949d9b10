/* rekey: a new master key, and all that is in the volume under it. What was begun and killed is gone on with. */
#include <errno.h>
#include <stdio.h>

#include "cli/command.h"
#include "volume/tool.h"

#define STEP 256 /* blocks */

static int rekey_all(struct tool_options *options, struct volume *v)
{
    struct volume_info info;
    uint64_t done = 0;
    int more = 1;
    volume_get_info(v, &info);
    tool_progress_begin(options, "encrypting anew", 0);
    for (; more == 1; done += STEP) {
        tool_progress(NULL, done < info.used_count ? done : info.used_count, info.used_count);
        more = volume_rekey_step(v, STEP);
    }
    tool_progress_end();
    return more;
}

int volume_cmd_rekey(struct tool_options *options, char **operands)
{
    const struct volume_rekey rekey = {.unlock = tool_unlock, .arg = options, .drop = options->force};
    const struct volume_options mount = {.rekey = &rekey};
    struct volume_file file;
    struct volume *v;
    int code = tool_mount_writing(&file, operands[0], options, &mount, &v);
    if (code != 0)
        return code;
    int err = rekey_all(options, v);
    int end = volume_unmount(v);
    volume_file_close(&file);
    err = err < 0 ? err : end;
    return err < 0 ? tool_failed_doing("replacing the key of", operands[0], err) : 0;
}
