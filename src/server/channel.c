/*
 * Channels.  Any process, in its loop's thread.  A frame that is malformed, a peer that is gone and
 * a buffer past its bound all end the channel the same way: closed() from a posted call.
 */
#include "server/channel.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/poll.h"
#include "os/unix.h"

#define READ_BYTES ((size_t)64 << 10)
#define OUT_MAX    ((size_t)64 << 20)

struct tk_channel {
	struct tk_loop *loop;
	struct tk_event event;
	struct tk_turn_hook flush;
	struct tk_post closing;
	const struct tk_channel_ops *ops;
	void *owner;
	pid_t peer_pid;
	bool ended, paused;
	uint8_t *in;
	size_t in_len, in_room;
	uint8_t *out;
	size_t out_at, out_len, out_room;
};

static void
channel_end(struct tk_channel *chan)
{
	if (chan->ended)
		return;
	chan->ended = true;
	tk_event_remove(chan->loop, &chan->event);
	tk_post(chan->loop, &chan->closing);
}

static void
channel_closing_run(struct tk_post *post)
{
	struct tk_channel *chan = TK_CONTAINER_OF(post, struct tk_channel, closing);

	chan->ops->closed(chan);
}

static bool
grow(uint8_t **buffer, size_t *room, size_t need)
{
	size_t size = TK_MAX(*room, READ_BYTES);
	uint8_t *grown;

	if (need <= *room)
		return true;
	while (size < need)
		size *= 2;
	grown = realloc(*buffer, size);
	if (grown == NULL)
		return false;
	*buffer = grown;
	*room = size;
	return true;
}

/* Delivers the whole frames at the front of the input; false if the channel has to end. */
static bool
channel_deliver(struct tk_channel *chan)
{
	size_t at = 0;
	bool good = true;

	while (
	    good && !chan->paused && !chan->ended && chan->in_len - at >= sizeof(struct tk_frame)) {
		struct tk_frame frame;

		memcpy(&frame, chan->in + at, sizeof(frame));
		if (frame.len > TK_FRAME_MAX)
			good = false;
		else if (chan->in_len - at - sizeof(frame) < frame.len)
			break;
		else
			good = chan->ops->frame(chan, &frame, chan->in + at + sizeof(frame));
		at += sizeof(frame) + frame.len;
	}
	if (good && at > 0) {
		memmove(chan->in, chan->in + at, chan->in_len - at);
		chan->in_len -= at;
	}
	return good;
}

static void
channel_read(struct tk_channel *chan)
{
	ssize_t n;

	if (!grow(&chan->in, &chan->in_room, chan->in_len + READ_BYTES)) {
		channel_end(chan);
		return;
	}
	n = recv(
	    chan->event.fd, chan->in + chan->in_len, chan->in_room - chan->in_len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		channel_end(chan);
		return;
	}
	chan->in_len += (size_t)n;
	if (!channel_deliver(chan))
		channel_end(chan);
}

static void
channel_interest(struct tk_channel *chan)
{
	unsigned interest = chan->paused ? 0 : TK_POLL_READ;

	if (chan->out_len > chan->out_at)
		interest |= TK_POLL_WRITE;
	tk_event_want(chan->loop, &chan->event, interest);
}

static void
channel_flush(struct tk_channel *chan)
{
	while (!chan->ended && chan->out_at < chan->out_len) {
		ssize_t n = send(chan->event.fd, chan->out + chan->out_at,
		    chan->out_len - chan->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			/* What the peer sent before it went is still to be read; EOF ends it.  One
			 * that is still there must not go on without what is dropped here. */
			chan->out_at = chan->out_len = 0;
			if (errno != EPIPE && errno != ECONNRESET)
				channel_end(chan);
			break;
		}
		chan->out_at += (size_t)n;
	}
	if (chan->out_at == chan->out_len)
		chan->out_at = chan->out_len = 0;
	if (!chan->ended)
		channel_interest(chan);
}

static void
channel_ready(struct tk_event *event, unsigned what)
{
	struct tk_channel *chan = TK_CONTAINER_OF(event, struct tk_channel, event);

	if ((what & TK_POLL_WRITE) != 0)
		channel_flush(chan);
	if ((what & TK_POLL_READ) != 0 && !chan->ended && (!chan->paused || what & TK_POLL_HANGUP))
		channel_read(chan);
}

static void
channel_flush_run(struct tk_turn_hook *hook)
{
	struct tk_channel *chan = TK_CONTAINER_OF(hook, struct tk_channel, flush);

	if (chan->out_len > chan->out_at)
		channel_flush(chan);
}

int
tk_channel_new(struct tk_loop *loop, int fd, const struct tk_channel_ops *ops, void *owner,
    struct tk_channel **ret_chan)
{
	struct tk_channel *chan = calloc(1, sizeof(*chan));
	int rc = -ENOMEM;

	if (chan != NULL) {
		chan->loop = loop;
		chan->ops = ops;
		chan->owner = owner;
		chan->peer_pid = tk_unix_peer_pid(fd);
		chan->event = (struct tk_event){ .fd = fd, .ready = channel_ready };
		chan->flush.run = channel_flush_run;
		chan->closing.run = channel_closing_run;
		rc = tk_event_add(loop, &chan->event, TK_POLL_READ);
	}
	if (rc < 0) {
		free(chan);
		(void)close(fd);
		return rc;
	}
	tk_turn_hook_add(loop, &chan->flush);
	*ret_chan = chan;
	return 0;
}

int
tk_channel_connect(struct tk_loop *loop, int run_dir_fd, const char *name,
    const struct tk_channel_ops *ops, void *owner, struct tk_channel **ret_chan)
{
	const struct tk_frame_hello hello = { .version = TK_FRAMES_VERSION };
	struct tk_channel *chan = NULL;
	int rc, fd = tk_unix_connect(run_dir_fd, name);

	if (fd < 0)
		return fd;
	rc = tk_channel_new(loop, fd, ops, owner, &chan);
	if (rc == 0)
		rc = tk_channel_send1(chan, TK_FRAME_HELLO, 0, &hello, sizeof(hello));
	if (rc < 0) {
		tk_channel_free(&chan);
		return rc;
	}
	*ret_chan = chan;
	return 0;
}

void
tk_channel_free(struct tk_channel **chan)
{
	struct tk_channel *gone = *chan;

	if (gone == NULL)
		return;
	*chan = NULL;
	tk_event_remove(gone->loop, &gone->event);
	tk_turn_hook_remove(gone->loop, &gone->flush);
	tk_post_cancel(gone->loop, &gone->closing);
	(void)close(gone->event.fd);
	free(gone->in);
	free(gone->out);
	free(gone);
}

void *
tk_channel_owner(const struct tk_channel *chan)
{
	return chan->owner;
}

pid_t
tk_channel_peer_pid(const struct tk_channel *chan)
{
	return chan->peer_pid;
}

static void
channel_put(struct tk_channel *chan, const void *data, size_t len)
{
	if (len > 0)
		memcpy(chan->out + chan->out_len, data, len);
	chan->out_len += len;
}

int
tk_channel_send(struct tk_channel *chan, enum tk_frame_type type, uint64_t id,
    const struct iovec *pieces, int count)
{
	struct tk_frame frame = { .type = (uint16_t)type, .id = id };
	size_t len = 0;

	if (chan->ended)
		return -EPIPE;
	for (int i = 0; i < count; i++)
		len += pieces[i].iov_len;
	if (len > TK_FRAME_MAX)
		return -EMSGSIZE;
	if (chan->out_at > 0 && chan->out_len + sizeof(frame) + len > chan->out_room) {
		memmove(chan->out, chan->out + chan->out_at, chan->out_len - chan->out_at);
		chan->out_len -= chan->out_at;
		chan->out_at = 0;
	}
	if (chan->out_len + sizeof(frame) + len > OUT_MAX ||
	    !grow(&chan->out, &chan->out_room, chan->out_len + sizeof(frame) + len)) {
		channel_end(chan);
		return -ENOBUFS;
	}
	frame.len = (uint32_t)len;
	channel_put(chan, &frame, sizeof(frame));
	for (int i = 0; i < count; i++)
		channel_put(chan, pieces[i].iov_base, pieces[i].iov_len);
	return 0;
}

int
tk_channel_send1(
    struct tk_channel *chan, enum tk_frame_type type, uint64_t id, const void *payload, size_t len)
{
	const struct iovec piece = { .iov_base = (void *)(uintptr_t)payload, .iov_len = len };

	return tk_channel_send(chan, type, id, &piece, 1);
}

size_t
tk_channel_queued(const struct tk_channel *chan)
{
	return chan->out_len - chan->out_at;
}

void
tk_channel_pause(struct tk_channel *chan, bool paused)
{
	if (chan->paused == paused || chan->ended)
		return;
	chan->paused = paused;
	channel_interest(chan);
	if (!paused && !channel_deliver(chan))
		channel_end(chan);
}
