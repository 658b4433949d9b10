/*
 * The volumes of a container: which of them the policy names, the host gave, opened with which key, mounted where; and
 * their end. What cannot be had ends the container before anything has run, with the reason.
 */
#include <linux/errno.h>
#include <linux/fs.h>

#include "kernel/arch/untrusted.h"
#include "kernel/attestation/key_release.h"
#include "kernel/boot/boot.h"
#include "kernel/boot/refuse.h"
#include "kernel/crypto/secret.h"
#include "kernel/fs/dentry.h"
#include "kernel/fs/volume_anchor.h"
#include "kernel/fs/volume_key.h"
#include "kernel/fs/volume_marble.h"
#include "kernel/fs/volume_populate.h"
#include "kernel/fs/volumefs_upper.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/volume/recovery.h"

#define CACHE_MIN (4UL << 20)
#define CACHE_MAX (64UL << 20)

struct opening {
    const struct policy_volume *policy;
    const char *path, *name;
    struct boot_volume boot;
    unsigned number; /* in the boot parameters */
    struct volume_key_source source;
    uint8_t released[32]; /* by the key server */
    struct volume_local_anchor *local;
    struct volumefs *fs;
    struct super_block *lower; /* it is the root's upper layer, above this */
    bool is_new;
};

static noreturn_fn void refuse_volume(const struct opening *o, int error)
{
    static const struct {
        int error;
        const char *text;
    } known[] = {
        {-EINVAL, "not a volume"},
        {-ENODATA, "cut short: smaller than the volume in it"},
        {-EKEYREVOKED, "its header is older than what it leads to: an old one was put back"},
        {-EOPNOTSUPP, "made by a newer version (its features are not known here)"},
        {-ENOKEY, "no key slot opens for this container: another image or signer made it, or the key is another one"},
        {-EKEYREJECTED, "the header was changed: it does not verify under the key"},
        {-EUCLEAN, "damaged: no checkpoint verifies, or the log is broken in its middle"},
        {-ESTALE, "rolled back: older than what its anchor knows, or sealed by something newer"},
        {-EOWNERDEAD,
         "who took it over last was cut short while it did, or two did at once: it is not known who has the "
         "newest state (cofre volume accept-rollback)"},
        {-EBUSY, "another container has taken it over"},
        {-EHOSTUNREACH, "its anchor does not answer"},
        {-EPROTO, "who answers is not the anchor that the policy names (policy: anchor), or changes what it says"},
        {-EACCES, "its anchor refuses"},
        {-EIO, "the disk cannot be read or written, or what it holds does not verify"},
        {-ENOSPC, "no room"},
        {-ENOMEM, "no memory (policy: kernel_heap)"},
        {-EACCES,
         "a new master key would not be sealed for one of its key slots, whose key is not known here (cofre volume "
         "remove-key, or add it anew later)"},
        {-EADDRINUSE, "it has snapshots: it cannot get a new master key"},
        {-EMEDIUMTYPE,
         "it is the upper layer of another root image (policy: image_update: keep takes it over; or give a "
         "new volume)"},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (known[i].error == error)
            refuse(STATUS_REFUSED, "opening the volume for %s failed: %s", o->path, known[i].text);
    refuse(STATUS_REFUSED, "opening the volume for %s failed: error %d", o->path, -error);
}

static const struct policy_volume *policy_volumes(void)
{
    return (const void *)((const char *)policy() + policy()->volumes.offset);
}

static void boot_volume_read(unsigned number, struct boot_volume *ret_boot)
{
    untrusted_copy_in(ret_boot, (host_ptr){boot_params()->volumes.addr + number * sizeof(*ret_boot)},
                      sizeof(*ret_boot));
    ret_boot->path[sizeof(ret_boot->path) - 1] = 0;
}

static unsigned boot_volume_count(void)
{
    return (unsigned)(boot_params()->volumes.size / sizeof(struct boot_volume));
}

static bool boot_volume_find(struct opening *o)
{
    for (o->number = 0; o->number < boot_volume_count(); o->number++) {
        boot_volume_read(o->number, &o->boot);
        if (strcmp(o->boot.path, o->path) == 0)
            return true;
    }
    return false;
}

/* What the host gave and the policy does not know is not silently left out. */
static void check_all_named(void)
{
    struct boot_volume boot;
    for (unsigned n = 0; n < boot_volume_count(); n++) {
        bool named = false;
        boot_volume_read(n, &boot);
        for (uint32_t i = 0; i < policy()->volumes.count; i++)
            named = named || strcmp(policy_string_at(policy_volumes()[i].path_offset), boot.path) == 0;
        if (!named)
            refuse(STATUS_REFUSED, "the policy has no volume at %s (policy: volumes)", boot.path);
    }
}

/* What volume_format() writes before the headers, which make a volume of it: one that was cut short leaves this. */
static bool left_by_format(unsigned block)
{
    return block == VOLUME_KEY_BLOCK || block == VOLUME_CHECKPOINT_BLOCK + VOLUME_CHECKPOINT_STRIDE;
}

/*
 * Nothing but zeros where a volume has its header, keys and checkpoints, or only one that was being made: it has never
 * been one, since whoever opens one for writing adds a checkpoint. 1 = so, 0 = no.
 */
static int is_empty(const struct volume_io *io)
{
    uint64_t *block = page_alloc();
    int result = 1;
    if (!block)
        return -ENOMEM;
    for (unsigned at = 0; result == 1 && at < VOLUME_FIRST_BLOCK / 2; at++) {
        uint64_t all = 0;
        int error = io->read(io->arg, at, 1, block);
        for (unsigned i = 0; error == 0 && i < VOLUME_BLOCK_SIZE / 8; i++)
            all |= block[i];
        result = error < 0 ? error : all == 0 || left_by_format(at);
    }
    page_free(block);
    return result;
}

static int make_if_empty(struct opening *o)
{
    const struct volume_io *io = &o->fs->disk.io;
    struct volume_key_slot *slot = NULL;
    uint8_t key[32];
    if (!(o->policy->flags & POLICY_VOLUME_CREATE) || io->block_count(io->arg) < VOLUME_BLOCKS_MIN)
        return 0;
    int error = is_empty(io);
    if (error <= 0)
        return error;
    slot = kmalloc(sizeof(*slot));
    error = slot ? volume_key_new(&o->source, slot, key) : -ENOMEM;
    if (error == 0)
        error = volume_format(io, slot, key);
    memory_wipe(key, sizeof(key));
    kfree(slot);
    o->is_new = error == 0;
    return error;
}

static size_t cache_size(const struct policy_volume *policy_volume)
{
    uint64_t share = policy()->kernel_heap_size / 8;
    return policy_volume->cache_size ? policy_volume->cache_size : MIN(MAX(share, CACHE_MIN), CACHE_MAX);
}

static struct volume_remote_anchor *remote_anchor(struct opening *o)
{
    const struct policy_service *service = &policy()->anchor;
    const char *address = policy_string_at(service->address_offset);
    uint64_t timeout_ns = service->timeout_ms * 1000000ULL;
    struct volume_remote_anchor *remote = kmalloc(sizeof(*remote));
    struct marble_counter *marble = NULL;
    if (!remote)
        return NULL;
    if (policy()->marble.point_offset) {
        marble = volume_marble_new(address);
        if (!marble) {
            kfree(remote);
            return NULL;
        }
        volume_marble_anchor_init(remote, &o->fs->disk, address, marble, timeout_ns);
    } else {
        volume_remote_anchor_init(remote, &o->fs->disk, address, service->public_key, timeout_ns);
    }
    return remote;
}

static int anchor_open(struct opening *o, struct volume_options *options)
{
    o->fs->freshness = o->policy->freshness;
    switch (o->policy->freshness) {
    case POLICY_FRESH_NONE:
        return 0;
    case POLICY_FRESH_LOCAL:
        o->local = kmalloc(sizeof(*o->local));
        if (!o->local)
            return -ENOMEM;
        volume_local_anchor_init(o->local, &o->fs->disk,
                                 o->policy->key == POLICY_VOLUME_MRENCLAVE ? SGX_SEAL_MRENCLAVE : SGX_SEAL_MRSIGNER);
        options->freshness = VOLUME_FRESH_LAG;
        options->anchor = &o->local->anchor;
        return 0;
    default:
        o->fs->remote = remote_anchor(o);
        if (!o->fs->remote)
            return -ENOMEM;
        options->freshness = VOLUME_FRESH_CALLER;
        options->anchor = &o->fs->remote->anchor;
        return 0;
    }
}

/* Opening for writing writes: what is for another image is found out before. */
static int check_image(struct opening *o)
{
    struct volume *v;
    const struct volume_options options = {.read_only = true, .cache_size = cache_size(o->policy)};
    int error = volume_mount(&o->fs->disk.io, &options, volume_key_unlock, &o->source, &v);
    if (error < 0)
        return error;
    error = upper_check_image(v, policy()->root_hash);
    volume_abandon(v);
    return error;
}

static bool has_recovery(const struct volume_io *io, const uint8_t recipient[RECOVERY_KEY_SIZE], int *ret_error)
{
    struct volume_key_slot *slots = kmalloc(VOLUME_KEY_COUNT * sizeof(*slots));
    bool found = false;
    *ret_error = slots ? volume_key_list(io, slots) : -ENOMEM;
    for (unsigned i = 0; *ret_error == 0 && i < VOLUME_KEY_COUNT; i++)
        found = found || volume_recovery_is_for(&slots[i], recipient);
    kfree(slots);
    return found;
}

/* The policy's recovery key has a slot, whatever became of the one that was made with the volume. */
static int add_recovery(struct opening *o)
{
    const struct volume_io *io = &o->fs->disk.io;
    uint8_t recipient[RECOVERY_KEY_SIZE], fresh[RECOVERY_KEY_SIZE], key[32];
    int error = volume_recovery_parse(policy_string_at(o->policy->recovery_offset), recipient);
    if (error < 0)
        refuse(STATUS_REFUSED, "the policy's recovery key of the volume for %s is no X25519 public key", o->path);
    if (has_recovery(io, recipient, &error) || error < 0)
        return error;
    struct volume_key_slot *slot = kmalloc(sizeof(*slot));
    if (!slot)
        return -ENOMEM;
    random_bytes(fresh, sizeof(fresh));
    error = volume_recovery_new(recipient, fresh, slot, key);
    if (error == -EINVAL)
        refuse(STATUS_REFUSED, "the policy's recovery key of the volume for %s is no X25519 public key", o->path);
    if (error == 0)
        error = volume_key_add(io, volume_key_unlock, &o->source, slot, key);
    memory_wipe(key, sizeof(key));
    kfree(slot);
    return error;
}

static int open_engine(struct opening *o)
{
    struct volume_options options = {
        .read_only = (o->boot.flags & BOOT_VOLUME_READ_ONLY) || (o->policy->flags & POLICY_VOLUME_READ_ONLY),
        .cache_size = cache_size(o->policy),
    };
    const struct volume_rekey rekey = {.unlock = volume_key_unlock, .arg = &o->source};
    if (o->boot.flags & BOOT_VOLUME_REKEY)
        options.rekey = &rekey;
    int error = anchor_open(o, &options);
    if (error == 0 && !options.read_only)
        error = make_if_empty(o);
    if (error == 0 && o->lower && !o->is_new && !(o->policy->flags & POLICY_VOLUME_KEEP))
        error = check_image(o);
    if (error == 0 && o->policy->recovery_offset && !options.read_only)
        error = add_recovery(o);
    if (error == 0)
        error = volume_mount(&o->fs->disk.io, &options, volume_key_unlock, &o->source, &o->fs->volume);
    if (error < 0)
        return error;
    volumefs_init(o->fs);
    o->fs->held_max = MAX(options.cache_size / PAGE_SIZE, 1UL);
    if (options.read_only)
        o->fs->sb.flags |= MS_RDONLY;
    if (o->lower)
        error = upper_open(o->fs, o->lower, policy()->root_hash, o->policy->flags & POLICY_VOLUME_KEEP);
    else
        error = volumefs_open_root(o->fs);
    return error < 0 ? error : volumefs_start(o->fs);
}

/* A volume that nothing was ever done to gets what the image has in the folder that it covers. */
static int populate(const struct opening *o)
{
    struct dentry *point;
    if (o->lower || (o->fs->sb.flags & MS_RDONLY) || !(o->policy->flags & POLICY_VOLUME_CREATE))
        return 0;
    int error = vfs_lookup(AT_FDCWD_, o->path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &point);
    if (error < 0)
        return error;
    error = volume_populate(o->fs, dentry_inode(point), !(o->policy->flags & POLICY_VOLUME_NO_COPY));
    dentry_put(point);
    return error;
}

/* Where the key comes from: the CPU, the host or the key server. */
static void find_key(struct opening *o)
{
    bool from_server = o->policy->key == POLICY_VOLUME_SERVER;
    o->source = (struct volume_key_source){.key = o->policy->key,
                                           .name = o->name,
                                           .given_key = from_server ? o->released : o->boot.key,
                                           .is_given = from_server || o->boot.key_size == 32};
    if (from_server) {
        char what[320];
        snprintf(what, sizeof(what), "the volume for %s", o->path);
        key_release(what, policy_string_at(o->policy->key_name_offset), o->released, sizeof(o->released));
    }
    if (o->policy->key == POLICY_VOLUME_FILE && !o->source.is_given)
        refuse(STATUS_REFUSED, "the volume for %s has its key in a file (run -v NAME:%s:key=FILE)", o->path, o->path);
}

static void open_volume(struct opening *o)
{
    o->fs = kzalloc(sizeof(*o->fs));
    if (!o->fs)
        refuse_volume(o, -ENOMEM);
    o->fs->path = o->path;
    volume_disk_init(&o->fs->disk, o->number, &o->boot, o->path);
    find_key(o);
    int error = open_engine(o);
    memory_wipe(o->boot.key, sizeof(o->boot.key));
    memory_wipe(o->released, sizeof(o->released));
    if (error == 0)
        error = populate(o);
    if (error < 0)
        refuse_volume(o, error);
    if (o->lower)
        return;
    error = vfs_mount(o->path, &o->fs->sb, o->fs->sb.flags | MS_NOSUID | MS_NODEV);
    if (error < 0)
        refuse(STATUS_REFUSED, "mounting the volume at %s failed: error %d", o->path, -error);
}

static struct opening *opening_new(const struct policy_volume *policy_volume)
{
    struct opening *o = kzalloc(sizeof(*o));
    if (!o)
        panic("no memory to open volumes");
    o->policy = policy_volume;
    o->path = policy_string_at(policy_volume->path_offset);
    o->name = policy_string_at(policy_volume->name_offset);
    return o;
}

static bool is_root(const struct policy_volume *policy_volume)
{
    return strcmp(policy_string_at(policy_volume->path_offset), "/") == 0;
}

static void refuse_missing(const struct opening *o)
{
    if (!(o->policy->flags & POLICY_VOLUME_OPTIONAL))
        refuse(STATUS_REFUSED, "the policy wants a volume at %s (run -v NAME:%s)", o->path, o->path);
}

struct super_block *volumes_root(struct super_block *lower)
{
    struct super_block *sb = NULL;
    for (uint32_t i = 0; !sb && i < policy()->volumes.count; i++) {
        if (!is_root(&policy_volumes()[i]))
            continue;
        struct opening *o = opening_new(&policy_volumes()[i]);
        o->lower = lower;
        if (!boot_volume_find(o)) {
            refuse_missing(o);
        } else if (o->boot.flags & BOOT_VOLUME_READ_ONLY) {
            refuse(STATUS_REFUSED, "the root's upper layer cannot be a read-only volume");
        } else {
            open_volume(o);
            sb = &o->fs->sb;
        }
        kfree(o);
    }
    return sb;
}

void volumes_mount(void)
{
    check_all_named();
    for (uint32_t i = 0; i < policy()->volumes.count; i++) {
        if (is_root(&policy_volumes()[i]))
            continue;
        struct opening *o = opening_new(&policy_volumes()[i]);
        if (boot_volume_find(o)) {
            fs_make_directories(o->path, 0755);
            open_volume(o);
        } else {
            refuse_missing(o);
        }
        kfree(o);
    }
}

bool volumes_unmount(void)
{
    struct mount *mount;
    bool kept = true;
    (void)vfs_sync(); /* also what mappings hold */
    TAILQ_FOREACH (mount, &mounts, link) {
        if (mount->sb->ops && mount->sb->ops->close && mount->sb->ops->close(mount->sb) < 0)
            kept = false;
    }
    return kept;
}
