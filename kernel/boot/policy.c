/*
 * The measured policy. It is measured, so it is trusted; it is checked all the same, once and completely, so that no
 * later code has to.
 */
#include <linux/errno.h>

#include "kernel/boot/policy.h"

#include "abi/hostfs.h"
#include "abi/key_release.h"
#include "abi/volume.h"
#include "kernel/boot/boot.h"
#include "kernel/lib/string.h"

#define LIST_MAX 65536

/* Number of strings of `count` that start at offset and end inside the blob. */
static bool strings_ok(const struct policy *p, struct policy_list list)
{
    const char *blob = (const char *)p;
    uint64_t at = list.offset;
    if (list.count > LIST_MAX)
        return false;
    if (list.count && list.offset < sizeof(struct policy))
        return false;
    for (uint32_t i = 0; i < list.count; i++) {
        if (at >= p->size)
            return false;
        size_t length = strnlen(blob + at, p->size - at);
        if (at + length >= p->size)
            return false;
        at += length + 1;
    }
    return true;
}

static bool string_ok(const struct policy *p, uint32_t offset)
{
    return offset == 0 || strings_ok(p, (struct policy_list){offset, 1});
}

static bool array_ok(const struct policy *p, struct policy_list list, size_t item_size)
{
    if (list.count == 0)
        return true;
    return list.count <= LIST_MAX && list.offset >= sizeof(struct policy) && list.offset % 8 == 0 &&
           list.offset + (uint64_t)list.count * item_size <= p->size;
}

static bool encryption_ok(const struct policy *p)
{
    return p->root_cipher == POLICY_CIPHER_NONE
               ? p->root_key_release == POLICY_KEY_NONE
               : p->root_cipher == POLICY_CIPHER_AES_XTS &&
                     (p->root_key_release == POLICY_KEY_FILE || p->root_key_release == POLICY_KEY_SERVER);
}

static bool numbers_ok(const struct policy *p)
{
    uint64_t el = p->elrange_size;
    return (el & (el - 1)) == 0 && el >= ELRANGE_SIZE_MIN && el <= 1UL << 46 && p->memory_size % PAGE_SIZE == 0 &&
           p->kernel_heap_size % PAGE_SIZE == 0 && p->kernel_heap_size <= KHEAP_END - KHEAP_BASE && p->vcpu_max >= 1 &&
           p->vcpu_max <= VCPU_MAX && p->process_max >= 1 && (p->xfrm_low & 3) == 3 && p->root_size % PAGE_SIZE == 0 &&
           p->root_hash_offset % PAGE_SIZE == 0 && p->root_hash_offset >= p->root_size;
}

static bool service_ok(const struct policy *p, const struct policy_service *service)
{
    return string_ok(p, service->address_offset) && service->timeout_ms <= POLICY_SERVICE_TIMEOUT_MAX &&
           strnlen((const char *)p + service->address_offset, POLICY_ADDRESS_MAX) < POLICY_ADDRESS_MAX;
}

/* Of a public key: as many digits as a point on P-256 or P-384 has. */
static bool point_ok(const struct policy *p, uint32_t offset)
{
    if (!offset || !string_ok(p, offset))
        return false;
    const char *digits = (const char *)p + offset;
    size_t length = strlen(digits);
    for (size_t i = 0; i < length; i++)
        if (!(digits[i] >= '0' && digits[i] <= '9') && !(digits[i] >= 'a' && digits[i] <= 'f'))
            return false;
    return length == POLICY_POINT_P256 || length == POLICY_POINT_P384;
}

/* Of a key at the key server: there exactly if it is needed. */
static bool key_name_ok(const struct policy *p, uint32_t offset, bool needed)
{
    return !needed == !offset && string_ok(p, offset) &&
           (!needed || (p->key_server.address_offset && strlen((const char *)p + offset) < KEY_NAME_SIZE));
}

static bool anchor_ok(const struct policy *p)
{
    const struct policy_marble *m = &p->marble;
    if (!service_ok(p, &p->anchor))
        return false;
    if (!m->point_offset)
        return m->key_release == POLICY_KEY_NONE && !m->key_name_offset;
    return p->anchor.address_offset && point_ok(p, m->point_offset) &&
           (m->key_release == POLICY_KEY_FILE || m->key_release == POLICY_KEY_SERVER) &&
           key_name_ok(p, m->key_name_offset, m->key_release == POLICY_KEY_SERVER);
}

static bool volumes_ok(const struct policy *p)
{
    const struct policy_volume *v = (const void *)((const char *)p + p->volumes.offset);
    if (p->volumes.count > VOLUME_MAX || !array_ok(p, p->volumes, sizeof(*v)))
        return false;
    for (uint32_t i = 0; i < p->volumes.count; i++)
        if (!string_ok(p, v[i].name_offset) || !string_ok(p, v[i].path_offset) || !string_ok(p, v[i].recovery_offset) ||
            v[i].key > POLICY_VOLUME_SERVER || v[i].freshness > POLICY_FRESH_OUTPUT ||
            !key_name_ok(p, v[i].key_name_offset, v[i].key == POLICY_VOLUME_SERVER) ||
            (v[i].freshness >= POLICY_FRESH_LAG && p->anchor.address_offset == 0))
            return false;
    return anchor_ok(p);
}

static bool host_folders_ok(const struct policy *p)
{
    const struct policy_host_folder *f = (const void *)((const char *)p + p->host_folders.offset);
    if (p->host_folders.count > HOSTFS_FOLDERS || !array_ok(p, p->host_folders, sizeof(*f)))
        return false;
    for (uint32_t i = 0; i < p->host_folders.count; i++)
        if (!string_ok(p, f[i].path_offset))
            return false;
    return true;
}

static bool commands_ok(const struct policy *p)
{
    const struct policy_command *c = (const void *)((const char *)p + p->exec_commands.offset);
    if (p->exec_commands.count > POLICY_COMMAND_MAX || !array_ok(p, p->exec_commands, sizeof(*c)))
        return false;
    for (uint32_t i = 0; i < p->exec_commands.count; i++)
        if (c[i].arguments.count == 0 || !strings_ok(p, c[i].arguments))
            return false;
    return true;
}

int policy_check(const void *blob, size_t max_size)
{
    const struct policy *p = blob;
    if (max_size < sizeof(*p) || p->magic != POLICY_MAGIC || p->version != POLICY_VERSION || p->size < sizeof(*p) ||
        p->size > max_size)
        return -EINVAL;
    if (!numbers_ok(p) || !encryption_ok(p) || !service_ok(p, &p->key_server) ||
        !key_name_ok(p, p->root_key_name_offset, p->root_key_release == POLICY_KEY_SERVER))
        return -EINVAL;
    if (!strings_ok(p, p->groups) || !strings_ok(p, p->entrypoint) || !strings_ok(p, p->cmd) ||
        !strings_ok(p, p->env) || !strings_ok(p, p->env_allow))
        return -EINVAL;
    if (!string_ok(p, p->workdir_offset) || !string_ok(p, p->hostname_offset) || !string_ok(p, p->user_name_offset))
        return -EINVAL;
    if (!array_ok(p, p->tmpfs, sizeof(struct policy_mount)) || !array_ok(p, p->ports, sizeof(struct policy_port)))
        return -EINVAL;
    const struct policy_mount *mounts = (const void *)((const char *)p + p->tmpfs.offset);
    for (uint32_t i = 0; i < p->tmpfs.count; i++)
        if (!string_ok(p, mounts[i].path_offset))
            return -EINVAL;
    return volumes_ok(p) && host_folders_ok(p) && commands_ok(p) ? 0 : -EINVAL;
}

#ifndef COFRE_HOSTED
const struct policy *policy(void)
{
    return (const struct policy *)POLICY_BASE;
}
#endif

const char *policy_string(struct policy_list list, uint32_t i)
{
    const char *s = (const char *)policy() + list.offset;
    if (i >= list.count)
        return NULL;
    while (i--)
        s += strlen(s) + 1;
    return s;
}

const char *policy_string_at(uint32_t offset)
{
    return offset ? (const char *)policy() + offset : "";
}
