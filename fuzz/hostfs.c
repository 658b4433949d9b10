/*
 * Folders of the host: the input chooses what the program in the container does with files and what the host answers,
 * true or not (tests/unit/hostfs_hostile.h). The kernel goes on or says what the host lied about.
 *
 * fuzz-sources: kernel/fs/attr.c kernel/fs/context.c kernel/fs/dentry.c kernel/fs/fcntl.c kernel/fs/fd.c
 * fuzz-sources: kernel/fs/file.c kernel/fs/inode.c kernel/fs/ioctl.c kernel/fs/locks.c kernel/fs/mount.c
 * fuzz-sources: kernel/fs/names.c kernel/fs/notify.c kernel/fs/open.c kernel/fs/page_map.c kernel/fs/readdir.c
 * fuzz-sources: kernel/fs/rw.c kernel/fs/stat.c kernel/fs/sync.c kernel/fs/tmpfs.c kernel/fs/tmpfs_data.c
 * fuzz-sources: kernel/fs/tmpfs_dir.c kernel/fs/tmpfs_xattr.c kernel/fs/walk.c kernel/fs/xattr.c kernel/mm/uio.c
 * fuzz-sources: kernel/fs/hostfs.c kernel/fs/hostfs_client.c kernel/fs/hostfs_data.c kernel/fs/hostfs_dir.c
 * fuzz-sources: kernel/fs/hostfs_window.c
 * fuzz-sources: tests/unit/no_agents.c tests/unit/hosted.c tests/unit/hosted_heap.c tests/unit/hostfs_hostile.c
 * fuzz-flags: -DCOFRE_HOSTED -include fuzz/kernel_state.h -Itests/unit -w
 */
#include "fresh_kernel.h"

#include <setjmp.h>

#include "hostfs_hostile.h"
#include "input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static jmp_buf lied;

static void on_lie(const char *what)
{
    (void)what;
    longjmp(lied, 1);
}

static struct input in;

static uint32_t choose(uint32_t limit)
{
    return input_choose(&in, limit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fresh_kernel_begin();
    in = (struct input){data, size};
    if (!setjmp(lied)) {
        hostile_init(choose, on_lie);
        for (int i = 0; i < 500 && in.left > 0; i++)
            hostile_step(300);
    }
    fresh_kernel_end();
    return 0;
}
