/*
 * The kernel's checks of a policy and of boot parameters: input = a policy, then a struct boot_params. What passes is
 * walked as the kernel walks it.
 * fuzz-sources: kernel/boot/policy.c kernel/boot/params.c kernel/boot/cpuid.c
 * fuzz-flags: -DCOFRE_HOSTED
 */
#include <stdlib.h>
#include <string.h>

#include "kernel/boot/boot.h"
#include "kernel/boot/params.h"
#include "kernel/boot/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

uint64_t elrange_end = ELRANGE_SIZE_MIN;
static struct policy *checked;

const struct policy *policy(void)
{
    return checked;
}

bool untrusted_range_ok(host_ptr p, uint64_t size);
bool untrusted_range_ok(host_ptr p, uint64_t size)
{
    uint64_t end;
    return p.addr >= elrange_end && !__builtin_add_overflow(p.addr, size, &end) && end <= 1UL << 47;
}

void untrusted_copy_in(void *dst, host_ptr src, size_t size);
void untrusted_copy_in(void *dst, host_ptr src, size_t size)
{
    (void)src;
    memset(dst, 0, size);
}

void host_lied(const char *what);
void host_lied(const char *what)
{
    (void)what;
    abort();
}

void *kmalloc(size_t size);
void *kmalloc(size_t size)
{
    return malloc(size);
}

uint64_t xcr0_read(void);
uint64_t xcr0_read(void)
{
    return 0xe7;
}
void vector_init(uint64_t features, uint32_t size, bool xgetbv1);
void vector_init(uint64_t features, uint32_t size, bool xgetbv1)
{
    (void)features;
    (void)size;
    (void)xgetbv1;
}

static size_t walk(struct policy_list list)
{
    size_t total = 0;
    const char *s;
    for (uint32_t i = 0; (s = policy_string(list, i)); i++)
        total += strlen(s);
    return total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct boot_params params = {0};
    volatile size_t total = 0;
    checked = aligned_alloc(8, (size + 15) & ~7UL);
    if (!checked)
        return 0;
    memcpy(checked, data, size);
    if (policy_check(checked, size) == 0) {
        total += walk(checked->groups) + walk(checked->entrypoint) + walk(checked->cmd) + walk(checked->env) +
                 walk(checked->env_allow);
        total += strlen(policy_string_at(checked->workdir_offset)) + strlen(policy_string_at(checked->hostname_offset));
        const struct policy_mount *mounts = (const void *)((const char *)checked + checked->tmpfs.offset);
        for (uint32_t i = 0; i < checked->tmpfs.count; i++)
            total += strlen(policy_string_at(mounts[i].path_offset)) + mounts[i].mode;
        /* As long as there are bytes, so that seeds stay good when fields are added. */
        memcpy(&params, data + checked->size, MIN(size - checked->size, sizeof(params)));
        params.size = sizeof(params);
        total += boot_params_check(&params, checked) != NULL;
    }
    free(checked);
    return 0;
}
