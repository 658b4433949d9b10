/* The policy before it is compiled: defaults, lists, and what the image's configuration adds. */
#include "image/policy.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "abi/layout.h"
#include "image/error.h"

int string_list_add(struct string_list *list, const char *text)
{
    char **items = reallocarray(list->items, list->count + 1, sizeof(*items));
    if (!items)
        return -1;
    list->items = items;
    items[list->count] = strdup(text);
    if (!items[list->count])
        return -1;
    list->count++;
    return 0;
}

void string_list_clear(struct string_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct string_list){0};
}

void policy_source_init(struct policy_source *source)
{
    *source = (struct policy_source){
        .memory_size = 1UL << 30,
        .kernel_heap_size = 256UL << 20,
        .elrange_size = ELRANGE_SIZE_MIN,
        .vcpu_max = 4,
        .process_max = 1024,
        .stack_size = 8 << 20,
        .umask = 022,
        .anchor.timeout = 30,
        .key_server.timeout = 30,
        .xfrm_low = 7, /* x87, SSE, AVX: on every SGX machine with FLC */
        .flags = POLICY_EDMM | POLICY_HOST_NAME | POLICY_HOST_RESOLV_CONF | POLICY_CONNECT_ANY,
    };
}

void policy_source_free(struct policy_source *source)
{
    string_list_clear(&source->entrypoint);
    string_list_clear(&source->cmd);
    string_list_clear(&source->env);
    string_list_clear(&source->env_allow);
    string_list_clear(&source->groups);
    free(source->user);
    free(source->workdir);
    free(source->hostname);
    for (size_t i = 0; i < source->tmpfs_count; i++)
        free(source->tmpfs[i].path);
    free(source->tmpfs);
    policy_source_clear_volumes(source);
    free(source->volumes);
    free(source->anchor.address);
    free(source->marble.point);
    free(source->marble.key_name);
    free(source->key_server.address);
    free(source->root_key_name);
    policy_source_clear_folders(source);
    free(source->folders);
    policy_source_clear_commands(source);
    free(source->commands);
    free(source->ports);
    *source = (struct policy_source){0};
}

int policy_source_add_port(struct policy_source *source, const char *text, char **ret_error)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);
    int protocol = strcmp(end, "/udp") == 0 ? IPPROTO_UDP : IPPROTO_TCP;
    if (text[0] < '0' || text[0] > '9' || port < 1 || port > 65535 ||
        (*end != '\0' && strcmp(end, "/tcp") != 0 && strcmp(end, "/udp") != 0))
        return error_set(ret_error, "port \"%s\" is not of the form NUMBER[/tcp|/udp]", text);
    for (size_t i = 0; i < source->port_count; i++)
        if (source->ports[i].port == port && source->ports[i].protocol == protocol)
            return 0;
    struct policy_port *ports = reallocarray(source->ports, source->port_count + 1, sizeof(*ports));
    if (!ports)
        return error_set(ret_error, "out of memory");
    source->ports = ports;
    ports[source->port_count++] = (struct policy_port){.port = (uint16_t)port, .protocol = (uint16_t)protocol};
    return 0;
}

int policy_source_set_env(struct policy_source *source, const char *assignment)
{
    size_t name_size = strcspn(assignment, "=");
    for (size_t i = 0; i < source->env.count; i++) {
        char *old = source->env.items[i];
        if (strncmp(old, assignment, name_size) != 0 || (old[name_size] != '=' && old[name_size] != '\0'))
            continue;
        char *copy = strdup(assignment);
        if (!copy)
            return -1;
        free(old);
        source->env.items[i] = copy;
        return 0;
    }
    return string_list_add(&source->env, assignment);
}

int policy_source_add_tmpfs(struct policy_source *source, const char *path, uint64_t size_max, uint32_t mode)
{
    struct policy_source_mount *mounts = reallocarray(source->tmpfs, source->tmpfs_count + 1, sizeof(*mounts));
    if (!mounts)
        return -1;
    source->tmpfs = mounts;
    char *copy = strdup(path);
    if (!copy)
        return -1;
    mounts[source->tmpfs_count++] = (struct policy_source_mount){.path = copy, .size_max = size_max, .mode = mode};
    return 0;
}

int policy_source_add_volume(struct policy_source *source, const struct policy_source_volume *volume)
{
    struct policy_source_volume *volumes = reallocarray(source->volumes, source->volume_count + 1, sizeof(*volumes));
    if (!volumes)
        return -1;
    source->volumes = volumes;
    volumes[source->volume_count++] = *volume;
    return 0;
}

void policy_source_clear_volumes(struct policy_source *source)
{
    for (size_t i = 0; i < source->volume_count; i++) {
        free(source->volumes[i].name);
        free(source->volumes[i].path);
        free(source->volumes[i].recovery);
        free(source->volumes[i].key_name);
    }
    source->volume_count = 0;
}

int policy_source_add_folder(struct policy_source *source, const struct policy_source_folder *folder)
{
    struct policy_source_folder *folders = reallocarray(source->folders, source->folder_count + 1, sizeof(*folders));
    if (!folders)
        return -1;
    source->folders = folders;
    folders[source->folder_count++] = *folder;
    return 0;
}

void policy_source_clear_folders(struct policy_source *source)
{
    for (size_t i = 0; i < source->folder_count; i++)
        free(source->folders[i].path);
    source->folder_count = 0;
}

int policy_source_add_command(struct policy_source *source, const struct policy_source_command *command)
{
    struct policy_source_command *commands =
        reallocarray(source->commands, source->command_count + 1, sizeof(*commands));
    if (!commands)
        return -1;
    source->commands = commands;
    commands[source->command_count++] = *command;
    return 0;
}

void policy_source_clear_commands(struct policy_source *source)
{
    for (size_t i = 0; i < source->command_count; i++)
        string_list_clear(&source->commands[i].arguments);
    source->command_count = 0;
}
