/*
 * epoll sets for kernel/remote: a set of which the init enclave has one part, with what is there, and a borrower of
 * connections (kernel/net/loan.h) the other.
 */
#ifndef COFRE_KERNEL_FS_EPOLL_H
#define COFRE_KERNEL_FS_EPOLL_H

#include <linux/eventpoll.h>

#include "kernel/fs/file.h"

/* An empty set; NULL when out of memory. The functions below take such files. */
struct file *epoll_file_new(void) must_check;
/* As epoll_ctl(2). */
must_check int epoll_file_control(struct file *ep_file, int op, int fd, struct file *file, struct epoll_event *event);
/* Of any file: as EPOLL_CTL_ADD, but with event->events exactly as epoll_file_watches() gave them. */
must_check int epoll_file_adopt(struct file *ep_file, int fd, struct file *file, const struct epoll_event *event);
/* Calls fn for each set that file is in. */
void epoll_file_watches(struct file *file, void (*fn)(struct file *ep_file, int fd, const struct epoll_event *, void *),
                        void *arg);
/* EPOLLET, EPOLLEXCLUSIVE, EPOLLONESHOT: those that a set has for that file, or for a set that the file is in. */
uint32_t epoll_file_flags(struct file *file);
/* Takes up to max events, as epoll_wait(2) does. */
size_t epoll_file_collect(struct file *ep_file, struct epoll_event *events, size_t max);
/* Woken when something may be ready; and may it? */
struct wait_queue *epoll_file_queue(struct file *ep_file);
bool epoll_file_ready(struct file *ep_file);

#endif
