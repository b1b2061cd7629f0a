/*
 * Transmit for plaintext: runs of memory by sendmsg, file ranges by sendfile.  Runs in workers.
 *
 * A memory run that a file range follows is sent with MSG_MORE, so that a partition's header and
 * its records share segments on the network.  Adjoining ranges of one file go by one call.  A range
 * that is small is read into the request's arena and joins the memory run.  A larger one that
 * sendfile cannot serve, or may not, goes by way of one buffer that all connections share: what the
 * socket does not take is read again, so that slow readers hold no memory.  Every copy is counted
 * by its reason.  A range that turns out shorter than was promised breaks the connection: its
 * length has left already, and nothing may stand in for it.  So does one that the disk fails to
 * give; the error log has a line about either, since it is no fault of the client's.
 */
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/errlog.h"
#include "os/sendfile.h"
#include "server/worker.h"

#define RUN_PIECES 64
#define JOIN_BYTES ((uint32_t)16 << 10)  /* ranges that join a memory run are shorter */
#define COPY_BYTES ((uint32_t)256 << 10) /* copied by one call */

/* The front piece is sent: forget it. */
static void
chain_pop(struct tk_chain *chain)
{
	struct tk_piece *piece = chain->first;

	if (piece->kind == TK_PIECE_FILE && piece->file.unref != NULL)
		piece->file.unref(piece->file.owner);
	chain->first = piece->next;
	if (chain->first == NULL) {
		chain->last = NULL;
		chain->at = chain->end = NULL;
	}
}

/* sent bytes of the front memory pieces have left. */
static void
chain_advance(struct tk_chain *chain, size_t sent)
{
	chain->len -= sent;
	while (chain->first != NULL && chain->first->kind == TK_PIECE_MEMORY &&
	       sent >= chain->first->len) {
		sent -= chain->first->len;
		chain_pop(chain);
	}
	if (sent > 0) {
		chain->first->data += sent;
		chain->first->len -= (uint32_t)sent;
	}
}

/* Joins the range behind piece to it where both are one run of one file. */
static void
piece_coalesce(struct tk_chain *chain, struct tk_piece *piece)
{
	struct tk_piece *next;

	while ((next = piece->next) != NULL && next->kind == TK_PIECE_FILE &&
	       next->file.fd == piece->file.fd &&
	       next->file.offset == piece->file.offset + piece->len &&
	       next->file.len <= UINT32_MAX - piece->file.len) {
		piece->len += next->len;
		piece->file.len += next->file.len;
		if (next->file.unref != NULL)
			next->file.unref(next->file.owner);
		piece->next = next->next;
		if (chain->last == next)
			chain->last = piece;
	}
}

/* n bytes of the range in front have left. */
static void
file_advance(struct tk_chain *chain, size_t n)
{
	struct tk_piece *piece = chain->first;

	chain->len -= n;
	piece->len -= (uint32_t)n;
	piece->file.offset += (int64_t)n;
	if (piece->len == 0)
		chain_pop(chain);
}

/* A range could not be had: 0, its file ends before it does, or -errno.  Told. */
static enum tk_io
range_broken(int rc)
{
	static struct tk_errlog_limit limit;

	if (tk_errlog_allowed(&limit, 5))
		tk_err("could not send records of a log, a connection is closed: %s",
		    rc == 0 ? "its file is shorter than what was published" : strerror(-rc));
	return TK_IO_ERROR;
}

/* The range's first bytes; false where they cannot be had. */
static bool
piece_read(const struct tk_piece *piece, uint8_t *data, size_t len)
{
	size_t have = 0;

	while (have < len) {
		ssize_t n = pread(
		    piece->file.fd, data + have, len - have, piece->file.offset + (int64_t)have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			(void)range_broken(n == 0 ? 0 : -errno);
			return false;
		}
		have += (size_t)n;
	}
	return true;
}

/* Reads a range into memory; false where it cannot be had whole. */
static bool
piece_copy(struct tk_chain *chain, struct tk_piece *piece, enum tk_counter reason)
{
	uint8_t *data = tk_arena_alloc(chain->arena, piece->len);

	if (data == NULL || !piece_read(piece, data, piece->len))
		return false;
	if (piece->file.unref != NULL)
		piece->file.unref(piece->file.owner);
	piece->kind = TK_PIECE_MEMORY;
	piece->data = data;
	tk_count(reason, 1);
	tk_count(TK_COUNT_copied_ranges, 1);
	tk_count(TK_COUNT_copied_bytes, piece->len);
	return true;
}

/* Why a range is not for sendfile; false if it is. */
static bool
piece_is_copied(
    const struct tk_worker *worker, const struct tk_piece *piece, enum tk_counter *ret_reason)
{
	if (worker->settings->sendfile &&
	    piece->file.len >= (uint64_t)worker->settings->sendfile_min_bytes)
		return false;
	*ret_reason =
	    worker->settings->sendfile ? TK_COUNT_copied_small : TK_COUNT_copied_sendfile_off;
	return true;
}

/*
 * A file range that had better join the memory run becomes memory; false on a broken range.  What a
 * full socket or a turn's end has left of a large one goes as its beginning went.
 */
static bool
piece_prepare(struct tk_worker *worker, struct tk_chain *chain, struct tk_piece *piece)
{
	enum tk_counter reason;

	if (piece->kind != TK_PIECE_FILE)
		return true;
	piece_coalesce(chain, piece);
	if (piece->file.len >= JOIN_BYTES || !piece_is_copied(worker, piece, &reason))
		return true;
	return piece_copy(chain, piece, reason);
}

static enum tk_io
send_result(ssize_t n)
{
	if (n >= 0)
		return TK_IO_OK;
	if (n == -EAGAIN || n == -EWOULDBLOCK) {
		tk_count(TK_COUNT_sends_partial, 1);
		return TK_IO_AGAIN;
	}
	return n == -EINTR ? TK_IO_OK : TK_IO_ERROR;
}

/* Sends the memory pieces at the front by one call. */
static enum tk_io
send_memory(struct tk_worker *worker, int fd, struct tk_chain *chain, size_t *budget)
{
	struct iovec iov[RUN_PIECES];
	struct msghdr msg = { .msg_iov = iov };
	struct tk_piece *piece = chain->first;
	ssize_t n;
	size_t total = 0;

	while (piece != NULL && msg.msg_iovlen < RUN_PIECES && total < *budget) {
		if (!piece_prepare(worker, chain, piece))
			return TK_IO_ERROR;
		if (piece->kind == TK_PIECE_FILE)
			break;
		iov[msg.msg_iovlen++] = (struct iovec){ .iov_base = (void *)(uintptr_t)piece->data,
			.iov_len = piece->len };
		total += piece->len;
		piece = piece->next;
	}
	n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT | (piece != NULL ? MSG_MORE : 0));
	tk_count(TK_COUNT_sendmsg_calls, 1);
	if (n < 0)
		return send_result(-errno);
	tk_count(TK_COUNT_bytes_out, (uint64_t)n);
	*budget -= TK_MIN(*budget, (size_t)n);
	chain_advance(chain, (size_t)n);
	return TK_IO_OK;
}

/* Sends some of the range in front by way of user space. */
static enum tk_io
send_copy(struct tk_chain *chain, int fd, size_t *budget, enum tk_counter reason)
{
	static uint8_t buffer[COPY_BYTES]; /* holds nothing between calls */
	struct tk_piece *piece = chain->first;
	size_t len = TK_MIN(TK_MIN((size_t)piece->len, sizeof(buffer)), *budget);
	bool more = len < piece->len || piece->next != NULL;
	ssize_t n;

	if (!piece_read(piece, buffer, len))
		return TK_IO_ERROR;
	n = send(fd, buffer, len, MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0));
	tk_count(TK_COUNT_sendmsg_calls, 1);
	if (n < 0)
		return send_result(-errno);
	if ((uint32_t)n == piece->len) {
		tk_count(reason, 1);
		tk_count(TK_COUNT_copied_ranges, 1);
	}
	tk_count(TK_COUNT_copied_bytes, (uint64_t)n);
	tk_count(TK_COUNT_bytes_out, (uint64_t)n);
	*budget -= (size_t)n;
	file_advance(chain, (size_t)n);
	return TK_IO_OK;
}

static enum tk_io
send_file(struct tk_worker *worker, struct tk_chain *chain, int fd, size_t *budget)
{
	struct tk_piece *piece = chain->first;
	enum tk_counter reason;
	ssize_t n;

	if (piece_is_copied(worker, piece, &reason))
		return send_copy(chain, fd, budget, reason);
	n = tk_sendfile(fd, piece->file.fd, piece->file.offset, TK_MIN(piece->len, *budget));
	tk_count(TK_COUNT_sendfile_calls, 1);
	if (n == -EINVAL || n == -ENOSYS || n == -EOPNOTSUPP)
		return send_copy(chain, fd, budget, TK_COUNT_copied_unsupported);
	if (n == 0 || n == -EIO)
		return range_broken((int)n);
	if (n < 0)
		return send_result(n);
	tk_count(TK_COUNT_sendfile_bytes, (uint64_t)n);
	tk_count(TK_COUNT_bytes_out, (uint64_t)n);
	*budget -= (size_t)n;
	file_advance(chain, (size_t)n);
	return TK_IO_OK;
}

static enum tk_io
sendfile_send(struct tk_worker *worker, int fd, struct tk_chain *chain, size_t budget)
{
	while (chain->first != NULL) {
		enum tk_io rc;

		if (budget == 0)
			return TK_IO_OK;
		if (!piece_prepare(worker, chain, chain->first))
			return TK_IO_ERROR;
		if (chain->first->kind == TK_PIECE_MEMORY)
			rc = send_memory(worker, fd, chain, &budget);
		else
			rc = send_file(worker, chain, fd, &budget);
		if (rc != TK_IO_OK)
			return rc;
	}
	return TK_IO_DONE;
}

static const struct tk_transmit sendfile_transmit = { .send = sendfile_send };

const struct tk_module tk_module_sendfile = { .abi = TK_MODULE_ABI,
	.name = "sendfile",
	.kind = TK_MODULE_TRANSMIT,
	.transmit = &sendfile_transmit };
