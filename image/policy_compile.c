/* The compiled policy: writing its one canonical encoding, checking a foreign one, showing it as JSON. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "abi/boot.h"
#include "abi/hostfs.h"
#include "abi/key_release.h"
#include "abi/layout.h"
#include "abi/volume.h"
#include "image/digest.h"
#include "image/error.h"
#include "image/policy.h"

struct writer {
    uint8_t *bytes;
    size_t size, capacity;
    int failed;
};

static uint32_t append(struct writer *w, const void *data, size_t size, size_t align)
{
    size_t start = (w->size + align - 1) / align * align;
    if (start + size > POLICY_SIZE_MAX)
        w->failed = 1;
    while (!w->failed && start + size > w->capacity) {
        size_t capacity = w->capacity ? w->capacity * 2 : 4096;
        uint8_t *bytes = realloc(w->bytes, capacity);
        if (!bytes) {
            w->failed = 1;
            break;
        }
        memset(bytes + w->capacity, 0, capacity - w->capacity);
        w->bytes = bytes;
        w->capacity = capacity;
    }
    if (w->failed)
        return 0;
    if (size)
        memcpy(w->bytes + start, data, size);
    w->size = start + size;
    return (uint32_t)start;
}

static uint32_t append_string(struct writer *w, const char *text)
{
    return text ? append(w, text, strlen(text) + 1, 1) : 0;
}

static struct policy_list append_list(struct writer *w, const struct string_list *list)
{
    struct policy_list ret = {.offset = (uint32_t)w->size, .count = (uint32_t)list->count};
    for (size_t i = 0; i < list->count; i++)
        append_string(w, list->items[i]);
    if (list->count == 0)
        ret.offset = 0;
    return ret;
}

static struct policy_list append_tmpfs(struct writer *w, const struct policy_source *source)
{
    struct policy_mount *mounts = calloc(source->tmpfs_count + 1, sizeof(*mounts));
    if (!mounts) {
        w->failed = 1;
        return (struct policy_list){0};
    }
    for (size_t i = 0; i < source->tmpfs_count; i++)
        mounts[i] = (struct policy_mount){.path_offset = append_string(w, source->tmpfs[i].path),
                                          .mode = source->tmpfs[i].mode,
                                          .size_max = source->tmpfs[i].size_max};
    struct policy_list ret = {.count = (uint32_t)source->tmpfs_count};
    if (ret.count)
        ret.offset = append(w, mounts, source->tmpfs_count * sizeof(*mounts), 8);
    free(mounts);
    return ret;
}

static struct policy_list append_volumes(struct writer *w, const struct policy_source *source)
{
    struct policy_list ret = {.count = (uint32_t)source->volume_count};
    if (!ret.count)
        return ret;
    struct policy_volume *volumes = calloc(source->volume_count, sizeof(*volumes));
    if (!volumes) {
        w->failed = 1;
        return ret;
    }
    for (size_t i = 0; i < source->volume_count; i++) {
        const struct policy_source_volume *v = &source->volumes[i];
        volumes[i] = (struct policy_volume){.name_offset = append_string(w, v->name),
                                            .path_offset = append_string(w, v->path),
                                            .key = v->key,
                                            .freshness = v->freshness,
                                            .flags = v->flags,
                                            .recovery_offset = v->recovery ? append_string(w, v->recovery) : 0,
                                            .key_name_offset = append_string(w, v->key_name),
                                            .size = v->size,
                                            .cache_size = v->cache_size};
    }
    ret.offset = append(w, volumes, source->volume_count * sizeof(*volumes), 8);
    free(volumes);
    return ret;
}

static struct policy_list append_folders(struct writer *w, const struct policy_source *source)
{
    struct policy_list ret = {.count = (uint32_t)source->folder_count};
    if (!ret.count)
        return ret;
    struct policy_host_folder *folders = calloc(source->folder_count, sizeof(*folders));
    if (!folders) {
        w->failed = 1;
        return ret;
    }
    for (size_t i = 0; i < source->folder_count; i++)
        folders[i] = (struct policy_host_folder){.path_offset = append_string(w, source->folders[i].path),
                                                 .flags = source->folders[i].flags};
    ret.offset = append(w, folders, source->folder_count * sizeof(*folders), 8);
    free(folders);
    return ret;
}

static struct policy_list append_commands(struct writer *w, const struct policy_source *source)
{
    struct policy_list ret = {.count = (uint32_t)source->command_count};
    if (!ret.count)
        return ret;
    struct policy_command *commands = calloc(source->command_count, sizeof(*commands));
    if (!commands) {
        w->failed = 1;
        return ret;
    }
    for (size_t i = 0; i < source->command_count; i++) {
        commands[i].arguments = append_list(w, &source->commands[i].arguments);
        commands[i].flags = source->commands[i].flags;
    }
    ret.offset = append(w, commands, source->command_count * sizeof(*commands), 8);
    free(commands);
    return ret;
}

static struct policy_service append_service(struct writer *w, const struct policy_source_service *source)
{
    struct policy_service ret = {0};
    if (!source->address)
        return ret;
    ret.address_offset = append_string(w, source->address);
    ret.timeout_ms = source->timeout * 1000;
    memcpy(ret.public_key, source->key, sizeof(ret.public_key));
    return ret;
}

static int compare_ports(const void *a, const void *b)
{
    const struct policy_port *x = a, *y = b;
    return x->port != y->port ? x->port - y->port : x->protocol - y->protocol;
}

static struct policy_list append_ports(struct writer *w, const struct policy_source *source)
{
    struct policy_list ret = {.count = (uint32_t)source->port_count};
    if (!ret.count)
        return ret;
    struct policy_port *ports = calloc(source->port_count, sizeof(*ports));
    if (!ports) {
        w->failed = 1;
        return ret;
    }
    memcpy(ports, source->ports, source->port_count * sizeof(*ports));
    qsort(ports, source->port_count, sizeof(*ports), compare_ports);
    ret.offset = append(w, ports, source->port_count * sizeof(*ports), 8);
    free(ports);
    return ret;
}

/* "uid", "uid:gid" become numbers; anything with a name is left for the kernel to look up in the root image. */
static int numeric_user(const char *user, uint32_t *ret_uid, uint32_t *ret_gid)
{
    char *end;
    unsigned long uid = strtoul(user, &end, 10), gid = 0;
    if (user[0] < '0' || user[0] > '9' || uid > UINT32_MAX - 1)
        return 0;
    if (*end == '\0')
        return 0; /* the primary group comes from /etc/passwd, if the uid is there */
    if (*end != ':' || end[1] < '0' || end[1] > '9')
        return 0;
    gid = strtoul(end + 1, &end, 10);
    if (*end || gid > UINT32_MAX - 1)
        return 0;
    *ret_uid = (uint32_t)uid;
    *ret_gid = (uint32_t)gid;
    return 1;
}

static int check_anchor_source(const struct policy_source *source, char **ret_error)
{
    const struct policy_source_marble *m = &source->marble;
    if (!source->anchor.address != !(source->anchor.key_given || m->point))
        return error_set(ret_error, "anchor needs an address and a key (or a certificate)");
    if (source->anchor.key_given && m->point)
        return error_set(ret_error, "anchor has a key (our own protocol) or a certificate (MarbleRun's), not both");
    if (!m->point != (m->key_release == POLICY_KEY_NONE))
        return error_set(ret_error, "anchor.certificate (MarbleRun's root) and anchor.marble_key go together");
    if (!m->key_name != (m->key_release != POLICY_KEY_SERVER))
        return error_set(ret_error, "anchor.marble_key: server and anchor.marble_key_name go together");
    if (m->key_name && !source->key_server.address)
        return error_set(ret_error,
                         "anchor.marble_key: server needs a key server (policy: key_server: {address, key})");
    return 0;
}

static int check_services(const struct policy_source *source, char **ret_error)
{
    if (check_anchor_source(source, ret_error) < 0)
        return -1;
    if (!source->key_server.address != !source->key_server.key_given)
        return error_set(ret_error, "key_server needs an address and a key");
    for (size_t i = 0; i < source->volume_count; i++) {
        const struct policy_source_volume *v = &source->volumes[i];
        if (v->freshness >= POLICY_FRESH_LAG && !source->anchor.address)
            return error_set(ret_error, "the volume %s needs an anchor (policy: anchor: {address, key})", v->name);
        if (v->key == POLICY_VOLUME_SERVER && !source->key_server.address)
            return error_set(ret_error, "the volume %s needs a key server (policy: key_server: {address, key})",
                             v->name);
    }
    if (!source->root_key_name != (source->key_release != POLICY_KEY_SERVER))
        return error_set(ret_error, "root.key: server and root.key_name (the key's name at the server) go together");
    if (source->root_key_name && !source->key_server.address)
        return error_set(ret_error, "root.key: server needs a key server (policy: key_server: {address, key})");
    return 0;
}

static int check_source(const struct policy_source *source, char **ret_error)
{
    if (source->entrypoint.count + source->cmd.count == 0 && !(source->flags & POLICY_ARGS_ANY))
        return error_set(ret_error, "the image names no command (set command.entrypoint in the policy)");
    if (source->workdir && source->workdir[0] != '/')
        return error_set(ret_error, "the working directory \"%s\" is not absolute", source->workdir);
    if (!(source->flags & POLICY_EDMM) && source->memory_size > KERNEL_BASE - USER_BASE)
        return error_set(ret_error, "memory cannot exceed 59G without EDMM");
    if (source->memory_size > source->elrange_size)
        return error_set(ret_error, "memory is larger than enclave_size");
    if (source->elrange_size & (source->elrange_size - 1))
        return error_set(ret_error, "enclave_size is not a power of two");
    return check_services(source, ret_error);
}

static int check_encryption(const struct policy *p)
{
    if (p->root_cipher == POLICY_CIPHER_NONE)
        return p->root_key_release == POLICY_KEY_NONE;
    return p->root_cipher == POLICY_CIPHER_AES_XTS &&
           (p->root_key_release == POLICY_KEY_FILE || p->root_key_release == POLICY_KEY_SERVER);
}

int policy_compile(const struct policy_source *source, const struct policy_root *root, struct policy **ret_policy,
                   size_t *ret_size, char **ret_error)
{
    if (check_source(source, ret_error) < 0)
        return -1;
    struct writer w = {0};
    struct policy p = {
        .magic = POLICY_MAGIC,
        .version = POLICY_VERSION,
        .flags = source->flags,
        .elrange_size = source->elrange_size,
        .memory_size = source->memory_size,
        .kernel_heap_size = source->kernel_heap_size,
        .vcpu_max = source->vcpu_max,
        .process_max = source->process_max,
        .xfrm_low = source->xfrm_low,
        .umask = source->umask,
        .stack_size = source->stack_size,
        .root_size = root->size,
        .root_hash_offset = root->hash_offset,
        .stop_signal = source->stop_signal,
        .boot_interface = BOOT_INTERFACE,
        .root_cipher = root->cipher,
        .root_key_release = source->key_release,
    };
    memcpy(p.root_hash, root->hash, sizeof(p.root_hash));
    memcpy(p.root_salt, root->salt, sizeof(p.root_salt));
    memcpy(p.root_key_check, root->key_check, sizeof(p.root_key_check));
    if (!check_encryption(&p))
        return error_set(ret_error, "root.key is for an encrypted image, and that needs it");
    append(&w, &p, sizeof(p), 8);
    p.groups = append_list(&w, &source->groups);
    p.entrypoint = append_list(&w, &source->entrypoint);
    p.cmd = append_list(&w, &source->cmd);
    p.env = append_list(&w, &source->env);
    p.env_allow = append_list(&w, &source->env_allow);
    p.workdir_offset = append_string(&w, source->workdir);
    p.hostname_offset = append_string(&w, source->hostname);
    if (source->user && !numeric_user(source->user, &p.uid, &p.gid))
        p.user_name_offset = append_string(&w, source->user);
    p.tmpfs = append_tmpfs(&w, source);
    p.ports = append_ports(&w, source);
    p.volumes = append_volumes(&w, source);
    p.host_folders = append_folders(&w, source);
    p.anchor = append_service(&w, &source->anchor);
    p.marble.point_offset = append_string(&w, source->marble.point);
    p.marble.key_release = source->marble.key_release;
    p.marble.key_name_offset = append_string(&w, source->marble.key_name);
    p.exec_commands = append_commands(&w, source);
    p.key_server = append_service(&w, &source->key_server);
    p.root_key_name_offset = append_string(&w, source->root_key_name);
    append(&w, "", 0, 8);
    if (w.failed) {
        free(w.bytes);
        return error_set(ret_error, "the policy is larger than 16 MiB, or out of memory");
    }
    p.size = (uint32_t)w.size;
    memcpy(w.bytes, &p, sizeof(p));
    *ret_policy = (struct policy *)w.bytes;
    *ret_size = w.size;
    return 0;
}

static int check_string(const struct policy *p, uint32_t offset)
{
    return offset == 0 ||
           (offset >= sizeof(*p) && offset < p->size && memchr((const char *)p + offset, 0, p->size - offset) != NULL);
}

static int check_list(const struct policy *p, struct policy_list list)
{
    uint64_t offset = list.offset;
    if (list.count == 0)
        return 1;
    if (offset < sizeof(*p))
        return 0;
    for (uint32_t i = 0; i < list.count; i++) {
        const char *end = offset < p->size ? memchr((const char *)p + offset, 0, p->size - offset) : NULL;
        if (!end)
            return 0;
        offset = (uint64_t)(end - (const char *)p) + 1;
    }
    return 1;
}

static int check_array(const struct policy *p, struct policy_list list, size_t item_size)
{
    return list.count == 0 || (list.offset >= sizeof(*p) && list.offset <= p->size && list.offset % 8 == 0 &&
                               list.count <= (p->size - list.offset) / item_size);
}

static int check_service(const struct policy *p, const struct policy_service *service)
{
    return check_string(p, service->address_offset) && service->timeout_ms <= POLICY_SERVICE_TIMEOUT_MAX &&
           strnlen((const char *)p + service->address_offset, POLICY_ADDRESS_MAX) < POLICY_ADDRESS_MAX;
}

/* Of a key at the key server: exactly where one is needed. */
static int check_key_name(const struct policy *p, uint32_t offset, int needed)
{
    return !needed == !offset && check_string(p, offset) &&
           (!needed || (p->key_server.address_offset && strlen((const char *)p + offset) < KEY_NAME_SIZE));
}

static int check_anchor(const struct policy *p)
{
    const struct policy_marble *m = &p->marble;
    if (!check_service(p, &p->anchor))
        return 0;
    if (!m->point_offset)
        return m->key_release == POLICY_KEY_NONE && !m->key_name_offset;
    if (!p->anchor.address_offset || !check_string(p, m->point_offset))
        return 0;
    const char *digits = (const char *)p + m->point_offset;
    size_t length = strlen(digits);
    return (length == POLICY_POINT_P256 || length == POLICY_POINT_P384) &&
           strspn(digits, "0123456789abcdef") == length &&
           (m->key_release == POLICY_KEY_FILE || m->key_release == POLICY_KEY_SERVER) &&
           check_key_name(p, m->key_name_offset, m->key_release == POLICY_KEY_SERVER);
}

static int check_volumes(const struct policy *p)
{
    const struct policy_volume *v = (const struct policy_volume *)((const char *)p + p->volumes.offset);
    if (p->volumes.count > VOLUME_MAX || !check_array(p, p->volumes, sizeof(*v)))
        return 0;
    for (uint32_t i = 0; i < p->volumes.count; i++)
        if (!v[i].name_offset || !check_string(p, v[i].name_offset) || !v[i].path_offset ||
            !check_string(p, v[i].path_offset) || !check_string(p, v[i].recovery_offset) ||
            v[i].key > POLICY_VOLUME_SERVER ||
            !check_key_name(p, v[i].key_name_offset, v[i].key == POLICY_VOLUME_SERVER) ||
            v[i].freshness > POLICY_FRESH_OUTPUT || (v[i].freshness >= POLICY_FRESH_LAG && !p->anchor.address_offset))
            return 0;
    return check_anchor(p);
}

static int check_folders(const struct policy *p)
{
    const struct policy_host_folder *f = (const struct policy_host_folder *)((const char *)p + p->host_folders.offset);
    if (p->host_folders.count > HOSTFS_FOLDERS || !check_array(p, p->host_folders, sizeof(*f)))
        return 0;
    for (uint32_t i = 0; i < p->host_folders.count; i++)
        if (!check_string(p, f[i].path_offset) || !f[i].path_offset ||
            f[i].flags & ~(uint32_t)(POLICY_FOLDER_WRITE | POLICY_FOLDER_OPTIONAL))
            return 0;
    return 1;
}

static int check_commands(const struct policy *p)
{
    const struct policy_command *c = (const struct policy_command *)((const char *)p + p->exec_commands.offset);
    if (p->exec_commands.count > POLICY_COMMAND_MAX || !check_array(p, p->exec_commands, sizeof(*c)))
        return 0;
    for (uint32_t i = 0; i < p->exec_commands.count; i++)
        if (c[i].arguments.count == 0 || !check_list(p, c[i].arguments) || c[i].flags & ~(uint32_t)POLICY_COMMAND_MORE)
            return 0;
    return 1;
}

int policy_check(const void *blob, size_t size, char **ret_error)
{
    const struct policy *p = blob;
    if (size < sizeof(*p) || size > POLICY_SIZE_MAX || p->magic != POLICY_MAGIC)
        return error_set(ret_error, "not a compiled policy");
    if (p->version != POLICY_VERSION)
        return error_set(ret_error, "policy version %u is not known to this cofre", p->version);
    if (p->size != size)
        return error_set(ret_error, "the policy says %u bytes and has %zu", p->size, size);
    if (!check_list(p, p->groups) || !check_list(p, p->entrypoint) || !check_list(p, p->cmd) ||
        !check_list(p, p->env) || !check_list(p, p->env_allow) || !check_string(p, p->workdir_offset) ||
        !check_string(p, p->hostname_offset) || !check_string(p, p->user_name_offset))
        return error_set(ret_error, "a string of the policy lies outside it");
    if (!check_array(p, p->tmpfs, sizeof(struct policy_mount)) || !check_array(p, p->ports, sizeof(struct policy_port)))
        return error_set(ret_error, "a list of the policy lies outside it");
    const struct policy_mount *mounts = (const struct policy_mount *)((const char *)p + p->tmpfs.offset);
    for (uint32_t i = 0; i < p->tmpfs.count; i++)
        if (!check_string(p, mounts[i].path_offset))
            return error_set(ret_error, "a mount's path lies outside the policy");
    if (!check_volumes(p))
        return error_set(ret_error,
                         "a volume lies outside the policy, or is of a kind that is not known to this cofre");
    if (!check_folders(p))
        return error_set(ret_error, "a host folder lies outside the policy, or is not of a kind known to this cofre");
    if (!check_commands(p))
        return error_set(ret_error,
                         "a command for exec lies outside the policy, or is not of a kind known to this cofre");
    if (!check_service(p, &p->key_server))
        return error_set(ret_error, "the key server lies outside the policy");
    if (!check_encryption(p) || !check_key_name(p, p->root_key_name_offset, p->root_key_release == POLICY_KEY_SERVER))
        return error_set(ret_error, "the root image is encrypted in a way that is not known to this cofre");
    return 0;
}

const char *policy_blob_string(const struct policy *policy, uint32_t offset)
{
    return offset ? (const char *)policy + offset : NULL;
}

const char *policy_blob_item(const struct policy *policy, struct policy_list list, uint32_t index)
{
    if (index >= list.count)
        return NULL;
    const char *s = (const char *)policy + list.offset;
    while (index--)
        s += strlen(s) + 1;
    return s;
}

static json_t *json_text(const char *text)
{
    return text ? json_stringn_nocheck(text, strlen(text)) : json_null();
}

static json_t *json_list(const struct policy *p, struct policy_list list)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < list.count; i++)
        json_array_append_new(array, json_text(policy_blob_item(p, list, i)));
    return array;
}

static json_t *json_hex(const uint8_t *bytes, size_t size)
{
    char text[2 * 64 + 1];
    hex_encode(bytes, size, text);
    return json_string(text);
}

static json_t *json_flag(const struct policy *p, uint64_t flag)
{
    return json_boolean((p->flags & flag) != 0);
}

static json_t *json_ports(const struct policy *p)
{
    if (p->flags & POLICY_PORTS_ANY)
        return json_string("any");
    json_t *array = json_array();
    const struct policy_port *ports = (const struct policy_port *)((const char *)p + p->ports.offset);
    for (uint32_t i = 0; i < p->ports.count; i++)
        json_array_append_new(array,
                              json_sprintf("%u/%s", ports[i].port, ports[i].protocol == IPPROTO_UDP ? "udp" : "tcp"));
    return array;
}

static json_t *json_tmpfs(const struct policy *p)
{
    json_t *array = json_array();
    const struct policy_mount *mounts = (const struct policy_mount *)((const char *)p + p->tmpfs.offset);
    for (uint32_t i = 0; i < p->tmpfs.count; i++)
        json_array_append_new(
            array, json_pack("{s:o,s:I,s:o}", "path", json_text(policy_blob_string(p, mounts[i].path_offset)), "size",
                             (json_int_t)mounts[i].size_max, "mode", json_sprintf("%04o", mounts[i].mode)));
    return array;
}

static json_t *json_user(const struct policy *p)
{
    return p->user_name_offset ? json_text(policy_blob_string(p, p->user_name_offset))
                               : json_sprintf("%u:%u", p->uid, p->gid);
}

static json_t *json_command(const struct policy *p)
{
    const char *workdir = policy_blob_string(p, p->workdir_offset);
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:I,s:i}", "entrypoint", json_list(p, p->entrypoint), "args",
                     json_list(p, p->cmd), "args_from_host", json_flag(p, POLICY_ARGS_ANY), "workdir",
                     json_text(workdir ? workdir : "/"), "workdir_from_host", json_flag(p, POLICY_WORKDIR_ANY), "user",
                     json_user(p), "groups", json_list(p, p->groups), "user_from_host", json_flag(p, POLICY_USER_ANY),
                     "umask", json_sprintf("%04o", p->umask), "stack", (json_int_t)p->stack_size, "stop_signal",
                     (int)p->stop_signal);
}

static json_t *json_root_image(const struct policy *p)
{
    json_t *json = json_pack("{s:I,s:I,s:o,s:o,s:b}", "size", (json_int_t)p->root_size, "hash_offset",
                             (json_int_t)p->root_hash_offset, "root_hash", json_hex(p->root_hash, 32), "salt",
                             json_hex(p->root_salt, 32), "encrypted", p->root_cipher != POLICY_CIPHER_NONE);
    if (json && p->root_cipher != POLICY_CIPHER_NONE) {
        json_object_set_new(json, "cipher", json_string("aes-xts-plain64"));
        json_object_set_new(json, "sector_size", json_integer(4096));
        json_object_set_new(json, "key_check", json_hex(p->root_key_check, POLICY_KEY_CHECK_SIZE));
    }
    return json;
}

static json_t *json_root(const struct policy *p)
{
    json_t *json = json_pack("{s:b}", "read_only", (p->flags & POLICY_READ_ONLY_ROOT) != 0);
    if (json && p->root_key_release == POLICY_KEY_FILE)
        json_object_set_new(json, "key", json_string("file"));
    if (json && p->root_key_release == POLICY_KEY_SERVER) {
        json_object_set_new(json, "key", json_string("server"));
        json_object_set_new(json, "key_name", json_text(policy_blob_string(p, p->root_key_name_offset)));
    }
    return json;
}

static json_t *json_volumes(const struct policy *p)
{
    static const char *const keys[] = {"mrenclave", "mrsigner", "file", "server"};
    static const char *const modes[] = {"none", "local", "lag", "strict", "output"};
    json_t *array = json_array();
    const struct policy_volume *v = (const struct policy_volume *)((const char *)p + p->volumes.offset);
    for (uint32_t i = 0; i < p->volumes.count; i++) {
        json_t *json = json_pack(
            "{s:o,s:o,s:s,s:s,s:b,s:b,s:b,s:I,s:I}", "name", json_text(policy_blob_string(p, v[i].name_offset)), "path",
            json_text(policy_blob_string(p, v[i].path_offset)), "key", keys[v[i].key], "freshness",
            modes[v[i].freshness], "create", (v[i].flags & POLICY_VOLUME_CREATE) != 0, "optional",
            (v[i].flags & POLICY_VOLUME_OPTIONAL) != 0, "read_only", (v[i].flags & POLICY_VOLUME_READ_ONLY) != 0,
            "size", (json_int_t)v[i].size, "cache", (json_int_t)v[i].cache_size);
        if (json && v[i].recovery_offset)
            json_object_set_new(json, "recovery", json_text(policy_blob_string(p, v[i].recovery_offset)));
        if (json && v[i].key_name_offset)
            json_object_set_new(json, "key_name", json_text(policy_blob_string(p, v[i].key_name_offset)));
        if (json && strcmp(policy_blob_string(p, v[i].path_offset), "/") != 0)
            json_object_set_new(json, "copy", json_boolean(!(v[i].flags & POLICY_VOLUME_NO_COPY)));
        else if (json)
            json_object_set_new(json, "image_update", json_string(v[i].flags & POLICY_VOLUME_KEEP ? "keep" : "refuse"));
        json_array_append_new(array, json);
    }
    return array;
}

static json_t *json_service(const struct policy *p, const struct policy_service *service)
{
    return json_pack("{s:o,s:o,s:i}", "address", json_text(policy_blob_string(p, service->address_offset)), "key",
                     json_hex(service->public_key, sizeof(service->public_key)), "timeout",
                     (int)service->timeout_ms / 1000);
}

static json_t *json_anchor(const struct policy *p)
{
    if (!p->marble.point_offset)
        return json_service(p, &p->anchor);
    bool from_server = p->marble.key_release == POLICY_KEY_SERVER;
    json_t *json = json_pack("{s:s,s:o,s:o,s:s,s:i}", "protocol", "marblerun", "address",
                             json_text(policy_blob_string(p, p->anchor.address_offset)), "public_key",
                             json_text(policy_blob_string(p, p->marble.point_offset)), "marble_key",
                             from_server ? "server" : "file", "timeout", (int)p->anchor.timeout_ms / 1000);
    if (json && from_server)
        json_object_set_new(json, "marble_key_name", json_text(policy_blob_string(p, p->marble.key_name_offset)));
    return json;
}

static json_t *json_folders(const struct policy *p)
{
    json_t *array = json_array();
    const struct policy_host_folder *f = (const struct policy_host_folder *)((const char *)p + p->host_folders.offset);
    for (uint32_t i = 0; i < p->host_folders.count; i++)
        json_array_append_new(array,
                              json_pack("{s:o,s:s,s:b,s:s}", "path", json_text(policy_blob_string(p, f[i].path_offset)),
                                        "mode", f[i].flags & POLICY_FOLDER_WRITE ? "rw" : "ro", "optional",
                                        (f[i].flags & POLICY_FOLDER_OPTIONAL) != 0, "trust",
                                        "none: in the clear, the host reads and changes it"));
    return array;
}

static json_t *json_exec_allow(const struct policy *p)
{
    const struct policy_command *c = (const struct policy_command *)((const char *)p + p->exec_commands.offset);
    if (p->exec_commands.count == 0)
        return json_flag(p, POLICY_EXEC_ANY);
    json_t *array = json_array();
    for (uint32_t i = 0; i < p->exec_commands.count; i++) {
        json_t *command = json_list(p, c[i].arguments);
        if (c[i].flags & POLICY_COMMAND_MORE)
            json_array_append_new(command, json_string("*"));
        json_array_append_new(array, command);
    }
    return array;
}

static json_t *json_exec(const struct policy *p)
{
    json_t *json = json_pack("{s:o}", "allow", json_exec_allow(p));
    if (json && (p->exec_commands.count || p->flags & POLICY_EXEC_ANY))
        json_object_set_new(json, "started_by",
                            json_string("the host, which is not trusted: it chooses which of these run, and when"));
    return json;
}

json_t *policy_to_json(const struct policy *p)
{
    const char *hostname = policy_blob_string(p, p->hostname_offset);
    json_t *json = json_pack(
        "{s:i,s:I,s:I,s:I,s:i,s:i,s:o,s:o,s:o,s:o,s:o,s:{s:o,s:o},s:{s:o,s:o,s:o},s:{s:o,s:o},s:o,s:o,s:{s:b,s:b},s:o}",
        "version", (int)p->version, "memory", (json_int_t)p->memory_size, "kernel_heap",
        (json_int_t)p->kernel_heap_size, "enclave_size", (json_int_t)p->elrange_size, "vcpus", (int)p->vcpu_max,
        "processes", (int)p->process_max, "edmm", json_flag(p, POLICY_EDMM), "debug", json_flag(p, POLICY_DEBUG),
        "diagnostics", json_flag(p, POLICY_DIAGNOSTICS), "hostname", json_text(hostname ? hostname : "cofre"),
        "command", json_command(p), "env", "set", json_list(p, p->env), "allow", json_list(p, p->env_allow),
        "from_host", "hostname", json_flag(p, POLICY_HOST_NAME), "hosts", json_flag(p, POLICY_HOST_HOSTS),
        "resolv_conf", json_flag(p, POLICY_HOST_RESOLV_CONF), "network", "listen", json_ports(p), "connect",
        json_flag(p, POLICY_CONNECT_ANY), "root", json_root(p), "tmpfs", json_tmpfs(p), "cpu", "avx512",
        (int)((p->xfrm_low & 0xe0) == 0xe0), "pkru", (int)((p->xfrm_low & 0x200) != 0), "root_image",
        json_root_image(p));
    if (json)
        json_object_set_new(json, "volumes", json_volumes(p));
    if (json && p->anchor.address_offset)
        json_object_set_new(json, "anchor", json_anchor(p));
    if (json && p->key_server.address_offset)
        json_object_set_new(json, "key_server", json_service(p, &p->key_server));
    if (json)
        json_object_set_new(json, "host_folders", json_folders(p));
    if (json)
        json_object_set_new(json, "exec", json_exec(p));
    return json;
}
