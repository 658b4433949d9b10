/* Boot parameters: copied in whole once, then checked; blobs stay where they are, in untrusted memory. */
#include "kernel/boot/params.h"

#include "abi/hostcall.h"
#include "abi/hostfs.h"
#include "abi/start.h"
#include "abi/stats.h"
#include "abi/volume.h"
#include "kernel/arch/untrusted.h"
#include "kernel/boot/boot.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

#define TEXT_MAX (1u << 20)

static struct boot_params params;
static bool ready;

bool boot_ready(void)
{
    return ready;
}

const struct boot_params *boot_params(void)
{
    return &params;
}

static bool blob_ok(const struct boot_blob *blob, uint64_t alignment, uint64_t min, uint64_t max)
{
    if (blob->size == 0)
        return min == 0;
    return blob->size >= min && blob->size <= max && blob->addr % alignment == 0 &&
           untrusted_range_ok((host_ptr){blob->addr}, blob->size);
}

const char *boot_params_check(const struct boot_params *p, const struct policy *policy)
{
    if (p->magic != BOOT_MAGIC || p->version != BOOT_VERSION || p->size != sizeof(*p))
        return "the boot parameters' version";
    if (p->vcpu_count < 1 || p->vcpu_count > policy->vcpu_max)
        return "the number of vCPUs";
    if (!blob_ok(&p->vcpu_shared, PAGE_SIZE, (uint64_t)p->vcpu_count * VCPU_SHARED_STRIDE, 1UL << 30))
        return "the vCPUs' shared pages";
    if (!blob_ok(&p->arena, PAGE_SIZE, 0, 1UL << 46))
        return "the arena";
    if (!blob_ok(&p->queues, PAGE_SIZE, 0, 1UL << 30))
        return "the queues of a pump";
    if (!blob_ok(&p->root, PAGE_SIZE, 0, 1UL << 46) || p->root.size < policy->root_size)
        return "the root image";
    if (!blob_ok(&p->args, 1, 0, TEXT_MAX) || !blob_ok(&p->env, 1, 0, TEXT_MAX) ||
        !blob_ok(&p->hostname, 1, 0, TEXT_MAX) || !blob_ok(&p->hosts, 1, 0, TEXT_MAX) ||
        !blob_ok(&p->resolv_conf, 1, 0, TEXT_MAX) || !blob_ok(&p->workdir, 1, 0, TEXT_MAX) ||
        !blob_ok(&p->user, 1, 0, TEXT_MAX))
        return "a text of the boot parameters";
    if (p->image_key.size &&
        (policy->root_key_release != POLICY_KEY_FILE || !blob_ok(&p->image_key, 1, IMAGE_KEY_SIZE, IMAGE_KEY_SIZE)))
        return "the image's key";
    if (!blob_ok(&p->cpuid, 8, 0, TEXT_MAX) || p->cpuid.size % sizeof(struct boot_cpuid))
        return "the CPUID table";
    if (!blob_ok(&p->links, PAGE_SIZE, 0, 1UL << 46) || !p->member != !(p->flags & BOOT_MEMBER))
        return "the links";
    if (p->volumes.size % sizeof(struct boot_volume) ||
        !blob_ok(&p->volumes, 8, 0, VOLUME_MAX * sizeof(struct boot_volume)))
        return "the volumes";
    if (!blob_ok(&p->hostfs, PAGE_SIZE, 0, HOSTFS_AREA_SIZE) || (p->hostfs.size && p->hostfs.size != HOSTFS_AREA_SIZE))
        return "the folders";
    if (!blob_ok(&p->marble, 1, 0, MARBLE_IDENTITY_MAX))
        return "the marble's certificate";
    if (!blob_ok(&p->start, 8, 0, sizeof(struct start_area)) ||
        (p->start.size && p->start.size != sizeof(struct start_area)))
        return "the area of the start";
    if (p->stats.size && !blob_ok(&p->stats, 8, sizeof(struct run_stats), 1UL << 20))
        return "the statistics area";
    return NULL;
}

void boot_params_init(uint64_t addr)
{
    untrusted_copy_in(&params, (host_ptr){addr}, sizeof(params));
    const char *lie = boot_params_check(&params, policy());
    if (lie)
        host_lied(lie);
    ready = true;
}

char *boot_blob_copy(const struct boot_blob *blob, size_t max, size_t *ret_size)
{
    *ret_size = 0;
    if (blob->size > max)
        return NULL;
    char *copy = kmalloc(blob->size + 1);
    if (!copy)
        return NULL;
    untrusted_copy_in(copy, (host_ptr){blob->addr}, blob->size);
    copy[blob->size] = '\0';
    *ret_size = blob->size;
    return copy;
}
