/* Output that is not waited for (contract in posted.h). */
#include "kernel/remote/posted.h"

#include <asm/unistd_64.h>

#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/process.h"
#include "kernel/remote/client.h"
#include "kernel/remote/descriptors.h"
#include "kernel/remote/member.h"
#include "kernel/remote/post_message.h"
#include "kernel/sched/task.h"

#define STREAMS_MAX 4
#define ASK_AFTER 4 /* writes to a descriptor */

struct stream {
    int fd;
    unsigned writes; /* 0: the place is free */
    uint64_t id;     /* of the grant; 0: none */
    size_t credit;
};

static struct stream streams[STREAMS_MAX];
static unsigned next_place;
static const struct task *asker;
static struct post_message waiting; /* what was written with this grant */
static size_t waiting_size;
static uint64_t told, heard; /* posts sent; that the init enclave has answered something after */

static struct stream *stream_at(int fd)
{
    for (size_t i = 0; i < STREAMS_MAX; i++)
        if (streams[i].writes > 0 && streams[i].fd == fd)
            return &streams[i];
    return NULL;
}

static void send(uint32_t type, uint64_t id, size_t size)
{
    waiting.message = (struct message){.type = type};
    waiting.id = id;
    if (client_post_quietly(&waiting.message, POST_SIZE(size)) < 0)
        member_end("no memory for output");
}

bool posted_pending(void)
{
    return waiting_size > 0;
}

void posted_flush(void)
{
    size_t size = waiting_size;
    if (size == 0)
        return;
    waiting_size = 0;
    told++;
    send(MESSAGE_POST, waiting.id, size);
}

uint64_t posted_told(void)
{
    return told;
}

void posted_heard(uint64_t by_now)
{
    heard = MAX(heard, by_now);
}

void posted_settle(void)
{
    if (waiting_size > 0 || heard != told)
        (void)!remote_call(__NR_getppid, (const uint64_t[6]){0});
}

static void grant_end(struct stream *stream)
{
    uint64_t id = stream->id;
    stream->id = 0;
    if (id == 0)
        return;
    posted_flush();
    send(MESSAGE_POST_DROP, id, 0);
}

static void stream_end(struct stream *stream)
{
    grant_end(stream);
    *stream = (struct stream){.writes = 0};
}

void posted_closed(int fd)
{
    struct stream *stream = stream_at(fd);
    if (stream)
        stream_end(stream);
}

void posted_forget(void)
{
    for (size_t i = 0; i < STREAMS_MAX; i++)
        stream_end(&streams[i]);
}

void posted_reset(void)
{
    posted_forget();
    asker = NULL;
}

/* Written to so often that it would rather not wait? */
static void count(int fd)
{
    struct stream *stream = stream_at(fd);
    if (!stream) {
        stream = &streams[next_place++ % STREAMS_MAX];
        stream_end(stream);
        *stream = (struct stream){.fd = fd};
    }
    if (++stream->writes < ASK_AFTER)
        return;
    asker = task_current();
    grant_end(stream); /* the next one takes its place: other threads must not write with it meanwhile */
}

bool posted_ask(void)
{
    bool asks = asker == task_current();
    if (asks)
        asker = NULL;
    return asks;
}

static struct stream *stream_with_room(int fd, size_t size)
{
    struct stream *stream = stream_at(fd);
    return stream && stream->id != 0 && stream->credit >= size ? stream : NULL;
}

bool posted_write(const uint64_t args[6], int64_t *ret_result)
{
    uint8_t bytes[POST_WRITE_MAX];
    int fd = (int)args[0];
    size_t size = args[2];
    if (process_self() != process_first() || size == 0 || size > sizeof(bytes))
        return false;
    struct stream *stream = stream_with_room(fd, size);
    if (stream && copy_from_user(bytes, args[1], size) == 0)
        stream = stream_with_room(fd, size); /* that may have slept */
    else
        stream = NULL;
    if (!stream) {
        count(fd);
        return false;
    }
    if (waiting_size > 0 && waiting.id != stream->id)
        posted_flush();
    waiting.id = stream->id;
    memcpy(waiting.bytes + waiting_size, bytes, size);
    waiting_size += size;
    stream->credit -= size;
    *ret_result = (int64_t)size;
    return true;
}

static void receive_grant(struct record *record)
{
    const struct post_grant_message *m = (const struct post_grant_message *)record->data;
    if (record->size < sizeof(*m) || m->credit > POST_CREDIT || m->id == 0)
        panic("a grant of the init enclave");
    const struct process *process = process_first();
    struct stream *stream = process && process->pid == m->message.pid ? stream_at(m->fd) : NULL;
    if (m->credit == 0) {
        if (stream && stream->id == m->id)
            stream->id = 0;
        kfree(record);
        return;
    }
    posted_flush(); /* the credit of the grant before this one, which is over, is its own */
    bool use = stream && !descriptors_changing();
    if (stream) {
        stream->id = use ? m->id : 0;
        stream->credit = m->credit;
    }
    if (!use)
        send(MESSAGE_POST_DROP, m->id, 0);
    kfree(record);
}

void posted_init(void)
{
    client_on_message(MESSAGE_POST_GRANT, receive_grant);
}
