/*
 * Accepting, balanced between the workers of a generation.  Runs in workers.
 *
 * Each worker publishes how many connections it has; the one with the fewest accepts, the others
 * step back from the listening sockets for STEP_BACK_MS.  If in that time nobody accepted and the
 * socket is still readable, the one with the fewest is not taking (stopped, or full), and whoever
 * looked accepts.  A worker without a free descriptor steps back as well, and says so.
 *
 * Limits hold over all workers: each publishes its counts by listener and by address, and the sums
 * are compared.  Workers that accept in one moment may pass a limit together, by one each.  Counts
 * by address have a bounded table; addresses that do not fit are not limited.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/errlog.h"
#include "os/poll.h"
#include "server/worker.h"

#define STEP_BACK_MS   5
#define NO_FILES_MS    100
#define ACCEPTS_A_TURN 64

struct tk_listener {
	struct tk_worker *worker;
	unsigned index;
	const struct tk_listener_settings *settings;
	struct tk_event event;
	struct tk_timer back;
	uint64_t accepted_before; /* by all workers, when this one stepped back */
};

static uint64_t
all_accepted(const struct tk_worker *worker)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < worker->proc->worker_count; i++)
		sum += tk_count_of(worker->proc->worker_pages[i], TK_COUNT_connections_accepted);
	return sum;
}

static bool
has_fewest(const struct tk_worker *worker)
{
	for (size_t i = 0; i < worker->proc->worker_count; i++)
		if (__atomic_load_n(&worker->proc->worker_pages[i]->connections, __ATOMIC_RELAXED) <
		    worker->conn_count)
			return false;
	return true;
}

/* ---- counts by address and by listener ---- */

/* Of an address at a listener, or (0) at any.  An IPv4 address is the same in IPv6's clothes. */
static uint64_t
address_hash(const struct sockaddr *peer, unsigned listener)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)peer;
	uint64_t a = 0, b = 0;

	if (peer->sa_family == AF_INET) {
		memcpy(&a, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, 4);
	} else if (peer->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
		memcpy(&a, &six->sin6_addr.s6_addr[12], 4);
	} else if (peer->sa_family == AF_INET6) {
		memcpy(&a, &six->sin6_addr.s6_addr[0], 8);
		memcpy(&b, &six->sin6_addr.s6_addr[8], 8);
	}
	/* The same in every worker, so no secret key; forging a collision only limits the forger.
	 */
	b += listener;
	a = (a ^ (b * 0x9e3779b97f4a7c15u)) * 0xff51afd7ed558ccdu;
	a ^= a >> 32;
	return a == 0 ? 1 : a;
}

static const struct tk_page_address *
address_find(const struct tk_process_page *page, uint64_t hash)
{
	for (size_t i = 0; i < TK_PAGE_ADDRESS_COUNT; i++) {
		const struct tk_page_address *at =
		    &page->addresses[(hash + i) % TK_PAGE_ADDRESS_COUNT];

		if (at->hash == hash)
			return at;
		if (at->hash == 0)
			return NULL;
	}
	return NULL;
}

static uint64_t
address_count(const struct tk_worker *worker, uint64_t hash)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < worker->proc->worker_count; i++) {
		const struct tk_page_address *at =
		    address_find(worker->proc->worker_pages[i], hash);

		if (at != NULL)
			sum += __atomic_load_n(&at->count, __ATOMIC_RELAXED);
	}
	return sum;
}

/* Adds by to this worker's count; an entry that falls to 0 is used again by whoever hits it. */
static void
address_add(uint64_t hash, int by)
{
	struct tk_page_address *spare = NULL;

	for (size_t i = 0; i < TK_PAGE_ADDRESS_COUNT; i++) {
		struct tk_page_address *at =
		    &tk_page->addresses[(hash + i) % TK_PAGE_ADDRESS_COUNT];

		if (at->hash == hash) {
			/* One that found the table full was not counted, but is not told apart. */
			if (by > 0 || at->count > 0)
				at->count += (uint64_t)(int64_t)by;
			return;
		}
		if (spare == NULL && (at->hash == 0 || at->count == 0))
			spare = at;
		if (at->hash == 0)
			break;
	}
	if (spare != NULL && by > 0)
		*spare = (struct tk_page_address){ .hash = hash, .count = (uint64_t)by };
}

static bool
limited(int32_t limit, uint64_t count)
{
	return limit < INT32_MAX && count >= (uint64_t)limit;
}

/* Its place in a page; those past the end share the last one. */
static size_t
listener_place(const struct tk_listener *listener)
{
	return TK_MIN(listener->index, TK_PAGE_LISTENERS - 1);
}

/* By 1 or -1: a connection of peer has come or gone. */
static void
counts_add(const struct tk_listener *listener, const struct sockaddr *peer, int by)
{
	tk_page->listener_connections[listener_place(listener)] += (uint64_t)(int64_t)by;
	address_add(address_hash(peer, 0), by);
	if (listener->settings->max_connections_per_ip < INT32_MAX)
		address_add(address_hash(peer, listener->index + 1), by);
}

/* ---- accepting ---- */

/* Why the broker as a whole does not want one more from peer, or NULL. */
static const char *
refused(const struct tk_listener *listener, const struct sockaddr *peer)
{
	const struct tk_worker *worker = listener->worker;
	const struct tk_listener_settings *own = listener->settings;
	uint64_t total = 0, by_listener = 0;

	for (size_t i = 0; i < worker->proc->worker_count; i++) {
		const struct tk_process_page *page = worker->proc->worker_pages[i];

		total += page->connections;
		by_listener += page->listener_connections[listener_place(listener)];
	}
	if (!tk_listener_admits(own, peer))
		return "its address is not allowed";
	if (limited(worker->settings->max_connections_per_ip,
		address_count(worker, address_hash(peer, 0))) ||
	    limited(own->max_connections_per_ip,
		address_count(worker, address_hash(peer, listener->index + 1))))
		return "its address has max_connections_per_ip connections";
	if (limited(worker->settings->max_connections, total))
		return "there are max_connections connections";
	if (limited(own->max_connections, by_listener))
		return "its listener has max_connections connections";
	return NULL;
}

static void
listener_take(struct tk_listener *listener, int fd, const struct sockaddr_storage *peer)
{
	static struct tk_errlog_limit limit;
	const char *why = refused(listener, (const struct sockaddr *)peer);
	int on = 1;

	tk_count(TK_COUNT_connections_accepted, 1);
	if (why != NULL) {
		tk_count(TK_COUNT_connections_refused, 1);
		if (tk_errlog_allowed(&limit, 5))
			tk_warn("a connection to listener \"%s\" was refused: %s",
			    listener->settings->name, why);
		(void)close(fd);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	counts_add(listener, (const struct sockaddr *)peer, 1);
	tk_conn_new(listener->worker, listener->index, fd, peer);
}

static void
listener_step_back(struct tk_listener *listener, int64_t delay_ms)
{
	tk_event_remove(listener->worker->proc->loop, &listener->event);
	listener->accepted_before = all_accepted(listener->worker);
	(void)tk_timer_start(listener->worker->proc->loop, &listener->back, delay_ms);
}

/* Accepts one; false when there is none, or no descriptor for it. */
static bool
listener_accept(struct tk_listener *listener)
{
	static struct tk_errlog_limit limit;
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	int fd = accept4(
	    listener->event.fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		listener_take(listener, fd, &peer);
		return true;
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
		if (tk_errlog_allowed(&limit, 1))
			tk_err("could not accept a connection: %s", strerror(errno));
		listener_step_back(listener, NO_FILES_MS);
	}
	return false;
}

static bool
worker_is_full(const struct tk_worker *worker)
{
	size_t most = (size_t)worker->settings->worker_connections;

	if (worker->connections_max > 0)
		most = TK_MIN(most, worker->connections_max);
	return worker->conn_count >= most;
}

static void
listener_ready(struct tk_event *event, unsigned what)
{
	struct tk_listener *listener = TK_CONTAINER_OF(event, struct tk_listener, event);

	(void)what;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		if (worker_is_full(listener->worker) || !has_fewest(listener->worker)) {
			listener_step_back(listener, STEP_BACK_MS);
			return;
		}
		if (!listener_accept(listener))
			return;
	}
}

static void
listener_back_expire(struct tk_timer *timer)
{
	struct tk_listener *listener = TK_CONTAINER_OF(timer, struct tk_listener, back);
	struct pollfd pfd = { .fd = listener->event.fd, .events = POLLIN };

	if (poll(&pfd, 1, 0) > 0 && !worker_is_full(listener->worker) &&
	    !has_fewest(listener->worker) &&
	    all_accepted(listener->worker) == listener->accepted_before)
		(void)listener_accept(listener);
	if (tk_timer_running(&listener->back))
		return;
	if (worker_is_full(listener->worker))
		(void)tk_timer_start(listener->worker->proc->loop, &listener->back, NO_FILES_MS);
	else if (tk_event_add(listener->worker->proc->loop, &listener->event, TK_POLL_READ) < 0)
		(void)tk_timer_start(listener->worker->proc->loop, &listener->back, NO_FILES_MS);
}

int
tk_listeners_start(struct tk_worker *worker)
{
	const struct tk_cycle *cycle = worker->proc->cycle;

	worker->listeners = calloc(cycle->listener_count, sizeof(*worker->listeners));
	if (worker->listeners == NULL)
		return -ENOMEM;
	worker->listener_count = cycle->listener_count;
	/* What one before us has left in this page is gone with him. */
	memset(tk_page->listener_connections, 0, sizeof(tk_page->listener_connections));
	memset(tk_page->addresses, 0, sizeof(tk_page->addresses));
	tk_page->connections = tk_page->memory_bytes = 0;
	for (unsigned i = 0; i < cycle->listener_count; i++) {
		struct tk_listener *listener = &worker->listeners[i];
		int rc;

		listener->worker = worker;
		listener->index = i;
		listener->settings = cycle->listeners[i].settings;
		listener->event =
		    (struct tk_event){ .fd = cycle->listeners[i].fd, .ready = listener_ready };
		listener->back.expire = listener_back_expire;
		rc = tk_event_add(worker->proc->loop, &listener->event, TK_POLL_READ);
		if (rc < 0)
			return rc;
	}
	return 0;
}

void
tk_listeners_stop(struct tk_worker *worker)
{
	for (size_t i = 0; i < worker->listener_count; i++) {
		tk_event_remove(worker->proc->loop, &worker->listeners[i].event);
		tk_timer_stop(worker->proc->loop, &worker->listeners[i].back);
		if (worker->listeners[i].event.fd >= 0)
			(void)close(worker->listeners[i].event.fd);
		worker->listeners[i].event.fd = -1;
	}
}

void
tk_listener_conn_closed(struct tk_worker *worker, unsigned listener, const struct sockaddr *peer)
{
	counts_add(&worker->listeners[listener], peer, -1);
}
