/* The four files of a converted image: kernel, policy, sigstruct, root.img; from a folder or out of the layer archive.
 */
#ifndef COFRE_HOST_ARTIFACTS_H
#define COFRE_HOST_ARTIFACTS_H

#include "abi/policy.h"
#include "host/options.h"

#include <stddef.h>

struct mapping {
    const void *data; /* page aligned, read-only */
    size_t size;
};

struct artifacts {
    struct mapping kernel, policy, sigstruct, root;
};

/*
 * Map all four; sizes that the host relies on are checked (policy header, SIGSTRUCT size). root is mapped, not read:
 * opening costs nothing per byte. 0 or negative errno. The mappings stay until the process ends.
 */
int artifacts_open(struct artifacts *artifacts, const struct run_options *options, char **ret_error);

static inline const struct policy *artifacts_policy(const struct artifacts *artifacts)
{
    return artifacts->policy.data;
}
/* String number i of a list of the policy; NULL past its end or if the policy is malformed. */
const char *artifacts_policy_string(const struct artifacts *artifacts, struct policy_list list, uint32_t i);

#endif
