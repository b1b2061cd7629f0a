/*
 * Questions to a writer that may be asked twice.  See the header.  Runs in workers.
 *
 * A channel that ends leaves questions unanswered; the writer may have done what they ask, and does
 * it again, which changes nothing.
 */
#include "server/writer_ask.h"

#include <stdlib.h>
#include <string.h>

#define ASK_ID_BIT (UINT64_C(1) << 63) /* tells these from the other frames of a link */

struct tk_ask {
	TAILQ_ENTRY(tk_ask) link;
	struct tk_asks *asks;
	bool sent; /* stands among the outstanding */
	uint64_t id;
	enum tk_frame_type type;
	size_t len;
	tk_ask_done *done; /* NULL once forgotten */
	void *owner;
	unsigned index;
	uint8_t payload[TK_ASK_BYTES];
};

void
tk_asks_init(struct tk_asks *asks)
{
	*asks = (struct tk_asks){ .next_id = ASK_ID_BIT };
	TAILQ_INIT(&asks->queued);
	TAILQ_INIT(&asks->outstanding);
}

static void
list_free(struct tk_ask_list *list)
{
	struct tk_ask *ask;

	while ((ask = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, ask, link);
		free(ask);
	}
}

void
tk_asks_free(struct tk_asks *asks)
{
	list_free(&asks->queued);
	list_free(&asks->outstanding);
	asks->outstanding_count = 0;
}

static void
asks_send(struct tk_asks *asks, struct tk_channel *chan)
{
	struct tk_ask *ask;

	while (chan != NULL && asks->outstanding_count < TK_ASKS_OUTSTANDING &&
	       (ask = TAILQ_FIRST(&asks->queued)) != NULL) {
		if (tk_channel_send1(chan, ask->type, ask->id, ask->payload, ask->len) < 0)
			return; /* the channel ends; the next one is told */
		TAILQ_REMOVE(&asks->queued, ask, link);
		TAILQ_INSERT_TAIL(&asks->outstanding, ask, link);
		ask->sent = true;
		asks->outstanding_count++;
	}
}

int
tk_asks_add(struct tk_asks *asks, struct tk_channel *chan, enum tk_frame_type type,
    const void *payload, size_t len, tk_ask_done *done, void *owner, unsigned index,
    struct tk_ask **ret_ask)
{
	struct tk_ask *ask = calloc(1, sizeof(*ask));

	tk_assert(len <= TK_ASK_BYTES);
	if (ask == NULL)
		return -ENOMEM;
	ask->asks = asks;
	ask->id = ++asks->next_id;
	ask->type = type;
	ask->len = len;
	ask->done = done;
	ask->owner = owner;
	ask->index = index;
	memcpy(ask->payload, payload, len);
	TAILQ_INSERT_TAIL(&asks->queued, ask, link);
	*ret_ask = ask;
	asks_send(asks, chan);
	return 0;
}

void
tk_ask_forget(struct tk_ask *ask)
{
	ask->done = NULL;
	if (ask->sent)
		return;
	TAILQ_REMOVE(&ask->asks->queued, ask, link);
	free(ask);
}

void
tk_asks_connected(struct tk_asks *asks, struct tk_channel *chan)
{
	struct tk_ask *ask;

	while ((ask = TAILQ_LAST(&asks->outstanding, tk_ask_list)) != NULL) {
		TAILQ_REMOVE(&asks->outstanding, ask, link);
		ask->sent = false;
		if (ask->done == NULL)
			free(ask);
		else
			TAILQ_INSERT_HEAD(&asks->queued, ask, link);
	}
	asks->outstanding_count = 0;
	asks_send(asks, chan);
}

static bool
is_answer(const struct tk_ask *ask, const struct tk_frame *frame)
{
	if (ask->type == TK_FRAME_RETAIN)
		return frame->type == TK_FRAME_RETAINED &&
		       frame->len == sizeof(struct tk_frame_retained);
	return ask->type == TK_FRAME_SEGMENTS && frame->type == TK_FRAME_SEGMENTS_ARE &&
	       frame->len >= sizeof(struct tk_frame_segments_are);
}

bool
tk_asks_answered(struct tk_asks *asks, struct tk_channel *chan, const struct tk_frame *frame,
    const void *payload)
{
	struct tk_ask *ask;

	if ((frame->id & ASK_ID_BIT) == 0)
		return false;
	/* Answers come about in order: the one meant is at the front or near it. */
	TAILQ_FOREACH (ask, &asks->outstanding, link)
		if (ask->id == frame->id)
			break;
	if (ask == NULL || !is_answer(ask, frame))
		return false;
	TAILQ_REMOVE(&asks->outstanding, ask, link);
	asks->outstanding_count--;
	if (ask->done != NULL)
		ask->done(ask->owner, ask->index, payload, frame->len);
	free(ask);
	asks_send(asks, chan);
	return true;
}
