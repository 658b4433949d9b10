/* cofre-runtime: builds the enclave of a converted image and is the machine around it. */
#include "host/clock.h"
#include "host/enclave.h"
#include "host/error.h"
#include "host/hostfs/hostfs.h"
#include "host/key_line.h"
#include "host/members.h"
#include "host/ports.h"
#include "host/pump/pump.h"
#include "host/quote/service.h"
#include "host/registry.h"
#include "host/runtime.h"
#include "host/start_pages.h"
#include "host/terminal.h"
#include "host/volumes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static struct runtime the_runtime;

static unsigned cpus_allowed(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

static unsigned choose_vcpu_count(const struct runtime *runtime)
{
    unsigned count = runtime->options.vcpu_count ? runtime->options.vcpu_count : cpus_allowed();
    unsigned max = artifacts_policy(&runtime->artifacts)->vcpu_max;

    return count < max ? count : max;
}

static void *shared_pages(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

/* An enclave and what it shares with this host process. */
static int prepare_enclave(struct runtime *runtime, char **ret_error)
{
    runtime->shared = shared_pages(runtime->vcpu_count * sizeof(*runtime->shared));
    runtime->stats = members_stats(runtime);
    if (!runtime->shared)
        return fail(ret_error, ENOMEM, "preparing the start failed: no memory");
    if (runtime->enclave) /* the zygote's */
        return sgx_inherit(runtime->enclave);
    return enclave_build(&runtime->artifacts, runtime->options.sgx, &runtime->enclave, ret_error);
}

static void run_enclave(struct runtime *runtime)
{
    char *error = NULL;

    if (boot_params_make(runtime, &error) < 0)
        die("%s", error);
    /* On softsgx $COFRE_AESM asks for the service all the same: it may be one that takes softsgx's reports. */
    quote_service_init(sgx_is_simulation(runtime->enclave) && !getenv("COFRE_AESM") ? &quoting_software
                                                                                    : &quoting_aesm);
    if (runtime->member != 0)
        vcpus_prepare(runtime);
    else if (vcpus_start(runtime, &error) < 0)
        die("%s", error);
    if (ticker_start(runtime) < 0)
        die("starting the ticker failed");
    if (runtime->member != 0)
        vcpus_run(runtime);
}

_Noreturn void member_main(struct runtime *runtime, uint32_t number)
{
    char *error = NULL;

    runtime->member = number;
    runtime->options.tty = false;
    member_self(runtime)->host_pid = (uint32_t)getpid();
    if (pump_new_member(runtime->pump, number, &runtime->own_pump, &error) < 0)
        die("%s", error);
    if (prepare_enclave(runtime, &error) < 0)
        die("%s", error ? error : "no memory");
    run_enclave(runtime);
    abort(); /* a member's vCPU runs there */
}

static void describe_ports(const struct run_options *options, char *text, size_t size)
{
    size_t used = 0;

    for (unsigned i = 0; i < options->port_count && used < size; i++) {
        const struct port_mapping *p = &options->ports[i];
        char ip[INET6_ADDRSTRLEN] = "*";

        if (p->family != AF_UNSPEC)
            inet_ntop(p->family, p->ip, ip, sizeof(ip));
        used +=
            (size_t)snprintf(text + used, size - used, p->family == AF_INET6 ? "%s[%s]:%u->%u/%s" : "%s%s:%u->%u/%s",
                             i ? "," : "", ip, p->host_port, p->port, p->protocol == IPPROTO_UDP ? "udp" : "tcp");
    }
}

/* A name that somebody asked for must be had; otherwise the container runs all the same where there is no list. */
static int enter_registry(const struct runtime *runtime, char **ret_error)
{
    const struct run_options *options = &runtime->options;
    const struct policy *policy = artifacts_policy(&runtime->artifacts);
    char name[REGISTRY_NAME_MAX + 1], ports[2048] = "";
    struct registry_entry entry = {options->name ? options->name : name,
                                   getpid(),
                                   (uint64_t)time(NULL),
                                   options->image ? options->image : "-",
                                   ports,
                                   policy->flags & POLICY_EXEC_ANY || policy->exec_commands.count};
    pid_t other = 0;
    int ret;

    snprintf(name, sizeof(name), "cofre-%d", getpid());
    describe_ports(options, ports, sizeof(ports));
    ret = registry_enter(&entry, &other);
    if (ret == -EEXIST)
        return fail(ret_error, EEXIST, "the name %s is in use by process %d (choose another --name)", entry.name,
                    other);
    if (ret < 0 && options->name)
        return fail(ret_error, -ret, "entering %s in the list of containers failed: %s", entry.name, strerror(-ret));
    return 0;
}

/* As the policy says, or elsewhere: whoever it is needs the pinned key. Members ask the init enclave. */
static int find_key_server(const struct runtime *runtime, char **ret_error)
{
    const struct policy *p = artifacts_policy(&runtime->artifacts);
    uint32_t at = p->key_server.address_offset;
    const char *address = getenv("COFRE_KEY_SERVER");

    if (at == 0)
        return 0;
    if (!address && at >= sizeof(*p) && at < p->size && memchr((const char *)p + at, 0, p->size - at))
        address = (const char *)p + at;
    return key_line_init(address ? address : "", p->key_server.timeout_ms, ret_error);
}

static int prepare(struct runtime *runtime, char **ret_error)
{
    const struct run_options *options = &runtime->options;
    struct pump_config config = {
        .ports = options->ports,
        .port_count = options->port_count,
        .stdin_open = options->interactive,
        .cpu_count = cpus_allowed(),
    };
    int ret;

    if (options->tty && options->interactive && !isatty(STDIN_FILENO))
        return fail(ret_error, ENOTTY, "the input device is not a terminal (leave out -t)");
    ret = ports_check(options, ret_error);
    if (ret < 0)
        return ret;
    ret = artifacts_open(&runtime->artifacts, options, ret_error);
    if (ret == 0 && !options->quote_path && !options->as_entrypoint)
        ret = enter_registry(runtime, ret_error);
    if (ret == 0)
        ret = image_key_load(runtime, ret_error);
    if (ret == 0)
        ret = marble_load(runtime, ret_error);
    if (ret < 0)
        return ret;
    runtime->vcpu_count = choose_vcpu_count(runtime);
    boot_params_prepare(runtime);
    runtime->start = start_pages_open(&runtime->artifacts, options);
    config.single_vcpu = runtime->vcpu_count == 1;
    config.exec_socket = registry_exec_socket();
    config.exec_wanted = config.exec_socket >= 0;
    ret = pump_new(&config, &runtime->pump, ret_error);
    if (ret == 0)
        ret = members_new(runtime, ret_error);
    if (ret == 0)
        ret = volumes_open(runtime, ret_error);
    if (ret == 0)
        ret = find_key_server(runtime, ret_error);
    if (ret == 0)
        ret = hostfs_open(runtime, ret_error);
    return ret < 0 ? ret : prepare_enclave(runtime, ret_error);
}

int main(int argc, char **argv)
{
    struct runtime *runtime = &the_runtime;
    uint64_t start = clock_monotonic_ns();
    char *error = NULL;
    int ret;

    mallopt(M_ARENA_MAX, 1); /* threads hardly allocate; an arena each would cost start-up time */
    ret = options_parse(&runtime->options, argc, argv, &error);
    if (ret < 0)
        die("%s", error ? error : strerror(-ret));
    if (runtime->options.help) {
        options_usage(stdout, "cofre-runtime");
        return 0;
    }
    signals_block();
    clock_calibrate();
    if (prepare(runtime, &error) < 0)
        die("%s", error ? error : "no memory");
    runtime->stats->ns_start = start;
    runtime->stats->ns_build = clock_monotonic_ns();
    if (sgx_is_simulation(runtime->enclave))
        sgx_simulation_notice();
    if (runtime->options.trace && !(artifacts_policy(&runtime->artifacts)->flags & POLICY_DIAGNOSTICS))
        fprintf(stderr, "cofre: there is no trace: the image's policy does not allow diagnostics\n");
    if (runtime->options.tty && isatty(STDIN_FILENO))
        terminal_raw(STDIN_FILENO);
    run_enclave(runtime);
    signals_forward(runtime);
}
