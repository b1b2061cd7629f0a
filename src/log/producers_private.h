/*
 * What the files of producers' states share.  Writer process, see producers.h.
 */
#ifndef TK_LOG_PRODUCERS_PRIVATE_H
#define TK_LOG_PRODUCERS_PRIVATE_H

#include "log/producers.h"

/* The producer of this id, or NULL. */
struct tk_producer *tk_producer_find(const struct tk_producers *producers, int64_t id);

/* Takes a producer that is not in, as the one heard of last; one before it may be forgotten. */
void tk_producer_enter(struct tk_producers *producers, struct tk_producer *producer);

/* It is the one heard of last. */
void tk_producer_heard(struct tk_producer *producer);

/* Takes it out of everything and frees it. */
void tk_producer_forget(struct tk_producer *producer);

#endif
