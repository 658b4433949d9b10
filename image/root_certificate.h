/* The certificate of a service that is known by its key. */
#ifndef COFRE_IMAGE_ROOT_CERTIFICATE_H
#define COFRE_IMAGE_ROOT_CERTIFICATE_H

#include <stddef.h>

/*
 * The public key of the one certificate in a PEM text, as an uncompressed point in lower-case hexadecimal digits
 * (malloc'd). 0, or -1 saying what is wrong: not exactly one certificate, or no key on P-256 or P-384. Neither dates
 * nor signature are looked at.
 */
int root_certificate_point(const char *pem, size_t size, char **ret_point, char **ret_error);

#endif
