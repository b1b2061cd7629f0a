/*
 * What a topic may be called: Kafka's rules, and its words for breaking them.
 */
#ifndef TK_META_TOPIC_NAME_H
#define TK_META_TOPIC_NAME_H

#include "takhin/base.h"

#define TK_TOPIC_NAME_MAX 249

/*
 * 0, or -EINVAL with Kafka's sentence in text (cut to room, always terminated; bytes that are not
 * printable ASCII shown as '?').  text may be NULL with room 0.
 */
int tk_topic_name_check(struct tk_bytes name, char *text, size_t room) TK_MUST_CHECK;

/* Topics of the broker's own that clients may see but not write, create or delete. */
bool tk_topic_name_is_internal(struct tk_bytes name);

/* Names that no client ever sees: our own journal's and that of Kafka's. */
bool tk_topic_name_is_reserved(struct tk_bytes name);

/*
 * The name with every '.' as '_': two topics whose folded names are equal collide (they would be
 * one in Kafka's metrics).  folded has room for name.len bytes.
 */
void tk_topic_name_fold(struct tk_bytes name, uint8_t *folded);

#endif
