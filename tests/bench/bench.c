/*
 * What the broker's CPU costs beside the least a program could do for the same bytes.
 *
 *	bench fetch|produce|latency -b HOST:PORT -p MASTER_PID -d DIR [-n ROUNDS] [-m MIB]
 *		[-s BATCH_BYTES] [-c CONNECTIONS] [-w REQUESTS]
 *	bench commit ... -o PORT
 *
 * Each round runs the broker, then a bare loop in a child process, with the same client and the
 * same bytes; the two alternate, so a machine that is slow for a while is slow for both.  The bare
 * loop for Fetch answers a short request by sendfile from a file of the same size; for Produce it
 * receives a frame, computes CRC-32C over the batch and writes it by pwrite, in a process and to a
 * file of its own for each connection.  CPU is the kernel's own count (schedstat) over all threads
 * of all processes of the broker, or of the bare children.  Printed: CPU seconds per GiB of each
 * round, and the median of the ratios.  `latency` prints the round trip of a single small Produce
 * on an idle broker beside that of a bare echo.  `commit` produces to a broker with flush = "none"
 * and then to the one at the other port, which has "commit", and prints how long that takes.
 *
 * Batches are made once, so that the client is not what is measured.  Loopback only.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "log/batch.h"

#define RECORD_BYTES  1024u
#define REQUEST_BYTES 64u
#define ROUNDS_MAX    51
#define CONNS_MAX     64
#define GIB           ((double)(1 << 30))

struct bench {
	const char *host;
	int port;
	pid_t master;
	int commit_port; /* of the broker with flush = "commit" */
	const char *dir;
	int rounds;
	int conns; /* of Produce */
	int depth; /* requests a connection has under way */
	size_t total_bytes;
	size_t batch_bytes;
	char topic[64];
	uint8_t *batch;
	uint32_t batch_records;
};

static void
die(const char *what)
{
	(void)fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- CPU of a process tree ---- */

static uint64_t
cpu_ns_of(pid_t pid)
{
	char path[64], line[128];
	struct dirent *entry;
	uint64_t sum = 0;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		FILE *f;

		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(
		    path, sizeof(path), "/proc/%d/task/%.16s/schedstat", (int)pid, entry->d_name);
		f = fopen(path, "r");
		if (f != NULL && fgets(line, sizeof(line), f) != NULL)
			sum += strtoull(line, NULL, 10);
		if (f != NULL)
			(void)fclose(f);
	}
	if (dir != NULL)
		(void)closedir(dir);
	return sum;
}

static uint64_t
cpu_ns_of_tree(pid_t pid)
{
	char path[64], line[4096], *at = line, *end;
	uint64_t sum = cpu_ns_of(pid);
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	f = fopen(path, "r");
	if (f == NULL)
		return sum;
	if (fgets(line, sizeof(line), f) != NULL)
		for (long child; (child = strtol(at, &end, 10)) > 0; at = end)
			sum += cpu_ns_of_tree((pid_t)child);
	(void)fclose(f);
	return sum;
}

/* ---- sockets ---- */

static int
tcp_connect(const char *host, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || inet_pton(AF_INET, host, &to.sin_addr) != 1 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("could not connect");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static int
tcp_listen(int *ret_port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 8) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) < 0)
		die("could not listen");
	*ret_port = ntohs(at.sin_port);
	return fd;
}

static void
send_all(int fd, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n <= 0)
			die("could not send");
		at += n;
		len -= (size_t)n;
	}
}

/* Receives len bytes; where data is NULL they are dropped by the kernel. */
static bool
receive_all(int fd, void *data, size_t len)
{
	uint8_t *at = data;

	while (len > 0) {
		ssize_t n = at != NULL ? recv(fd, at, len, 0) : recv(fd, NULL, len, MSG_TRUNC);

		if (n == 0)
			return false;
		if (n < 0)
			die("could not receive");
		at = at != NULL ? at + n : NULL;
		len -= (size_t)n;
	}
	return true;
}

/* ---- Kafka's side of the client ---- */

static uint8_t *
put16(uint8_t *at, int v)
{
	tk_be16_put(at, (uint16_t)v);
	return at + 2;
}

static uint8_t *
put32(uint8_t *at, int64_t v)
{
	tk_be32_put(at, (uint32_t)v);
	return at + 4;
}

static uint8_t *
put64(uint8_t *at, int64_t v)
{
	tk_be64_put(at, (uint64_t)v);
	return at + 8;
}

static uint8_t *
put_text(uint8_t *at, const char *text)
{
	at = put16(at, (int)strlen(text));
	memcpy(at, text, strlen(text));
	return at + strlen(text);
}

static uint8_t *
put_header(uint8_t *at, int key, int version)
{
	at = put16(put16(at, key), version);
	return put_text(put32(at, 1), "bench");
}

static uint8_t *
put_varint(uint8_t *at, int64_t v)
{
	uint64_t z = ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);

	for (; z >= 0x80; z >>= 7)
		*at++ = (uint8_t)(z | 0x80);
	*at++ = (uint8_t)z;
	return at;
}

static int
varint_size(int64_t v)
{
	uint8_t bytes[10];

	return (int)(put_varint(bytes, v) - bytes);
}

/* One record of value_len bytes without key and headers. */
static uint8_t *
put_record(uint8_t *at, uint32_t delta, int64_t value_len)
{
	int64_t body = 1 + 1 + varint_size(delta) + 1 + varint_size(value_len) + value_len + 1;

	at = put_varint(at, body);
	*at++ = 0;
	at = put_varint(put_varint(at, 0), delta);
	at = put_varint(put_varint(at, -1), value_len);
	for (int64_t i = 0; i < value_len; i++)
		*at++ = (uint8_t)(i * 31 + delta);
	return put_varint(at, 0);
}

/* A batch of exactly batch_bytes, of records of about 1 KiB; the last takes what is left. */
static void
make_batch(struct bench *b)
{
	uint8_t *at, *end;
	struct tk_batch_header header = { .magic = 2,
		.base_timestamp = tk_clock_wall_ms(),
		.producer_id = -1,
		.producer_epoch = -1,
		.base_sequence = -1,
		.leader_epoch = -1 };
	uint32_t count = 0;

	b->batch = malloc(b->batch_bytes + 64);
	if (b->batch == NULL)
		die("no memory");
	at = b->batch + TK_BATCH_HEADER_BYTES;
	end = b->batch + b->batch_bytes;
	while (end - at > (ptrdiff_t)(2 * RECORD_BYTES))
		at = put_record(at, count++, RECORD_BYTES - 16);
	for (int64_t value = end - at; value > 0; value--) {
		int64_t body = 4 + varint_size(count) + varint_size(value) + value;

		if (varint_size(body) + body == end - at) {
			at = put_record(at, count++, value);
			break;
		}
	}
	if (at != end)
		die("could not make a batch of this size");
	b->batch_records = count;
	header.length = (int32_t)(b->batch_bytes - TK_BATCH_LENGTH_PREFIX);
	header.max_timestamp = header.base_timestamp;
	header.records_count = (int32_t)count;
	header.last_offset_delta = (int32_t)count - 1;
	tk_batch_header_write(&header, b->batch);
	header.crc = tk_crc32c(0, b->batch + TK_BATCH_CRC_FROM, b->batch_bytes - TK_BATCH_CRC_FROM);
	tk_batch_header_write(&header, b->batch);
}

/* Produce version 3 up to where the batch begins; its length. */
static size_t
produce_head(const struct bench *b, uint8_t *frame)
{
	uint8_t *at = put_header(frame + 4, 0, 3);

	at = put16(at, -1); /* no transaction */
	at = put32(put16(at, 1), 30000);
	at = put_text(put32(at, 1), b->topic);
	at = put32(put32(put32(at, 1), 0), (int64_t)b->batch_bytes);
	(void)put32(frame, (at - frame) - 4 + (int64_t)b->batch_bytes);
	return (size_t)(at - frame);
}

static void
produce_answer(int fd, const struct bench *b)
{
	uint8_t answer[256];
	uint32_t len;

	if (!receive_all(fd, answer, 4))
		die("the broker closed the connection");
	len = tk_be32_get(answer);
	if (len > sizeof(answer) || !receive_all(fd, answer, len))
		die("bad answer to Produce");
	if (tk_be16_get(answer + 4 + 4 + 2 + strlen(b->topic) + 4 + 4) != 0) {
		errno = EPROTO;
		die("Produce was refused");
	}
}

/* Has the topic made, by asking for it (Metadata version 1); the answer is of no interest. */
static void
topic_make(const struct bench *b, int fd)
{
	uint8_t frame[256], size[4];
	uint8_t *at = put_text(put32(put_header(frame + 4, 3, 1), 1), b->topic);

	(void)put32(frame, (at - frame) - 4);
	send_all(fd, frame, (size_t)(at - frame));
	if (!receive_all(fd, size, sizeof(size)) || !receive_all(fd, NULL, tk_be32_get(size)))
		die("the broker closed the connection");
}

/* Connects to the broker and sees to it that the topic is there. */
static int
broker_connect(const struct bench *b)
{
	int fd = tcp_connect(b->host, b->port);

	topic_make(b, fd);
	return fd;
}

/* Sends total_bytes as Produce requests, depth of them under way. */
static void
produce_run(const struct bench *b, int fd, size_t total_bytes)
{
	uint8_t *frame = malloc(256 + b->batch_bytes);
	size_t head_len = frame == NULL ? 0 : produce_head(b, frame);
	size_t count = total_bytes / b->batch_bytes, under_way = 0;

	if (frame == NULL)
		die("no memory");
	memcpy(frame + head_len, b->batch, b->batch_bytes);
	for (size_t i = 0; i < count; i++) {
		send_all(fd, frame, head_len + b->batch_bytes);
		if (++under_way == (size_t)b->depth) {
			produce_answer(fd, b);
			under_way--;
		}
	}
	while (under_way-- > 0)
		produce_answer(fd, b);
	free(frame);
}

/* One Fetch version 11 of 1 MiB from offset; bytes of records, which are dropped. */
static size_t
fetch_once(const struct bench *b, int fd, int64_t offset)
{
	uint8_t frame[256], head[256];
	size_t head_len = 4 + 4 + 4 + 2 + 4 + 4 + 2 + strlen(b->topic) + 4 + 4 + 2 + 24 + 4 + 4 + 4;
	uint8_t *at = put_header(frame + 4, 1, 11);
	uint32_t len, records;

	at = put32(put32(put32(put32(at, -1), 500), 1), 50 << 20);
	*at++ = 0;
	at = put32(put32(at, 0), -1);
	at = put32(put_text(put32(at, 1), b->topic), 1);
	at = put64(put32(put32(at, 0), -1), offset);
	at = put32(put64(at, -1), 1 << 20);
	at = put_text(put32(at, 0), "");
	(void)put32(frame, (at - frame) - 4);
	send_all(fd, frame, (size_t)(at - frame));
	if (!receive_all(fd, head, head_len))
		die("the broker closed the connection");
	len = tk_be32_get(head);
	records = tk_be32_get(head + head_len - 4);
	if (len + 4 != head_len + records) {
		errno = EPROTO;
		die("unexpected answer to Fetch");
	}
	(void)receive_all(fd, NULL, records);
	return records;
}

/* Reads the whole topic until total_bytes were fetched. */
static void
fetch_run(const struct bench *b, int fd, size_t topic_bytes, size_t total_bytes)
{
	int64_t end = (int64_t)(topic_bytes / b->batch_bytes) * b->batch_records, offset = 0;
	size_t done = 0;

	while (done < total_bytes) {
		size_t n = fetch_once(b, fd, offset);

		if (n < b->batch_bytes)
			die("a Fetch brought nothing");
		done += n;
		offset += (int64_t)(n / b->batch_bytes) * b->batch_records;
		if (offset >= end)
			offset = 0;
	}
}

/* ---- the bare loops ---- */

static int
bare_file(const struct bench *b, size_t bytes)
{
	char path[4096];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/bare-%d", b->dir, (int)getpid());
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		die("could not make a file");
	(void)unlink(path);
	for (size_t at = 0; at < bytes; at += b->batch_bytes)
		if (pwrite(fd, b->batch, b->batch_bytes, (off_t)at) < 0)
			die("could not write");
	return fd;
}

static void
bare_fetch_serve(int fd, int file, size_t file_bytes)
{
	uint8_t request[REQUEST_BYTES];

	while (receive_all(fd, request, sizeof(request))) {
		off_t at = (off_t)(tk_be64_get(request) % file_bytes);
		size_t left = (size_t)1 << 20;

		while (left > 0) {
			ssize_t n = sendfile(fd, file, &at, left);

			if (n <= 0)
				die("sendfile");
			left -= (size_t)n;
		}
	}
}

static void
bare_produce_serve(int fd, int file, const struct bench *b)
{
	uint8_t *buffer = malloc(b->batch_bytes);
	uint8_t answer[REQUEST_BYTES] = { 0 };
	off_t at = 0;

	while (buffer != NULL && receive_all(fd, buffer, b->batch_bytes)) {
		uint32_t crc =
		    tk_crc32c(0, buffer + TK_BATCH_CRC_FROM, b->batch_bytes - TK_BATCH_CRC_FROM);

		if (crc != tk_be32_get(buffer + 17) ||
		    pwrite(file, buffer, b->batch_bytes, at) != (ssize_t)b->batch_bytes)
			die("could not write");
		at += (off_t)b->batch_bytes;
		send_all(fd, answer, sizeof(answer));
	}
}

static void
bare_echo_serve(int fd, const struct bench *b)
{
	uint8_t request[2048];
	size_t len = TK_MIN(b->batch_bytes, sizeof(request));

	while (receive_all(fd, request, len))
		send_all(fd, request, REQUEST_BYTES);
}

/* Starts a child that serves one connection; its pid, and the connection. */
static pid_t
bare_start(const struct bench *b, const char *what, int file, size_t file_bytes, int *ret_fd)
{
	int port, on = 1, listening = tcp_listen(&port);
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		int fd = accept(listening, NULL, NULL);

		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (strcmp(what, "fetch") == 0)
			bare_fetch_serve(fd, file, file_bytes);
		else if (strcmp(what, "produce") == 0)
			bare_produce_serve(fd, file, b);
		else
			bare_echo_serve(fd, b);
		_exit(0);
	}
	*ret_fd = tcp_connect("127.0.0.1", port);
	(void)close(listening);
	return pid;
}

static void
bare_fetch_run(int fd, size_t total_bytes)
{
	uint8_t request[REQUEST_BYTES] = { 0 };

	for (size_t done = 0; done < total_bytes; done += (size_t)1 << 20) {
		(void)put64(request, (int64_t)done);
		send_all(fd, request, sizeof(request));
		(void)receive_all(fd, NULL, (size_t)1 << 20);
	}
}

static void
bare_produce_run(const struct bench *b, int fd, size_t total_bytes)
{
	size_t count = total_bytes / b->batch_bytes, under_way = 0;
	uint8_t answer[REQUEST_BYTES];

	for (size_t i = 0; i < count; i++) {
		send_all(fd, b->batch, b->batch_bytes);
		if (++under_way == (size_t)b->depth) {
			(void)receive_all(fd, answer, sizeof(answer));
			under_way--;
		}
	}
	while (under_way-- > 0)
		(void)receive_all(fd, answer, sizeof(answer));
}

/* ---- rounds ---- */

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median(double *values, int count)
{
	qsort(values, (size_t)count, sizeof(*values), compare);
	return values[count / 2];
}

/* One connection's share of a Produce run, by a process of its own. */
static pid_t
sender_start(const struct bench *b, int fd, size_t bytes, bool bare)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid > 0)
		return pid;
	if (bare)
		bare_produce_run(b, fd, bytes);
	else
		produce_run(b, fd, bytes);
	_exit(0);
}

/* Sends bytes over all connections at once and waits for the last answer. */
static void
senders_run(const struct bench *b, const int *fds, size_t bytes, bool bare)
{
	int status, failed = 0;

	for (int i = 0; i < b->conns; i++)
		(void)sender_start(b, fds[i], bytes / (size_t)b->conns, bare);
	for (int i = 0; i < b->conns; i++)
		failed |= wait(&status) < 0 || status != 0;
	if (failed)
		die("a sender failed");
}

static double
broker_round(const struct bench *b, bool fetch, const int *fds, size_t topic_bytes, size_t bytes)
{
	uint64_t before = cpu_ns_of_tree(b->master);

	if (fetch)
		fetch_run(b, fds[0], topic_bytes, bytes);
	else
		senders_run(b, fds, bytes, false);
	return (double)(cpu_ns_of_tree(b->master) - before) / 1e9 / ((double)bytes / GIB);
}

static double
bare_fetch_round(const struct bench *b, size_t bytes)
{
	size_t file_bytes = bytes / b->batch_bytes * b->batch_bytes;
	int fd, file = bare_file(b, file_bytes);
	pid_t pid = bare_start(b, "fetch", file, file_bytes - ((size_t)1 << 20), &fd);
	uint64_t before = cpu_ns_of(pid);
	double result;

	bare_fetch_run(fd, bytes);
	result = (double)(cpu_ns_of(pid) - before) / 1e9 / ((double)bytes / GIB);
	(void)close(fd);
	(void)close(file);
	(void)waitpid(pid, NULL, 0);
	return result;
}

static double
bare_produce_round(const struct bench *b, size_t bytes)
{
	int fds[CONNS_MAX];
	pid_t pids[CONNS_MAX];
	uint64_t ns = 0;

	for (int i = 0; i < b->conns; i++) {
		int file = bare_file(b, 0);

		pids[i] = bare_start(b, "produce", file, 0, &fds[i]);
		(void)close(file);
		ns -= cpu_ns_of(pids[i]);
	}
	senders_run(b, fds, bytes, true);
	for (int i = 0; i < b->conns; i++)
		ns += cpu_ns_of(pids[i]);
	/* Those started later hold the earlier ones' connections, so the last one ends first. */
	for (int i = b->conns - 1; i >= 0; i--) {
		(void)close(fds[i]);
		(void)waitpid(pids[i], NULL, 0);
	}
	return (double)ns / 1e9 / ((double)bytes / GIB);
}

static double
bare_round(const struct bench *b, bool fetch, size_t bytes)
{
	return fetch ? bare_fetch_round(b, bytes) : bare_produce_round(b, bytes);
}

/*
 * Touches as much memory as the rounds will fill with page cache, once.  A virtual machine gets its
 * memory from its host at the first touch, which costs several times the write itself, and would be
 * charged to whichever of the two happens to come first.
 */
static void
warm_memory(const struct bench *b)
{
	size_t bytes = TK_MIN(b->total_bytes * (size_t)(2 * b->rounds + 3),
	    (size_t)sysconf(_SC_AVPHYS_PAGES) / 10 * 8 * (size_t)sysconf(_SC_PAGESIZE));
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_POPULATE, -1, 0);

	if (at != MAP_FAILED)
		(void)munmap(at, bytes);
}

static void
run_pairs(struct bench *b, bool fetch)
{
	double ratios[ROUNDS_MAX], ours[ROUNDS_MAX], bare[ROUNDS_MAX];
	int fds[CONNS_MAX];
	size_t topic_bytes = b->total_bytes / b->batch_bytes * b->batch_bytes;

	for (int i = 0; i < b->conns; i++)
		fds[i] = broker_connect(b);
	warm_memory(b);
	if (fetch)
		produce_run(b, fds[0], topic_bytes);
	(void)broker_round(b, fetch, fds, topic_bytes, b->total_bytes / 4);
	(void)bare_round(b, fetch, b->total_bytes / 4);
	for (int i = 0; i < b->rounds; i++) {
		ours[i] = broker_round(b, fetch, fds, topic_bytes, b->total_bytes);
		bare[i] = bare_round(b, fetch, b->total_bytes);
		ratios[i] = ours[i] / bare[i];
		(void)printf(
		    "%s %zu bytes, %d connections: round %d: broker %.3f, bare %.3f CPU s/GiB, "
		    "ratio %.2f\n",
		    fetch ? "fetch" : "produce", b->batch_bytes, b->conns, i + 1, ours[i], bare[i],
		    ratios[i]);
	}
	for (int i = 0; i < b->conns; i++)
		(void)close(fds[i]);
	qsort(ratios, (size_t)b->rounds, sizeof(*ratios), compare);
	(void)printf("%s %zu bytes, %d connections: broker %.3f, bare %.3f CPU s/GiB (medians); "
		     "ratio median %.2f, min %.2f, max %.2f\n",
	    fetch ? "fetch" : "produce", b->batch_bytes, b->conns, median(ours, b->rounds),
	    median(bare, b->rounds), ratios[b->rounds / 2], ratios[0], ratios[b->rounds - 1]);
}

static double
latency_us(const struct bench *b, int fd, bool broker, int count)
{
	double *times = calloc((size_t)count, sizeof(*times));
	uint8_t answer[REQUEST_BYTES];
	double result;

	for (int i = 0; i < count; i++) {
		int64_t start = tk_clock_mono_ns();

		if (broker) {
			produce_run(b, fd, b->batch_bytes);
		} else {
			send_all(fd, b->batch, b->batch_bytes);
			(void)receive_all(fd, answer, sizeof(answer));
		}
		times[i] = (double)(tk_clock_mono_ns() - start) / 1e3;
		(void)usleep(500);
	}
	result = median(times, count);
	free(times);
	return result;
}

static void
run_latency(struct bench *b)
{
	double ours[ROUNDS_MAX], bare[ROUNDS_MAX];
	int fd = broker_connect(b), bare_fd;
	pid_t pid = bare_start(b, "echo", -1, 0, &bare_fd);

	(void)latency_us(b, fd, true, 50);
	for (int i = 0; i < b->rounds; i++) {
		ours[i] = latency_us(b, fd, true, 200);
		bare[i] = latency_us(b, bare_fd, false, 200);
	}
	(void)close(fd);
	(void)close(bare_fd);
	(void)waitpid(pid, NULL, 0);
	(void)printf("latency of one idle Produce of %zu bytes: broker %.0f us, bare echo %.0f us "
		     "(medians of %d rounds of 200)\n",
	    b->batch_bytes, median(ours, b->rounds), median(bare, b->rounds), b->rounds);
}

/* Seconds a GiB takes over all connections. */
static double
commit_round(const struct bench *b, const int *fds)
{
	int64_t start = tk_clock_mono_ns();

	senders_run(b, fds, b->total_bytes, false);
	return (double)(tk_clock_mono_ns() - start) / 1e9 / ((double)b->total_bytes / GIB);
}

static void
run_commit(struct bench *b)
{
	double none[ROUNDS_MAX], commit[ROUNDS_MAX], ratios[ROUNDS_MAX];
	struct bench other = *b;
	int fds[2][CONNS_MAX];

	other.port = b->commit_port;
	for (int c = 0; c < b->conns; c++) {
		fds[0][c] = broker_connect(b);
		fds[1][c] = broker_connect(&other);
	}
	(void)commit_round(b, fds[0]);
	for (int i = 0; i < b->rounds; i++) {
		none[i] = commit_round(b, fds[0]);
		commit[i] = commit_round(&other, fds[1]);
		ratios[i] = none[i] / commit[i];
		(void)printf(
		    "commit %zu bytes, %d connections: round %d: none %.0f, commit %.0f MiB/s, "
		    "ratio %.2f\n",
		    b->batch_bytes, b->conns, i + 1, 1024 / none[i], 1024 / commit[i], ratios[i]);
	}
	(void)printf("commit %zu bytes, %d connections: none %.0f, commit %.0f MiB/s (medians); "
		     "ratio median %.2f\n",
	    b->batch_bytes, b->conns, 1024 / median(none, b->rounds),
	    1024 / median(commit, b->rounds), median(ratios, b->rounds));
}

static void
parse_options(struct bench *b, int argc, char **argv)
{
	static char host[64];
	int option;

	while ((option = getopt(argc, argv, "b:p:d:n:m:s:t:c:w:o:")) != -1) {
		if (option == 'b' && sscanf(optarg, "%63[^:]:%d", host, &b->port) == 2)
			b->host = host;
		else if (option == 'p')
			b->master = (pid_t)atoi(optarg);
		else if (option == 'd')
			b->dir = optarg;
		else if (option == 'n')
			b->rounds = TK_MIN(TK_MAX(atoi(optarg), 1), ROUNDS_MAX);
		else if (option == 'o')
			b->commit_port = atoi(optarg);
		else if (option == 'c')
			b->conns = TK_MIN(TK_MAX(atoi(optarg), 1), CONNS_MAX);
		else if (option == 'w')
			b->depth = TK_MAX(atoi(optarg), 1);
		else if (option == 'm')
			b->total_bytes = (size_t)atol(optarg) << 20;
		else if (option == 's')
			b->batch_bytes = (size_t)atol(optarg);
		else if (option == 't')
			(void)snprintf(b->topic, sizeof(b->topic), "%s", optarg);
	}
}

int
main(int argc, char **argv)
{
	struct bench b = { .rounds = 5,
		.conns = 1,
		.depth = 3,
		.total_bytes = (size_t)512 << 20,
		.batch_bytes = (size_t)64 << 10,
		.dir = "/tmp",
		.topic = "bench" };
	const char *what = argc > 1 ? argv[1] : "";

	parse_options(&b, argc - 1, argv + 1);
	if (b.host == NULL || b.master == 0) {
		(void)fprintf(stderr,
		    "usage: bench fetch|produce|latency|commit -b HOST:PORT -p MASTER_PID "
		    "-t TOPIC [-d DIR] [-n ROUNDS] [-m MIB] [-s BATCH_BYTES] [-c CONNECTIONS] "
		    "[-w REQUESTS] [-o COMMIT_PORT]\n");
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	make_batch(&b);
	if (strcmp(what, "fetch") == 0 || strcmp(what, "produce") == 0)
		run_pairs(&b, what[0] == 'f');
	else if (strcmp(what, "commit") == 0)
		run_commit(&b);
	else
		run_latency(&b);
	free(b.batch);
	return 0;
}
