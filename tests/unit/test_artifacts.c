/* Parts of a converted image: from a folder, out of a layer archive, damaged; and published ports in use. */
#include "abi/boot.h"
#include "host/artifacts.h"
#include "host/ports.h"
#include "image/sgx_arch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], path[128];
static char *error;
static uint8_t archive[1 << 17];
static size_t archive_size;

static struct policy test_policy(void)
{
    return (struct policy){.magic = POLICY_MAGIC,
                           .version = POLICY_VERSION,
                           .size = sizeof(struct policy),
                           .boot_interface = BOOT_INTERFACE};
}

static int setup(void **state)
{
    strcpy(folder, "/tmp/cofre-artifacts-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/layer.tar", folder);
    archive_size = 0;
    return 0;
}

static void remove_file(const char *name)
{
    char file[128];

    snprintf(file, sizeof(file), "%s/%s", folder, name);
    unlink(file);
}

static int teardown(void **state)
{
    static const char *const names[] = {"layer.tar", "kernel", "policy", "sigstruct", "root.img"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        remove_file(names[i]);
    rmdir(folder);
    free(error);
    error = NULL;
    return 0;
}

static void write_file(const char *name, const void *data, size_t size)
{
    char file[128];
    int fd;

    snprintf(file, sizeof(file), "%s/%s", folder, name);
    fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, data, size), size);
    close(fd);
}

static void add_member(const char *name, char type, const void *data, size_t size)
{
    uint8_t *header = archive + archive_size;

    memset(header, 0, 512);
    snprintf((char *)header, 100, "%s", name);
    snprintf((char *)header + 124, 12, "%011zo", size);
    header[156] = (uint8_t)type;
    memcpy(header + 257, "ustar", 6);
    memcpy(header + 512, data, size);
    archive_size += 512 + ((size + 511) & ~511UL);
}

/* The next member's data starts at a multiple of `align`, by a padding member before it, as in our own layers. */
static void pad_to(size_t align)
{
    static const uint8_t zeros[8192];
    size_t data_at = (archive_size + 1024 + align - 1) & ~(align - 1); /* a padding member and the next header */

    add_member("pax", 'x', zeros, data_at - 1024 - archive_size);
}

static void add_all(size_t align)
{
    static uint8_t kernel[5000], sig[sizeof(struct sgx_sigstruct)], root[8192];
    struct policy policy = test_policy();

    memset(kernel, 'k', sizeof(kernel));
    memset(root, 'r', sizeof(root));
    add_member("cofre/", '5', "", 0);
    pad_to(align);
    add_member("cofre/kernel", '0', kernel, sizeof(kernel));
    pad_to(align);
    add_member("cofre/policy", '0', &policy, sizeof(policy));
    pad_to(align);
    add_member("cofre/sigstruct", '0', sig, sizeof(sig));
    pad_to(align);
    add_member("./cofre/root.img", '0', root, sizeof(root));
    memset(archive + archive_size, 0, 1024);
    archive_size += 1024;
}

static int open_layer(struct artifacts *a, uint64_t offset, uint64_t size)
{
    struct run_options options = {.layer = path, .layer_offset = offset, .layer_size = size};

    free(error);
    error = NULL;
    return artifacts_open(a, &options, &error);
}

static void check_all(const struct artifacts *a)
{
    assert_int_equal(a->kernel.size, 5000);
    assert_int_equal(((const char *)a->kernel.data)[4999], 'k');
    assert_int_equal(a->root.size, 8192);
    assert_int_equal(((const char *)a->root.data)[0], 'r');
    assert_int_equal((uintptr_t)a->root.data % 4096, 0);
    assert_int_equal(artifacts_policy(a)->magic, POLICY_MAGIC);
}

static void test_aligned_layer(void **state)
{
    struct artifacts a;

    add_all(4096);
    write_file("layer.tar", archive, archive_size);
    assert_int_equal(open_layer(&a, 0, 0), 0);
    check_all(&a);
}

static void test_unaligned_layer_is_copied(void **state)
{
    struct artifacts a;

    add_all(512);
    write_file("layer.tar", archive, archive_size);
    assert_int_equal(open_layer(&a, 0, 0), 0);
    check_all(&a);
}

static void test_layer_inside_an_archive(void **state)
{
    struct artifacts a;

    archive_size = 512;
    memset(archive, 'x', 512);
    add_all(4096);
    write_file("layer.tar", archive, archive_size);
    assert_int_equal(open_layer(&a, 512, archive_size - 512), 0);
    check_all(&a);
    assert_true(open_layer(&a, 0, 0) < 0);
    assert_true(open_layer(&a, 512, archive_size) < 0);
}

static void test_damaged_layers(void **state)
{
    struct artifacts a;
    size_t whole;

    add_all(4096);
    whole = archive_size;
    for (size_t cut = 0; cut < whole - 1024; cut += 1500) {
        unlink(path);
        write_file("layer.tar", archive, cut);
        assert_true(open_layer(&a, 0, 0) < 0);
        assert_non_null(error);
    }
    write_file("layer.tar", "PK\3\4 something else, long enough for a header", 40);
    assert_true(open_layer(&a, 0, 0) < 0);
}

static void test_folder(void **state)
{
    struct run_options options = {.dir = folder};
    struct policy policy = test_policy();
    uint8_t sig[sizeof(struct sgx_sigstruct)] = {0};
    struct artifacts a;

    write_file("kernel", "k", 1);
    write_file("policy", &policy, sizeof(policy));
    write_file("sigstruct", sig, sizeof(sig));
    assert_true(artifacts_open(&a, &options, &error) < 0);
    write_file("root.img", "r", 1);
    assert_int_equal(artifacts_open(&a, &options, &error), 0);
    policy.boot_interface++;
    write_file("policy", &policy, sizeof(policy));
    assert_true(artifacts_open(&a, &options, &error) < 0);
    assert_non_null(strstr(error, "convert it again"));
    free(error);
    error = NULL;
    policy = test_policy();
    policy.version++;
    write_file("policy", &policy, sizeof(policy));
    assert_true(artifacts_open(&a, &options, &error) < 0);
    write_file("policy", "", 0);
    assert_true(artifacts_open(&a, &options, &error) < 0);
}

static void test_policy_strings_stay_inside(void **state)
{
    struct {
        struct policy policy;
        char text[15]; /* the last string does not end */
    } blob = {.policy = test_policy(), .text = "one\0two\0openend"};
    struct artifacts a = {.policy = {&blob, sizeof(struct policy) + 15}};
    struct policy_list list = {.offset = sizeof(struct policy), .count = 9};

    assert_string_equal(artifacts_policy_string(&a, list, 0), "one");
    assert_string_equal(artifacts_policy_string(&a, list, 1), "two");
    assert_null(artifacts_policy_string(&a, list, 2));
    list.offset = 1u << 30;
    assert_null(artifacts_policy_string(&a, list, 0));
}

static void test_published_port_in_use(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct run_options options = {.port_count = 1};
    socklen_t size = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(fd, 1), 0);
    getsockname(fd, (struct sockaddr *)&in, &size);
    options.ports[0] = (struct port_mapping){.host_port = ntohs(in.sin_port), .port = 1, .protocol = IPPROTO_TCP};
    assert_int_equal(ports_check(&options, &error), -EADDRINUSE);
    assert_non_null(strstr(error, "publishing port"));
    close(fd);
    assert_int_equal(ports_check(&options, &error), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_aligned_layer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unaligned_layer_is_copied, setup, teardown),
        cmocka_unit_test_setup_teardown(test_layer_inside_an_archive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_layers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_policy_strings_stay_inside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_published_port_in_use, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
