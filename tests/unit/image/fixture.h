/* Layers applied in memory, for tests. */
#ifndef COFRE_TESTS_IMAGE_FIXTURE_H
#define COFRE_TESTS_IMAGE_FIXTURE_H

#include "image/layers.h"
#include "image/spool.h"
#include "image/tree.h"
#include "tests/unit/image/tarball.h"

struct fixture {
    struct layers layers;
    int fd; /* the image */
    char *error;
    struct tarball tar; /* the layer being made */
};

void fixture_init(struct fixture *fixture);
void fixture_free(struct fixture *fixture);

/* Applies the layer in fixture->tar and empties that. Ends it with the end marker first, unless it is raw. */
int fixture_apply(struct fixture *fixture);
int fixture_apply_raw(struct fixture *fixture, const char *digest, const char *diff_id);

/* Applies, and fails the test unless that is refused with an error that contains text. */
void fixture_refuse(struct fixture *fixture, const char *text);

/* The inode of a path without following anything; NULL. */
struct inode *fixture_inode(struct fixture *fixture, const char *path);

/* Contents of a regular file, malloc'd, with a NUL after them. Ends the spool. */
char *fixture_contents(struct fixture *fixture, const char *path);

#endif
