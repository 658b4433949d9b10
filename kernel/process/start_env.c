/* Variables that the host wants to set (contract in start.h). */
#include "kernel/boot/boot.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/process/start.h"

/* Does the policy let the host set this NAME=VALUE? Entries are names, or prefixes that end in '*'. */
static bool env_allowed(const char *entry)
{
    const char *name;
    size_t name_size = (size_t)(strchr(entry, '=') - entry);
    for (uint32_t i = 0; (name = policy_string(policy()->env_allow, i)) != NULL; i++) {
        size_t size = strlen(name);
        if (size > 0 && name[size - 1] == '*' ? size - 1 <= name_size && strncmp(name, entry, size - 1) == 0
                                              : size == name_size && strncmp(name, entry, size) == 0)
            return true;
    }
    return false;
}

bool start_env_ok(const char *entry, char *text, size_t size)
{
    const char *equals = strchr(entry, '=');
    if (!equals || equals == entry) {
        snprintf(text, size, "environment from the host: \"%.64s\" is not NAME=VALUE", entry);
        return false;
    }
    if (env_allowed(entry))
        return true;
    snprintf(text, size, "the policy does not let the host set environment variable %.*s (env.allow)",
             (int)MIN(equals - entry, 128), entry);
    return false;
}
