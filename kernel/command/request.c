/* Taking apart what `cofre exec` asks for, and the policy's word on it (contract in request.h). */
#include "kernel/command/request.h"

#include "kernel/boot/boot.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/process/start.h"

#define USER_MAX 255
#define FOLDER_MAX 4095

/* Strings that fill their place, none of which runs on. */
static bool strings_end(const char *text, size_t size)
{
    return size == 0 || text[size - 1] == '\0';
}

const char *command_request_decode(char *bytes, size_t size, struct command_request *ret)
{
    struct exec_request head;
    if (size < sizeof(head) || size > EXEC_REQUEST_MAX)
        return "its size";
    memcpy(&head, bytes, sizeof(head));
    if (head.version != EXEC_VERSION)
        return "its version";
    if (head.flags & ~(uint32_t)(EXEC_TTY | EXEC_HAS_INPUT))
        return "its flags";
    uint64_t strings = (uint64_t)head.arguments_size + head.environment_size + head.user_size + head.folder_size;
    if (strings != size - sizeof(head) || head.user_size > USER_MAX || head.folder_size > FOLDER_MAX)
        return "the sizes of its strings";
    char *arguments = bytes + sizeof(head), *environment = arguments + head.arguments_size;
    char *user = environment + head.environment_size, *folder = user + head.user_size;
    if (head.arguments_size == 0 || !strings_end(arguments, head.arguments_size))
        return "its arguments";
    if (!strings_end(environment, head.environment_size))
        return "its environment";
    if (strnlen(user, head.user_size) != head.user_size || strnlen(folder, head.folder_size) != head.folder_size)
        return "a NUL in a name";
    /* Both get the NUL that they travel without. */
    memmove(folder + 1, folder, head.folder_size);
    user[head.user_size] = '\0';
    folder[1 + head.folder_size] = '\0';
    *ret = (struct command_request){
        .terminal = head.flags & EXEC_TTY,
        .has_input = head.flags & EXEC_HAS_INPUT,
        .window = head.window,
        .arguments = arguments,
        .arguments_size = head.arguments_size,
        .environment = environment,
        .environment_size = head.environment_size,
        .user = user,
        .folder = folder + 1,
    };
    return NULL;
}

static bool command_matches(const struct command_request *request, const struct policy_command *command)
{
    const char *at = request->arguments, *end = at + request->arguments_size, *wanted;
    for (uint32_t i = 0; (wanted = policy_string(command->arguments, i)) != NULL; i++) {
        if (at == end || strcmp(at, wanted) != 0)
            return false;
        at += strlen(at) + 1;
    }
    return at == end || (command->flags & POLICY_COMMAND_MORE);
}

static bool command_allowed(const struct command_request *request)
{
    const struct policy *p = policy();
    const struct policy_command *commands = (const struct policy_command *)((const char *)p + p->exec_commands.offset);
    if (policy_allows(POLICY_EXEC_ANY))
        return true;
    for (uint32_t i = 0; i < p->exec_commands.count; i++)
        if (command_matches(request, &commands[i]))
            return true;
    return false;
}

bool command_request_allowed(const struct command_request *request, char *text, size_t size)
{
    const char *end = request->environment + request->environment_size;
    if (!command_allowed(request)) {
        snprintf(text, size, "the policy does not let the host start \"%.128s\" with these arguments (exec.allow)",
                 request->arguments);
        return false;
    }
    if (request->user[0] && !policy_allows(POLICY_USER_ANY)) {
        snprintf(text, size, "the policy does not let the host choose the user (command.user_from_host)");
        return false;
    }
    if (request->folder[0] && !policy_allows(POLICY_WORKDIR_ANY)) {
        snprintf(text, size,
                 "the policy does not let the host choose the working directory (command.workdir_from_host)");
        return false;
    }
    for (const char *p = request->environment; p < end; p += strlen(p) + 1)
        if (!start_env_ok(p, text, size))
            return false;
    return true;
}
