/*
 * A worker's tie to the coordinator: requests forwarded as frames, answered in any order.
 *
 * At most FORWARDS_OUTSTANDING are under way; past that a request is refused at once, and its
 * client tries again.  When the coordinator dies, all of them are answered -EPIPE: the outcome is
 * unknown.  One that is not answered in time is answered -ETIMEDOUT.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "server/worker.h"

#define FORWARDS_OUTSTANDING 128u
#define BODY_MAX             ((size_t)1 << 20)
#define GRACE_MS             1000 /* beyond the deadline, for an answer on its way */
#define RECONNECT_MS         20

struct tk_forward_call {
	TAILQ_ENTRY(tk_forward_call) link;
	uint64_t id;
	struct tk_coordinator_link *coordinator;
	struct tk_timer timer;
	tk_forward_done *done; /* NULL once forgotten */
	void *owner;
};

struct tk_coordinator_link {
	struct tk_worker *worker;
	struct tk_channel *chan;
	uint64_t next_id;
	TAILQ_HEAD(, tk_forward_call) calls;
	unsigned count;
	struct tk_timer reconnect;
};

static void
forward_settle(struct tk_forward_call *call, int status, const void *body, size_t len)
{
	struct tk_coordinator_link *link = call->coordinator;

	TAILQ_REMOVE(&link->calls, call, link);
	link->count--;
	tk_timer_stop(link->worker->proc->loop, &call->timer);
	if (call->done != NULL)
		call->done(call->owner, status, body, len);
	free(call);
}

static void
forward_expire(struct tk_timer *timer)
{
	forward_settle(TK_CONTAINER_OF(timer, struct tk_forward_call, timer), -ETIMEDOUT, NULL, 0);
}

void
tk_forward_forget(struct tk_forward_call *call)
{
	call->done = NULL;
}

static void
peer_text(const struct sockaddr *peer, char *text, size_t room)
{
	text[0] = '\0';
	if (peer->sa_family == AF_INET)
		(void)inet_ntop(AF_INET,
		    &((const struct sockaddr_in *)(const void *)peer)->sin_addr, text,
		    (socklen_t)room);
	else if (peer->sa_family == AF_INET6)
		(void)inet_ntop(AF_INET6,
		    &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr, text,
		    (socklen_t)room);
}

int
tk_worker_forward(struct tk_worker *worker, const struct tk_request *req, int16_t api_key,
    int16_t version, const struct iovec *body, int pieces, int64_t timeout_ms,
    tk_forward_done *done, void *owner, struct tk_forward_call **ret_call)
{
	struct tk_coordinator_link *link = worker->coordinator;
	struct tk_forward_call *call;
	struct tk_frame_forward frame;
	struct iovec iov[3 + 8];
	char host[INET6_ADDRSTRLEN];
	size_t len = 0;

	for (int i = 0; i < pieces; i++)
		len += body[i].iov_len;
	if (link->chan == NULL || link->count >= FORWARDS_OUTSTANDING)
		return -EAGAIN;
	if (len > BODY_MAX || pieces > 8)
		return -EMSGSIZE;
	call = calloc(1, sizeof(*call));
	if (call == NULL)
		return -ENOMEM;
	peer_text(tk_conn_peer(req->conn), host, sizeof(host));
	frame = (struct tk_frame_forward){ .deadline_ms = tk_clock_mono_ms() + timeout_ms,
		.api_key = api_key,
		.api_version = version,
		.client_id_len = (uint16_t)req->client_id.len,
		.host_len = (uint16_t)strlen(host),
		.body_len = (uint32_t)len,
		.listener = tk_conn_listener(req->conn) };
	iov[0] = (struct iovec){ &frame, sizeof(frame) };
	iov[1] = (struct iovec){ (void *)(uintptr_t)req->client_id.data, req->client_id.len };
	iov[2] = (struct iovec){ host, strlen(host) };
	for (int i = 0; i < pieces; i++)
		iov[3 + i] = body[i];
	call->id = ++link->next_id;
	call->coordinator = link;
	call->done = done;
	call->owner = owner;
	call->timer.expire = forward_expire;
	/* Sent last: an error says that nothing was. */
	if (tk_timer_start(worker->proc->loop, &call->timer, timeout_ms + GRACE_MS) < 0 ||
	    tk_channel_send(link->chan, TK_FRAME_FORWARD, call->id, iov, 3 + pieces) < 0) {
		tk_timer_stop(worker->proc->loop, &call->timer);
		free(call);
		return -EPIPE;
	}
	TAILQ_INSERT_TAIL(&link->calls, call, link);
	link->count++;
	tk_count(TK_COUNT_forwarded, 1);
	*ret_call = call;
	return 0;
}

static bool
link_frame(struct tk_channel *chan, const struct tk_frame *frame, const void *payload)
{
	struct tk_coordinator_link *link = tk_channel_owner(chan);
	struct tk_frame_forwarded forwarded;
	struct tk_forward_call *call;

	if (frame->type != TK_FRAME_FORWARDED || frame->len < sizeof(forwarded))
		return false;
	memcpy(&forwarded, payload, sizeof(forwarded)); /* bodies are of any length */
	if (frame->len - sizeof(forwarded) != forwarded.body_len)
		return false;
	TAILQ_FOREACH (call, &link->calls, link)
		if (call->id == frame->id)
			break;
	if (call != NULL)
		forward_settle(call, forwarded.status, (const uint8_t *)payload + sizeof(forwarded),
		    forwarded.body_len);
	return true;
}

static void link_connect(struct tk_coordinator_link *link);

static void
link_closed(struct tk_channel *chan)
{
	struct tk_coordinator_link *link = tk_channel_owner(chan);
	struct tk_forward_call *call;

	tk_channel_free(&link->chan);
	while ((call = TAILQ_FIRST(&link->calls)) != NULL)
		forward_settle(call, -EPIPE, NULL, 0);
	link_connect(link);
}

static const struct tk_channel_ops link_ops = { .frame = link_frame, .closed = link_closed };

static void
link_connect(struct tk_coordinator_link *link)
{
	struct tk_process *proc = link->worker->proc;

	if (tk_channel_connect(proc->loop, proc->cycle->run_dir_fd, TK_CHANNEL_COORDINATOR,
		&link_ops, link, &link->chan) < 0)
		(void)tk_timer_start(proc->loop, &link->reconnect, RECONNECT_MS);
}

static void
reconnect_expire(struct tk_timer *timer)
{
	link_connect(TK_CONTAINER_OF(timer, struct tk_coordinator_link, reconnect));
}

int
tk_coordinator_link_new(struct tk_worker *worker)
{
	struct tk_coordinator_link *link = calloc(1, sizeof(*link));

	if (link == NULL)
		return -ENOMEM;
	link->worker = worker;
	TAILQ_INIT(&link->calls);
	link->reconnect.expire = reconnect_expire;
	worker->coordinator = link;
	link_connect(link);
	return 0;
}

void
tk_coordinator_link_free(struct tk_coordinator_link **link)
{
	struct tk_coordinator_link *gone = *link;
	struct tk_forward_call *call;

	*link = NULL;
	if (gone == NULL)
		return;
	tk_channel_free(&gone->chan);
	while ((call = TAILQ_FIRST(&gone->calls)) != NULL) {
		call->done = NULL;
		forward_settle(call, -EPIPE, NULL, 0);
	}
	tk_timer_stop(gone->worker->proc->loop, &gone->reconnect);
	free(gone);
}
