/*
 * The sockets that clients connect to.  Master only; workers inherit them.
 *
 * A port may be held for a moment by the children of a master that was killed, so a start tries
 * again for a bounded time before it names the holder.  A reload does not wait.
 */
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errlog.h"
#include "master/master.h"
#include "os/portholder.h"

#define TRY_AGAIN_MS 20

static void
pause_ms(long ms)
{
	struct timespec pause = { .tv_nsec = ms * 1000000 };

	(void)nanosleep(&pause, NULL);
}

static void
listener_name(const struct tk_listener_settings *settings, char *text, size_t room)
{
	const char *fmt = strchr(settings->bind, ':') != NULL ? "[%s]:%d" : "%s:%d";

	(void)snprintf(text, room, fmt, settings->bind, (int)settings->port);
}

static int
socket_bound(const struct tk_listener_settings *settings)
{
	int one = 1, rc;
	int fd = socket(settings->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    (settings->addr.ss_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0) ||
	    bind(fd, (const struct sockaddr *)&settings->addr, settings->addr_len) < 0) {
		rc = -errno;
		(void)close(fd);
		return rc;
	}
	return fd;
}

/* Tells why fd could not be had; who holds the port if that is the reason. */
static void
bind_failed(const struct tk_listener_settings *settings, int rc, char *text, size_t room)
{
	char name[80], holder[64] = "";

	listener_name(settings, name, sizeof(name));
	if (rc == -EADDRINUSE)
		tk_port_holder((uint16_t)settings->port, holder, sizeof(holder));
	(void)snprintf(text, room, "could not listen on %s: %s%s%s", name, strerror(-rc),
	    holder[0] != '\0' ? " by " : "", holder);
}

static int
listener_bind(struct tk_cycle_listener *listener, int64_t wait_ms, char *text, size_t room)
{
	int64_t until_ms = tk_clock_mono_ms() + wait_ms;
	int fd;

	/* Holders are dying, if they are ours: nobody can wake us when they are gone. */
	while (
	    (fd = socket_bound(listener->settings)) == -EADDRINUSE && tk_clock_mono_ms() < until_ms)
		pause_ms(TRY_AGAIN_MS);
	if (fd < 0) {
		bind_failed(listener->settings, fd, text, room);
		return fd;
	}
	listener->fd = fd;
	return 0;
}

static bool
same_address(const struct tk_listener_settings *a, const struct tk_listener_settings *b)
{
	return a->addr_len == b->addr_len && memcmp(&a->addr, &b->addr, a->addr_len) == 0;
}

/* The descriptor of old's listener at this address, or -1. */
static int
listener_of(const struct tk_master_cycle *old, const struct tk_listener_settings *settings)
{
	for (size_t i = 0; old != NULL && i < old->cycle.listener_count; i++)
		if (same_address(old->cycle.listeners[i].settings, settings))
			return old->cycle.listeners[i].fd;
	return -1;
}

int
tk_master_listeners_bind(struct tk_master_cycle *old, struct tk_master_cycle *cycle,
    int64_t wait_ms, char *text, size_t room)
{
	for (size_t i = 0; i < cycle->cycle.listener_count; i++) {
		struct tk_cycle_listener *listener = &cycle->cycle.listeners[i];
		int rc;

		listener->fd = listener_of(old, listener->settings);
		if (listener->fd >= 0)
			continue;
		rc = listener_bind(listener, wait_ms, text, room);
		if (rc < 0) {
			tk_master_listeners_close(cycle);
			return rc;
		}
		cycle->listener_owned[i] = true;
	}
	return 0;
}

int
tk_master_listeners_listen(struct tk_cycle *cycle, char *text, size_t room)
{
	for (size_t i = 0; i < cycle->listener_count; i++) {
		struct tk_cycle_listener *listener = &cycle->listeners[i];
		int rc;

		if (listen(listener->fd, listener->settings->backlog) == 0)
			continue;
		rc = -errno;
		bind_failed(listener->settings, rc, text, room);
		return rc;
	}
	return 0;
}

void
tk_master_listeners_hand_on(struct tk_master_cycle *from, struct tk_master_cycle *to)
{
	for (size_t i = 0; i < from->cycle.listener_count; i++)
		for (size_t k = 0; k < to->cycle.listener_count; k++)
			if (from->listener_owned[i] &&
			    from->cycle.listeners[i].fd == to->cycle.listeners[k].fd) {
				from->listener_owned[i] = false;
				to->listener_owned[k] = true;
			}
}

void
tk_master_listeners_close(struct tk_master_cycle *cycle)
{
	for (size_t i = 0; i < cycle->cycle.listener_count; i++) {
		struct tk_cycle_listener *listener = &cycle->cycle.listeners[i];

		if (listener->fd >= 0 && cycle->listener_owned[i])
			(void)close(listener->fd);
		cycle->listener_owned[i] = false;
		listener->fd = -1;
	}
}
