/*
 * The anchor of a volume as a monotonic counter of a MarbleRun coordinator (docs/volumes.md, "MarbleRun's counter"):
 * POST /api/v2/monotonic-counter over TLS, as a marble that shows its certificate.
 *
 * "Sets if greater, returns the previous value" and no more: this anchor is one that can only be raised
 * (volume_anchor.raises_only).
 */
#ifndef COFRE_KERNEL_VOLUME_MARBLE_H
#define COFRE_KERNEL_VOLUME_MARBLE_H

#include "kernel/tls/tls.h"
#include "kernel/volume/volume.h"

#define MARBLE_ANSWER_MAX 4096U
#define MARBLE_HOST_MAX 256U /* of the Host header, with its NUL */
#define MARBLE_NAME_SIZE 48U /* of a counter's name, with its NUL */

struct marble_answer {
    unsigned status; /* of HTTP */
    bool last;       /* the connection ends with it */
    uint64_t value;  /* with status 200: what the counter was before */
};

/*
 * Read an answer of which so much has arrived. 0: it is whole; -EAGAIN: more has to come; -EPROTO: it is none, of none
 * of the forms that a coordinator gives, or larger than MARBLE_ANSWER_MAX.
 */
must_check int marble_answer_parse(const char *text, size_t size, struct marble_answer *ret_answer);

/* 20 KiB of buffers and more: made only for who has such a counter. */
struct marble_counter {
    struct tls_client tls; /* carry, random, arg, identity, peer_point: the caller's */
    const char *host;      /* of the Host header: shorter than MARBLE_HOST_MAX */
    bool open;
    unsigned status; /* of the last answer; 0: there was none */
    char text[MARBLE_ANSWER_MAX];
};

/*
 * One request, over the connection that is open or a new one. 0 and what the value was before; -EACCES: refused (4xx);
 * -EIO: the coordinator has trouble of its own; -EPROTO: who answers is not the coordinator, or not in order; or what
 * carry() said. After an error it may or may not have been done, and the next request makes a new connection.
 */
must_check int marble_raise(struct marble_counter *counter, const struct volume_anchor_key *key, uint64_t value,
                            uint64_t *ret_previous);
/* What a volume's counter is called: nobody who cannot open the volume knows it. */
void marble_counter_name(const struct volume_anchor_key *key, char ret_name[MARBLE_NAME_SIZE]);

#endif
