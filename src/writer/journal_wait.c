/*
 * A writer of another data directory needs the journal, which the writer of directory 0 opens.
 * It connects to that one like anybody else and leaves a watch on the journal's slot for a record
 * that never was: it is answered as soon as that writer serves.  If the channel ends first (it
 * died) the next one is waited for at once: the listening socket is the master's, so a connection
 * waits in it for whoever comes.  One thread.
 */
#include "writer/writer_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/errlog.h"
#include "meta/meta.h"

struct tk_journal_wait {
	struct tk_writer *writer;
	struct tk_channel *chan;
	struct tk_post step;
	bool served;
	void (*call)(struct tk_writer *writer);
};

static int journal_connect(struct tk_journal_wait *wait);

static bool
wait_frame(struct tk_channel *chan, const struct tk_frame *frame, const void *payload)
{
	struct tk_journal_wait *wait = tk_channel_owner(chan);

	(void)payload;
	if (frame->type != TK_FRAME_NOTIFY)
		return false;
	wait->served = true;
	tk_post(wait->writer->loop, &wait->step);
	return true;
}

static void
wait_closed(struct tk_channel *chan)
{
	struct tk_journal_wait *wait = tk_channel_owner(chan);

	tk_post(wait->writer->loop, &wait->step);
}

static const struct tk_channel_ops wait_ops = { .frame = wait_frame, .closed = wait_closed };

static void
wait_step(struct tk_post *post)
{
	struct tk_journal_wait *wait = TK_CONTAINER_OF(post, struct tk_journal_wait, step);
	struct tk_writer *writer = wait->writer;
	void (*call)(struct tk_writer *) = wait->call;
	int rc;

	if (wait->served) {
		tk_journal_wait_free(writer);
		call(writer);
		return;
	}
	tk_channel_free(&wait->chan);
	rc = journal_connect(wait);
	if (rc == 0)
		return;
	tk_err("could not reach the writer of the journal: %s", strerror(-rc));
	tk_process_exit(writer->proc, 1);
}

static int
journal_connect(struct tk_journal_wait *wait)
{
	const struct tk_frame_watch watch = {
		.incarnation = TK_META_INCARNATION, .seq = UINT64_MAX, .slot = TK_META_SLOT
	};
	char name[32];
	int rc;

	(void)snprintf(name, sizeof(name), TK_CHANNEL_WRITER_FMT, TK_META_DIRECTORY);
	rc = tk_channel_connect(wait->writer->loop, wait->writer->proc->cycle->run_dir_fd, name,
	    &wait_ops, wait, &wait->chan);
	if (rc == 0)
		rc = tk_channel_send1(wait->chan, TK_FRAME_WATCH, 1, &watch, sizeof(watch));
	return rc;
}

int
tk_journal_wait_start(struct tk_writer *writer, void (*served)(struct tk_writer *writer))
{
	struct tk_journal_wait *wait = calloc(1, sizeof(*wait));
	int rc;

	if (wait == NULL)
		return -ENOMEM;
	wait->writer = writer;
	wait->call = served;
	wait->step.run = wait_step;
	writer->journal_wait = wait;
	rc = journal_connect(wait);
	if (rc < 0)
		tk_journal_wait_free(writer);
	return rc;
}

void
tk_journal_wait_free(struct tk_writer *writer)
{
	struct tk_journal_wait *wait = writer->journal_wait;

	if (wait == NULL)
		return;
	writer->journal_wait = NULL;
	tk_post_cancel(writer->loop, &wait->step);
	tk_channel_free(&wait->chan);
	free(wait);
}
