/*
 * The event poll by epoll(7).  Any process.
 */
#include <sys/epoll.h>
#include <unistd.h>

#include "os/poll.h"

#define EVENTS_MAX 256

int
tk_poll_new(void)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int
poll_control(int poll_fd, int op, int fd, unsigned interest, void *data)
{
	struct epoll_event event = { .data.ptr = data };

	if ((interest & TK_POLL_READ) != 0)
		event.events |= EPOLLIN;
	if ((interest & TK_POLL_WRITE) != 0)
		event.events |= EPOLLOUT;
	if ((interest & TK_POLL_EXCLUSIVE) != 0)
		event.events |= EPOLLEXCLUSIVE;
	return epoll_ctl(poll_fd, op, fd, &event) < 0 ? -errno : 0;
}

int
tk_poll_add(int poll_fd, int fd, unsigned interest, void *data)
{
	return poll_control(poll_fd, EPOLL_CTL_ADD, fd, interest, data);
}

int
tk_poll_change(int poll_fd, int fd, unsigned interest, void *data)
{
	return poll_control(poll_fd, EPOLL_CTL_MOD, fd, interest, data);
}

void
tk_poll_remove(int poll_fd, int fd)
{
	(void)epoll_ctl(poll_fd, EPOLL_CTL_DEL, fd, NULL);
}

int
tk_poll_wait(int poll_fd, struct tk_poll_event *events, int room, int timeout_ms)
{
	struct epoll_event got[EVENTS_MAX];
	int n = epoll_wait(poll_fd, got, TK_MIN(room, EVENTS_MAX), timeout_ms);

	if (n < 0) {
		tk_assert(errno == EINTR);
		return 0;
	}
	for (int i = 0; i < n; i++) {
		unsigned what = 0;

		if ((got[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
			what |= TK_POLL_READ;
		if ((got[i].events & (EPOLLOUT | EPOLLERR)) != 0)
			what |= TK_POLL_WRITE;
		if ((got[i].events & (EPOLLHUP | EPOLLERR)) != 0)
			what |= TK_POLL_HANGUP;
		events[i] = (struct tk_poll_event){ .data = got[i].data.ptr, .what = what };
	}
	return n;
}
