/* struct boot_params: what the host tells the kernel at the start. */
#include "host/clock.h"
#include "host/error.h"
#include "host/hostfs/hostfs.h"
#include "host/members.h"
#include "host/pump/pump.h"
#include "host/registry.h"
#include "host/runtime.h"
#include "host/start_pages.h"
#include "host/terminal.h"
#include "host/volumes.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#define CPUID_MAX 256
#define TEXT_MAX 65536

struct cpuid_table {
    struct boot_cpuid entries[CPUID_MAX];
    uint32_t count;
};

static struct boot_cpuid *cpuid_add(struct cpuid_table *table, uint32_t leaf, uint32_t subleaf)
{
    struct boot_cpuid *e = &table->entries[table->count];

    if (table->count == CPUID_MAX)
        return NULL;
    e->leaf = leaf;
    e->subleaf = subleaf;
    __cpuid_count(leaf, subleaf, e->eax, e->ebx, e->ecx, e->edx);
    table->count++;
    return e;
}

/* How many subleaves a leaf has: most have one; these say when they end. */
static void cpuid_add_leaf(struct cpuid_table *table, uint32_t leaf)
{
    struct boot_cpuid *e = cpuid_add(table, leaf, 0);
    uint32_t last = 0;

    if (!e)
        return;
    switch (leaf) {
    case 0x4: /* until a cache of type 0 */
        for (uint32_t i = 1; i < 16 && e && (e->eax & 0x1f); i++)
            e = cpuid_add(table, leaf, i);
        return;
    case 0xb:
    case 0x1f: /* until a level of type 0 */
        for (uint32_t i = 1; i < 8 && e && (e->ecx & 0xff00); i++)
            e = cpuid_add(table, leaf, i);
        return;
    case 0xd:
        last = 31;
        break;
    case 0x7:
    case 0x14:
    case 0x17:
    case 0x18:
    case 0x1d:
    case 0x20:
    case 0x24:
        last = e->eax < 16 ? e->eax : 16;
        break;
    case 0x12:
        last = 3;
        break;
    case 0x8000001d:
        last = 4;
        break;
    }
    for (uint32_t i = 1; i <= last; i++)
        cpuid_add(table, leaf, i);
}

void boot_params_prepare(struct runtime *runtime)
{
    struct cpuid_table *table = calloc(1, sizeof(*table));
    static const uint32_t bases[] = {0, 0x40000000, 0x80000000};

    if (!table)
        return;
    for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
        uint32_t max, b, c, d;

        __cpuid(bases[i], max, b, c, d);
        if (max < bases[i] || max > bases[i] + 0x40)
            max = max < bases[i] ? bases[i] : bases[i] + 0x40;
        for (uint32_t leaf = bases[i]; leaf <= max; leaf++)
            cpuid_add_leaf(table, leaf);
    }
    runtime->cpuid = (struct boot_blob){(uint64_t)(uintptr_t)table->entries, table->count * sizeof(struct boot_cpuid)};
}

static struct boot_blob blob(const void *data, size_t size)
{
    return (struct boot_blob){size ? (uint64_t)(uintptr_t)data : 0, size};
}

static struct boot_blob blob_string(const char *text)
{
    return blob(text, text ? strlen(text) : 0);
}

static struct boot_blob blob_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = fd >= 0 ? malloc(TEXT_MAX) : NULL;
    ssize_t size = text ? read(fd, text, TEXT_MAX) : 0;

    if (fd >= 0)
        close(fd);
    return blob(text, size > 0 ? (size_t)size : 0);
}

int image_key_load(struct runtime *runtime, char **ret_error)
{
    const char *path = runtime->options.image_key_path;
    bool wanted = artifacts_policy(&runtime->artifacts)->root_key_release == POLICY_KEY_FILE;
    uint8_t key[IMAGE_KEY_SIZE + 1];

    if (!path && wanted)
        return fail(ret_error, EINVAL, "the image is encrypted: give its key with --image-key FILE");
    if (!path)
        return 0;
    if (!wanted)
        return fail(ret_error, EINVAL, "--image-key %s: the image takes no key from a file", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, key, sizeof(key)) : -1;
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (size < 0)
        return fail(ret_error, error, "reading the image key %s failed: %s", path, strerror(error));
    if (size != IMAGE_KEY_SIZE)
        return fail(ret_error, EINVAL, "%s is not an image key: a file of %d bytes", path, IMAGE_KEY_SIZE);
    fprintf(stderr, "cofre: the image's key comes from a file on this machine: for development\n");
    memcpy(runtime->image_key, key, IMAGE_KEY_SIZE);
    runtime->image_key_size = IMAGE_KEY_SIZE;
    return 0;
}

/* What is in the file is the kernel's business: here only whose turn it is to say where the key comes from. */
int marble_load(struct runtime *runtime, char **ret_error)
{
    const char *path = runtime->options.marble_path;
    const struct policy_marble *marble = &artifacts_policy(&runtime->artifacts)->marble;

    if (!path)
        path = getenv("COFRE_MARBLE");
    if (!path || (!marble->point_offset && !runtime->options.marble_path))
        return 0;
    if (!marble->point_offset)
        return fail(ret_error, EINVAL, "--marble %s: the policy has no anchor at MarbleRun (policy: anchor)", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = -1;
    int error = errno;
    runtime->marble = fd >= 0 ? malloc(MARBLE_IDENTITY_MAX + 1) : NULL;
    if (runtime->marble) {
        size = read(fd, runtime->marble, MARBLE_IDENTITY_MAX + 1);
        error = errno;
    }
    if (fd >= 0)
        close(fd);
    if (size < 0)
        return fail(ret_error, error, "reading the marble's certificate %s failed: %s", path, strerror(error));
    if (size == 0 || size > (ssize_t)MARBLE_IDENTITY_MAX)
        return fail(ret_error, EINVAL, "%s is no marble's certificate: PEM of at most %u bytes", path,
                    MARBLE_IDENTITY_MAX);
    if (marble->key_release == POLICY_KEY_FILE)
        fprintf(stderr, "cofre: the marble's key comes from a file on this machine: for development\n");
    runtime->marble_size = (size_t)size;
    return 0;
}

/* May the host set the variable NAME (of length) by the policy? */
static bool env_allowed(const struct artifacts *a, const char *name, size_t length)
{
    const char *pattern;

    for (uint32_t i = 0; (pattern = artifacts_policy_string(a, artifacts_policy(a)->env_allow, i)); i++) {
        size_t size = strlen(pattern);

        if (size > 0 && pattern[size - 1] == '*' ? length >= size - 1 && memcmp(name, pattern, size - 1) == 0
                                                 : length == size && memcmp(name, pattern, size) == 0)
            return true;
    }
    return false;
}

/*
 * As an image's entrypoint we find the container's environment in our own. Engines put much into it that nobody asked
 * for: what the policy does not allow is left out here, while -e on our command line is passed on to be refused.
 */
static int add_environment(struct runtime *runtime)
{
    extern char **environ;
    int ret = 0;

    for (char **p = environ; runtime->options.as_entrypoint && *p && ret == 0; p++) {
        const char *equals = strchr(*p, '=');

        if (equals && env_allowed(&runtime->artifacts, *p, (size_t)(equals - *p)))
            ret = strings_add(&runtime->options.env, *p);
    }
    return ret;
}

/* An engine hands us the image's default command if the user gave none; the policy has it already. */
static bool args_are_default(const struct runtime *runtime)
{
    const struct strings *args = &runtime->options.args;
    const struct policy *policy = artifacts_policy(&runtime->artifacts);
    size_t at = 0;

    for (uint32_t i = 0; i < policy->cmd.count; i++) {
        const char *text = artifacts_policy_string(&runtime->artifacts, policy->cmd, i);

        if (!text || at >= args->size || strcmp(text, args->bytes + at) != 0)
            return false;
        at += strlen(text) + 1;
    }
    return at == args->size;
}

static uint32_t boot_flags(const struct runtime *runtime)
{
    const struct run_options *o = &runtime->options;

    return (o->tty ? BOOT_TTY : 0) | (sgx_is_simulation(runtime->enclave) ? BOOT_SIMULATION : 0) |
           (o->stats ? BOOT_STATS : 0) | (o->debug_log ? BOOT_LOG_DEBUG : 0) | (o->interactive ? BOOT_STDIN_OPEN : 0) |
           (o->trace ? BOOT_TRACE : 0) | (o->quote_path ? BOOT_QUOTE : 0) | (runtime->member ? BOOT_MEMBER : 0) |
           (sgx_keeps_xcr0(runtime->enclave) ? BOOT_XCR0 : 0) |
           (!runtime->member && registry_exec_socket() >= 0 ? BOOT_EXEC : 0);
}

static const char *host_name(const struct run_options *options)
{
    static char name[65];

    if (options->hostname)
        return options->hostname;
    return gethostname(name, sizeof(name) - 1) == 0 ? name : "cofre";
}

int boot_params_make(struct runtime *runtime, char **ret_error)
{
    const struct run_options *o = &runtime->options;
    const struct artifacts *a = &runtime->artifacts;
    struct boot_params *boot = mmap(NULL, sizeof(*boot), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct hostcall_clock now;
    uint32_t size = terminal_size();
    if (boot == MAP_FAILED || add_environment(runtime) < 0)
        return fail(ret_error, ENOMEM, "preparing the start failed: no memory");
    clock_read(&now);
    *boot = (struct boot_params){
        .magic = BOOT_MAGIC,
        .version = BOOT_VERSION,
        .size = sizeof(*boot),
        .flags = boot_flags(runtime),
        .vcpu_count = runtime->vcpu_count,
        .arena = pump_arena(runtime->pump), /* a member borrows channels */
        .queues = runtime->member ? pump_queues(runtime->own_pump) : blob(NULL, 0),
        .links = members_area(runtime),
        .member = runtime->member,
        .root = blob(a->root.data, a->root.size),
        .vcpu_shared = blob(runtime->shared, runtime->vcpu_count * sizeof(*runtime->shared)),
        .args = args_are_default(runtime) ? blob(NULL, 0) : blob(o->args.bytes, o->args.size),
        .env = blob(o->env.bytes, o->env.size),
        .hostname = blob_string(host_name(o)),
        .hosts = runtime->member ? blob(NULL, 0) : blob_file("/etc/hosts"),
        .resolv_conf = runtime->member ? blob(NULL, 0) : blob_file("/etc/resolv.conf"),
        .workdir = blob_string(o->workdir),
        .user = blob_string(o->user),
        .image_key = blob(runtime->image_key, runtime->image_key_size),
        .volumes = runtime->member ? blob(NULL, 0) : volumes_blob(),
        .cpuid = runtime->cpuid,
        .marble = runtime->member ? blob(NULL, 0) : blob(runtime->marble, runtime->marble_size),
        .hostfs = runtime->member ? blob(NULL, 0) : hostfs_blob(),
        .start = runtime->member || !runtime->start ? blob(NULL, 0) : blob(runtime->start, sizeof(*runtime->start)),
        .stats = o->stats ? blob(runtime->stats, sizeof(*runtime->stats)) : blob(NULL, 0),
        .tsc_hz = now.tsc_hz,
        .clock_tsc = now.tsc,
        .clock_monotonic_ns = now.monotonic_ns,
        .clock_realtime_ns = now.realtime_ns,
        .tty_rows = (uint16_t)(size >> 16),
        .tty_cols = (uint16_t)size,
    };
    if (getrandom(boot->random_seed, sizeof(boot->random_seed), 0) != sizeof(boot->random_seed))
        return fail(ret_error, errno, "getting random numbers failed: %s", strerror(errno));
    memcpy(boot->quote_data, o->quote_data, sizeof(boot->quote_data));
    runtime->boot = boot;
    return 0;
}
