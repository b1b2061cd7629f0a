/*
 * The event poll of this platform: epoll.  The only file of the broker that knows it.
 *
 * Level-triggered.  An interest is registered with a pointer that comes back with the event.
 */
#ifndef TK_OS_POLL_H
#define TK_OS_POLL_H

#include "takhin/base.h"

#define TK_POLL_READ   0x1u
#define TK_POLL_WRITE  0x2u
#define TK_POLL_HANGUP 0x4u /* told without being asked for */
#define TK_POLL_EXCLUSIVE                                                                          \
	0x8u /* with READ: wake one of several processes that share the socket                     \
	      */

struct tk_poll_event {
	void *data;
	unsigned what; /* TK_POLL_READ, _WRITE, _HANGUP */
};

/* A new poll descriptor, or -errno. */
int tk_poll_new(void);

/* Registers fd; 0 or -errno. */
int tk_poll_add(int poll_fd, int fd, unsigned interest, void *data);

/* Changes what fd is registered for (not with EXCLUSIVE); 0 or -errno. */
int tk_poll_change(int poll_fd, int fd, unsigned interest, void *data);

/* Forgets fd. */
void tk_poll_remove(int poll_fd, int fd);

/* Waits timeout_ms at most (-1: for ever); the number of events, 0 as well when interrupted. */
int tk_poll_wait(int poll_fd, struct tk_poll_event *events, int room, int timeout_ms);

#endif
