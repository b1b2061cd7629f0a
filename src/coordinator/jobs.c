/*
 * Requests that workers forward.  A frame becomes a job with an arena of its own; the body is
 * decoded at once, the rest waits its turn.
 *
 * Bounds: a worker's frames are not read on while it has OUTSTANDING_MAX jobs or
 * OUTSTANDING_BYTES_MAX bytes of bodies here; one job is run a turn of the loop.  A job has a
 * deadline: the frame's, or the request's own timeout if that is sooner.  When it passes, what is
 * undecided is answered with the API's own error; what the job has begun goes on.
 *
 * The worker's death drops its jobs that were not begun.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errlog.h"
#include "coordinator/coordinator_private.h"

#define OUTSTANDING_MAX       128u
#define OUTSTANDING_BYTES_MAX ((size_t)4 << 20)
#define JOB_BYTES_MAX         ((size_t)256 << 20)
#define DEADLINE_MS           30000 /* of a job that names none */

static const struct tk_job_kind *const kinds[] = { &tk_create_topics_job, &tk_delete_topics_job,
	&tk_create_partitions_job, &tk_init_producer_id_job, &tk_alter_configs_job,
	&tk_incremental_alter_configs_job };

static const struct tk_job_kind *
kind_find(int16_t api_key, int16_t version)
{
	for (size_t i = 0; i < TK_COUNT_OF(kinds); i++)
		if (kinds[i]->api_key == api_key && version >= kinds[i]->min_version &&
		    version <= kinds[i]->max_version)
			return kinds[i];
	return NULL;
}

struct tk_bytes
tk_job_text(struct tk_job *job, const char *fmt, ...)
{
	struct tk_bytes text = { NULL, 0 };
	char *copy;
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	copy = len < 0 ? NULL : tk_arena_alloc(&job->arena, (size_t)len + 1);
	if (copy == NULL)
		return text;
	va_start(args, fmt);
	(void)vsnprintf(copy, (size_t)len + 1, fmt, args);
	va_end(args);
	text.data = (const uint8_t *)copy;
	text.len = (uint32_t)len;
	return text;
}

/* ---- answers ---- */

static void
client_resume(struct tk_post *post)
{
	struct tk_client *client = TK_CONTAINER_OF(post, struct tk_client, resume);

	if (client->outstanding >= OUTSTANDING_MAX / 2 ||
	    client->outstanding_bytes >= OUTSTANDING_BYTES_MAX / 2)
		return;
	client->paused = false;
	tk_channel_pause(client->chan, false);
}

static void
client_loses(struct tk_job *job)
{
	struct tk_client *client = job->client;

	if (client == NULL)
		return;
	LIST_REMOVE(job, client_link);
	client->outstanding--;
	client->outstanding_bytes -= job->body_bytes;
	job->client = NULL;
	if (client->paused)
		tk_post(client->coord->loop, &client->resume);
}

static void
job_free(struct tk_job *job)
{
	struct tk_coordinator *coord = job->coord;

	client_loses(job);
	tk_timer_stop(coord->loop, &job->timer);
	tk_arena_reset(&job->arena);
	free(job);
	if (coord->stopping && tk_jobs_idle(coord))
		tk_process_exit(coord->proc, 0);
}

static void
client_answer(struct tk_client *client, uint64_t id, int32_t status, const struct tk_chain *chain)
{
	struct tk_frame_forwarded head = { .status = status };
	uint8_t *body = NULL;
	size_t len = 0;

	if (chain != NULL) {
		head.body_len = (uint32_t)chain->len;
		body = malloc(chain->len + 1);
		if (body == NULL)
			head = (struct tk_frame_forwarded){ .status = -ENOMEM };
	}
	for (const struct tk_piece *piece = body == NULL ? NULL : chain->first; piece != NULL;
	     piece = piece->next) {
		memcpy(body + len, piece->data, piece->len);
		len += piece->len;
	}
	(void)tk_channel_send(client->chan, TK_FRAME_FORWARDED, id,
	    (const struct iovec[]){ { &head, sizeof(head) }, { body, len } }, 2);
	free(body);
}

/* Encodes the answer and sends it to the worker, if it is still there. */
static void
job_send(struct tk_job *job)
{
	struct tk_chain chain;
	int32_t status = -EMSGSIZE;

	if (job->client == NULL || job->answered)
		return;
	job->answered = true;
	for (int shrunk = 0; shrunk < 2; shrunk++) {
		tk_chain_init(&chain, &job->arena);
		job->kind->encode(job, &chain, shrunk == 1);
		if (tk_chain_failed(&chain))
			status = -ENOMEM;
		else if (chain.len <= TK_FRAME_MAX - sizeof(struct tk_frame_forwarded))
			status = 0;
		if (status == 0)
			break;
		tk_chain_reset(&chain);
	}
	client_answer(job->client, job->id, status, status == 0 ? &chain : NULL);
	tk_chain_reset(&chain);
	client_loses(job);
}

static void
job_done(struct tk_job *job)
{
	job_send(job);
	job_free(job);
}

static void
job_leave_place(struct tk_job *job)
{
	if (job->place == TK_JOB_QUEUED)
		TAILQ_REMOVE(&job->coord->queue, job, link);
	else if (job->place == TK_JOB_APPLYING)
		TAILQ_REMOVE(&job->coord->applying, job, link);
	job->place = TK_JOB_NEW;
}

static void
job_expire(struct tk_timer *timer)
{
	struct tk_job *job = TK_CONTAINER_OF(timer, struct tk_job, timer);

	job->kind->expired(job);
	job_send(job);
	job->answered = true;
	if (job->place == TK_JOB_COMMITTING)
		return;
	job_leave_place(job);
	job_free(job);
}

/* ---- the queue ---- */

void
tk_jobs_wake(struct tk_coordinator *coord)
{
	tk_post(coord->loop, &coord->run);
}

bool
tk_jobs_idle(const struct tk_coordinator *coord)
{
	return TAILQ_EMPTY(&coord->queue) && TAILQ_EMPTY(&coord->applying) &&
	       coord->commit.state == TK_COMMIT_IDLE;
}

static void
job_queue(struct tk_job *job, bool first)
{
	job->place = TK_JOB_QUEUED;
	if (first)
		TAILQ_INSERT_HEAD(&job->coord->queue, job, link);
	else
		TAILQ_INSERT_TAIL(&job->coord->queue, job, link);
	tk_jobs_wake(job->coord);
}

/* After what was written could not be committed: the job hears so and goes on. */
static void
job_failed(struct tk_job *job, enum tk_error error)
{
	struct tk_coordinator *coord = job->coord;

	if (coord->meta != NULL && tk_slots_rebuild(coord) < 0) {
		tk_err("could not go on: %s", strerror(ENOMEM));
		tk_process_exit(coord->proc, 1);
	}
	if (job->answered) {
		job_free(job);
		return;
	}
	job->kind->committed(job, error);
	job_queue(job, true);
}

static void
job_commit(struct tk_job *job, struct tk_meta_txn *txn)
{
	size_t len;
	int rc = tk_meta_txn_end(txn, tk_clock_wall_ms(), &len);

	if (rc < 0) {
		tk_err("could not write a transaction for %s: %s", job->kind->name, strerror(-rc));
		job_failed(job, TK_ERR_UNKNOWN_SERVER_ERROR);
		return;
	}
	job->place = TK_JOB_COMMITTING;
	tk_commit_start(job->coord, job, txn, len);
}

static void
job_run(struct tk_job *job)
{
	struct tk_meta_txn txn;
	enum tk_step step;
	size_t room, len;
	void *memory = tk_commit_memory(job->coord, &room);

	job->directories = 0;
	tk_meta_txn_begin(&txn, job->coord->meta, memory, room);
	step = job->kind->run(job, &txn);
	if (step == TK_STEP_COMMIT) {
		job_commit(job, &txn);
		return;
	}
	(void)!tk_meta_txn_end(&txn, 0, &len); /* gives its memory back */
	if (step == TK_STEP_AGAIN)
		job_queue(job, true);
	else
		job_done(job);
}

static void
queue_run(struct tk_post *post)
{
	struct tk_coordinator *coord = TK_CONTAINER_OF(post, struct tk_coordinator, run);
	struct tk_job *job = TAILQ_FIRST(&coord->queue);

	if (job == NULL || coord->meta == NULL || coord->commit.state != TK_COMMIT_IDLE)
		return;
	if (!tk_coordinator_catch_up(coord))
		return;
	tk_jobs_wake(coord);
	if (job->deadline_ms <= tk_loop_now_ms(coord->loop)) {
		job_expire(&job->timer);
		return;
	}
	job_leave_place(job);
	job_run(job);
}

void
tk_job_committed(struct tk_job *job, enum tk_error error, uint64_t revision)
{
	struct tk_coordinator *coord = job->coord;

	tk_jobs_wake(coord);
	job->place = TK_JOB_NEW;
	/* Also after an error: it may be there all the same. */
	tk_ties_apply(coord, job->directories, TK_MIN(revision, tk_meta_revision(coord->meta)));
	if (error != TK_ERR_NONE) {
		job_failed(job, error);
		return;
	}
	if (job->answered) { /* its time was up meanwhile */
		job_free(job);
		return;
	}
	job->revision = revision;
	job->kind->committed(job, error);
	job->place = TK_JOB_APPLYING;
	TAILQ_INSERT_TAIL(&coord->applying, job, link);
	tk_jobs_applied(coord);
}

void
tk_jobs_applied(struct tk_coordinator *coord)
{
	struct tk_job *job, *next;

	for (job = TAILQ_FIRST(&coord->applying); job != NULL; job = next) {
		enum tk_step step = TK_STEP_ANSWER;

		next = TAILQ_NEXT(job, link);
		if (!tk_ties_have_applied(coord, job->directories, job->revision))
			continue;
		job_leave_place(job);
		if (job->kind->applied != NULL)
			step = job->kind->applied(job);
		if (step == TK_STEP_AGAIN)
			job_queue(job, true);
		else
			job_done(job);
	}
}

/* ---- workers ---- */

static int
job_new(struct tk_coordinator *coord, const struct tk_job_kind *kind, struct tk_job **ret_job)
{
	struct tk_job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return -ENOMEM;
	job->coord = coord;
	job->kind = kind;
	job->timer.expire = job_expire;
	job->client_id = job->host = "";
	job->deadline_ms = tk_loop_now_ms(coord->loop) + DEADLINE_MS;
	tk_arena_init(&job->arena, JOB_BYTES_MAX);
	job->state = tk_arena_calloc(&job->arena, 1, kind->state_size);
	if (job->state == NULL) {
		free(job);
		return -ENOMEM;
	}
	*ret_job = job;
	return 0;
}

int
tk_job_submit(struct tk_coordinator *coord, const struct tk_job_kind *kind)
{
	struct tk_job *job;
	int rc = job_new(coord, kind, &job);

	if (rc < 0)
		return rc;
	job_queue(job, false);
	return 0;
}

/* What came from a client, as a log may show it. */
static const char *
printable(struct tk_arena *arena, const uint8_t *data, size_t len)
{
	char *text = tk_arena_strndup(arena, data, len);

	for (size_t i = 0; text != NULL && i < len; i++)
		if (text[i] < 0x20 || text[i] > 0x7e || text[i] == '"')
			text[i] = '?';
	return text == NULL ? "" : text;
}

static int
job_fill(struct tk_job *job, const struct tk_frame_forward *forward, const uint8_t *rest)
{
	struct tk_coordinator *coord = job->coord;
	int64_t now_ms = tk_loop_now_ms(coord->loop);
	int32_t timeout_ms = 0;
	uint8_t *body;

	job->version = forward->api_version;
	job->client_id = printable(&job->arena, rest, forward->client_id_len);
	rest += forward->client_id_len;
	job->host = printable(&job->arena, rest, forward->host_len);
	rest += forward->host_len;
	body = tk_arena_alloc(&job->arena, (size_t)forward->body_len + 1);
	if (body == NULL)
		return -ENOMEM;
	memcpy(body, rest, forward->body_len);
	job->body = (struct tk_bytes){ body, forward->body_len };
	if (!job->kind->decode(job, &timeout_ms))
		return -EBADMSG;
	if (forward->deadline_ms > 0)
		job->deadline_ms = forward->deadline_ms;
	if (timeout_ms > 0)
		job->deadline_ms = TK_MIN(job->deadline_ms, now_ms + timeout_ms);
	return tk_timer_start(coord->loop, &job->timer, TK_MAX(job->deadline_ms - now_ms, 0));
}

static void
client_forwards(struct tk_client *client, uint64_t id, const struct tk_frame_forward *forward,
    const uint8_t *rest)
{
	const struct tk_job_kind *kind = kind_find(forward->api_key, forward->api_version);
	struct tk_job *job = NULL;
	int rc = kind == NULL ? -EOPNOTSUPP : job_new(client->coord, kind, &job);

	if (rc == 0)
		rc = job_fill(job, forward, rest);
	if (rc < 0) {
		if (job != NULL)
			job_free(job);
		client_answer(client, id, rc, NULL);
		return;
	}
	job->id = id;
	job->client = client;
	job->body_bytes = forward->body_len;
	LIST_INSERT_HEAD(&client->jobs, job, client_link);
	client->outstanding++;
	client->outstanding_bytes += job->body_bytes;
	if (client->outstanding >= OUTSTANDING_MAX ||
	    client->outstanding_bytes >= OUTSTANDING_BYTES_MAX) {
		client->paused = true;
		tk_channel_pause(client->chan, true);
	}
	if (kind->now != NULL && job->deadline_ms > tk_loop_now_ms(client->coord->loop) &&
	    kind->now(job))
		job_done(job);
	else
		job_queue(job, false);
}

static bool
client_frame(struct tk_channel *chan, const struct tk_frame *frame, const void *payload)
{
	struct tk_client *client = tk_channel_owner(chan);
	struct tk_frame_forward forward;
	struct tk_frame_hello hello;

	if (frame->type == TK_FRAME_HELLO && frame->len == sizeof(hello)) {
		memcpy(&hello, payload, sizeof(hello));
		client->greeted = hello.version == TK_FRAMES_VERSION;
		return client->greeted;
	}
	if (!client->greeted || frame->type != TK_FRAME_FORWARD || frame->len < sizeof(forward))
		return false;
	memcpy(&forward, payload, sizeof(forward));
	if ((uint64_t)frame->len !=
	    sizeof(forward) + (uint64_t)forward.client_id_len + forward.host_len + forward.body_len)
		return false;
	client_forwards(client, frame->id, &forward, (const uint8_t *)payload + sizeof(forward));
	return true;
}

static void
client_free(struct tk_client *client)
{
	struct tk_coordinator *coord = client->coord;
	struct tk_job *job;

	LIST_REMOVE(client, link);
	client->paused = false;
	while ((job = LIST_FIRST(&client->jobs)) != NULL) {
		client_loses(job);
		if (job->place == TK_JOB_QUEUED && job->revision == 0) {
			job_leave_place(job);
			job_free(job);
		}
	}
	tk_post_cancel(coord->loop, &client->resume);
	tk_channel_free(&client->chan);
	tk_peer_unref(&client->peer);
	free(client);
}

static void
client_closed(struct tk_channel *chan)
{
	client_free(tk_channel_owner(chan));
}

static const struct tk_channel_ops client_ops = { .frame = client_frame, .closed = client_closed };

static void
client_accepted(struct tk_channel_server *server, int fd, struct tk_peer *peer)
{
	struct tk_coordinator *coord = TK_CONTAINER_OF(server, struct tk_coordinator, server);
	struct tk_client *client = peer->role == TK_ROLE_WORKER ? calloc(1, sizeof(*client)) : NULL;

	if (client == NULL) {
		(void)close(fd);
		return;
	}
	client->coord = coord;
	client->resume.run = client_resume;
	LIST_INIT(&client->jobs);
	if (tk_channel_new(coord->loop, fd, &client_ops, client, &client->chan) < 0) {
		free(client);
		return;
	}
	client->peer = tk_peer_ref(peer);
	LIST_INSERT_HEAD(&coord->clients, client, link);
}

int
tk_jobs_start(struct tk_coordinator *coord)
{
	int rc;

	TAILQ_INIT(&coord->queue);
	TAILQ_INIT(&coord->applying);
	LIST_INIT(&coord->clients);
	coord->run.run = queue_run;
	coord->server.accepted = client_accepted;
	rc = tk_channel_server_start(
	    &coord->server, coord->proc, coord->proc->cycle->coordinator_fd);
	coord->serving = rc == 0;
	return rc;
}

void
tk_jobs_stop(struct tk_coordinator *coord)
{
	if (coord->serving)
		tk_channel_server_stop(&coord->server);
	coord->serving = false;
}

void
tk_jobs_free(struct tk_coordinator *coord)
{
	struct tk_job *job;

	tk_jobs_stop(coord);
	coord->stopping = false;
	while (!LIST_EMPTY(&coord->clients))
		client_free(LIST_FIRST(&coord->clients));
	if (coord->commit.job != NULL)
		job_free(coord->commit.job);
	coord->commit.job = NULL;
	while ((job = TAILQ_FIRST(&coord->queue)) != NULL ||
	       (job = TAILQ_FIRST(&coord->applying)) != NULL) {
		job_leave_place(job);
		job_free(job);
	}
	tk_post_cancel(coord->loop, &coord->run);
}
