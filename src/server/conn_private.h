/*
 * What the files of connections share.  Runs in workers.
 *
 *	conn.c		bytes in, requests run, replies out, the end
 *	conn_room.c	room for what is received, and who waits for it
 *	conn_sweep.c	all connections: idle ones, stalled ones, a graceful stop
 */
#ifndef TK_SERVER_CONN_PRIVATE_H
#define TK_SERVER_CONN_PRIVATE_H

#include "server/worker.h"

#define TK_CONN_READ_BYTES ((size_t)4096) /* read at most of a frame whose size is not known */

struct tk_conn {
	TAILQ_ENTRY(tk_conn) link;
	TAILQ_ENTRY(tk_conn) wait_link;
	struct tk_worker *worker;
	struct tk_event event;
	struct tk_post work, gone;
	struct sockaddr_storage peer;
	unsigned listener;
	struct tk_shared_buf *buf; /* unparsed bytes are data[at .. end) */
	uint8_t *aside;            /* or here, at 0: it waits for room and has none */
	size_t at, end;
	size_t frame_bytes; /* of the frame at `at`, 0 while unknown */
	int frame_api;
	size_t usual_bytes;   /* of the last frame */
	size_t largest_bytes; /* of all that came whole */
	int64_t frame_ms;     /* the frame at `at` was not begun before */
	TAILQ_HEAD(, tk_request) requests;
	unsigned running;       /* of the requests, started and not done */
	unsigned running_alone; /* of those, not pipelined */
	int64_t active_ms;
	int64_t answer_ms; /* when the answer under way was begun */
	bool waits_for_memory, send_blocked, answering, closed;
	bool ending; /* nothing more is taken; closed when what came before is answered */
};

/* ---- conn.c ---- */

/* Looks at what is at the front; true if a whole frame is there.  May close the connection. */
bool tk_conn_has_frame(struct tk_conn *conn);

/* All there is to do for a connection, within a turn's bounds. */
void tk_conn_work(struct tk_conn *conn);

void tk_conn_close(struct tk_conn *conn);

/* The API of the frame at the front, NULL while it is not known or not served. */
const struct tk_api *tk_conn_frame_api(const struct tk_conn *conn);

/* ---- conn_room.c ---- */

/* Room for the rest of the frame at the front, or the start of one; false: there is none now. */
bool tk_conn_make_room(struct tk_conn *conn) TK_MUST_CHECK;

/* Into the line of those that wait for memory, and out of it. */
void tk_conn_wait_for_memory(struct tk_conn *conn);
void tk_conn_wait_no_more(struct tk_conn *conn);

/* Serves the line; the run of worker->memory_freed. */
void tk_conn_memory_freed(struct tk_post *post);

/* The same by the clock, where it was the kernel that had none; worker->memory_retry's. */
void tk_conn_memory_retry(struct tk_timer *timer);

#endif
