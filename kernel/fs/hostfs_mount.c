/* Which folders of the host a container has: those that the policy names and the host gave, as far as both allow. */
#include <linux/errno.h>
#include <linux/fs.h>

#include "kernel/boot/boot.h"
#include "kernel/boot/refuse.h"
#include "kernel/fs/hostfs.h"
#include "kernel/lib/string.h"

static const struct boot_folder *given(const char *path, unsigned *ret_number)
{
    for (unsigned i = 0; i < hostfs_folder_count(); i++) {
        if (strcmp(hostfs_folder(i)->path, path) == 0) {
            *ret_number = i;
            return hostfs_folder(i);
        }
    }
    return NULL;
}

static void mount_folder(const char *path, uint32_t flags)
{
    unsigned number;
    const struct boot_folder *folder = given(path, &number);
    if (!folder && (flags & POLICY_FOLDER_OPTIONAL))
        return;
    if (!folder)
        refuse(STATUS_REFUSED, "the policy wants a folder of this machine at %s (run -v FOLDER:%s)", path, path);
    struct hostfs *fs = hostfs_new(number, folder, path);
    if (!fs)
        refuse(STATUS_REFUSED, "mounting the folder for %s failed: no memory, or not a folder", path);
    /* Programs and devices of the host have no business here. */
    unsigned mount_flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (!(flags & POLICY_FOLDER_WRITE) || (fs->sb.flags & MS_RDONLY))
        mount_flags |= MS_RDONLY;
    fs_make_directories(path, 0755);
    int error = vfs_mount(path, &fs->sb, mount_flags);
    if (error < 0)
        refuse(STATUS_REFUSED, "mounting the folder for %s failed: error %d", path, -error);
}

void hostfs_mount_all(void)
{
    const struct policy *p = policy();
    const struct policy_host_folder *f = (const void *)((const char *)p + p->host_folders.offset);
    if (hostfs_client_init(&boot_params()->hostfs))
        hostfs_set_reclaim(hostfs_windows_reclaim);
    for (unsigned i = 0; i < hostfs_folder_count(); i++) {
        bool named = false;
        for (uint32_t k = 0; k < p->host_folders.count; k++)
            named = named || strcmp(policy_string_at(f[k].path_offset), hostfs_folder(i)->path) == 0;
        if (!named)
            refuse(STATUS_REFUSED, "the policy does not let a folder of this machine be at %s (policy: host_folders)",
                   hostfs_folder(i)->path);
    }
    for (uint32_t k = 0; k < p->host_folders.count; k++)
        mount_folder(policy_string_at(f[k].path_offset), f[k].flags);
}
