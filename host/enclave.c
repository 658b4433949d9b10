/* ECREATE, EADD, EINIT through the Linux SGX interface. */
#include "host/enclave.h"

#include "abi/layout.h"
#include "host/error.h"
#include "image/enclave_layout.h"
#include "image/sgx_arch.h"

#include <errno.h>
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ZEROS_SIZE 0x100000UL

struct secs { /* SDM 3D, 38.7 */
    uint64_t size, base;
    uint32_t ssa_frame_size, miscselect;
    uint8_t reserved1[24];
    uint64_t attributes, xfrm;
    uint8_t rest[4096 - 64];
};
_Static_assert(sizeof(struct secs) == 4096, "SDM 38.7");

struct secinfo {
    uint64_t flags, reserved[7];
};

struct build {
    struct sgx_enclave *enclave;
    void *zeros; /* never written: all its pages are the zero page */
    char **ret_error;
};

static int add_run(struct build *b, uint64_t address, const void *data, uint64_t size, uint64_t flags, int measure)
{
    struct secinfo secinfo __attribute__((aligned(64))) = {.flags = flags};
    struct sgx_enclave_add_pages add = {
        .src = (uint64_t)(uintptr_t)data,
        .offset = address - ELRANGE_BASE,
        .length = size,
        .secinfo = (uint64_t)(uintptr_t)&secinfo,
        .flags = measure ? SGX_PAGE_MEASURE : 0,
    };

    while (add.length > 0) { /* the driver may stop half-way for a signal */
        int ret;

        add.count = 0;
        ret = sgx_ioctl(b->enclave, SGX_IOC_ENCLAVE_ADD_PAGES, &add);
        if (ret < 0 && ret != -EINTR && ret != -EAGAIN)
            return fail(b->ret_error, -ret, "adding enclave pages at %#lx failed: %s%s", (unsigned long)address,
                        strerror(-ret), ret == -ENOMEM ? " (not enough EPC or memory: give the policy less)" : "");
        add.src += add.count;
        add.offset += add.count;
        add.length -= add.count;
    }
    return 0;
}

static int map_run(struct build *b, uint64_t address, uint64_t size, uint64_t flags)
{
    int prot = (flags & SGX_SECINFO_R ? PROT_READ : 0) | (flags & SGX_SECINFO_W ? PROT_WRITE : 0) |
               (flags & SGX_SECINFO_X ? PROT_EXEC : 0);
    int ret;

    if ((flags & 0xff00) == SGX_SECINFO_TCS)
        prot = PROT_READ | PROT_WRITE;
    ret = sgx_map(b->enclave, address, size, prot);
    if (ret < 0)
        return fail(b->ret_error, -ret, "mapping enclave pages at %#lx failed: %s", (unsigned long)address,
                    strerror(-ret));
    return 0;
}

static int add_pages(void *arg, uint64_t address, const void *data, uint64_t page_count, uint64_t flags, int measure)
{
    struct build *b = arg;
    uint64_t size = page_count * PAGE_SIZE;

    if (data)
        return add_run(b, address, data, size, flags, measure);
    while (size > 0) {
        uint64_t chunk = size < ZEROS_SIZE ? size : ZEROS_SIZE;
        int ret = add_run(b, address, b->zeros, chunk, flags, measure);

        if (ret < 0)
            return ret;
        address += chunk;
        size -= chunk;
    }
    return 0;
}

static int map_pages(void *arg, uint64_t address, const void *data, uint64_t page_count, uint64_t flags, int measure)
{
    return map_run(arg, address, page_count * PAGE_SIZE, flags);
}

/* With EDMM: where pages may come to be later. The enclave decides what each may be; page tables need not repeat it. */
static int map_dynamic(struct build *b, const struct policy *policy)
{
    const uint64_t all = SGX_SECINFO_R | SGX_SECINFO_W | SGX_SECINFO_X;
    int ret = map_run(b, USER_BASE, KERNEL_BASE - USER_BASE, all);

    return ret < 0 ? ret : map_run(b, KHEAP_BASE, policy->elrange_size - KHEAP_BASE, all);
}

static uint64_t __attribute__((target("xsave"))) xcr0_read(void)
{
    return _xgetbv(0);
}

static int create(struct build *b, const struct policy *policy, const struct sgx_sigstruct *sig)
{
    struct secs secs __attribute__((aligned(4096))) = {
        .size = policy->elrange_size,
        .base = ELRANGE_BASE,
        .ssa_frame_size = SSA_FRAME_PAGES,
        .miscselect = SGX_MISC_EXINFO,
        .attributes = SGX_ATTR_MODE64BIT | (sig->attributes_flags & SGX_ATTR_DEBUG),
        .xfrm = policy->xfrm_low,
    };
    struct sgx_enclave_create arg = {.src = (uint64_t)(uintptr_t)&secs};
    int ret;

    if (policy->xfrm_low & ~xcr0_read())
        return fail(b->ret_error, ENOTSUP,
                    "creating the enclave failed: its policy asks for CPU state (XFRM %#x) that this machine lacks",
                    policy->xfrm_low);
    ret = sgx_reserve(b->enclave, ELRANGE_BASE, policy->elrange_size);
    if (ret < 0)
        return fail(b->ret_error, -ret, "reserving the enclave's addresses failed: %s%s", strerror(-ret),
                    ret == -ENOMEM ? " (raise the limit on address space: ulimit -v)" : "");
    ret = sgx_ioctl(b->enclave, SGX_IOC_ENCLAVE_CREATE, &arg);
    if (ret < 0)
        return fail(b->ret_error, -ret, "creating the enclave failed: %s", strerror(-ret));
    return 0;
}

/* EINIT's answers, SDM 3D table of EINIT error codes; negative ones are errno. */
static const char *init_error(int code)
{
    switch (code) {
    case 1:
        return "the SIGSTRUCT is malformed";
    case 2:
        return "the signed attributes do not match (a debug enclave, or CPU state that was not signed)";
    case 4:
        return "the measurement does not match: kernel, policy or signature was changed (convert or sign again)";
    case 8:
        return "the signature does not verify";
    case 16:
        return "the launch token was refused";
    case 32:
    case 64:
        return "the security version was refused";
    case 128:
        return "interrupted";
    default:
        return code < 0 ? strerror(-code) : "unknown SGX error";
    }
}

static int init(struct build *b, const struct sgx_sigstruct *sig)
{
    struct sgx_sigstruct *copy = aligned_alloc(4096, 4096);
    struct sgx_enclave_init arg = {.sigstruct = (uint64_t)(uintptr_t)copy};
    int ret;

    if (!copy)
        return -ENOMEM;
    memset(copy, 0, 4096);
    memcpy(copy, sig, sizeof(*sig));
    ret = sgx_ioctl(b->enclave, SGX_IOC_ENCLAVE_INIT, &arg);
    free(copy);
    if (ret == -EPERM && sgx_init_error(b->enclave))
        ret = (int)sgx_init_error(b->enclave);
    if (ret != 0)
        return fail(b->ret_error, ret < 0 ? -ret : EPERM, "initialising the enclave failed: %s", init_error(ret));
    return 0;
}

static int build_all(struct build *b, const struct artifacts *artifacts)
{
    const struct policy *policy = artifacts_policy(artifacts);
    const struct sgx_sigstruct *sig = artifacts->sigstruct.data;
    const struct enclave_parts parts = {artifacts->kernel.data, artifacts->kernel.size, artifacts->policy.data,
                                        artifacts->policy.size};
    char *layout_error = NULL;
    int ret;

    if ((policy->flags & POLICY_EDMM) && !sgx_has_edmm(b->enclave))
        return fail(
            b->ret_error, ENOTSUP,
            "building the enclave failed: its policy needs EDMM (SGX2), which this machine lacks (edmm: false)");
    ret = create(b, policy, sig);
    if (ret == 0)
        ret = enclave_layout_for_each(&parts, add_pages, b, &layout_error);
    if (ret == 0)
        ret = init(b, sig);
    if (ret == 0)
        ret = enclave_layout_for_each(&parts, map_pages, b, &layout_error);
    if (ret == 0 && (policy->flags & POLICY_EDMM))
        ret = map_dynamic(b, policy);
    if (layout_error) {
        ret = fail(b->ret_error, EINVAL, "building the enclave failed: %s", layout_error);
        free(layout_error);
    }
    return ret;
}

int enclave_build(const struct artifacts *artifacts, enum sgx_kind kind, struct sgx_enclave **ret_enclave,
                  char **ret_error)
{
    struct build b = {.ret_error = ret_error};
    int ret = sgx_open(kind, &b.enclave);

    if (ret < 0)
        return fail(ret_error, -ret, "opening SGX failed: %s%s", strerror(-ret),
                    kind == SGX_DEVICE ? " (is there a /dev/sgx_enclave, and may this user use it?)" : "");
    b.zeros = mmap(NULL, ZEROS_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b.zeros == MAP_FAILED) {
        ret = fail(ret_error, errno, "building the enclave failed: %s", strerror(errno));
    } else {
        ret = build_all(&b, artifacts);
        munmap(b.zeros, ZEROS_SIZE);
    }
    if (ret < 0) {
        sgx_close(b.enclave);
        return ret;
    }
    *ret_enclave = b.enclave;
    return 0;
}
