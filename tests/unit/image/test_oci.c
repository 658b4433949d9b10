/* Image configurations, manifests, indexes and archives: good ones and hostile ones. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "image/convert_policy.h"
#include "image/file_io.h"
#include "image/oci.h"
#include "image/oci_json.h"
#include "tests/unit/image/tarball.h"

#define D1 "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define D3 "sha256:3333333333333333333333333333333333333333333333333333333333333333"
#define SYSTEM "\"os\":\"linux\",\"architecture\":\"amd64\""

static void a_configuration_is_read(void **state)
{
    static const char text[] =
        "{" SYSTEM ",\"config\":{\"Entrypoint\":[\"/a\",\"b\"],\"Cmd\":null,\"Env\":[\"A=1\"],\"User\":\"u:g\","
        "\"WorkingDir\":\"/w\",\"ExposedPorts\":{\"80/tcp\":{}},\"Volumes\":{\"/v\":{}},\"StopSignal\":\"SIGINT\","
        "\"Labels\":{\"l\":\"x\"}},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D1 "\"]}}";
    struct oci_config config;
    char *error = NULL;
    (void)state;

    assert_int_equal(oci_config_parse(&config, text, strlen(text), &error), 0);
    assert_int_equal(config.entrypoint.count, 2);
    assert_string_equal(config.entrypoint.items[1], "b");
    assert_int_equal(config.cmd.count, 0);
    assert_string_equal(config.env.items[0], "A=1");
    assert_string_equal(config.user, "u:g");
    assert_string_equal(config.workdir, "/w");
    assert_string_equal(config.ports.items[0], "80/tcp");
    assert_string_equal(config.volumes.items[0], "/v");
    assert_string_equal(config.stop_signal, "SIGINT");
    assert_string_equal(config.diff_ids.items[0], D1);
    oci_config_free(&config);
}

static void bad_configurations_are_refused(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"", "JSON"},
        {"[]", "not an object"},
        {"{", "JSON"},
        {"{\"os\":1}", "\"os\" is not a string"},
        {"{}", "does not say which system"},
        {"{\"os\":\"linux\",\"architecture\":\"arm64\"}", "linux/arm64"},
        {"{\"os\":\"windows\",\"architecture\":\"amd64\"}", "windows/amd64"},
        {"{" SYSTEM "," SYSTEM "}", "duplicate"},
        {"{" SYSTEM ",\"config\":[]}", "\"config\" is not an object"},
        {"{" SYSTEM ",\"config\":{\"Env\":\"A=1\"}}", "\"Env\" is not a list"},
        {"{" SYSTEM ",\"config\":{\"Env\":[1]}}", "\"Env\" is not a list of strings"},
        {"{" SYSTEM ",\"config\":{\"Entrypoint\":\"/bin/sh\"}}", "\"Entrypoint\" is not a list"},
        {"{" SYSTEM ",\"config\":{\"User\":{}}}", "\"User\" is not a string"},
        {"{" SYSTEM ",\"config\":{\"ExposedPorts\":[\"80\"]}}", "\"ExposedPorts\" is not an object"},
        {"{" SYSTEM ",\"config\":{\"Labels\":{\"l\":1}}}", "label \"l\""},
        {"{" SYSTEM ",\"rootfs\":{\"diff_ids\":[\"sha256:00\"]}}", "not a sha256 digest"},
        {"{" SYSTEM ",\"rootfs\":{\"diff_ids\":[\"../../../etc/passwd\"]}}", "not a sha256 digest"},
        {"{" SYSTEM ",\"config\":{\"User\":\"a\\u0000b\"}}", "JSON"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct oci_config config;
        char *error = NULL;
        assert_int_equal(oci_config_parse(&config, cases[i].text, strlen(cases[i].text), &error), -1);
        if (!strstr(error, cases[i].error))
            fail_msg("\"%s\" is not in \"%s\"", cases[i].error, error);
        free(error);
    }
}

static void deep_json_is_refused(void **state)
{
    struct oci_config config;
    char *text = malloc(100000), *error = NULL;
    (void)state;

    memset(text, '[', 100000);
    assert_int_equal(oci_config_parse(&config, text, 100000, &error), -1);
    free(error);
    free(text);
}

static void large_json_is_refused(void **state)
{
    char *error = NULL;
    (void)state;

    assert_null(oci_json_parse("{}", OCI_JSON_SIZE_MAX + 1, "it", &error));
    assert_non_null(strstr(error, "larger than"));
    free(error);
}

#define ENTRY(digest, os, arch, more)                                                                                  \
    "{\"digest\":\"" digest "\",\"size\":1,\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"" more "}}"
#define NAMED(digest, name)                                                                                            \
    "{\"digest\":\"" digest "\",\"annotations\":{\"org.opencontainers.image.ref.name\":\"" name "\"}}"

static void an_index_gives_the_image_for_this_machine(void **state)
{
    static const struct {
        const char *manifests, *reference, *digest, *error; /* digest NULL: refused with error */
    } cases[] = {
        {ENTRY(D1, "linux", "arm64", "") "," ENTRY(D2, "linux", "amd64", ""), NULL, D2, NULL},
        {ENTRY(D1, "linux", "amd64", ",\"variant\":\"v3\"") "," ENTRY(D2, "linux", "amd64", ""), NULL, D2, NULL},
        {ENTRY(D1, "linux", "amd64", ",\"variant\":\"v2\""), NULL, D1, NULL},
        {ENTRY(D1, "linux", "arm64", "") "," ENTRY(D2, "windows", "amd64", ""), NULL, NULL,
         "linux/arm64, windows/amd64"},
        {ENTRY(D1, "unknown", "unknown", "") "," ENTRY(D2, "linux", "amd64", ""), NULL, D2, NULL},
        {NAMED(D1, "one"), NULL, D1, NULL},
        {NAMED(D1, "one") "," NAMED(D2, "two"), "two", D2, NULL},
        {NAMED(D1, "one") "," NAMED(D2, "two"), NULL, NULL, "one, two"},
        {NAMED(D1, "one") "," NAMED(D1, "two"), NULL, D1, NULL},
        {NAMED(D1, "one") "," NAMED(D2, "latest") "," NAMED(D3, "x"), NULL, D2, NULL},
        {NAMED(D1, "one"), "three", NULL, "no image \"three\""},
        {"", NULL, NULL, "no image for linux/amd64"},
        {"1,null,\"x\",[]", NULL, NULL, "no image for linux/amd64"},
        {"{\"annotations\":[],\"platform\":7,\"digest\":\"" D1 "\"}", NULL, D1, NULL},
        {"{\"digest\":\"" D1 "\",\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\"}}", NULL, NULL,
         "no image"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = NULL, *error = NULL;
        assert_true(asprintf(&text, "{\"manifests\":[%s]}", cases[i].manifests) > 0);
        json_t *index = oci_json_parse(text, strlen(text), "index", &error);
        assert_non_null(index);
        const json_t *chosen = oci_index_choose(index, cases[i].reference, &error);
        if (cases[i].digest) {
            assert_non_null(chosen);
            assert_string_equal(json_string_value(json_object_get(chosen, "digest")), cases[i].digest);
        } else {
            assert_null(chosen);
            if (!strstr(error, cases[i].error))
                fail_msg("\"%s\" is not in \"%s\"", cases[i].error, error);
        }
        free(error);
        free(text);
        json_decref(index);
    }
}

#define LAYER "{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"" D2 "\",\"size\":5}"
#define CONFIG "\"config\":{\"digest\":\"" D1 "\",\"size\":7}"

static void bad_manifests_are_refused(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"{" CONFIG ",\"layers\":[" LAYER "]}", NULL},
        {"{" CONFIG ",\"layers\":[]}", NULL},
        {"{\"fsLayers\":[]}", "schema 1"},
        {"{" CONFIG "}", "no configuration or no layers"},
        {"{\"layers\":[]}", "no configuration or no layers"},
        {"[]", "no configuration or no layers"},
        {"{\"config\":{\"digest\":\"md5:00\",\"size\":1},\"layers\":[]}", "not a sha256 digest"},
        {"{\"config\":{\"digest\":\"sha256:../../../../../../../../../../../../../../../../../../../etc/passwd\","
         "\"size\":1},\"layers\":[]}",
         "not a sha256 digest"},
        {"{\"config\":{\"digest\":\"" D1 "\",\"size\":-1},\"layers\":[]}", "has no size"},
        {"{\"config\":{\"digest\":\"" D1 "\",\"size\":1.5},\"layers\":[]}", "has no size"},
        {"{" CONFIG ",\"layers\":[1]}", "no media type"},
        {"{" CONFIG ",\"layers\":[{\"mediaType\":\"text/plain\"}]}", "not the media type of a file system layer"},
        {"{" CONFIG ",\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip+encrypted\"}]}",
         "encrypted"},
        {"{" CONFIG ",\"layers\":[" LAYER ",{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\"}]}", "no digest"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct oci_image image = {.store.fd = -1};
        char digest[DIGEST_TEXT_SIZE], *error = NULL;
        uint64_t size;
        json_t *manifest = oci_json_parse(cases[i].text, strlen(cases[i].text), "manifest", &error);
        assert_non_null(manifest);
        int result = oci_manifest_parse(&image, manifest, digest, &size, &error);
        assert_int_equal(result, cases[i].error ? -1 : 0);
        if (cases[i].error && !strstr(error, cases[i].error))
            fail_msg("\"%s\" is not in \"%s\"", cases[i].error, error);
        free(error);
        json_decref(manifest);
        oci_image_close(&image);
    }
}

/* Archives */

static char *write_temporary(const struct tarball *tar)
{
    char *path = strdup("/tmp/cofre-test-XXXXXX");
    int fd = mkostemp(path, O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, tar->bytes, tar->size), tar->size);
    close(fd);
    return path;
}

static void assert_member(const struct oci_store *store, const char *name, const char *wanted)
{
    struct blob blob;
    char text[100] = "", *error = NULL;

    assert_int_equal(oci_store_find(store, name, &blob, &error), 0);
    assert_int_equal(blob.size, strlen(wanted));
    assert_int_equal(file_read(blob.fd, blob.offset, text, blob.size, name, &error), 0);
    assert_string_equal(text, wanted);
    close(blob.fd);
}

static void members_of_archives_are_read_in_place(void **state)
{
    (void)state;

    for (int packed = 0; packed < 2; packed++) {
        struct tarball tar = {0};
        struct oci_store store;
        struct blob blob;
        char *error = NULL;
        tarball_dir(&tar, "layers/");
        tarball_file(&tar, "./layers/one", "first");
        tarball_pax(&tar, "path", "a/long/name", 11);
        tarball_file(&tar, "short", "second");
        tarball_symlink(&tar, "layers/link", "../a/long/name");
        tarball_symlink(&tar, "layers/up", "../../../../../layers/one");
        tarball_symlink(&tar, "loop", "loop");
        tarball_file(&tar, "empty", "");
        tarball_file(&tar, "a/long/name", "third");
        tarball_end(&tar);
        if (packed)
            tarball_gzip(&tar);
        char *path = write_temporary(&tar);
        assert_int_equal(oci_store_open(&store, path, 1 << 20, &error), 0);
        assert_member(&store, "layers/one", "first");
        assert_member(&store, "a/long/name", "third");
        assert_member(&store, "layers/link", "third");
        assert_member(&store, "layers/up", "first");
        assert_member(&store, "empty", "");
        assert_int_equal(oci_store_find(&store, "loop", &blob, &error), 1);
        assert_int_equal(oci_store_find(&store, "nowhere", &blob, &error), 1);
        oci_store_close(&store);
        unlink(path);
        free(path);
        tarball_free(&tar);
    }
}

static void bad_archives_are_refused(void **state)
{
    (void)state;

    for (int i = 0; i < 4; i++) {
        static const char *const errors[] = {"empty", "truncated", "limit of 1000 bytes", "rchive"};
        struct tarball tar = {0};
        struct oci_store store;
        char *error = NULL, data[3000] = "";
        tarball_add(&tar, &(struct tar_entry){"x", '0', .data = data, .size = sizeof(data)});
        tarball_end(&tar);
        if (i == 0)
            tar.size = 0;
        if (i == 1)
            tar.size = 1000;
        if (i == 2)
            tarball_gzip(&tar);
        if (i == 3)
            memset(tar.bytes, 'g', tar.size);
        char *path = write_temporary(&tar);
        assert_int_equal(oci_store_open(&store, path, 1000, &error), -1);
        if (!strstr(error, errors[i]))
            fail_msg("\"%s\" is not in \"%s\"", errors[i], error);
        free(error);
        unlink(path);
        free(path);
        tarball_free(&tar);
    }
}

static void stop_signals_are_understood(void **state)
{
    static const struct {
        const char *text;
        uint32_t number; /* 0 = refused */
    } cases[] = {
        {"SIGTERM", 15}, {"TERM", 15}, {"9", 9},         {"SIGRTMIN+3", 37}, {"RTMIN", 34}, {"SIGQUIT", 3},
        {"SIGNOPE", 0},  {"65", 0},    {"0", 0},         {"-1", 0},          {"SIG", 0},    {"SIGRTMIN+31", 0},
        {"RTMIN+", 34},  {"15x", 0},   {"SIGRTMINx", 0}, {"SIGRTMIN+3x", 0},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct oci_config config = {.stop_signal = (char *)cases[i].text};
        struct policy_source source;
        char *error = NULL;
        policy_source_init(&source);
        assert_int_equal(convert_policy(&source, &config, &error), cases[i].number ? 0 : -1);
        assert_int_equal(source.stop_signal, cases[i].number);
        free(error);
        policy_source_free(&source);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_configuration_is_read),
        cmocka_unit_test(bad_configurations_are_refused),
        cmocka_unit_test(deep_json_is_refused),
        cmocka_unit_test(large_json_is_refused),
        cmocka_unit_test(an_index_gives_the_image_for_this_machine),
        cmocka_unit_test(bad_manifests_are_refused),
        cmocka_unit_test(members_of_archives_are_read_in_place),
        cmocka_unit_test(bad_archives_are_refused),
        cmocka_unit_test(stop_signals_are_understood),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
