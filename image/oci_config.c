/* The image configuration and the choice of an image for this machine. */
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "image/error.h"
#include "image/oci.h"
#include "image/oci_json.h"

#define WANTED_OS "linux"
#define WANTED_ARCHITECTURE "amd64"
#define REF_NAME "org.opencontainers.image.ref.name"

static int copy_string(const json_t *object, const char *key, char **ret_text, char **ret_error)
{
    const char *text = NULL;

    if (oci_json_string(object, key, &text, ret_error) < 0)
        return -1;
    if (text && *text && !(*ret_text = strdup(text)))
        err(1, "image configuration");
    return 0;
}

static int parse_labels(struct oci_config *config, const json_t *inner, char **ret_error)
{
    json_t *labels = NULL, *value;
    const char *name;

    if (oci_json_object(inner, "Labels", &labels, ret_error) < 0)
        return -1;
    json_object_foreach(labels, name, value)
    {
        if (!json_is_string(value))
            return error_set(ret_error, "label \"%s\" is not a string", name);
    }
    config->labels = json_incref(labels);
    return 0;
}

static int parse_inner(struct oci_config *config, const json_t *inner, char **ret_error)
{
    if (oci_json_strings(inner, "Entrypoint", &config->entrypoint, ret_error) < 0 ||
        oci_json_strings(inner, "Cmd", &config->cmd, ret_error) < 0 ||
        oci_json_strings(inner, "Env", &config->env, ret_error) < 0 ||
        oci_json_keys(inner, "ExposedPorts", &config->ports, ret_error) < 0 ||
        oci_json_keys(inner, "Volumes", &config->volumes, ret_error) < 0 ||
        copy_string(inner, "User", &config->user, ret_error) < 0 ||
        copy_string(inner, "WorkingDir", &config->workdir, ret_error) < 0 ||
        copy_string(inner, "StopSignal", &config->stop_signal, ret_error) < 0)
        return -1;
    return parse_labels(config, inner, ret_error);
}

static int check_machine(const json_t *root, char **ret_error)
{
    const char *os = NULL, *architecture = NULL;

    if (oci_json_string(root, "os", &os, ret_error) < 0 ||
        oci_json_string(root, "architecture", &architecture, ret_error) < 0)
        return -1;
    if (!os || !architecture)
        return error_set(ret_error, "it does not say which system it is for (\"os\", \"architecture\")");
    if (strcmp(os, WANTED_OS) != 0 || strcmp(architecture, WANTED_ARCHITECTURE) != 0)
        return error_set(ret_error,
                         "the image is for %s/%s; only " WANTED_OS "/" WANTED_ARCHITECTURE " can be converted", os,
                         architecture);
    return 0;
}

static int parse_config(struct oci_config *config, const json_t *root, char **ret_error)
{
    json_t *inner = NULL, *rootfs = NULL;
    uint8_t digest[SHA256_SIZE];

    if (!json_is_object(root))
        return error_set(ret_error, "it is not an object");
    if (check_machine(root, ret_error) < 0 || oci_json_object(root, "config", &inner, ret_error) < 0 ||
        parse_inner(config, inner, ret_error) < 0 || oci_json_object(root, "rootfs", &rootfs, ret_error) < 0 ||
        oci_json_strings(rootfs, "diff_ids", &config->diff_ids, ret_error) < 0)
        return -1;
    for (size_t i = 0; i < config->diff_ids.count; i++) {
        if (!digest_parse(config->diff_ids.items[i], digest))
            return error_set(ret_error, "diff_id \"%s\" is not a sha256 digest", config->diff_ids.items[i]);
    }
    return 0;
}

int oci_config_parse(struct oci_config *config, const char *text, size_t size, char **ret_error)
{
    *config = (struct oci_config){0};
    json_t *root = oci_json_parse(text, size, "the image configuration", ret_error);
    if (!root)
        return -1;
    int result = parse_config(config, root, ret_error);
    json_decref(root);
    if (result < 0) {
        oci_config_free(config);
        return error_wrap(ret_error, "image configuration");
    }
    return 0;
}

void oci_config_free(struct oci_config *config)
{
    string_list_clear(&config->entrypoint);
    string_list_clear(&config->cmd);
    string_list_clear(&config->env);
    string_list_clear(&config->ports);
    string_list_clear(&config->volumes);
    string_list_clear(&config->diff_ids);
    free(config->user);
    free(config->workdir);
    free(config->stop_signal);
    json_decref(config->labels);
    *config = (struct oci_config){0};
}

/* Choosing */

static const char *annotation(const json_t *descriptor, const char *name)
{
    return json_string_value(json_object_get(json_object_get(descriptor, "annotations"), name));
}

/* How well a descriptor fits: 0 not at all, 1 it does not say, 2 another variant, 3 exactly. */
static int platform_score(const json_t *descriptor)
{
    const json_t *platform = json_object_get(descriptor, "platform");
    const char *os = json_string_value(json_object_get(platform, "os"));
    const char *architecture = json_string_value(json_object_get(platform, "architecture"));
    const char *variant = json_string_value(json_object_get(platform, "variant"));

    if (!json_is_object(descriptor) || annotation(descriptor, "vnd.docker.reference.type"))
        return 0;
    if (!json_is_object(platform))
        return 1;
    if (!os || !architecture || strcmp(os, WANTED_OS) != 0 || strcmp(architecture, WANTED_ARCHITECTURE) != 0)
        return 0;
    return variant && *variant && strcmp(variant, "v1") != 0 ? 2 : 3;
}

static bool reference_matches(const json_t *descriptor, const char *reference)
{
    const char *name = annotation(descriptor, REF_NAME),
               *long_name = annotation(descriptor, "io.containerd.image.name");

    return !reference || (name && strcmp(name, reference) == 0) || (long_name && strcmp(long_name, reference) == 0);
}

static void append_text(char *list, size_t room, const char *text)
{
    size_t used = strlen(list);

    if (used + strlen(text) + 6 < room) {
        if (used)
            strcat(list, ", ");
        strcat(list, text);
    } else if (used >= 3 && strcmp(list + used - 3, "...") != 0) {
        strcat(list, "...");
    }
}

/* "linux/arm64, linux/s390x" */
static void list_platforms(const json_t *manifests, char *list, size_t room)
{
    const json_t *descriptor;
    char text[160];
    size_t i;

    list[0] = 0;
    json_array_foreach(manifests, i, descriptor)
    {
        const json_t *platform = json_object_get(descriptor, "platform");
        const char *os = json_string_value(json_object_get(platform, "os"));
        const char *architecture = json_string_value(json_object_get(platform, "architecture"));
        if (os && architecture) {
            snprintf(text, sizeof(text), "%s/%s", os, architecture);
            append_text(list, room, text);
        }
    }
}

static void list_references(const json_t *manifests, char *list, size_t room)
{
    const json_t *descriptor;
    size_t i;

    list[0] = 0;
    json_array_foreach(manifests, i, descriptor)
    {
        const char *name = annotation(descriptor, REF_NAME);
        if (name)
            append_text(list, room, name);
    }
}

static const json_t *refuse_choice(const json_t *manifests, const char *reference, int best, char **ret_error)
{
    char list[400];

    if (best > 0) {
        list_references(manifests, list, sizeof(list));
        error_set(ret_error, "it holds several images; say which one as PATH:NAME (there are: %s)", list);
    } else if (reference) {
        list_references(manifests, list, sizeof(list));
        error_set(ret_error, "it holds no image \"%s\" for " WANTED_OS "/" WANTED_ARCHITECTURE " (there are: %s)",
                  reference, list);
    } else {
        list_platforms(manifests, list, sizeof(list));
        error_set(ret_error, "it holds no image for " WANTED_OS "/" WANTED_ARCHITECTURE "%s%s",
                  *list ? ", only for " : "", list);
    }
    return NULL;
}

static bool same_digest(const json_t *a, const json_t *b)
{
    const char *x = json_string_value(json_object_get(a, "digest")),
               *y = json_string_value(json_object_get(b, "digest"));

    return x && y && strcmp(x, y) == 0;
}

const json_t *oci_index_choose(const json_t *index, const char *reference, char **ret_error)
{
    const json_t *manifests = json_object_get(index, "manifests"), *descriptor, *chosen = NULL, *latest = NULL;
    int best = 0;
    bool several = false, named = false;
    size_t i;

    if (!json_is_array(manifests)) {
        error_set(ret_error, "the index has no list of manifests");
        return NULL;
    }
    json_array_foreach(manifests, i, descriptor)
    {
        int score = reference_matches(descriptor, reference) ? platform_score(descriptor) : 0;
        const char *name = annotation(descriptor, REF_NAME);
        if (score == 0 || score < best)
            continue;
        if (score > best) {
            chosen = latest = NULL;
            several = named = false;
        }
        several |= chosen && !same_digest(chosen, descriptor);
        named |= name != NULL;
        if (!latest && name && strcmp(name, "latest") == 0)
            latest = descriptor;
        if (!chosen)
            chosen = descriptor;
        best = score;
    }
    /* Only names make a difference that the user can express; of several without names the first counts. */
    if (several && named && !latest)
        return refuse_choice(manifests, reference, best, ret_error);
    if (several && latest)
        chosen = latest;
    return chosen ? chosen : refuse_choice(manifests, reference, 0, ret_error);
}
