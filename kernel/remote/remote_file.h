/*
 * In a member: files of the init enclave that are mapped or executed here. A struct file that can do no more than show
 * pages: by its handle, or, if it is an unchanged file of the root image, from this enclave's own verified image; and
 * share them (shared_member.h). Files that are the same there have one inode here.
 */
#ifndef COFRE_KERNEL_REMOTE_REMOTE_FILE_H
#define COFRE_KERNEL_REMOTE_REMOTE_FILE_H

#include "kernel/remote/process_message.h"

struct file;
struct inode;
struct image_files;

/* The file that the init enclave described, which counts as one of its handle's references. 0 or -errno. */
must_check int remote_file_open(const struct file_info *info, struct file **ret_file);
/* The file behind a descriptor of the current process; referenced. Sleeps. */
must_check int remote_file_get(int fd, struct file **ret_file);
/* The file that the answer (struct file_answer) to a request describes; referenced. Sleeps. */
must_check int remote_file_request(struct message *message, size_t size, struct file **ret_file);
/* The name by which the file's pages are shared with other enclaves (struct file_info); 0: they are not. */
uint64_t remote_file_object(const struct inode *inode);
struct inode *remote_file_inode(uint64_t object); /* borrowed; NULL */
/* What remote_file_open() was told. */
const struct file_info *remote_file_info(const struct file *file);

#endif
