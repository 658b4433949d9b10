/* `cofre check`: what this machine offers, and what `cofre run` would use. */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli/command.h"

static const char usage[] = "Usage: cofre check [--json]\n\n"
                            "Says what this machine offers for enclaves and what `cofre run` would use.\n\n"
                            "Exit status: 0 if images run in a hardware enclave; 1 if only in the software enclave.";

/* SDM vol. 3D, 37.7.2: CPUID leaf 12H. */
struct cpu_sgx {
    int sgx, flc, sgx1, sgx2;
    unsigned max_enclave_bits;
    uint64_t epc_bytes;
};

static void cpu_query(struct cpu_sgx *ret)
{
    unsigned a, b, c, d;
    *ret = (struct cpu_sgx){0};
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & (1U << 2)))
        return;
    ret->sgx = 1;
    ret->flc = (c >> 30) & 1;
    if (!__get_cpuid_count(0x12, 0, &a, &b, &c, &d))
        return;
    ret->sgx1 = a & 1;
    ret->sgx2 = (a >> 1) & 1;
    ret->max_enclave_bits = (d >> 8) & 0xff;
    for (unsigned subleaf = 2; subleaf < 16 && __get_cpuid_count(0x12, subleaf, &a, &b, &c, &d); subleaf++) {
        if ((a & 15) != 1)
            break;
        ret->epc_bytes += ((uint64_t)(d & 0xfffff) << 32) | (c & 0xfffff000U);
    }
}

static const char *device_state(const char *path)
{
    if (access(path, F_OK) < 0)
        return "absent";
    return access(path, R_OK | W_OK) == 0 ? "usable" : "present, but this user may not open it";
}

/* AESM answers on a stream socket; connecting is enough to know that it runs. */
static const char *aesm_state(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/var/run/aesmd/aesm.socket"};
    if (access(address.sun_path, F_OK) < 0)
        return "absent";
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return "unknown";
    int r = connect(fd, (struct sockaddr *)&address, sizeof(address));
    close(fd);
    return r == 0 ? "running" : "not answering";
}

/* io_uring_setup with no parameters fails with EFAULT where it is permitted, EPERM or ENOSYS where it is not. */
static const char *io_uring_state(void)
{
    long r = syscall(SYS_io_uring_setup, 1, NULL);
    if (r >= 0)
        close((int)r);
    return r >= 0 || errno == EFAULT || errno == EINVAL ? "usable" : errno == ENOSYS ? "absent" : "forbidden";
}

static json_t *gather(int *ret_hardware)
{
    struct cpu_sgx cpu;
    struct utsname kernel;
    unsigned major = 0, minor = 0;
    cpu_query(&cpu);
    uname(&kernel);
    sscanf(kernel.release, "%u.%u", &major, &minor);
    const char *enclave_device = device_state("/dev/sgx_enclave"), *uring = io_uring_state(), *aesm = aesm_state();
    int edmm = cpu.sgx2 && major >= 6; /* the driver's SGX2 ioctls came with Linux 6.0 */
    *ret_hardware = cpu.sgx1 && cpu.flc && strcmp(enclave_device, "usable") == 0;
    return json_pack("{s:b,s:b,s:b,s:b,s:I,s:i,s:s,s:s,s:s,s:b,s:s,s:s,s:s,s:s,s:s}", "sgx", cpu.sgx, "sgx1", cpu.sgx1,
                     "sgx2", cpu.sgx2, "flc", cpu.flc, "epc_bytes", (json_int_t)cpu.epc_bytes, "max_enclave_bits",
                     (int)cpu.max_enclave_bits, "kernel", kernel.release, "enclave_device", enclave_device,
                     "provision_device", device_state("/dev/sgx_provision"), "edmm", edmm, "aesm", aesm, "io_uring",
                     uring, "enclave", *ret_hardware ? "hardware" : "software (simulation, protects nothing)", "pump",
                     strcmp(uring, "usable") == 0 ? "io_uring" : "epoll", "quotes",
                     !*ret_hardware                 ? "simulated quoting enclave (proves nothing)"
                     : strcmp(aesm, "running") == 0 ? "AESM"
                                                    : "none: aesmd is not running");
}

static void print_human(json_t *facts)
{
    static const struct {
        const char *key, *label;
    } rows[] = {
        {"sgx", "CPU has SGX"},
        {"sgx1", "  SGX1 instructions"},
        {"sgx2", "  SGX2 instructions"},
        {"flc", "  flexible launch control"},
        {"epc_bytes", "  enclave page cache"},
        {"max_enclave_bits", "  largest enclave, 2^"},
        {"kernel", "Linux"},
        {"enclave_device", "  /dev/sgx_enclave"},
        {"provision_device", "  /dev/sgx_provision"},
        {"edmm", "  dynamic memory (EDMM)"},
        {"io_uring", "  io_uring"},
        {"aesm", "AESM (quotes)"},
        {"enclave", "`cofre run` would use: enclave"},
        {"pump", "`cofre run` would use: pump"},
        {"quotes", "quotes would come from"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const json_t *value = json_object_get(facts, rows[i].key);
        printf("%-32s ", rows[i].label);
        if (json_is_string(value))
            puts(json_string_value(value));
        else if (json_is_boolean(value))
            puts(json_is_true(value) ? "yes" : "no");
        else if (strcmp(rows[i].key, "epc_bytes") == 0)
            printf("%lld MiB\n", (long long)json_integer_value(value) >> 20);
        else
            printf("%lld\n", (long long)json_integer_value(value));
    }
}

int cmd_check(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {"json", no_argument, NULL, 'j'}, {0}};
    int as_json = 0, hardware;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'h') {
            puts(usage);
            return 0;
        }
        if (c != 'j')
            return EXIT_USAGE;
        as_json = 1;
    }
    if (argc != optind)
        return command_usage("check", "no argument is wanted");
    json_t *facts = gather(&hardware);
    if (as_json) {
        json_dumpf(facts, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        print_human(facts);
    }
    json_decref(facts);
    return hardware ? 0 : EXIT_NOT_SO;
}
