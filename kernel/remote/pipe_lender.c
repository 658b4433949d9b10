/* Pipes that members have at both ends (contract in pipe_lender.h). */
#include "kernel/remote/pipe_lender.h"

#include <asm/unistd_64.h>
#include <linux/errno.h>

#include "kernel/crypto/secret.h"
#include "kernel/fs/file.h"
#include "kernel/fs/inode.h"
#include "kernel/fs/pipe.h"
#include "kernel/lib/list.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/process/table.h"
#include "kernel/remote/pipe_message.h"
#include "kernel/remote/server.h"
#include "kernel/remote/spawn.h"
#include "kernel/remote/stream.h"

#define RECALLS_MAX 4    /* what comes back so often is used otherwise, too: it stays */
#define LENT_MAX 128     /* pipes at a time: others need links, too */
#define OFFER_MIN 0x4000 /* bytes of a write: who writes less mostly waits for something else */

enum { WRITER, READER, ENDS };

struct lent {
    struct pipe_loan loan;
    TAILQ_ENTRY(lent) entry;
    struct inode *inode; /* the pipe's */
    uint64_t id;
    uint32_t number;                  /* of their link */
    struct remote_member *ends[ENDS]; /* referenced */
    int pids[ENDS], fds[ENDS];
    bool asked[ENDS], back[ENDS], gone[ENDS]; /* gone: back because the member was lost */
    bool broken;
    uint64_t sent; /* once the writer's end is back */
};

static TAILQ_HEAD(, lent) all = TAILQ_HEAD_INITIALIZER(all);
static unsigned lent_count;
static uint64_t last_id;

/* ---- the end ---- */

/* An enclave that was ended may still write to the link's memory. */
static void number_free(const struct lent *l)
{
    for (int i = 0; i < ENDS; i++) {
        uint32_t member = remote_member_number(l->ends[i]);
        if (l->gone[i] && remote_member_find(member)) {
            stream_number_retire(l->number, member);
            return;
        }
    }
    stream_number_free(l->number);
}

static void finish(struct lent *l)
{
    TAILQ_REMOVE(&all, l, entry);
    lent_count--;
    number_free(l);
    pipe_loan_end(l->inode, l->broken);
    for (int i = 0; i < ENDS; i++)
        remote_member_put(l->ends[i]);
    kfree(l);
}

static void ask(struct lent *l, int end)
{
    struct pipe_id_message m = {.message = {.type = MESSAGE_PIPE_RECALL}, .id = l->id, .sent = l->sent};
    if (l->asked[end] || l->back[end])
        return;
    l->asked[end] = true;
    if (link_send(remote_member_link(l->ends[end]), &m, sizeof(m)) == -ENOMEM)
        spawn_kill(l->ends[end]); /* which comes back here, and l may be gone */
}

/* One end is back. */
static void go_on(struct lent *l)
{
    if (l->back[WRITER] && l->back[READER])
        finish(l);
    else
        ask(l, l->back[WRITER] ? READER : WRITER);
}

/* Neither does anything more with its descriptor, as soon as whatever is sent after this has come there. */
static void call_back(struct lent *l)
{
    struct pipe_id_message m = {.message = {.type = MESSAGE_PIPE_RECALL}, .id = l->id, .sent = PIPE_SENT_PENDING};
    struct remote_member *reader = remote_member_get(l->ends[READER]);
    bool first = !l->asked[WRITER] && !l->back[WRITER];
    if (first)
        ask(l, WRITER); /* l may be gone then */
    if (first && link_send(remote_member_link(reader), &m, sizeof(m)) == -ENOMEM)
        spawn_kill(reader);
    remote_member_put(reader);
}

static void recall(struct pipe_loan *loan)
{
    call_back(container_of(loan, struct lent, loan));
}

/* ---- lending ---- */

static bool send_lend(struct lent *l, int end, struct pipe_lend_message *m, size_t size)
{
    m->message.pid = l->pids[end];
    m->fd = l->fds[end];
    m->writer = end == WRITER;
    m->place.peer = remote_member_number(l->ends[!end]);
    return link_send_quietly(remote_member_link(l->ends[end]), m, size) == 0;
}

/* What is lent is lent, whether its reader can be told or not: then its enclave ends. */
static void lend(struct lent *l, struct pipe_lend_message *m)
{
    struct pipe *pipe = l->inode->pipe;
    size_t size;
    if (pipe_lend(pipe, l->inode, &l->loan, (uint8_t *)(m + 1), &size) < 0) {
        stream_number_free(l->number);
        kfree(l);
        return;
    }
    TAILQ_INSERT_TAIL(&all, l, entry);
    lent_count++;
    remote_member_get(l->ends[WRITER]);
    remote_member_get(l->ends[READER]);
    link_reset(l->number);
    *m = (struct pipe_lend_message){
        .message = {.type = MESSAGE_PIPE_LEND}, .id = l->id, .size = size, .place = {.number = l->number, .id = l->id}};
    random_bytes(m->place.key, sizeof(m->place.key));
    if (!send_lend(l, READER, m, sizeof(*m) + size)) {
        l->back[WRITER] = true;
        l->sent = size;
        spawn_kill(l->ends[READER]);
        return;
    }
    link_ring(remote_member_link(l->ends[READER]));
    if (!send_lend(l, WRITER, m, sizeof(*m)))
        spawn_kill(l->ends[WRITER]);
}

static struct file *file_of(const struct process *process, int fd)
{
    return process && process->files && !fd_table_shared(process->files) ? fd_table_file(process->files, fd, NULL)
                                                                         : NULL;
}

static bool runs(const struct process *process)
{
    const struct remote_process *remote = process ? process->remote : NULL;
    return remote && !process->ended && !process->end_reported && !remote->stream && !remote->killed;
}

/* Both files are referenced. */
static bool lend_files(struct remote_member *member, const struct process *process, int fd, const struct file *file,
                       const struct file *reader_file, const struct process *reader)
{
    const struct pipe *pipe = pipe_of(file);
    if (!pipe_lendable(file, reader_file) || pipe->recalls >= RECALLS_MAX || lent_count >= LENT_MAX)
        return false;
    struct pipe_lend_message *m = kmalloc(sizeof(*m) + PIPE_LENT_SIZE);
    struct lent *l = m ? kzalloc(sizeof(*l)) : NULL;
    uint32_t number = l ? stream_number_new() : 0;
    if (number) {
        *l = (struct lent){.loan = {recall},
                           .inode = file->inode,
                           .id = ++last_id,
                           .number = number,
                           .ends = {member, reader->remote->member},
                           .pids = {process->pid, reader->pid},
                           .fds = {fd, pipe->reader_fd}};
        lend(l, m);
        memory_wipe(m, sizeof(*m) + PIPE_LENT_SIZE);
    } else {
        kfree(l);
    }
    kfree(m);
    return number != 0;
}

static bool offer(struct remote_member *member, const struct process *process, int fd, const struct file *file)
{
    const struct pipe *pipe = pipe_of(file);
    const struct process *reader = process_find(pipe->reader_pid);
    if (!runs(process) || process->remote->member != member || !runs(reader) || reader->remote->member == member)
        return false;
    struct file *reader_file = file_of(reader, pipe->reader_fd);
    bool lent = reader_file && lend_files(member, process, fd, file, reader_file, reader);
    if (reader_file)
        file_put(reader_file);
    return lent;
}

bool pipe_lender_offer(struct remote_member *member, struct process *process, uint64_t nr, uint64_t fd, int64_t result)
{
    bool lent = false;
    if (result <= 0 || !(nr == __NR_read || (nr == __NR_write && result >= OFFER_MIN)))
        return false;
    struct file *file = file_of(process, (int)fd);
    struct pipe *pipe = file ? pipe_of(file) : NULL;
    if (pipe && nr == __NR_read) {
        pipe->reader_pid = process->pid;
        pipe->reader_fd = (int)fd;
    } else if (pipe && pipe->reader_pid) {
        lent = offer(member, process, (int)fd, file);
    }
    if (file)
        file_put(file);
    return lent;
}

bool pipe_lender_crossed(const struct remote_member *member, const struct process *process, uint64_t nr, uint64_t fd)
{
    const struct lent *l;
    int end = nr == __NR_write ? WRITER : READER;
    if (nr != __NR_write && nr != __NR_read)
        return false;
    TAILQ_FOREACH (l, &all, entry)
        if (l->ends[end] == member && l->pids[end] == process->pid && l->fds[end] == (int)fd)
            return !l->asked[WRITER] && !l->back[WRITER];
    return false;
}

/* ---- what members say ---- */

static struct lent *find(uint64_t id)
{
    struct lent *l;
    TAILQ_FOREACH (l, &all, entry)
        if (l->id == id)
            return l;
    return NULL;
}

/* What the loan's end says; false: nothing that it may say. */
static bool returned(struct lent *l, int end, const struct pipe_id_message *m, size_t size)
{
    if (l->back[end] || (end == READER && !l->asked[READER]) || size > (end == READER ? PIPE_LENT_SIZE : 0))
        return false;
    l->back[end] = true;
    if (end == WRITER)
        l->sent = MIN(m->sent, PIPE_SENT_PENDING - 1);
    else
        l->broken |= pipe_put_back(l->inode->pipe, (const uint8_t *)(m + 1), size) < 0;
    go_on(l);
    return true;
}

static void receive_return(struct remote_member *member, struct record *record)
{
    const struct pipe_id_message *m = (const struct pipe_id_message *)record->data;
    struct lent *l = record->size >= sizeof(*m) ? find(m->id) : NULL;
    bool good = l && (l->ends[WRITER] == member || l->ends[READER] == member) &&
                returned(l, l->ends[WRITER] == member ? WRITER : READER, m, record->size - sizeof(*m));
    memory_wipe(record->data, record->size);
    kfree(record);
    if (!good)
        spawn_kill(member);
}

static void receive_unwanted(struct remote_member *member, struct record *record)
{
    const struct pipe_id_message *m = (const struct pipe_id_message *)record->data;
    struct lent *l = record->size >= sizeof(*m) ? find(m->id) : NULL;
    if (l && (l->ends[WRITER] == member || l->ends[READER] == member))
        call_back(l);
    kfree(record);
}

/* What ends here may end others, so each time from the beginning. */
static struct lent *next_of(const struct remote_member *member, int end)
{
    struct lent *l;
    TAILQ_FOREACH (l, &all, entry)
        if (l->ends[end] == member && !l->back[end])
            return l;
    return NULL;
}

void pipe_lender_member_lost(struct remote_member *member)
{
    struct lent *l;
    while ((l = next_of(member, WRITER)) != NULL) {
        l->gone[WRITER] = l->back[WRITER] = true;
        l->sent = PIPE_SENT_UNKNOWN;
        go_on(l);
    }
    while ((l = next_of(member, READER)) != NULL) {
        l->gone[READER] = l->back[READER] = true;
        l->broken = true;
        go_on(l);
    }
}

void pipe_lender_init(void)
{
    remote_member_on_message(MESSAGE_PIPE_RETURN, receive_return);
    remote_member_on_message(MESSAGE_PIPE_UNWANTED, receive_unwanted);
}
