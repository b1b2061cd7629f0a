/*
 * Stress of the writer: workers in processes of their own that die at random.
 *
 * The writer runs in the test's process.  Each worker is a child with an arena shared with it; it
 * appends, watches and kills itself, in the middle of a frame as well.  Some are hostile: they send
 * garbage, or change their batches after they have sent them.  What honest workers were told must
 * be in the log, at the offset told, whole; nothing a hostile one does reaches beyond its own
 * batches; nobody waits in vain.
 */
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "test_writer.h"

#define WORKERS     4u
#define HONEST      1u /* slots, and incarnations as well */
#define HOSTILE     2u
#define OFFSETS_MAX 400000
#define LIFE_ARENA  ((size_t)64 << 10)
#define RUN_MS      4000
#define RUN_MAX_MS  90000 /* on a slow machine, until enough has happened */

/* What all processes see. */
struct shared {
	uint64_t acked[OFFSETS_MAX]; /* by offset in the honest partition: the batch's name */
	uint64_t answers, notifies, refusals;
	uint64_t lost; /* waits that nobody ended */
	uint64_t wrong;
	uint64_t names;
	bool over;
	uint8_t arena[WORKERS][LIFE_ARENA];
};

struct life {
	pid_t pid;
	struct tk_peer *peer;
};

static struct shared *shared;
static struct life lives[WORKERS];

static uint64_t
count_up(uint64_t *counter)
{
	return __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

/* ---- a worker ---- */

struct worker {
	int fd;
	uint8_t *arena;
	uint64_t random;
	bool hostile;
	const struct tk_zone *zone;
};

static void
die(void)
{
	(void)kill(getpid(), SIGKILL);
}

static bool
chance(struct worker *worker, uint32_t of)
{
	return make_random(&worker->random) % of == 0;
}

static void
worker_send(
    struct worker *worker, enum tk_frame_type type, uint64_t id, const void *payload, size_t len)
{
	struct tk_frame frame = { .len = (uint32_t)len, .type = (uint16_t)type, .id = id };
	uint8_t bytes[sizeof(frame) + 128];
	size_t whole = sizeof(frame) + len, at = 0;

	memcpy(bytes, &frame, sizeof(frame));
	memcpy(bytes + sizeof(frame), payload, len);
	if (worker->hostile && chance(worker, 60))
		bytes[make_random(&worker->random) % whole] ^= 0x41;
	if (chance(worker, 400)) { /* in the middle of a frame */
		(void)send(worker->fd, bytes, make_random(&worker->random) % whole, MSG_NOSIGNAL);
		die();
	}
	while (at < whole) {
		struct pollfd pfd = { .fd = worker->fd, .events = POLLOUT };
		ssize_t n = send(worker->fd, bytes + at, whole - at, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			_exit(0); /* the writer has thrown us out */
		if (n < 0)
			(void)poll(&pfd, 1, 1000);
		at += n < 0 ? 0 : (size_t)n;
	}
}

static bool
worker_receive(struct worker *worker, void *data, size_t len, int wait_ms)
{
	uint8_t *at = data;

	while (len > 0) {
		struct pollfd pfd = { .fd = worker->fd, .events = POLLIN };
		ssize_t n;

		if (poll(&pfd, 1, wait_ms) != 1)
			return false;
		n = recv(worker->fd, at, len, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			_exit(0);
		at += n < 0 ? 0 : n;
		len -= n < 0 ? 0 : (size_t)n;
	}
	return true;
}

static void
worker_answered(
    struct worker *worker, const struct tk_frame *frame, const struct tk_frame_appended *answer)
{
	if (answer->error != 0) {
		(void)count_up(&shared->refusals);
		if (!worker->hostile)
			(void)count_up(&shared->wrong);
		return;
	}
	(void)count_up(&shared->answers);
	if (!worker->hostile && answer->base_offset < OFFSETS_MAX)
		__atomic_store_n(&shared->acked[answer->base_offset], frame->id, __ATOMIC_RELAXED);
}

/* One frame of the writer's; false: none came in time. */
static bool
worker_hear(struct worker *worker, uint16_t *ret_type, int wait_ms)
{
	struct tk_frame frame;
	uint8_t payload[256];
	struct tk_frame_appended answer;

	if (!worker_receive(worker, &frame, sizeof(frame), wait_ms))
		return false;
	if (frame.len > sizeof(payload) || !worker_receive(worker, payload, frame.len, wait_ms))
		return false;
	*ret_type = frame.type;
	if (frame.type != TK_FRAME_APPENDED)
		return true;
	memcpy(&answer, payload, sizeof(answer));
	worker_answered(worker, &frame, &answer);
	return true;
}

/* A batch with a name: its first timestamp. */
static uint32_t
named_batch(uint8_t *to, uint64_t name, int64_t value_len)
{
	uint32_t len = writer_batch(to, 4096, 1, value_len, -1, 0);

	tk_be64_put(to + 27, name);
	tk_be64_put(to + 35, name);
	make_seal(to, len);
	return len;
}

static void
worker_append(struct worker *worker, size_t at)
{
	uint32_t slot = worker->hostile ? HOSTILE : HONEST;
	uint64_t name = count_up(&shared->names);
	struct tk_frame_append frame = append_frame(slot, slot, at,
	    named_batch(worker->arena + at, name, make_random(&worker->random) % 2000));

	worker_send(worker, TK_FRAME_APPEND, name, &frame, sizeof(frame));
	if (worker->hostile && chance(worker, 3)) /* while the writer is at it */
		worker->arena[at + make_random(&worker->random) % frame.len] ^= 0x55;
}

/*
 * Hears frames until one of this type; false: in vain.  A hostile worker may have broken its own
 * frame and waits for nothing; an honest one that waits ten seconds has been forgotten.
 */
static bool
worker_wait(struct worker *worker, enum tk_frame_type want)
{
	for (int waited_ms = 0; waited_ms < (worker->hostile ? 300 : 10000);) {
		uint16_t type = 0;

		if (!worker_hear(worker, &type, 100))
			waited_ms += 100;
		else if (type == want)
			return true;
		if (want == TK_FRAME_NOTIFY && __atomic_load_n(&shared->over, __ATOMIC_RELAXED))
			return true;
	}
	if (!worker->hostile)
		(void)count_up(&shared->lost);
	return false;
}

static void
worker_append_many(struct worker *worker)
{
	unsigned count = 1 + make_random(&worker->random) % 12;

	for (unsigned i = 0; i < count; i++)
		worker_append(worker, i * 4096);
	if (chance(worker, 30))
		die();
	while (count-- > 0)
		if (!worker_wait(worker, TK_FRAME_APPENDED))
			die();
}

/* Others append all the time: whoever watches is told soon. */
static void
worker_watch(struct worker *worker)
{
	struct tk_frame_watch watch = { .incarnation = HONEST, .slot = HONEST };
	struct tk_part_state state;

	if (!tk_zone_read(worker->zone, HONEST, &state, &watch.seq))
		return;
	watch.segment = state.high_watermark.segment;
	watch.position = state.high_watermark.position + 1;
	worker_send(worker, TK_FRAME_WATCH, 1, &watch, sizeof(watch));
	if (chance(worker, 30))
		die();
	if (!worker_wait(worker, TK_FRAME_NOTIFY))
		die();
	(void)count_up(&shared->notifies);
}

static void
worker_main(struct worker *worker)
{
	const struct tk_frame_hello hello_frame = { .version = TK_FRAMES_VERSION };

	worker_send(worker, TK_FRAME_HELLO, 0, &hello_frame, sizeof(hello_frame));
	while (!__atomic_load_n(&shared->over, __ATOMIC_RELAXED)) {
		if (chance(worker, 4))
			worker_watch(worker);
		else
			worker_append_many(worker);
	}
	_exit(0);
}

/* ---- the writer's side ---- */

static void
life_begin(unsigned index, uint64_t random)
{
	struct life *life = &lives[index];
	struct worker worker = { .arena = shared->arena[index],
		.random = random,
		.hostile = random % 4 == 0,
		.zone = writer.zone };
	int fds[2];

	CU_ASSERT_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	(void)fflush(NULL);
	life->pid = fork();
	CU_ASSERT_FATAL(life->pid >= 0);
	if (life->pid == 0) {
		worker.fd = fds[0];
		(void)close_range(3, (unsigned)fds[0] - 1, 0);
		(void)close_range((unsigned)fds[0] + 1, ~0u, 0);
		worker_main(&worker);
	}
	(void)close(fds[0]);
	life->peer = calloc(1, sizeof(*life->peer));
	CU_ASSERT_FATAL(life->peer != NULL);
	*life->peer = (struct tk_peer){ .pid = life->pid,
		.role = TK_ROLE_WORKER,
		.index = index,
		.arena = shared->arena[index],
		.arena_size = LIFE_ARENA,
		.references = 1 };
	tk_caller_new(&writer, fds[1], life->peer);
}

/* True once the child is gone and the writer has let go of it. */
static bool
life_end(struct life *life)
{
	if (life->pid > 0 && waitpid(life->pid, NULL, WNOHANG) == life->pid)
		life->pid = 0;
	if (life->pid > 0 || life->peer->references > 1)
		return false;
	free(life->peer);
	life->peer = NULL;
	return true;
}

/* ---- what came of it ---- */

static uint64_t
check_honest(const struct tk_writer_part *part)
{
	uint64_t told = 0;
	int64_t position = 0, offset = 0;
	uint8_t bytes[8192];
	char path[160];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s/%020d.log", data_path, tk_log_name(part->log), 0);
	CU_ASSERT_FATAL(tk_file_open(AT_FDCWD, path, O_RDONLY, 0, &fd) == 0);
	for (; position < part->state.log_end.position; offset++) {
		struct tk_batch_header header;
		size_t len;

		CU_ASSERT_FATAL(tk_file_pread(fd, bytes, sizeof(bytes), position, &len) == 0);
		tk_batch_header_read(bytes, &header);
		CU_ASSERT_FATAL(header.base_offset == offset && offset < OFFSETS_MAX);
		len = (size_t)tk_batch_size(&header);
		CU_ASSERT_FATAL(len <= sizeof(bytes));
		CU_ASSERT(
		    tk_crc32c(0, bytes + TK_BATCH_CRC_FROM, len - TK_BATCH_CRC_FROM) == header.crc);
		if (shared->acked[offset] != 0) {
			CU_ASSERT((uint64_t)header.base_timestamp == shared->acked[offset]);
			told++;
		}
		position += (int64_t)len;
	}
	tk_file_close(&fd);
	CU_ASSERT(offset == part->state.log_end.offset);
	for (; offset < OFFSETS_MAX; offset++)
		CU_ASSERT_FATAL(shared->acked[offset] == 0);
	return told;
}

/* Headers and offsets are the writer's own, whatever was done to the rest. */
static void
check_hostile(const struct tk_writer_part *part)
{
	int64_t position = 0, offset = 0;
	char path[160];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s/%020d.log", data_path, tk_log_name(part->log), 0);
	CU_ASSERT_FATAL(tk_file_open(AT_FDCWD, path, O_RDONLY, 0, &fd) == 0);
	while (position < part->state.log_end.position) {
		uint8_t bytes[TK_BATCH_HEADER_BYTES];
		struct tk_batch_header header;

		CU_ASSERT_FATAL(tk_file_pread_full(fd, bytes, sizeof(bytes), position) == 0);
		tk_batch_header_read(bytes, &header);
		CU_ASSERT_FATAL(header.base_offset == offset && header.magic == 2);
		position += tk_batch_size(&header);
		offset = tk_batch_last_offset(&header) + 1;
	}
	tk_file_close(&fd);
	CU_ASSERT(offset == part->state.log_end.offset);
}

/* Appends a little at a time, so that those who watch while nobody else appends are told. */
static void
pulse(struct caller *caller, int64_t *last_ms)
{
	struct tk_frame_append frame = append_frame(HONEST, HONEST, 0, 0);
	int64_t now_ms = tk_clock_mono_ms();

	CU_ASSERT_FATAL(fill(caller));
	while (take_frame(caller))
		continue;
	if (now_ms - *last_ms < 2)
		return;
	*last_ms = now_ms;
	frame.len = named_batch(caller->arena, 0, 10);
	send_append(caller, 1, &frame);
}

/* It has lasted, and enough has happened in it for the counts to mean something. */
static bool
is_over(int64_t started_ms, unsigned births)
{
	int64_t end = tk_part_find(&writer, HONEST)->state.log_end.offset;
	int64_t ms = tk_clock_mono_ms() - started_ms;
	bool enough = births > 2 * WORKERS && shared->notifies > 100 && end > 6000;

	return (ms >= RUN_MS && enough) || ms >= RUN_MAX_MS || end > OFFSETS_MAX - 1000;
}

static void
test_dying_workers(void)
{
	struct caller *own;
	int64_t pulse_ms = 0;
	int64_t started_ms;
	uint64_t random = (uint64_t)tk_clock_mono_ns(), told;
	unsigned births = 0, left = WORKERS;

	printf("seed %llu ", (unsigned long long)random);
	shared =
	    mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_FATAL(shared != MAP_FAILED);
	tk_errlog_level(TK_LEVEL_ERROR);
	env_new();
	(void)part_make("honest", HONEST, HONEST, NULL);
	(void)part_make("hostile", HOSTILE, HOSTILE, NULL);
	own = caller_new(TK_ROLE_WORKER);
	started_ms = tk_clock_mono_ms();
	for (unsigned i = 0; i < WORKERS; i++, births++)
		life_begin(i, random += 7919);
	while (left > 0) {
		shared->over = is_over(started_ms, births);
		pulse(own, &pulse_ms);
		turns(1);
		for (unsigned i = 0; i < WORKERS; i++) {
			if (lives[i].peer == NULL || !life_end(&lives[i]))
				continue;
			if (shared->over)
				left--;
			else
				life_begin(i, random += 7919 + births++);
		}
	}
	told = check_honest(tk_part_find(&writer, HONEST));
	check_hostile(tk_part_find(&writer, HOSTILE));
	printf("%u lives, %llu told, %lld written, %llu wakes ", births, (unsigned long long)told,
	    (long long)tk_part_find(&writer, HONEST)->state.log_end.offset,
	    (unsigned long long)shared->notifies);
	CU_ASSERT(told > 1000 && births > 2 * WORKERS && shared->notifies > 100);
	CU_ASSERT(shared->lost == 0 && shared->wrong == 0);
	caller_free(own);
	CU_ASSERT(LIST_EMPTY(&writer.callers) && LIST_EMPTY(&writer.paused));
	CU_ASSERT(!tk_appends_waiting(&writer));
	env_free();
	(void)munmap(shared, sizeof(*shared));
}

TK_UNIT_MAIN("writer stress", { "dying workers", test_dying_workers })
