/* Output that members do not wait for (contract in posts.h). */
#include "kernel/remote/posts.h"

#include <asm/unistd_64.h>
#include <linux/errno.h>

#include "kernel/fs/console.h"
#include "kernel/fs/file.h"
#include "kernel/lib/list.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/net/net.h"
#include "kernel/process/process.h"
#include "kernel/remote/post_message.h"
#include "kernel/remote/server.h"
#include "kernel/remote/spawn.h"
#include "kernel/sched/output.h"

struct post {
    TAILQ_ENTRY(post) entry;
    const struct remote_member *member;
    uint64_t id;
    int pid, fd;
    unsigned channel;
    size_t credit; /* reserved */
};

static TAILQ_HEAD(, post) posts = TAILQ_HEAD_INITIALIZER(posts);
static uint64_t last_id;

static void post_free(struct post *post)
{
    TAILQ_REMOVE(&posts, post, entry);
    channel_unreserve(post->channel, post->credit);
    kfree(post);
}

static struct post *post_find(const struct remote_member *member, uint64_t id)
{
    struct post *post;
    TAILQ_FOREACH (post, &posts, entry)
        if (post->member == member && post->id == id)
            return post;
    return NULL;
}

/* The one that a new grant takes the place of. */
static void replace(const struct remote_member *member, int pid, int fd)
{
    struct post *post, *next;
    TAILQ_FOREACH_SAFE (post, &posts, entry, next)
        if (post->member == member && post->pid == pid && post->fd == fd)
            post_free(post);
}

/* False: it was not sent. */
static bool tell(struct remote_member *member, const struct post *post, size_t credit)
{
    struct post_grant_message m = {
        .message = {MESSAGE_POST_GRANT, 0, post->pid, 0}, .id = post->id, .fd = post->fd, .credit = (uint32_t)credit};
    return link_send(remote_member_link(member), &m, sizeof(m)) == 0;
}

static void grant(struct remote_member *member, const struct process *process, int fd, unsigned channel)
{
    struct post *post;
    replace(member, process->pid, fd);
    if (!channel_reserve(channel, POST_CREDIT))
        return;
    post = kzalloc(sizeof(*post));
    if (!post) {
        channel_unreserve(channel, POST_CREDIT);
        return;
    }
    *post = (struct post){
        .member = member, .id = ++last_id, .pid = process->pid, .fd = fd, .channel = channel, .credit = POST_CREDIT};
    TAILQ_INSERT_TAIL(&posts, post, entry);
    if (!tell(member, post, POST_CREDIT))
        post_free(post);
}

void posts_offer(struct remote_member *member, const struct process *process, const struct call_head *head,
                 int64_t result)
{
    if (head->nr != __NR_write || !head->wants_post || result <= 0 || !process->files || !process->remote ||
        process->remote->member != member || process->ended || output_may_be_held())
        return;
    struct file *file = fd_table_file(process->files, (int)head->args[0], NULL);
    int channel = file ? console_output_channel(file) : -1;
    if (channel >= 0)
        grant(member, process, (int)head->args[0], (unsigned)channel);
    if (file)
        file_put(file);
}

static void receive_post(struct remote_member *member, struct record *record)
{
    const struct post_message *m = (const struct post_message *)record->data;
    size_t size = record->size >= POST_SIZE(0) ? record->size - POST_SIZE(0) : 0;
    struct post *post = record->size >= POST_SIZE(0) ? post_find(member, m->id) : NULL;
    if (post && size > post->credit) {
        kfree(record);
        spawn_kill(member);
        return;
    }
    if (post) {
        post->credit -= size;
        /* Nobody reads it any more: the next write, which asks, is told so. */
        if (channel_write_reserved(post->channel, m->bytes, size) < 0) {
            (void)tell(member, post, 0);
            post_free(post);
        }
    }
    kfree(record);
}

static void receive_drop(struct remote_member *member, struct record *record)
{
    const struct post_message *m = (const struct post_message *)record->data;
    struct post *post = record->size >= POST_SIZE(0) ? post_find(member, m->id) : NULL;
    if (post)
        post_free(post);
    kfree(record);
}

void posts_member_lost(const struct remote_member *member)
{
    struct post *post, *next;
    TAILQ_FOREACH_SAFE (post, &posts, entry, next)
        if (post->member == member)
            post_free(post);
}

void posts_init(void)
{
    remote_member_on_message(MESSAGE_POST, receive_post);
    remote_member_on_message(MESSAGE_POST_DROP, receive_drop);
}
