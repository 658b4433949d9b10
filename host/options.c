/* Command line of cofre-runtime: a table of options, each with the function that takes its value. */
#include "host/options.h"

#include "host/error.h"
#include "host/registry.h"
#include "host/volume_path.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

typedef int (*option_fn)(struct run_options *o, const char *value, char **ret_error);

struct option {
    char letter;
    const char *name;
    const char *argument; /* NULL: takes none; in []: only as --name=VALUE */
    const char *help;
    option_fn fn;
};

int strings_add(struct strings *strings, const char *text)
{
    size_t size = strlen(text) + 1;
    char *bytes = realloc(strings->bytes, strings->size + size);

    if (!bytes)
        return -ENOMEM;
    memcpy(bytes + strings->size, text, size);
    strings->bytes = bytes;
    strings->size += size;
    return 0;
}

/* NAME=VALUE as it is; NAME alone takes the value from our own environment, if it has one. */
static int env_add(struct run_options *o, const char *text, char **ret_error)
{
    const char *value;
    char *pair;
    int ret;

    if (*text == '\0' || *text == '=')
        return fail(ret_error, EINVAL, "the variable \"%s\" has no name (use NAME=VALUE)", text);
    if (strchr(text, '='))
        return strings_add(&o->env, text);
    value = getenv(text);
    if (!value)
        return 0;
    if (asprintf(&pair, "%s=%s", text, value) < 0)
        return -ENOMEM;
    ret = strings_add(&o->env, pair);
    free(pair);
    return ret;
}

static int opt_env_file(struct run_options *o, const char *value, char **ret_error)
{
    FILE *file = fopen(value, "re");
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    int ret = 0;

    if (!file)
        return fail(ret_error, errno, "reading the environment file %s failed: %s", value, strerror(errno));
    while (ret == 0 && (length = getline(&line, &size, file)) > 0) {
        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
            line[--length] = '\0';
        char *start = line + strspn(line, " \t");
        if (*start != '\0' && *start != '#')
            ret = env_add(o, start, ret_error);
    }
    free(line);
    fclose(file);
    return ret;
}

static int parse_port(const char *text, uint16_t *ret_port)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);

    if (end == text || *end != '\0' || *text < '0' || *text > '9' || port == 0 || port > 65535)
        return -EINVAL;
    *ret_port = (uint16_t)port;
    return 0;
}

static int parse_ip(struct port_mapping *mapping, char *text)
{
    size_t length = strlen(text);

    if (length > 2 && text[0] == '[' && text[length - 1] == ']') {
        text[length - 1] = '\0';
        mapping->family = AF_INET6;
        return inet_pton(AF_INET6, text + 1, mapping->ip) == 1 ? 0 : -EINVAL;
    }
    mapping->family = AF_INET;
    return inet_pton(AF_INET, text, mapping->ip) == 1 ? 0 : -EINVAL;
}

int port_mapping_parse(struct port_mapping *mapping, const char *text, char **ret_error)
{
    char copy[128], *slash, *colon, *host_port = copy;

    memset(mapping, 0, sizeof(*mapping));
    mapping->protocol = IPPROTO_TCP;
    if (strlen(text) >= sizeof(copy))
        goto bad;
    strcpy(copy, text);
    slash = strchr(copy, '/');
    if (slash) {
        *slash = '\0';
        if (strcmp(slash + 1, "udp") == 0)
            mapping->protocol = IPPROTO_UDP;
        else if (strcmp(slash + 1, "tcp") != 0)
            goto bad;
    }
    colon = strrchr(copy, ':');
    if (!colon || parse_port(colon + 1, &mapping->port) < 0)
        goto bad;
    *colon = '\0';
    colon = strrchr(copy, ':');
    if (colon) {
        *colon = '\0';
        host_port = colon + 1;
        if (parse_ip(mapping, copy) < 0)
            goto bad;
    }
    if (parse_port(host_port, &mapping->host_port) < 0)
        goto bad;
    return 0;
bad:
    return fail(ret_error, EINVAL, "the published port \"%s\" is not understood (use [IP:]HOSTPORT:PORT[/udp])", text);
}

static int opt_publish(struct run_options *o, const char *value, char **ret_error)
{
    int ret;

    if (o->port_count == PORT_MAPPINGS_MAX)
        return fail(ret_error, E2BIG, "more than %d published ports", PORT_MAPPINGS_MAX);
    ret = port_mapping_parse(&o->ports[o->port_count], value, ret_error);
    if (ret == 0)
        o->port_count++;
    return ret;
}

static int volume_flags_parse(struct volume_option *option, char *flags)
{
    for (char *flag = strtok(flags, ","); flag; flag = strtok(NULL, ",")) {
        if (strcmp(flag, "ro") == 0)
            option->read_only = true;
        else if (strcmp(flag, "rekey") == 0 && !option->is_folder)
            option->rekey = true;
        else if (strncmp(flag, "key=", 4) == 0 && flag[4])
            option->key_path = flag + 4;
        else if (strcmp(flag, "rw") != 0)
            return -EINVAL;
    }
    return 0;
}

int volume_option_parse(struct volume_option *option, const char *text, char **ret_error)
{
    char *copy = strdup(text), *path = copy ? strchr(copy, ':') : NULL, *flags = path ? strchr(path + 1, ':') : NULL;

    *option = (struct volume_option){.name = copy}; /* kept until the process ends */
    if (!copy)
        return fail(ret_error, ENOMEM, "out of memory");
    if (!path || path[1] != '/')
        return fail(ret_error, EINVAL,
                    "the volume \"%s\" is not understood (use NAME:PATH[:ro][,key=FILE] or FOLDER:PATH[:ro])", text);
    *path = '\0';
    option->path = path + 1;
    if (flags)
        *flags++ = '\0';
    option->is_folder = strchr(copy, '/') != NULL;
    if (strlen(option->path) > 200)
        return fail(ret_error, EINVAL, "the path %s is longer than 200 bytes", option->path);
    if (!option->is_folder && !volume_name_valid(copy))
        return fail(ret_error, EINVAL, "\"%s\" is no name for a volume (letters, digits, _ . -)", copy);
    if (flags && volume_flags_parse(option, flags) < 0)
        return fail(ret_error, EINVAL, "the volume \"%s\" has an unknown option (ro, rw, rekey and key=FILE are known)",
                    text);
    if (option->is_folder && option->key_path)
        return fail(ret_error, EINVAL, "%s is a folder of this machine, in the clear: it has no key", copy);
    return 0;
}

static int opt_volume(struct run_options *o, const char *value, char **ret_error)
{
    if (o->volume_count == VOLUME_OPTIONS_MAX)
        return fail(ret_error, E2BIG, "more than %d volumes", VOLUME_OPTIONS_MAX);
    int ret = volume_option_parse(&o->volumes[o->volume_count], value, ret_error);
    for (unsigned i = 0; ret == 0 && i < o->volume_count; i++)
        if (strcmp(o->volumes[i].path, o->volumes[o->volume_count].path) == 0)
            return fail(ret_error, EINVAL, "two volumes are given for %s", o->volumes[i].path);
    if (ret == 0)
        o->volume_count++;
    return ret;
}

static int opt_vcpus(struct run_options *o, const char *value, char **ret_error)
{
    char *end;
    unsigned long n = strtoul(value, &end, 10);

    if (end == value || *end != '\0' || n < 1 || n > 64)
        return fail(ret_error, EINVAL, "--vcpus %s is not a number from 1 to 64", value);
    o->vcpu_count = (unsigned)n;
    return 0;
}

static int opt_log(struct run_options *o, const char *value, char **ret_error)
{
    static const char *const levels[] = {"error", "warning", "info", "debug"};

    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (strcmp(value, levels[i]) == 0) {
            o->debug_log = strcmp(value, "debug") == 0;
            return 0;
        }
    }
    return fail(ret_error, EINVAL, "--log %s is not known (use error, warning, info or debug)", value);
}

static int opt_stats(struct run_options *o, const char *value, char **ret_error)
{
    o->stats = true;
    if (!value)
        return 0;
    if (strncmp(value, "json:", 5) != 0 || value[5] == '\0')
        return fail(ret_error, EINVAL, "--stats=%s is not understood (use --stats or --stats=json:FILE)", value);
    o->stats_path = value + 5;
    return 0;
}

static int opt_dir(struct run_options *o, const char *value, char **ret_error)
{
    o->dir = value;
    return 0;
}

static int opt_layer(struct run_options *o, const char *value, char **ret_error)
{
    const char *at = strrchr(value, '@');
    unsigned long long offset, size;
    int end = 0;

    o->layer = value;
    if (at && sscanf(at, "@%llu:%llu%n", &offset, &size, &end) == 2 && at[end] == '\0') {
        o->layer = strndup(value, (size_t)(at - value)); /* kept until the process ends */
        o->layer_offset = offset;
        o->layer_size = size;
    }
    return o->layer ? 0 : fail(ret_error, ENOMEM, "out of memory");
}

static int opt_softsgx(struct run_options *o, const char *value, char **ret_error)
{
    o->sgx = SGX_SOFTWARE;
    return 0;
}

static int opt_sgx(struct run_options *o, const char *value, char **ret_error)
{
    o->sgx = SGX_DEVICE;
    return 0;
}

static int opt_workdir(struct run_options *o, const char *value, char **ret_error)
{
    if (*value != '/')
        return fail(ret_error, EINVAL, "the working directory \"%s\" is not absolute", value);
    o->workdir = value;
    return 0;
}

static int opt_user(struct run_options *o, const char *value, char **ret_error)
{
    o->user = value;
    return 0;
}

static int opt_hostname(struct run_options *o, const char *value, char **ret_error)
{
    if (*value == '\0' || strlen(value) > 64)
        return fail(ret_error, EINVAL, "the host name \"%s\" is not 1 to 64 bytes long", value);
    o->hostname = value;
    return 0;
}

static int opt_name(struct run_options *o, const char *value, char **ret_error)
{
    if (!registry_name_ok(value))
        return fail(
            ret_error, EINVAL,
            "--name %s is no name for a container (letters, digits and _.-, a letter or digit first, %d at most)",
            value, REGISTRY_NAME_MAX);
    o->name = value;
    return 0;
}

static int opt_image(struct run_options *o, const char *value, char **ret_error)
{
    o->image = value;
    return 0;
}

static int opt_image_key(struct run_options *o, const char *value, char **ret_error)
{
    o->image_key_path = value;
    return 0;
}

static int opt_marble(struct run_options *o, const char *value, char **ret_error)
{
    o->marble_path = value;
    return 0;
}

static int opt_interactive(struct run_options *o, const char *value, char **ret_error)
{
    o->interactive = true;
    return 0;
}

static int opt_tty(struct run_options *o, const char *value, char **ret_error)
{
    o->tty = true;
    return 0;
}

static int opt_trace(struct run_options *o, const char *value, char **ret_error)
{
    o->trace = true;
    return 0;
}

static int opt_quote(struct run_options *o, const char *value, char **ret_error)
{
    o->quote_path = value;
    return 0;
}

static int opt_quote_data(struct run_options *o, const char *value, char **ret_error)
{
    if (strlen(value) != 2 * sizeof(o->quote_data) || strspn(value, "0123456789abcdef") != strlen(value))
        return fail(ret_error, EINVAL, "--quote-data %s is not 128 hex digits", value);
    for (size_t i = 0; i < sizeof(o->quote_data); i++)
        sscanf(value + 2 * i, "%2hhx", &o->quote_data[i]);
    return 0;
}

static int opt_help(struct run_options *o, const char *value, char **ret_error)
{
    o->help = true;
    return 0;
}

static const struct option option_table[] = {
    {0, "dir", "DIR", "folder with kernel, policy, sigstruct and root.img (default " RUNTIME_DIR_DEFAULT ")", opt_dir},
    {0, "layer", "FILE[@OFFSET:SIZE]", "uncompressed layer archive that holds them under cofre/", opt_layer},
    {0, "sgx", NULL, "insist on SGX hardware", opt_sgx},
    {0, "softsgx", NULL, "use the software enclave, which protects nothing", opt_softsgx},
    {0, "vcpus", "N", "vCPU threads (default: as the policy and the CPUs allow)", opt_vcpus},
    {'e', "env", "NAME=VALUE", "set a variable, if the policy allows", env_add},
    {0, "env-file", "FILE", "read variables from a file", opt_env_file},
    {'w', "workdir", "DIR", "working directory, if the policy allows", opt_workdir},
    {'u', "user", "USER[:GROUP]", "user, if the policy allows", opt_user},
    {'p', "publish", "[IP:]HOSTPORT:PORT[/udp]", "bind HOSTPORT where the application binds PORT", opt_publish},
    {'v', "volume", "NAME:PATH[:ro][,key=FILE][,rekey]", "the volume NAME is what the policy wants at PATH",
     opt_volume},
    {0, "hostname", "NAME", "host name, if the policy allows", opt_hostname},
    {0, "image-key", "FILE", "key of an encrypted image, if the policy takes it from a file", opt_image_key},
    {0, "marble", "FILE", "MarbleRun's certificate for this container, if the policy has its anchor there", opt_marble},
    {'i', "interactive", NULL, "connect standard input", opt_interactive},
    {'t', "tty", NULL, "make standard input, output and error a terminal", opt_tty},
    {0, "stats", "[json:FILE]", "print statistics at the end, or write them to FILE", opt_stats},
    {0, "log", "LEVEL", "kernel log on standard error, if the policy allows", opt_log},
    {0, "trace", NULL, "system call trace on standard error, if the policy allows", opt_trace},
    {0, "name", "NAME", "the container's name (default: cofre-PID)", opt_name},
    {0, "image", "IMAGE", "what lists of containers shall say that runs here", opt_image},
    {0, "quote", "FILE", "run nothing: write a quote to FILE, or - for standard output", opt_quote},
    {0, "quote-data", "HEX", "64 bytes that it shall bind", opt_quote_data},
    {'h', "help", NULL, "this text", opt_help},
};
#define OPTION_COUNT (sizeof(option_table) / sizeof(option_table[0]))

void options_usage(FILE *file, const char *program)
{
    fprintf(file, "usage: %s [OPTIONS] [-- ARGUMENTS]\n\n", program);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &option_table[i];
        const char *argument = option->argument ? option->argument : "";
        char left[64], letter[4] = {'-', option->letter, ',', '\0'};

        snprintf(left, sizeof(left), "%s --%s%s%s", option->letter ? letter : "   ", option->name,
                 argument[0] == '[' && argument[1] == 'j' ? "=" : " ", argument);
        fprintf(file, "  %-44s %s\n", left, option->help);
    }
}

static bool value_optional(const struct option *option)
{
    return option->argument && strcmp(option->argument, "[json:FILE]") == 0;
}

static int parse_long(struct run_options *o, char **argv, int *i, char **ret_error)
{
    const char *text = argv[*i] + 2, *equals = strchr(text, '=');
    size_t length = equals ? (size_t)(equals - text) : strlen(text);

    for (size_t k = 0; k < OPTION_COUNT; k++) {
        const struct option *option = &option_table[k];

        if (strlen(option->name) != length || strncmp(option->name, text, length) != 0)
            continue;
        if (!option->argument && equals)
            return fail(ret_error, EINVAL, "--%s takes no value", option->name);
        if (!option->argument || equals || value_optional(option))
            return option->fn(o, equals ? equals + 1 : NULL, ret_error);
        if (!argv[*i + 1])
            return fail(ret_error, EINVAL, "--%s needs a value: %s", option->name, option->argument);
        return option->fn(o, argv[++*i], ret_error);
    }
    return fail(ret_error, EINVAL, "the option %s is not known (see --help)", argv[*i]);
}

/* -it, -p8080:80, -p 8080:80, -e=X as docker takes them. */
static int parse_letters(struct run_options *o, char **argv, int *i, char **ret_error)
{
    for (const char *p = argv[*i] + 1; *p != '\0'; p++) {
        const struct option *option = NULL;
        int ret;

        for (size_t k = 0; k < OPTION_COUNT && !option; k++)
            if (option_table[k].letter == *p)
                option = &option_table[k];
        if (!option)
            return fail(ret_error, EINVAL, "the option -%c is not known (see --help)", *p);
        if (option->argument) {
            const char *value = p[1] == '=' ? p + 2 : p[1] ? p + 1 : argv[*i + 1];

            if (!value)
                return fail(ret_error, EINVAL, "-%c needs a value: %s", *p, option->argument);
            if (p[1] == '\0')
                ++*i;
            return option->fn(o, value, ret_error);
        }
        ret = option->fn(o, NULL, ret_error);
        if (ret < 0)
            return ret;
    }
    return 0;
}

int options_parse(struct run_options *o, int argc, char **argv, char **ret_error)
{
    int i, ret = 0;

    memset(o, 0, sizeof(*o));
    for (i = 1; i < argc && ret == 0; i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        if (argv[i][0] != '-' || argv[i][1] == '\0')
            break; /* as docker: the first word that is no option begins the arguments */
        ret = argv[i][1] == '-' ? parse_long(o, argv, &i, ret_error) : parse_letters(o, argv, &i, ret_error);
    }
    for (; i < argc && ret == 0; i++)
        ret = strings_add(&o->args, argv[i]);
    if (ret == 0 && o->dir && o->layer)
        ret = fail(ret_error, EINVAL, "--dir and --layer exclude each other");
    if (ret == 0 && !o->dir && !o->layer) {
        o->as_entrypoint = true;
        o->dir = RUNTIME_DIR_DEFAULT;
    }
    if (ret < 0)
        options_free(o);
    return ret;
}

void options_free(struct run_options *o)
{
    free(o->env.bytes);
    free(o->args.bytes);
    o->env = o->args = (struct strings){0};
}
