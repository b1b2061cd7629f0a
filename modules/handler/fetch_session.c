/*
 * Fetch sessions.  Runs in workers; nothing of it is shared between them.
 */
#include "fetch_session.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "wire/codec.h"

#define IDLE_BEFORE_EVICTION_MS 120000
#define PARTS_MAX               100000u

struct tk_fetch_session {
	TAILQ_ENTRY(tk_fetch_session) link; /* by last use, longest ago first */
	struct tk_map_node node;
	struct tk_fetch_sessions *sessions;
	int32_t id;
	int32_t epoch; /* of the request to come */
	bool by_id, is_new, busy, gone;
	int64_t used_ms;
	struct tk_session_parts parts;
	struct tk_map by_key;
};

struct tk_fetch_sessions {
	TAILQ_HEAD(, tk_fetch_session) by_use;
	struct tk_map by_id;
	unsigned max;
};

/* What identifies a partition in a session; topic is empty where the session goes by ids. */
struct part_key {
	struct tk_uuid topic_id;
	int32_t partition;
	struct tk_bytes topic;
};

#define KEY_BYTES_MAX (16 + 4 + TK_STRING_MAX)

/* The key as bytes; its length. */
static size_t
part_key_bytes(const struct part_key *key, uint8_t bytes[KEY_BYTES_MAX])
{
	memcpy(bytes, key->topic_id.b, 16);
	memcpy(bytes + 16, &key->partition, 4);
	if (key->topic.len > 0)
		memcpy(bytes + 20, key->topic.data, key->topic.len);
	return 20 + key->topic.len;
}

static bool
part_equal(const struct tk_map_node *node, const void *key, size_t len)
{
	const struct tk_session_part *part = TK_CONTAINER_OF(node, struct tk_session_part, node);
	const uint8_t *bytes = key;

	return len == 20 + (size_t)part->topic.len && memcmp(bytes, part->topic_id.b, 16) == 0 &&
	       memcmp(bytes + 16, &part->partition, 4) == 0 &&
	       memcmp(bytes + 20, part->name, part->topic.len) == 0;
}

static struct tk_session_part *
part_find(const struct tk_fetch_session *session, const struct part_key *key)
{
	uint8_t bytes[KEY_BYTES_MAX];
	size_t len = part_key_bytes(key, bytes);
	struct tk_map_node *node = tk_map_find(&session->by_key, bytes, len, part_equal);

	return node == NULL ? NULL : TK_CONTAINER_OF(node, struct tk_session_part, node);
}

static void
part_drop(struct tk_fetch_session *session, struct tk_session_part *part)
{
	TAILQ_REMOVE(&session->parts, part, link);
	tk_map_remove(&session->by_key, &part->node);
	free(part);
}

static bool
part_update(struct tk_fetch_session *session, const struct part_key *key,
    const struct tk_fetch_request_partition *from)
{
	struct tk_session_part *part = part_find(session, key);
	uint8_t bytes[KEY_BYTES_MAX];

	if (part == NULL) {
		if (session->by_key.count >= PARTS_MAX)
			return false;
		part = calloc(1, sizeof(*part) + key->topic.len);
		if (part == NULL)
			return false;
		part->topic_id = key->topic_id;
		if (key->topic.len > 0)
			memcpy(part->name, key->topic.data, key->topic.len);
		part->topic = (struct tk_bytes){ (const uint8_t *)part->name, key->topic.len };
		part->partition = key->partition;
		part->high_watermark = part->log_start = -1;
		tk_map_put(&session->by_key, &part->node, bytes, part_key_bytes(key, bytes));
		TAILQ_INSERT_TAIL(&session->parts, part, link);
	}
	part->fetch_offset = from->fetch_offset;
	part->max_bytes = from->partition_max_bytes;
	part->leader_epoch = from->current_leader_epoch;
	return true;
}

/* Brings a session up to date with what a request adds, changes and forgets. */
static bool
session_update(struct tk_fetch_session *session, const struct tk_fetch_request *msg)
{
	for (int32_t i = 0; i < msg->topics_count; i++) {
		struct part_key key = { .topic_id = msg->topics[i].topic_id,
			.topic = msg->topics[i].topic };

		for (int32_t k = 0; k < msg->topics[i].partitions_count; k++) {
			key.partition = msg->topics[i].partitions[k].partition;
			if (!part_update(session, &key, &msg->topics[i].partitions[k]))
				return false;
		}
	}
	for (int32_t i = 0; i < msg->forgotten_topics_data_count; i++) {
		const struct tk_fetch_request_forgotten_topic *topic =
		    &msg->forgotten_topics_data[i];
		struct part_key key = { .topic_id = topic->topic_id, .topic = topic->topic };

		for (int32_t k = 0; k < topic->partitions_count; k++) {
			struct tk_session_part *part;

			key.partition = topic->partitions[k];
			part = part_find(session, &key);
			if (part != NULL)
				part_drop(session, part);
		}
	}
	return true;
}

static void
session_free(struct tk_fetch_session *session)
{
	struct tk_session_part *part;

	while ((part = TAILQ_FIRST(&session->parts)) != NULL)
		part_drop(session, part);
	tk_map_free(&session->by_key);
	free(session);
}

/* Out of the table; freed now, or by the request that is using it. */
static void
session_drop(struct tk_fetch_session *session)
{
	TAILQ_REMOVE(&session->sessions->by_use, session, link);
	tk_map_remove(&session->sessions->by_id, &session->node);
	session->gone = true;
	if (!session->busy)
		session_free(session);
}

static bool
session_equal(const struct tk_map_node *node, const void *key, size_t len)
{
	(void)len;
	return TK_CONTAINER_OF(node, struct tk_fetch_session, node)->id == *(const int32_t *)key;
}

static struct tk_fetch_session *
session_find(const struct tk_fetch_sessions *sessions, int32_t id)
{
	struct tk_map_node *node = tk_map_find(&sessions->by_id, &id, sizeof(id), session_equal);

	return node == NULL ? NULL : TK_CONTAINER_OF(node, struct tk_fetch_session, node);
}

static bool
sessions_make_room(struct tk_fetch_sessions *sessions, int64_t now_ms)
{
	struct tk_fetch_session *oldest = TAILQ_FIRST(&sessions->by_use);

	if (sessions->by_id.count < sessions->max)
		return true;
	if (oldest == NULL || oldest->busy || now_ms - oldest->used_ms < IDLE_BEFORE_EVICTION_MS)
		return false;
	session_drop(oldest);
	return true;
}

/* A session that begins with msg; NULL: the client goes without. */
static struct tk_fetch_session *
session_new(struct tk_fetch_sessions *sessions, const struct tk_fetch_request *msg, bool by_id,
    int64_t now_ms)
{
	struct tk_fetch_session *session;

	if (!sessions_make_room(sessions, now_ms))
		return NULL;
	session = calloc(1, sizeof(*session));
	if (session == NULL)
		return NULL;
	session->sessions = sessions;
	session->by_id = by_id;
	session->is_new = true;
	session->epoch = 1;
	session->used_ms = now_ms;
	TAILQ_INIT(&session->parts);
	do {
		if (getrandom(&session->id, sizeof(session->id), 0) < 0)
			session->id++;
		session->id &= INT32_MAX;
	} while (session->id == 0 || session_find(sessions, session->id) != NULL);
	if (!session_update(session, msg)) {
		session_free(session);
		return NULL;
	}
	tk_map_put(&sessions->by_id, &session->node, &session->id, sizeof(session->id));
	TAILQ_INSERT_TAIL(&sessions->by_use, session, link);
	tk_count(TK_COUNT_fetch_sessions, 1);
	return session;
}

static int16_t
session_continue(struct tk_fetch_sessions *sessions, const struct tk_fetch_request *msg, bool by_id,
    int64_t now_ms, struct tk_fetch_session **ret_session)
{
	struct tk_fetch_session *session = session_find(sessions, msg->session_id);

	if (session == NULL) {
		tk_count(TK_COUNT_fetch_sessions_unknown, 1);
		return TK_ERR_FETCH_SESSION_ID_NOT_FOUND;
	}
	if (session->busy || session->epoch != msg->session_epoch)
		return TK_ERR_INVALID_FETCH_SESSION_EPOCH;
	if (session->by_id != by_id)
		return TK_ERR_FETCH_SESSION_TOPIC_ID_ERROR;
	if (!session_update(session, msg)) {
		session_drop(session);
		return TK_ERR_FETCH_SESSION_ID_NOT_FOUND;
	}
	session->epoch = session->epoch == INT32_MAX ? 1 : session->epoch + 1;
	session->is_new = false;
	session->used_ms = now_ms;
	TAILQ_REMOVE(&sessions->by_use, session, link);
	TAILQ_INSERT_TAIL(&sessions->by_use, session, link);
	*ret_session = session;
	return TK_ERR_NONE;
}

int16_t
tk_fetch_session_begin(struct tk_fetch_sessions *sessions, const struct tk_fetch_request *msg,
    bool by_id, int64_t now_ms, struct tk_fetch_session **ret_session)
{
	struct tk_fetch_session *session = NULL;
	int16_t error = TK_ERR_NONE;

	if (msg->session_epoch > 0) {
		error = session_continue(sessions, msg, by_id, now_ms, &session);
	} else {
		/* A full Fetch: it ends the session it names and may begin another. */
		session = msg->session_id == 0 ? NULL : session_find(sessions, msg->session_id);
		if (session != NULL)
			session_drop(session);
		session = NULL;
		if (msg->session_epoch == 0)
			session = session_new(sessions, msg, by_id, now_ms);
	}
	if (session != NULL)
		session->busy = true;
	*ret_session = session;
	return error;
}

int32_t
tk_fetch_session_id(const struct tk_fetch_session *session)
{
	return session == NULL ? 0 : session->id;
}

bool
tk_fetch_session_is_new(const struct tk_fetch_session *session)
{
	return session->is_new;
}

struct tk_session_parts *
tk_fetch_session_parts(struct tk_fetch_session *session)
{
	return &session->parts;
}

size_t
tk_fetch_session_count(const struct tk_fetch_session *session)
{
	return session->by_key.count;
}

void
tk_fetch_session_served(struct tk_fetch_session *session, struct tk_session_part *part)
{
	TAILQ_REMOVE(&session->parts, part, link);
	TAILQ_INSERT_TAIL(&session->parts, part, link);
}

void
tk_fetch_session_end(struct tk_fetch_session *session)
{
	session->busy = false;
	if (session->gone)
		session_free(session);
}

int
tk_fetch_sessions_new(unsigned max_sessions, struct tk_fetch_sessions **ret)
{
	struct tk_fetch_sessions *sessions = calloc(1, sizeof(*sessions));

	if (sessions == NULL)
		return -ENOMEM;
	sessions->max = max_sessions;
	TAILQ_INIT(&sessions->by_use);
	*ret = sessions;
	return 0;
}

void
tk_fetch_sessions_free(struct tk_fetch_sessions **sessions)
{
	struct tk_fetch_session *session;

	if (*sessions == NULL)
		return;
	while ((session = TAILQ_FIRST(&(*sessions)->by_use)) != NULL)
		session_drop(session);
	tk_map_free(&(*sessions)->by_id);
	free(*sessions);
	*sessions = NULL;
}
