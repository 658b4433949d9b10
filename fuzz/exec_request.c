/*
 * What the host asks for by `cofre exec`: input = a byte of policy flags, then a request. What is let through is what
 * the policy says.
 *
 * fuzz-sources: kernel/command/request.c kernel/process/start_env.c kernel/boot/policy.c
 * fuzz-flags: -DCOFRE_HOSTED
 */
#include <stdlib.h>
#include <string.h>

#include "kernel/boot/boot.h"
#include "kernel/command/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

uint64_t elrange_end = ELRANGE_SIZE_MIN;

/* Two commands, "ping me" and "list" with more; variables "A" and "B..." */
static struct {
    struct policy policy;
    struct policy_command commands[2];
    char strings[64];
} the;

#define STRINGS "ping\0me\0list\0A\0B*"
#define STRING(at) ((uint32_t)(offsetof(__typeof__(the), strings) + (at)))

const struct policy *policy(void)
{
    return &the.policy;
}

static void policy_make(uint8_t flags)
{
    memset(&the, 0, sizeof(the));
    memcpy(the.strings, STRINGS, sizeof(STRINGS));
    the.commands[0] = (struct policy_command){{STRING(0), 2}, 0, 0};
    the.commands[1] = (struct policy_command){{STRING(8), 1}, POLICY_COMMAND_MORE, 0};
    the.policy.exec_commands = (struct policy_list){offsetof(__typeof__(the), commands), 2};
    the.policy.env_allow = (struct policy_list){STRING(13), 2};
    the.policy.flags =
        (flags & 1 ? POLICY_EXEC_ANY : 0) | (flags & 2 ? POLICY_USER_ANY : 0) | (flags & 4 ? POLICY_WORKDIR_ANY : 0);
}

static void must(bool condition)
{
    if (!condition)
        abort();
}

static bool is_inside(const char *p, const char *bytes, size_t size)
{
    return p >= bytes && p + strlen(p) < bytes + size + 2;
}

/* Every string of a run ends inside it. */
static size_t strings_count(const char *text, size_t size)
{
    size_t count = 0;
    for (const char *p = text; p < text + size; p += strlen(p) + 1, count++)
        must(p + strlen(p) < text + size);
    return count;
}

static void check_allowed(const struct command_request *r)
{
    const char *second = r->arguments + strlen(r->arguments) + 1;
    if (!policy_allows(POLICY_EXEC_ANY) && strcmp(r->arguments, "list") != 0)
        must(strcmp(r->arguments, "ping") == 0 && strings_count(r->arguments, r->arguments_size) == 2 &&
             strcmp(second, "me") == 0);
    must(!r->user[0] || policy_allows(POLICY_USER_ANY));
    must(!r->folder[0] || policy_allows(POLICY_WORKDIR_ANY));
    for (const char *p = r->environment; p < r->environment + r->environment_size; p += strlen(p) + 1)
        must((p[0] == 'A' && p[1] == '=') || (p[0] == 'B' && strchr(p, '=')));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct command_request request;
    char text[EXEC_TEXT_MAX];
    if (size-- == 0)
        return 0;
    policy_make(*data++);
    char *bytes = malloc(size + 2);
    if (!bytes)
        return 0;
    memcpy(bytes, data, size);
    if (!command_request_decode(bytes, size, &request)) {
        must(strings_count(request.arguments, request.arguments_size) > 0);
        strings_count(request.environment, request.environment_size);
        must(is_inside(request.user, bytes, size) && is_inside(request.folder, bytes, size));
        memset(text, 'x', sizeof(text));
        if (command_request_allowed(&request, text, sizeof(text)))
            check_allowed(&request);
        else
            must(strnlen(text, sizeof(text)) < sizeof(text));
    }
    free(bytes);
    return 0;
}
