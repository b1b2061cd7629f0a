/*
 * Validation of a batch that a client produces, in the worker, before it goes to the writer.
 *
 * What depends on the batch and on settings alone is settled here; what depends on the log
 * (offsets, sequences, epochs) is the writer's, and so is the checksum of an honest batch.  A batch
 * that is refused here has its checksum looked at all the same: one that was damaged on its way is
 * CORRUPT_MESSAGE, which producers retry, as Kafka answers it.
 *
 * Uncompressed batches are walked record by record; compressed ones are inflated only
 * for compacted topics, to see that every record has a key.
 */
#ifndef TK_LOG_VALIDATE_H
#define TK_LOG_VALIDATE_H

#include "log/batch.h"

/* What is asked of a batch; of the request and of the topic's settings. */
struct tk_batch_rules {
	int16_t produce_version;
	bool compacted;            /* every record needs a key */
	bool log_append_time;      /* the topic's timestamp type: timestamps are not bounded then */
	int32_t max_message_bytes; /* of the whole batch; 0: not looked at here */
	int64_t now_ms;            /* the bounds are around it: */
	int64_t timestamp_before_max_ms; /* INT64_MAX: no bound */
	int64_t timestamp_after_max_ms;
};

struct tk_batch_verdict {
	struct tk_batch_header
	    header;            /* as it was sent; zero where the batch is shorter than that */
	int64_t max_timestamp; /* of the records; of a compressed batch the header's */
	bool walked;           /* the records were looked at */
	int32_t record_index;  /* the first record that was refused, or -1 */
	const char *message;   /* why it was refused; static; NULL if it was not */
};

/*
 * Validates exactly one batch in data: TK_ERR_NONE, or the Kafka error for the partition.  *ret is
 * written in both cases.  max_timestamp may differ from the header's: Kafka then mends the header
 * (and its checksum), so what appends should do the same.
 */
int16_t tk_batch_validate(const uint8_t *data, uint32_t len, const struct tk_batch_rules *rules,
    struct tk_batch_verdict *ret_verdict) TK_MUST_CHECK;

#endif
