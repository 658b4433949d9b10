/* Images that are elsewhere: copied by skopeo. */
#ifndef COFRE_IMAGE_OCI_PULL_H
#define COFRE_IMAGE_OCI_PULL_H

struct progress;

/*
 * Copies the linux/amd64 image of that name to a new temporary folder as an OCI layout. *ret_folder is malloc'd; the
 * caller removes the folder. What skopeo says when it fails becomes the error.
 */
int oci_pull(const char *source, struct progress *progress, char **ret_folder, char **ret_error);

#endif
