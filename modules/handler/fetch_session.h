/*
 * Fetch sessions (KIP-227): what an incremental Fetch leaves out, because the broker remembers.
 *
 * A session belongs to one worker; a client whose connection comes to another is told that it is
 * not known and starts anew.  There is a bound on sessions; past it the one that was idle longest
 * (at least two minutes) makes room, or the client goes without.  One thread.
 */
#ifndef TK_MODULES_FETCH_SESSION_H
#define TK_MODULES_FETCH_SESSION_H

#include "base/map.h"
#include "handlers.h"

struct tk_fetch_sessions;
struct tk_fetch_session;

/* A partition of a session. */
struct tk_session_part {
	TAILQ_ENTRY(tk_session_part) link;
	struct tk_map_node node;
	struct tk_uuid topic_id; /* zero where the session goes by names */
	struct tk_bytes topic;
	int32_t partition;
	int32_t leader_epoch;
	int64_t fetch_offset;
	int32_t max_bytes;
	/* as the client was told last */
	int64_t high_watermark, log_start;
	bool error;
	char name[]; /* topic's bytes */
};
TAILQ_HEAD(tk_session_parts, tk_session_part);

/* max_sessions 0: every client goes without. */
int tk_fetch_sessions_new(unsigned max_sessions, struct tk_fetch_sessions **ret) TK_MUST_CHECK;
void tk_fetch_sessions_free(struct tk_fetch_sessions **sessions);

/*
 * The session that a request of version 7 or above means, brought up to date with what it brings.
 * A Kafka error code; with 0, *ret_session is NULL where the request goes without one.
 */
int16_t tk_fetch_session_begin(struct tk_fetch_sessions *sessions,
    const struct tk_fetch_request *msg, bool by_id, int64_t now_ms,
    struct tk_fetch_session **ret_session);

int32_t tk_fetch_session_id(const struct tk_fetch_session *session);

/* This Fetch is the first of its session: every partition is to be answered. */
bool tk_fetch_session_is_new(const struct tk_fetch_session *session);

/* Its partitions, in the order they are to be served. */
struct tk_session_parts *tk_fetch_session_parts(struct tk_fetch_session *session);
size_t tk_fetch_session_count(const struct tk_fetch_session *session);

/* A partition was given records: the others are served before it next time. */
void tk_fetch_session_served(struct tk_fetch_session *session, struct tk_session_part *part);

/* The request is through; a request on another connection may go on with the session. */
void tk_fetch_session_end(struct tk_fetch_session *session);

#endif
