/*
 * Channels: length-prefixed frames over a Unix stream socket between two processes of a broker.
 *
 * Sending never blocks: frames gather in the channel's buffer and leave at the end of the loop's
 * turn.  The buffer is bounded; whoever sends holds credits (so many answers outstanding) that keep
 * it below the bound, so a full buffer is a peer that breaks the rules, and the channel ends.
 * One thread.
 */
#ifndef TK_SERVER_CHANNEL_H
#define TK_SERVER_CHANNEL_H

#include <sys/types.h>
#include <sys/uio.h>

#include "server/frames.h"
#include "takhin/loop.h"

struct tk_channel;

struct tk_channel_ops {
	/* A whole frame; payload is good until it returns.  False ends the channel. */
	bool (*frame)(struct tk_channel *chan, const struct tk_frame *frame, const void *payload);
	/*
	 * The other end is gone, or broke the rules; all frames that had arrived were delivered.
	 * Called once, from a posted call; the owner may free the channel in it.
	 */
	void (*closed)(struct tk_channel *chan);
};

/*
 * Makes a channel of a connected, non-blocking socket, which it takes over.  0 or -errno (then the
 * socket is closed).
 */
int tk_channel_new(struct tk_loop *loop, int fd, const struct tk_channel_ops *ops, void *owner,
    struct tk_channel **ret_chan) TK_MUST_CHECK;

/* Connects to a server's socket in the run directory and says hello; 0 or -errno. */
int tk_channel_connect(struct tk_loop *loop, int run_dir_fd, const char *name,
    const struct tk_channel_ops *ops, void *owner, struct tk_channel **ret_chan) TK_MUST_CHECK;

/* Closes and frees; closed() is not called. */
void tk_channel_free(struct tk_channel **chan);

void *tk_channel_owner(const struct tk_channel *chan);

/* The pid of the other end when it connected. */
pid_t tk_channel_peer_pid(const struct tk_channel *chan);

/*
 * Queues a frame of count pieces of payload.  0, -EPIPE once the channel has ended, -EMSGSIZE, or
 * -ENOBUFS (the channel ends).
 */
int tk_channel_send(struct tk_channel *chan, enum tk_frame_type type, uint64_t id,
    const struct iovec *pieces, int count);

/* The same with one piece. */
int tk_channel_send1(
    struct tk_channel *chan, enum tk_frame_type type, uint64_t id, const void *payload, size_t len);

/* Bytes waiting to leave. */
size_t tk_channel_queued(const struct tk_channel *chan);

/* Stops or resumes reading frames: how a server keeps a peer at its credits. */
void tk_channel_pause(struct tk_channel *chan, bool paused);

#endif
