/*
 * Requests and connections, as modules see them.
 *
 * A request lives from the frame's last byte to the reply's last byte; its arena with it.  A
 * handler is called when its turn has come and answers TK_IO_DONE (the reply is set, or none is
 * wanted), TK_IO_AGAIN (it waits: somebody will call tk_request_wake, and the handler is called
 * again) or TK_IO_ERROR (the connection closes).  Workers have one thread.
 */
#ifndef TAKHIN_REQUEST_H
#define TAKHIN_REQUEST_H

#include <sys/queue.h>
#include <sys/socket.h>

#include "takhin/arena.h"
#include "takhin/chain.h"
#include "takhin/loop.h"

struct tk_worker;
struct tk_conn;
struct tk_shared_buf;
struct tk_request;

#define TK_API_PIPELINED   0x1u /* may be under way together with others of the same kind */
#define TK_API_ANY_VERSION 0x2u /* is called for versions it does not serve, too */

/* One row a served API. */
struct tk_api {
	int16_t key;
	int16_t min_version, max_version; /* served */
	int16_t advertised_min; /* what ApiVersions tells; below min_version for Produce */
	unsigned flags;
	enum tk_io (*handle)(struct tk_request *req);
	/* The connection is gone while the request waits; its waits are already undone.  May be
	 * NULL. */
	void (*cancel)(struct tk_request *req);
};

struct tk_request {
	TAILQ_ENTRY(tk_request) link; /* of the connection, in the order of arrival */
	struct tk_worker *worker;
	struct tk_conn *conn;
	const struct tk_api *api;
	struct tk_arena arena;
	struct tk_shared_buf *buf; /* where the frame lies */
	struct tk_bytes client_id;
	struct tk_bytes body; /* what follows the header */
	int16_t api_key, version;
	int32_t correlation_id;
	int64_t received_ms; /* of CLOCK_MONOTONIC */
	struct tk_chain reply;
	bool no_reply; /* with TK_IO_DONE: nothing is to be sent (acks = 0) */
	bool done;
	bool failed; /* the connection closes where its reply would leave */
	void *ctx;   /* the handler's, of the arena */
	/* private */
	size_t accounted_bytes;
	struct tk_post wake;
	struct tk_timer timer;
	bool timer_fired;
	LIST_HEAD(, tk_wait) waits;
};

/*
 * Calls the handler again, from a posted call; more than once before that is once.  A handler may
 * be called without having asked for it: when the worker is to stop, or short of memory.
 */
void tk_request_wake(struct tk_request *req);

/* Wakes it after delay_ms, with req->timer_fired set; in place of the delay before. */
void tk_request_wake_after(struct tk_request *req, int64_t delay_ms);

/*
 * Decodes the body at the request's version into msg, the request's generated struct.  False where
 * it is malformed: the handler then answers TK_IO_ERROR.
 */
bool tk_request_decode(struct tk_request *req, void *msg);

/*
 * Sets the reply: header, then msg (the response's generated struct) encoded at the request's
 * version.  TK_IO_DONE, or TK_IO_ERROR where it does not fit the arena.
 */
enum tk_io tk_request_reply(struct tk_request *req, const void *msg);

/* The same at another version, where a version was asked for that nobody knows. */
enum tk_io tk_request_reply_at(struct tk_request *req, int version, const void *msg);

/* The same with a body that is encoded already; the bytes are copied. */
enum tk_io tk_request_reply_bytes(struct tk_request *req, const void *body, size_t len);

/* The address a connection came from, and the listener it came by (its place in the settings). */
const struct sockaddr *tk_conn_peer(const struct tk_conn *conn);
unsigned tk_conn_listener(const struct tk_conn *conn);

#endif
