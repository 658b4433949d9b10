/* Attestation inside the enclave: quotes from the platform's quoting enclave, and /dev/attestation. */
#ifndef COFRE_KERNEL_ATTESTATION_ATTESTATION_H
#define COFRE_KERNEL_ATTESTATION_ATTESTATION_H

#include "abi/hostcall.h"
#include "kernel/lib/types.h"

struct super_block;

/*
 * The end of REPORTDATA that only the kernel may use, in reports by which kernels of one image know each other: no
 * program gets a report with it, nor the host by asking for a quote, whose target the host chooses.
 */
#define REPORT_MARK_KERNEL "for kernels only" /* without its NUL */
#define REPORT_MARK_SIZE 16
#define REPORT_MARK_OFFSET 48
/* So it is with KEY_RELEASE_MARK (abi/key_release.h), with which the kernel asks for keys. */

/*
 * A quote of this enclave with 64 bytes of the caller's, kmalloc'd. Sleeps; one is made at a time. 0; -ERESTARTSYS;
 * -ETIMEDOUT if the host does not answer; -EBADMSG if what it brings is no quote of this enclave with this data;
 * another errno of the host's, which says on its standard error what is wrong.
 */
must_check int quote_make(const uint8_t report_data[64], uint8_t **ret_quote, size_t *ret_size);

/* Boot, if the host wants a quote and no program (BOOT_QUOTE). Ends the container: 0, or 125 if there is no quote. */
noreturn_fn void boot_quote(void);

/* The file system of /dev/attestation. */
struct super_block *attestfs_new(void) must_check;

#endif
