/* The command line of cofre-runtime. */
#include "host/options.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct run_options o;
static char *error;

#define PARSE(...)                                                                                                     \
    ({                                                                                                                 \
        const char *argv_[] = {"cofre-runtime", __VA_ARGS__, NULL};                                                    \
        free(error);                                                                                                   \
        error = NULL;                                                                                                  \
        options_free(&o);                                                                                              \
        options_parse(&o, sizeof(argv_) / sizeof(argv_[0]) - 1, (char **)argv_, &error);                               \
    })

static int teardown(void **state)
{
    options_free(&o);
    free(error);
    error = NULL;
    return 0;
}

static void test_as_docker(void **state)
{
    assert_int_equal(PARSE("--dir", "/x", "-it", "-p8080:80", "-p", "127.0.0.1:53:5353/udp", "-e", "A=1", "--env=B=2",
                           "-w", "/srv", "--image-key", "/k", "-u", "1000:1000", "--name", "n", "--", "-v", "x"),
                     0);
    assert_string_equal(o.dir, "/x");
    assert_true(o.interactive && o.tty && !o.as_entrypoint);
    assert_int_equal(o.port_count, 2);
    assert_int_equal(o.ports[0].host_port, 8080);
    assert_int_equal(o.ports[0].port, 80);
    assert_int_equal(o.ports[1].protocol, IPPROTO_UDP);
    assert_int_equal(o.ports[1].family, AF_INET);
    assert_memory_equal(o.ports[1].ip, "\x7f\0\0\1", 4);
    assert_string_equal(o.image_key_path, "/k");
    assert_int_equal(o.env.size, 8);
    assert_memory_equal(o.env.bytes, "A=1\0B=2", 8);
    assert_memory_equal(o.args.bytes, "-v\0x", 5);
}

static void test_entrypoint(void **state)
{
    assert_int_equal(PARSE("redis-server", "--port", "1"), 0);
    assert_true(o.as_entrypoint);
    assert_int_equal(o.args.size, sizeof("redis-server\0--port\0001"));
}

static void test_stats_value_is_optional(void **state)
{
    assert_int_equal(PARSE("--stats", "x"), 0);
    assert_true(o.stats && !o.stats_path);
    assert_memory_equal(o.args.bytes, "x", 2);
    assert_int_equal(PARSE("--stats=json:/tmp/x"), 0);
    assert_string_equal(o.stats_path, "/tmp/x");
}

static void test_refused(void **state)
{
    static const char *const bad[][2] = {
        {"-p", "80"},       {"-p", "0:80"},     {"-p", "1:2:3:4"}, {"-p", "1:99999"},
        {"-p", "1:2/sctp"}, {"-p", "[::1:1:2"}, {"--vcpus", "0"},  {"--vcpus", "x"},
        {"-w", "relative"}, {"-e", "=x"},       {"--log", "loud"}, {"--hostname", ""},
        {"--bogus", "x"},   {"-Z", "x"},        {"--tty=1", "x"},  {"--stats=xml", "x"}};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_true(PARSE(bad[i][0], bad[i][1]) < 0);
        assert_non_null(error);
    }
    assert_true(PARSE("-p") < 0);
    assert_true(PARSE("--dir", "/a", "--layer", "/b") < 0);
}

static void test_ipv6_port(void **state)
{
    struct port_mapping m;

    assert_int_equal(port_mapping_parse(&m, "[::1]:80:8080", NULL), 0);
    assert_int_equal(m.family, AF_INET6);
    assert_int_equal(m.ip[15], 1);
}

static void test_env_file(void **state)
{
    char path[] = "/tmp/cofre-env-XXXXXX";
    static const char text[] = "# a comment\nA=1 2\n\nCOFRE_TEST_UNSET\nPATHLIKE=/x\r\n";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    assert_int_equal(PARSE("--env-file", path), 0);
    assert_memory_equal(o.env.bytes, "A=1 2\0PATHLIKE=/x", 18);
    unlink(path);
    assert_true(PARSE("--env-file", "/nonexistent/file") < 0);
}

static void test_quote(void **state)
{
    char digits[2 * sizeof(o.quote_data) + 1];

    for (size_t i = 0; i < sizeof(o.quote_data); i++)
        snprintf(digits + 2 * i, 3, "%02x", (unsigned)(i * 5 + 3) & 0xff);
    assert_int_equal(PARSE("--quote", "-", "--quote-data", digits), 0);
    assert_string_equal(o.quote_path, "-");
    for (size_t i = 0; i < sizeof(o.quote_data); i++)
        assert_int_equal(o.quote_data[i], (i * 5 + 3) & 0xff);
    digits[7] = 'x';
    assert_true(PARSE("--quote-data", digits) < 0);
    digits[7] = '\0';
    assert_true(PARSE("--quote-data", digits) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_as_docker, teardown),
        cmocka_unit_test_teardown(test_entrypoint, teardown),
        cmocka_unit_test_teardown(test_stats_value_is_optional, teardown),
        cmocka_unit_test_teardown(test_refused, teardown),
        cmocka_unit_test_teardown(test_ipv6_port, teardown),
        cmocka_unit_test_teardown(test_env_file, teardown),
        cmocka_unit_test_teardown(test_quote, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
