/* User and group ids. They belong to the process (all threads), as POSIX has it and libcs arrange. */
#include "kernel/process/credentials.h"

#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/securebits.h>

#include "kernel/lib/string.h"
#include "kernel/mm/uaccess.h"
#include "kernel/syscalls/syscall.h"

/* <linux/stat.h> hides these once a libc header (queue.h) has been seen. */
#define S_ISUID 04000
#define S_ISGID 02000
#define S_IXGRP 00010

#define KEEP UINT32_MAX /* (uid_t)-1: leave as it is */
#define FS_CAPABILITIES                                                                                                \
    (1ULL << CAP_CHOWN | 1ULL << CAP_MKNOD | 1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_DAC_READ_SEARCH |                  \
     1ULL << CAP_FOWNER | 1ULL << CAP_FSETID | 1ULL << CAP_LINUX_IMMUTABLE | 1ULL << CAP_MAC_OVERRIDE)

static struct credentials *self(void)
{
    return &process_self()->credentials;
}

void credentials_init(struct credentials *c, uint32_t uid, uint32_t gid)
{
    memset(c, 0, sizeof *c);
    c->uid = c->euid = c->suid = c->fsuid = uid;
    c->gid = c->egid = c->sgid = c->fsgid = gid;
    c->cap_bounding = CAPABILITIES_DEFAULT;
    if (uid == 0)
        c->cap_permitted = c->cap_effective = CAPABILITIES_DEFAULT;
}

static void exec_capabilities(struct credentials *c, bool *changed)
{
    uint64_t file_permitted = 0, ambient = c->cap_ambient;
    bool effective = false;
    if (!(c->securebits & SECBIT_NOROOT) && (c->uid == 0 || c->euid == 0)) {
        file_permitted = CAPABILITIES_ALL;
        effective = c->euid == 0;
        if (c->uid != 0)
            *changed = true;
    }
    if (*changed)
        ambient = 0;
    c->cap_ambient = ambient;
    c->cap_permitted = (file_permitted & (c->cap_bounding | c->cap_inheritable)) | ambient;
    c->cap_effective = effective ? c->cap_permitted : ambient;
    c->keep_capabilities = false;
    c->securebits &= ~(uint32_t)SECBIT_KEEP_CAPS;
}

void credentials_exec(struct credentials *c, uint32_t mode, uint32_t owner, uint32_t group, bool no_new_privs,
                      bool *ret_secure)
{
    bool changed = false;
    if (!no_new_privs && (mode & S_ISUID)) {
        changed |= owner != c->euid;
        c->euid = owner;
    }
    if (!no_new_privs && (mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP)) {
        changed |= group != c->egid;
        c->egid = group;
    }
    exec_capabilities(c, &changed);
    c->suid = c->fsuid = c->euid;
    c->sgid = c->fsgid = c->egid;
    *ret_secure = changed || c->uid != c->euid || c->gid != c->egid;
}

/* After a change of user ids: what root was, what is left (cap_emulate_setxuid). */
static void fix_capabilities(struct credentials *c, const struct credentials *old)
{
    if (c->securebits & SECBIT_NO_SETUID_FIXUP)
        return;
    bool was_root = old->uid == 0 || old->euid == 0 || old->suid == 0;
    bool is_root = c->uid == 0 || c->euid == 0 || c->suid == 0;
    if (was_root && !is_root) {
        if (!c->keep_capabilities) {
            c->cap_permitted = 0;
            c->cap_effective = 0;
        }
        c->cap_ambient = 0;
    }
    if (old->euid == 0 && c->euid != 0)
        c->cap_effective = 0;
    if (old->euid != 0 && c->euid == 0)
        c->cap_effective = c->cap_permitted;
}

/* Who becomes somebody else is not looked into any more, nor sent PR_SET_PDEATHSIG. */
static void fix_process(const struct credentials *c, const struct credentials *old)
{
    if (c->euid != old->euid || c->egid != old->egid || c->fsuid != old->fsuid || c->fsgid != old->fsgid) {
        process_self()->dumpable = 0;
        process_self()->pdeath_signal = 0;
    }
}

static int64_t commit(const struct credentials *new)
{
    struct credentials old = *self();
    *self() = *new;
    fix_capabilities(self(), &old);
    fix_process(self(), &old);
    return 0;
}

SYSCALL_DEFINE0(getuid)
{
    return self()->uid;
}
SYSCALL_DEFINE0(geteuid)
{
    return self()->euid;
}
SYSCALL_DEFINE0(getgid)
{
    return self()->gid;
}
SYSCALL_DEFINE0(getegid)
{
    return self()->egid;
}

SYSCALL_DEFINE1(setuid, uint32_t, uid)
{
    struct credentials c = *self();
    if (uid == KEEP)
        return -EINVAL;
    if (process_capable(CAP_SETUID))
        c.uid = c.suid = uid;
    else if (uid != c.uid && uid != c.suid)
        return -EPERM;
    c.euid = c.fsuid = uid;
    return commit(&c);
}

SYSCALL_DEFINE1(setgid, uint32_t, gid)
{
    struct credentials c = *self();
    if (gid == KEEP)
        return -EINVAL;
    if (process_capable(CAP_SETGID))
        c.gid = c.sgid = gid;
    else if (gid != c.gid && gid != c.sgid)
        return -EPERM;
    c.egid = c.fsgid = gid;
    return commit(&c);
}

SYSCALL_DEFINE2(setreuid, uint32_t, ruid, uint32_t, euid)
{
    struct credentials c = *self(), old = c;
    bool may = process_capable(CAP_SETUID);
    if (ruid != KEEP) {
        if (!may && ruid != old.uid && ruid != old.euid)
            return -EPERM;
        c.uid = ruid;
    }
    if (euid != KEEP) {
        if (!may && euid != old.uid && euid != old.euid && euid != old.suid)
            return -EPERM;
        c.euid = euid;
    }
    if (ruid != KEEP || (euid != KEEP && euid != old.uid))
        c.suid = c.euid;
    c.fsuid = c.euid;
    return commit(&c);
}

SYSCALL_DEFINE2(setregid, uint32_t, rgid, uint32_t, egid)
{
    struct credentials c = *self(), old = c;
    bool may = process_capable(CAP_SETGID);
    if (rgid != KEEP) {
        if (!may && rgid != old.gid && rgid != old.egid)
            return -EPERM;
        c.gid = rgid;
    }
    if (egid != KEEP) {
        if (!may && egid != old.gid && egid != old.egid && egid != old.sgid)
            return -EPERM;
        c.egid = egid;
    }
    if (rgid != KEEP || (egid != KEEP && egid != old.gid))
        c.sgid = c.egid;
    c.fsgid = c.egid;
    return commit(&c);
}

static bool one_of(uint32_t id, uint32_t a, uint32_t b, uint32_t c)
{
    return id == KEEP || id == a || id == b || id == c;
}

SYSCALL_DEFINE3(setresuid, uint32_t, ruid, uint32_t, euid, uint32_t, suid)
{
    struct credentials c = *self(), old = c;
    if (!process_capable(CAP_SETUID) &&
        !(one_of(ruid, old.uid, old.euid, old.suid) && one_of(euid, old.uid, old.euid, old.suid) &&
          one_of(suid, old.uid, old.euid, old.suid)))
        return -EPERM;
    c.uid = ruid != KEEP ? ruid : old.uid;
    c.euid = euid != KEEP ? euid : old.euid;
    c.suid = suid != KEEP ? suid : old.suid;
    c.fsuid = c.euid;
    return commit(&c);
}

SYSCALL_DEFINE3(setresgid, uint32_t, rgid, uint32_t, egid, uint32_t, sgid)
{
    struct credentials c = *self(), old = c;
    if (!process_capable(CAP_SETGID) &&
        !(one_of(rgid, old.gid, old.egid, old.sgid) && one_of(egid, old.gid, old.egid, old.sgid) &&
          one_of(sgid, old.gid, old.egid, old.sgid)))
        return -EPERM;
    c.gid = rgid != KEEP ? rgid : old.gid;
    c.egid = egid != KEEP ? egid : old.egid;
    c.sgid = sgid != KEEP ? sgid : old.sgid;
    c.fsgid = c.egid;
    return commit(&c);
}

static int64_t put_three(const uint32_t values[3], uaddr_t a, uaddr_t b, uaddr_t c)
{
    if (put_user32(a, values[0]) < 0 || put_user32(b, values[1]) < 0 || put_user32(c, values[2]) < 0)
        return -EFAULT;
    return 0;
}

SYSCALL_DEFINE3(getresuid, uaddr_t, ruid, uaddr_t, euid, uaddr_t, suid)
{
    uint32_t values[3] = {self()->uid, self()->euid, self()->suid};
    return put_three(values, ruid, euid, suid);
}

SYSCALL_DEFINE3(getresgid, uaddr_t, rgid, uaddr_t, egid, uaddr_t, sgid)
{
    uint32_t values[3] = {self()->gid, self()->egid, self()->sgid};
    return put_three(values, rgid, egid, sgid);
}

/* Returns the old id whatever happens. */
SYSCALL_DEFINE1(setfsuid, uint32_t, uid)
{
    struct credentials *c = self(), before = *c;
    uint32_t old = c->fsuid;
    if (uid == KEEP || !(process_capable(CAP_SETUID) || one_of(uid, c->uid, c->euid, c->suid) || uid == old))
        return old;
    c->fsuid = uid;
    if (!(c->securebits & SECBIT_NO_SETUID_FIXUP)) {
        if (old == 0 && uid != 0)
            c->cap_effective &= ~FS_CAPABILITIES;
        if (old != 0 && uid == 0)
            c->cap_effective |= c->cap_permitted & FS_CAPABILITIES;
    }
    fix_process(c, &before);
    return old;
}

SYSCALL_DEFINE1(setfsgid, uint32_t, gid)
{
    struct credentials *c = self(), before = *c;
    uint32_t old = c->fsgid;
    if (gid != KEEP && (process_capable(CAP_SETGID) || one_of(gid, c->gid, c->egid, c->sgid) || gid == old))
        c->fsgid = gid;
    fix_process(c, &before);
    return old;
}

SYSCALL_DEFINE2(getgroups, int, count, uaddr_t, user_groups)
{
    const struct credentials *c = self();
    if (count < 0)
        return -EINVAL;
    if (count == 0)
        return (int64_t)c->group_count;
    if ((size_t)count < c->group_count)
        return -EINVAL;
    if (copy_to_user(user_groups, c->groups, c->group_count * sizeof c->groups[0]) < 0)
        return -EFAULT;
    return (int64_t)c->group_count;
}

SYSCALL_DEFINE2(setgroups, int, count, uaddr_t, user_groups)
{
    uint32_t groups[NGROUPS_MAX_COFRE];
    if (!process_capable(CAP_SETGID))
        return -EPERM;
    if (count < 0 || count > NGROUPS_MAX_COFRE)
        return -EINVAL;
    if (copy_from_user(groups, user_groups, (size_t)count * sizeof groups[0]) < 0)
        return -EFAULT;
    memcpy(self()->groups, groups, (size_t)count * sizeof groups[0]);
    self()->group_count = (size_t)count;
    return 0;
}
