/*
 * Streams: bytes from one enclave to another, over a link of their own (numbers above the members'), whose key the init
 * enclave made and told both. A forking process writes its image to one, its child reads it.
 */
#ifndef COFRE_KERNEL_REMOTE_STREAM_H
#define COFRE_KERNEL_REMOTE_STREAM_H

#include "kernel/lib/stream.h"
#include "kernel/remote/process_message.h"

struct link_stream;

/* Our end: side 0 is the init process's or the parent's. NULL when out of memory, or if the place is none. */
struct link_stream *link_stream_open(const struct stream_place *place, unsigned side) must_check;
/* To write to or to read from by the current task, and no other. -EPIPE once the other end is known to be gone. */
struct stream *link_stream_bytes(struct link_stream *stream);
/* What was written gets to the ring. Sleeps. 0 or -errno. */
must_check int link_stream_flush(struct link_stream *stream);
void link_stream_close(struct link_stream *stream);
/* The other end is gone: whoever sleeps on the stream gets -EPIPE, also if it is only about to be opened. */
void link_stream_cut(uint64_t id);

/* Numbers for streams: init only. 0: all are in use. */
uint32_t stream_number_new(void);
void stream_number_free(uint32_t number); /* 0 is fine */
/* Free it when this enclave, which may still write there, is gone. */
void stream_number_retire(uint32_t number, uint32_t member);
void stream_numbers_release(uint32_t member);

/* Part of remote_poll(): get on with all streams. */
void stream_poll(void);
/* Is one open, so that something may come any moment? */
bool stream_busy(void);

#endif
