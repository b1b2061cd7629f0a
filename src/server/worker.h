/*
 * A worker: its connections, its ties to writers and coordinator, its view of the metadata, and the
 * services its modules use.  One thread; nothing here blocks but reads of the log's files.
 */
#ifndef TK_SERVER_WORKER_H
#define TK_SERVER_WORKER_H

#include "log/reader.h"
#include "log/zone.h"
#include "meta/meta.h"
#include "server/process.h"
#include "server/shared_arena.h"
#include "server/writer_ask.h"
#include "takhin/module.h"

#define TK_API_KEYS_MAX 128

struct tk_writer_link;
struct tk_coordinator_link;
struct tk_listener;
struct tk_fetch_sessions;

TAILQ_HEAD(tk_conn_list, tk_conn);

struct tk_worker {
	struct tk_process *proc;
	const struct tk_settings *settings;
	struct tk_shared_arena *arena;

	/* pipeline */
	const struct tk_decode *decode;
	const struct tk_transmit *transmit;
	const struct tk_api *apis[TK_API_KEYS_MAX];

	/* connections */
	struct tk_conn_list conns;        /* least lately active first */
	struct tk_conn_list memory_waits; /* those that wait for room, in order */
	size_t conn_count;
	size_t connections_max; /* worker_connections, or what the budget allows; 0: the former */
	size_t memory_bytes;    /* held by requests' arenas */
	struct tk_listener *listeners;
	size_t listener_count;
	struct tk_timer sweep;
	struct tk_post memory_freed;
	struct tk_timer memory_retry; /* runs while somebody waits for room */

	/* the log */
	struct tk_zone *zones[TK_DIRECTORIES_MAX];
	struct tk_reader *reader;
	struct tk_writer_link *writers[TK_DIRECTORIES_MAX];
	int directory_fds[TK_DIRECTORIES_MAX]; /* O_PATH */
	size_t directory_count;

	/* metadata */
	struct tk_meta *meta;
	char cluster_id[64];
	struct tk_coordinator_link *coordinator;

	struct tk_fetch_sessions *sessions; /* of the fetch module */
};

/* ---- connections (conn.c, conn_room.c, conn_sweep.c, listener.c) ---- */

int tk_conns_init(struct tk_worker *worker) TK_MUST_CHECK;

/* The largest frame that is taken, its prefix included. */
size_t tk_worker_frame_max(const struct tk_worker *worker);

/* Requests hold more than worker_memory: none begins, and those that wait should come to an end. */
bool tk_worker_is_pressed(const struct tk_worker *worker);

/* Takes over an accepted, non-blocking socket. */
void tk_conn_new(
    struct tk_worker *worker, unsigned listener, int fd, const struct sockaddr_storage *peer);

/* Closes what is idle at once and the rest when their requests are answered. */
void tk_conns_quit(struct tk_worker *worker);
void tk_conns_close_all(struct tk_worker *worker);

int tk_listeners_start(struct tk_worker *worker) TK_MUST_CHECK;
void tk_listeners_stop(struct tk_worker *worker);
void tk_listener_conn_closed(
    struct tk_worker *worker, unsigned listener, const struct sockaddr *peer);

/* ---- waiting (wait.c) ---- */

/* A place where requests wait to be woken. */
struct tk_wait_list {
	TAILQ_HEAD(, tk_wait) waits;
};

void tk_wait_list_init(struct tk_wait_list *list);

/* req waits in list until woken or done; 0 or -ENOMEM. */
int tk_wait_add(struct tk_wait_list *list, struct tk_request *req) TK_MUST_CHECK;

/* Wakes and empties. */
void tk_wait_list_wake(struct tk_wait_list *list);
bool tk_wait_list_empty(const struct tk_wait_list *list);

/* req waits nowhere any more. */
void tk_request_unwait(struct tk_request *req);

/* ---- writers (writer_link.c, watches.c) ---- */

/* An append under way.  result NULL: the writer died, nobody knows what came of it. */
struct tk_append_call;
typedef void tk_append_done(void *owner, unsigned index, const struct tk_frame_appended *result);

/*
 * Hands the batch at data (in buf) to the writer of directory; done(owner, index, ..) is called
 * later, once, unless forgotten.  buf is referenced until the writer has answered or died.  0 or
 * -ENOMEM.
 */
int tk_worker_append(struct tk_worker *worker, unsigned directory,
    const struct tk_frame_append *append, struct tk_shared_buf *buf, tk_append_done *done,
    void *owner, unsigned index, struct tk_append_call **ret_call) TK_MUST_CHECK;

/* done() will not be called; the append goes on. */
void tk_append_forget(struct tk_append_call *call);

/* Not yet sent to the writer (so certainly nothing was published): taken back; else false. */
bool tk_append_take_back(struct tk_append_call *call);

/* Wakes req when the writer tells that slot's record is past seq and high watermark past want. */
int tk_worker_watch(struct tk_worker *worker, unsigned directory, uint32_t slot,
    const struct tk_part_state *state, uint64_t seq, int64_t want_position,
    struct tk_request *req) TK_MUST_CHECK;

/* Asks the writer for a partition's segments; req is woken when the reader has them. */
int tk_worker_segments(
    struct tk_worker *worker, const struct tk_part_key *key, struct tk_request *req) TK_MUST_CHECK;

/*
 * Asks the writer of directory until it answers, in the order of the calls: what may be done twice.
 * 0 or -ENOMEM.  tk_ask_forget() takes back that done() is called.
 */
int tk_worker_ask(struct tk_worker *worker, unsigned directory, enum tk_frame_type type,
    const void *payload, size_t len, tk_ask_done *done, void *owner, unsigned index,
    struct tk_ask **ret_ask) TK_MUST_CHECK;

int tk_writer_link_new(struct tk_worker *worker, unsigned directory) TK_MUST_CHECK;
void tk_writer_link_free(struct tk_writer_link **link);

/* ---- coordinator (coordinator_link.c) ---- */

/* What came back; body is good until the call returns.  status below 0: -ETIMEDOUT, -EPIPE. */
typedef void tk_forward_done(void *owner, int status, const void *body, size_t len);
struct tk_forward_call;

/* Sends a request to the coordinator; 0 or -errno. */
int tk_worker_forward(struct tk_worker *worker, const struct tk_request *req, int16_t api_key,
    int16_t version, const struct iovec *body, int pieces, int64_t timeout_ms,
    tk_forward_done *done, void *owner, struct tk_forward_call **ret_call) TK_MUST_CHECK;
void tk_forward_forget(struct tk_forward_call *call);

int tk_coordinator_link_new(struct tk_worker *worker) TK_MUST_CHECK;
void tk_coordinator_link_free(struct tk_coordinator_link **link);

/* ---- partitions ---- */

/* A partition with its place and state; what Fetch, Produce and ListOffsets begin with. */
struct tk_part {
	const struct tk_meta_topic *topic;
	const struct tk_meta_partition *meta;
	struct tk_part_key key;
	struct tk_part_state state;
	uint64_t seq;
};

/* Finds a partition of topic; a Kafka error code, 0 with *ret_part filled in. */
int16_t tk_worker_part(struct tk_worker *worker, const struct tk_meta_topic *topic,
    int32_t partition, struct tk_part *ret_part);

#endif
