/* Nodes by the numbers that the kernel gave them. */
#include "host/hostfs/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static struct node *nodes[HOSTFS_NODES];
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;

struct node *node_get(uint32_t number)
{
    struct node *node = NULL;

    pthread_mutex_lock(&table_lock);
    if (number < HOSTFS_NODES && (node = nodes[number]))
        node->refs++;
    pthread_mutex_unlock(&table_lock);
    return node;
}

static void close_opened(struct node *node)
{
    if (node->read_fd >= 0)
        close(node->read_fd);
    if (node->write_fd >= 0)
        close(node->write_fd);
    node->read_fd = node->write_fd = -1;
}

void node_put(struct node *node)
{
    bool last;

    if (!node)
        return;
    pthread_mutex_lock(&table_lock);
    last = --node->refs == 0;
    pthread_mutex_unlock(&table_lock);
    if (!last)
        return;
    close_opened(node);
    close(node->fd);
    pthread_mutex_destroy(&node->lock);
    free(node);
}

int node_add(uint32_t number, int fd, mode_t type, dev_t dev, bool read_only)
{
    struct node *node = malloc(sizeof(*node));
    int ret = node ? 0 : -ENOMEM;

    pthread_mutex_lock(&table_lock);
    if (ret == 0 && (number >= HOSTFS_NODES || nodes[number]))
        ret = -EINVAL;
    if (ret == 0) {
        *node = (struct node){.refs = 1, .fd = fd, .read_fd = -1, .write_fd = -1, .type = type, .dev = dev};
        node->read_only = read_only;
        pthread_mutex_init(&node->lock, NULL);
        nodes[number] = node;
    }
    pthread_mutex_unlock(&table_lock);
    if (ret < 0) {
        free(node);
        close(fd);
    }
    return ret;
}

void node_forget(uint32_t number)
{
    struct node *node = NULL;

    pthread_mutex_lock(&table_lock);
    if (number >= HOSTFS_FOLDERS && number < HOSTFS_NODES) {
        node = nodes[number];
        nodes[number] = NULL;
    }
    pthread_mutex_unlock(&table_lock);
    node_put(node);
}

void node_release(uint32_t number)
{
    struct node *node;

    pthread_mutex_lock(&table_lock);
    node = number < HOSTFS_NODES ? nodes[number] : NULL;
    if (node && node->refs == 1) /* nobody works with it, and nobody can while the table is locked */
        close_opened(node);
    pthread_mutex_unlock(&table_lock);
}
