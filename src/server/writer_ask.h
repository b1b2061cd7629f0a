/*
 * Questions to a writer that may be asked twice: each is asked until it is answered, by this writer
 * or the next one.
 *
 * Worker, one thread.  At most TK_ASKS_OUTSTANDING are under way a writer, the rest waits here. Who
 * asked is called once, later, or forgets.  Bound by who asks: a request asks once a partition.
 */
#ifndef TK_SERVER_WRITER_ASK_H
#define TK_SERVER_WRITER_ASK_H

#include <sys/queue.h>

#include "server/channel.h"

#define TK_ASKS_OUTSTANDING 128u
#define TK_ASK_BYTES        48u

struct tk_ask;

/* The answer's payload, its struct whole but not aligned; good until the call returns. */
typedef void tk_ask_done(void *owner, unsigned index, const void *payload, size_t len);

TAILQ_HEAD(tk_ask_list, tk_ask);

struct tk_asks {
	struct tk_ask_list queued, outstanding;
	unsigned outstanding_count;
	uint64_t next_id;
};

void tk_asks_init(struct tk_asks *asks);

/* Nobody is called any more. */
void tk_asks_free(struct tk_asks *asks);

/* chan may be NULL: it is asked when there is one.  0 or -ENOMEM. */
int tk_asks_add(struct tk_asks *asks, struct tk_channel *chan, enum tk_frame_type type,
    const void *payload, size_t len, tk_ask_done *done, void *owner, unsigned index,
    struct tk_ask **ret_ask) TK_MUST_CHECK;

/* done() will not be called; the writer may still do what it was asked.  Frees what was not sent.
 */
void tk_ask_forget(struct tk_ask *ask);

/* A new channel: what was asked and not answered is asked again. */
void tk_asks_connected(struct tk_asks *asks, struct tk_channel *chan);

/* Takes a frame that answers one of these, of the type and size that does; else false. */
bool tk_asks_answered(struct tk_asks *asks, struct tk_channel *chan, const struct tk_frame *frame,
    const void *payload);

#endif
