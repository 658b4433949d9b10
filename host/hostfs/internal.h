/* Between the threads of host/hostfs/ and its operations. */
#ifndef COFRE_HOST_HOSTFS_INTERNAL_H
#define COFRE_HOST_HOSTFS_INTERNAL_H

#include "host/hostfs/hostfs.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

/* A file of a folder that the kernel knows. Counted: the table has one reference, each request under way another. */
struct node {
    unsigned refs;         /* under the table's lock */
    int fd;                /* O_PATH */
    int read_fd, write_fd; /* -1, or open; under `lock` until set */
    mode_t type;           /* S_IFMT */
    dev_t dev;
    bool read_only; /* of its folder */
    pthread_mutex_t lock;
};

/* Nodes by number; NULL, or a reference to be put. */
struct node *node_get(uint32_t number);
void node_put(struct node *node);
/* A new node for fd (taken over). 0 or negative errno. */
int node_add(uint32_t number, int fd, mode_t type, dev_t dev, bool read_only);
void node_forget(uint32_t number);
void node_release(uint32_t number);

/* One request; names and data are in `data`, of HOSTFS_DATA_SIZE bytes; so is what is answered. */
void hostfs_perform(const struct hostfs_request *request, struct hostfs_reply *reply, uint8_t *data);

#endif
