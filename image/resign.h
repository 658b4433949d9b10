/* Replacing the SIGSTRUCT in a converted image (an OCI layout folder): layer, configuration, manifest and index follow.
 */
#ifndef COFRE_IMAGE_RESIGN_H
#define COFRE_IMAGE_RESIGN_H

#include "image/bundle.h"

/* Everything but index.json is written beside what is there; index.json is then replaced in one rename. */
int image_resign(const struct bundle *bundle, const struct sgx_sigstruct *sigstruct, char **ret_error);

#endif
