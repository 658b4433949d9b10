/* The JSON documents of a converted image. */
#include "image/convert_documents.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "image/oci.h"

#define CREATED "1970-01-01T00:00:00Z"
#define TYPE_LAYER "application/vnd.oci.image.layer.v1.tar"
#define TYPE_CONFIG "application/vnd.oci.image.config.v1+json"
#define TYPE_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define TYPE_INDEX "application/vnd.oci.image.index.v1+json"

static json_t *checked(json_t *json)
{
    if (!json)
        errx(1, "out of memory for the image's documents");
    return json;
}

static char *dump(json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);

    json_decref(json);
    if (!text)
        errx(1, "out of memory for the image's documents");
    return text;
}

static void digest_of(const char *text, char ret_digest[DIGEST_TEXT_SIZE])
{
    uint8_t hash[SHA256_SIZE];

    sha256_of(text, strlen(text), hash);
    digest_format(hash, ret_digest);
}

static void set_label(json_t *labels, const char *name, const char *text)
{
    if (json_object_set_new(labels, name, json_string(text)) < 0)
        errx(1, "out of memory for the image's documents");
}

/* The source's own labels stay. The signer's is always there, so that signing later has a place to write to. */
static json_t *make_labels(const struct convert_facts *facts)
{
    const struct oci_image *source = facts->source;
    json_t *labels = checked(source->config.labels ? json_deep_copy(source->config.labels) : json_object());
    char text[SHA256_HEX_SIZE];

    hex_encode(facts->mrenclave, SHA256_SIZE, text);
    set_label(labels, "io.cofre.mrenclave", text);
    if (facts->mrsigner)
        hex_encode(facts->mrsigner, SHA256_SIZE, text);
    set_label(labels, "io.cofre.mrsigner", facts->mrsigner ? text : "unsigned");
    set_label(labels, "io.cofre.source.digest",
              source->manifest_digest[0] ? source->manifest_digest : source->config_digest);
    return labels;
}

static json_t *make_ports(const struct oci_config *config)
{
    json_t *ports = checked(json_object());

    for (size_t i = 0; i < config->ports.count; i++)
        json_object_set_new(ports, config->ports.items[i], checked(json_object()));
    return ports;
}

static char *make_config(const struct convert_facts *facts)
{
    const struct oci_config *config = &facts->source->config;
    json_t *inner = checked(json_pack("{s:[s, s], s:s, s:o}", "Entrypoint", "/cofre/runtime", "--", "WorkingDir", "/",
                                      "Labels", make_labels(facts)));

    if (config->ports.count)
        json_object_set_new(inner, "ExposedPorts", make_ports(config));
    if (config->stop_signal)
        json_object_set_new(inner, "StopSignal", json_string(config->stop_signal));
    return dump(
        checked(json_pack("{s:s, s:s, s:s, s:o, s:{s:s, s:[s]}, s:[{s:s, s:s}]}", "created", CREATED, "architecture",
                          "amd64", "os", "linux", "config", inner, "rootfs", "type", "layers", "diff_ids",
                          facts->layer_digest, "history", "created", CREATED, "created_by", "cofre convert")));
}

static json_t *make_descriptor(const char *type, const char *digest, uint64_t size)
{
    return checked(json_pack("{s:s, s:s, s:I}", "mediaType", type, "digest", digest, "size", (json_int_t)size));
}

static char *make_manifest(const struct convert_facts *facts, const struct convert_documents *documents)
{
    return dump(checked(json_pack("{s:i, s:s, s:o, s:[o]}", "schemaVersion", 2, "mediaType", TYPE_MANIFEST, "config",
                                  make_descriptor(TYPE_CONFIG, documents->config_digest, strlen(documents->config)),
                                  "layers", make_descriptor(TYPE_LAYER, facts->layer_digest, facts->layer_size))));
}

static char *make_index(const struct convert_facts *facts, const struct convert_documents *documents)
{
    json_t *descriptor = make_descriptor(TYPE_MANIFEST, documents->manifest_digest, strlen(documents->manifest));

    json_object_set_new(descriptor, "platform",
                        checked(json_pack("{s:s, s:s}", "architecture", "amd64", "os", "linux")));
    json_object_set_new(descriptor, "annotations",
                        checked(json_pack("{s:s}", "org.opencontainers.image.ref.name", facts->name)));
    return dump(
        checked(json_pack("{s:i, s:s, s:[o]}", "schemaVersion", 2, "mediaType", TYPE_INDEX, "manifests", descriptor)));
}

void convert_documents_make(struct convert_documents *documents, const struct convert_facts *facts)
{
    documents->config = make_config(facts);
    digest_of(documents->config, documents->config_digest);
    documents->manifest = make_manifest(facts, documents);
    digest_of(documents->manifest, documents->manifest_digest);
    documents->index = make_index(facts, documents);
}

void convert_documents_free(struct convert_documents *documents)
{
    free(documents->config);
    free(documents->manifest);
    free(documents->index);
    *documents = (struct convert_documents){0};
}
