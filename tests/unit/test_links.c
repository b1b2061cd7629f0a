/*
 * A worker's ties to a writer and to the coordinator, which are this test: what becomes of appends,
 * watches, segment lists and forwards when they answer late, wrongly or not at all.
 */
#include <sys/resource.h>

#include "base/clock.h"
#include "os/unix.h"
#include "test_conn_env.h"
#include "wire/error_codes.h"

#define CALLS_MAX 1024

static char run_path[64];
static int listening, accepted; /* of the server at the other end */
static const char *socket_name;

static struct {
	unsigned done[CALLS_MAX];
	int64_t base_offset[CALLS_MAX]; /* -2: the writer died */
	int32_t error[CALLS_MAX];
	struct tk_append_call *calls[CALLS_MAX];
	unsigned done_count;
} appends;

/* ---- the other end ---- */

static void
server_listen(void)
{
	listening = tk_unix_listen(env.cycle.run_dir_fd, socket_name, 0600, 16);
	CU_ASSERT_FATAL(listening >= 0);
	CU_ASSERT_FATAL(fcntl(listening, F_SETFL, 0) == 0);
}

/* Accepts the tie that was made and reads its hello. */
static void
server_accept(void)
{
	struct tk_frame frame;
	struct tk_frame_hello hello;

	accepted = accept(listening, NULL, NULL);
	CU_ASSERT_FATAL(accepted >= 0);
	turns(2);
	CU_ASSERT_FATAL(recv(accepted, &frame, sizeof(frame), 0) == sizeof(frame));
	CU_ASSERT_FATAL(recv(accepted, &hello, sizeof(hello), 0) == sizeof(hello));
	CU_ASSERT(frame.type == TK_FRAME_HELLO && hello.version == TK_FRAMES_VERSION);
}

/* The next frame; false if there is none. */
static bool
server_read(struct tk_frame *frame, void *payload, size_t room)
{
	turns(2);
	if (recv(accepted, frame, sizeof(*frame), MSG_DONTWAIT) != sizeof(*frame))
		return false;
	CU_ASSERT_FATAL(frame->len <= room);
	return frame->len == 0 ||
	       recv(accepted, payload, frame->len, MSG_WAITALL) == (ssize_t)frame->len;
}

static void
server_write(enum tk_frame_type type, uint64_t id, const void *payload, size_t len)
{
	const struct tk_frame frame = { .type = (uint16_t)type, .id = id, .len = (uint32_t)len };

	CU_ASSERT_FATAL(send(accepted, &frame, sizeof(frame), 0) == sizeof(frame));
	CU_ASSERT_FATAL(send(accepted, payload, len, 0) == (ssize_t)len);
}

static void
server_die(void)
{
	(void)close(accepted);
	accepted = -1;
	turns(3);
}

/* ---- the worker ---- */

static void
links_new(const char *name)
{
	env_new(4 * MIB);
	memset(&appends, 0, sizeof(appends));
	(void)snprintf(run_path, sizeof(run_path), "/tmp/tklinks.XXXXXX");
	CU_ASSERT_FATAL(mkdtemp(run_path) != NULL);
	env.cycle.run_dir_fd = open(run_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	socket_name = name;
	accepted = -1;
	server_listen();
	CU_ASSERT_FATAL(tk_reader_new(4, &env.worker.reader) == 0);
}

static void
links_free(void)
{
	tk_conns_close_all(&env.worker);
	if (env.worker.writers[0] != NULL)
		tk_writer_link_free(&env.worker.writers[0]);
	tk_coordinator_link_free(&env.worker.coordinator);
	tk_reader_free(&env.worker.reader);
	if (accepted >= 0)
		(void)close(accepted);
	if (listening >= 0)
		(void)close(listening);
	CU_ASSERT(unlinkat(env.cycle.run_dir_fd, socket_name, 0) == 0);
	(void)close(env.cycle.run_dir_fd);
	CU_ASSERT(rmdir(run_path) == 0);
	env_free();
}

static void
writer_new(void)
{
	links_new("writer.0.sock");
	CU_ASSERT_FATAL(tk_writer_link_new(&env.worker, 0) == 0);
	server_accept();
}

/* A request that waits, of a client of its own. */
static struct held *
request_new(int32_t correlation_id, int *ret_fd)
{
	*ret_fd = client_new();
	CU_ASSERT_FATAL(client_ask(*ret_fd, ALONE, correlation_id, WAIT, 100));
	turns(3);
	CU_ASSERT_FATAL(held_of(correlation_id) != NULL);
	return held_of(correlation_id);
}

/* ---- appends ---- */

static void
append_done(void *owner, unsigned index, const struct tk_frame_appended *result)
{
	CU_ASSERT_FATAL(owner == &appends && index < CALLS_MAX);
	appends.done[index]++;
	appends.done_count++;
	appends.base_offset[index] = result != NULL ? result->base_offset : -2;
	appends.error[index] = result != NULL ? result->error : 0;
	appends.calls[index] = NULL;
}

static void
append(unsigned index, int64_t deadline_ms)
{
	struct tk_shared_buf *buf = tk_shared_buf_new(env.worker.arena, 4096);
	const struct tk_frame_append frame = {
		.slot = index, .len = 100, .incarnation = 1, .deadline_ms = deadline_ms
	};

	CU_ASSERT_FATAL(buf != NULL);
	CU_ASSERT_FATAL(tk_worker_append(&env.worker, 0, &frame, buf, append_done, &appends, index,
			    &appends.calls[index]) == 0);
	tk_shared_buf_unref(&buf);
}

/* Reads appends until there are none; how many, and the first one's slot. */
static unsigned
server_appends(uint32_t *ret_first)
{
	struct tk_frame_append payload;
	struct tk_frame frame;
	unsigned count = 0;

	while (server_read(&frame, &payload, sizeof(payload))) {
		CU_ASSERT(frame.type == TK_FRAME_APPEND);
		if (count++ == 0)
			*ret_first = payload.slot;
	}
	return count;
}

/* What was sent to a writer that died is anyone's guess; what was not goes to the next one. */
static void
test_writer_dies(void)
{
	uint32_t first = 0;

	writer_new();
	for (unsigned i = 0; i < 520; i++)
		append(i, 0);
	CU_ASSERT(server_appends(&first) == 512 && first == 0);
	CU_ASSERT(appends.done_count == 0);
	server_die();
	CU_ASSERT(appends.done_count == 512);
	for (unsigned i = 0; i < 520; i++)
		CU_ASSERT(
		    appends.done[i] == (i < 512) && (i >= 512 || appends.base_offset[i] == -2));
	server_accept();
	CU_ASSERT(server_appends(&first) == 8 && first == 512);
	links_free();
}

static void
test_append_answers(void)
{
	struct tk_frame_append payload;
	struct tk_frame frames[3];

	writer_new();
	for (unsigned i = 0; i < 3; i++)
		append(i, 0);
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT_FATAL(server_read(&frames[i], &payload, sizeof(payload)));
	for (unsigned i = 3; i-- > 0;)
		server_write(TK_FRAME_APPENDED, frames[i].id,
		    &(struct tk_frame_appended){ .base_offset = 100 + i },
		    sizeof(struct tk_frame_appended));
	turns(3);
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT(appends.done[i] == 1 && appends.base_offset[i] == 100 + i);
	CU_ASSERT(tk_shared_arena_used(env.worker.arena) == 0);
	/* An answer to nothing is the end of the tie, not of the worker. */
	append(4, 0);
	CU_ASSERT_FATAL(server_read(&frames[0], &payload, sizeof(payload)));
	server_write(TK_FRAME_APPENDED, frames[0].id + 1, &(struct tk_frame_appended){ .error = 0 },
	    sizeof(struct tk_frame_appended));
	turns(3);
	CU_ASSERT(appends.done[4] == 1 && appends.base_offset[4] == -2);
	links_free();
}

/* What never got to a writer is certainly not there, and can be taken back. */
static void
test_append_deadlines(void)
{
	int64_t now_ms;
	uint32_t first;

	writer_new();
	now_ms = tk_clock_mono_ms();
	for (unsigned i = 0; i < 516; i++)
		append(i, now_ms + (i == 514 ? 60000 : 1000));
	(void)server_appends(&first);
	CU_ASSERT(!tk_append_take_back(appends.calls[3]));
	CU_ASSERT(tk_append_take_back(appends.calls[515]));
	tk_append_forget(appends.calls[4]);
	clock_ahead_ms += 1500;
	turns(3);
	CU_ASSERT(appends.done_count == 2);
	CU_ASSERT(appends.error[512] == TK_ERR_NOT_LEADER_OR_FOLLOWER && appends.done[513] == 1);
	server_die();
	CU_ASSERT(appends.done[4] == 0 && appends.done[3] == 1 && appends.done[515] == 0);
	CU_ASSERT(appends.done_count == 2 + 511);
	links_free();
}

/* ---- watches ---- */

static int
watch(struct held *held, uint64_t seq, int64_t position)
{
	const struct tk_part_state state = { .incarnation = 7, .high_watermark = { .segment = 0 } };

	return tk_worker_watch(&env.worker, 0, 5, &state, seq, position, held->req);
}

static void
test_watches(void)
{
	struct tk_frame_watch payload;
	struct tk_frame frame;
	struct held *held;
	int fd;

	writer_new();
	held = request_new(1, &fd);
	CU_ASSERT(watch(held, 10, 500) == 0 && watch(held, 11, 600) == 0);
	CU_ASSERT_FATAL(server_read(&frame, &payload, sizeof(payload)));
	CU_ASSERT(frame.type == TK_FRAME_WATCH && payload.position == 500 && payload.seq == 10);
	CU_ASSERT(!server_read(&frame, &payload, sizeof(payload))); /* the first does for both */
	CU_ASSERT(watch(held, 12, 400) == 0);
	CU_ASSERT_FATAL(server_read(&frame, &payload, sizeof(payload)));
	CU_ASSERT(payload.position == 400 && payload.seq == 12 && held->runs == 1);
	server_write(TK_FRAME_NOTIFY, frame.id,
	    &(struct tk_frame_notify){ .incarnation = 7, .slot = 5 },
	    sizeof(struct tk_frame_notify));
	turns(3);
	CU_ASSERT(held->runs == 2);
	(void)close(fd);
	links_free();
}

/* Watches and segment lists die with the writer: whoever waits for them looks again, and asks the
 * next one, also where that takes a while to come. */
static void
test_watches_lost(void)
{
	const struct tk_part_key key = {
		.slot = 6, .incarnation = 9, .topic = "t", .topic_len = 1
	};
	uint8_t payload[256];
	struct tk_frame frame;
	struct held *held;
	int fd;

	writer_new();
	held = request_new(1, &fd);
	CU_ASSERT(watch(held, 10, 500) == 0);
	CU_ASSERT(tk_worker_segments(&env.worker, &key, held->req) == 0);
	(void)close(listening);
	listening = -1;
	server_die();
	CU_ASSERT(held->runs == 2);
	/* There is nobody: this is kept until there is somebody, and then looks again. */
	CU_ASSERT(watch(held, 10, 500) == 0);
	CU_ASSERT(tk_worker_segments(&env.worker, &key, held->req) == 0);
	clock_ahead_ms += 30;
	turns(3);
	CU_ASSERT(held->runs == 2);
	server_listen();
	clock_ahead_ms += 30;
	turns(3);
	CU_ASSERT(held->runs == 3);
	server_accept();
	CU_ASSERT(watch(held, 10, 500) == 0);
	CU_ASSERT(tk_worker_segments(&env.worker, &key, held->req) == 0);
	CU_ASSERT(server_read(&frame, payload, sizeof(payload)) && frame.type == TK_FRAME_WATCH);
	CU_ASSERT(server_read(&frame, payload, sizeof(payload)) && frame.type == TK_FRAME_SEGMENTS);
	(void)close(fd);
	links_free();
}

/* ---- segment lists ---- */

static void
test_segments(void)
{
	struct tk_part_key key = { .slot = 6, .incarnation = 9, .topic = "t", .topic_len = 1 };
	struct tk_frame_segments_are are = { .incarnation = 8, .slot = 6, .error = -ENOENT };
	struct tk_frame_segments payload;
	struct tk_frame frame;
	struct held *held;
	int fd;

	writer_new();
	held = request_new(1, &fd);
	CU_ASSERT(tk_worker_segments(&env.worker, &key, held->req) == 0);
	CU_ASSERT(tk_worker_segments(&env.worker, &key, held->req) == 0);
	CU_ASSERT_FATAL(server_read(&frame, &payload, sizeof(payload)));
	CU_ASSERT(payload.slot == 6 && payload.incarnation == 9);
	CU_ASSERT(!server_read(&frame, &payload, sizeof(payload)));
	server_write(TK_FRAME_SEGMENTS_ARE, frame.id, &are, sizeof(are));
	turns(3);
	CU_ASSERT(held->runs == 1); /* of a topic before */
	are.incarnation = 9;
	server_write(TK_FRAME_SEGMENTS_ARE, frame.id, &are, sizeof(are));
	turns(3);
	CU_ASSERT(held->runs == 2);
	/* A list that is shorter than it says ends the tie. */
	CU_ASSERT(tk_worker_segments(&env.worker, &key, held->req) == 0);
	CU_ASSERT_FATAL(server_read(&frame, &payload, sizeof(payload)));
	are.count = UINT32_MAX;
	are.error = 0;
	server_write(TK_FRAME_SEGMENTS_ARE, frame.id, &are, sizeof(are));
	turns(3);
	CU_ASSERT(held->runs == 3);
	(void)close(fd);
	links_free();
}

/* ---- forwards ---- */

static struct {
	unsigned done;
	int status;
	size_t len;
	uint8_t first;
} forwards[256];

static void
forward_done(void *owner, int status, const void *body, size_t len)
{
	unsigned index = (unsigned)(uintptr_t)owner;

	forwards[index].done++;
	forwards[index].status = status;
	forwards[index].len = len;
	forwards[index].first = len > 0 ? *(const uint8_t *)body : 0;
}

static int
forward(struct held *held, unsigned index, struct tk_forward_call **ret_call)
{
	const struct iovec body = { .iov_base = (void *)(uintptr_t) "ask", .iov_len = 3 };

	return tk_worker_forward(&env.worker, held->req, 19, 7, &body, 1, 5000, forward_done,
	    (void *)(uintptr_t)index, ret_call);
}

static void
coordinator_new(void)
{
	memset(forwards, 0, sizeof(forwards));
	links_new(TK_CHANNEL_COORDINATOR);
	CU_ASSERT_FATAL(tk_coordinator_link_new(&env.worker) == 0);
	server_accept();
}

/* Two answers in one breath: the first is of odd length. */
static void
test_forwards(void)
{
	struct tk_forward_call *calls[4];
	struct tk_frame frames[3];
	uint8_t payload[256];
	struct {
		struct tk_frame_forwarded head;
		uint8_t body[3];
	} answer = { .body = "abc" };
	struct held *held;
	int fd;

	coordinator_new();
	held = request_new(1, &fd);
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT(forward(held, i, &calls[i]) == 0);
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT_FATAL(server_read(&frames[i], payload, sizeof(payload)));
	tk_forward_forget(calls[2]);
	for (unsigned i = 3; i-- > 0;) {
		answer.head.body_len = 1 + i % 2 * 2;
		server_write(TK_FRAME_FORWARDED, frames[i].id, &answer,
		    sizeof(answer.head) + answer.head.body_len);
	}
	turns(3);
	CU_ASSERT(forwards[0].done == 1 && forwards[0].len == 1 && forwards[0].first == 'a');
	CU_ASSERT(forwards[1].done == 1 && forwards[1].len == 3 && forwards[1].status == 0);
	CU_ASSERT(forwards[2].done == 0);
	(void)close(fd);
	links_free();
}

static void
test_forwards_unanswered(void)
{
	struct tk_frame_forwarded late = { .status = 0 };
	struct tk_forward_call *call;
	uint8_t payload[256];
	struct tk_frame frame;
	struct held *held;
	int fd;

	coordinator_new();
	held = request_new(1, &fd);
	for (unsigned i = 0; i < 128; i++)
		CU_ASSERT(forward(held, i, &call) == 0);
	CU_ASSERT(forward(held, 200, &call) == -EAGAIN);
	CU_ASSERT_FATAL(server_read(&frame, payload, sizeof(payload)));
	clock_ahead_ms += 6100;
	turns(3);
	CU_ASSERT(forwards[0].done == 1 && forwards[0].status == -ETIMEDOUT);
	CU_ASSERT(forwards[127].done == 1 && forwards[200].done == 0);
	server_write(TK_FRAME_FORWARDED, frame.id, &late, sizeof(late));
	turns(3);
	CU_ASSERT(forwards[0].done == 1);
	CU_ASSERT(forward(held, 201, &call) == 0);
	server_die();
	CU_ASSERT(forwards[201].done == 1 && forwards[201].status == -EPIPE);
	(void)close(fd);
	links_free();
}

/* ---- the serving end ---- */

static struct tk_peer peer_here;
static unsigned served;

static void
server_served(struct tk_channel_server *server, int fd, struct tk_peer *peer)
{
	CU_ASSERT(server->proc == &env.proc && peer == &peer_here);
	served++;
	(void)close(fd);
}

/* A server without a free descriptor does not spin, and serves when there is one again. */
static void
test_server_without_files(void)
{
	struct tk_channel_server server = { .accepted = server_served };
	struct rlimit before, none;
	int fd;

	links_new("writer.0.sock");
	CU_ASSERT(fcntl(listening, F_SETFL, O_NONBLOCK) == 0);
	peer_here = (struct tk_peer){ .pid = getpid(), .references = 1 };
	LIST_INSERT_HEAD(&env.proc.peers, &peer_here, link);
	CU_ASSERT_FATAL(tk_channel_server_start(&server, &env.proc, listening) == 0);
	served = 0;
	fd = tk_unix_connect(env.cycle.run_dir_fd, socket_name);
	CU_ASSERT(fd >= 0 && getrlimit(RLIMIT_NOFILE, &before) == 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = before.rlim_max };
	CU_ASSERT(setrlimit(RLIMIT_NOFILE, &none) == 0);
	CU_ASSERT(run_ms(50) < 10 && served == 0);
	CU_ASSERT(setrlimit(RLIMIT_NOFILE, &before) == 0);
	/* Valgrind, which counts descriptors itself, has accepted and closed. */
	if (recv(fd, &none, 1, MSG_DONTWAIT) == 0) {
		(void)close(fd);
		fd = tk_unix_connect(env.cycle.run_dir_fd, socket_name);
	}
	clock_ahead_ms += 1000;
	turns(5);
	CU_ASSERT(served == 1);
	(void)close(fd);
	tk_channel_server_stop(&server);
	links_free();
}

TK_UNIT_MAIN("links", { "appends: the writer dies", test_writer_dies },
    { "appends: answers", test_append_answers },
    { "appends: deadlines, taken back, forgotten", test_append_deadlines },
    { "watches: one for all who wait", test_watches },
    { "watches and lists: lost with the writer", test_watches_lost },
    { "segment lists", test_segments }, { "forwards: answers", test_forwards },
    { "forwards: late, none, the coordinator dies", test_forwards_unanswered },
    { "a server without a free descriptor", test_server_without_files })
