/*
 * Unix stream sockets in a directory, and descriptors sent through them.
 *
 * Names are looked up below an open directory, so a long path of the run directory does not meet
 * the 108 bytes of sun_path.
 */
#ifndef TK_OS_UNIX_H
#define TK_OS_UNIX_H

#include <sys/types.h>

#include "takhin/base.h"

/* A listening, non-blocking socket at name below dir_fd (an old one is replaced); or -errno. */
int tk_unix_listen(int dir_fd, const char *name, unsigned mode, int backlog);

/* A connected, non-blocking socket; or -errno. */
int tk_unix_connect(int dir_fd, const char *name);

/* A pair of connected, non-blocking sockets that keep message boundaries; 0 or -errno. */
int tk_unix_pair(int ret_fds[2]);

/* Who connected: the pid (as of then) of the peer, or -errno. */
pid_t tk_unix_peer_pid(int fd);

/* Sends one message with fd_count (at most 4) descriptors beside it; 0 or -errno (-EAGAIN: full).
 */
int tk_unix_send(int fd, const void *data, size_t len, const int *fds, size_t fd_count);

/*
 * Receives one message; its length, 0 at the end, or -errno.  Descriptors beside it, close-on-exec,
 * go into fds (room 4) and are the caller's.
 */
ssize_t tk_unix_receive(int fd, void *data, size_t room, int fds[4], size_t *ret_fd_count);

#endif
