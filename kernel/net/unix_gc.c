/*
 * Files in flight in unix messages. A socket whose every reference is in flight, in queues that cannot be reached from
 * any open one, will never be received: those are found by counting (as reference counts minus references from inside
 * the candidate set) and their queues are dropped.
 */
#include <asm/errno.h>
#include <linux/capability.h>
#include <linux/resource.h>

#include "kernel/fs/file.h"
#include "kernel/net/unix.h"
#include "kernel/process/process.h"

static TAILQ_HEAD(flight_list, unix_socket) in_flight = TAILQ_HEAD_INITIALIZER(in_flight);
static size_t files_in_flight;
static bool gc_running;

static struct unix_socket *unix_of_file(struct file *file)
{
    struct socket *sock = socket_of_file(file);
    return sock && sock->family == AF_UNIX ? unix_of(sock) : NULL;
}

int unix_flight_check(const struct scm *scm)
{
    const struct process *p = process_self();
    if (files_in_flight + scm->file_count > p->limits[RLIMIT_NOFILE].rlim_cur && !process_capable(CAP_SYS_RESOURCE) &&
        !process_capable(CAP_SYS_ADMIN))
        return -ETOOMANYREFS;
    return 0;
}

void unix_flight_begin(struct scm *scm)
{
    files_in_flight += scm->file_count;
    for (uint32_t i = 0; i < scm->file_count; i++) {
        struct unix_socket *u = unix_of_file(scm->files[i]);
        if (u && u->in_flight++ == 0)
            TAILQ_INSERT_TAIL(&in_flight, u, flight_link);
    }
}

void unix_flight_end(struct scm *scm)
{
    files_in_flight -= scm->file_count;
    for (uint32_t i = 0; i < scm->file_count; i++) {
        struct unix_socket *u = unix_of_file(scm->files[i]);
        if (u && --u->in_flight == 0)
            TAILQ_REMOVE(&in_flight, u, flight_link);
    }
}

typedef void (*gc_visit_fn)(struct unix_socket *child);

static void gc_visit_queue(struct unix_socket *u, gc_visit_fn visit)
{
    struct packet *packet;
    TAILQ_FOREACH (packet, &u->rx.packets, link) {
        for (uint32_t i = 0; packet->scm && i < packet->scm->file_count; i++) {
            struct unix_socket *child = unix_of_file(packet->scm->files[i]);
            if (child && child->gc_candidate)
                visit(child);
        }
    }
}

/* Children of a socket: what its own queue carries, and those of connections it has not accepted yet. */
static void gc_visit_children(struct unix_socket *u, gc_visit_fn visit)
{
    struct unix_socket *waiting;
    gc_visit_queue(u, visit);
    TAILQ_FOREACH (waiting, &u->backlog, backlog_link)
        gc_visit_queue(waiting, visit);
}

static void gc_uncount(struct unix_socket *child)
{
    child->gc_count--;
}

static bool gc_progress;

static void gc_rescue(struct unix_socket *child)
{
    child->gc_candidate = false;
    gc_progress = true;
}

static void gc_find(void)
{
    struct unix_socket *u;
    TAILQ_FOREACH (u, &in_flight, flight_link) {
        u->gc_count = u->in_flight;
        u->gc_candidate = u->sock.file && u->sock.file->refcount == u->in_flight;
    }
    TAILQ_FOREACH (u, &in_flight, flight_link)
        if (u->gc_candidate)
            gc_visit_children(u, gc_uncount);
    TAILQ_FOREACH (u, &in_flight, flight_link)
        if (u->gc_candidate && u->gc_count > 0)
            gc_rescue(u);
    /* Whatever a rescued socket's queue carries is rescued too. */
    do {
        gc_progress = false;
        TAILQ_FOREACH (u, &in_flight, flight_link)
            if (!u->gc_candidate)
                gc_visit_children(u, gc_rescue);
    } while (gc_progress);
}

static void gc_drop_queue(struct unix_socket *u, struct packet_queue *garbage)
{
    struct packet *packet;
    while ((packet = packet_queue_take(&u->rx)) != NULL)
        packet_queue_add(garbage, packet);
}

void unix_gc(void)
{
    struct unix_socket *u, *waiting;
    struct packet_queue garbage;
    if (gc_running || TAILQ_EMPTY(&in_flight))
        return;
    gc_running = true;
    gc_find();
    /* Take the messages off first: freeing one closes files and so changes the list. */
    packet_queue_init(&garbage);
    TAILQ_FOREACH (u, &in_flight, flight_link) {
        if (!u->gc_candidate)
            continue;
        gc_drop_queue(u, &garbage);
        TAILQ_FOREACH (waiting, &u->backlog, backlog_link)
            gc_drop_queue(waiting, &garbage);
    }
    packet_queue_clear(&garbage);
    gc_running = false;
}
