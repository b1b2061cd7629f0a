/*
 * InitProducerId: ids that are never given out twice.
 *
 * The journal holds the first id that is in no block.  A block is ours once the transaction that
 * moves it on is on the disk; ids come from it out of memory, and what is left of it when this
 * process ends is never used.  The next block is taken while there are still some left.
 *
 * With a transactional id the answer is INVALID_REQUEST: transactions are not there yet, and of
 * the errors no client retries this is the one whose sentence in the Java client speaks of an
 * incompatible broker and its logs, where we say so.  (Well-behaved clients ask FindCoordinator
 * first, which is not advertised, and say "unsupported version" themselves.)  When no block can be
 * had in time the answer is COORDINATOR_LOAD_IN_PROGRESS, as in Kafka, which every client retries.
 * When all 2^63 are gone it is UNKNOWN_SERVER_ERROR, as in Kafka; everything else goes on.
 *
 * A client that names the producer it was (version 3 and later, to raise its epoch) without a
 * transactional id gets a new id and epoch 0, as in Kafka: only with a transactional id does the
 * broker know whose an id is.
 */
#include "base/errlog.h"
#include "coordinator/coordinator_private.h"

#define BLOCK       1000
#define REFILL_LEFT 100

struct init_state {
	struct tk_init_producer_id_request request;
	struct tk_init_producer_id_response response;
};

struct refill_state {
	int64_t from; /* of the block in the transaction; -1: none yet */
	bool tried;
};

static bool
init_decode(struct tk_job *job, int32_t *ret_timeout_ms)
{
	struct init_state *init = job->state;
	struct tk_decoder dec;

	*ret_timeout_ms = 0;
	tk_decoder_init(&dec, job->body.data, job->body.len, &job->arena);
	tk_init_producer_id_response_init(&init->response);
	return tk_init_producer_id_request_decode(&dec, job->version, &init->request);
}

static void
init_refused(struct init_state *init, enum tk_error error)
{
	init->response.error_code = (int16_t)error;
	init->response.producer_id = -1;
	init->response.producer_epoch = -1;
}

void
tk_producer_ids_refill(struct tk_coordinator *coord)
{
	struct tk_producer_ids *ids = &coord->producer_ids;

	if (!ids->refilling && !ids->exhausted && ids->end - ids->next < REFILL_LEFT)
		ids->refilling = tk_job_submit(coord, &tk_producer_ids_refill_job) == 0;
}

/* True if the answer is decided. */
static bool
init_try(struct tk_job *job)
{
	static struct tk_errlog_limit limit;
	struct init_state *init = job->state;
	struct tk_producer_ids *ids = &job->coord->producer_ids;
	const struct tk_init_producer_id_request *request = &init->request;

	if (request->transactional_id.data != NULL) {
		if (tk_errlog_allowed(&limit, 5))
			tk_warn("client \"%s\" at %s asked for a transactional producer: "
				"transactions are not supported yet",
			    job->client_id, job->host);
		init_refused(init, TK_ERR_INVALID_REQUEST);
		return true;
	}
	if ((request->producer_id == -1) != (request->producer_epoch == -1)) {
		init_refused(init, TK_ERR_INVALID_REQUEST);
		return true;
	}
	if (ids->next >= ids->end && ids->exhausted) {
		init_refused(init, TK_ERR_UNKNOWN_SERVER_ERROR);
		return true;
	}
	if (ids->next >= ids->end)
		return false;
	init->response.producer_id = ids->next++;
	init->response.producer_epoch = 0;
	tk_producer_ids_refill(job->coord);
	return true;
}

static bool
init_now(struct tk_job *job)
{
	if (init_try(job))
		return true;
	/* Behind the block, which is either on its way or asked for now. */
	tk_producer_ids_refill(job->coord);
	return false;
}

/* Writes the next block; false if ids have run out for good. */
static bool
block_write(struct tk_job *job, struct tk_meta_txn *txn, int64_t *ret_from)
{
	int64_t from = tk_meta_next_producer_id(job->coord->meta);

	if (from > INT64_MAX - BLOCK)
		return false;
	*ret_from = from;
	tk_meta_txn_put_producer_ids(txn, from + BLOCK);
	return true;
}

static enum tk_step
init_run(struct tk_job *job, struct tk_meta_txn *txn)
{
	(void)txn;
	if (!init_try(job)) {
		/* The block that was asked for did not come; the client asks again. */
		tk_producer_ids_refill(job->coord);
		init_refused(job->state, TK_ERR_COORDINATOR_LOAD_IN_PROGRESS);
	}
	return TK_STEP_ANSWER;
}

static void
init_committed(struct tk_job *job, enum tk_error error)
{
	(void)job;
	(void)error;
}

static void
init_expired(struct tk_job *job)
{
	init_refused(job->state, TK_ERR_COORDINATOR_LOAD_IN_PROGRESS);
}

static void
init_encode(struct tk_job *job, struct tk_chain *chain, bool shrunk)
{
	const struct init_state *init = job->state;

	(void)shrunk;
	tk_init_producer_id_response_encode(chain, job->version, &init->response);
}

const struct tk_job_kind tk_init_producer_id_job = {
	.api_key = 22,
	.min_version = TK_INIT_PRODUCER_ID_MIN_VERSION,
	.max_version = TK_INIT_PRODUCER_ID_MAX_VERSION,
	.name = "InitProducerId",
	.state_size = sizeof(struct init_state),
	.decode = init_decode,
	.now = init_now,
	.run = init_run,
	.committed = init_committed,
	.expired = init_expired,
	.encode = init_encode,
};

/* ---- the next block: a job of our own ---- */

static void
ids_exhausted(struct tk_coordinator *coord)
{
	tk_err("the journal says that every producer id was given out: "
	       "new idempotent producers are refused");
	coord->producer_ids.exhausted = true;
	tk_coordinator_check_ready(coord);
}

static enum tk_step
refill_run(struct tk_job *job, struct tk_meta_txn *txn)
{
	struct refill_state *state = job->state;

	if (state->tried || !block_write(job, txn, &state->from)) {
		job->coord->producer_ids.refilling = false;
		if (!state->tried)
			ids_exhausted(job->coord);
		return TK_STEP_ANSWER;
	}
	state->tried = true;
	return TK_STEP_COMMIT;
}

static void
refill_committed(struct tk_job *job, enum tk_error error)
{
	struct tk_producer_ids *ids = &job->coord->producer_ids;
	const struct refill_state *state = job->state;

	ids->refilling = false;
	if (error != TK_ERR_NONE)
		return;
	if (state->from != ids->end || ids->next >= ids->end)
		ids->next = state->from;
	ids->end = state->from + BLOCK;
	tk_coordinator_check_ready(job->coord);
}

static void
refill_expired(struct tk_job *job)
{
	job->coord->producer_ids.refilling = false;
}

static bool
refill_decode(struct tk_job *job, int32_t *ret_timeout_ms)
{
	(void)job;
	*ret_timeout_ms = 0;
	return true;
}

static void
refill_encode(struct tk_job *job, struct tk_chain *chain, bool shrunk)
{
	(void)job;
	(void)chain;
	(void)shrunk;
}

const struct tk_job_kind tk_producer_ids_refill_job = {
	.api_key = -1,
	.name = "a block of producer ids",
	.state_size = sizeof(struct refill_state),
	.decode = refill_decode,
	.run = refill_run,
	.committed = refill_committed,
	.expired = refill_expired,
	.encode = refill_encode,
};
