/*
 * In a member: files of the init enclave that are mapped or executed here. A struct file that can do no more than show
 * pages: by its handle, or, if it is an unchanged file of the root image, from this enclave's own verified image.
 */
#ifndef COFRE_KERNEL_REMOTE_REMOTE_FILE_H
#define COFRE_KERNEL_REMOTE_REMOTE_FILE_H

#include "kernel/remote/process_message.h"

struct file;
struct image_files;

/* The file that the init enclave described, which counts as one of its handle's references. 0 or -errno. */
must_check int remote_file_open(const struct file_info *info, struct file **ret_file);
/* The file behind a descriptor of the current process; referenced. Sleeps. */
must_check int remote_file_get(int fd, struct file **ret_file);
/* What remote_file_open() was told. */
const struct file_info *remote_file_info(const struct file *file);

#endif
