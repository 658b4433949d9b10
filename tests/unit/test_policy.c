/* Policy: YAML to compiled to JSON; every kind of mistake is named with file, line and key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/x509.h>

#include "abi/key_release.h"
#include "image/policy.h"

static const struct policy_root root = {.size = 8192, .hash_offset = 8192};

static char *parse_error(const char *text)
{
    struct policy_source source;
    char *error = NULL;
    policy_source_init(&source);
    assert_int_equal(policy_source_parse(&source, "p.yaml", text, strlen(text), &error), -1);
    policy_source_free(&source);
    return error;
}

static void expect_error(const char *text, const char *want)
{
    char *error = parse_error(text);
    if (!strstr(error, want))
        fail_msg("\"%s\" does not contain \"%s\"", error, want);
    free(error);
}

static void mistakes_are_named(void **state)
{
    expect_error("memory: 1G\nmemry: 2G\n", "p.yaml:2: unknown key \"memry\"");
    expect_error("network:\n  listn: any\n", "p.yaml:2: unknown key \"network.listn\"");
    expect_error("memory: lots\n", "p.yaml:1: memory: a size");
    expect_error("memory: 1000\n", "multiple of 4096");
    expect_error("vcpus: 0\n", "p.yaml:1: vcpus: a number from 1 to 64");
    expect_error("processes: 0\n", "p.yaml:1: processes: a number from 1 to 65535");
    expect_error("edmm: maybe\n", "true or false");
    expect_error("memory: 1G\nmemory: 2G\n", "appears twice");
    expect_error("command: 3\n", "a mapping");
    expect_error("network: {listen: [70000]}\n", "port \"70000\"");
    expect_error("network: {listen: [80/sctp]}\n", "port \"80/sctp\"");
    expect_error("tmpfs: [{path: tmp}]\n", "not absolute");
    expect_error("env: {set: {A=B: c}}\n", "NAME has no");
    expect_error("version: 2\n", "only version 1");
    expect_error("root:\n  key: attested\n", "p.yaml:2: root.key: \"server\"");
    expect_error("root: {key: [file]}\n", "p.yaml:1: root.key: \"server\"");
    expect_error("memory: [1\n", "p.yaml:");
    for (const char *const *bad = (const char *const[]){"counter:1", "1.2.3.4", "1.2.3.4:0", "1.2.3.4:70000", ":1",
                                                        "[::1]", "1.2.3.4:1x", NULL};
         *bad; bad++) {
        char text[64];
        snprintf(text, sizeof(text), "anchor: {address: '%s'}\n", *bad);
        expect_error(text, "p.yaml:1: anchor.address: an address");
    }
    expect_error("anchor: {key: abcd}\n", "p.yaml:1: anchor.key: the service's public key");
    expect_error("key_server: {key: abcd}\n", "p.yaml:1: key_server.key: the service's public key");
    expect_error("key_server: {address: 'keys.example:1'}\n", "p.yaml:1: key_server.address: an address");
    char long_name[KEY_NAME_SIZE + 1] = "";
    memset(long_name, 'a', KEY_NAME_SIZE);
    const char *const bad_names[] = {"''", "'.a'", "a/b", "'../a'", "\"a\\0b\"", "a b", long_name};
    for (size_t i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++) {
        char text[128];
        snprintf(text, sizeof(text), "root: {key_name: %s}\n", bad_names[i]);
        expect_error(text, "p.yaml:1: root.key_name: a key's name");
    }
    expect_error("volumes: [{name: a, path: /a, key: server, key_name: a/b}]\n", "a key's name");
    expect_error("volumes: [{name: a b, path: /a, key: server}]\n", "a key's name");
    expect_error("volumes: [{name: a, path: /a, key: file, key_name: b}]\n", "key_name is for key: server");
    expect_error("volumes: [{name: a, path: /a, key: hope}]\n", "key must be");
    expect_error("anchor: {timeout: 0}\n", "p.yaml:1: anchor.timeout: a number from 1 to 600");
    expect_error("volumes: [{name: a, path: /a, freshness: fresh}]\n", "freshness must be");
    expect_error("memory: 99999999999999999999\n", "a size");
    expect_error("memory: 18014398509481984K\n", "a size");
}

static struct policy *compile(const char *text, size_t *ret_size)
{
    struct policy_source source;
    struct policy *policy = NULL;
    char *error = NULL;
    policy_source_init(&source);
    string_list_add(&source.entrypoint, "/bin/server");
    string_list_add(&source.cmd, "--default");
    if (policy_source_parse(&source, "p.yaml", text, strlen(text), &error) < 0 ||
        policy_compile(&source, &root, &policy, ret_size, &error) < 0)
        fail_msg("%s", error);
    policy_source_free(&source);
    return policy;
}

static void compiles_what_it_says(void **state)
{
    size_t size;
    struct policy *p = compile("memory: 64M\nvcpus: 3\nprocesses: 7\nedmm: false\nenv: {set: {A: b}, allow: [C, D_*]}\n"
                               "command: {args: [x, y], user: \"12:34\"}\nnetwork: {listen: [53/udp, 53, 22]}\n",
                               &size);
    char *error = NULL;
    assert_int_equal(policy_check(p, size, &error), 0);
    assert_int_equal(p->memory_size, 64 << 20);
    assert_int_equal(p->vcpu_max, 3);
    assert_int_equal(p->process_max, 7);
    assert_false(p->flags & POLICY_EDMM);
    assert_int_equal(p->uid, 12);
    assert_int_equal(p->gid, 34);
    assert_string_equal(policy_blob_item(p, p->entrypoint, 0), "/bin/server");
    assert_string_equal(policy_blob_item(p, p->cmd, 1), "y");
    assert_null(policy_blob_item(p, p->cmd, 2));
    assert_string_equal(policy_blob_item(p, p->env, 0), "A=b");
    assert_string_equal(policy_blob_item(p, p->env_allow, 1), "D_*");
    const struct policy_port *ports = (const struct policy_port *)((const char *)p + p->ports.offset);
    assert_int_equal(p->ports.count, 3);
    assert_int_equal(ports[0].port, 22);
    free(p);
}

/* The root image as encrypted, or not, and what the policy says of its key: both or neither. */
static int compile_encrypted(bool encrypted, const char *text, struct policy **ret_policy, size_t *ret_size)
{
    struct policy_root where = root;
    struct policy_source source;
    char *error = NULL;
    where.cipher = encrypted ? POLICY_CIPHER_AES_XTS : POLICY_CIPHER_NONE;
    memset(where.key_check, encrypted ? 0xab : 0, sizeof(where.key_check));
    policy_source_init(&source);
    string_list_add(&source.entrypoint, "/bin/server");
    int result = policy_source_parse(&source, "p.yaml", text, strlen(text), &error);
    assert_int_equal(result, 0);
    result = policy_compile(&source, &where, ret_policy, ret_size, &error);
    assert_true((result < 0) == (error != NULL));
    free(error);
    policy_source_free(&source);
    return result;
}

static void encryption_is_said(void **state)
{
    struct policy *p = NULL;
    size_t size;
    assert_int_equal(compile_encrypted(true, "", &p, &size), -1);
    assert_int_equal(compile_encrypted(false, "root: {key: file}\n", &p, &size), -1);
    assert_int_equal(compile_encrypted(true, "root: {key: file}\n", &p, &size), 0);
    assert_int_equal(policy_check(p, size, NULL), 0);
    json_t *json = policy_to_json(p), *image = json_object_get(json, "root_image");
    assert_true(json_is_true(json_object_get(image, "encrypted")));
    assert_string_equal(json_string_value(json_object_get(image, "cipher")), "aes-xts-plain64");
    assert_int_equal(json_integer_value(json_object_get(image, "sector_size")), 4096);
    assert_string_equal(json_string_value(json_object_get(image, "key_check")), "abababababababababababababababab");
    assert_string_equal(json_string_value(json_object_get(json_object_get(json, "root"), "key")), "file");
    json_decref(json);
    p->root_cipher = 7;
    char *error = NULL;
    assert_int_equal(policy_check(p, size, &error), -1);
    assert_non_null(strstr(error, "encrypted in a way"));
    free(error);
    free(p);
}

static int compile_error(const char *text, const char *want)
{
    struct policy_source source;
    struct policy *policy = NULL;
    size_t size;
    char *error = NULL;
    policy_source_init(&source);
    assert_int_equal(policy_source_parse(&source, "p.yaml", text, strlen(text), &error), 0);
    int result = policy_compile(&source, &root, &policy, &size, &error);
    if (result < 0 && (!want || !strstr(error, want)))
        fail_msg("\"%s\" is not what was expected", error);
    policy_source_free(&source);
    free(policy);
    free(error);
    return result;
}

#define KEY "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"
static void anchor_is_whole(void **state)
{
    static const char command[] = "command: {entrypoint: [/bin/true]}\n";
    char text[512];
    const char *const bad[][2] = {
        {"anchor: {address: '10.0.0.1:4455'}\n", "needs an address and a key"},
        {"anchor: {key: " KEY "}\n", "needs an address and a key"},
        {"volumes: [{name: a, path: /a, freshness: strict}]\n", "the volume a needs an anchor"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), "%s%s", command, bad[i][0]);
        assert_int_equal(compile_error(text, bad[i][1]), -1);
    }
    snprintf(text, sizeof(text),
             "%sanchor: {address: '[fd00::1]:4455', key: " KEY ", timeout: 7}\n"
             "volumes: [{name: a, path: /a, freshness: output}]\n",
             command);
    assert_int_equal(compile_error(text, NULL), 0);
}

/* count certificates with a key of that kind, as a policy has them. */
static void certificate_yaml(const char *group, unsigned count, char ret_yaml[4096], char ret_point[256])
{
    EVP_PKEY *key = strcmp(group, "RSA") == 0 ? EVP_RSA_gen(1024) : EVP_EC_gen(group);
    X509 *x = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());
    uint8_t point[128];
    size_t point_size = 0;
    char *pem;
    X509_gmtime_adj(X509_getm_notBefore(x), -7200);
    X509_gmtime_adj(X509_getm_notAfter(x), -3600); /* dates do not count */
    X509_set_pubkey(x, key);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    for (unsigned i = 0; i < count; i++)
        PEM_write_bio_X509(bio, x);
    long size = BIO_get_mem_data(bio, &pem);
    char *at = stpcpy(ret_yaml, "  certificate: |\n");
    for (long i = 0; i < size; i++) {
        if (i == 0 || pem[i - 1] == '\n')
            at = stpcpy(at, "    ");
        *at++ = pem[i];
    }
    *at = 0;
    EVP_PKEY_get_octet_string_param(key, "pub", point, sizeof(point), &point_size);
    for (size_t i = 0; i < point_size && i < 127; i++)
        snprintf(ret_point + 2 * i, 3, "%02x", point[i]);
    BIO_free(bio);
    X509_free(x);
    EVP_PKEY_free(key);
}

#define SERVER "key_server: {address: '10.0.0.1:4455', key: " KEY ", timeout: 7}\n"
static void key_server_is_whole(void **state)
{
    static const char command[] = "command: {entrypoint: [/bin/true]}\n";
    char text[512];
    const char *const bad[][2] = {
        {"key_server: {address: '10.0.0.1:4455'}\n", "key_server needs an address and a key"},
        {"key_server: {key: " KEY "}\n", "key_server needs an address and a key"},
        {"volumes: [{name: a, path: /a, key: server}]\n", "the volume a needs a key server"},
        {SERVER "root: {key: server}\n", "go together"},
        {SERVER "root: {key_name: a}\n", "go together"},
        {"root: {key: server, key_name: a}\n", "root.key: server needs a key server"},
        {SERVER "root: {key: server, key_name: a}\n", "root.key is for an encrypted image"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), "%s%s", command, bad[i][0]);
        assert_int_equal(compile_error(text, bad[i][1]), -1);
    }
}

static void marble_is_whole(void **state)
{
    static const char address[] = "command: {entrypoint: [/bin/true]}\nanchor:\n  address: 10.0.0.1:4433\n";
    char yaml[4096], point[256], text[8192];
    (void)state;
    static const char *const groups[] = {"P-256", "P-384"};
    for (unsigned i = 0; i < 2; i++) {
        struct policy *p;
        size_t size;
        char *error = NULL;
        certificate_yaml(groups[i], 1, yaml, point);
        snprintf(text, sizeof(text), "%s%s  marble_key: server\n  marble_key_name: shop\n%s", address, yaml, SERVER);
        p = compile(text, &size);
        assert_int_equal(policy_check(p, size, &error), 0);
        json_t *json = policy_to_json(p), *anchor = json_object_get(json, "anchor");
        assert_string_equal(json_string_value(json_object_get(anchor, "protocol")), "marblerun");
        assert_string_equal(json_string_value(json_object_get(anchor, "public_key")), point);
        assert_string_equal(json_string_value(json_object_get(anchor, "marble_key")), "server");
        assert_string_equal(json_string_value(json_object_get(anchor, "marble_key_name")), "shop");
        json_decref(json);
        char *digits = (char *)p + p->marble.point_offset;
        digits[5] = 'G'; /* and each change of what it refers to */
        assert_int_equal(policy_check(p, size, NULL), -1);
        digits[5] = '0';
        p->marble.key_release = POLICY_KEY_FILE;
        assert_int_equal(policy_check(p, size, NULL), -1);
        p->marble.key_name_offset = 0;
        assert_int_equal(policy_check(p, size, NULL), 0);
        p->marble.key_release = POLICY_KEY_NONE;
        assert_int_equal(policy_check(p, size, NULL), -1);
        p->marble.key_release = POLICY_KEY_FILE;
        p->marble.point_offset++; /* a digit less */
        assert_int_equal(policy_check(p, size, NULL), -1);
        p->marble.point_offset = 0;
        assert_int_equal(policy_check(p, size, NULL), -1);
        free(p);
    }
    const char *const bad[][2] = {
        {"", "anchor.certificate (MarbleRun's root) and anchor.marble_key go together"},
        {"  marble_key: server\n", "go together"},
        {"  marble_key: file\n  marble_key_name: a\n", "go together"},
        {"  marble_key: server\n  marble_key_name: a\n", "needs a key server"},
        {"  marble_key: file\n  key: " KEY "\n", "not both"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), "%s%s%s", address, yaml, bad[i][0]);
        assert_int_equal(compile_error(text, bad[i][1]), -1);
    }
    snprintf(text, sizeof(text), "%s  key: " KEY "\n  marble_key: file\n", address);
    assert_int_equal(compile_error(text, "go together"), -1);
    static const struct {
        const char *group;
        unsigned count;
        const char *want;
    } wrong[] = {{"P-256", 0, "there is no certificate in it"},
                 {"P-384", 2, "more than one certificate"},
                 {"P-521", 1, "no ECDSA key on P-256 or P-384"},
                 {"RSA", 1, "no ECDSA key on P-256 or P-384"}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        certificate_yaml(wrong[i].group, wrong[i].count, yaml, point);
        snprintf(text, sizeof(text), "anchor:\n%s", yaml);
        expect_error(text, wrong[i].want);
    }
    expect_error("anchor: {marble_key: hope}\n", "p.yaml:1: anchor.marble_key: \"server\"");
    expect_error("anchor: {certificate: [a]}\n", "p.yaml:1: anchor.certificate: a certificate in PEM");
}

static void keys_of_a_server_are_said(void **state)
{
    struct policy *p = NULL;
    size_t size;
    char *error = NULL;
    assert_int_equal(compile_encrypted(true,
                                       SERVER "root: {key: server, key_name: app}\n"
                                              "volumes: [{name: a, path: /a, key: server}, "
                                              "{name: b, path: /b, key: server, key_name: c}, {name: d, path: /d}]\n",
                                       &p, &size),
                     0);
    assert_int_equal(policy_check(p, size, &error), 0);
    assert_int_equal(p->key_server.timeout_ms, 7000);
    assert_int_equal(p->root_key_release, POLICY_KEY_SERVER);
    json_t *json = policy_to_json(p), *volumes = json_object_get(json, "volumes");
    json_t *server = json_object_get(json, "key_server"), *where = json_object_get(json, "root");
    assert_string_equal(json_string_value(json_object_get(where, "key")), "server");
    assert_string_equal(json_string_value(json_object_get(where, "key_name")), "app");
    assert_string_equal(json_string_value(json_object_get(server, "address")), "10.0.0.1:4455");
    assert_int_equal(json_integer_value(json_object_get(server, "timeout")), 7);
    for (size_t i = 0; i < 3; i++) {
        const char *name = json_string_value(json_object_get(json_array_get(volumes, i), "key_name"));
        const char *want = (const char *[]){"a", "c", NULL}[i];
        assert_true(want ? name && strcmp(name, want) == 0 : !name);
    }
    json_decref(json);
    p->root_key_name_offset = 0;
    assert_int_equal(policy_check(p, size, &error), -1);
    free(error);
    free(p);
}

static void is_canonical(void **state)
{
    size_t a_size, b_size;
    struct policy *a = compile("network: {listen: [80, 443]}\nmemory: 1G\n", &a_size);
    struct policy *b = compile("memory: 1024M\nnetwork:\n  listen: [443/tcp, 80]\n", &b_size);
    assert_int_equal(a_size, b_size);
    assert_memory_equal(a, b, a_size);
    free(a);
    free(b);
}

/* Any byte of a compiled policy changed: the check accepts or refuses, and never reads outside. */
static void changed_bytes_are_survived(void **state)
{
    size_t size;
    struct policy *p = compile("env: {set: {A: b}}\ntmpfs: [{path: /tmp}]\nnetwork: {listen: [1]}\n", &size);
    uint8_t *copy = malloc(size);
    for (size_t i = 0; i < size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            char *error = NULL;
            memcpy(copy, p, size);
            copy[i] ^= (uint8_t)(1 << bit);
            if (policy_check(copy, size, &error) == 0)
                json_decref(policy_to_json((struct policy *)copy));
            free(error);
        }
    }
    for (size_t cut = 0; cut < size; cut++) {
        char *error = NULL;
        uint8_t *part = malloc(cut + 1);
        memcpy(part, p, cut);
        assert_int_equal(policy_check(part, cut, &error), -1);
        free(error);
        free(part);
    }
    free(copy);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_are_named),         cmocka_unit_test(compiles_what_it_says),
        cmocka_unit_test(encryption_is_said),         cmocka_unit_test(is_canonical),
        cmocka_unit_test(changed_bytes_are_survived), cmocka_unit_test(anchor_is_whole),
        cmocka_unit_test(key_server_is_whole),        cmocka_unit_test(marble_is_whole),
        cmocka_unit_test(keys_of_a_server_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
