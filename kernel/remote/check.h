/*
 * What another enclave says, checked before it is acted on. It is the same measured kernel, yet one that a program may
 * have taken over: lengths, ids and states count for nothing until they have been looked at. The functions here look at
 * what was copied in, and at nothing else.
 */
#ifndef COFRE_KERNEL_REMOTE_CHECK_H
#define COFRE_KERNEL_REMOTE_CHECK_H

#include "kernel/remote/exec_message.h"
#include "kernel/remote/fork.h"

/* The error that a request was answered with; -EPROTO if that is none. */
int answer_error(int64_t result);
/* A link that is a stream's, and a process number. */
bool stream_place_ok(const struct stream_place *place);
bool signal_source_ok(const struct signal_source *source);
bool stop_signal_ok(int64_t signal);
/* As wait(2)'s of a process that has ended. */
bool wait_status_ok(int64_t status);
bool file_info_ok(const struct file_info *info);
/* What elf_parse() promises. */
bool elf_image_ok(const struct elf_image *image);
/* `count` NUL-terminated strings, and no more. */
bool strings_ok(const char *text, size_t size, size_t count);
bool adopt_message_ok(const struct adopt_message *message);
bool touched_message_ok(const struct touched_message *m, size_t size);
bool fork_message_ok(const struct fork_message *message);
bool exec_open_message_ok(const struct exec_open_message *message);
bool exec_image_ok(const struct exec_image *image);
bool thread_image_ok(const struct thread_image *image);
/* An XSAVE image (xsave_size bytes) that XRSTOR loads without a fault. */
bool vector_image_ok(const void *image);

#endif
